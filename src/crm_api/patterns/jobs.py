"""Upkeep of purchase patterns."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.patterns.service import JOB, PatternService, run_to_end

_ORDERS = frozenset(f"order.{what}" for what in ("created", "paid", "updated", "refunded", "cancelled", "withdrawn"))
_LOOKS = frozenset({"events.recorded", "events.removed", "events.forgotten", "device.attributed"})


async def keep(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Make anew the patterns of whoever ordered or looked, each customer once however many messages name them."""
    bought = {each for message in messages if message.type in _ORDERS for each in _buyers(message)}
    looked = {UUID(each) for message in messages if message.type in _LOOKS for each in message.payload["customer_ids"]}
    service = PatternService(unit)
    await service.refresh(bought)
    await service.refresh(looked - bought, looks_only=True)


def _buyers(message: Message) -> list[UUID]:
    """Return whose the order is, and whose it was before it changed hands."""
    names = ("customer_id", "previous_customer_id")
    return [UUID(message.payload[name]) for name in names if message.payload.get(name)]


async def run(database: Database, payload: Mapping[str, Any]) -> None:
    """Do a run."""
    await run_to_end(database, UUID(payload["tenant_id"]), UUID(payload["run_id"]))


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the run that nobody will go on with it."""

    async def work(unit: UnitOfWork) -> None:
        await PatternService(unit).give_up(UUID(payload["run_id"]), reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def start_nightly(database: Database) -> None:
    """Queue each shop's nightly runs."""

    async def work(unit: UnitOfWork) -> None:
        await PatternService(unit).start_nightly()

    await for_each_tenant(database, "patterns.nightly", lambda actor: database.run(actor, work))


SUBSCRIBERS = (Subscriber("patterns.keep", _ORDERS | _LOOKS, keep),)
JOBS = (Job(JOB, run, give_up),)
SCHEDULES = (Schedule("patterns.nightly", "17 18 * * *", start_nightly),)  # 02:17 in China
