"""The clocks of a case, stored: refreshed by every write to it, and by a sweep when time alone has moved them.

What holds is derived from the log (`clock_log`); what is stored are the runs as of the last change, so that lists can
filter and sort by them, and what was announced, so that it is announced once. Both are written in the transaction of
the write that caused them, under the lock of the case; `unique(complaint_clock_id, what, step)` decides who tells.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.calendars.service import hours_of
from crm_api.complaints import clock_log
from crm_api.complaints.clock_log import Alert, Judged, Known, Policy, Step
from crm_api.complaints.clock_models import ClockMark, Mark
from crm_api.complaints.models import Case
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.repository.clock_alerts import AlertRepository
from crm_api.complaints.repository.clock_policies import PolicyRepository
from crm_api.complaints.repository.clocks import COLUMNS, ClockRepository, Found
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork

WRITE = "complaints:write"
WEBHOOK_JOB: Final = "complaints.webhook"
BATCH: Final = 25
"""Cases that one transaction of the sweep looks at: whoever writes to one of them waits for all of them."""
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What cases are held against: active policies, and the number of their last change."""

    policies: Sequence[Policy]
    epoch: int


class CaseClocks:
    """Clocks of cases.

    Locks: those of `ComplaintRepository.lock_kin`; then, for goods that came back, the case's orders by id. Whoever
    calls `refresh` holds the case and, where it may be a duplicate, all it was merged into.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.clocks = ClockRepository(unit)
        self.alerts = AlertRepository(unit)
        self.policies = PolicyRepository(unit)
        self._known: _Terms | None = None

    async def refresh(self, complaint_id: UUID) -> None:
        """Reckon a case's clocks anew and announce what has become due; also those of the case it is merged into.

        To be called after every write to a case, in its transaction.
        """
        case = await self._refresh(complaint_id)
        if case.state == "duplicate":
            await self._refresh(await self.clocks.hold_root(complaint_id))

    async def mark(self, complaint_id: UUID, data: ClockMark) -> None:
        """Note that goods came back, or that money was paid back: what the clock ``refund`` waits for.

        If the case's orders say that the money went back before, that is noted with the goods.

        Raises:
            NotFound: there is no such case.
            Invalid: it lies in the future.

        """
        self.unit.actor.require(WRITE)
        await ComplaintRepository(self.unit).lock_kin(complaint_id)
        at = data.at or self.unit.now()
        if at > self.unit.now():
            raise Invalid.field("/at", "in_the_future", "This is still to come", "该时间尚未到来")
        await self._mark(complaint_id, data.what, at)
        if data.what == "return_received":
            paid_back_at = await self.clocks.paid_back_at(complaint_id, at)
            if paid_back_at is not None:
                await self._mark(complaint_id, "refunded", paid_back_at)
        await self.refresh(complaint_id)

    async def _mark(self, complaint_id: UUID, what: Mark, at: datetime) -> None:
        await self.clocks.mark(complaint_id, what, at)
        told = {"what": what, "at": at.isoformat()}
        self.unit.audit("complaint.mark", "Complaint", complaint_id, after=told)
        self.unit.emit("complaint.marked", complaint_id, told)

    async def knows_refund(self, complaint_id: UUID, number: str) -> bool:
        """Tell whether an order of a case was refunded under this number since the case reached the shop."""
        return await self.clocks.knows_refund(complaint_id, number)

    async def refunded(self, order_id: UUID, at: datetime) -> None:
        """Stop the clocks of cases that waited for an order's refund."""
        for complaint_id in await self.clocks.refunds_awaited(order_id):
            await self.mark(complaint_id, ClockMark(what="refunded", at=at))

    async def sweep(self, limit: int = BATCH) -> int:
        """Look at cases whose time has come, then at those clocked by policies or calendars of before.

        Rivals pass each other's cases over. Returns how many were looked at: less than the limit when none are left.
        """
        found = await self.clocks.due(self.unit.now(), limit)
        if len(found) < limit:
            terms = await self._terms()
            found += [each for each in await self.clocks.outdated(terms.epoch, limit - len(found)) if each not in found]
        for complaint_id in found:
            await self._refresh(complaint_id)
        return len(found)

    # -- one case ------------------------------------------------------------------------------------------------------

    async def _refresh(self, complaint_id: UUID) -> Case:
        terms, now = await self._terms(), self.unit.now()
        found = await self.clocks.find_case(complaint_id)
        stored = await self.clocks.stored(complaint_id)
        if found.log.erased:
            # What moved the clocks is gone: they end here, and what they measured stays for statistics.
            await self._end(stored, now)
            judged, gone = list[Judged](), stored
        else:
            judged = clock_log.judge(found.case, found.log, terms.policies, now) if terms.policies else []
            judged, gone = await self._store(complaint_id, found.case, judged, stored, now)
        await self._note(complaint_id, found, judged, gone, terms.epoch)
        return found.case

    async def _store(
        self,
        complaint_id: UUID,
        case: Case,
        judged: Sequence[Judged],
        stored: Sequence[asyncpg.Record],
        now: datetime,
    ) -> tuple[list[Judged], list[asyncpg.Record]]:
        """Write runs that have changed and tell what they announce.

        Returns:
            The runs with what was announced of them before, and those stored that are reckoned no more.

        """
        rows = {row["id"]: row for row in stored}
        runs = [each.run for each in judged]
        matched = zip(clock_log.matched(runs, map(_known, stored)), clock_log.identities(runs), strict=True)
        made, news = list[tuple[UUID, Judged, asyncpg.Record | None]](), []
        over = set[UUID]()
        for each, (known, (*_, nth)) in zip(judged, matched, strict=True):
            row = None if known is None else rows.pop(known.id)
            held = replace(each, run=clock_log.kept(each.run, known))
            run_id = new_id() if known is None else known.id
            made.append((run_id, held, row))
            values = _values(complaint_id, held, nth, now)
            if row is not None and clock_log.is_final(each.run, known):
                values = {**_judgement(row), "cycle": each.run.cycle}
                over.add(run_id)
            elif row is None and each.run.stopped_at is not None:
                # Nobody can do anything about what was over before it was first reckoned: a new policy tells nothing.
                over.add(run_id)
            if row is None or any(row[name] != values[name] for name in _TELLING):
                news.append({"id": run_id, **values})
        await self.clocks.write(news)
        for run_id, held, row in made:
            told = {tuple(each) for each in ([] if row is None else row["told"])}
            for alert in clock_log.alerts(held):
                if run_id not in over and alert.at <= now and alert.key not in told:
                    await self._tell(_Case(complaint_id, case), run_id, held, alert)
        gone = list(rows.values())
        await self._forget(gone, {held.run.clock for _, held, _ in made}, now)
        return [held for _, held, _ in made], gone

    async def _tell(self, about: "_Case", run_id: UUID, judged: Judged, alert: Alert) -> None:
        """Announce something, unless somebody has; a step that does something is done by the worker."""
        action = None if alert.step is None else alert.step.action
        outcome = "told" if action in {None, "notify"} else "pending"
        alert_id = await self.alerts.announce(about.id, run_id, judged.policy.id, alert, self.unit.now(), outcome)
        if alert_id is None:
            return
        told = {**_about(about.case), **_of_run(judged), **_of_alert(alert), "alert_id": str(alert_id)}
        if alert.step is not None and action == "notify":
            told["to"] = [str(each) for each in await self._addressees(about.case, alert.step)]
        self.unit.emit(f"complaint.{alert.what}", about.id, told)
        if action == "webhook":
            await self.unit.enqueue(WEBHOOK_JOB, {"alert_id": str(alert_id)})

    async def _addressees(self, case: Case, step: Step) -> list[UUID]:
        found = [UUID(each) for each in step.details["staff_ids"]]
        if case.assignee_id is not None and "assignee" in step.details["to"]:
            found.append(case.assignee_id)
        if case.assignee_id is not None and "team_lead" in step.details["to"]:
            found += await self.alerts.leads_of(case.assignee_id)
        return list(dict.fromkeys(found))

    async def _forget(self, gone: Sequence[asyncpg.Record], clocked: Collection[str], now: datetime) -> None:
        """Drop runs that are reckoned no more: of a case that was un-merged, of a policy that was switched off.

        What has announced something stays as a fact, and runs no more; so does what was measured by a clock that no
        policy has any more.
        """
        await self._end([row for row in gone if row["told"]], now)
        idle = [row["id"] for row in gone if not row["told"] and (row["clock"] in clocked or row["stopped_at"] is None)]
        if idle:
            await self.clocks.drop(idle)

    async def _end(self, rows: Sequence[asyncpg.Record], now: datetime) -> None:
        ended = {True: "breached", False: "cancelled"}
        await self.clocks.write(
            [
                {**_columns(row), "state": ended[row["breached_at"] is not None], "stopped_at": now}
                for row in rows
                if row["stopped_at"] is None
            ]
        )

    async def _note(
        self, complaint_id: UUID, found: Found, judged: Sequence[Judged], gone: Sequence[asyncpg.Record], epoch: int
    ) -> None:
        runs = [each.run for each in judged]
        values = {
            "due_at": clock_log.due_of(runs),
            "breached": any(run.breached_at for run in runs) or any(row["breached_at"] for row in gone),
            "next_change_at": clock_log.next_look(judged, self.unit.now()),
            "clock_epoch": epoch,
        }
        before = (found.due_at, found.breached, found.next_change_at, found.epoch)
        if tuple(values.values()) != before:
            await self.clocks.note_case(complaint_id, values)

    async def _terms(self) -> _Terms:
        """Return what holds, read once for all cases of the unit."""
        if self._known is None:
            epoch, rows = await self.policies.active()
            self._known = _Terms([clock_log.policy_of(dict(row), hours_of(dict(row))) for row in rows], epoch)
        return self._known


_TELLING: Final = frozenset({"policy_id", "cycle", "state", "due_at", "warn_at", "warned_at", "breached_at"}) | {
    "started_at",
    "stopped_at",
    "natural",
}
"""What makes a run worth writing; the time spent grows without saying anything new."""


def _known(row: asyncpg.Record) -> Known:
    names = ("id", "clock", "nth", "started_at", "warned_at", "breached_at", "stopped_at", "state", "due_at")
    return Known(**{name: row[name] for name in names}, warn_at=row["warn_at"], spent=row["spent_seconds"] * _SECOND)


def _values(complaint_id: UUID, judged: Judged, nth: int, now: datetime) -> dict[str, Any]:
    run = judged.run
    return {
        "complaint_id": complaint_id,
        "policy_id": judged.policy.id,
        "clock": run.clock,
        "cycle": run.cycle,
        "state": run.state,
        "started_at": run.started_at,
        "nth": nth,
        "due_at": run.due_at,
        "warn_at": run.warn_at,
        "warned_at": run.warned_at,
        "breached_at": run.breached_at,
        "stopped_at": run.stopped_at,
        "natural": judged.natural,
        "spent_seconds": run.spent // _SECOND,
        "measured_at": run.stopped_at or now,
    }


def _columns(row: asyncpg.Record) -> dict[str, Any]:
    return {"id": row["id"], **_judgement(row)}


def _judgement(row: asyncpg.Record) -> dict[str, Any]:
    return {name: row[name] for name in COLUMNS}


@dataclass(frozen=True, slots=True)
class _Case:
    id: UUID
    case: Case


def _about(case: Case) -> dict[str, Any]:
    return case.model_dump(mode="json", include={"customer_id", "order_id", "kind", "severity", "state", "assignee_id"})


def _of_run(judged: Judged) -> dict[str, Any]:
    run = judged.run
    due_at = None if run.due_at is None else run.due_at.isoformat()
    return {"clock": run.clock, "cycle": run.cycle, "due_at": due_at, "policy_id": str(judged.policy.id)}


def _of_alert(alert: Alert) -> dict[str, Any]:
    told = {"at": alert.at.isoformat()}
    if alert.step is not None:
        told |= {"step": alert.step.key, "action": alert.step.action}
    return told
