"""Access to churn settings, assessments, levels and back-tests."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import orjson
from sqlalchemy import Uuid, any_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from crm_api.accounts.repository import TenantRepository
from crm_api.churn.models import Level
from crm_api.churn.peers import group_of
from crm_api.churn.repository import measuring
from crm_api.churn.repository.projections import (
    CHURN_ASSESSMENT,
    CHURN_BACKTEST,
    CHURN_SETTINGS,
    CHURN_STATE,
    CHURN_TRANSITION,
)
from crm_api.churn.rules import DEFAULTS, Measures, Settings
from crm_api.churn.tables import churn_assessments, churn_backtests, churn_log, churn_settings, customer_churn
from crm_api.core.errors import PreconditionFailed
from crm_api.customers.tables import customers
from crm_api.db.repository import Repository

__all__ = [
    "CHURN_ASSESSMENT",
    "CHURN_BACKTEST",
    "CHURN_SETTINGS",
    "CHURN_STATE",
    "CHURN_TRANSITION",
    "AssessmentRepository",
    "BacktestRepository",
    "ChurnSettingsRepository",
    "MeasuringRepository",
]


class ChurnSettingsRepository(Repository):
    """The tenant's settings."""

    table = churn_settings

    async def settings(self, *, lock: bool = False) -> tuple[Settings, int]:
        """Return the settings and their version; the defaults, version 0, when nobody has stored any."""
        statement = select(churn_settings).where(self.mine())
        row = await self.unit.fetch_one(statement.with_for_update() if lock else statement)
        return (DEFAULTS, 0) if row is None else (Settings.of(dict(row)), row["version"])

    async def store(self, settings: Settings, expected_version: int | None = None) -> None:
        """Store them.

        Raises:
            PreconditionFailed: their version is not the expected one.

        """
        _, version = await self.settings(lock=True)
        if expected_version is not None and expected_version != version:
            raise PreconditionFailed
        changes = {**settings.told(), "version": version + 1, "updated_at": func.now()}
        statement = insert(churn_settings).values(tenant_id=self.unit.tenant_id, **settings.told())
        await self.unit.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=changes))


class _RunRepository(Repository):
    """Long works of a tenant that go one after another."""

    async def zone(self) -> ZoneInfo:
        """Return the tenant's time zone."""
        return ZoneInfo((await TenantRepository(self.unit).current()).time_zone)

    async def note(self, run_id: UUID, **values: Any) -> None:
        """Write progress; clients poll it, so the version follows."""
        await self.change(run_id, values)


_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('crm churn ' || $1, 0))"
_MUST_WAIT = """
SELECT EXISTS (
  SELECT FROM churn_assessments
  WHERE tenant_id = $1 AND id <> $2 AND (state = 'running' OR (state = 'queued' AND id < $2))
)
"""
_LATEST = "SELECT max(as_of) FROM churn_assessments WHERE tenant_id = $1 AND state <> 'failed'"

_LAST_BEGUN = """
SELECT * FROM churn_assessments WHERE tenant_id = $1 AND state IN ('running', 'completed') AND peers IS NOT NULL
ORDER BY as_of DESC, id DESC LIMIT 1 FOR UPDATE
"""

_WRITE = """
INSERT INTO customer_churn (tenant_id, assessment_id, as_of, customer_id, level, score, level_since, purchases,
  silence_days, cycle_days, reasons)
SELECT $1, $2, $3, g.customer_id, g.level, g.score, g.since, g.purchases, g.silence, g.cycle, g.reasons::jsonb
FROM unnest($4::uuid[], $5::text[], $6::float8[], $7::timestamptz[], $8::int[], $9::int[],
  $10::float8[], $11::text[]) AS g (customer_id, level, score, since, purchases, silence, cycle, reasons)
ON CONFLICT (tenant_id, customer_id) DO UPDATE SET
  assessment_id = excluded.assessment_id, as_of = excluded.as_of, level = excluded.level, score = excluded.score,
  level_since = excluded.level_since, purchases = excluded.purchases, silence_days = excluded.silence_days,
  cycle_days = excluded.cycle_days, reasons = excluded.reasons
"""

_LEVELS = """
SELECT coalesce(jsonb_object_agg(level, n), '{}') FROM (
  SELECT level, count(*) AS n FROM customer_churn WHERE tenant_id = $1 AND assessment_id = $2 GROUP BY 1
) AS each
"""

_BEGIN_NIGHT = """
SELECT NOT EXISTS (SELECT FROM churn_assessments WHERE tenant_id = $1 AND nightly_on = $2)
  AND EXISTS (SELECT FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL)
"""


class AssessmentRepository(_RunRepository):
    """Assessments and what they write."""

    table = churn_assessments

    async def take_turn(self) -> None:
        """Keep other assessments of the tenant from beginning until the unit ends."""
        await self.unit.connection.execute(_TURN, str(self.unit.tenant_id))

    async def latest(self) -> datetime | None:
        """Return as of when the tenant was assessed last, or will be."""
        found: datetime | None = await self.unit.connection.fetchval(_LATEST, self.unit.tenant_id)
        return found

    async def last_begun(self) -> asyncpg.Record | None:
        """Return the assessment that levels go by, held against its own steps until the unit ends."""
        return await self.unit.connection.fetchrow(_LAST_BEGUN, self.unit.tenant_id)

    async def must_wait(self, assessment_id: UUID) -> bool:
        """Return whether another assessment goes first; until the end of the unit nobody else is told."""
        await self.take_turn()
        return bool(await self.unit.connection.fetchval(_MUST_WAIT, self.unit.tenant_id, assessment_id))

    async def wants_night(self, day: date) -> bool:
        """Return whether a day's nightly assessment is still to be made, of a tenant with customers."""
        return bool(await self.unit.connection.fetchval(_BEGIN_NIGHT, self.unit.tenant_id, day))

    async def levels(self, ids: Sequence[UUID]) -> dict[UUID, tuple[Level, datetime]]:
        """Return level, and since when, of those who have one."""
        t = customer_churn
        rows = await self.unit.fetch_all(
            select(t.c.customer_id, t.c.level, t.c.level_since).where(
                self.mine(t), t.c.customer_id == any_(literal(list(ids), ARRAY(Uuid)))
            )
        )
        return {row["customer_id"]: (row["level"], row["level_since"]) for row in rows}

    async def write(self, assessment_id: UUID, as_of: datetime, rows: Sequence[tuple[Any, ...]]) -> None:
        """Store levels: (customer, level, score, since, purchases, silence, cycle, reasons) each."""
        if rows:
            *arrays, reasons = (list(each) for each in zip(*rows, strict=True))
            # As text: an array of lists would be taken for one of two dimensions.
            written = [orjson.dumps(each).decode() for each in reasons]
            await self.unit.connection.execute(_WRITE, self.unit.tenant_id, assessment_id, as_of, *arrays, written)

    async def log(self, rows: list[dict[str, Any]]) -> None:
        """Append to the level log."""
        await self.insert_many(rows, churn_log)

    async def count_levels(self, assessment_id: UUID) -> dict[str, int]:
        """Return how many customers are at each level."""
        found: dict[str, int] = await self.unit.connection.fetchval(_LEVELS, self.unit.tenant_id, assessment_id)
        return found


class BacktestRepository(_RunRepository):
    """Back-tests."""

    table = churn_backtests


class MeasuringRepository(Repository):
    """What customers did before a moment."""

    table = customers

    async def living(self) -> int:
        """Return the number of customers."""
        counted: int = await self.unit.connection.fetchval(measuring.LIVING, self.unit.tenant_id)
        return counted

    async def after(self, cursor: UUID | None, size: int) -> list[UUID]:
        """Return the next customers, in the order of their ids."""
        rows = await self.unit.connection.fetch(measuring.AFTER, self.unit.tenant_id, cursor or UUID(int=0), size)
        return [row["id"] for row in rows]

    async def living_of(self, ids: Collection[UUID]) -> list[UUID]:
        """Return those who were neither deleted nor merged away, in the order of their ids."""
        rows = await self.unit.connection.fetch(measuring.LIVING_OF, self.unit.tenant_id, list(ids))
        return [row["id"] for row in rows]

    async def sample(self, as_of: datetime, size: int) -> list[UUID]:
        """Return up to so many customers who had bought, drawn by the hash of their ids: the same ones each time."""
        rows = await self.unit.connection.fetch(measuring.SAMPLE, self.unit.tenant_id, as_of, size)
        return [row["id"] for row in rows]

    async def measure(
        self, ids: Sequence[UUID], as_of: datetime, zone: ZoneInfo, settings: Settings, *, grades: bool
    ) -> list[Measures]:
        """Return what customers did before ``as_of``; ``grades``: whether today's grades may be used."""
        recent, start = measuring.windows(as_of, settings)
        rows = await self.unit.connection.fetch(
            measuring.MEASURE,
            self.unit.tenant_id,
            as_of,
            zone.key,
            list(ids),
            recent,
            start,
            grades and settings.peers == "grade",
        )
        return [_measures(row, settings, grades=grades) for row in rows]

    async def buyers(self, ids: Sequence[UUID], start: datetime, end: datetime) -> set[UUID]:
        """Return those who bought from ``start`` until before ``end``."""
        rows = await self.unit.connection.fetch(measuring.BUYERS, self.unit.tenant_id, end, list(ids), start)
        return {row["customer_id"] for row in rows}

    async def first_purchase(self, zone: ZoneInfo, now: datetime) -> date | None:
        """Return the day of the tenant's first purchase."""
        found: date | None = await self.unit.connection.fetchval(
            measuring.FIRST_PURCHASE, self.unit.tenant_id, now, zone.key
        )
        return found

    async def last_purchase(self, zone: ZoneInfo, now: datetime) -> date | None:
        """Return the day of the tenant's last purchase."""
        found: date | None = await self.unit.connection.fetchval(
            measuring.LAST_PURCHASE, self.unit.tenant_id, now, zone.key
        )
        return found


def _measures(row: asyncpg.Record, settings: Settings, *, grades: bool) -> Measures:
    given: Mapping[str, Any] = dict(row)
    kind = "all" if settings.peers == "grade" and not grades else settings.peers
    group = group_of(kind, given["purchases"], given["grade"])
    return Measures(group=group, **{name: value for name, value in given.items() if name != "grade"})
