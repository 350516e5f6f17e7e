"""Subject exports and erasures in the background."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.work import Job, Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.privacy.repository.erasing import due
from crm_api.privacy.repository.exports import ExportRepository, tenants_with_expired
from crm_api.privacy.runner import ErasureRun, ExportRun
from crm_api.privacy.service import ERASE_JOB, EXPORT_JOB, ErasureService, SubjectExportService


async def export(database: Database, payload: Mapping[str, Any]) -> None:
    """Make a subject export's archive."""
    await ExportRun(database, UUID(payload["tenant_id"]), UUID(payload["export_id"])).run()


async def give_up_export(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Tell on the export that there will be no archive."""
    export_id = UUID(payload["export_id"])

    async def work(unit: UnitOfWork) -> None:
        await SubjectExportService(unit).give_up(export_id, reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def erase(database: Database, payload: Mapping[str, Any]) -> None:
    """Go on with an erasure, or go over a finished one once more."""
    run = ErasureRun(database, UUID(payload["tenant_id"]), UUID(payload["erasure_id"]))
    await (run.sweep() if payload.get("sweep") else run.run())


async def give_up_erasure(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Tell on the erasure that it stopped; the schedule takes it up again."""
    erasure_id = UUID(payload["erasure_id"])

    async def work(unit: UnitOfWork) -> None:
        await ErasureService(unit).give_up(erasure_id, reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def take_up(database: Database) -> None:
    """Queue erasures that are due, forgotten or wait for their sweep."""
    async with database.system() as connection:
        found = await due(connection, database.clock.now())
    for tenant_id, erasure_id, sweep in found:
        async with database.write(Actor.system(tenant_id)) as unit:
            await ErasureService(unit).enqueue_again(erasure_id, sweep=sweep)


async def expire(database: Database) -> None:
    """Delete archives whose time is over."""
    now = database.clock.now()
    async with database.system() as connection:
        tenants = await tenants_with_expired(connection, now)
    for tenant_id in tenants:
        async with database.write(Actor.system(tenant_id)) as unit:
            for export_id in await ExportRepository(unit).expire(now):
                unit.audit("subject_export.expired", "SubjectExport", export_id)


JOBS = [Job(EXPORT_JOB, export, give_up_export), Job(ERASE_JOB, erase, give_up_erasure)]
SCHEDULES = [
    Schedule("privacy.take_up", "*/5 * * * *", take_up),
    Schedule("privacy.expire", "23 * * * *", expire),
]
