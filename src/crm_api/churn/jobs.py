"""Assessments and back-tests in the background, and what a merge changes."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.accounts.service import for_each_tenant
from crm_api.churn.backtests import JOB as BACKTEST_JOB
from crm_api.churn.backtests import ChurnBacktestService, run_backtest
from crm_api.churn.service import JOB as ASSESS_JOB
from crm_api.churn.service import ChurnAssessmentService, run_assessment
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork


async def assess(database: Database, payload: Mapping[str, Any]) -> None:
    """Assess all customers."""
    await run_assessment(database, UUID(payload["tenant_id"]), UUID(payload["assessment_id"]))


async def give_up_assessment(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the assessment that nobody will go on with it."""

    async def work(unit: UnitOfWork) -> None:
        await ChurnAssessmentService(unit).give_up(UUID(payload["assessment_id"]), reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def follow(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Assess those who were merged, or parted again: their purchases have changed hands."""
    sides = {UUID(customer_id) for message in messages for customer_id in message.payload["customer_ids"]}
    await ChurnAssessmentService(unit).reassess(sides)


async def backtest(database: Database, payload: Mapping[str, Any]) -> None:
    """Test the warnings on the past."""
    await run_backtest(database, UUID(payload["tenant_id"]), UUID(payload["backtest_id"]))


async def give_up_backtest(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the back-test that nobody will go on with it."""

    async def work(unit: UnitOfWork) -> None:
        await ChurnBacktestService(unit).give_up(UUID(payload["backtest_id"]), reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


async def nightly(database: Database) -> None:
    """Queue the assessment of every tenant whose night it is, or was while no worker ran."""

    async def work(unit: UnitOfWork) -> UUID | None:
        return await ChurnAssessmentService(unit).start_nightly()

    await for_each_tenant(database, "churn.nightly", lambda actor: database.run(actor, work))


JOBS = (Job(ASSESS_JOB, assess, give_up_assessment), Job(BACKTEST_JOB, backtest, give_up_backtest))
SUBSCRIBERS = (Subscriber("churn.follow", frozenset({"customer.merged", "customer.unmerged"}), follow),)
SCHEDULES = (Schedule("churn.nightly", "17 * * * *", nightly),)
"""Hourly, because it is night in another zone each hour."""
