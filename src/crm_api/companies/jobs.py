"""What follows when a company changes."""

from collections.abc import Sequence
from uuid import UUID

from crm_api.companies.service import CompanyService
from crm_api.core.messages import Message
from crm_api.core.work import Subscriber
from crm_api.db.uow import UnitOfWork

_CHANGES = frozenset({"customer.updated", "customer.deleted", "customer.merged", "customer.unmerged"})


async def rename(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Let the search box find contacts by the new names of their companies."""
    sides = {UUID(each) for message in messages for each in message.payload.get("customer_ids", ())}
    await CompanyService(unit).rename(sorted(sides | {message.subject_id for message in messages}))


SUBSCRIBERS = (Subscriber("companies.search", _CHANGES, rename),)
