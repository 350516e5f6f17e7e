"""Batches of codes: made by a job, a chunk per transaction, from wherever it stands."""

from typing import Final
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.vouchers import codes
from crm_api.vouchers.models import VoucherBatchCreate
from crm_api.vouchers.repository import BatchRepository, CampaignRepository
from crm_api.vouchers.service import WRITE

JOB: Final = "vouchers.generate"
CHUNK: Final = 5_000
"""Codes of one transaction: a tenth of a second, for which uses of the campaign wait at most."""

_OPEN: Final = frozenset({"queued", "running"})


class VoucherBatchService:
    """Batches of codes."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = BatchRepository(unit)
        self.campaigns = CampaignRepository(unit)

    async def start(self, campaign_id: UUID, data: VoucherBatchCreate) -> UUID:
        """Queue a batch; returns its id.

        Raises:
            NotFound: there is no such campaign.
            Conflict: it has one shared code, or is archived.

        """
        self.unit.actor.require(WRITE)
        campaign = await self.campaigns.get(campaign_id)
        if campaign["shared_code"] is not None or campaign["state"] == "archived":
            raise Conflict(
                "No codes can be made: the campaign is archived or has one code for everybody",
                zh="无法生成券码：活动已归档或使用共用券码",
                code="no_codes",
            )
        batch_id = new_id()
        await self.repository.insert({"id": batch_id, "campaign_id": campaign_id, "count": data.count})
        await self.unit.enqueue(JOB, {"batch_id": str(batch_id)})
        told = {"campaign_id": str(campaign_id), "count": data.count}
        self.unit.audit("voucher_batch.started", "VoucherBatch", batch_id, after=told)
        self.unit.emit("voucher_batch.started", batch_id, told)
        return batch_id

    async def step(self, batch_id: UUID) -> bool:
        """Make the next chunk; returns whether there is more to do.

        Codes and progress are written together: whatever dies in between, exactly ``count`` codes are made.
        """
        batch = await self.repository.find(batch_id, lock=True)
        if batch is None or batch["state"] not in _OPEN:
            return False
        wanted = min(CHUNK, batch["count"] - batch["made"])
        campaign = await self.campaigns.get(batch["campaign_id"])
        fresh = [codes.generate(campaign["prefix"], campaign["code_length"]) for _ in range(wanted)]
        made = await self.repository.make(batch, [new_id() for _ in fresh], fresh)
        is_done = batch["made"] + made == batch["count"]
        now = self.unit.now()
        await self.repository.change(
            batch_id,
            {
                "state": "completed" if is_done else "running",
                "made": batch["made"] + made,
                "started_at": batch["started_at"] or now,
                "finished_at": now if is_done else None,
            },
        )
        if is_done:
            told = {"campaign_id": str(batch["campaign_id"]), "count": batch["count"]}
            self.unit.audit("voucher_batch.completed", "VoucherBatch", batch_id, after=told)
            self.unit.emit("voucher_batch.completed", batch_id, told)
        # Last, because uses of the campaign wait for its row.
        await self.campaigns.add_vouchers(batch["campaign_id"], made)
        return not is_done

    async def give_up(self, batch_id: UUID, reason: str) -> None:
        """Say on the batch that nobody will go on with it; what was made stays."""
        batch = await self.repository.find(batch_id, lock=True)
        if batch is not None and batch["state"] in _OPEN:
            changes = {"state": "failed", "error": reason[:1000], "finished_at": self.unit.now()}
            await self.repository.change(batch_id, changes)


async def generate(database: Database, tenant_id: UUID, batch_id: UUID) -> None:
    """Make a whole batch, a chunk per transaction, from wherever it stands."""

    async def step(unit: UnitOfWork) -> bool:
        return await VoucherBatchService(unit).step(batch_id)

    while await database.run(Actor.system(tenant_id, f"vouchers:{batch_id}"), step):
        continue
