"""What can be done with back-tests: tests of the warnings on the past."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.churn.backtesting import Backtest, Plan, Report
from crm_api.churn.models import ChurnBacktestCreate
from crm_api.churn.repository import BacktestRepository, ChurnSettingsRepository, MeasuringRepository
from crm_api.churn.rules import Settings
from crm_api.core.actor import Actor
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

WRITE = "churn:write"
JOB = "churn.backtest"
_OPEN = frozenset({"queued", "running"})


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
        await self.unit.enqueue(JOB, {"backtest_id": str(backtest_id)})
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
    """Do a back-test at once and store nothing; returns plan and result as JSON.

    Raises:
        Invalid: its last horizon is not over yet, or nobody had bought by then.

    """
    actor = Actor.system(tenant_id, "churn backtest")
    async with database.read(actor) as unit:
        prepared = await ChurnBacktestService(unit).plan(data)
        await _require_buyers(unit, prepared)
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


async def _require_buyers(unit: UnitOfWork, prepared: Prepared) -> None:
    # Columns of noughts would look like a result.
    until = prepared.plan.until
    first = await MeasuringRepository(unit).first_purchase(prepared.zone, unit.now())
    if first is None or first >= until:
        raise Invalid.field(
            "/until",
            "nobody_to_assess",
            f"Nobody had bought before {until}"
            + (f" (the first purchase was on {first})" if first else "")
            + ": import orders first, name a later day, or a shorter horizon_days",
            f"{until} 之前没有任何购买，无人可评估：请先导入订单，或使用更晚的日期、更短的 horizon_days",
        )
