"""What a domain adds to the GraphQL schema: a ``GRAPHQL`` constant in its ``graphql.py``.

Object types, their fields, arguments, enums and descriptions are derived from the projections and their Pydantic
models, so a domain names only its root fields and its mutations. Example — ``customers/graphql.py``::

    from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


    async def _create(call: Call) -> dict[str, Any]:
        return {"customer": await CustomerService(call.unit).create(call.data)}  # the id; the planner reads it back


    async def _update(call: Call) -> dict[str, Any]:
        await CustomerService(call.unit).update(call.id, call.data, expected_version=call.version)
        return {"customer": call.id}


    async def _tag(call: Call) -> dict[str, Any]:
        await CustomerService(call.unit).add_tag(call.id, call.extra["tag"])
        return {"customer": call.id}


    GRAPHQL = GraphQLParts(
        queries={
            "customer": get("Customer", description="A customer by id."),
            "customers": connection("Customer", description="All customers."),
            "loyalty_account": get(
                "LoyaltyAccount", by={"customer_id": eq_ref("customer_id", "Customer")}, description="…"
            ),
        },
        mutations={
            "customer_create": Mutation(
                _create, input=CustomerCreate, payload={"customer": "Customer"}, description="…"
            ),
            "customer_update": Mutation(
                _update,
                target="Customer",
                input=CustomerUpdate,
                versioned=True,
                payload={"customer": "Customer"},
                description="…",
            ),
            "customer_add_tag": Mutation(
                _tag, target="Customer", extra={"tag": Tag}, payload={"customer": "Customer"}, description="…"
            ),
        },
    )

gives ``customerCreate(input: CustomerCreateInput!): CustomerCreatePayload!`` where the input has the fields of
``CustomerCreate`` (``target`` adds ``id: ID!``, ``versioned`` adds ``expectedVersion: Int``, ``extra`` adds its own),
and the payload has ``customer: Customer`` and ``userErrors: [UserError!]!``. Errors that are the caller's (invalid,
conflict, not found, outdated version) become user errors; everything else a GraphQL error.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import UUID

from pydantic import BaseModel

from crm_api.core.messages import Message
from crm_api.db.projections import Filter, JoinOn, Key, Relation, eq_ref
from crm_api.db.uow import UnitOfWork


def _at_root(_parent: Any, _child: Any) -> Any:  # pragma: no cover - the planner joins nothing at the root
    raise AssertionError


def get(target: str, *, by: Mapping[str, Filter] | None = None, description: str) -> Relation:
    """Declare a root field for one resource.

    Args:
        target: name of the projection.
        by: the arguments, all required; the global id by default. Empty for what a tenant has one of.
        description: for the schema.

    """
    filters = {"id": eq_ref("id", target)} if by is None else by
    return Relation(target, _ROOT, "one", filters=filters, description=description)


def connection(
    target: str,
    *,
    orders: Mapping[str, tuple[Key, ...]] | None = None,
    filters: Mapping[str, Filter] | None = None,
    maximum: int = 100,
    default: int = 20,
    description: str,
) -> Relation:
    """Declare a root field for a cursor-paged list; orders and filters are the projection's own by default."""
    return Relation(target, _ROOT, "many", orders or {}, filters, maximum, default, description)


_ROOT: JoinOn = _at_root


NOTHING: Final = UUID(int=0)
"""The id of what is about no one thing."""


@dataclass(slots=True)
class Call:
    """One call of a mutation or computed field.

    Attributes:
        unit: the unit of work: a write unit for mutations, a read unit for computed fields.
        id: the target's id, when the field has a ``target``.
        data: the validated input model, when it has an ``input``.
        version: the version the caller expects, or None.
        extra: values of the ``extra`` arguments that were given.

    """

    unit: UnitOfWork
    id: UUID = NOTHING
    data: Any = None
    version: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


Run = Callable[[Call], Awaitable[Mapping[str, Any]]]
"""Does the work; returns payload name → id (for projections), list of ids, or plain value."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mutation: a thin call of a service.

    Attributes:
        run: calls the service.
        payload: name → projection name, ``[projection name]`` for a list, or a Python type; one that `wording`
            has no text for brings its own: ``Annotated[int, Field(description="…")]``.
        description: for the schema.
        input: Pydantic model whose fields the input object has.
        target: projection whose global id the input carries as ``id``.
        versioned: adds ``expectedVersion``.
        extra: further input fields: name → Python type (``X | None`` makes it optional), described likewise.

    """

    run: Run
    payload: Mapping[str, Any]
    description: str
    input: type[BaseModel] | None = None
    target: str | None = None
    versioned: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Computed:
    """A query field that a service computes (a preview, say); it is on the fallback list, so keep these few.

    Attributes:
        run: calls the service with a read unit.
        payload: as for `Mutation`; the fields of the result object.
        description: for the schema.
        input: Pydantic model whose fields are the ``input`` argument's.
        target: projection whose global id is the argument ``id``.
        extra: further arguments of the input.

    """

    run: Run
    payload: Mapping[str, Any]
    description: str
    input: type[BaseModel] | None = None
    target: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Follower(Protocol):
    """Follows one thing for one client of a subscription; made anew for each.

    Attributes:
        behind: whether there was more to tell than was returned: then ``next`` is asked again at once, without
            messages.

    """

    behind: bool

    async def first(self, call: Call) -> Sequence[Any]:
        """Return what to tell at once.

        Raises:
            NotFound: there is no such thing, or the caller may not know of it.

        """
        ...

    async def next(self, call: Call, messages: Sequence[Message]) -> Sequence[Any]:
        """Return what to tell now that this happened, read anew with the caller's own rights."""
        ...

    async def ended(self, call: Call) -> bool:
        """Tell whether nothing more can come."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """A stream of what becomes of one thing.

    A message of the outbox only says that something happened. What is told is read then, inside a read unit of the
    caller: tenant, scopes and masks are those of any read, and nothing of the message itself is passed on.

    Attributes:
        follower: makes what follows the thing for one client.
        concerns: whether a message is about the thing with this id.
        target: projection of the thing whose global id the argument takes; None for what is about no one thing, such as
            a queue: then there is no such argument, and ``concerns`` is given the nil id.
        argument: name of that argument.
        returns: name of a projection (the follower tells ids, a plan reads them) or a Pydantic model (it tells values).
        description: for the schema.
        extra: further arguments: name → Python type, each ``X | None`` and described; `Call.extra` has those given.
        refs: those of them that take global ids → the projection.
        merges: the follower keeps its own place in what it tells, so that one message that waits stands for all that
            come after it: a segment that thousands enter at once must not be too much for anybody.

    """

    follower: Callable[[], Follower]
    concerns: Callable[[Message, UUID], bool]
    returns: str | type[BaseModel]
    description: str
    target: str | None = None
    argument: str = "id"
    extra: Mapping[str, Any] = field(default_factory=dict)
    refs: Mapping[str, str] = field(default_factory=dict)
    merges: bool = False


@dataclass(frozen=True, slots=True)
class GraphQLParts:
    """Everything one domain adds; names are snake_case here and camelCase in the schema."""

    queries: Mapping[str, Relation | Computed] = field(default_factory=dict)
    mutations: Mapping[str, Mutation] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)
