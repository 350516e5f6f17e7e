"""What projections are made of: fields, relations, orders and filters. See `crm_api.db.projections`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Text,
    Uuid,
    any_,
    bindparam,
    literal_column,
)
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    from crm_api.db.uow import UnitOfWork

TENANT: Final[BindParameter[Any]] = bindparam("tenant_id", type_=Uuid())
"""The tenant of the unit of work; one bind parameter for the whole statement."""

NOW: Final[BindParameter[Any]] = bindparam("now", type_=DateTime(timezone=True))
"""The unit of work's clock; use it instead of ``now()`` so that tests can stop time."""

Build: TypeAlias = Callable[[FromClause], ColumnElement[Any]]
"""Makes an expression from the alias under which the projection's table appears in the statement."""

BuildWithArgs: TypeAlias = Callable[[FromClause, Mapping[str, ColumnElement[Any]]], ColumnElement[Any]]
JoinOn: TypeAlias = Callable[[FromClause, FromClause], ColumnElement[bool]]
PythonField: TypeAlias = Callable[[Mapping[str, Any], datetime], Any]


# -- expressions -------------------------------------------------------------------------------------------------------


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Arg:
    """An argument of a GraphQL field: its Python type (a trailing ``| None`` makes it optional) and description."""

    type: Any
    description: str = ""
    sql_type: TypeEngine[Any] | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a resource, made by SQL (and, when ``finish`` is set, completed in Python).

    Attributes:
        build: makes the expression from the table's alias and the arguments given.
        args: GraphQL arguments; ``build`` finds only those that were given.
        returns: Python type, needed when the field is not in the model.
        description: needed when the field is not in the model.
        ref: name of the projection this uuid points at: a global id in GraphQL.
        scope: what the caller needs to see the field at all.
        mask: the expression shown to a caller without ``reveal``.
        reveal: the scope that shows the field unmasked.
        parts: the members of a small object (money, an address); null when the first part is null.
        finish: Python function over ``needs`` and the time, run over the plan's small result.
        needs: what ``finish`` reads.
        on_request: left out of REST unless ``fields`` names it: it costs more than its place in every answer is worth.

    """

    build: BuildWithArgs | None = None
    args: Mapping[str, Arg] = field(default_factory=_nothing)
    returns: Any = None
    description: str = ""
    ref: str | None = None
    scope: str | None = None
    mask: Build | None = None
    reveal: str | None = None
    parts: Mapping[str, "Field"] = field(default_factory=_nothing)
    finish: PythonField | None = None
    needs: Mapping[str, "Field"] = field(default_factory=_nothing)
    on_request: bool = False


def column(
    name: str, *, scope: str | None = None, mask: Build | None = None, reveal: str | None = None, description: str = ""
) -> Field:
    """Show a column as it is.

    Args:
        name: of the column.
        scope: needed to see it at all: without it REST leaves the field out, GraphQL refuses the operation.
        mask: what is shown instead to a caller without ``reveal``.
        reveal: the scope that shows the value itself.
        description: only for fields that are not in the model.

    """
    return Field(lambda t, _: t.c[name], scope=scope, mask=mask, reveal=reveal, description=description)


def columns(*names: str) -> dict[str, Field]:
    """Show columns under their own names."""
    return {name: column(name) for name in names}


def ref(name: str, target: str, *, scope: str | None = None) -> Field:
    """Show a column that holds the id of another resource: plain in REST, a global id in GraphQL."""
    return Field(lambda t, _: t.c[name], ref=target, scope=scope)


def money(amount: str, currency: str = "currency", *, scope: str | None = None) -> Field:
    """Show an amount in minor units and its currency as one object; null when there is no amount."""
    return struct({"amount": column(amount), "currency": column(currency)}, scope=scope)


def struct(parts: Mapping[str, Field], *, scope: str | None = None) -> Field:
    """Show several values as one small object; the object is null when its first part is null."""
    return Field(parts=dict(parts), scope=scope)


def sql(
    build: Build | BuildWithArgs,
    *,
    args: Mapping[str, Arg] | None = None,
    returns: Any = None,
    description: str = "",
    scope: str | None = None,
    mask: Build | None = None,
    reveal: str | None = None,
) -> Field:
    """Show any SQL expression: a scalar, an array or json (a scalar sub-select must be correlated or aliased).

    Args:
        build: from the table's alias; with ``args`` also from the mapping of arguments that were given.
        args: GraphQL arguments, for fields that are not in the model.
        returns: the field's Python type, for fields that are not in the model.
        description: for fields that are not in the model.
        scope: as for `column`.
        mask: as for `column`.
        reveal: as for `column`.

    """
    with_args: Any = build if args else lambda t, _: build(t)  # type: ignore[call-arg]
    return Field(with_args, args or {}, returns, description, scope=scope, mask=mask, reveal=reveal)


def python(
    finish: PythonField,
    *,
    needs: Mapping[str, Field],
    returns: Any = None,
    description: str = "",
    scope: str | None = None,
    on_request: bool = False,
) -> Field:
    """Compute a field in Python over the plan's small result (about 0.1 ms for a page).

    Args:
        finish: called with the ``needs`` of one row (as JSON values) and the time; returns a JSON value.
        needs: name → field; they are fetched beside the resource and not shown.
        returns: the field's Python type, for fields that are not in the model.
        description: for fields that are not in the model.
        scope: as for `column`.
        on_request: REST shows it only when ``fields`` names it, and answers without it go out as PostgreSQL made them.

    """
    return Field(
        returns=returns,
        description=description,
        scope=scope,
        finish=finish,
        needs=dict(needs),
        on_request=on_request,
    )


def when(
    args: Mapping[str, ColumnElement[Any]], name: str, build: Callable[[ColumnElement[Any]], ColumnElement[bool]]
) -> tuple[ColumnElement[bool], ...]:
    """Return the predicate for an optional argument, or nothing when it was not given; splat it into ``where``."""
    return (build(args[name]),) if name in args else ()


# -- relations ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Relation:
    """How another resource hangs on this one.

    Attributes:
        target: name of its projection.
        on: join condition from (this table's alias, the target's alias); the planner adds the tenant on both.
        kind: ``one`` object or null, ``items`` a plain list, ``many`` a Relay connection.
        orders: named orders; the target's own when empty.
        filters: filters; the target's own when None.
        maximum: most rows of a list or page.
        default: rows of a page when the client names no number.
        description: for the GraphQL schema.

    """

    target: str
    on: JoinOn
    kind: Literal["one", "items", "many"]
    orders: Mapping[str, Sequence["Key"]] = field(default_factory=_nothing)
    filters: Mapping[str, "Filter"] | None = None
    maximum: int = 100
    default: int = 20
    description: str = ""


def one(target: str, on: JoinOn, *, description: str = "") -> Relation:
    """Relate to one object or null."""
    return Relation(target, on, "one", description=description)


def items(
    target: str, on: JoinOn, *, order: "Sequence[Key] | None" = None, maximum: int = 100, description: str = ""
) -> Relation:
    """Relate to a short list that is shown whole, in REST too when the model has the field."""
    orders = {"default": order} if order else {}
    return Relation(target, on, "items", orders, {}, maximum, maximum, description)


def many(
    target: str,
    on: JoinOn,
    *,
    orders: "Mapping[str, Sequence[Key]] | None" = None,
    filters: "Mapping[str, Filter] | None" = None,
    maximum: int = 100,
    default: int = 20,
    description: str = "",
) -> Relation:
    """Relate to a cursor-paged connection (GraphQL only)."""
    return Relation(target, on, "many", orders or {}, filters, maximum, default, description)


# -- order -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an order.

    Attributes:
        by: column name, or an expression over the table's alias.
        descending: largest first.
        nulls: where nulls stand; None says that the key is never null.
        sql_type: type of an expression (columns know theirs).
        filter: name of the filter whose ranking makes the key; see `Ranking`.

    """

    by: str | Build
    descending: bool = False
    nulls: Literal["first", "last"] | None = None
    sql_type: TypeEngine[Any] | None = None
    filter: str | None = None


def asc(
    by: str | Build, *, nulls: Literal["first", "last"] | None = None, sql_type: TypeEngine[Any] | None = None
) -> Key:
    """Order smallest first; ``nulls`` must be given for a key that can be null."""
    return Key(by, descending=False, nulls=nulls, sql_type=sql_type)


def desc(
    by: str | Build, *, nulls: Literal["first", "last"] | None = None, sql_type: TypeEngine[Any] | None = None
) -> Key:
    """Order largest first; ``nulls`` must be given for a key that can be null."""
    return Key(by, descending=True, nulls=nulls, sql_type=sql_type)


def best_fit(filter: str) -> Key:
    """Order by how well rows fit the value of this filter, best first; end the order with ``desc`` of the key.

    Without a value the projection's default order is used.
    """
    return Key(_needs_a_value, descending=True, sql_type=Integer(), filter=filter)


def _needs_a_value(_t: FromClause) -> ColumnElement[Any]:  # pragma: no cover - the planner puts the ranking's in place
    raise AssertionError


# -- filters -----------------------------------------------------------------------------------------------------------


class FilterValue:
    """The value of a filter inside its predicate: call it for the bind parameter, or derive further ones from it.

    ``v()`` is the value itself, ``v(lambda q: f"%{q}%", Text())`` a value computed from it for each request.
    ``v.variant`` is what the filter's ``variant`` function said about the value.
    """

    def __init__(
        self, bind: Callable[[Callable[[Any], Any] | None, TypeEngine[Any] | None], Any], variant: Any
    ) -> None:
        self._bind = bind
        self.variant = variant

    def __call__(
        self, derive: Callable[[Any], Any] | None = None, sql_type: TypeEngine[Any] | None = None
    ) -> ColumnElement[Any]:
        """Return a bind parameter for the value or for what ``derive`` makes of it."""
        bound: ColumnElement[Any] = self._bind(derive, sql_type)
        return bound


FilterBuild: TypeAlias = Callable[[FromClause, FilterValue], ColumnElement[bool]]


FilterCheck: TypeAlias = Callable[["UnitOfWork", str, Any], Awaitable[None]]
"""Called before the list is read, with the unit, a pointer to the filter and its value; raises Invalid."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows of a ranking a page needs.

    Attributes:
        limit: so many, or None for all: when other predicates will drop some.
        fit: with ``id``, the row the page lies beyond; null for a page at the end.
        id: see ``fit``.
        backward: worst fit first.

    """

    limit: int | None
    fit: ColumnElement[Any]
    id: ColumnElement[Any]
    backward: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well rows fit a filter's value.

    Attributes:
        order: the projection's order by ``best_fit``; the default of a list with this filter.
        build: from the value and the page to a set-returning function or sub-select with columns ``id`` and ``fit``
            (integer, more is better), in that order, newest first among equals.

    """

    order: str
    build: Callable[[FilterValue, Wanted], FromClause]


@dataclass(frozen=True, slots=True)
class Filter:
    """A named restriction of a list: REST query parameter and GraphQL argument alike.

    Attributes:
        type: Python type of the value (``list[X]`` for several).
        build: predicate from the table's alias and the value.
        variant: says something small about the value (its kind, its length class); each answer gets its own plan.
        ref: the value is the id of this projection: a global id in GraphQL.
        description: for both surfaces.
        sql_type: PostgreSQL type of the value when it does not follow from ``type``.
        scope: what the caller needs to use it, beside the projection's own: for filters that look into another domain.
        ranking: how well rows fit, where that is a matter of more and less.
        check: refuses values whose sense only the tenant's own data tell: nobody would notice the mistake in an empty
            page.

    """

    type: Any
    build: FilterBuild
    variant: Callable[[Any], Any] | None = None
    ref: str | None = None
    description: str = ""
    sql_type: TypeEngine[Any] | None = None
    scope: str | None = None
    ranking: Ranking | None = None
    check: FilterCheck | None = None


def among(column: ColumnElement[Any], words: Sequence[str]) -> ColumnElement[bool]:
    """Tell whether a column has one of some words of our own.

    They stand in the statement as they are: what ``in_`` makes of them is spelled out when SQLAlchemy executes a
    statement, and plans are executed without it.
    """
    listed = ", ".join(f"'{word}'" for word in words)
    return column == any_(literal_column(f"ARRAY[{listed}]::text[]", ARRAY(Text)))


def eq(name: str, type: Any = str, *, description: str = "") -> Filter:
    """Keep rows whose column equals the value."""
    return Filter(type, lambda t, v: t.c[name] == v(None, t.c[name].type), description=description)


def eq_ref(name: str, target: str, *, description: str = "") -> Filter:
    """Keep rows whose column holds this id of ``target``."""
    return Filter(UUID, lambda t, v: t.c[name] == v(None, Uuid()), ref=target, description=description)


def one_of(name: str, type: Any = str, *, description: str = "") -> Filter:
    """Keep rows whose column equals one of the values."""
    return Filter(list[type], lambda t, v: t.c[name] == any_(v(None, ARRAY(t.c[name].type))), description=description)


def at_least(name: str, type: Any = datetime, *, description: str = "") -> Filter:
    """Keep rows whose column is the value or more (times: from this instant on)."""
    return Filter(type, lambda t, v: t.c[name] >= v(None, t.c[name].type), description=description)


def below(name: str, type: Any = datetime, *, description: str = "") -> Filter:
    """Keep rows whose column is less than the value (times: before this instant)."""
    return Filter(type, lambda t, v: t.c[name] < v(None, t.c[name].type), description=description)


Entry: TypeAlias = Field | Relation
