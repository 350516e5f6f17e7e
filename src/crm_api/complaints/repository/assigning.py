"""Who handles which case, and which cases wait for somebody."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import delete, func, literal, select, tuple_

from crm_api.accounts.tables import staff
from crm_api.complaints import clock_models as models
from crm_api.complaints.repository.projections import COMPLAINT, is_open
from crm_api.complaints.repository.statements import among
from crm_api.complaints.tables import complaint_queue, complaints
from crm_api.core.ids import new_id
from crm_api.db.projections import TENANT, Projection, asc, columns, eq, eq_ref, extend, one, ref
from crm_api.db.repository import Repository
from crm_api.staff.models import Obstacle
from crm_api.staff.repository import online


def _waits(t: Any) -> Any:
    c = complaints
    return (
        select(c.c.id)
        .where(c.c.tenant_id == TENANT, c.c.id == t.c.complaint_id, c.c.assignee_id.is_(None), is_open(c))
        .exists()
    )


COMPLAINT_QUEUE_ENTRY = Projection(
    "ComplaintQueueEntry",
    table=complaint_queue,
    model=models.ComplaintQueueEntry,
    scope="complaints:read",
    description="A case that no rule has found anybody for yet.",
    fields={
        **columns("id", "reason", "since"),
        "complaint_id": ref("complaint_id", "Complaint"),
        "rule_id": ref("rule_id", "AssignmentRule"),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="Which case."),
        "rule": one("AssignmentRule", on=lambda p, c: c.c.id == p.c.rule_id, description="The rule for it."),
    },
    orders={"oldest": [asc("since")]},
    filters={
        "rule_id": eq_ref("rule_id", "AssignmentRule"),
        "reason": eq("reason", Obstacle),
    },
    # Whoever was given by hand, or is over, waits no more, whether or not that was noticed here.
    where=_waits,
)

extend(
    COMPLAINT,
    relations={
        "queue_entry": one(
            "ComplaintQueueEntry",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            description="Why nobody handles it, when a rule found nobody.",
        )
    },
)


class CaseRepository(Repository):
    """Cases as they are handed out."""

    table = complaints

    async def hold(self, ids: Sequence[UUID]) -> None:
        """Hold cases against other writers, in the order of ids."""
        c = complaints
        await self.unit.fetch_all(
            select(c.c.id).where(self.mine(), c.c.id == among(ids)).order_by(c.c.id).with_for_update(key_share=True)
        )

    async def facts(self, complaint_id: UUID) -> asyncpg.Record:
        """Return what rules ask of a case, who had the customer's last one, and the skills its causes need."""
        row = await self.unit.connection.fetchrow(_FACTS, self.unit.tenant_id, complaint_id)
        assert row is not None  # noqa: S101 - its caller holds it
        return row

    async def loads(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return how many open cases each of these staff members has."""
        c = complaints
        rows = await self.unit.fetch_all(
            select(c.c.assignee_id, func.count().label("cases"))
            .where(self.mine(), c.c.assignee_id == among(ids), is_open(c))
            .group_by(c.c.assignee_id)
        )
        return {row["assignee_id"]: row["cases"] for row in rows}

    async def off(self, staff_ids: Sequence[UUID], now: datetime) -> list[UUID]:
        """Return which of these staff members are not at work; nobody is held."""
        rows = await self.unit.fetch_all(
            select(staff.c.id).where(
                self.mine(staff), staff.c.id == among(staff_ids), ~online(staff, literal(now), self.unit.tenant_id)
            )
        )
        return [row["id"] for row in rows]

    async def of(self, staff_ids: Sequence[UUID]) -> list[UUID]:
        """Return the open cases of these staff members, in the order of ids, held."""
        c = complaints
        rows = await self.unit.fetch_all(
            select(c.c.id)
            .where(self.mine(), c.c.assignee_id == among(staff_ids), is_open(c))
            .order_by(c.c.id)
            .with_for_update(key_share=True)
        )
        return [row["id"] for row in rows]

    async def waiting(self, limit: int, after: tuple[datetime, UUID] | None) -> list[asyncpg.Record]:
        """Return who has been waiting longest of those behind a place (``since``, ``id``) in the queue."""
        q = complaint_queue
        place = tuple_(q.c.since, q.c.id)
        return await self.unit.fetch_all(
            select(q.c.complaint_id, q.c.since, q.c.id)
            .where(self.mine(q), *([] if after is None else [place > after]))
            .order_by(q.c.since, q.c.id)
            .limit(limit)
        )

    async def hold_unhandled(self, ids: Sequence[UUID]) -> set[UUID]:
        """Hold those of these cases that are open and nobody's, in the order of ids; others' are passed over."""
        c = complaints
        rows = await self.unit.fetch_all(
            select(c.c.id)
            .where(self.mine(), c.c.id == among(ids), c.c.assignee_id.is_(None), is_open(c))
            .order_by(c.c.id)
            .with_for_update(key_share=True, skip_locked=True)
        )
        return {row["id"] for row in rows}

    async def wait(self, complaint_id: UUID, rule_id: UUID, reason: str, now: datetime) -> bool:
        """Put a case into the queue; returns whether it is new there. Who waits already keeps the place."""
        row = await self.unit.connection.fetchrow(
            _WAIT, self.unit.tenant_id, new_id(), complaint_id, rule_id, reason, now
        )
        return row is not None and row["fresh"]

    async def leave(self, complaint_id: UUID) -> None:
        """Take a case out of the queue."""
        q = complaint_queue
        await self.unit.execute(delete(q).where(self.mine(q), q.c.complaint_id == complaint_id))

    async def forget_others(self) -> None:
        """Take those out that somebody handles by now, or that are over."""
        await self.unit.connection.execute(_FORGET, self.unit.tenant_id)

    async def handling(self, staff_ids: Sequence[UUID], since: datetime, until: datetime) -> list[asyncpg.Record]:
        """Return how staff handled their cases in a period, one row for each who has any."""
        return await self.unit.connection.fetch(_HANDLING, self.unit.tenant_id, list(staff_ids), since, until)


_FACTS = """
SELECT c.kind, c.category, c.severity, c.channel, c.state, c.assignee_id, coalesce(o.store_id, u.store_id) AS store_id,
  (SELECT p.assignee_id FROM complaints p
   WHERE p.tenant_id = $1 AND p.customer_id = c.customer_id AND p.id <> c.id AND p.assignee_id IS NOT NULL
   ORDER BY p.received_at DESC, p.id DESC LIMIT 1) AS previous,
  ARRAY(
    SELECT DISTINCT skill FROM complaint_causes k, unnest(k.required_skill_ids) AS skill
    WHERE k.tenant_id = $1 AND (starts_with(c.category || '/', k.path || '/')
      OR starts_with(c.root_cause || '/', k.path || '/'))
  ) AS required
FROM complaints c
JOIN customers u ON u.tenant_id = $1 AND u.id = c.customer_id
LEFT JOIN orders o ON o.tenant_id = $1 AND o.id = c.order_id
WHERE c.tenant_id = $1 AND c.id = $2
"""
_WAIT = """
INSERT INTO complaint_queue (tenant_id, id, complaint_id, rule_id, reason, since) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, complaint_id) DO UPDATE SET rule_id = excluded.rule_id, reason = excluded.reason
WHERE (complaint_queue.rule_id, complaint_queue.reason) IS DISTINCT FROM (excluded.rule_id, excluded.reason)
RETURNING id = $2 AS fresh
"""
_FORGET = """
DELETE FROM complaint_queue q USING complaints c
WHERE q.tenant_id = $1 AND c.tenant_id = $1 AND c.id = q.complaint_id
  AND (c.assignee_id IS NOT NULL OR c.state IN ('resolved', 'closed', 'duplicate', 'withdrawn', 'rejected'))
"""
_HANDLING = """
SELECT c.assignee_id,
  count(*) FILTER (WHERE k.clock = 'resolution' AND k.state IN ('met', 'breached') AND k.stopped_at >= $3
    AND k.stopped_at < $4)::int AS resolved,
  count(*) FILTER (WHERE k.breached_at >= $3 AND k.breached_at < $4)::int AS limits_missed,
  round((percentile_cont(0.5) WITHIN GROUP (ORDER BY k.spent_seconds) FILTER (WHERE k.clock = 'first_response'
    AND k.state IN ('met', 'breached') AND k.stopped_at >= $3 AND k.stopped_at < $4) / 60)::numeric, 1)::float8
    AS first_response_minutes,
  round((percentile_cont(0.5) WITHIN GROUP (ORDER BY k.spent_seconds) FILTER (WHERE k.clock = 'resolution'
    AND k.state IN ('met', 'breached') AND k.stopped_at >= $3 AND k.stopped_at < $4) / 60)::numeric, 1)::float8
    AS resolution_minutes
FROM complaints c JOIN complaint_clocks k ON k.tenant_id = $1 AND k.complaint_id = c.id
WHERE c.tenant_id = $1 AND c.assignee_id = ANY ($2::uuid[])
  AND (k.stopped_at >= $3 OR k.breached_at >= $3)
GROUP BY c.assignee_id
"""
