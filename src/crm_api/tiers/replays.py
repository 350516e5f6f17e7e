"""Replays: everybody's tier worked out anew, in chunks, by whoever is alive."""

from typing import Final
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.tiers.following import BATCH, Following
from crm_api.tiers.repository import ReplayRepository, SchemeRepository
from crm_api.tiers.service import JOB

WAIT_SECONDS: Final = 1.0
"""How often a replay looks whether the one before it has ended."""

_OPEN: Final = frozenset({"queued", "running"})


class ReplayService:
    """The steps of a replay: one of a tenant after another, resumable."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ReplayRepository(unit)

    async def prepare(self, replay_id: UUID) -> bool:
        """Begin; returns whether there is anything to do now."""
        run = await self.repository.find(replay_id, lock=True)
        if run is None or run["state"] not in _OPEN:
            return False
        if run["state"] == "running":
            return True
        if await self.repository.must_wait(replay_id):
            # Not waited for here: a job that waits keeps a worker's slot, which the replay before it may need.
            await self.unit.enqueue(JOB, {"replay_id": str(replay_id)}, delay_seconds=WAIT_SECONDS)
            return False
        total = await self.repository.total()
        await self.repository.change(replay_id, {"state": "running", "total": total, "started_at": self.unit.now()})
        return True

    async def step(self, replay_id: UUID) -> bool:
        """Look at the next chunk; returns whether there may be more.

        Tiers, log, messages and the cursor are written together: whatever dies between two chunks, each change is
        told once.
        """
        run = await self.repository.get(replay_id, lock=True)
        if run["state"] != "running":
            return False
        ids = await self.repository.after(run["cursor"], BATCH)
        if not ids:
            await self._finish(replay_id, run["processed"], run["moved"])
            return False
        schemes = [each for each in await SchemeRepository(self.unit).schemes() if each.id == run["scheme_id"]]
        moved = await Following(self.unit).look(ids, run["cause"], schemes)
        progress = {"cursor": ids[-1], "processed": run["processed"] + len(ids), "moved": run["moved"] + moved}
        await self.repository.change(replay_id, progress)
        return True

    async def give_up(self, replay_id: UUID, reason: str) -> None:
        """Say on the replay that nobody will go on with it."""
        run = await self.repository.find(replay_id, lock=True)
        if run is not None and run["state"] in _OPEN:
            values = {"state": "failed", "error": reason[:1000], "finished_at": self.unit.now()}
            await self.repository.change(replay_id, values)

    async def _finish(self, replay_id: UUID, processed: int, moved: int) -> None:
        await self.repository.change(replay_id, {"state": "completed", "finished_at": self.unit.now()})
        told = {"processed": processed, "moved": moved}
        self.unit.audit("tier_replay.completed", "TierReplay", replay_id, after=told)
        self.unit.emit("tier_replay.completed", replay_id, told)


async def run_replay(database: Database, tenant_id: UUID, replay_id: UUID) -> None:
    """Do a whole replay, a chunk per transaction, from wherever it stands."""
    actor = Actor.system(tenant_id, f"tiers:{replay_id}")

    async def prepare(unit: UnitOfWork) -> bool:
        return await ReplayService(unit).prepare(replay_id)

    async def step(unit: UnitOfWork) -> bool:
        return await ReplayService(unit).step(replay_id)

    if await database.run(actor, prepare):
        while await database.run(actor, step):
            continue
