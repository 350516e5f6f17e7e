"""The worker pays points and vouchers of approved compensations, and tells clocks of refunds."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.compensations.repository import CompensationRepository
from crm_api.compensations.service import JOB, CompensationService
from crm_api.complaints.service import note_refund
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork


async def pay(database: Database, payload: Mapping[str, Any]) -> None:
    """Pay one compensation, unless that was done."""
    compensation_id = UUID(payload["compensation_id"])

    async def work(unit: UnitOfWork) -> None:
        await CompensationService(unit).pay(compensation_id)

    await database.run(Actor.system(UUID(payload["tenant_id"]), f"compensation:{compensation_id}"), work)


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the compensation that nobody will go on with it."""

    async def work(unit: UnitOfWork) -> None:
        await CompensationService(unit).give_up(UUID(payload["compensation_id"]), reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def refunded(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Stop the clocks of cases that waited for a refund: not every shop's platform tells of it."""
    for message in messages:
        if message.payload["kind"] == "refund":
            row = await CompensationRepository(unit).get(message.subject_id)
            await note_refund(unit, row["complaint_id"], message.occurred_at, row["reference"])


JOBS = (Job(JOB, pay, give_up),)
SUBSCRIBERS = (Subscriber("compensations.refunded", frozenset({"compensation.settled"}), refunded),)
