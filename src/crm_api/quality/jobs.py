"""Clean-ups in the background."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.work import Job
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.quality.service import JOB, CleanupService


async def run(database: Database, payload: Mapping[str, Any]) -> None:
    """Run a clean-up from where it stands: each step is a transaction of its own."""
    cleanup_id = UUID(payload["cleanup_id"])

    async def work(unit: UnitOfWork) -> bool:
        return await CleanupService(unit).step(cleanup_id)

    while await database.run(_actor(payload), work):
        pass


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Tell on the clean-up that nobody will go on with it."""

    async def work(unit: UnitOfWork) -> None:
        await CleanupService(unit).give_up(UUID(payload["cleanup_id"]), reason)

    await database.run(_actor(payload), work)


def _actor(payload: Mapping[str, Any]) -> Actor:
    return Actor.system(UUID(payload["tenant_id"]), f"cleanup:{payload['cleanup_id']}")


JOBS = (Job(JOB, run, give_up),)
