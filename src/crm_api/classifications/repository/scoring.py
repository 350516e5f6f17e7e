"""Access to scoring runs, and to what they and single assessments write: everything set-based."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import func, select, update

from crm_api.accounts.repository import TenantRepository
from crm_api.classifications.definitions import COLUMNS
from crm_api.classifications.repository.statements import (
    BOUGHT,
    SCORE_ALL,
    SCORE_PERIOD,
    SCORE_SOME,
    reckoned_matrix,
)
from crm_api.classifications.tables import classifications, scoring_runs
from crm_api.customers.tables import customers
from crm_api.db.repository import Repository

_CURRENCY = f"""
SELECT currency FROM orders
WHERE tenant_id = $1 AND placed_at < $2 AND status IN {BOUGHT}
GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1
"""  # noqa: S608 - constants of this module

_CLASS_COUNTS = """
WITH scores AS MATERIALIZED (SELECT * FROM {table} WHERE tenant_id = $1 AND run_id = $2),
counted AS (
  SELECT v.dimension, v.class, count(*) AS n
  FROM scores, LATERAL (VALUES ('frequency', frequency_class), ('amount', amount_class), ('loyalty', loyalty_class),
    ('value', value_class), ('activity', activity_class), ('value_potential', value_potential), ('grade', grade),
    ('rfm', rfm_group), ('lifecycle', lifecycle)) AS v (dimension, class)
  WHERE v.class IS NOT NULL GROUP BY 1, 2
),
shown AS (SELECT dimension, jsonb_object_agg(class, n) AS classes FROM counted GROUP BY 1)
SELECT jsonb_build_object(
  'lifecycle', coalesce((SELECT classes FROM shown WHERE dimension = 'lifecycle'), '{{}}'),
  'grades', coalesce((SELECT classes FROM shown WHERE dimension = 'grade'), '{{}}'),
  'classes', coalesce((SELECT jsonb_object_agg(dimension, classes) FROM shown), '{{}}'),
  'rfm', (SELECT coalesce(jsonb_agg(jsonb_build_object('r', r, 'f', f, 'customers', n, 'monetary', total)
                                    ORDER BY r, f), '[]') FROM
     (SELECT r, f, count(*) AS n, sum(monetary_amount) AS total FROM scores WHERE r IS NOT NULL GROUP BY 1, 2) c))
"""
_SUMMARY = _CLASS_COUNTS.format(table="customer_scores")
_PERIOD_SUMMARY = _CLASS_COUNTS.format(table="period_scores")

_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('crm scoring ' || $1, 0))"
# Whoever writes scores holds this; a run over everybody may take longer than other locks are waited for.
_PATIENCE = "SET LOCAL lock_timeout = '60s'"
_WRITERS = "SELECT pg_advisory_xact_lock(hashtextextended('crm scores ' || $1, 0))"
# Everybody's measures are some 30 MB for 200,000 customers; in 4 MB each step of the statement would go through files.
_ROOM = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"
_MUST_WAIT = """
SELECT EXISTS (
  SELECT FROM scoring_runs
  WHERE tenant_id = $1 AND id <> $2 AND (state = 'running' OR (state = 'queued' AND id < $2))
)
"""
_STANDING = """
SELECT currency, thresholds FROM scoring_runs
WHERE tenant_id = $1 AND state = 'completed' AND period IS NULL ORDER BY finished_at DESC, id DESC LIMIT 1
"""
_BEGINNING = "SELECT min(at) FROM class_log WHERE tenant_id = $1"
# Two scorings of everybody, of which a shop of a million orders takes some 4 s each: more than other requests may.
_AT_LENGTH = "SET LOCAL statement_timeout = '60s'"
_FORGET_PERIOD = "DELETE FROM period_scores WHERE tenant_id = $1 AND period = $2"


class ScoringRepository(Repository):
    """Scoring runs and what they write."""

    table = scoring_runs

    async def zone(self) -> ZoneInfo:
        """Return the tenant's time zone."""
        return ZoneInfo((await TenantRepository(self.unit).current()).time_zone)

    async def home_currency(self) -> str:
        """Return the tenant's currency."""
        return (await TenantRepository(self.unit).current()).currency

    async def definitions(self) -> dict[str, asyncpg.Record]:
        """Return dimension → row of its definition."""
        rows = await self.unit.fetch_all(select(classifications).where(self.mine(classifications)))
        return {row["dimension"]: row for row in rows}

    async def standing(self) -> tuple[str | None, Mapping[str, Any]]:
        """Return currency and thresholds of the last run over everybody; None and nothing before the first."""
        row = await self.unit.connection.fetchrow(_STANDING, self.unit.tenant_id)
        return (None, {}) if row is None else (row["currency"], row["thresholds"] or {})

    async def must_wait(self, run_id: UUID) -> bool:
        """Return whether another run of the tenant goes first; until the end of the unit nobody else is told."""
        await self.unit.connection.execute(_TURN, str(self.unit.tenant_id))
        found: bool = await self.unit.connection.fetchval(_MUST_WAIT, self.unit.tenant_id, run_id)
        return found

    async def unfinished(self, **like: Any) -> bool:
        """Tell whether a run with these values waits or runs."""
        t = scoring_runs
        same = [t.c[name].is_(None) if value is None else t.c[name] == value for name, value in like.items()]
        statement = select(func.count()).where(self.mine(), t.c.state.in_(("queued", "running")), *same)
        return bool(await self.unit.fetch_value(statement))

    async def has_period(self, period: str) -> bool:
        """Tell whether a period has been scored, or will be."""
        t = scoring_runs
        statement = select(func.count()).where(self.mine(), t.c.period == period, t.c.state != "failed")
        return bool(await self.unit.fetch_value(statement))

    async def people(self, before: datetime | None = None) -> int:
        """Return how many living customers there are, or were entered before a moment."""
        c = customers
        known = [] if before is None else [c.c.created_at < before]
        statement = select(func.count()).where(self.mine(c), c.c.deleted_at.is_(None), *known)
        found: int = await self.unit.fetch_value(statement)
        return found

    async def main_currency(self, before: datetime) -> str | None:
        """Return the currency most purchases before a moment were made in."""
        found: str | None = await self.unit.connection.fetchval(_CURRENCY, self.unit.tenant_id, before)
        return found

    async def hold_scores(self) -> None:
        """Wait for whoever else writes scores of this tenant; the next statement sees what they wrote."""
        await self.unit.connection.execute(_PATIENCE)
        await self.unit.connection.execute(_WRITERS, str(self.unit.tenant_id))

    async def score_all(self, settings: Mapping[str, Any], run_id: UUID, cause: str) -> asyncpg.Record:
        """Score everybody; returns people, who changed in what, and the edges that were found."""
        await self.unit.connection.execute(_ROOM)
        return await self._one(SCORE_ALL, settings, run_id, cause)

    async def score_some(self, settings: Mapping[str, Any], ids: Sequence[UUID], cause: str) -> asyncpg.Record:
        """Score these customers by the edges of the last run; returns people, and who changed in what."""
        return await self._one(SCORE_SOME, settings, list(ids), cause)

    async def score_period(self, settings: Mapping[str, Any], run_id: UUID, period: str) -> asyncpg.Record:
        """Keep what everybody's scores were at the end of a period, in the place of what was kept before."""
        await self.unit.connection.execute(_ROOM)
        await self.unit.connection.execute(_FORGET_PERIOD, self.unit.tenant_id, period)
        return await self._one(SCORE_PERIOD, settings, run_id, period)

    async def beginning(self) -> datetime | None:
        """Return since when classes are on record; None before the first one."""
        found: datetime | None = await self.unit.connection.fetchval(_BEGINNING, self.unit.tenant_id)
        return found

    async def reckoned_matrix(
        self, dimension: str, first: Mapping[str, Any], second: Mapping[str, Any], start: datetime, end: datetime
    ) -> list[asyncpg.Record]:
        """Return (before, after, customers) of all living customers by the orders; nothing is written.

        Args:
            dimension: whose classes.
            first: the definitions at the first moment, `crm_api.classifications.rules.flattened`.
            second: at the second.
            start: the first moment.
            end: the second.

        """
        await self.unit.connection.execute(f"{_ROOM}; {_AT_LENGTH}")
        statement = reckoned_matrix(COLUMNS[dimension])
        rows: list[asyncpg.Record] = await self.unit.connection.fetch(
            statement, self.unit.tenant_id, first, second, start, end
        )
        return rows

    async def _one(self, sql: str, settings: Mapping[str, Any], *values: Any) -> asyncpg.Record:
        row = await self.unit.connection.fetchrow(sql, self.unit.tenant_id, settings, *values)
        assert row is not None  # noqa: S101 - an aggregate always yields a row
        return row

    async def summary(self, run_id: UUID, *, period: bool) -> dict[str, Any]:
        """Return the counts of a finished run."""
        sql = _PERIOD_SUMMARY if period else _SUMMARY
        found: dict[str, Any] = await self.unit.connection.fetchval(sql, self.unit.tenant_id, run_id)
        return found

    async def note(self, run_id: UUID, **values: Any) -> None:
        """Write progress; clients poll it, so the version follows."""
        await self.unit.execute(
            update(scoring_runs)
            .where(self.by_id(run_id))
            .values(**values, version=scoring_runs.c.version + 1, updated_at=self.unit.now())
        )
