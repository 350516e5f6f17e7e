"""Access to scores: everything set-based, customers in chunks of their id."""

from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.classifications.rules import QUANTILES, ScoringSettings
from crm_api.classifications.tables import scoring_runs, scoring_settings
from crm_api.db.repository import Repository

_BOUGHT = "('paid', 'shipped', 'completed')"

# Per customer, as things stood at $2: days since the last purchase (whole days of 24 hours), purchases, turnover in
# one currency. Facts are not used because as_of may lie in the past.
_MEASURES = f"""
SELECT o.customer_id,
       floor(extract(epoch FROM $2::timestamptz - max(o.placed_at)) / 86400)::int AS recency_days,
       count(*)::int AS frequency,
       coalesce(sum(o.paid_amount - o.refunded_amount) FILTER (WHERE o.currency = $3), 0)::bigint AS monetary
FROM orders o
WHERE o.tenant_id = $1 AND o.placed_at < $2 AND o.status IN {_BOUGHT}
"""  # noqa: S608 - constants of this module

_CURRENCY = f"""
SELECT currency FROM orders
WHERE tenant_id = $1 AND placed_at < $2 AND status IN {_BOUGHT}
GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1
"""  # noqa: S608

_THRESHOLDS = f"""
WITH measured AS MATERIALIZED ({_MEASURES} GROUP BY o.customer_id),
ranked AS (
  SELECT monetary,
         (sum(monetary) OVER (ORDER BY monetary DESC RANGE UNBOUNDED PRECEDING) - count(*) OVER same * monetary)
           / nullif(sum(monetary) OVER (), 0) AS share_before
  FROM measured WHERE monetary > 0
  WINDOW same AS (PARTITION BY monetary)
)
SELECT
  (SELECT percentile_cont($4::float8[]) WITHIN GROUP (ORDER BY recency_days) FROM measured) AS recency,
  (SELECT percentile_cont($4::float8[]) WITHIN GROUP (ORDER BY frequency) FROM measured) AS frequency,
  (SELECT percentile_cont($4::float8[]) WITHIN GROUP (ORDER BY monetary) FROM measured) AS monetary,
  (SELECT min(monetary) FROM ranked WHERE share_before < $5::float8) AS grade_a,
  (SELECT min(monetary) FROM ranked WHERE share_before < $6::float8) AS grade_b,
  (SELECT min(monetary) FROM ranked WHERE share_before < $7::float8) AS grade_c,
  (SELECT count(*) FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL AND created_at < $8) AS total
"""  # noqa: S608

_SCORE = f"""
WITH chunk AS MATERIALIZED (
  SELECT id FROM customers
  WHERE tenant_id = $1 AND deleted_at IS NULL AND created_at < $16 AND id > $4 ORDER BY id LIMIT $5
),
measured AS MATERIALIZED (
  {_MEASURES} AND o.customer_id IN (SELECT id FROM chunk) GROUP BY o.customer_id
),
scored AS (
  SELECT chunk.id AS customer_id, m.recency_days, coalesce(m.frequency, 0) AS frequency, m.monetary,
    5 - cardinality(array(SELECT 1 FROM unnest($6::float8[]) AS cut WHERE cut < m.recency_days)) AS r,
    1 + cardinality(array(SELECT 1 FROM unnest($7::float8[]) AS cut WHERE cut < m.frequency)) AS f,
    1 + cardinality(array(SELECT 1 FROM unnest($8::float8[]) AS cut WHERE cut < m.monetary)) AS m,
    CASE WHEN m.monetary >= $9 THEN 'A' WHEN m.monetary >= $10 THEN 'B' WHEN m.monetary >= $11 THEN 'C'
         ELSE 'D' END AS grade,
    CASE WHEN m.customer_id IS NULL THEN 'prospect'
         WHEN m.recency_days > $13 THEN 'lost'
         WHEN m.recency_days > $12 THEN 'dormant'
         WHEN m.frequency >= $14 THEN 'loyal'
         WHEN m.frequency > 1 THEN 'repeat'
         ELSE 'first_purchase' END AS lifecycle,
    m.customer_id IS NOT NULL AS bought
  FROM chunk LEFT JOIN measured m ON m.customer_id = chunk.id
),
before AS MATERIALIZED (
  SELECT s.customer_id, s.lifecycle FROM customer_scores s
  WHERE s.tenant_id = $1 AND s.customer_id IN (SELECT id FROM chunk)
),
written AS (
  INSERT INTO customer_scores (tenant_id, customer_id, run_id, lifecycle, recency_days, frequency, monetary_amount,
                               currency, r, f, m, grade, scored_at)
  SELECT $1, customer_id, $15, lifecycle, recency_days, frequency, CASE WHEN $3::text IS NOT NULL THEN monetary END,
         CASE WHEN bought THEN $3::text END, CASE WHEN bought THEN r END, CASE WHEN bought THEN f END,
         CASE WHEN bought THEN m END, CASE WHEN bought THEN grade END, $2
  FROM scored
  ON CONFLICT (tenant_id, customer_id) DO UPDATE SET
    run_id = excluded.run_id, lifecycle = excluded.lifecycle, recency_days = excluded.recency_days,
    frequency = excluded.frequency, monetary_amount = excluded.monetary_amount, currency = excluded.currency,
    r = excluded.r, f = excluded.f, m = excluded.m, grade = excluded.grade, scored_at = excluded.scored_at
),
logged AS (
  INSERT INTO lifecycle_log (tenant_id, id, customer_id, from_stage, to_stage, run_id, at)
  SELECT $1, gen_random_uuid(), scored.customer_id, before.lifecycle, scored.lifecycle, $15, $2
  FROM scored LEFT JOIN before USING (customer_id)
  WHERE before.lifecycle IS DISTINCT FROM scored.lifecycle
)
SELECT count(*) AS done, (SELECT id FROM chunk ORDER BY id DESC LIMIT 1) AS last FROM chunk
"""  # noqa: S608

_SUMMARY = """
SELECT jsonb_build_object(
  'lifecycle', (SELECT coalesce(jsonb_object_agg(lifecycle, n), '{}') FROM
     (SELECT lifecycle, count(*) AS n FROM customer_scores WHERE tenant_id = $1 AND run_id = $2 GROUP BY 1) l),
  'grades', (SELECT coalesce(jsonb_object_agg(grade, n), '{}') FROM
     (SELECT grade, count(*) AS n FROM customer_scores
      WHERE tenant_id = $1 AND run_id = $2 AND grade IS NOT NULL GROUP BY 1) g),
  'rfm', (SELECT coalesce(jsonb_agg(jsonb_build_object('r', r, 'f', f, 'customers', n, 'monetary', total)
                                    ORDER BY r, f), '[]') FROM
     (SELECT r, f, count(*) AS n, sum(monetary_amount) AS total FROM customer_scores
      WHERE tenant_id = $1 AND run_id = $2 AND r IS NOT NULL GROUP BY 1, 2) c))
"""


_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('crm scoring ' || $1, 0))"
_MUST_WAIT = """
SELECT EXISTS (
  SELECT FROM scoring_runs
  WHERE tenant_id = $1 AND id <> $2 AND (state = 'running' OR (state = 'queued' AND id < $2))
)
"""


class ScoringRepository(Repository):
    """Scoring runs and what they write."""

    table = scoring_runs

    async def settings(self) -> ScoringSettings:
        """Return the tenant's thresholds."""
        row = await self.unit.fetch_one(select(scoring_settings).where(self.mine(scoring_settings)))
        if row is None:
            return ScoringSettings(90, 365, 5)
        return ScoringSettings(
            row["active_days"], row["dormant_days"], row["loyal_purchases"], tuple(row["grade_shares"])
        )

    async def set_settings(self, settings: ScoringSettings) -> None:
        """Store the tenant's thresholds."""
        values = {
            "active_days": settings.active_days,
            "dormant_days": settings.dormant_days,
            "loyal_purchases": settings.loyal_purchases,
            "grade_shares": list(settings.grade_shares),
        }
        statement = insert(scoring_settings).values(tenant_id=self.unit.tenant_id, **values)
        await self.unit.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=values))

    async def must_wait(self, run_id: UUID) -> bool:
        """Return whether another run of the tenant goes first; until the end of the unit nobody else is told."""
        await self.unit.connection.execute(_TURN, str(self.unit.tenant_id))
        found: bool = await self.unit.connection.fetchval(_MUST_WAIT, self.unit.tenant_id, run_id)
        return found

    async def main_currency(self, run: Any) -> str | None:
        """Return the currency most purchases were made in."""
        found: str | None = await self.unit.connection.fetchval(_CURRENCY, self.unit.tenant_id, run["as_of"])
        return found

    async def thresholds(self, run: Any, currency: str | None, settings: ScoringSettings) -> Any:
        """Return the cut points over all customers, and how many there are to score."""
        return await self.unit.connection.fetchrow(
            _THRESHOLDS,
            self.unit.tenant_id,
            run["as_of"],
            currency,
            list(QUANTILES),
            *settings.grade_shares,
            run["created_at"],
        )

    async def score_chunk(self, run: Any, settings: ScoringSettings, size: int) -> asyncpg.Record:
        """Score the next customers behind the run's cursor; returns how many, and the last one's id."""
        cuts = run["thresholds"]
        row = await self.unit.connection.fetchrow(
            _SCORE,
            self.unit.tenant_id,
            run["as_of"],
            run["currency"],
            run["cursor"] or UUID(int=0),
            size,
            cuts["recency"] or [],
            cuts["frequency"] or [],
            cuts["monetary"] or [],
            cuts["grade_a"],
            cuts["grade_b"],
            cuts["grade_c"],
            settings.active_days,
            settings.dormant_days,
            settings.loyal_purchases,
            run["id"],
            run["created_at"],
        )
        assert row is not None  # noqa: S101 - an aggregate always yields a row
        return row

    async def summary(self, run_id: UUID) -> dict[str, Any]:
        """Return the counts of a finished run."""
        found: dict[str, Any] = await self.unit.connection.fetchval(_SUMMARY, self.unit.tenant_id, run_id)
        return found

    async def note(self, run_id: UUID, **values: Any) -> None:
        """Write progress; clients poll it, so the version follows."""
        await self.unit.execute(
            update(scoring_runs)
            .where(self.by_id(run_id))
            .values(**values, version=scoring_runs.c.version + 1, updated_at=self.unit.now())
        )
