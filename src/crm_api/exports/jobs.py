"""Exports in the background."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.work import Job, Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.exports.repository import stranded, tenants_with_expired
from crm_api.exports.runner import ExportRun
from crm_api.exports.service import JOB, ExportService


async def run(database: Database, payload: Mapping[str, Any]) -> None:
    """Run an export."""
    # A silent worker is taken for dead after as long as its job is: whoever then gets the job gets the export too.
    lease = 2 * database.settings.job_heartbeat_seconds
    await ExportRun(database, UUID(payload["tenant_id"]), UUID(payload["export_id"]), lease=lease).run()


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Tell on the export that there will be no file."""
    export_id = UUID(payload["export_id"])

    async def work(unit: UnitOfWork) -> None:
        await ExportService(unit).give_up(export_id, reason)

    await database.run(Actor.system(UUID(payload["tenant_id"]), f"export:{export_id}"), work)


async def rescue(database: Database) -> None:
    """Queue exports again that nobody works on, for instance because their job was deleted by hand."""
    async with database.system() as connection:
        found = await stranded(connection)
    for tenant_id, export_id in found:
        async with database.write(Actor.system(tenant_id)) as unit:
            await ExportService(unit).enqueue_again(export_id)


async def expire(database: Database) -> None:
    """Delete files whose time is over."""
    async with database.system() as connection:
        tenants = await tenants_with_expired(connection, database.clock.now())
    for tenant_id in tenants:
        async with database.write(Actor.system(tenant_id)) as unit:
            await ExportService(unit).expire()


JOBS = [Job(JOB, run, give_up)]
SCHEDULES = [
    Schedule("exports.rescue", "* * * * *", rescue),
    Schedule("exports.expire", "*/15 * * * *", expire),
]
