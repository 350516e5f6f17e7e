"""Who looks after customers: for domains that hand them over."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from crm_api.customers.repository import Handover, OwnerRepository
from crm_api.db.uow import UnitOfWork

WRITE = "customers:write"
Cause = Literal["handover", "rule", "rebalancing", "rebalancing_undone"]


class CustomerOwnerService:
    """Handing customers over."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = OwnerRepository(unit)

    async def hand_over(
        self, rows: Sequence[Handover], cause: Cause, *, by_id: UUID | None = None, note: str | None = None
    ) -> set[UUID]:
        """Give customers to other owners, each with its line in the history; the whole in this unit's transaction.

        Args:
            rows: customer, who has them, who gets them; each customer once.
            cause: for the history.
            by_id: the rule or rebalancing that does it.
            note: the handover note.

        Returns:
            Customers who changed hands: not those who are gone, or whose owner is another by now.

        """
        if not rows:
            return set()
        told = {
            "cause": cause,
            "by_id": None if by_id is None else str(by_id),
            "note": note,
            "at": self.unit.now().isoformat(),
        }
        done = await self.repository.hand_over(rows, told)
        for customer_id, giver, taker in rows:
            if customer_id in done:
                before, after = ({"owner_id": None if one is None else str(one)} for one in (giver, taker))
                self.unit.audit("customer.updated", "Customer", customer_id, before=before, after=after)
                self.unit.emit("customer.updated", customer_id, {})
        return done


__all__ = ["Cause", "CustomerOwnerService", "Handover"]
