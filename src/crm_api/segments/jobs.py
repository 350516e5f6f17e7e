"""Upkeep of segments."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from crm_api.accounts.service import all_tenants
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.segments.service import EVALUATE_JOB, SegmentService

log = structlog.get_logger(__name__)

_CUSTOMER_MESSAGES = frozenset(
    {
        "customer.created",
        "customer.updated",
        "customer.deleted",
        "customer.tag_added",
        "customer.tag_removed",
        "customer.contact_point_added",
        "customer.contact_point_removed",
        "customer.identity_added",
        "customer.identity_removed",
        "customer.address_added",
        "customer.address_changed",
        "customer.address_removed",
    }
)
_POINTS_MESSAGES = frozenset(
    f"points.{what}"
    for what in (
        "granted",
        "released",
        "redeemed",
        "restored",
        "reversed",
        "adjusted",
        "expired",
        "merged",
        "unmerged",
    )
)
_SUBJECT_IS_CUSTOMER = _CUSTOMER_MESSAGES | _POINTS_MESSAGES
_NAMES_CUSTOMER = frozenset(
    f"order.{what}" for what in ("created", "paid", "updated", "refunded", "cancelled", "withdrawn")
)

_NAMES_CUSTOMERS = frozenset(
    {
        "household.created",
        "household.deleted",
        "household.member_added",
        "household.member_updated",
        "household.member_removed",
        "child.born",
        "customer.merged",
        "customer.unmerged",
        "patterns.changed",
    }
)


async def keep(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Look again at the customers something happened to, in all active segments."""
    if any(message.type == "scoring.finished" for message in messages):
        await SegmentService(unit).evaluate_all("scoring")
        return
    touched = {customer_id for message in messages for customer_id in _customers(message)}
    await SegmentService(unit).evaluate_all("event", sorted(touched))


def _customers(message: Message) -> list[UUID]:
    if message.type in _SUBJECT_IS_CUSTOMER:
        return [message.subject_id]
    if message.type in _NAMES_CUSTOMERS:
        return [UUID(customer_id) for customer_id in message.payload["customer_ids"]]
    return [UUID(message.payload["customer_id"])]


async def evaluate(database: Database, payload: Mapping[str, Any]) -> None:
    """Evaluate everybody for one segment."""
    segment_id = UUID(payload["segment_id"])

    async def work(unit: UnitOfWork) -> None:
        await SegmentService(unit).evaluate(segment_id)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def give_up_evaluation(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the segment that it could not be evaluated."""
    segment_id = UUID(payload["segment_id"])

    async def work(unit: UnitOfWork) -> None:
        await SegmentService(unit).give_up(segment_id, reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def reconcile(database: Database) -> None:
    """Look at everybody in every segment: windows flip by time alone, without any message."""
    async with database.system() as connection:
        tenants = await all_tenants(connection)

    async def work(unit: UnitOfWork) -> None:
        await SegmentService(unit).evaluate_all("time")

    for tenant in tenants:
        try:
            await database.run(Actor.system(tenant.id), work)
        except Exception:  # one merchant's trouble is not another's
            log.exception("reconcile_failed", tenant_id=str(tenant.id))


SUBSCRIBERS = (
    Subscriber("segments.keep", _SUBJECT_IS_CUSTOMER | _NAMES_CUSTOMER | _NAMES_CUSTOMERS | {"scoring.finished"}, keep),
)
JOBS = (Job(EVALUATE_JOB, evaluate, give_up_evaluation),)
SCHEDULES = (Schedule("segments.reconcile", "23 * * * *", reconcile),)
