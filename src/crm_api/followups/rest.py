"""Follow-ups and the one call over REST."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Query
from starlette.responses import Response

from crm_api.core.models import NearDay
from crm_api.db.plans import read_one
from crm_api.db.projections import Projection
from crm_api.db.uow import UnitOfWork
from crm_api.followups.contacts import ContactService
from crm_api.followups.models import (
    Contact,
    ContactCreate,
    EffectQuery,
    FollowUpComplete,
    FollowUpCreate,
    FollowUpEffect,
    FollowUpPlanCreate,
    FollowUpPlanUpdate,
    FollowUpSkip,
    FollowUpSnooze,
    FollowUpUpdate,
)
from crm_api.followups.plans import FollowUpPlanService
from crm_api.followups.repository import (
    COMPLAINT,
    FOLLOW_UP,
    FOLLOW_UP_PLAN,
    FOLLOW_UP_PLAN_VERSION,
    INTERACTION,
)
from crm_api.followups.service import FollowUpService
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("followups")

# -- plans -------------------------------------------------------------------------------------------------------------

add_list(router, "/follow-up-plans", FOLLOW_UP_PLAN, summary="List follow-up plans")
add_get(router, "/follow-up-plans", FOLLOW_UP_PLAN, summary="Get a follow-up plan")
add_list(
    router,
    "/follow-up-plans/{id}/versions",
    FOLLOW_UP_PLAN_VERSION,
    summary="List what a plan has said",
    parent=("id", "plan_id"),
)


@router.post(
    "/follow-up-plans",
    status_code=201,
    summary="Add a follow-up plan",
    responses=shown("FollowUpPlan", 201),
    response_model=None,
)
async def create_plan(unit: WriteUnit, body: FollowUpPlanCreate) -> Response:
    """Add a plan. An active one has its tasks made at once by a job, then daily, for a segment hourly."""
    plan_id = await FollowUpPlanService(unit).create(body)
    return await resource(unit, FOLLOW_UP_PLAN, plan_id, status=201, location="/v1/follow-up-plans")


@router.patch(
    "/follow-up-plans/{id}", summary="Change a follow-up plan", responses=shown("FollowUpPlan"), response_model=None
)
async def update_plan(unit: WriteUnit, id: UUID, body: FollowUpPlanUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given, pause or archive. What the plan says becomes its next version; open tasks stay."""
    await FollowUpPlanService(unit).update(id, body, expected_version=version)
    return await resource(unit, FOLLOW_UP_PLAN, id)


@router.post(
    "/follow-up-plans/{id}/make",
    status_code=202,
    summary="Make a plan's tasks now",
    responses=shown("FollowUpPlan", 202, "The plan; `generated_at` tells when the tasks were made."),
    response_model=None,
)
async def make_follow_ups(unit: WriteUnit, id: UUID) -> Response:
    """Have the tasks made by a job now instead of within the day. Making them twice makes none twice."""
    await FollowUpPlanService(unit).make_now(id)
    return await resource(unit, FOLLOW_UP_PLAN, id, status=202)


@router.get("/follow-up-plans/{id}/effect", summary="Report a plan's effect", responses=READ_PROBLEMS)
async def report_effect(
    unit: ReadUnit,
    id: UUID,
    since: Annotated[NearDay | None, Query(description="Tasks asked for from this day on; 180 days back.")] = None,
    until: Annotated[NearDay | None, Query(description="And before this day; tomorrow if left out.")] = None,
    within_days: Annotated[int, Query(ge=1, le=365, description="A purchase counts within so many days.")] = 30,
) -> FollowUpEffect:
    """Compare purchases of who was contacted with those of who was not, and say how far that can be trusted."""
    query = EffectQuery(since=since, until=until, within_days=within_days)
    return await FollowUpPlanService(unit).effect(id, query)


# -- tasks -------------------------------------------------------------------------------------------------------------

add_list(router, "/follow-ups", FOLLOW_UP, summary="List follow-ups")
add_get(router, "/follow-ups", FOLLOW_UP, summary="Get a follow-up")
add_list(
    router,
    "/customers/{customer_id}/follow-ups",
    FOLLOW_UP,
    summary="List a customer's follow-ups",
    parent=("customer_id", "customer_id"),
)


@router.post(
    "/follow-ups", status_code=201, summary="Plan a follow-up", responses=shown("FollowUp", 201), response_model=None
)
async def create_follow_up(unit: WriteUnit, body: FollowUpCreate) -> Response:
    """Plan a contact by hand; its day is moved off days off by the calendar."""
    task_id = await FollowUpService(unit).create(body)
    return await resource(unit, FOLLOW_UP, task_id, status=201, location="/v1/follow-ups")


@router.patch("/follow-ups/{id}", summary="Change a follow-up", responses=shown("FollowUp"), response_model=None)
async def update_follow_up(unit: WriteUnit, id: UUID, body: FollowUpUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given of an open task; give it to somebody, to the queue (null) or back to the owner."""
    await FollowUpService(unit).update(id, body, expected_version=version)
    return await resource(unit, FOLLOW_UP, id)


@router.post(
    "/follow-ups/{id}/complete", summary="Complete a follow-up", responses=shown("FollowUp"), response_model=None
)
async def complete_follow_up(unit: WriteUnit, id: UUID, body: FollowUpComplete, version: ExpectedVersion) -> Response:
    """Say what came of it. It becomes an interaction (`interaction_id`); takes `interactions:write` too."""
    await FollowUpService(unit).complete(id, body, expected_version=version)
    return await resource(unit, FOLLOW_UP, id)


@router.post("/follow-ups/{id}/skip", summary="Skip a follow-up", responses=shown("FollowUp"), response_model=None)
async def skip_follow_up(unit: WriteUnit, id: UUID, body: FollowUpSkip, version: ExpectedVersion) -> Response:
    """Close it without a contact, and say why."""
    await FollowUpService(unit).skip(id, body, expected_version=version)
    return await resource(unit, FOLLOW_UP, id)


@router.post("/follow-ups/{id}/snooze", summary="Snooze a follow-up", responses=shown("FollowUp"), response_model=None)
async def snooze_follow_up(unit: WriteUnit, id: UUID, body: FollowUpSnooze, version: ExpectedVersion) -> Response:
    """Put it off; it is due again at that time, and overdue when work has ended on that day."""
    await FollowUpService(unit).snooze(id, body, expected_version=version)
    return await resource(unit, FOLLOW_UP, id)


# -- the one call ------------------------------------------------------------------------------------------------------

_LOGGED: dict[int | str, dict[str, Any]] = {
    201: {"model": Contact, "description": "All that it wrote."},
    **WRITE_PROBLEMS,
}


@router.post(
    "/contacts",
    status_code=201,
    summary="Log a contact with all that comes of it",
    responses=_LOGGED,
    response_model=None,
)
async def log_contact(unit: WriteUnit, body: ContactCreate) -> Response:
    """Note an interaction, close a task, open a case or link one, and plan the next contact, in one transaction.

    All of it is stored or none; one `Idempotency-Key` covers the whole. Each part takes the scope of its own operation.
    """
    made = await ContactService(unit).log(body)
    parts = {
        "interaction": await _shown(unit, INTERACTION, made.interaction_id),
        "follow_up": await _shown(unit, FOLLOW_UP, made.follow_up_id),
        "complaint": await _shown(unit, COMPLAINT, made.complaint_id),
        "next": await _shown(unit, FOLLOW_UP, made.next_id),
    }
    return Response(orjson.dumps(parts), 201, media_type=JSON)


async def _shown(unit: UnitOfWork, projection: Projection, row_id: UUID | None) -> Any:
    found = None if row_id is None else await read_one(unit, projection, row_id)
    return None if found is None else orjson.Fragment(found.json)
