"""Scoring runs: RFM, grade and lifecycle of every customer, in chunks, resumable."""

from uuid import UUID

from crm_api.classifications.models import ScoringRunCreate
from crm_api.classifications.repository.scoring import ScoringRepository
from crm_api.classifications.rules import ScoringSettings
from crm_api.core.actor import Actor
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

WRITE = "segments:write"
JOB = "segments.score"
CHUNK = 10_000
WAIT_SECONDS = 1.0
"""How often a run looks whether the one before it has ended."""

_CUTS = ("recency", "frequency", "monetary", "grade_a", "grade_b", "grade_c")


class ScoringService:
    """Scoring runs of one tenant."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ScoringRepository(unit)

    async def configure(self, settings: ScoringSettings) -> None:
        """Store the tenant's thresholds."""
        await self.repository.set_settings(settings)

    async def start(self, data: ScoringRunCreate) -> UUID:
        """Queue a run; returns its id."""
        self.unit.actor.require(WRITE)
        now = self.unit.now()
        as_of = data.as_of or now
        if as_of > now:
            raise Invalid.field("/as_of", "in_the_future", "Nobody can be scored in the future", "不能以未来时间评分")
        run_id = new_id()
        await self.repository.insert({"id": run_id, "as_of": as_of, "currency": data.currency})
        await self.unit.enqueue(JOB, {"run_id": str(run_id)})
        self.unit.audit("scoring.started", "ScoringRun", run_id, after=data.model_dump(mode="json"))
        return run_id

    async def prepare(self, run_id: UUID) -> bool:
        """Fix the cut points; returns whether there is anything to do now: one run of a tenant goes after another."""
        run = await self.repository.find(run_id, lock=True)
        if run is None or run["state"] not in {"queued", "running"}:
            return False
        if run["thresholds"] is None:
            if await self.repository.must_wait(run_id):
                # Two runs at once would mix their scores and log each change twice. Not waited for here: a job that
                # waits keeps a worker's slot, which the run before it may need.
                await self.unit.enqueue(JOB, {"run_id": str(run_id)}, delay_seconds=WAIT_SECONDS)
                return False
            settings = await self.repository.settings()
            currency = run["currency"] or await self.repository.main_currency(run)
            row = await self.repository.thresholds(run, currency, settings)
            await self.repository.note(
                run_id,
                state="running",
                currency=currency,
                thresholds={name: row[name] for name in _CUTS},
                total=row["total"],
                started_at=self.unit.now(),
            )
        return True

    async def step(self, run_id: UUID) -> bool:
        """Score the next chunk; returns whether there is more."""
        run = await self.repository.get(run_id, lock=True)
        if run["state"] != "running":
            return False
        done = await self.repository.score_chunk(run, await self.repository.settings(), CHUNK)
        if done["done"]:
            await self.repository.note(run_id, processed=run["processed"] + done["done"], cursor=done["last"])
            return True
        await self._finish(run_id)
        return False

    async def _finish(self, run_id: UUID) -> None:
        summary = await self.repository.summary(run_id)
        await self.repository.note(run_id, state="completed", summary=summary, finished_at=self.unit.now())
        self.unit.emit("scoring.finished", run_id, {"run_id": str(run_id)})

    async def fail(self, run_id: UUID, error: str) -> None:
        """Give a run up."""
        run = await self.repository.find(run_id, lock=True)
        if run is None or run["state"] not in {"queued", "running"}:
            return
        await self.repository.note(run_id, state="failed", error=error[:1000], finished_at=self.unit.now())


async def run_scoring(database: Database, tenant_id: UUID, run_id: UUID) -> None:
    """Do a whole run, a chunk per transaction, from wherever it stands."""
    actor = Actor.system(tenant_id, f"scoring:{run_id}")

    async def prepare(unit: UnitOfWork) -> bool:
        return await ScoringService(unit).prepare(run_id)

    async def step(unit: UnitOfWork) -> bool:
        return await ScoringService(unit).step(run_id)

    if await database.run(actor, prepare):
        while await database.run(actor, step):
            continue
