"""Projections: what a resource looks like on the wire and where each part of it comes from.

A projection is declared once, in a domain's ``repository.py``. REST (get, list, search), GraphQL (objects,
connections, ``node``) and the read-back after a write are all compiled from it by `crm_api.db.plans` into one SQL
statement whose result is the JSON of the response. GraphQL object types, arguments and descriptions are derived
from the projection and its Pydantic model as well, so nothing has to be written twice.

Example — a domain::

    class Customer(BaseModel):                                    # models.py: the wire shape of REST
        id: UUID = Field(description="Identifier.")
        name: str = Field(description="Full name as written.")
        owner_id: UUID | None = Field(description="The staff member who looks after this customer.")
        net_spend: Money | None = Field(description="Paid minus refunded.")
        tags: list[str] = Field(description="Names of tags.")
        contact_points: list[ContactPoint] = Field(description="Phones, e-mails and accounts.")
        stage: str = Field(description="Age stage of the youngest child.")
        version: int = Field(description="Grows by one with each change; the ETag.")

    CUSTOMER = Projection(                                        # repository.py
        "Customer", table=customers, model=Customer, scope="customers:read",
        description="A person or a company that buys.",
        fields={
            **columns("id", "name", "version"),                   # same name in table and model
            "owner_id": ref("owner_id", "Staff"),                 # REST: plain uuid, GraphQL: global id
            "net_spend": money("net_spend_amount", "currency"),   # {"amount": 1999, "currency": "CNY"} or null
            "tags": sql(lambda t: func.array(                     # auto-correlates to t; TENANT beside every table
                select(tags.c.name).where(tags.c.tenant_id == TENANT, tags.c.customer_id == t.c.id).scalar_subquery())),
            "contact_points": items("ContactPoint", on=lambda p, c: c.c.customer_id == p.c.id),
            "stage": python(stage_of, needs={"birthday": column("child_birthday")}),   # stage_of(row, now) -> JSON
            "mobile": column("mobile", mask=lambda t: mask_phone(t.c.mobile), reveal="customers:reveal"),
            "note": column("note", scope="customers:notes"),      # without it: left out (REST), refused (GraphQL)
        },
        relations={                                               # GraphQL only
            "owner": one("Staff", on=lambda p, c: c.c.id == p.c.owner_id),             # tenant is added by the planner
            "open_complaints": sql(lambda t, a: select(func.count()).where(…, *when(a, "kind", lambda v: k.c.kind == v))
                .scalar_subquery(), args={"kind": Arg(str)}, returns=int, description="Number of open complaints."),
        },
        orders={"newest": [desc("id")], "last_purchase": [desc("last_purchase_at", nulls="last")]},   # first = default
        filters={"status": eq("status", CustomerStatus), "owner_id": eq_ref("owner_id", "Staff"),
                 "created_after": at_least("created_at"), "q": Filter(str, search_predicate, variant=search_kind)},
    )
    # orders/repository.py
    extend(CUSTOMER, relations={"orders": many("Order", on=lambda p, c: c.c.customer_id == p.c.id)})
    # loyalty/repository.py
    extend(CUSTOMER, fields={"points": sql(points_of)}, model_fields={"points": (int, Field(description="…"))})

Use, inside any unit of work (``crm_api.db.plans``)::

    resource = await read_one(uow, CUSTOMER, id, fields=None)     # Resource(json=b"{…}", version=3) or None
    body = await read_list(uow, CUSTOMER, PageRequest(limit=50, after=…, count=True), order="newest",
                           filters={"status": "active"}, fields=None, where=None)    # b'{"data": […], "page": {…}}'

Rules. Every field of the model is a projection field or relation, and every entry of ``fields`` is in the model
(checked by `check_projections`). Values travel only as bind parameters. ``TENANT`` is the tenant id of the unit of
work and must stand next to every table that a hand-written sub-select names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, create_model
from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    DateTime,
    FromClause,
    Table,
    Uuid,
    any_,
    bindparam,
)
from sqlalchemy.types import TypeEngine

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
) -> Field:
    """Compute a field in Python over the plan's small result (about 0.1 ms for a page).

    Args:
        finish: called with the ``needs`` of one row (as JSON values) and the time; returns a JSON value.
        needs: name → field; they are fetched beside the resource and not shown.
        returns: the field's Python type, for fields that are not in the model.
        description: for fields that are not in the model.
        scope: as for `column`.

    """
    return Field(returns=returns, description=description, scope=scope, finish=finish, needs=dict(needs))


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

    """

    by: str | Build
    descending: bool = False
    nulls: Literal["first", "last"] | None = None
    sql_type: TypeEngine[Any] | None = None


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

    """

    type: Any
    build: FilterBuild
    variant: Callable[[Any], Any] | None = None
    ref: str | None = None
    description: str = ""
    sql_type: TypeEngine[Any] | None = None


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


# -- projections -------------------------------------------------------------------------------------------------------

Entry: TypeAlias = Field | Relation


class Projection:
    """A resource: its table, its wire model, and how each part of it is made. See the module's docstring."""

    def __init__(  # noqa: PLR0913 - a declaration, always by keyword
        self,
        name: str,
        *,
        table: Table,
        model: type[BaseModel],
        scope: str,
        fields: Mapping[str, Entry],
        description: str,
        relations: Mapping[str, Entry] | None = None,
        orders: Mapping[str, Sequence[Key]] | None = None,
        filters: Mapping[str, Filter] | None = None,
        where: Build | None = None,
        node: bool = True,
        graphql: bool = True,
        version: str | None = "version",
        key: str = "id",
    ) -> None:
        """Declare and register a projection.

        Args:
            name: GraphQL type name; unique.
            table: with a ``tenant_id`` column.
            model: Pydantic model of the REST shape.
            scope: needed to read the resource, on either surface and through any relation.
            fields: model field → where it comes from.
            description: for the GraphQL schema.
            relations: further GraphQL fields.
            orders: named orders, the first is the default; ``key`` is added to each as the last resort.
            filters: query parameters and GraphQL arguments of lists.
            where: constant predicate on every read (such as "not deleted").
            node: whether GraphQL can refetch it by its global id.
            graphql: whether it appears in GraphQL at all.
            version: column of the ETag, None when the resource has none (or the table lacks it).
            key: the unique column within the tenant.

        """
        self.name = name
        self.table = table
        self.model = model
        self.scope = scope
        self.fields: dict[str, Entry] = dict(fields)
        self.relations: dict[str, Entry] = dict(relations or {})
        self.description = description
        self.orders: dict[str, tuple[Key, ...]] = {
            order: _total(keys, key) for order, keys in (orders or {"newest": [desc(key)]}).items()
        }
        self.filters: dict[str, Filter] = dict(filters or {})
        self.where = where
        self.node = node
        self.graphql = graphql
        self.version = version if version is not None and version in table.c else None
        self.key = key
        self.model_fields: dict[str, Any] = {}
        if name in _REGISTRY:
            raise ValueError(f"projection {name!r} is declared twice")
        _REGISTRY[name] = self
        _changed()

    @property
    def default_order(self) -> str:
        """Name of the order used when the client names none."""
        return next(iter(self.orders))

    def entry(self, name: str) -> Entry | None:
        """Return what serves a field, or None."""
        return self.fields.get(name) or self.relations.get(name)

    def __repr__(self) -> str:
        return f"Projection({self.name!r})"


def _total(keys: Sequence[Key], key: str) -> tuple[Key, ...]:
    """End the order in the unique key, in the direction of the last key, so that it is total."""
    if any(k.by == key for k in keys):
        return tuple(keys)
    return (*keys, Key(key, descending=keys[-1].descending))


_REGISTRY: dict[str, Projection] = {}
_WIRE_MODELS: dict[str, type[BaseModel]] = {}
_LISTENERS: list[Callable[[], None]] = []


def _changed() -> None:
    _WIRE_MODELS.clear()
    for listener in _LISTENERS:
        listener()


def on_change(listener: Callable[[], None]) -> None:
    """Call the listener whenever a projection is declared or extended (plan caches empty themselves)."""
    _LISTENERS.append(listener)


def projection(name: str) -> Projection:
    """Return a projection by name.

    Raises:
        LookupError: nobody declared it.

    """
    try:
        return _REGISTRY[name]
    except KeyError:
        raise LookupError(f"no projection is called {name!r}") from None


def projections() -> tuple[Projection, ...]:
    """Return all projections in order of declaration."""
    return tuple(_REGISTRY.values())


def forget(name: str) -> None:
    """Remove a projection: for tests that declare their own."""
    _REGISTRY.pop(name, None)
    _changed()


def extend(
    target: Projection,
    *,
    fields: Mapping[str, Entry] | None = None,
    relations: Mapping[str, Entry] | None = None,
    filters: Mapping[str, Filter] | None = None,
    orders: Mapping[str, Sequence[Key]] | None = None,
    model_fields: Mapping[str, Any] | None = None,
) -> None:
    """Add to a lower domain's projection from a higher domain.

    Args:
        target: the lower domain's projection.
        fields: further fields of the REST resource; each needs its entry in ``model_fields``.
        relations: further GraphQL fields.
        filters: further list restrictions.
        orders: further named orders.
        model_fields: name → ``(type, pydantic.Field(…))``, as for `pydantic.create_model`.

    """
    for name in [*(fields or {}), *(relations or {})]:
        if target.entry(name) is not None:
            raise ValueError(f"{target.name}.{name} is already declared")
    target.fields.update(fields or {})
    target.relations.update(relations or {})
    target.filters.update(filters or {})
    target.orders.update({order: _total(keys, target.key) for order, keys in (orders or {}).items()})
    target.model_fields.update(model_fields or {})
    _changed()


def wire_model(name: str) -> type[BaseModel]:
    """Return the composed Pydantic model of a resource: the domain's own plus what higher domains added.

    Fields that need a scope of their own are not required, because a caller without it does not get them.
    """
    known = _WIRE_MODELS.get(name)
    if known is None:
        known = _WIRE_MODELS[name] = _compose(projection(name))
    return known


def _compose(of: Projection) -> type[BaseModel]:
    if not of.model_fields:
        return of.model
    composed: type[BaseModel] = create_model(
        of.model.__name__,
        __base__=of.model,
        __module__=of.model.__module__,
        __doc__=of.model.__doc__,
        **of.model_fields,
    )
    return composed


def check_projections() -> None:
    """Verify at start-up that models and projections name the same fields and that every target exists.

    Raises:
        ValueError: lists everything that is wrong.

    """
    faults = [fault for each in projections() for fault in _faults(each)]
    if faults:
        raise ValueError("projections do not hold together:\n  " + "\n  ".join(faults))


def _faults(of: Projection) -> Iterable[str]:
    shown = set(wire_model(of.name).model_fields)
    for name in sorted(shown - set(of.fields) - set(of.relations)):
        yield f"{of.name}.{name} is in the model but nothing serves it"
    for name in sorted(set(of.fields) - shown):
        yield f"{of.name}.{name} is served but not in the model"
    if "tenant_id" not in of.table.c:
        yield f"{of.name}: table {of.table.name} has no tenant_id"
    yield from _order_faults(of)
    for name, entry in {**of.fields, **of.relations}.items():
        if isinstance(entry, Relation):
            if entry.target not in _REGISTRY:
                yield f"{of.name}.{name} relates to {entry.target}, which does not exist"
        elif name not in shown and (entry.returns is None or not entry.description):
            yield f"{of.name}.{name} is not in the model: give returns= and description="


def _order_faults(of: Projection) -> Iterable[str]:
    for order, keys in of.orders.items():
        for key in keys:
            if isinstance(key.by, str) and of.table.c[key.by].nullable and key.nulls is None:
                yield f"{of.name}, order {order}: {key.by} can be null, so say nulls='first' or 'last'"
