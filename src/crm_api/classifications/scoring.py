"""Scoring: all classes of everybody in one statement as a job, or of a few customers at once."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from crm_api.classifications.definitions import DIMENSIONS, Dimension
from crm_api.classifications.models import Cause, RunCause, ScoringRunCreate
from crm_api.classifications.names import starting
from crm_api.classifications.repository.scoring import ScoringRepository
from crm_api.classifications.rules import FOREVER, Moment, end_of_period, flattened, month_before
from crm_api.core.actor import Actor
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

WRITE = "segments:write"
JOB = "segments.score"
CHANGED = "classification.changed"
TOLD_AT_ONCE = 1_000
"""Customers a message names."""
WAIT_SECONDS = 1.0
"""How often a run looks whether the one before it has ended."""


class ScoringService:
    """Scoring of one tenant's customers."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ScoringRepository(unit)

    # -- runs over everybody ---------------------------------------------------------------------------------------

    async def start(self, data: ScoringRunCreate, *, cause: RunCause = "asked") -> UUID:
        """Queue a run; returns its id.

        Raises:
            Invalid: a moment in the future, or a period that is not over or none.

        """
        self.unit.actor.require(WRITE)
        now = self.unit.now()
        as_of = data.as_of or now
        if data.period is not None:
            as_of = await self._end_of(data)
        if as_of > now:
            raise Invalid.field("/as_of", "in_the_future", "Nobody can be scored in the future", "不能以未来时间评分")
        run_id = new_id()
        row = {"id": run_id, "as_of": as_of, "currency": data.currency, "period": data.period, "cause": cause}
        await self.repository.insert(row)
        await self.unit.enqueue(JOB, {"run_id": str(run_id)})
        self.unit.audit("scoring.started", "ScoringRun", run_id, after={**data.model_dump(mode="json"), "cause": cause})
        return run_id

    async def _end_of(self, data: ScoringRunCreate) -> Any:
        if data.as_of is not None:
            raise Invalid.field(
                "/as_of", "one_of", "A period has its own moment: leave one out", "period 与 as_of 二选一"
            )
        assert data.period is not None  # noqa: S101 - asked before
        try:
            end = end_of_period(data.period, await self.repository.zone())
        except ValueError:
            raise Invalid.field(
                "/period", "bad_format", "A period is 2026-10, 2026-Q3 or 2026", "周期应为 2026-10、2026-Q3 或 2026"
            ) from None
        if end > self.unit.now():
            raise Invalid.field("/period", "not_over", "This period is not over yet", "该周期尚未结束")
        return end

    async def start_nightly(self) -> None:
        """Queue what a night brings: a run over everybody, and the month that has ended if it is not kept yet."""
        if not await self.repository.people():
            return
        if not await self.repository.unfinished(period=None):
            await self.start(ScoringRunCreate(), cause="schedule")
        month = month_before(self.unit.now(), await self.repository.zone())
        if not await self.repository.has_period(month):
            await self.start(ScoringRunCreate(period=month), cause="schedule")

    async def prepare(self, run_id: UUID) -> bool:
        """Begin a run; returns whether there is anything to do now: one run of a tenant goes after another."""
        run = await self.repository.find(run_id, lock=True)
        if run is None or run["state"] not in {"queued", "running"}:
            return False
        if run["state"] == "running":
            return True
        if await self.repository.must_wait(run_id):
            # Two runs at once would log each change twice. Not waited for here: a job that waits keeps a worker's
            # slot, which the run before it may need.
            await self.unit.enqueue(JOB, {"run_id": str(run_id)}, delay_seconds=WAIT_SECONDS)
            return False
        await self.repository.note(
            run_id,
            state="running",
            currency=run["currency"] or await self.repository.main_currency(run["as_of"]),
            total=await self.repository.people(run["created_at"]),
            started_at=self.unit.now(),
        )
        return True

    async def score(self, run_id: UUID) -> None:
        """Score everybody and end the run: one transaction, so a killed worker's successor finds it undone or done."""
        run = await self.repository.get(run_id, lock=True)
        if run["state"] != "running":
            return
        await self.repository.hold_scores()
        definitions, versions = await self._definitions()
        settings = flattened(definitions, await self._moment(run), {})
        if run["period"] is not None:
            found = await self.repository.score_period(settings, run_id, run["period"])
        else:
            cause = "edit" if run["cause"] == "edit" else "run"
            found = await self.repository.score_all(settings, run_id, cause)
            self._tell(found, cause)
        await self.repository.note(
            run_id,
            state="completed",
            processed=found["people"],
            total=found["people"],
            versions=versions,
            thresholds=_thresholds(found),
            summary=await self.repository.summary(run_id, period=run["period"] is not None),
            finished_at=self.unit.now(),
        )
        if run["period"] is None:
            self.unit.emit("scoring.finished", run_id, {"run_id": str(run_id)})

    async def fail(self, run_id: UUID, error: str) -> None:
        """Give a run up."""
        run = await self.repository.find(run_id, lock=True)
        if run is None or run["state"] not in {"queued", "running"}:
            return
        await self.repository.note(run_id, state="failed", error=error[:1000], finished_at=self.unit.now())

    # -- single customers ------------------------------------------------------------------------------------------

    async def assess(self, customer_ids: Collection[UUID], cause: Cause) -> None:
        """Score these customers anew, by the definitions as they are and the edges of the last run."""
        if not customer_ids:
            return
        await self.repository.hold_scores()
        definitions, _ = await self._definitions()
        currency, standing = await self.repository.standing()
        home = await self.repository.home_currency()
        now = self.unit.now()
        moment = Moment(now, now, FOREVER, currency or home, home)
        settings = flattened(definitions, moment, standing)
        self._tell(await self.repository.score_some(settings, sorted(customer_ids), cause), cause)

    # -- the past --------------------------------------------------------------------------------------------------

    async def reckon_matrix(self, dimension: Dimension, start: datetime, end: datetime) -> list[asyncpg.Record]:
        """Return (before, after, customers) by the orders at two moments and today's definitions; writes nothing."""
        definitions, _ = await self._definitions()
        home = await self.repository.home_currency()
        # One currency for both, or everybody would move when most purchases begin to be made in another.
        currency = await self.repository.main_currency(end)
        first, second = (flattened(definitions, Moment(at, end, FOREVER, currency, home), {}) for at in (start, end))
        return await self.repository.reckoned_matrix(dimension, first, second, start, end)

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _definitions(self) -> tuple[dict[str, Mapping[str, Any]], dict[str, int]]:
        stored = await self.repository.definitions()
        definitions: dict[str, Mapping[str, Any]] = {
            each: stored[each]["definition"] if each in stored else starting(each, {})[0] for each in DIMENSIONS
        }
        return definitions, {each: stored[each]["version"] for each in DIMENSIONS if each in stored}

    async def _moment(self, run: asyncpg.Record) -> Moment:
        home = await self.repository.home_currency()
        return Moment(run["as_of"], self.unit.now(), run["created_at"], run["currency"], home)

    def _tell(self, found: asyncpg.Record, cause: str) -> None:
        """Say who changed, a message for each thousand, so that segments look at them again."""
        changed: Sequence[UUID] = found["customers"]
        for start in range(0, len(changed), TOLD_AT_ONCE):
            ids = changed[start : start + TOLD_AT_ONCE]
            payload = {"customer_ids": [str(each) for each in ids], "dimensions": found["dimensions"], "cause": cause}
            self.unit.emit(CHANGED, ids[0], payload)


def _thresholds(found: asyncpg.Record) -> dict[str, Any]:
    quantiles, grades = found["quantiles"] or {}, found["grade"]
    return {
        **{axis: quantiles.get(axis) for axis in ("recency", "frequency", "monetary")},
        "edges": found["edges"],
        "grade": grades,
        **{f"grade_{letter}": cut for letter, cut in zip("abc", grades, strict=True)},
    }


async def run_scoring(database: Database, tenant_id: UUID, run_id: UUID) -> None:
    """Do a whole run, from wherever it stands."""
    actor = Actor.system(tenant_id, f"scoring:{run_id}")

    async def prepare(unit: UnitOfWork) -> bool:
        return await ScoringService(unit).prepare(run_id)

    async def score(unit: UnitOfWork) -> None:
        await ScoringService(unit).score(run_id)

    if await database.run(actor, prepare):
        await database.run(actor, score)
