"""Imports in the background."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.work import Job, Schedule
from crm_api.db.pool import Database
from crm_api.exchange.repository import stranded
from crm_api.exchange.runner import ImportRun
from crm_api.exchange.service import JOB, ImportService


async def run(database: Database, payload: Mapping[str, Any]) -> None:
    """Run an import from where it stands."""
    # A silent worker is taken for dead after as long as its job is: whoever then gets the job gets the import too.
    lease = 2 * database.settings.job_heartbeat_seconds
    await ImportRun(database, UUID(payload["tenant_id"]), UUID(payload["import_id"]), lease=lease).run()


async def rescue(database: Database) -> None:
    """Queue imports again whose job was given up, for instance because the database was away for long."""
    async with database.system() as connection:
        found = await stranded(connection)
    for tenant_id, import_id in found:
        async with database.write(Actor.system(tenant_id)) as unit:
            await ImportService(unit).enqueue_again(import_id)


JOBS = [Job(JOB, run)]
SCHEDULES = [Schedule("exchange.rescue", "* * * * *", rescue)]
