"""What time brings: resolved cases are closed."""

import contextlib
from functools import partial
from uuid import UUID

import structlog

from crm_api.accounts.service import all_tenants
from crm_api.complaints.models import ComplaintTransition
from crm_api.complaints.service import ComplaintService
from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict
from crm_api.core.work import Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

log = structlog.get_logger(__name__)

AT_ONCE = 10_000
"""Cases of a tenant that one run closes at most; the next run goes on."""


async def close_resolved(database: Database) -> None:
    """Close what was resolved long enough ago, as each tenant's settings say."""
    async with database.system() as connection:
        tenants = await all_tenants(connection)
    for tenant in tenants:
        try:
            await close_due(database, Actor.system(tenant.id, "complaints.close"))
        except Exception:  # one merchant's trouble is not another's
            log.exception("complaints_not_closed", tenant_id=str(tenant.id))


async def close_due(database: Database, actor: Actor) -> int:
    """Close a tenant's cases that are due, each in a transaction of its own; returns how many.

    Who was faster, or still owes something (a compensation, say), is left alone and looked at again an hour later.
    """

    async def due(unit: UnitOfWork) -> list[UUID]:
        return await ComplaintService(unit).due_to_close(AT_ONCE)

    closed = 0
    for complaint_id in await database.run(actor, due):
        with contextlib.suppress(Conflict):
            await database.run(actor, partial(_close, complaint_id))
            closed += 1
    return closed


async def _close(complaint_id: UUID, unit: UnitOfWork) -> None:
    await ComplaintService(unit).transition(complaint_id, ComplaintTransition(action="close"))


SCHEDULES = (Schedule("complaints.close", "23 * * * *", close_resolved),)
