"""REST resources and lists, each read by one statement."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, FromClause, literal_column, select

from crm_api.core.errors import Invalid, NotFound
from crm_api.core.paging import PageRequest
from crm_api.db.plans.cache import Shapes, Trace, plan_cache
from crm_api.db.plans.compile import Compiler
from crm_api.db.plans.pages import Page, default_order, keyset_of, page_body
from crm_api.db.plans.plan import Plan
from crm_api.db.plans.selection import NOW_KEY, Value, Variables, variable, whole
from crm_api.db.plans.values import plain
from crm_api.db.projections import Projection
from crm_api.db.uow import UnitOfWork

Where = Callable[[FromClause], ColumnElement[bool]]
"""A further predicate on a list, such as a compiled rule tree. It is called with the alias of the projection's table;
values inside are sent as bind parameters, and predicates of the same shape share a plan."""

_PLANS: Final = plan_cache(2000)

# Filters are identifiers, so these names cannot meet one.
_AFTER: Final = "/after"
_BEFORE: Final = "/before"
_WHERE: Final = "/where"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as the client gets it.

    Attributes:
        json: the body.
        version: for the ETag; None when the resource has none.

    """

    json: bytes
    version: int | None


@dataclass(frozen=True, slots=True)
class BoundPlan:
    """A plan with the variables of one request."""

    plan: Plan
    variables: Variables


def rest_get(of: Projection, scopes: frozenset[str], fields: Sequence[str] | None = None) -> Plan:
    """Return the plan for one resource; its variable is ``id``, its columns are the JSON and the version.

    Raises:
        Forbidden: the scopes do not allow it.
        Invalid: a field does not exist.

    """
    key = (of.name, None if fields is None else tuple(fields), scopes)
    shapes = _PLANS.get(key)
    found = None if shapes is None else shapes.find({})
    if found is None:
        trace = Trace({})
        found = _compile_get(of, scopes, fields, trace)
        _keep(key, trace, found)
    return found


def _compile_get(of: Projection, scopes: frozenset[str], fields: Sequence[str] | None, trace: Trace) -> Plan:
    compiler = Compiler(scopes, trace)
    compiler.require(of.scope)
    t = compiler.alias(of)
    key = compiler.bind(lambda variables: variables["id"], t.c[of.key].type)
    columns = compiler.columns(of, t, whole(of, scopes, fields))
    with compiler.within(t):
        body = compiler.row(columns)
    version = t.c[of.version] if of.version is not None else literal_column("NULL::integer")
    where = compiler.conditions(of, t, [t.c[of.key] == key])
    return compiler.plan(select(body.label("json"), version.label("version")).select_from(t).where(*where))


def _keep(key: Hashable, trace: Trace, plan: Plan) -> None:
    shapes = _PLANS.get(key)
    if shapes is None:
        shapes = Shapes()
        _PLANS.put(key, shapes)
    shapes.add(trace, plan)


async def read_one(
    uow: UnitOfWork, of: Projection, row_id: UUID, fields: Sequence[str] | None = None
) -> Resource | None:
    """Read one resource in the unit of work, after its own writes.

    Args:
        uow: the unit.
        of: the projection.
        row_id: its id.
        fields: only these fields, or None for all.

    Returns:
        The resource, or None when this tenant has none with that id.

    Raises:
        Forbidden: the actor's scopes do not allow it.
        Invalid: a field does not exist.

    """
    plan = rest_get(of, uow.actor.scopes, fields)
    now = uow.clock.now()
    row = await uow.fetch_plan(plan, {"id": row_id, NOW_KEY: now})
    return None if row is None else Resource(plan.finish(row[0], now), row[1])


async def require(uow: UnitOfWork, of: Projection, row_id: UUID) -> None:
    """Raise NotFound unless the tenant has a row with this id, be it merged into another: for what lies below it."""
    t = of.table
    found = select(t.c[of.key]).where(t.c.tenant_id == uow.tenant_id, t.c[of.key] == row_id)
    if await uow.fetch_value(found) is None:
        raise NotFound


# -- lists -------------------------------------------------------------------------------------------------------------


def rest_list(
    of: Projection,
    scopes: frozenset[str],
    page: PageRequest,
    *,
    order: str | None = None,
    filters: Mapping[str, Any] | None = None,
    fields: Sequence[str] | None = None,
    where: Where | None = None,
) -> BoundPlan:
    """Return the plan for one page, bound to its variables. See `read_list`."""
    if page.after is not None and page.before is not None:
        raise Invalid.field(
            "/before", "conflict", "Give either 'after' or 'before'", "“after” 与 “before” 只能给出一个"
        )
    given = {name: plain(value) for name, value in (filters or {}).items() if value is not None}
    variables: dict[str, Any] = {**given, _AFTER: page.after, _BEFORE: page.before}
    extra = Extra.of(of, where)
    variables[_WHERE] = extra.values
    names = None if fields is None else tuple(fields)
    ends = (page.after is not None, page.before is not None, page.count)
    key = (of.name, names, scopes, order, tuple(given), page.limit, ends, extra.shape)
    shapes = _PLANS.get(key) if extra.cacheable else None
    found = None if shapes is None else shapes.find(variables)
    if found is None:
        trace = Trace(variables)
        found = _compile_list(of, Compiler(scopes, trace), page, Asked(order, given, fields, extra))
        if extra.cacheable:
            _keep(key, trace, found)
    return BoundPlan(found, variables)


@dataclass(frozen=True, slots=True)
class Extra:
    """A caller's own predicate, taken apart into its shape and its values.

    Attributes:
        t: the alias it is about.
        predicate: the expression, or None.
        shape: equal for predicates that differ in values only.
        parameters: its bind parameters.
        values: their values now.
        cacheable: whether the shape is known.

    """

    t: FromClause
    predicate: ColumnElement[bool] | None = None
    shape: Hashable = None
    parameters: tuple[BindParameter[Any], ...] = ()
    values: tuple[Any, ...] = ()
    cacheable: bool = True

    @classmethod
    def of(cls, listed: Projection, where: Where | None) -> "Extra":
        """Build and take apart."""
        t = listed.table.alias("t0")
        if where is None:
            return cls(t)
        predicate = where(t)
        shape = predicate._generate_cache_key()  # noqa: SLF001 - what SQLAlchemy's own statement cache goes by
        if shape is None:
            return cls(t, predicate, cacheable=False)
        parameters = tuple(shape.bindparams)
        return cls(t, predicate, shape.key, parameters, tuple(each.effective_value for each in parameters))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list request names beside its page."""

    order: str | None
    filters: Mapping[str, Any]
    fields: Sequence[str] | None
    extra: Extra


def _compile_list(of: Projection, compiler: Compiler, page: PageRequest, asked: Asked) -> Plan:
    compiler.require(of.scope)
    t = asked.extra.t
    for name in asked.filters:
        if name not in of.filters:
            raise LookupError(f"{of.name} has no filter {name!r}")
    where = compiler.conditions(of, t)
    if asked.extra.predicate is not None:
        where.append(compiler.foreign(t, asked.extra.predicate, asked.extra.parameters, _WHERE))
    keyset = keyset_of(of, asked.order or default_order(of.orders, of.filters, asked.filters))
    shown = Page(of, t, where, keyset, page.limit, page.before is not None)
    shown.after, shown.before = page.after is not None, page.before is not None
    cursors: dict[Literal["after", "before"], Value] = {}
    if page.after is not None:
        cursors["after"] = variable(_AFTER)
    if page.before is not None:
        cursors["before"] = variable(_BEFORE)
    values = {name: variable(name) for name in asked.filters}
    shown.restrict(compiler, of.filters, values, cursors, narrowed=asked.extra.predicate is not None)
    return compiler.plan(page_body(compiler, shown, whole(of, compiler.scopes, asked.fields), count=page.count))


async def read_list(
    uow: UnitOfWork,
    of: Projection,
    page: PageRequest,
    *,
    order: str | None = None,
    filters: Mapping[str, Any] | None = None,
    fields: Sequence[str] | None = None,
    where: Where | None = None,
) -> bytes:
    """Read one page and return the whole body of the response.

    Args:
        uow: the unit of work.
        of: what is listed.
        page: which rows: at most ``limit`` after, or before, a cursor; with the total when ``count``.
        order: name of one of the projection's orders; its default when None.
        filters: filter name → value; None values are as good as absent.
        fields: only these fields, or None for all.
        where: a further predicate, such as a compiled rule tree.

    Returns:
        ``{"data": […], "page": {"next": …, "previous": …, "has_more": …}}`` and ``page.total`` when asked for.
        ``has_more`` speaks of the direction of travel: towards ``next``, or with ``before`` towards ``previous``.
        See `is_empty`.

    Raises:
        Forbidden: the actor's scopes do not allow it.
        Invalid: unknown field, order or filter, or a cursor of another list.

    """
    bound = rest_list(of, uow.actor.scopes, page, order=order, filters=filters, fields=fields, where=where)
    now = uow.clock.now()
    row = await uow.fetch_plan(bound.plan, {**bound.variables, NOW_KEY: now})
    assert row is not None  # noqa: S101 - an aggregate always yields a row
    return bound.plan.finish(row[0], now)


def is_empty(body: bytes) -> bool:
    """Tell whether a page that `read_list` returned has no rows."""
    return _EMPTY.match(body) is not None


_EMPTY: Final = re.compile(rb'\s*{\s*"data"\s*:\s*\[\s*\]')
