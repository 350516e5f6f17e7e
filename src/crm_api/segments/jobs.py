"""Upkeep of segments: after messages, by the clock, as jobs, and the nightly check that nothing was missed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.rules import AsOf
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.segments.models import Cause
from crm_api.segments.repository import SegmentRepository
from crm_api.segments.repository.upkeep import UpkeepRepository
from crm_api.segments.service import EVALUATE_JOB
from crm_api.segments.touches import EVERYBODY, TYPES, Why, why_of
from crm_api.segments.upkeep import SUBSCRIBER, Overtaken, Upkeep, last_due

log = structlog.get_logger(__name__)

RECONCILED_AT = 3
"""Hour of the tenant's own night."""
WAIT_SECONDS = 1.0
"""How often a segment looks whether those that its rule names are ready."""


async def keep(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Look again at the customers something happened to; what happened to everybody is a job for each segment."""
    await Upkeep(unit).follow(messages)
    for message in messages:
        if message.type in EVERYBODY:
            why = why_of(message)
            for segment_id in await UpkeepRepository(unit).naming(EVERYBODY[message.type]):
                told = {"segment_id": str(segment_id), "cause": why.cause, "cause_id": str(why.id)}
                await unit.enqueue(EVALUATE_JOB, told)


# -- jobs --------------------------------------------------------------------------------------------------------------


async def evaluate(database: Database, payload: Mapping[str, Any]) -> None:
    """Evaluate everybody for one segment."""
    actor, segment_id = Actor.system(UUID(payload["tenant_id"])), UUID(payload["segment_id"])

    async def note(processed: int, total: int) -> None:
        values = {"processed": processed, "total": total}
        await database.run(actor, lambda unit: UpkeepRepository(unit).settled(segment_id, values))

    async def work(unit: UnitOfWork) -> None:
        row = await SegmentRepository(unit).find(segment_id)
        if row is None:
            return
        if row["state"] == "compiling" and await UpkeepRepository(unit).unready(segment_id):
            await unit.enqueue(EVALUATE_JOB, payload, delay_seconds=WAIT_SECONDS)
            return
        await Upkeep(unit).evaluate(segment_id, _why(payload, row["kind"]), note)

    try:
        await database.run(actor, work)
    except Overtaken:
        log.info("evaluation_overtaken", segment_id=str(segment_id))


def _why(payload: Mapping[str, Any], kind: str) -> Why:
    cause: Cause = payload.get("cause") or ("snapshot" if kind == "snapshot" else "rule")
    return Why(cause, UUID(payload["cause_id"]) if payload.get("cause_id") else None)


async def give_up_evaluation(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the segment that it could not be evaluated."""
    segment_id = UUID(payload["segment_id"])

    async def work(unit: UnitOfWork) -> None:
        await Upkeep(unit).fail(segment_id, reason, f"多次重试后放弃：{reason}")

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


# -- schedules ---------------------------------------------------------------------------------------------------------


async def follow_time(database: Database) -> None:
    """Look at everybody whose membership may have changed by time alone."""
    await for_each_tenant(database, "segments.time", lambda actor: follow_time_of(database, actor.tenant_id))


async def follow_time_of(database: Database, tenant_id: UUID) -> None:
    """Look at one tenant's customers whose time has come, then at whole segments for which a day has begun."""
    actor = Actor.system(tenant_id)
    while await database.run(actor, lambda unit: Upkeep(unit).follow_time()):
        pass
    due = await database.run(actor, lambda unit: UpkeepRepository(unit).due_by_calendar(unit.now()))
    for segment_id in due:
        await _each(database, segment_id, lambda unit, each: Upkeep(unit).evaluate(each, Why("time")), actor)


async def reconcile(database: Database) -> None:
    """Check the segments of every tenant whose night it is, or was since the last check."""
    await for_each_tenant(database, "segments.reconcile", lambda actor: reconcile_tenant(database, actor.tenant_id))


async def reconcile_tenant(database: Database, tenant_id: UUID) -> None:
    """Evaluate everybody anew in every segment that was not checked since three o'clock in the tenant's night."""
    actor = Actor.system(tenant_id)

    async def due(unit: UnitOfWork) -> list[UUID]:
        now = AsOf(unit.now(), await SegmentRepository(unit).zone())
        return await UpkeepRepository(unit).due_for_reconciliation(last_due(now, RECONCILED_AT))

    segments = await database.run(actor, due)
    if segments:
        await follow_time_of(database, tenant_id)
    for segment_id in segments:
        await _each(database, segment_id, lambda unit, each: Upkeep(unit).reconcile(each), actor)


async def _each(
    database: Database, segment_id: UUID, work: Callable[[UnitOfWork, UUID], Awaitable[None]], actor: Actor
) -> None:
    """Do one segment's work; its trouble is not another's."""
    try:
        await database.run(actor, lambda unit: work(unit, segment_id))
    except Overtaken:
        log.info("evaluation_overtaken", segment_id=str(segment_id))
    except Exception:
        log.exception("segment_work_failed", tenant_id=str(actor.tenant_id), segment_id=str(segment_id))


SUBSCRIBERS = (Subscriber(SUBSCRIBER, TYPES, keep),)
JOBS = (Job(EVALUATE_JOB, evaluate, give_up_evaluation),)
SCHEDULES = (
    Schedule("segments.time", "* * * * *", follow_time),
    Schedule("segments.reconcile", "*/10 * * * *", reconcile),
)
