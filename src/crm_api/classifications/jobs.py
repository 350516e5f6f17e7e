"""Scoring: by jobs, by the clock, and of single customers when something happened to them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.accounts.service import for_each_tenant
from crm_api.classifications import scoring
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

_JUDGED = "customer.potential_set"
_SUBJECT = frozenset({"customer.created", _JUDGED})
_MERGES = frozenset({"customer.merged", "customer.unmerged"})
_ORDERS = frozenset(f"order.{what}" for what in ("created", "paid", "updated", "refunded", "cancelled", "withdrawn"))


async def score(database: Database, payload: Mapping[str, Any]) -> None:
    """Run a scoring."""
    await scoring.run_scoring(database, UUID(payload["tenant_id"]), UUID(payload["run_id"]))


async def give_up_scoring(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the run that nobody will go on with it."""
    run_id = UUID(payload["run_id"])

    async def work(unit: UnitOfWork) -> None:
        await scoring.ScoringService(unit).fail(run_id, reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def keep(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Classify those something happened to anew: what follows from facts need not wait for the night."""
    judged = {message.subject_id for message in messages if message.type == _JUDGED}
    touched = {each for message in messages if message.type != _JUDGED for each in _customers(message)}
    service = scoring.ScoringService(unit)
    await service.assess(touched, "event")
    await service.assess(judged - touched, "input")


def _customers(message: Message) -> list[UUID]:
    if message.type in _SUBJECT:
        return [message.subject_id]
    if message.type in _MERGES:
        return [UUID(customer_id) for customer_id in message.payload["customer_ids"]]
    return [UUID(message.payload["customer_id"])]


async def nightly(database: Database) -> None:
    """Score everybody of every tenant: silence moves customers without any message."""

    async def work(unit: UnitOfWork) -> None:
        await scoring.ScoringService(unit).start_nightly()

    await for_each_tenant(database, "classifications.nightly", lambda actor: database.run(actor, work))


JOBS = (Job(scoring.JOB, score, give_up_scoring),)
SUBSCRIBERS = (Subscriber("classifications.keep", _SUBJECT | _MERGES | _ORDERS, keep),)
SCHEDULES = (Schedule("classifications.nightly", "11 17 * * *", nightly),)
