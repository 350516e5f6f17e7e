"""What can be done about customers who may be leaving."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.churn.backtesting import CHUNK, SAMPLE
from crm_api.churn.models import ChurnAssessmentCreate, ChurnSettingsUpdate, Level
from crm_api.churn.peers import Peers, gather
from crm_api.churn.repository import (
    AssessmentRepository,
    ChurnSettingsRepository,
    MeasuringRepository,
)
from crm_api.churn.rules import Measures, Settings
from crm_api.churn.verdicts import RANK, Verdict, is_alert, judge
from crm_api.churn.words import in_words
from crm_api.core.actor import Actor
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

WRITE = "churn:write"
JOB = "churn.assess"
WAIT_SECONDS = 1.0
"""How often an assessment looks whether the one before it has ended."""

NIGHT: Final = (time(3), time(9))
"""When, in the tenant's zone, the day's assessment is made; the later hours are for a worker that was away."""

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
        if not NIGHT[0] <= local.time() < NIGHT[1] or not await self.repository.wants_night(local.date()):
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
        await self.unit.enqueue(JOB, {"assessment_id": str(assessment_id)})
        told = {"as_of": as_of.isoformat(), "settings_version": version}
        self.unit.audit("churn_assessment.started", "ChurnAssessment", assessment_id, after=told)
        self.unit.emit("churn_assessment.started", assessment_id, {})
        return assessment_id

    async def reassess(self, customer_ids: Collection[UUID]) -> None:
        """Assess customers whose history has changed hands, just as the last assessment would have.

        Same moment, settings and peers: a winner is not called because the visits were entered under another name, and
        nobody is measured against another day than the rest. Before the first assessment there is nothing to do.
        """
        run = await self.repository.last_begun()
        if run is not None:
            ids = await self.customers.living_of(customer_ids)
            await self._write(run, await self._judge(run, ids))

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
            await self.unit.enqueue(JOB, {"assessment_id": str(assessment_id)}, delay_seconds=WAIT_SECONDS)
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
