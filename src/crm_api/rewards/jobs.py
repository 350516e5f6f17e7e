"""Requests for rewards that nobody confirms are cancelled."""

from uuid import UUID

import structlog

from crm_api.accounts.service import all_tenants
from crm_api.core.actor import Actor
from crm_api.core.work import Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.rewards.service import RewardRedemptionService

log = structlog.get_logger(__name__)


async def cancel_overdue(database: Database, tenant_id: UUID) -> None:
    """Cancel a tenant's overdue requests, each in a transaction of its own."""
    actor = Actor.system(tenant_id, "rewards.overdue")

    async def due(unit: UnitOfWork) -> list[UUID]:
        return await RewardRedemptionService(unit).overdue()

    for redemption_id in await database.run(actor, due):

        async def work(unit: UnitOfWork, redemption_id: UUID = redemption_id) -> None:
            await RewardRedemptionService(unit).cancel_overdue(redemption_id)

        await database.run(actor, work)


async def cancel_all_overdue(database: Database) -> None:
    """Cancel every tenant's overdue requests."""
    async with database.system() as connection:
        tenants = await all_tenants(connection)
    for tenant in tenants:
        try:
            await cancel_overdue(database, tenant.id)
        except Exception:  # one merchant's trouble is not another's
            log.exception("rewards_not_cancelled", tenant_id=str(tenant.id))


SCHEDULES = (Schedule("rewards.overdue", "*/10 * * * *", cancel_all_overdue),)
"""Points are held an hour longer than a request lives, so that they are still there until it is cancelled."""
