"""Writing events of cases: what every change of a case does, whoever makes it."""

from typing import Any
from uuid import UUID

from crm_api.complaints import hooks, rules
from crm_api.complaints.clock_models import AssignCause
from crm_api.complaints.clocks import CaseClocks
from crm_api.complaints.models import Case
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.rules import Event
from crm_api.db.uow import UnitOfWork


class CaseWriter:
    """Writes an event of a case that is held: log, row, audit, message, and who follows."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ComplaintRepository(unit)

    async def record(self, complaint_id: UUID, case: Case, event: Event, message: str) -> Case:
        """Write an event of a case and tell of it as ``message``; returns the case after it."""
        after = rules.apply(case, event)
        await self.repository.append(complaint_id, event)
        await self.repository.become(complaint_id, case, after)
        self.unit.audit(
            f"complaint.{event.action}",
            "Complaint",
            complaint_id,
            before=case.model_dump(mode="json", include={"state", *event.data}),
            after={**after.model_dump(mode="json", include={"state", *event.data}), "note": event.note},
        )
        self.unit.emit(message, complaint_id, told(after, event))
        await changed(self.unit, complaint_id, event.action)
        return after


async def changed(unit: UnitOfWork, complaint_id: UUID, what: str) -> None:
    """Reckon the clocks of a case that is held anew, and of the one it was merged into, and tell who follows it."""
    await CaseClocks(unit).refresh(complaint_id)
    await hooks.follow(unit, complaint_id, what)


_TOLD = {
    "customer_id",
    "order_id",
    "kind",
    "severity",
    "state",
    "assignee_id",
    "merged_into_id",
    "reopens_id",
}


def told(case: Case, event: Event) -> dict[str, Any]:
    """Return what messages say of a case and its last event."""
    return {
        **case.model_dump(mode="json", include=_TOLD),
        "action": event.action,
        "from": event.source,
        "number": event.number,
    }


def tell_handler(
    unit: UnitOfWork,
    complaint_id: UUID,
    before: Case | None,
    after: Case,
    cause: AssignCause,
    rule_id: UUID | None = None,
) -> None:
    """Tell that a case has changed hands, if it has; ``before`` is None for a new one."""
    previous = None if before is None else before.assignee_id
    if after.assignee_id == previous:
        return
    about = after.model_dump(mode="json", include={"customer_id", "kind", "severity", "state", "assignee_id"})
    told = {
        **about,
        "previous_assignee_id": None if previous is None else str(previous),
        "cause": cause,
        "rule_id": None if rule_id is None else str(rule_id),
    }
    unit.emit("complaint.assigned", complaint_id, told)
