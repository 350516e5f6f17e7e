"""What time does to points; what orders do to them is heard by `earning`."""

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.work import Schedule
from crm_api.db.pool import Database
from crm_api.loyalty.service import BATCH, LoyaltyService


async def settle(database: Database) -> None:
    """Release pending points and end expired ones, tenant by tenant; two workers at once do no harm."""

    async def work(actor: Actor) -> None:
        while await database.run(actor, lambda unit: LoyaltyService(unit).settle_due()) >= BATCH:
            pass

    await for_each_tenant(database, "loyalty.settle", work)


SCHEDULES = [Schedule("loyalty.settle", "*/5 * * * *", settle)]
