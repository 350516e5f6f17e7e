"""Access to the clocks of cases, and to all of a case that moves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.complaints.clock_log import CaseFile, Said
from crm_api.complaints.models import Case
from crm_api.complaints.repository import case_of
from crm_api.complaints.repository.statements import among
from crm_api.complaints.rules import Event
from crm_api.complaints.tables import CLOCKED, complaint_clock_marks, complaint_clocks, complaint_events, complaints
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository


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
            select(e).where(self.mine(e), e.c.complaint_id == among(ids)).order_by(e.c.complaint_id, e.c.number)
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
        await self.unit.execute(delete(complaint_clocks).where(self.mine(), complaint_clocks.c.id == among(ids)))

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

    async def knows_refund(self, complaint_id: UUID, number: str) -> bool:
        """Tell whether an order of a case has a refund of this number, made since the case reached the shop."""
        known: bool = await self.unit.connection.fetchval(_KNOWS_REFUND, self.unit.tenant_id, complaint_id, number)
        return known

    async def refunds_awaited(self, order_id: UUID) -> list[UUID]:
        """Return cases about an order, be it one of several, whose refund they or what they were merged into await."""
        rows = await self.unit.connection.fetch(_REFUNDS_AWAITED, self.unit.tenant_id, order_id)
        return [row["complaint_id"] for row in rows]


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
_KNOWS_REFUND = """
SELECT EXISTS (
  SELECT FROM complaints c
  JOIN complaint_orders b ON b.tenant_id = $1 AND b.complaint_id = c.id
  JOIN refunds r ON r.tenant_id = $1 AND r.order_id = b.order_id
  WHERE c.tenant_id = $1 AND c.id = $2 AND r.external_id = $3 AND r.refunded_at >= c.received_at
)
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
