"""Searches for duplicates in the background, and what follows when a customer goes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.duplicates.finder import run_search
from crm_api.duplicates.models import RunStart
from crm_api.duplicates.service import SEARCH_JOB, CandidateService, DuplicateRunService


async def search(database: Database, payload: Mapping[str, Any]) -> None:
    """Run a search from wherever it stands."""
    await run_search(database, UUID(payload["tenant_id"]), UUID(payload["run_id"]))


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the run that nobody will go on with it."""
    run_id = UUID(payload["run_id"])

    async def work(unit: UnitOfWork) -> None:
        await DuplicateRunService(unit).fail(run_id, reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def every_night(database: Database) -> None:
    """Queue a search among new and changed customers for every tenant."""

    async def work(actor: Actor) -> None:
        with suppress(Conflict):  # one is at work already
            await database.run(actor, lambda unit: DuplicateRunService(unit).start(RunStart()))

    await for_each_tenant(database, "duplicates.nightly", work)


async def forget(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Take deleted customers out of the review queue."""
    await CandidateService(unit).forget(sorted({message.subject_id for message in messages}))


JOBS = (Job(SEARCH_JOB, search, give_up),)
SCHEDULES = (Schedule("duplicates.nightly", "40 18 * * *", every_night),)
SUBSCRIBERS = (Subscriber("duplicates.forget", frozenset({"customer.deleted"}), forget),)
