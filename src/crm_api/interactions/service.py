"""What can be done with interactions, and the timeline they are part of."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from crm_api.core.errors import NotFound
from crm_api.core.ids import new_id
from crm_api.core.paging import PageRequest
from crm_api.customers.service import CustomerService
from crm_api.db.timeline import Feed
from crm_api.db.uow import UnitOfWork
from crm_api.interactions.models import InteractionCreate, InteractionUpdate
from crm_api.interactions.repository import InteractionRepository

READ = "interactions:read"
WRITE = "interactions:write"


class InteractionService:
    """Calls, visits and messages between the shop and its customers."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = InteractionRepository(unit)

    async def log(self, data: InteractionCreate) -> UUID:
        """Note an interaction; returns its id.

        Raises:
            NotFound: there is no such customer.
            Invalid: staff, store or order do not exist, or the order is another customer's.

        """
        self.unit.actor.require(WRITE)
        await CustomerService(self.unit).require_living(data.customer_id)
        await self.repository.check_order(data.order_id, data.customer_id)
        interaction_id = new_id()
        row = {"id": interaction_id, **data.model_dump(), "occurred_at": data.occurred_at or self.unit.now()}
        await self.repository.insert(row)
        self.unit.audit("interaction.log", "Interaction", interaction_id, after=data.model_dump(mode="json"))
        self.unit.emit("interaction.logged", interaction_id, _told(row))
        return interaction_id

    async def update(
        self, interaction_id: UUID, data: InteractionUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the fields that were given."""
        self.unit.actor.require(WRITE)
        before = await self.repository.get(interaction_id, lock=True, expected_version=expected_version)
        changes: dict[str, Any] = data.model_dump(exclude_unset=True)
        await self.repository.check_order(changes.get("order_id"), before["customer_id"])
        after = await self.repository.change(interaction_id, changes)
        self.unit.audit(
            "interaction.update",
            "Interaction",
            interaction_id,
            before={name: _plain(before[name]) for name in changes},
            after=data.model_dump(mode="json", exclude_unset=True),
        )
        self.unit.emit("interaction.updated", interaction_id, _told(after))

    async def require(self, interaction_id: UUID) -> None:
        """Raise NotFound unless the interaction exists: for domains that attach something to it."""
        await self.repository.get(interaction_id)

    async def timeline(self, customer_id: UUID, page: PageRequest, *, only: Sequence[str] | None = None) -> Feed:
        """Return one page of all that happened to a customer, as far as the caller may see it.

        Raises:
            NotFound: there is no such customer.
            Invalid: unknown kind, or a cursor of another list.

        """
        feed = await self.repository.timeline(customer_id, page, only=only)
        if feed is None:
            raise NotFound
        return feed


def _plain(value: Any) -> Any:
    # The driver's UUIDs are a subclass that the JSON writer does not know.
    return str(value) if isinstance(value, UUID) else value


def _told(row: Any) -> dict[str, Any]:
    order_id = row["order_id"]
    return {
        "customer_id": str(row["customer_id"]),
        "channel": row["channel"],
        "direction": row["direction"],
        "order_id": None if order_id is None else str(order_id),
        "occurred_at": row["occurred_at"].isoformat(),
    }
