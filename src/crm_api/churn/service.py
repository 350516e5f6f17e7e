"""What can be done about customers who may be leaving."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from crm_api.churn.backtesting import CHUNK, SAMPLE, Backtest, Plan, Report
from crm_api.churn.models import ChurnAssessmentCreate, ChurnBacktestCreate, ChurnSettingsUpdate, Level
from crm_api.churn.repository import (
    AssessmentRepository,
    BacktestRepository,
    ChurnSettingsRepository,
    MeasuringRepository,
)
from crm_api.churn.rules import RANK, Measures, Peers, Settings, Verdict, gather, is_alert, judge
from crm_api.churn.words import in_words
from crm_api.core.actor import Actor
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

READ = "churn:read"
WRITE = "churn:write"
ASSESS_JOB = "churn.assess"
BACKTEST_JOB = "churn.backtest"
WAIT_SECONDS = 1.0
"""How often an assessment looks whether the one before it has ended."""

NIGHT_HOUR: Final = 3
"""Hour of the tenant's zone from which its nightly assessment is due."""

_OPEN = frozenset({"queued", "running"})
_NOBODY: tuple[Level, None] = ("none", None)


class ChurnSettingsService:
    """What makes a customer's level."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ChurnSettingsRepository(unit)

    async def change(self, data: ChurnSettingsUpdate, *, expected_version: int | None = None) -> None:
        """Change the settings given, weights one by one; they hold from the next assessment on.

        Raises:
            Invalid: they do not go together.
            PreconditionFailed: their version is not the expected one.

        """
        self.unit.actor.require(WRITE)
        before, _ = await self.repository.settings(lock=True)
        given = data.model_dump(include=data.model_fields_set)
        if "weights" in given:
            given["weights"] = data.weights.model_dump(include=data.weights.model_fields_set)
        await self._store(before, before.changed(given), expected_version)

    async def preset(self, settings: Settings) -> None:
        """Store what a new tenant starts with."""
        await self.repository.store(settings)

    async def _store(self, before: Settings, after: Settings, expected_version: int | None) -> None:
        await self.repository.store(after, expected_version)
        tenant_id = self.unit.tenant_id
        self.unit.audit("churn_settings.updated", "Tenant", tenant_id, before=before.told(), after=after.told())
        self.unit.emit("churn_settings.updated", tenant_id, {})


@dataclass(frozen=True, slots=True)
class _Change:
    """What an assessment found out about a customer."""

    measures: Measures
    verdict: Verdict
    before: Level
    since: datetime | None
    alert: bool

    @property
    def moved(self) -> bool:
        return self.verdict.level != self.before

    @property
    def is_rise(self) -> bool:
        return RANK[self.verdict.level] > RANK[self.before]


class ChurnAssessmentService:
    """Assessments of all customers: in chunks, resumable, one of a tenant after another."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = AssessmentRepository(unit)
        self.customers = MeasuringRepository(unit)

    async def start(self, data: ChurnAssessmentCreate) -> UUID:
        """Queue an assessment; returns its id.

        Raises:
            Invalid: it would be in the future, or before one there is.

        """
        self.unit.actor.require(WRITE)
        await self.repository.take_turn()
        now = self.unit.now()
        as_of = data.as_of or now
        if as_of > now:
            raise Invalid.field("/as_of", "in_the_future", "Nobody can be assessed in the future", "不能以未来时间评估")
        latest = await self.repository.latest()
        if data.as_of is not None and latest is not None and as_of < latest:
            raise Invalid.field(
                "/as_of",
                "before_the_last",
                f"Customers were assessed as of {latest.isoformat()} already, and the log goes forward: name that time "
                "or a later one, or look into the past with POST /v1/churn/backtests",
                f"客户已按 {latest.isoformat()} 的状态评估，记录只能向前：请使用该时间或更晚的时间，"
                "或通过 POST /v1/churn/backtests 回测过去",
            )
        return await self._queue(max(as_of, latest) if latest is not None else as_of)

    async def start_nightly(self) -> UUID | None:
        """Queue the day's nightly assessment when it is due; returns its id, None when there is nothing to do."""
        await self.repository.take_turn()
        local = self.unit.now().astimezone(await self.repository.zone())
        if local.time() < time(NIGHT_HOUR) or not await self.repository.wants_night(local.date()):
            return None
        latest = await self.repository.latest()
        now = self.unit.now()
        return await self._queue(max(now, latest) if latest is not None else now, nightly_on=local.date())

    async def _queue(self, as_of: datetime, *, nightly_on: date | None = None) -> UUID:
        assessment_id = new_id()
        settings, version = await ChurnSettingsRepository(self.unit).settings()
        await self.repository.insert(
            {
                "id": assessment_id,
                "as_of": as_of,
                "nightly_on": nightly_on,
                "settings": settings.told(),
                "settings_version": version,
            }
        )
        await self.unit.enqueue(ASSESS_JOB, {"assessment_id": str(assessment_id)})
        told = {"as_of": as_of.isoformat(), "settings_version": version}
        self.unit.audit("churn_assessment.started", "ChurnAssessment", assessment_id, after=told)
        self.unit.emit("churn_assessment.started", assessment_id, {})
        return assessment_id

    # -- the job's steps -------------------------------------------------------------------------------------------

    async def prepare(self, assessment_id: UUID) -> bool:
        """Fix whom customers are compared with; returns whether there is anything to do now."""
        run = await self.repository.find(assessment_id, lock=True)
        if run is None or run["state"] not in _OPEN:
            return False
        if run["state"] == "running":
            return True
        if await self.repository.must_wait(assessment_id):
            # Not waited for here: a job that waits keeps a worker's slot, which the run before it may need.
            await self.unit.enqueue(ASSESS_JOB, {"assessment_id": str(assessment_id)}, delay_seconds=WAIT_SECONDS)
            return False
        settings = Settings.of(run["settings"])
        ids = await self.customers.sample(run["as_of"], SAMPLE)
        peers = gather(await self._measure(run, settings, ids), settings)
        await self.repository.note(
            assessment_id,
            state="running",
            peers=peers.told(),
            total=await self.customers.living(),
            started_at=self.unit.now(),
        )
        return True

    async def step(self, assessment_id: UUID) -> bool:
        """Assess the next chunk; returns whether there may be more.

        Levels, log, messages and the cursor are written together: whatever dies between two chunks, each customer is
        assessed once, and each rise told once.
        """
        run = await self.repository.get(assessment_id, lock=True)
        if run["state"] != "running":
            return False
        ids = await self.customers.after(run["cursor"], CHUNK)
        if not ids:
            await self._finish(run)
            return False
        changes = await self._judge(run, ids)
        await self._write(run, changes)
        moved = [each for each in changes if each.moved]
        rises = sum(each.is_rise for each in moved)
        await self.repository.note(
            assessment_id,
            cursor=ids[-1],
            processed=run["processed"] + len(ids),
            assessed=run["assessed"] + len(changes),
            rises=run["rises"] + rises,
            falls=run["falls"] + len(moved) - rises,
            alerts=run["alerts"] + sum(each.alert for each in moved),
        )
        return True

    async def give_up(self, assessment_id: UUID, reason: str) -> None:
        """Say on the assessment that nobody will go on with it."""
        run = await self.repository.find(assessment_id, lock=True)
        if run is not None and run["state"] in _OPEN:
            await self.repository.note(assessment_id, state="failed", error=reason[:1000], finished_at=self.unit.now())

    async def _measure(self, run: asyncpg.Record, settings: Settings, ids: Sequence[UUID]) -> list[Measures]:
        # Today's grades say nothing of a time long past.
        is_now = run["created_at"] - run["as_of"] < timedelta(days=1)
        zone = await self.repository.zone()
        return await self.customers.measure(ids, run["as_of"], zone, settings, grades=is_now)

    async def _judge(self, run: asyncpg.Record, ids: Sequence[UUID]) -> list[_Change]:
        settings, peers = Settings.of(run["settings"]), Peers.from_told(run["peers"])
        known = await self.repository.levels(ids)
        changes = []
        for each in await self._measure(run, settings, ids):
            # Who never came cannot leave; who has a level keeps one, even if all purchases have been refunded since.
            if each.silence is None and each.customer_id not in known:
                continue
            before, since = known.get(each.customer_id, _NOBODY)
            verdict = judge(each, settings, peers, before)
            changes.append(_Change(each, verdict, before, since, is_alert(before, verdict.level, settings)))
        return changes

    async def _write(self, run: asyncpg.Record, changes: Sequence[_Change]) -> None:
        as_of = run["as_of"]
        await self.repository.write(
            run["id"],
            as_of,
            [
                (
                    each.measures.customer_id,
                    each.verdict.level,
                    each.verdict.score,
                    as_of if each.moved or each.since is None else each.since,
                    each.measures.purchases,
                    each.measures.silence,
                    each.verdict.cycle,
                    each.verdict.reasons,
                )
                for each in changes
            ],
        )
        moved = [each for each in changes if each.moved]
        await self.repository.log([_logged(run, each) for each in moved])
        for each in moved:
            self._tell(run, each)

    def _tell(self, run: asyncpg.Record, change: _Change) -> None:
        customer_id, verdict = change.measures.customer_id, change.verdict
        told = {
            "assessment_id": str(run["id"]),
            "from": change.before,
            "to": verdict.level,
            "score": verdict.score,
            "as_of": run["as_of"].isoformat(),
        }
        self.unit.emit("churn.level_changed", customer_id, told)
        if change.alert:
            speaking = [each for each in verdict.reasons if each["contribution"] > 0]
            reasons = [
                {name: each[name] for name in ("indicator", "contribution", "en", "zh")} for each in in_words(speaking)
            ]
            self.unit.emit("churn.alert", customer_id, {**told, "reasons": reasons})

    async def _finish(self, run: asyncpg.Record) -> None:
        levels = await self.repository.count_levels(run["id"])
        await self.repository.note(run["id"], state="completed", levels=levels, finished_at=self.unit.now())
        told = {name: run[name] for name in ("assessed", "rises", "falls", "alerts")}
        self.unit.audit("churn_assessment.completed", "ChurnAssessment", run["id"], after=told)
        self.unit.emit("churn_assessment.completed", run["id"], told)


def _logged(run: asyncpg.Record, change: _Change) -> dict[str, Any]:
    return {
        "id": new_id(),
        "customer_id": change.measures.customer_id,
        "assessment_id": run["id"],
        "from_level": change.before,
        "to_level": change.verdict.level,
        "score": change.verdict.score,
        "alert": change.alert,
        "reasons": change.verdict.reasons,
        "at": run["as_of"],
    }


async def run_assessment(database: Database, tenant_id: UUID, assessment_id: UUID) -> None:
    """Do a whole assessment, a chunk per transaction, from wherever it stands."""
    actor = Actor.system(tenant_id, f"churn:{assessment_id}")

    async def prepare(unit: UnitOfWork) -> bool:
        return await ChurnAssessmentService(unit).prepare(assessment_id)

    async def step(unit: UnitOfWork) -> bool:
        return await ChurnAssessmentService(unit).step(assessment_id)

    if await database.run(actor, prepare):
        while await database.run(actor, step):
            continue


# -- back-tests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepared:
    """A back-test that is ready to run."""

    settings: Settings
    version: int
    plan: Plan
    zone: ZoneInfo


class ChurnBacktestService:
    """Tests of the warnings on the past."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = BacktestRepository(unit)

    async def start(self, data: ChurnBacktestCreate) -> UUID:
        """Queue a back-test; returns its id.

        Raises:
            Invalid: its last horizon is not over yet, or there is nothing to test on.

        """
        self.unit.actor.require(WRITE)
        prepared = await self.plan(data)
        backtest_id = new_id()
        plan = prepared.plan
        row = {
            "until": plan.until,
            "cuts": plan.cuts,
            "step_days": plan.step_days,
            "horizon_days": plan.horizon_days,
            "settings_version": prepared.version,
        }
        await self.repository.insert({"id": backtest_id, **row, "settings": prepared.settings.told()})
        await self.unit.enqueue(BACKTEST_JOB, {"backtest_id": str(backtest_id)})
        told = {**row, "until": plan.until.isoformat()}
        self.unit.audit("churn_backtest.started", "ChurnBacktest", backtest_id, after=told)
        self.unit.emit("churn_backtest.started", backtest_id, {})
        return backtest_id

    async def plan(self, data: ChurnBacktestCreate) -> Prepared:
        """Return what a back-test would test, without storing it.

        Raises:
            Invalid: as for `start`.

        """
        settings, version = await ChurnSettingsRepository(self.unit).settings()
        zone = await self.repository.zone()
        until = data.until or await self._latest_cut(zone, data.horizon_days)
        over = until + timedelta(days=data.horizon_days)
        if over > self.unit.now().astimezone(zone).date():
            raise Invalid.field(
                "/until",
                "in_the_future",
                f"The {data.horizon_days} days after {until} end on {over}, which lies ahead: name an earlier day or a "
                "shorter horizon_days",
                f"{until} 之后的 {data.horizon_days} 天到 {over} 才结束：请使用更早的日期或更短的 horizon_days",
            )
        return Prepared(settings, version, Plan(until, data.cuts, data.step_days, data.horizon_days), zone)

    async def _latest_cut(self, zone: ZoneInfo, horizon_days: int) -> date:
        # Old data that were imported end long before today: nobody is lost because the data are over.
        last = await MeasuringRepository(self.unit).last_purchase(zone, self.unit.now())
        if last is None:
            raise Invalid.field(
                "/until",
                "no_purchases",
                "There are no purchases to test on: import orders first",
                "没有可用于回测的购买记录：请先导入订单",
            )
        return min(last + timedelta(days=1), self.unit.now().astimezone(zone).date()) - timedelta(days=horizon_days)

    # -- the job's steps -------------------------------------------------------------------------------------------

    async def prepare(self, backtest_id: UUID) -> Prepared | None:
        """Begin, or begin again; returns what to do, None when there is nothing."""
        row = await self.repository.find(backtest_id, lock=True)
        if row is None or row["state"] not in _OPEN:
            return None
        started = row["started_at"] or self.unit.now()
        await self.repository.note(backtest_id, state="running", processed=0, started_at=started)
        plan = Plan(row["until"], row["cuts"], row["step_days"], row["horizon_days"])
        return Prepared(Settings.of(row["settings"]), row["settings_version"], plan, await self.repository.zone())

    async def progress(self, backtest_id: UUID, cuts: int) -> None:
        """Note how far it is."""
        await self.repository.note(backtest_id, processed=cuts)

    async def finish(self, backtest_id: UUID, result: dict[str, Any]) -> None:
        """Store the result; the first one stands."""
        row = await self.repository.get(backtest_id, lock=True)
        if row["state"] == "running":
            await self.repository.note(
                backtest_id, state="completed", result=result, processed=row["cuts"], finished_at=self.unit.now()
            )
            self.unit.emit("churn_backtest.completed", backtest_id, {"total": result["total"]})

    async def give_up(self, backtest_id: UUID, reason: str) -> None:
        """Say on the back-test that nobody will go on with it."""
        row = await self.repository.find(backtest_id, lock=True)
        if row is not None and row["state"] in _OPEN:
            await self.repository.note(backtest_id, state="failed", error=reason[:1000], finished_at=self.unit.now())


async def run_backtest(database: Database, tenant_id: UUID, backtest_id: UUID) -> None:
    """Do a stored back-test."""
    actor = Actor.system(tenant_id, f"churn backtest:{backtest_id}")

    async def prepare(unit: UnitOfWork) -> Prepared | None:
        return await ChurnBacktestService(unit).prepare(backtest_id)

    prepared = await database.run(actor, prepare)
    if prepared is None:
        return

    async def report(cuts: int, _figures: Any) -> None:
        async def note(unit: UnitOfWork) -> None:
            await ChurnBacktestService(unit).progress(backtest_id, cuts)

        await database.run(actor, note)

    result = await Backtest(database, actor, prepared.settings, prepared.plan).run(prepared.zone, report)

    async def finish(unit: UnitOfWork) -> None:
        await ChurnBacktestService(unit).finish(backtest_id, result)

    await database.run(actor, finish)


async def backtest_now(
    database: Database, tenant_id: UUID, data: ChurnBacktestCreate, report: Report
) -> dict[str, Any]:
    """Do a back-test at once and store nothing; returns plan and result as JSON."""
    actor = Actor.system(tenant_id, "churn backtest")
    async with database.read(actor) as unit:
        prepared = await ChurnBacktestService(unit).plan(data)
    plan = prepared.plan
    result = await Backtest(database, actor, prepared.settings, plan).run(prepared.zone, report)
    return {
        "until": plan.until.isoformat(),
        "cuts_planned": plan.cuts,
        "step_days": plan.step_days,
        "horizon_days": plan.horizon_days,
        "settings_version": prepared.version,
        **result,
    }
