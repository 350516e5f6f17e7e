"""The statement behind the report of what staff did."""

from datetime import datetime
from uuid import UUID

import asyncpg

from crm_api.db.uow import UnitOfWork

_REPORT = """
WITH members AS MATERIALIZED (
  SELECT s.id, s.name, s.active FROM staff s
  WHERE s.tenant_id = $1 AND ($4::uuid IS NULL OR s.store_id = $4)
    AND ($5::uuid IS NULL OR EXISTS (
      SELECT FROM team_members m WHERE m.tenant_id = $1 AND m.team_id = $5 AND m.staff_id = s.id))
), owned AS MATERIALIZED (
  SELECT c.id, c.owner_id FROM customers c
  WHERE c.tenant_id = $1 AND c.deleted_at IS NULL AND c.owner_id = ANY (ARRAY(SELECT id FROM members))
), spoken AS MATERIALIZED (
  SELECT i.staff_id, i.customer_id, count(*) AS times FROM interactions i
  WHERE i.tenant_id = $1 AND i.staff_id = ANY (ARRAY(SELECT id FROM members))
    AND i.occurred_at >= $2 AND i.occurred_at < $3
  GROUP BY 1, 2
), contacts AS (
  SELECT s.staff_id, sum(s.times)::int AS interactions, count(*)::int AS customers_contacted,
    count(o.id)::int AS owned_contacted
  FROM spoken s LEFT JOIN owned o ON o.id = s.customer_id AND o.owner_id = s.staff_id GROUP BY 1
), sold AS (
  SELECT staff_id, sum(n)::int AS orders,
    jsonb_agg(jsonb_build_object('amount', amount, 'currency', currency) ORDER BY currency) AS sales
  FROM (
    SELECT o.staff_id, o.currency, count(*) AS n, sum(o.paid_amount - o.refunded_amount)::bigint AS amount
    FROM orders o
    WHERE o.tenant_id = $1 AND o.placed_at >= $2 AND o.placed_at < $3 AND o.paid_amount > 0
      AND o.staff_id = ANY (ARRAY(SELECT id FROM members))
    GROUP BY 1, 2
  ) each GROUP BY 1
), bought AS (
  SELECT w.owner_id, count(*)::int AS retainable, count(*) FILTER (WHERE EXISTS (
      SELECT FROM orders o WHERE o.tenant_id = $1 AND o.customer_id = w.id AND o.paid_amount > o.refunded_amount
        AND o.placed_at >= $2 AND o.placed_at < $3))::int AS retained
  FROM owned w
  WHERE EXISTS (SELECT FROM orders o WHERE o.tenant_id = $1 AND o.customer_id = w.id
    AND o.paid_amount > o.refunded_amount AND o.placed_at < $2)
  GROUP BY 1
), gained AS (
  SELECT owner_id, count(*)::int AS n FROM customer_ownerships
  WHERE tenant_id = $1 AND at >= $2 AND at < $3 AND owner_id = ANY (ARRAY(SELECT id FROM members)) GROUP BY 1
), lost AS (
  SELECT previous_owner_id, count(*)::int AS n FROM customer_ownerships
  WHERE tenant_id = $1 AND at >= $2 AND at < $3 AND previous_owner_id = ANY (ARRAY(SELECT id FROM members)) GROUP BY 1
), passed AS (
  SELECT staff_id, count(DISTINCT course_id)::int AS n FROM course_completions
  WHERE tenant_id = $1 AND passed AND completed_at >= $2 AND completed_at < $3 GROUP BY 1
)
SELECT m.id AS staff_id, m.name,
  (SELECT count(*)::int FROM owned o WHERE o.owner_id = m.id) AS customers,
  coalesce(g.n, 0) AS gained, coalesce(l.n, 0) AS lost,
  coalesce(c.interactions, 0) AS interactions, coalesce(c.customers_contacted, 0) AS customers_contacted,
  coalesce(c.owned_contacted, 0) AS owned_contacted,
  coalesce(s.orders, 0) AS orders, coalesce(s.sales, '[]'::jsonb) AS sales,
  coalesce(b.retained, 0) AS retained, coalesce(b.retainable, 0) AS retainable, coalesce(p.n, 0) AS courses_passed
FROM members m
LEFT JOIN contacts c ON c.staff_id = m.id LEFT JOIN sold s ON s.staff_id = m.id
LEFT JOIN bought b ON b.owner_id = m.id LEFT JOIN gained g ON g.owner_id = m.id
LEFT JOIN lost l ON l.previous_owner_id = m.id LEFT JOIN passed p ON p.staff_id = m.id
WHERE m.active OR c.staff_id IS NOT NULL OR s.staff_id IS NOT NULL
ORDER BY m.name, m.id
"""


class PerformanceRepository:
    """What staff did."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def report(
        self, since: datetime, until: datetime, *, team_id: UUID | None, store_id: UUID | None
    ) -> list[asyncpg.Record]:
        """Return one row for each active staff member, and for who has left but spoke or sold in the period."""
        return await self.unit.connection.fetch(_REPORT, self.unit.tenant_id, since, until, store_id, team_id)
