"""Requests for rewards that nobody confirms are cancelled."""

from uuid import UUID

import structlog

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.work import Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.rewards.repository import Due
from crm_api.rewards.service import RewardRedemptionService

log = structlog.get_logger(__name__)


async def cancel_overdue(database: Database, tenant_id: UUID) -> None:
    """Cancel all of a tenant's overdue requests, each in a transaction of its own; one that fails stops no other."""
    actor = Actor.system(tenant_id, "rewards.overdue")
    last: Due | None = None
    while True:

        async def due(unit: UnitOfWork, after: Due | None = last) -> list[Due]:
            return await RewardRedemptionService(unit).overdue(after)

        found = await database.run(actor, due)
        if not found:
            return
        for _, redemption_id in found:
            await _cancel(database, actor, redemption_id)
        last = found[-1]


async def _cancel(database: Database, actor: Actor, redemption_id: UUID) -> None:
    try:
        await database.run(actor, lambda unit: RewardRedemptionService(unit).cancel_overdue(redemption_id))
    except Exception:  # one redemption's trouble is not another's
        log.exception("reward_not_cancelled", tenant_id=str(actor.tenant_id), redemption_id=str(redemption_id))


async def cancel_all_overdue(database: Database) -> None:
    """Cancel every tenant's overdue requests."""
    await for_each_tenant(database, "rewards.overdue", lambda actor: cancel_overdue(database, actor.tenant_id))


SCHEDULES = (Schedule("rewards.overdue", "*/10 * * * *", cancel_all_overdue),)
"""Points are held an hour longer than a request lives, so that they are still there until it is cancelled."""
