"""Processing of what arrived, through the outbox."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.integrations.points import POINTS_CHANGED, MemberCards
from crm_api.integrations.processing import RETRY_JOB, Processor
from crm_api.integrations.service import DeliveryService


async def process(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Process each delivery in the order of arrival."""
    processor = Processor(unit)
    for message in messages:
        await processor.process(message.subject_id)


async def retry(database: Database, payload: Mapping[str, Any]) -> None:
    """Put a delivery that came too early back into the queue."""
    delivery_id = UUID(payload["delivery_id"])

    async def work(unit: UnitOfWork) -> None:
        await DeliveryService(unit).retry(delivery_id)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def follow_points(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Have the member cards of customers show what they can spend now; adapters outside send what is due."""
    await MemberCards(unit).follow(messages)


SUBSCRIBERS = (
    Subscriber("integrations.process", frozenset({"inbound.received"}), process),
    Subscriber("integrations.member_cards", POINTS_CHANGED, follow_points),
)
JOBS = (Job(RETRY_JOB, retry),)
