"""What can be done with complaints."""

from typing import Any
from uuid import UUID

from crm_api.complaints import rules
from crm_api.complaints.clocks import CaseClocks
from crm_api.complaints.models import Case, ComplaintCreate, ComplaintTransition, ComplaintUpdate
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.rules import Event
from crm_api.core.errors import Duplicate, FieldError
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.interactions.service import InteractionService

READ = "complaints:read"
WRITE = "complaints:write"


class ComplaintService:
    """Complaints and their way from received to closed; every change is one event."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ComplaintRepository(unit)

    async def open(self, data: ComplaintCreate) -> UUID:
        """Open a case; returns its id.

        Raises:
            NotFound: there is no such customer.
            Duplicate: a case with this ``source_ref`` exists; ``complaint_id`` in the answer is its id.
            Invalid: order or assignee do not exist, or the order is another customer's.

        """
        self.unit.actor.require(WRITE)
        await CustomerService(self.unit).require_living(data.customer_id)
        await self.repository.check_order(data.order_id, data.customer_id)
        event = rules.opened(data, self.unit.now())
        case, complaint_id = rules.apply(None, event), new_id()
        known = await self.repository.add(complaint_id, case)
        if known is not None:
            raise _already(known)
        await self.repository.append(complaint_id, event)
        self.unit.audit("complaint.open", "Complaint", complaint_id, after=data.model_dump(mode="json"))
        self.unit.emit("complaint.opened", complaint_id, _told(case, event))
        await CaseClocks(self.unit).refresh(complaint_id)
        return complaint_id

    async def update(self, complaint_id: UUID, data: ComplaintUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields that were given; the state changes by transitions only."""
        self.unit.actor.require(WRITE)
        case = await self.repository.lock(complaint_id, expected_version=expected_version)
        if "order_id" in data.model_fields_set:
            await self.repository.check_order(data.order_id, case.customer_id)
        event = rules.updated(case, data, self.unit.now())
        if event is not None:
            await self._record(complaint_id, case, event)
            self.unit.emit("complaint.updated", complaint_id, _told(rules.apply(case, event), event))

    async def transition(
        self, complaint_id: UUID, goal: ComplaintTransition, *, expected_version: int | None = None
    ) -> None:
        """Take a step of the state machine.

        Raises:
            Conflict: ``transition_not_allowed`` (the answer names what is), ``transition_guard`` or
                ``reopen_window_over``.
            PreconditionFailed: somebody was faster.

        """
        self.unit.actor.require(WRITE)
        case, parent = await self.repository.lock_two(complaint_id, goal.merged_into, expected_version=expected_version)
        event = rules.decided(case, goal, self.unit.now(), parent)
        await self._record(complaint_id, case, event)
        self.unit.emit(f"complaint.{event.target}", complaint_id, _told(rules.apply(case, event), event))

    async def link_interaction(self, complaint_id: UUID, interaction_id: UUID) -> None:
        """Say that an interaction was about the case; saying it again changes nothing."""
        self.unit.actor.require(WRITE)
        await self.repository.get(complaint_id)
        await InteractionService(self.unit).require(interaction_id)
        if await self.repository.link(complaint_id, interaction_id):
            self._audit_link("complaint.link_interaction", complaint_id, interaction_id)

    async def unlink_interaction(self, complaint_id: UUID, interaction_id: UUID) -> None:
        """Take that back; taking back what was not said changes nothing."""
        self.unit.actor.require(WRITE)
        await self.repository.get(complaint_id)
        if await self.repository.unlink(complaint_id, interaction_id):
            self._audit_link("complaint.unlink_interaction", complaint_id, interaction_id)

    async def replayed(self, complaint_id: UUID) -> Case:
        """Return the case as its events add up to: what its row must be."""
        self.unit.actor.require(READ)
        row = await self.repository.get(complaint_id)
        case = rules.replay(await self.repository.events(complaint_id))
        # Whose case it is follows the customer through merges, which keep a journal of their own.
        return case.model_copy(update={"customer_id": row["customer_id"]})

    async def _record(self, complaint_id: UUID, case: Case, event: Event) -> None:
        await self.repository.append(complaint_id, event)
        await self.repository.become(complaint_id, case, rules.apply(case, event))
        before = case.model_dump(mode="json", include={"state", *event.data})
        after = {"state": event.target, **dict(event.data), "note": event.note}
        self.unit.audit(f"complaint.{event.action}", "Complaint", complaint_id, before=before, after=after)
        await CaseClocks(self.unit).refresh(complaint_id)

    def _audit_link(self, operation: str, complaint_id: UUID, interaction_id: UUID) -> None:
        self.unit.audit(operation, "Complaint", complaint_id, after={"interaction_id": str(interaction_id)})


def _told(case: Case, event: Event) -> dict[str, Any]:
    told = case.model_dump(mode="json", include={"customer_id", "order_id", "kind", "severity", "state", "assignee_id"})
    return {**told, "action": event.action, "from": event.source, "number": event.number}


def _already(complaint_id: UUID) -> Duplicate:
    message, zh = "There is a case with this source_ref", "已存在相同来源编号的投诉"
    return Duplicate(
        message,
        zh=zh,
        errors=[FieldError("/source_ref", "duplicate", message, zh)],
        extra={"complaint_id": str(complaint_id)},
    )
