"""Who handles a case: by hand, or by the rules of assignment with what staff carry now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from crm_api.complaints import rules
from crm_api.complaints.cases import CaseWriter, tell_handler
from crm_api.complaints.clock_log import paths_of
from crm_api.complaints.clock_models import AssignCause, ComplaintAssign, ComplaintAssignment
from crm_api.complaints.models import Case, ComplaintUpdate
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.repository.assigning import CaseRepository
from crm_api.core.errors import Conflict
from crm_api.db.uow import UnitOfWork
from crm_api.staff.service import AssignmentService, Desk, Measure, Place, register_measure

READ = "complaints:read"
WRITE = "complaints:write"
BATCH: Final = 100
"""Cases that wait which one transaction looks at."""


class CaseAssignment:
    """Handing cases out.

    Locks, in this order: cases by id, then what `staff.service.AssignmentService` locks. So who holds a case may ask
    the rules, and who has asked them touches no further case.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.cases = CaseRepository(unit)
        self.complaints = ComplaintRepository(unit)
        self.staff = AssignmentService(unit)

    async def begin(self, complaint_id: UUID) -> None:
        """Ask the rules for a case that was just opened and names nobody; without rules it stays nobody's."""
        await self._ask(complaint_id, "opened")

    async def go_on(self, complaint_id: UUID, case: Case) -> None:
        """Ask the rules for a case that is open again and is nobody's, or of somebody who has left since.

        Without rules it stays as it is.
        """
        if case.assignee_id is None:
            await self._ask(complaint_id, "reopened")
        elif not await self.staff.is_active(case.assignee_id):
            await self._take_over(complaint_id, "reopened", anyway=False)

    async def assign(
        self, complaint_id: UUID, data: ComplaintAssign, *, expected_version: int | None = None
    ) -> ComplaintAssignment:
        """Give a case to somebody, or ask the rules now; if these find nobody, it waits in the queue.

        Who has the case, or had the customer's last one, keeps it where the rule is sticky. Capacities bind rules, not
        people.

        Raises:
            Conflict: the case is over.
            Invalid: there is no such staff member, or they are inactive.

        """
        self.unit.actor.require(WRITE)
        case = await self.complaints.lock(complaint_id, expected_version=expected_version)
        if case.state not in rules.OPEN:
            raise Conflict(
                f"A case that is '{case.state}' is handled no more: reopen it, or take it up again, first",
                zh=f"“{case.state}” 状态的投诉不再处理：请先重新打开，或新建后续投诉",
                code="not_open",
            )
        if data.staff_id is None:
            return await self._ask(complaint_id, "asked", data.note)
        await self.staff.require_active(data.staff_id, "/staff_id")
        await self._give(complaint_id, case, data.staff_id, "asked", data.note)
        return ComplaintAssignment(staff_id=data.staff_id, rule_id=None, reason=None)

    async def pass_on(self, staff_ids: Sequence[UUID]) -> int:
        """Let others take over what these staff members cannot go on with; returns how many cases changed hands.

        If nobody can, who is only away keeps the case: they come back. What somebody has who left for good waits.
        """
        passed = 0
        off = await self.cases.off(staff_ids, self.unit.now())
        for complaint_id in await self.cases.of(off):
            passed += await self._take_over(complaint_id, "off", anyway=False)
        return passed

    async def reassign(self, complaint_id: UUID, staff_id: UUID | None) -> bool:
        """Give a case to this staff member, or to somebody else by the rules; returns whether it changed hands.

        For steps of escalation: the case is held by the caller.
        """
        case = await self.complaints.lock(complaint_id)
        if case.state not in rules.OPEN or (staff_id is not None and staff_id == case.assignee_id):
            return False
        if staff_id is not None:
            if not await self.staff.is_active(staff_id):
                return False
            await self._give(complaint_id, case, staff_id, "escalated")
            return True
        if case.assignee_id is None:
            return (await self._ask(complaint_id, "escalated")).staff_id is not None
        return await self._take_over(complaint_id, "escalated", anyway=True)

    async def serve_queue(self, after: Place | None = None) -> Place | None:
        """Look again at a batch of cases that wait, longest first; returns where to go on, None at the queue's end.

        Args:
            after: where the last batch ended.

        """
        waiting = await self.cases.waiting(BATCH, after)
        held = await self.cases.hold_unhandled([row["complaint_id"] for row in waiting])
        desk = await self.staff.desk(self.cases.loads) if held else None
        if desk is not None:
            for row in waiting:
                if row["complaint_id"] in held:
                    await self._ask(row["complaint_id"], "queue", desk=desk)
            await self.staff.keep(desk)
        if len(waiting) == BATCH:
            return waiting[-1]["since"], waiting[-1]["id"]
        await self.cases.forget_others()
        return None

    # -- asking the rules ----------------------------------------------------------------------------------------------

    async def _ask(
        self, complaint_id: UUID, cause: AssignCause, note: str | None = None, *, desk: Desk | None = None
    ) -> ComplaintAssignment:
        """Ask the rules, or a desk that was opened for several cases."""
        row = await self.cases.facts(complaint_id)
        facts, required = _facts(dict(row)), frozenset(row["required"])
        previous = row["assignee_id"] or row["previous"]
        if desk is None:
            choice = await self.staff.choose(facts, self.cases.loads, previous=previous, required=required)
        else:
            choice = desk.ask(facts, previous, required)
        if choice.staff_id is not None:
            case = await self.complaints.lock(complaint_id)
            await self._give(complaint_id, case, choice.staff_id, cause, note, rule_id=choice.rule_id)
        elif choice.rule_id is not None and choice.reason is not None and row["assignee_id"] is None:
            await self._queue(complaint_id, choice.rule_id, choice.reason)
        return ComplaintAssignment(staff_id=choice.staff_id, rule_id=choice.rule_id, reason=choice.reason)

    async def _take_over(self, complaint_id: UUID, cause: AssignCause, *, anyway: bool) -> bool:
        row = await self.cases.facts(complaint_id)
        handler_id = row["assignee_id"]
        choice = await self.staff.take_over(
            _facts(dict(row)), self.cases.loads, handler_id, required=frozenset(row["required"]), anyway=anyway
        )
        if choice is None:
            return False
        if choice.staff_id is None and await self.staff.is_active(handler_id):
            return False
        case = await self.complaints.lock(complaint_id)
        await self._give(complaint_id, case, choice.staff_id, cause, rule_id=choice.rule_id)
        if choice.staff_id is None and choice.rule_id is not None and choice.reason is not None:
            await self._queue(complaint_id, choice.rule_id, choice.reason)
        return True

    async def _queue(self, complaint_id: UUID, rule_id: UUID, reason: str) -> None:
        if await self.cases.wait(complaint_id, rule_id, reason, self.unit.now()):
            self.unit.emit("complaint.queued", complaint_id, {"rule_id": str(rule_id), "reason": reason})

    async def _give(
        self,
        complaint_id: UUID,
        case: Case,
        staff_id: UUID | None,
        cause: AssignCause,
        note: str | None = None,
        *,
        rule_id: UUID | None = None,
    ) -> None:
        await self.cases.leave(complaint_id)
        event = rules.updated(case, ComplaintUpdate(assignee_id=staff_id), self.unit.now())
        if event is None:
            return
        after = await CaseWriter(self.unit).record(complaint_id, case, replace(event, note=note), "complaint.updated")
        tell_handler(self.unit, complaint_id, case, after, cause, rule_id)


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the conditions of rules ask for; a category is also all above it."""
    store = row["store_id"]
    return {
        **{name: row[name] for name in ("kind", "severity", "channel")},
        "category": paths_of(row["category"]),
        "store_id": None if store is None else str(store),
    }


async def _handling(
    unit: UnitOfWork, staff_ids: Sequence[UUID], since: datetime, until: datetime
) -> dict[UUID, dict[str, Any]]:
    rows = await CaseRepository(unit).handling(staff_ids, since, until)
    return {row["assignee_id"]: {name: value for name, value in row.items() if name != "assignee_id"} for row in rows}


register_measure(Measure("complaints", READ, _handling))
