"""What became of customers after a plan's tasks."""

from datetime import date, datetime
from typing import Final
from uuid import UUID

from crm_api.db.uow import UnitOfWork

# Each customer once, by their first task of the period. Days are counted from the contact, or from when it was due.
_EFFECT: Final = """
WITH first AS MATERIALIZED (
  SELECT DISTINCT ON (f.customer_id) f.customer_id,
    CASE WHEN f.state = 'held_out' THEN 'held_out'
      WHEN f.result IN ('reached', 'message_left') THEN 'contacted'
      WHEN f.state = 'done' THEN 'tried' ELSE 'not_contacted' END AS "group",
    CASE WHEN f.state = 'done' THEN f.closed_at ELSE f.due_at END AS origin
  FROM follow_ups f
  WHERE f.tenant_id = $1 AND f.plan_id = $2 AND f.slot >= $3 AND f.slot < $4
    AND (f.state <> 'open' OR f.due_at < $6)
  ORDER BY f.customer_id, f.slot
), told AS (
  SELECT "group", origin + make_interval(days => $5) <= $6 AS over,
    EXISTS (SELECT FROM orders o WHERE o.tenant_id = $1 AND o.customer_id = first.customer_id
      AND o.paid_amount > o.refunded_amount
      AND o.placed_at > origin AND o.placed_at <= origin + make_interval(days => $5)) AS bought,
    EXISTS (SELECT FROM orders o WHERE o.tenant_id = $1 AND o.customer_id = first.customer_id
      AND o.paid_amount > o.refunded_amount
      AND o.placed_at <= origin AND o.placed_at > origin - make_interval(days => $5)) AS bought_before
  FROM first
)
SELECT "group", count(*) FILTER (WHERE over)::int AS customers, count(*) FILTER (WHERE NOT over)::int AS waiting,
  count(*) FILTER (WHERE over AND bought)::int AS bought,
  count(*) FILTER (WHERE over AND bought_before)::int AS bought_before
FROM told GROUP BY 1
"""

COUNTS: Final = ("customers", "waiting", "bought", "bought_before")


class EffectRepository:
    """The report's one statement."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def groups(
        self, plan_id: UUID, since: date, until: date, within_days: int, now: datetime
    ) -> dict[str, dict[str, int]]:
        """Return ``customers``, ``waiting``, ``bought`` and ``bought_before`` by group."""
        rows = await self.unit.connection.fetch(_EFFECT, self.unit.tenant_id, plan_id, since, until, within_days, now)
        return {row["group"]: {name: row[name] for name in COUNTS} for row in rows}
