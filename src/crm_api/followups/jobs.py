"""Tasks are made by the hour and when something happens; they follow owners, and tell when they are overdue."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import structlog

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.failures import translate
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.followups.planner import Planner, make, note_failure, plans_to_make
from crm_api.followups.plans import JOB
from crm_api.followups.service import FollowUpService

log = structlog.get_logger(__name__)

TOLD_AT_ONCE: Final = 500


async def make_tasks(database: Database, payload: Mapping[str, Any]) -> None:
    """Make a plan's tasks; killed, it is made again from the beginning, which changes nothing that was made."""
    await make(database, UUID(payload["tenant_id"]), UUID(payload["plan_id"]))


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the plan why its tasks could not be made."""
    await note_failure(database, UUID(payload["tenant_id"]), UUID(payload["plan_id"]), reason)


async def hourly(database: Database) -> None:
    """Make the tasks of every plan that is to be looked at: most once a day, some each time."""

    async def work(actor: Actor) -> None:
        for plan_id in await database.run(actor, plans_to_make):
            await _make_one(database, actor.tenant_id, plan_id)

    await for_each_tenant(database, "followups.hourly", work)


async def _make_one(database: Database, tenant_id: UUID, plan_id: UUID) -> None:
    try:
        await make(database, tenant_id, plan_id)
    except Exception as error:  # one plan's trouble is not another's
        log.exception("follow_ups_of_plan_not_made", tenant_id=str(tenant_id), plan_id=str(plan_id))
        await note_failure(database, tenant_id, plan_id, str(translate(error) or "internal error"))


async def sweep(database: Database) -> None:
    """Tell of tasks that have become overdue, each once however many workers look."""

    async def tell(unit: UnitOfWork) -> int:
        return await FollowUpService(unit).tell_overdue(TOLD_AT_ONCE)

    async def work(actor: Actor) -> None:
        while await database.run(actor, tell) == TOLD_AT_ONCE:
            pass

    await for_each_tenant(database, "followups.sweep", work)


async def follow(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Let tasks go with their customers: to the new owner, or away with who is gone."""
    touched = {message.subject_id for message in messages}
    touched |= {UUID(each) for message in messages for each in message.payload.get("customer_ids", ())}
    await FollowUpService(unit).follow(sorted(touched))


async def release(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Take tasks from people who have left, and give theirs back to who is there again."""
    await FollowUpService(unit).release(sorted({message.subject_id for message in messages}))


async def follow_ratings(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Make tasks for low ratings, as far as there are plans for them."""
    ratings = {UUID(message.payload["rating_id"]): message.subject_id for message in messages}
    await Planner(unit).after_ratings(ratings)


_OWNERS: Final = frozenset({"customer.updated", "customer.deleted", "customer.erased", "customer.merged"})

JOBS = (Job(JOB, make_tasks, give_up),)
SUBSCRIBERS = (
    Subscriber("followups.follow", _OWNERS | {"customer.unmerged"}, follow),
    Subscriber("followups.release", frozenset({"staff.updated"}), release),
    Subscriber("followups.ratings", frozenset({"complaint.rated_low"}), follow_ratings),
)
SCHEDULES = (
    Schedule("followups.hourly", "11 * * * *", hourly),
    Schedule("followups.sweep", "*/5 * * * *", sweep),
)
"""Hourly, because the day begins in another zone each hour."""
