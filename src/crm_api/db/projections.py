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
    # loyalty/repository/projections.py
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
from typing import Annotated, Any

from pydantic import BaseModel, create_model
from sqlalchemy import Table

from crm_api.db.fields import (
    NOW,
    TENANT,
    Arg,
    Build,
    BuildWithArgs,
    Entry,
    Field,
    Filter,
    FilterBuild,
    FilterValue,
    JoinOn,
    Key,
    PythonField,
    Ranking,
    Relation,
    Wanted,
    asc,
    at_least,
    below,
    best_fit,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    items,
    many,
    money,
    one,
    one_of,
    python,
    ref,
    sql,
    struct,
    when,
)

MoreOrders = Callable[[str], tuple[Key, ...] | None]
"""From an order's name to its keys, the unique one last; the same keys every time, because cursors are cached by them.
The name becomes part of the statement: only what it checks may pass."""


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
        more_orders: MoreOrders | None = None,
        successor: tuple[Table, str] | None = None,
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
            more_orders: makes orders that only a request can name, such as one by a tenant's own attribute; None for
                names it does not know. REST takes them as ``order``.
            successor: table (keyed by the same ids) and column that says which row took a row's place, so that the old
                id is an alias of the new one wherever a caller names it.

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
        self.more_orders = more_orders
        self.successor = successor
        self.model_fields: dict[str, Any] = {}
        if name in _REGISTRY:
            raise ValueError(f"projection {name!r} is declared twice")
        _REGISTRY[name] = self
        _changed()

    @property
    def default_order(self) -> str:
        """Name of the order used when the client names none."""
        return next(iter(self.orders))

    def order(self, name: str) -> tuple[Key, ...] | None:
        """Return a named order, declared or made for this request; None when there is no such order."""
        known = self.orders.get(name)
        if known is not None or self.more_orders is None:
            return known
        return self.more_orders(name)

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


def needed(entry: Entry | None) -> str | None:
    """Return the scope a field takes: its own, or that of the resource it relates to."""
    if isinstance(entry, Relation):
        target = _REGISTRY.get(entry.target)
        return None if target is None else target.scope
    return None if entry is None else entry.scope


def _compose(of: Projection) -> type[BaseModel]:
    added = _added(of)
    if not added:
        return of.model
    composed: type[BaseModel] = create_model(
        of.model.__name__, __base__=of.model, __module__=of.model.__module__, __doc__=of.model.__doc__, **added
    )
    return composed


def _added(of: Projection) -> dict[str, Any]:
    """Return the fields to add to the model: those of higher domains, and any that not every caller gets, optional."""
    own = {name: (known.annotation, known) for name, known in of.model.model_fields.items()}
    found: dict[str, Any] = {}
    for name, (annotation, known) in {**own, **of.model_fields}.items():
        if needed(of.fields.get(name)) not in {None, of.scope}:
            found[name] = (Annotated[annotation, known], None)
        elif name in of.model_fields:
            found[name] = (annotation, known)
    return found


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


__all__ = [
    "NOW",
    "TENANT",
    "Arg",
    "Build",
    "BuildWithArgs",
    "Entry",
    "Field",
    "Filter",
    "FilterBuild",
    "FilterValue",
    "JoinOn",
    "Key",
    "Projection",
    "PythonField",
    "Ranking",
    "Relation",
    "Wanted",
    "asc",
    "at_least",
    "below",
    "best_fit",
    "check_projections",
    "column",
    "columns",
    "desc",
    "eq",
    "eq_ref",
    "extend",
    "forget",
    "items",
    "many",
    "money",
    "needed",
    "on_change",
    "one",
    "one_of",
    "projection",
    "projections",
    "python",
    "ref",
    "sql",
    "struct",
    "when",
    "wire_model",
]
