"""Access to policies of clocks, the clocks of cases, and what they announced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Uuid,
    any_,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from crm_api.accounts.tables import staff
from crm_api.calendars.tables import calendars
from crm_api.complaints import clock_models as models
from crm_api.complaints.clock_log import Alert, CaseFile, Said
from crm_api.complaints.models import Case
from crm_api.complaints.repository import COMPLAINT, case_of
from crm_api.complaints.rules import Event
from crm_api.complaints.tables import (
    CLOCKED,
    clock_policies,
    complaint_clock_alerts,
    complaint_clock_marks,
    complaint_clocks,
    complaint_events,
    complaints,
)
from crm_api.core.ids import new_id
from crm_api.core.service_clocks import Clock, ClockState
from crm_api.db.projections import (
    NOW,
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    items,
    many,
    one,
    ref,
    sql,
)
from crm_api.db.repository import Repository

READ = "complaints:read"

# -- what they look like on the wire -----------------------------------------------------------------------------------
#
# Between two changes of a case only time moves its clocks, and what time does needs no calendar: a clock that runs has
# warned from `warn_at` on and is missed after `due_at`. So a read tells the truth at any moment, noticed or not.


def _missed(t: FromClause) -> ColumnElement[bool]:
    return (t.c.state == "running") & (t.c.due_at < NOW)


def _state(t: FromClause) -> ColumnElement[Any]:
    return case((_missed(t), "breached"), else_=t.c.state)


def _warned_at(t: FromClause) -> ColumnElement[Any]:
    return case(((t.c.state == "running") & (t.c.warn_at <= NOW), t.c.warn_at), else_=t.c.warned_at)


def _breached_at(t: FromClause) -> ColumnElement[Any]:
    return case((_missed(t), t.c.due_at), else_=t.c.breached_at)


def _state_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return _state(t) == v(None, t.c.state.type)


def _clock_breached(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    missed = _breached_at(t)
    return missed.is_not(None) if v.variant else missed.is_(None)


CLOCK_POLICY = Projection(
    "ClockPolicy",
    table=clock_policies,
    model=models.ClockPolicy,
    scope=READ,
    description="Limits for cases.",
    fields={
        **columns("id", "name", "position", "active", "conditions", "clocks", "escalations", "preset", "note"),
        **columns("version", "created_at", "updated_at"),
        "calendar_id": ref("calendar_id", "Calendar"),
        "has_secret": sql(lambda t: t.c.secret.is_not(None)),
    },
    relations={
        "calendar": one("Calendar", on=lambda p, c: c.c.id == p.c.calendar_id, description="Whose business time."),
    },
    orders={"position": [asc("position")], "newest": [desc("id")]},
    filters={"active": eq("active", bool)},
)

COMPLAINT_CLOCK = Projection(
    "ComplaintClock",
    table=complaint_clocks,
    model=models.ComplaintClock,
    scope=READ,
    description="One run of a clock of a case: what is due until when, as of now.",
    fields={
        **columns("id", "clock", "cycle", "started_at", "due_at", "warn_at", "stopped_at", "natural"),
        **columns("spent_seconds", "measured_at"),
        "complaint_id": ref("complaint_id", "Complaint"),
        "policy_id": ref("policy_id", "ClockPolicy"),
        "state": sql(_state),
        "warned_at": sql(_warned_at),
        "breached_at": sql(_breached_at),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="Whose."),
        "policy": one("ClockPolicy", on=lambda p, c: c.c.id == p.c.policy_id, description="The policy it follows."),
        "alerts": many(
            "ComplaintClockAlert",
            on=lambda p, c: c.c.complaint_clock_id == p.c.id,
            description="What it announced, oldest first.",
        ),
    },
    orders={
        "oldest": [asc("started_at")],
        "newest": [desc("started_at")],
        "due": [asc("due_at", nulls="last")],
    },
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "clock": eq("clock", Clock),
        "state": Filter(ClockState, _state_is, description="Its state now."),
        "breached": Filter(bool, _clock_breached, variant=bool, description="Whether its limit was missed."),
        "due_before": below("due_at", description="Due before this instant."),
    },
)

COMPLAINT_CLOCK_ALERT = Projection(
    "ComplaintClockAlert",
    table=complaint_clock_alerts,
    model=models.ComplaintClockAlert,
    scope=READ,
    description="What a clock announced, once: a warning, a missed limit, or a step of escalation.",
    fields={
        **columns("id", "what", "action", "at", "told_at", "outcome", "reason"),
        "step": sql(lambda t: func.nullif(t.c.step, "")),
        "complaint_id": ref("complaint_id", "Complaint"),
        "complaint_clock_id": ref("complaint_clock_id", "ComplaintClock"),
        "clock": sql(lambda t: _of_clock(t, "clock")),
        "cycle": sql(lambda t: _of_clock(t, "cycle")),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="Of which case."),
        "complaint_clock": one(
            "ComplaintClock", on=lambda p, c: c.c.id == p.c.complaint_clock_id, description="Of which clock."
        ),
    },
    orders={"oldest": [asc("at")], "newest": [desc("at")]},
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "what": eq("what", models.What),
        "outcome": eq("outcome", models.Outcome),
    },
)


def _of_clock(alert: FromClause, name: str) -> ColumnElement[Any]:
    k = complaint_clocks
    return select(k.c[name]).where(k.c.tenant_id == TENANT, k.c.id == alert.c.complaint_clock_id).scalar_subquery()


def _case_missed(t: FromClause) -> ColumnElement[bool]:
    return or_(t.c.breached, t.c.due_at.is_not(None) & (t.c.due_at < NOW))


def _case_breached(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    missed = _case_missed(t)
    return missed if v.variant else ~missed


extend(
    COMPLAINT,
    fields={"due_at": column("due_at"), "breached": sql(_case_missed)},
    model_fields=models.COMPLAINT_FIELDS,
    relations={
        "clocks": items(
            "ComplaintClock",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            order=[asc("started_at")],
            description="Its clocks, oldest first.",
        ),
        "clock_alerts": many(
            "ComplaintClockAlert",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            description="What its clocks announced, oldest first.",
        ),
    },
    filters={
        "breached": Filter(bool, _case_breached, variant=bool, description="Whether any of its limits was missed."),
        "due_before": below("due_at", description="With a clock that must stop before this instant."),
    },
    orders={"due": [asc("due_at", nulls="last")]},
)


# -- policies ----------------------------------------------------------------------------------------------------------


class PolicyRepository(Repository):
    """Policies of clocks."""

    table = clock_policies

    async def active(self) -> tuple[int, list[asyncpg.Record]]:
        """Return active policies, the first to be asked first, each with its calendar's hours; before them the epoch.

        The epoch is a number that grows whenever a policy or a calendar changes: nothing of them is ever deleted.
        """
        rows = await self.unit.connection.fetch(_ACTIVE, self.unit.tenant_id)
        return rows[0]["epoch"], [row for row in rows if row["id"] is not None]

    async def progress(self) -> asyncpg.Record:
        """Return how many cases are clocked, and how many of them by what held before."""
        row = await self.unit.connection.fetchrow(_PROGRESS, self.unit.tenant_id)
        assert row is not None  # noqa: S101 - an aggregate always has a row
        return row

    async def known_calendar(self, calendar_id: UUID) -> bool:
        """Tell whether there is such a calendar."""
        found = select(calendars.c.id).where(self.mine(calendars), calendars.c.id == calendar_id)
        return await self.unit.fetch_value(found) is not None

    async def known_staff(self, ids: Sequence[str]) -> set[str]:
        """Return which of these staff members there are, as text."""
        found = select(staff.c.id).where(self.mine(staff), staff.c.id == _among([UUID(each) for each in ids]))
        return {str(row["id"]) for row in await self.unit.fetch_all(found)}

    async def taken_name(self, name: str) -> bool:
        """Tell whether a policy has this name."""
        found = select(clock_policies.c.id).where(self.mine(), clock_policies.c.name == name)
        return await self.unit.fetch_value(found) is not None


_EPOCH = """
SELECT (SELECT coalesce(sum(version), 0) FROM clock_policies WHERE tenant_id = $1)
  + (SELECT coalesce(sum(version), 0) FROM calendars WHERE tenant_id = $1) AS epoch
"""
_ACTIVE = f"""
SELECT e.epoch, p.id, p.conditions, p.clocks, p.escalations, c.time_zone, c.weekly, c.exceptions
FROM ({_EPOCH}) e
LEFT JOIN (
  clock_policies p JOIN calendars c ON c.tenant_id = $1
    AND CASE WHEN p.calendar_id IS NULL THEN c.is_default ELSE c.id = p.calendar_id END
) ON p.tenant_id = $1 AND p.active
ORDER BY p.position, p.id
"""  # noqa: S608 - constants of ours
_PROGRESS = f"""
SELECT count(*) AS total, count(*) FILTER (WHERE clock_epoch < ({_EPOCH})) AS waiting
FROM complaints WHERE tenant_id = $1 AND ({CLOCKED})
"""  # noqa: S608 - constants of ours


# -- clocks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A case as clocks need it."""

    case: Case
    log: CaseFile
    due_at: datetime | None
    breached: bool
    next_change_at: datetime | None
    epoch: int


COLUMNS = tuple(column.name for column in complaint_clocks.c if column.name not in {"tenant_id", "id"})
"""What is written of a run."""


_INSERT = insert(complaint_clocks)
_WRITE = _INSERT.on_conflict_do_update(
    index_elements=["tenant_id", "id"], set_={name: _INSERT.excluded[name] for name in COLUMNS}
)


class ClockRepository(Repository):
    """Clocks of cases."""

    table = complaint_clocks

    async def hold_root(self, complaint_id: UUID) -> UUID:
        """Hold the case that a duplicate belongs to in the end, against other writers; returns its id.

        Whoever writes to a duplicate holds it, and all it was merged into, already.
        """
        root: UUID | None = complaint_id
        found = complaint_id
        while root is not None:
            found = root
            row = await self.unit.fetch_one(
                select(complaints.c.merged_into_id).where(self.by_id(found, complaints)).with_for_update(key_share=True)
            )
            root = None if row is None else row["merged_into_id"]
        return found

    async def due(self, now: datetime, limit: int) -> list[UUID]:
        """Return cases with something to announce, held; those that somebody else holds are passed over."""
        c = complaints
        rows = await self.unit.fetch_all(
            select(c.c.id)
            .where(self.mine(c), c.c.next_change_at <= now)
            .order_by(c.c.next_change_at, c.c.id)
            .limit(limit)
            .with_for_update(key_share=True, skip_locked=True)
        )
        return [row["id"] for row in rows]

    async def outdated(self, epoch: int, limit: int) -> list[UUID]:
        """Return cases clocked by policies or calendars of before, held; those that somebody else holds are not."""
        c = complaints
        rows = await self.unit.fetch_all(
            select(c.c.id)
            .where(self.mine(c), c.c.clock_epoch < epoch, text(f"({CLOCKED})"))
            .order_by(c.c.clock_epoch, c.c.id)
            .limit(limit)
            .with_for_update(key_share=True, skip_locked=True)
        )
        return [row["id"] for row in rows]

    async def find_case(self, complaint_id: UUID) -> Found:
        """Return a case with its log and those of the cases merged into it."""
        rows = await self.unit.connection.fetch(_FAMILY, self.unit.tenant_id, complaint_id)
        ids = [row["id"] for row in rows]
        events, words = await self._events(ids), await self._words(ids)
        below: dict[UUID, list[UUID]] = {}
        for row in rows:
            if row["id"] != complaint_id:
                below.setdefault(row["merged_into_id"], []).append(row["id"])

        def file(case_id: UUID) -> CaseFile:
            heard, merged = words.get(case_id, ()), [file(each) for each in below.get(case_id, ())]
            return CaseFile(
                events.get(case_id, []),
                [Said(each["at"], each["what"]) for each in heard if not each["marked"]],
                [(each["what"], each["at"]) for each in heard if each["marked"]],
                [each for each in merged if not each.erased],
            )

        (row,) = [row for row in rows if row["id"] == complaint_id]
        return Found(
            case_of(row),
            file(complaint_id),
            row["due_at"],
            row["breached"],
            row["next_change_at"],
            row["clock_epoch"],
        )

    async def _events(self, ids: Sequence[UUID]) -> dict[UUID, list[Event]]:
        e = complaint_events
        rows = await self.unit.fetch_all(
            select(e).where(self.mine(e), e.c.complaint_id == _among(ids)).order_by(e.c.complaint_id, e.c.number)
        )
        found: dict[UUID, list[Event]] = {}
        for row in rows:
            found.setdefault(row["complaint_id"], []).append(
                Event(row["number"], row["at"], row["action"], row["from_state"], row["to_state"], row["data"])
            )
        return found

    async def _words(self, ids: Sequence[UUID]) -> dict[UUID, list[asyncpg.Record]]:
        found: dict[UUID, list[asyncpg.Record]] = {}
        for row in await self.unit.connection.fetch(_WORDS, self.unit.tenant_id, ids):
            found.setdefault(row["complaint_id"], []).append(row)
        return found

    async def stored(self, complaint_id: UUID) -> list[asyncpg.Record]:
        """Return the runs of a case's clocks, each with what it has announced: pairs of kind and step."""
        return await self.unit.connection.fetch(_STORED, self.unit.tenant_id, complaint_id)

    async def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert or change runs, in one round trip."""
        await self.unit.execute_many(_WRITE, [{"tenant_id": self.unit.tenant_id, **row} for row in rows])

    async def drop(self, ids: Sequence[UUID]) -> None:
        """Delete runs that have announced nothing."""
        await self.unit.execute(delete(complaint_clocks).where(self.mine(), complaint_clocks.c.id == _among(ids)))

    async def announce(
        self, complaint_id: UUID, run_id: UUID, policy_id: UUID, alert: Alert, now: datetime, outcome: str
    ) -> UUID | None:
        """Note what a run announces by a policy; returns its id, or None when it was announced before."""
        a = complaint_clock_alerts
        what, step = alert.key
        row = {
            "tenant_id": self.unit.tenant_id,
            "id": new_id(),
            "complaint_id": complaint_id,
            "complaint_clock_id": run_id,
            "policy_id": policy_id,
            "what": what,
            "step": step,
            "action": None if alert.step is None else alert.step.action,
            "at": alert.at,
            "told_at": now,
            "outcome": outcome,
        }
        made = insert(a).on_conflict_do_nothing(index_elements=["tenant_id", "complaint_clock_id", "what", "step"])
        found: UUID | None = await self.unit.fetch_value(made.returning(a.c.id), row)
        return found

    async def note_case(self, complaint_id: UUID, values: Mapping[str, Any]) -> None:
        """Write what clocks say of the case; no change of the case, so its version stays."""
        await self.unit.execute(update(complaints).where(self.by_id(complaint_id, complaints)).values(**values))

    async def mark(self, complaint_id: UUID, what: str, at: datetime) -> None:
        """Note what moves a clock."""
        row = {"id": new_id(), "complaint_id": complaint_id, "what": what, "at": at}
        await self.insert(row, complaint_clock_marks)

    async def paid_back_at(self, complaint_id: UUID, returned_at: datetime) -> datetime | None:
        """Return when the orders of a case were refunded, if that is not noted yet; None when it is still to come.

        What counts is the first refund since the case reached the shop and since the last one noted; of orders that
        were paid back in full nothing is to come, whenever that was. The orders are held, so that a refund is either
        seen here or finds the case waiting.
        """
        await self.unit.connection.execute(_HOLD_ORDERS, self.unit.tenant_id, complaint_id)
        found: datetime | None = await self.unit.connection.fetchval(
            _PAID_BACK, self.unit.tenant_id, complaint_id, returned_at
        )
        return found

    async def refunds_awaited(self, order_id: UUID) -> list[UUID]:
        """Return cases about an order, be it one of several, whose refund they or what they were merged into await."""
        rows = await self.unit.connection.fetch(_REFUNDS_AWAITED, self.unit.tenant_id, order_id)
        return [row["complaint_id"] for row in rows]

    # -- escalation ----------------------------------------------------------------------------------------------------

    async def alert(self, alert_id: UUID) -> asyncpg.Record | None:
        """Return an announcement with its policy, held."""
        return await self.unit.connection.fetchrow(_ALERT, self.unit.tenant_id, alert_id)

    async def settle(self, alert_id: UUID, outcome: str, reason: str | None = None) -> None:
        """Note what came of a step; what has come of it already stays."""
        a = complaint_clock_alerts
        pending = (self.by_id(alert_id, a), a.c.outcome == "pending")
        await self.unit.execute(update(a).where(*pending).values(outcome=outcome, reason=reason))

    async def e_mails(self, ids: Sequence[UUID]) -> list[str]:
        """Return the addresses of those of these active staff members who have one."""
        found = select(staff.c.email).where(
            self.mine(staff), staff.c.id == _among(ids), staff.c.active, staff.c.email.is_not(None)
        )
        return [row["email"] for row in await self.unit.fetch_all(found.order_by(staff.c.id))]

    async def leads_of(self, staff_id: UUID) -> list[UUID]:
        """Return who leads the teams of a staff member, themselves left out."""
        rows = await self.unit.connection.fetch(_LEADS, self.unit.tenant_id, staff_id)
        return [row["lead_id"] for row in rows]


def _among(ids: Sequence[UUID]) -> Any:
    return any_(literal(list(ids), ARRAY(Uuid)))


_FAMILY = """
WITH RECURSIVE family AS (
  SELECT c.id FROM complaints c WHERE c.tenant_id = $1 AND c.id = $2
  UNION
  SELECT c.id FROM complaints c JOIN family f ON c.merged_into_id = f.id
  WHERE c.tenant_id = $1 AND c.state = 'duplicate'
)
SELECT c.* FROM complaints c WHERE c.tenant_id = $1 AND c.id = ANY (ARRAY(SELECT id FROM family)) ORDER BY c.id
"""
_WORDS = """
SELECT complaint_id, direction AS what, at, false AS marked, id FROM complaint_messages
WHERE tenant_id = $1 AND complaint_id = ANY ($2::uuid[]) AND direction <> 'internal'
UNION ALL
SELECT complaint_id, what, at, true, id FROM complaint_clock_marks
WHERE tenant_id = $1 AND complaint_id = ANY ($2::uuid[])
ORDER BY at, id
"""
_HOLD_ORDERS = """
SELECT FROM orders WHERE tenant_id = $1
  AND id = ANY (ARRAY(SELECT order_id FROM complaint_orders WHERE tenant_id = $1 AND complaint_id = $2))
ORDER BY id FOR SHARE
"""
_PAID_BACK = """
SELECT coalesce(
  min(r.refunded_at) FILTER (WHERE r.refunded_at >= c.received_at AND r.refunded_at > coalesce(
    (SELECT max(at) FROM complaint_clock_marks WHERE tenant_id = $1 AND complaint_id = $2 AND what = 'refunded'),
    '-infinity')),
  CASE WHEN bool_and(o.status = 'refunded') THEN $3::timestamptz END)
FROM complaints c
JOIN complaint_orders b ON b.tenant_id = $1 AND b.complaint_id = c.id
JOIN orders o ON o.tenant_id = $1 AND o.id = b.order_id
LEFT JOIN refunds r ON r.tenant_id = $1 AND r.order_id = o.id
WHERE c.tenant_id = $1 AND c.id = $2
"""
_REFUNDS_AWAITED = """
WITH RECURSIVE kin AS (
  SELECT b.complaint_id, c.id, c.merged_into_id
  FROM complaint_orders b JOIN complaints c ON c.tenant_id = $1 AND c.id = b.complaint_id
  WHERE b.tenant_id = $1 AND b.order_id = $2
  UNION
  SELECT k.complaint_id, c.id, c.merged_into_id
  FROM kin k JOIN complaints c ON c.tenant_id = $1 AND c.id = k.merged_into_id
)
SELECT DISTINCT kin.complaint_id FROM kin JOIN complaint_clocks r ON r.tenant_id = $1 AND r.complaint_id = kin.id
WHERE r.clock = 'refund' AND r.stopped_at IS NULL
ORDER BY 1
"""
_STORED = """
SELECT k.*, ARRAY(
  SELECT ARRAY[a.what, a.step] FROM complaint_clock_alerts a
  WHERE a.tenant_id = $1 AND a.complaint_clock_id = k.id
) AS told
FROM complaint_clocks k WHERE k.tenant_id = $1 AND k.complaint_id = $2 ORDER BY k.clock, k.cycle, k.id
"""
_ALERT = """
SELECT a.*, k.clock, k.cycle, k.due_at, k.breached_at, p.escalations, p.secret
FROM complaint_clock_alerts a
JOIN complaint_clocks k ON k.tenant_id = $1 AND k.id = a.complaint_clock_id
JOIN clock_policies p ON p.tenant_id = $1 AND p.id = a.policy_id
WHERE a.tenant_id = $1 AND a.id = $2
FOR NO KEY UPDATE OF a
"""
_LEADS = """
SELECT DISTINCT t.lead_id FROM team_members m JOIN teams t ON t.tenant_id = $1 AND t.id = m.team_id
WHERE m.tenant_id = $1 AND m.staff_id = $2 AND t.lead_id IS NOT NULL AND t.lead_id <> $2 AND NOT t.archived
ORDER BY t.lead_id
"""
