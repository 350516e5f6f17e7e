"""Vouchers in the background: codes, birthdays, ends."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.work import Job, Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.vouchers.birthdays import give_birthday_vouchers
from crm_api.vouchers.generation import JOB, VoucherBatchService
from crm_api.vouchers.generation import generate as generate_batch
from crm_api.vouchers.service import BATCH, VoucherService


async def generate(database: Database, payload: Mapping[str, Any]) -> None:
    """Make a batch of codes."""
    await generate_batch(database, UUID(payload["tenant_id"]), UUID(payload["batch_id"]))


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the batch that nobody will go on with it."""

    async def work(unit: UnitOfWork) -> None:
        await VoucherBatchService(unit).give_up(UUID(payload["batch_id"]), reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def settle(database: Database, tenant_id: UUID) -> None:
    """Tell of a tenant's vouchers whose time is over, and end lapsed locks."""

    async def work(unit: UnitOfWork) -> int:
        return await VoucherService(unit).settle_due()

    while await database.run(Actor.system(tenant_id, "vouchers.settle"), work) >= BATCH:
        continue


async def settle_all(database: Database) -> None:
    """Settle every tenant's vouchers."""
    await for_each_tenant(database, "vouchers.settle", lambda actor: settle(database, actor.tenant_id))


async def birthdays(database: Database) -> None:
    """Give every tenant's birthday vouchers that are due."""
    await for_each_tenant(
        database, "vouchers.birthdays", lambda actor: give_birthday_vouchers(database, actor.tenant_id)
    )


JOBS = (Job(JOB, generate, give_up),)
SCHEDULES = (
    Schedule("vouchers.settle", "*/5 * * * *", settle_all),
    Schedule("vouchers.birthdays", "23 * * * *", birthdays),
)
"""Birthdays hourly, because a day begins in another zone each hour; a day that is done costs one read."""
