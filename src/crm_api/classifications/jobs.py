"""Scoring."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.classifications import scoring
from crm_api.core.actor import Actor
from crm_api.core.work import Job
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork


async def score(database: Database, payload: Mapping[str, Any]) -> None:
    """Run a scoring."""
    await scoring.run_scoring(database, UUID(payload["tenant_id"]), UUID(payload["run_id"]))


async def give_up_scoring(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the run that nobody will go on with it."""
    run_id = UUID(payload["run_id"])

    async def work(unit: UnitOfWork) -> None:
        await scoring.ScoringService(unit).fail(run_id, reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


JOBS = (Job(scoring.JOB, score, give_up_scoring),)
