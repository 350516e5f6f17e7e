"""What a customer is reached by: adding and removing it, proving it, and what a merge makes of the proof."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from crm_api.core.errors import Duplicate, FieldError, NotFound
from crm_api.core.ids import new_id
from crm_api.customers import rules
from crm_api.customers.contact_rules import is_masked
from crm_api.customers.errors import AlreadyVerified, ContactPointTaken, NotVerifiable
from crm_api.customers.matching import Guard, Point
from crm_api.customers.models import ContactKind, ContactPointInput, PointChange
from crm_api.customers.repository import ContactClaimRepository, CustomerRepository, SearchKeyRepository
from crm_api.customers.telling import touch
from crm_api.db.ownership import Merged
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

WRITE = "customers:write"

_CONTACT_TAKEN = {
    "uq_contact_points_customer": Duplicate(
        errors=[
            FieldError("/value", "duplicate", "The customer has this contact point already", "该客户已有此联系方式")
        ]
    )
}


class ContactPointService:
    """Contact points of customers; proving them is for the domain that sends codes."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.customers = CustomerRepository(unit)
        self.claims = ContactClaimRepository(unit)

    async def add(self, customer_id: UUID, data: ContactPointInput, *, allow_duplicate: bool = False) -> None:
        """Add a phone, e-mail address or account.

        Raises:
            Duplicate: the customer has it already.
            DuplicateCustomer: another living customer has it; not with ``allow_duplicate``.

        """
        self.unit.actor.require(WRITE)
        value = rules.normal_contact(data, "")
        # Values are locked before the customer, as bulk writes do: two writers cannot wait for each other.
        guard = Guard(self.unit, allow_duplicate=allow_duplicate, own=customer_id)
        await guard.check([Point("/value", data.kind, value)])
        await self.customers.get(customer_id, lock=True)
        row = {"id": new_id(), "kind": data.kind, "value": value, "is_primary": data.is_primary}
        with unique_as(_CONTACT_TAKEN):
            await self.customers.add_contact(customer_id, row)
        await touch(self.unit, "customer.contact_point_added", customer_id, data.model_dump(mode="json"))

    async def remove(self, customer_id: UUID, contact_id: UUID) -> None:
        """Remove a contact point."""
        self.unit.actor.require(WRITE)
        await self.customers.get(customer_id, lock=True)
        removed = await self.customers.remove_contact(customer_id, contact_id)
        if removed is None:
            raise NotFound
        await touch(self.unit, "customer.contact_point_removed", customer_id, dict(removed))

    async def to_verify(self, customer_id: UUID, contact_id: UUID) -> tuple[ContactKind, str]:
        """Return kind and value of a living customer's contact point that is not proved yet; holds the customer.

        Raises:
            NotFound: there is no such customer or contact point.
            NotVerifiable: it hides most of itself, so that many people share it.
            AlreadyVerified: the customer has proved it.
            ContactPointTaken: another customer has.

        """
        self.unit.actor.require(WRITE)
        await self.customers.get(customer_id, lock=True)
        point = await self.claims.of(customer_id, contact_id)
        if point is None:
            raise NotFound
        if is_masked(point["kind"], point["value"]):
            raise NotVerifiable
        if point["claimed"]:
            raise AlreadyVerified
        owner = await self.claims.owner(point["kind"], point["value"])
        if owner is not None:
            raise ContactPointTaken(owner)
        return point["kind"], point["value"]

    async def verify(self, customer_id: UUID, contact_id: UUID) -> None:
        """Note that a contact point was proved; ``to_verify`` came before it in the same unit.

        Raises:
            ContactPointTaken: another customer was faster.

        """
        kind, value = await self.to_verify(customer_id, contact_id)
        try:
            async with self.unit.savepoint():
                with unique_as({"uq_contact_points_claimed": ContactPointTaken(None)}):
                    await self.claims.claim(contact_id, self.unit.now())
        except ContactPointTaken:
            raise ContactPointTaken(await self.claims.owner(kind, value)) from None
        await self.customers.change(customer_id, {})
        told = {"contact_point_id": str(contact_id), "kind": kind}
        self.unit.audit("customer.contact_point_verified", "Customer", customer_id, after=told)
        self.unit.emit("customer.contact_point_verified", customer_id, told)

    async def mend(self, customer_id: UUID, changes: Sequence[PointChange]) -> None:
        """Change and remove contact points of a customer as a clean-up decided; one deleted meanwhile is left alone.

        A verification stays with its contact point, for the address is the same, only written otherwise; unless
        another customer has proved that way of writing it.
        """
        self.unit.actor.require(WRITE)
        if await self.customers.find(customer_id, lock=True) is None:
            return
        before = await self.claims.mend(customer_id, changes)
        await self.customers.change(customer_id, {})
        await SearchKeyRepository(self.unit).refresh([customer_id])
        after = [
            {"id": str(each.id), "kind": each.kind, "value": each.value, "is_primary": each.is_primary}
            for each in changes
            if each.kind is not None
        ]
        self.unit.audit(
            "customer.contact_points_cleaned",
            "Customer",
            customer_id,
            before={"contact_points": before},
            after={"contact_points": after},
        )
        self.unit.emit("customer.updated", customer_id, {})

    async def pass_on(self, merged: Merged) -> dict[str, Any]:
        """Give the winner of a merge the losers' verifications; returns what ``give_back`` needs."""
        pairs = await self.claims.pass_on(merged.winner_id, merged.loser_ids)
        return {"passed_on": [[str(loser), str(winner)] for loser, winner in pairs]} if pairs else {}

    async def give_back(self, merged: Merged) -> None:
        """Undo ``pass_on`` when the merge is undone."""
        pairs = [(UUID(loser), UUID(winner)) for loser, winner in merged.notes.get("passed_on", ())]
        if pairs:
            await self.claims.give_back(pairs)
