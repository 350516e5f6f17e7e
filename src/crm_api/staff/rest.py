"""Teams, skills, shifts, training, assignment, rebalancing and the report of staff over REST."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Query
from starlette.responses import Response

from crm_api.core.models import NearInstant
from crm_api.staff.assigning import AssignmentRuleService, AssignmentService
from crm_api.staff.assignment_models import AssignmentOutcome, AssignmentRuleCreate, AssignmentRuleUpdate, OwnerInput
from crm_api.staff.models import (
    CompletionCreate,
    CourseCreate,
    CourseUpdate,
    ShiftCreate,
    ShiftUpdate,
    SkillCreate,
    SkillUpdate,
    StaffSkillInput,
    TeamCreate,
    TeamUpdate,
)
from crm_api.staff.performance import PerformanceService
from crm_api.staff.performance_models import PerformanceQuery, StaffPerformanceReport
from crm_api.staff.rebalancing import RebalancingService
from crm_api.staff.rebalancing_models import RebalancingCreate, RebalancingDecision
from crm_api.staff.repository import (
    ASSIGNMENT_RULE,
    COURSE,
    COURSE_COMPLETION,
    CUSTOMER_OWNERSHIP,
    OWNER_QUEUE_ENTRY,
    REBALANCING,
    REBALANCING_MOVE,
    SHIFT,
    SKILL,
    STAFF_SKILL,
    TEAM,
)
from crm_api.staff.service import CourseService, ShiftService, SkillService, TeamService
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    nothing,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("staff")

# -- teams, skills, shifts ---------------------------------------------------------------------------------------------

add_list(router, "/teams", TEAM, summary="List teams")
add_get(router, "/teams", TEAM, summary="Get a team")


@router.post("/teams", status_code=201, summary="Add a team", responses=shown("Team", 201), response_model=None)
async def create_team(unit: WriteUnit, body: TeamCreate) -> Response:
    """Add a team with its members."""
    return await resource(unit, TEAM, await TeamService(unit).create(body), status=201, location="/v1/teams")


@router.patch("/teams/{id}", summary="Change a team", responses=shown("Team"), response_model=None)
async def update_team(unit: WriteUnit, id: UUID, body: TeamUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; `member_ids` replaces all members."""
    await TeamService(unit).update(id, body, expected_version=version)
    return await resource(unit, TEAM, id)


add_list(router, "/skills", SKILL, summary="List skills")
add_get(router, "/skills", SKILL, summary="Get a skill")


@router.post("/skills", status_code=201, summary="Add a skill", responses=shown("Skill", 201), response_model=None)
async def create_skill(unit: WriteUnit, body: SkillCreate) -> Response:
    """Add something that not everybody can do."""
    return await resource(unit, SKILL, await SkillService(unit).create(body), status=201, location="/v1/skills")


@router.patch("/skills/{id}", summary="Change a skill", responses=shown("Skill"), response_model=None)
async def update_skill(unit: WriteUnit, id: UUID, body: SkillUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given."""
    await SkillService(unit).update(id, body, expected_version=version)
    return await resource(unit, SKILL, id)


add_list(router, "/staff-skills", STAFF_SKILL, summary="List who can do what")


@router.put(
    "/staff/{staff_id}/skills/{skill_id}",
    summary="Say how well somebody can do something",
    responses=shown("StaffSkill"),
    response_model=None,
)
async def grant_skill(unit: WriteUnit, staff_id: UUID, skill_id: UUID, body: StaffSkillInput) -> Response:
    """Grant a skill, or change its level; passing a course (`POST /v1/courses/{id}/completions`) grants it too."""
    return await resource(unit, STAFF_SKILL, await SkillService(unit).grant(staff_id, skill_id, body))


@router.delete(
    "/staff/{staff_id}/skills/{skill_id}",
    status_code=204,
    summary="Take a skill away",
    responses=nothing(),
    response_model=None,
)
async def revoke_skill(unit: WriteUnit, staff_id: UUID, skill_id: UUID) -> Response:
    """Say that somebody cannot do it any more; what they were given stays with them."""
    await SkillService(unit).revoke(staff_id, skill_id)
    return Response(status_code=204)


add_list(router, "/shifts", SHIFT, summary="List shifts and absences")
add_get(router, "/shifts", SHIFT, summary="Get a shift or an absence")


@router.post(
    "/shifts", status_code=201, summary="Add a shift or an absence", responses=shown("Shift", 201), response_model=None
)
async def create_shift(unit: WriteUnit, body: ShiftCreate) -> Response:
    """Say when somebody works, or is away; shifts of one person do not overlap, nor do absences."""
    return await resource(unit, SHIFT, await ShiftService(unit).create(body), status=201, location="/v1/shifts")


@router.patch("/shifts/{id}", summary="Change a shift or an absence", responses=shown("Shift"), response_model=None)
async def update_shift(unit: WriteUnit, id: UUID, body: ShiftUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given."""
    await ShiftService(unit).update(id, body, expected_version=version)
    return await resource(unit, SHIFT, id)


@router.delete(
    "/shifts/{id}", status_code=204, summary="Delete a shift or an absence", responses=nothing(), response_model=None
)
async def delete_shift(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Delete it."""
    await ShiftService(unit).delete(id, expected_version=version)
    return Response(status_code=204)


# -- training ----------------------------------------------------------------------------------------------------------

add_list(router, "/courses", COURSE, summary="List courses")
add_get(router, "/courses", COURSE, summary="Get a course")


@router.post("/courses", status_code=201, summary="Add a course", responses=shown("Course", 201), response_model=None)
async def create_course(unit: WriteUnit, body: CourseCreate) -> Response:
    """Add a training course, and say which skill passing it grants."""
    return await resource(unit, COURSE, await CourseService(unit).create(body), status=201, location="/v1/courses")


@router.patch("/courses/{id}", summary="Change a course", responses=shown("Course"), response_model=None)
async def update_course(unit: WriteUnit, id: UUID, body: CourseUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; what was passed stays passed."""
    await CourseService(unit).update(id, body, expected_version=version)
    return await resource(unit, COURSE, id)


add_list(router, "/course-completions", COURSE_COMPLETION, summary="List finished courses, newest first")
add_get(router, "/course-completions", COURSE_COMPLETION, summary="Get a finished course")


@router.post(
    "/courses/{id}/completions",
    status_code=201,
    summary="Note that somebody has finished a course",
    responses=shown("CourseCompletion", 201),
    response_model=None,
)
async def complete_course(unit: WriteUnit, id: UUID, body: CompletionCreate) -> Response:
    """Note a score; from the pass score on it grants the course's skill, for `valid_days` if the course says so."""
    made = await CourseService(unit).complete(id, body)
    return await resource(unit, COURSE_COMPLETION, made, status=201, location="/v1/course-completions")


# -- assignment --------------------------------------------------------------------------------------------------------

add_list(router, "/assignment-rules", ASSIGNMENT_RULE, summary="List rules of assignment, the first asked first")
add_get(router, "/assignment-rules", ASSIGNMENT_RULE, summary="Get a rule of assignment")


@router.post(
    "/assignment-rules",
    status_code=201,
    summary="Add a rule of assignment",
    responses=shown("AssignmentRule", 201),
    response_model=None,
)
async def create_assignment_rule(unit: WriteUnit, body: AssignmentRuleCreate) -> Response:
    """Say who gets new customers, or cases: online, with all skills required, and below their capacity.

    Rules are asked by `position`; the first that is for the customer and finds somebody decides. If none finds anybody,
    the customer waits in the queue (`GET /v1/assignment-queue`) and is looked at again when staff, skills, shifts or
    rules change, and every five minutes.
    """
    made = await AssignmentRuleService(unit).create(body)
    return await resource(unit, ASSIGNMENT_RULE, made, status=201, location="/v1/assignment-rules")


@router.patch(
    "/assignment-rules/{id}",
    summary="Change a rule of assignment",
    responses=shown("AssignmentRule"),
    response_model=None,
)
async def update_assignment_rule(
    unit: WriteUnit, id: UUID, body: AssignmentRuleUpdate, version: ExpectedVersion
) -> Response:
    """Change the fields given; it holds for what comes from now on."""
    await AssignmentRuleService(unit).update(id, body, expected_version=version)
    return await resource(unit, ASSIGNMENT_RULE, id)


@router.delete(
    "/assignment-rules/{id}",
    status_code=204,
    summary="Delete a rule of assignment",
    responses=nothing(),
    response_model=None,
)
async def delete_assignment_rule(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Delete it; what it handed out stays with whom it is."""
    await AssignmentRuleService(unit).delete(id, expected_version=version)
    return Response(status_code=204)


add_list(router, "/assignment-queue", OWNER_QUEUE_ENTRY, summary="List customers who wait for an owner, longest first")

add_list(
    router,
    "/customers/{customer_id}/owners",
    CUSTOMER_OWNERSHIP,
    summary="List who looked after a customer, newest first",
    parent=("customer_id", "customer_id"),
)


@router.post(
    "/customers/{customer_id}/owners",
    status_code=201,
    summary="Hand a customer over",
    responses=shown("CustomerOwnership", 201, "The line of the history that begins now."),
    response_model=None,
)
async def hand_over_customer(unit: WriteUnit, customer_id: UUID, body: OwnerInput) -> Response:
    """Give a customer another owner by hand, with a handover note; capacities bind rules, not people."""
    line = await AssignmentService(unit).hand_over(customer_id, body)
    return await resource(unit, CUSTOMER_OWNERSHIP, line, status=201)


@router.post(
    "/customers/{customer_id}/owner-assignment",
    summary="Ask the rules for an owner now",
    responses=WRITE_PROBLEMS,
)
async def assign_customer(unit: WriteUnit, customer_id: UUID) -> AssignmentOutcome:
    """Ask the rules now for a customer without an owner; who finds nobody is put into the queue."""
    return await AssignmentService(unit).assign(customer_id)


# -- rebalancing -------------------------------------------------------------------------------------------------------

add_list(router, "/rebalancings", REBALANCING, summary="List proposals to spread customers anew, newest first")
add_get(router, "/rebalancings", REBALANCING, summary="Get a proposal")
add_list(
    router,
    "/rebalancings/{id}/moves",
    REBALANCING_MOVE,
    summary="List who would change hands",
    parent=("id", "rebalancing_id"),
)


@router.post(
    "/rebalancings",
    status_code=201,
    summary="Propose to spread customers anew",
    responses=shown("Rebalancing", 201),
    response_model=None,
)
async def propose_rebalancing(unit: WriteUnit, body: RebalancingCreate) -> Response:
    """Reckon the fewest moves that make loads even, per weight, within capacities; nothing moves yet.

    Who knows their owner least goes first. When a staff member with customers becomes inactive, a proposal is made by
    itself: colleagues of their teams take over, else of their store, else all.
    """
    made = await RebalancingService(unit).propose(body)
    return await resource(unit, REBALANCING, made, status=201, location="/v1/rebalancings")


@router.post(
    "/rebalancings/{id}/approve", summary="Approve a proposal", responses=shown("Rebalancing"), response_model=None
)
async def approve_rebalancing(
    unit: WriteUnit, id: UUID, version: ExpectedVersion, body: RebalancingDecision | None = None
) -> Response:
    """Allow it to be applied; takes the scope `staff:approve`, so that who proposes need not be who decides."""
    await RebalancingService(unit).approve(id, body or RebalancingDecision(), expected_version=version)
    return await resource(unit, REBALANCING, id)


@router.post(
    "/rebalancings/{id}/reject", summary="Reject a proposal", responses=shown("Rebalancing"), response_model=None
)
async def reject_rebalancing(
    unit: WriteUnit, id: UUID, version: ExpectedVersion, body: RebalancingDecision | None = None
) -> Response:
    """Refuse it for good; takes the scope `staff:approve`."""
    await RebalancingService(unit).reject(id, body or RebalancingDecision(), expected_version=version)
    return await resource(unit, REBALANCING, id)


@router.post(
    "/rebalancings/{id}/apply", summary="Apply a proposal", responses=shown("Rebalancing"), response_model=None
)
async def apply_rebalancing(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Let all customers change hands, in one transaction; who has another owner by now is left out."""
    await RebalancingService(unit).apply(id, expected_version=version)
    return await resource(unit, REBALANCING, id)


@router.post("/rebalancings/{id}/undo", summary="Undo a proposal", responses=shown("Rebalancing"), response_model=None)
async def undo_rebalancing(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Give customers back to whom they came from, in one transaction; who has moved on since stays."""
    await RebalancingService(unit).undo(id, expected_version=version)
    return await resource(unit, REBALANCING, id)


# -- the report --------------------------------------------------------------------------------------------------------

_REPORT: dict[int | str, dict[str, Any]] = {
    200: {"model": StaffPerformanceReport, "description": "The report."},
    **READ_PROBLEMS,
}


@router.get("/staff-performance", summary="Report what staff did", responses=_REPORT, response_model=None)
async def report_performance(
    unit: ReadUnit,
    since: Annotated[
        NearInstant | None, Query(description="From this instant on; 30 days before `until` if left out.")
    ] = None,
    until: Annotated[
        NearInstant | None, Query(description="Until before this instant, at most 400 days later; now if left out.")
    ] = None,
    team_id: Annotated[UUID | None, Query(description="Only members of this team.")] = None,
    store_id: Annotated[UUID | None, Query(description="Only staff of this store.")] = None,
) -> Response:
    """Customers gained and lost, contacts and coverage, sales, retained buyers and training of each staff member."""
    query = PerformanceQuery(since=since, until=until, team_id=team_id, store_id=store_id)
    return Response(orjson.dumps(await PerformanceService(unit).report(query)), media_type=JSON)
