"""Upkeep of search keys."""

from typing import Any, Final

import structlog

from crm_api.core.actor import Actor
from crm_api.core.work import Schedule
from crm_api.customers.repository.searching import tenants_to_rekey
from crm_api.customers.service import CustomerService
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

log = structlog.get_logger(__name__)

CHUNK: Final = 1_000


async def rekey(database: Database) -> None:
    """Make search keys of older rules anew, after an upgrade; until then their customers are found as before.

    Every chunk is a transaction, and a row says itself whether it has been done: whoever is killed in between, or runs
    beside another, loses nothing and does nothing twice.
    """
    async with database.system() as connection:
        tenants = await tenants_to_rekey(connection)

    async def work(unit: UnitOfWork) -> tuple[int, int]:
        return await CustomerService(unit).rekey(CHUNK)

    for tenant_id in tenants:
        done: Any = 1
        while done:
            done, left = await database.run(Actor.system(tenant_id, "customers.rekey"), work)
            log.info("search_keys_made_anew", tenant_id=str(tenant_id), customers=done, left=left)


SCHEDULES = (Schedule("customers.rekey", "* * * * *", rekey),)
