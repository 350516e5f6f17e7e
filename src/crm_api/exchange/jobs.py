"""Imports in the background."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.work import Job, Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.exchange.repository import drop_expired, stranded
from crm_api.exchange.runner import ImportRun
from crm_api.exchange.service import JOB, UNDO_JOB, ImportService
from crm_api.exchange.undo import UndoRun


def _lease(database: Database) -> float:
    # A silent worker is taken for dead after as long as its job is: whoever then gets the job gets the import too.
    return 2 * database.settings.job_heartbeat_seconds


async def run(database: Database, payload: Mapping[str, Any]) -> None:
    """Run an import from where it stands."""
    tenant_id, import_id = UUID(payload["tenant_id"]), UUID(payload["import_id"])
    await ImportRun(database, tenant_id, import_id, lease=_lease(database)).run()


async def undo(database: Database, payload: Mapping[str, Any]) -> None:
    """Take an import back, from where that stands."""
    tenant_id, import_id = UUID(payload["tenant_id"]), UUID(payload["import_id"])
    await UndoRun(database, tenant_id, import_id, lease=_lease(database)).run()


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Tell on the import that nobody will go on with it."""
    import_id = UUID(payload["import_id"])

    async def work(unit: UnitOfWork) -> None:
        await ImportService(unit).give_up(import_id, reason)

    await database.run(Actor.system(UUID(payload["tenant_id"]), f"import:{import_id}"), work)


async def give_up_undo(database: Database, payload: Mapping[str, Any], _reason: str) -> None:
    """Tell on the import that nobody will go on taking it back."""
    import_id = UUID(payload["import_id"])

    async def work(unit: UnitOfWork) -> None:
        await ImportService(unit).give_up_undo(import_id)

    await database.run(Actor.system(UUID(payload["tenant_id"]), f"import:{import_id}"), work)


async def rescue(database: Database) -> None:
    """Queue imports again that nobody works on, for instance because their job was deleted by hand."""
    async with database.system() as connection:
        found = await stranded(connection)
    for tenant_id, import_id, is_undo in found:
        async with database.write(Actor.system(tenant_id)) as unit:
            await ImportService(unit).enqueue_again(import_id, UNDO_JOB if is_undo else JOB)


async def forget_uploads(database: Database) -> None:
    """Delete uploads whose day is over."""
    async with database.system() as connection:
        await drop_expired(connection)


JOBS = [Job(JOB, run, give_up), Job(UNDO_JOB, undo, give_up_undo)]
SCHEDULES = [
    Schedule("exchange.rescue", "* * * * *", rescue),
    Schedule("exchange.forget_uploads", "17 * * * *", forget_uploads),
]
