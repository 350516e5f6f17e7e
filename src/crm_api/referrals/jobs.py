"""Referrals follow orders, customers and time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.referrals.service import JOB, ReferralService

log = structlog.get_logger(__name__)

_ORDERS = frozenset(f"order.{what}" for what in ("paid", "completed", "updated", "refunded", "cancelled", "withdrawn"))
_MERGES = frozenset({"customer.merged", "customer.unmerged"})
_GONE = frozenset({"customer.deleted", "customer.erased"})
_SIGN_UP = "referral.signed_up"


async def follow(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Bring the referrals that something happened to up to date.

    Messages only say where to look: what is decided follows from the rows as they are, in whatever order news comes.
    A sign-up is heard too: an order that was being paid while the friend signed up is seen by one of the two.
    """
    orders = [message for message in messages if message.type in _ORDERS]
    await ReferralService(unit).follow(
        orders=[message.subject_id for message in orders],
        buyers=[buyer for message in orders for buyer in _buyers(message)],
        merged=[
            UUID(each) for message in messages if message.type in _MERGES for each in message.payload["customer_ids"]
        ],
        gone=[message.subject_id for message in messages if message.type in _GONE],
        referrals=[message.subject_id for message in messages if message.type == _SIGN_UP],
    )


def _buyers(message: Message) -> Iterator[UUID]:
    for name in ("customer_id", "previous_customer_id"):
        if message.payload.get(name):
            yield UUID(message.payload[name])


async def settle_one(database: Database, payload: Mapping[str, Any]) -> None:
    """Judge and book one referral; started again, it goes on where it stands."""
    await _settle(database, UUID(payload["tenant_id"]), UUID(payload["referral_id"]))


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the referral why nothing could be booked; the clock tries again."""
    referral_id = UUID(payload["referral_id"])
    actor = Actor.system(UUID(payload["tenant_id"]), JOB)
    await database.run(actor, lambda unit: ReferralService(unit).give_up(referral_id, reason))


async def settle_due(database: Database) -> None:
    """Do what time has made due, tenant by tenant and one referral in each unit of work; two workers do no harm."""
    await for_each_tenant(database, "referrals.settle_due", lambda actor: settle_tenant(database, actor.tenant_id))


async def settle_tenant(database: Database, tenant_id: UUID) -> None:
    """Do what is due of one tenant's referrals."""
    done: set[UUID] = set()
    while True:
        due = await database.run(Actor.system(tenant_id, JOB), lambda unit: ReferralService(unit).due())
        fresh = [each for each in due if each not in done]
        if not fresh:
            return
        for referral_id in fresh:
            done.add(referral_id)
            try:
                await _settle(database, tenant_id, referral_id)
            except Exception:  # one referral's trouble is not another's
                log.exception("referral_not_settled", tenant_id=str(tenant_id), referral_id=str(referral_id))


async def _settle(database: Database, tenant_id: UUID, referral_id: UUID) -> None:
    await database.run(Actor.system(tenant_id, JOB), lambda unit: ReferralService(unit).settle(referral_id))


JOBS = (Job(JOB, settle_one, give_up),)
SUBSCRIBERS = (Subscriber("referrals", _ORDERS | _MERGES | _GONE | {_SIGN_UP}, follow),)
SCHEDULES = (Schedule("referrals.settle_due", "*/5 * * * *", settle_due),)
