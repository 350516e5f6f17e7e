"""Events in the background: long histories, partitions, retention."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import structlog

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.errors import NotFound
from crm_api.core.work import Job, Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.events.partitions import keep_partitions
from crm_api.events.service import JOB, EventService, IdentificationService

log = structlog.get_logger(__name__)

BATCH: Final = 10_000
"""Events deleted in one transaction."""


async def attribute(database: Database, payload: Mapping[str, Any]) -> None:
    """Give a device's long history to its customer, a chunk a transaction; beginning again is going on."""
    identification_id = UUID(payload["identification_id"])
    actor = Actor.system(UUID(payload["tenant_id"]), f"identification:{identification_id}")

    async def work(unit: UnitOfWork) -> bool:
        service = IdentificationService(unit)
        more = await service.go_on(identification_id)
        if not more:
            await service.finish(identification_id)
        return more

    try:
        while await database.run(actor, work):
            pass
    except NotFound:  # erased meanwhile, with its events
        log.info("identification_gone", identification_id=str(identification_id))


async def forget(database: Database) -> None:
    """Delete what each shop no longer keeps."""

    async def work(actor: Actor) -> None:
        while await database.run(actor, lambda unit: EventService(unit).forget_expired(BATCH)) == BATCH:
            pass

    await for_each_tenant(database, "events.forget", work)


JOBS = (Job(JOB, attribute),)
SCHEDULES = (
    Schedule("events.partitions", "9 * * * *", keep_partitions),
    Schedule("events.forget", "41 2 * * *", forget),
)
