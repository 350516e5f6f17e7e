"""Complaints over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.complaints.clock_models import (
    ClockMark,
    ClockPolicyAdopt,
    ClockPolicyCreate,
    ClockPolicyUpdate,
    ClockPresets,
    ReclockingProgress,
)
from crm_api.complaints.clock_policies import ClockPolicyService
from crm_api.complaints.clocks import CaseClocks
from crm_api.complaints.models import ComplaintCreate, ComplaintTransition, ComplaintUpdate
from crm_api.complaints.repository import COMPLAINT, COMPLAINT_EVENT
from crm_api.complaints.repository.clocks import CLOCK_POLICY, COMPLAINT_CLOCK, COMPLAINT_CLOCK_ALERT
from crm_api.complaints.service import ComplaintService
from crm_api.web.resources import (
    READ_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    nothing,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("complaints")

add_list(router, "/complaints", COMPLAINT, summary="List complaints")
add_get(router, "/complaints", COMPLAINT, summary="Get a complaint")
add_list(
    router,
    "/complaints/{id}/events",
    COMPLAINT_EVENT,
    summary="List what happened to a complaint",
    parent=("id", "complaint_id"),
)
add_list(
    router,
    "/customers/{customer_id}/complaints",
    COMPLAINT,
    summary="List a customer's complaints",
    parent=("customer_id", "customer_id"),
)


@router.post(
    "/complaints", status_code=201, summary="Open a complaint", responses=shown("Complaint", 201), response_model=None
)
async def open_complaint(unit: WriteUnit, body: ComplaintCreate) -> Response:
    """Open a case.

    A `source_ref` that is known answers 409 `duplicate` with the `complaint_id` of the case there is.
    """
    complaint_id = await ComplaintService(unit).open(body)
    return await resource(unit, COMPLAINT, complaint_id, status=201, location="/v1/complaints")


@router.patch("/complaints/{id}", summary="Change a complaint", responses=shown("Complaint"), response_model=None)
async def update_complaint(unit: WriteUnit, id: UUID, body: ComplaintUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; null clears one. The state changes by transitions only."""
    await ComplaintService(unit).update(id, body, expected_version=version)
    return await resource(unit, COMPLAINT, id)


@router.post(
    "/complaints/{id}/transitions",
    summary="Move a complaint on",
    responses=shown("Complaint"),
    response_model=None,
)
async def move_complaint(unit: WriteUnit, id: UUID, body: ComplaintTransition, version: ExpectedVersion) -> Response:
    """Take a step of the state machine, named by the state it leads to or by its action; answers with the case.

    A step that is not possible answers 409 `transition_not_allowed` and lists in `allowed` those that are; a step that
    lacks what it needs answers 409 `transition_guard`.
    """
    await ComplaintService(unit).transition(id, body, expected_version=version)
    return await resource(unit, COMPLAINT, id)


@router.put(
    "/complaints/{id}/interactions/{interaction_id}",
    status_code=204,
    summary="Link an interaction",
    responses=nothing(),
    response_model=None,
)
async def link_interaction(unit: WriteUnit, id: UUID, interaction_id: UUID) -> Response:
    """Say that an interaction was about this case; saying it again changes nothing."""
    await ComplaintService(unit).link_interaction(id, interaction_id)
    return Response(status_code=204)


@router.delete(
    "/complaints/{id}/interactions/{interaction_id}",
    status_code=204,
    summary="Unlink an interaction",
    responses=nothing(),
    response_model=None,
)
async def unlink_interaction(unit: WriteUnit, id: UUID, interaction_id: UUID) -> Response:
    """Take the link back; taking back what is not there changes nothing."""
    await ComplaintService(unit).unlink_interaction(id, interaction_id)
    return Response(status_code=204)


# -- clocks ------------------------------------------------------------------------------------------------------------

add_list(
    router,
    "/complaints/{id}/clocks",
    COMPLAINT_CLOCK,
    summary="List the clocks of a complaint",
    parent=("id", "complaint_id"),
)
add_list(
    router,
    "/complaints/{id}/clock-alerts",
    COMPLAINT_CLOCK_ALERT,
    summary="List what the clocks of a complaint announced",
    parent=("id", "complaint_id"),
)
add_list(router, "/complaint-clocks", COMPLAINT_CLOCK, summary="List clocks of all complaints")
add_get(router, "/complaint-clocks", COMPLAINT_CLOCK, summary="Get a clock of a complaint")


@router.post(
    "/complaints/{id}/clock-marks",
    summary="Mark what moves a clock",
    responses=shown("Complaint"),
    response_model=None,
)
async def mark_complaint(unit: WriteUnit, id: UUID, body: ClockMark) -> Response:
    """Note that goods came back, or that their price was paid back: the clock `refund` runs between the two.

    A refund of the case's order (`order.refunded`) is noted by itself.
    """
    await CaseClocks(unit).mark(id, body)
    return await resource(unit, COMPLAINT, id)


add_list(router, "/clock-policies", CLOCK_POLICY, summary="List policies of clocks, the first asked first")
add_get(router, "/clock-policies", CLOCK_POLICY, summary="Get a policy of clocks")


@router.post(
    "/clock-policies",
    status_code=201,
    summary="Add a policy of clocks",
    responses=shown("ClockPolicy", 201),
    response_model=None,
)
async def create_clock_policy(unit: WriteUnit, body: ClockPolicyCreate) -> Response:
    """Say how long things may take for which cases, when to warn, and what to do when a limit is missed.

    Each clock of a case follows the first policy, by `position`, that is for the case and has that clock. Open cases
    are clocked by it too, in the background (`GET /v1/clock-progress`).
    """
    made = await ClockPolicyService(unit).create(body)
    return await resource(unit, CLOCK_POLICY, made, status=201, location="/v1/clock-policies")


@router.post(
    "/clock-policies/adopt",
    status_code=201,
    summary="Add a ready-made policy of clocks",
    responses=shown("ClockPolicy", 201),
    response_model=None,
)
async def adopt_clock_policy(unit: WriteUnit, body: ClockPolicyAdopt) -> Response:
    """Add one of `GET /v1/clock-presets`, to be changed like any other."""
    made = await ClockPolicyService(unit).adopt(body.preset)
    return await resource(unit, CLOCK_POLICY, made, status=201, location="/v1/clock-policies")


@router.patch(
    "/clock-policies/{id}", summary="Change a policy of clocks", responses=shown("ClockPolicy"), response_model=None
)
async def update_clock_policy(unit: WriteUnit, id: UUID, body: ClockPolicyUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; `active: false` switches it off. Open cases are clocked anew, in the background.

    What was missed by the old limits stays missed.
    """
    await ClockPolicyService(unit).update(id, body, expected_version=version)
    return await resource(unit, CLOCK_POLICY, id)


@router.get("/clock-presets", summary="List ready-made policies of clocks", responses=READ_PROBLEMS)
async def list_clock_presets(unit: ReadUnit) -> ClockPresets:
    """Return ready-made limits, each with a note of its source."""
    return ClockPolicyService(unit).presets()


@router.get("/clock-progress", summary="See how far a change of policies has reached", responses=READ_PROBLEMS)
async def see_clock_progress(unit: ReadUnit) -> ReclockingProgress:
    """Return how many cases are still clocked by the policies and calendars of before their last change."""
    return await ClockPolicyService(unit).progress()
