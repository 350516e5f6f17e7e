"""Fitting models, and what a merge changes."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.lifetime.service import JOB, ChurnModelService, run_fit


async def fit(database: Database, payload: Mapping[str, Any]) -> None:
    """Fit a model."""
    await run_fit(database, UUID(payload["tenant_id"]), UUID(payload["model_id"]))


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the model that nobody will go on with it."""

    async def work(unit: UnitOfWork) -> None:
        await ChurnModelService(unit).give_up(UUID(payload["model_id"]), reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def follow(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Make the outlooks of those who were merged, or parted again, anew: their purchases have changed hands."""
    sides = {UUID(customer_id) for message in messages for customer_id in message.payload["customer_ids"]}
    await ChurnModelService(unit).reckon(sides)


JOBS = (Job(JOB, fit, give_up),)
SUBSCRIBERS = (Subscriber("lifetime.follow", frozenset({"customer.merged", "customer.unmerged"}), follow),)
