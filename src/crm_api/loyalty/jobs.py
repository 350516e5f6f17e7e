"""What time does to points; what orders do to them is heard by `earning`."""

from crm_api.accounts.service import all_tenants
from crm_api.core.actor import Actor
from crm_api.core.work import Schedule
from crm_api.db.pool import Database
from crm_api.loyalty.service import BATCH, LoyaltyService


async def settle(database: Database) -> None:
    """Release pending points and end expired ones, tenant by tenant; two workers at once do no harm."""
    async with database.system() as connection:
        tenants = await all_tenants(connection)
    for tenant in tenants:
        actor = Actor.system(tenant.id, "loyalty.settle")
        while await database.run(actor, lambda unit: LoyaltyService(unit).settle_due()) >= BATCH:
            pass


SCHEDULES = [Schedule("loyalty.settle", "*/5 * * * *", settle)]
