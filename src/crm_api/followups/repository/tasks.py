"""Access to plans and to single tasks.

Locks are taken in this order: a plan, customers by id, tasks by id.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository
from crm_api.followups.tables import follow_up_plan_versions, follow_up_plans, follow_ups
from crm_api.interactions.repository import check_order

_LEFT: Final = """
WITH held AS MATERIALIZED (
  SELECT f.id FROM follow_ups f WHERE f.tenant_id = $1 AND f.plan_id = $2 AND f.state = 'open' AND (
    $3 = 'plan_archived'
    OR ($4::uuid IS NOT NULL AND NOT EXISTS (
      SELECT FROM segment_members m
      WHERE m.tenant_id = $1 AND m.segment_id = $4 AND m.customer_id = f.customer_id))
  ) ORDER BY f.id FOR NO KEY UPDATE
)
UPDATE follow_ups f SET state = 'cancelled', reason = $3, closed_at = $5, version = version + 1, updated_at = now()
FROM held WHERE f.tenant_id = $1 AND f.id = held.id RETURNING f.id, f.customer_id, f.plan_id, f.assignee_id
"""

_GONE: Final = """
WITH held AS MATERIALIZED (
  SELECT f.id FROM follow_ups f JOIN customers c ON c.tenant_id = $1 AND c.id = f.customer_id
  WHERE f.tenant_id = $1 AND f.state = 'open' AND f.customer_id = ANY ($2::uuid[]) AND c.deleted_at IS NOT NULL
  ORDER BY f.id FOR NO KEY UPDATE OF f
)
UPDATE follow_ups f
SET state = 'cancelled', reason = 'customer_gone', closed_at = $3, version = version + 1, updated_at = now()
FROM held WHERE f.tenant_id = $1 AND f.id = held.id RETURNING f.id, f.customer_id, f.plan_id, f.assignee_id
"""

# An owner who has left does nothing any more: the plan's assignee does it, or the queue.
_FOLLOW: Final = """
WITH held AS MATERIALIZED (
  SELECT f.id, f.assignee_id AS was, coalesce(o.id, a.id) AS becomes
  FROM customers c
  JOIN follow_ups f ON f.tenant_id = $1 AND f.customer_id = c.id AND f.state = 'open' AND f.follows_owner
  LEFT JOIN staff o ON o.tenant_id = $1 AND o.id = c.owner_id AND o.active
  LEFT JOIN follow_up_plans p ON p.tenant_id = $1 AND p.id = f.plan_id
  LEFT JOIN staff a ON a.tenant_id = $1 AND a.id = p.assignee_id AND a.active
  WHERE c.tenant_id = $1 AND {whose} AND f.assignee_id IS DISTINCT FROM coalesce(o.id, a.id)
  ORDER BY f.id FOR NO KEY UPDATE OF f
)
UPDATE follow_ups f SET assignee_id = held.becomes, version = version + 1, updated_at = now()
FROM held WHERE f.tenant_id = $1 AND f.id = held.id
RETURNING f.id, f.customer_id, f.plan_id, f.assignee_id, held.was
"""
_FOLLOW_CUSTOMERS: Final = _FOLLOW.format(whose="c.id = ANY ($2::uuid[])")
_FOLLOW_STAFF: Final = _FOLLOW.format(whose="c.owner_id = ANY ($2::uuid[])")

_RELEASE: Final = """
WITH held AS MATERIALIZED (
  SELECT f.id, f.assignee_id AS was FROM follow_ups f JOIN staff s ON s.tenant_id = $1 AND s.id = f.assignee_id
  WHERE f.tenant_id = $1 AND f.state = 'open' AND NOT f.follows_owner AND f.assignee_id = ANY ($2::uuid[])
    AND NOT s.active
  ORDER BY f.id FOR NO KEY UPDATE OF f
)
UPDATE follow_ups f SET assignee_id = NULL, version = version + 1, updated_at = now()
FROM held WHERE f.tenant_id = $1 AND f.id = held.id
RETURNING f.id, f.customer_id, f.plan_id, f.assignee_id, held.was
"""

_OVERDUE: Final = """
WITH held AS MATERIALIZED (
  SELECT f.id FROM follow_ups f
  WHERE f.tenant_id = $1 AND f.state = 'open' AND f.due_at < $2 AND f.told_overdue_at IS NULL
    AND (f.snoozed_until IS NULL OR f.snoozed_until <= $2)
  ORDER BY f.due_at, f.id LIMIT $3 FOR NO KEY UPDATE OF f SKIP LOCKED
)
UPDATE follow_ups f SET told_overdue_at = $2 FROM held WHERE f.tenant_id = $1 AND f.id = held.id
RETURNING f.id, f.customer_id, f.plan_id, f.assignee_id, f.due_at
"""

_MEASURE: Final = """
SELECT s.id,
  count(f.id) FILTER (WHERE f.state = 'done' AND f.closed_at >= $3 AND f.closed_at < $4)::int AS done,
  count(f.id) FILTER (WHERE f.state = 'done' AND f.closed_at >= $3 AND f.closed_at < $4
    AND f.closed_at <= f.due_at)::int AS on_time,
  count(f.id) FILTER (WHERE f.result IN ('reached', 'message_left')
    AND f.closed_at >= $3 AND f.closed_at < $4)::int AS contacted,
  count(f.id) FILTER (WHERE f.state = 'skipped' AND f.closed_at >= $3 AND f.closed_at < $4)::int AS skipped,
  count(f.id) FILTER (WHERE f.state = 'open' AND f.due_at >= $3 AND f.due_at < least($4, $5))::int AS overdue,
  round(avg(f.satisfaction) FILTER (WHERE f.closed_at >= $3 AND f.closed_at < $4), 2)::float8 AS satisfaction
FROM unnest($2::uuid[]) AS s (id)
JOIN follow_ups f ON f.tenant_id = $1 AND f.assignee_id = s.id
GROUP BY s.id
"""


class PlanRepository(Repository):
    """Plans and their versions."""

    table = follow_up_plans

    async def add_version(self, plan_id: UUID, number: int, rules: Mapping[str, Any]) -> None:
        """Keep what a plan says from now on."""
        row = {"id": new_id(), "plan_id": plan_id, "number": number, "rules": rules}
        await self.insert(row, follow_up_plan_versions)

    async def active(self, trigger: str) -> list[asyncpg.Record]:
        """Return the active plans of a kind, in the order of ids."""
        sql = "SELECT * FROM follow_up_plans WHERE tenant_id = $1 AND state = 'active' AND trigger = $2 ORDER BY id"
        return await self.unit.connection.fetch(sql, self.unit.tenant_id, trigger)

    async def note(self, plan_id: UUID, **values: Any) -> None:
        """Write what a pass came to; no change of the plan itself, so its version stays."""
        names = ", ".join(f"{name} = ${place}" for place, name in enumerate(values, 3))
        sql = f"UPDATE follow_up_plans SET {names} WHERE tenant_id = $1 AND id = $2"  # noqa: S608 - our own names
        await self.unit.connection.execute(sql, self.unit.tenant_id, plan_id, *values.values())


class TaskRepository(Repository):
    """Tasks."""

    table = follow_ups

    async def cancel_left(
        self, plan_id: UUID, segment_id: UUID | None, reason: str, at: datetime
    ) -> list[asyncpg.Record]:
        """Cancel a plan's open tasks: all (``plan_archived``), or of who is not in the segment (``left_segment``)."""
        return await self.unit.connection.fetch(_LEFT, self.unit.tenant_id, plan_id, reason, segment_id, at)

    async def cancel_gone(self, customer_ids: Sequence[UUID], at: datetime) -> list[asyncpg.Record]:
        """Cancel open tasks of those of these customers who are gone."""
        return await self.unit.connection.fetch(_GONE, self.unit.tenant_id, customer_ids, at)

    async def follow_owners(self, customer_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Give tasks that follow the owner to whoever that is now; returns those that changed hands, and from whom."""
        return await self.unit.connection.fetch(_FOLLOW_CUSTOMERS, self.unit.tenant_id, customer_ids)

    async def release(self, staff_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Take tasks from those of these people who have left, and give those back who are there again.

        What they were given by name goes into the queue; what follows the owners of their customers follows them.
        """
        connection, tenant_id = self.unit.connection, self.unit.tenant_id
        named = await connection.fetch(_RELEASE, tenant_id, staff_ids)
        return [*named, *await connection.fetch(_FOLLOW_STAFF, tenant_id, staff_ids)]

    async def tell_overdue(self, now: datetime, limit: int) -> list[asyncpg.Record]:
        """Mark tasks that have become overdue as told, and return them: each is returned once."""
        return await self.unit.connection.fetch(_OVERDUE, self.unit.tenant_id, now, limit)

    async def check_about(self, customer_id: UUID, order_id: UUID | None, complaint_id: UUID | None) -> None:
        """Raise Invalid when the order or case is another customer's, or does not exist."""
        await check_order(self.unit, order_id, customer_id)
        if complaint_id is not None:
            await self.check_complaint(customer_id, complaint_id)

    async def check_complaint(self, customer_id: UUID, complaint_id: UUID) -> None:
        """Raise Invalid when the case is another customer's, or does not exist."""
        sql = "SELECT customer_id FROM complaints WHERE tenant_id = $1 AND id = $2"
        whose = await self.unit.connection.fetchval(sql, self.unit.tenant_id, complaint_id)
        if whose is None:
            raise Invalid.field("/complaint_id", "unknown_reference", "There is no such case", "没有此投诉")
        if whose != customer_id:
            raise Invalid.field(
                "/complaint_id", "other_customer", "This case is another customer's", "该投诉属于其他客户"
            )

    async def measure(
        self, staff_ids: Sequence[UUID], since: datetime, until: datetime, now: datetime
    ) -> list[asyncpg.Record]:
        """Return what staff did with their tasks in a period."""
        return await self.unit.connection.fetch(_MEASURE, self.unit.tenant_id, staff_ids, since, until, now)
