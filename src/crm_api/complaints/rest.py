"""Complaints over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.complaints.assigning import CaseAssignment
from crm_api.complaints.cause_models import (
    ComplaintCauseCreate,
    ComplaintCausesAdopt,
    ComplaintCausesAdopted,
    ComplaintCauseUpdate,
    ComplaintSettingsUpdate,
)
from crm_api.complaints.causes import ComplaintCauseService, ComplaintSettingsService
from crm_api.complaints.clock_models import (
    ClockMark,
    ClockPolicyAdopt,
    ClockPolicyCreate,
    ClockPolicyUpdate,
    ClockPresets,
    ComplaintAssign,
    ComplaintAssignment,
    ReclockingProgress,
)
from crm_api.complaints.clock_policies import ClockPolicyService
from crm_api.complaints.clocks import CaseClocks
from crm_api.complaints.messages import ComplaintMessageService
from crm_api.complaints.models import (
    ComplaintCreate,
    ComplaintFollowOn,
    ComplaintMessageCreate,
    ComplaintTransition,
    ComplaintUpdate,
)
from crm_api.complaints.repository import (
    CLOCK_POLICY,
    COMPLAINT,
    COMPLAINT_CAUSE,
    COMPLAINT_CLOCK,
    COMPLAINT_CLOCK_ALERT,
    COMPLAINT_EVENT,
    COMPLAINT_MESSAGE,
    COMPLAINT_QUEUE_ENTRY,
    COMPLAINT_SETTINGS,
)
from crm_api.complaints.service import ComplaintService
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
    lacks what it needs answers 409 `transition_guard`. What can be reopened no more (409 `reopen_window_over`) is taken
    up in a new case: `POST /v1/complaints/{id}/follow-on`. `unmerge` takes a duplicate out of the case it was merged
    into, back to the state it was in.
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


@router.post(
    "/complaints/{id}/follow-on",
    status_code=201,
    summary="Take up a complaint again in a new one",
    responses=shown("Complaint", 201),
    response_model=None,
)
async def follow_on(unit: WriteUnit, id: UUID, body: ComplaintFollowOn | None = None) -> Response:
    """Open a new case that takes up this one, which cannot be reopened any more; `reopens_id` links them.

    Customer, orders, goods, severity and category are taken from the old case unless they are given. One that is open,
    or can be reopened, answers 409 `can_be_reopened`; one that was taken up already, and that case is open, 409
    `duplicate` with its `complaint_id`. The body may be left out.
    """
    complaint_id = await ComplaintService(unit).follow_on(id, body or ComplaintFollowOn())
    return await resource(unit, COMPLAINT, complaint_id, status=201, location="/v1/complaints")


# -- what is said about a case -----------------------------------------------------------------------------------------

add_list(
    router,
    "/complaints/{id}/messages",
    COMPLAINT_MESSAGE,
    summary="List what was said about a complaint",
    parent=("id", "complaint_id"),
)
add_list(router, "/complaint-messages", COMPLAINT_MESSAGE, summary="List what was said about complaints")
add_get(router, "/complaint-messages", COMPLAINT_MESSAGE, summary="Get a message of a complaint")


@router.post(
    "/complaints/{id}/messages",
    status_code=201,
    summary="Add a message, a note or a step that was done",
    responses=shown("ComplaintMessage", 201),
    response_model=None,
)
async def add_message(unit: WriteUnit, id: UUID, body: ComplaintMessageCreate) -> Response:
    """Note what was said to or by the customer, what the shop says among itself, or what was done.

    A message of the customer ends waiting for them. One that goes out with `tells` notes that the customer knows the
    decision, which closing needs. A `source_ref` the case knows answers 409 `duplicate` with the `message_id`.
    """
    message_id = await ComplaintMessageService(unit).add(id, body)
    return await resource(unit, COMPLAINT_MESSAGE, message_id, status=201, location="/v1/complaint-messages")


# -- taxonomy and settings ---------------------------------------------------------------------------------------------

add_list(router, "/complaint-causes", COMPLAINT_CAUSE, summary="List the taxonomy")
add_get(router, "/complaint-causes", COMPLAINT_CAUSE, summary="Get a place of the taxonomy")


@router.post(
    "/complaint-causes",
    status_code=201,
    summary="Add a place to the taxonomy",
    responses=shown("ComplaintCause", 201),
    response_model=None,
)
async def create_cause(unit: WriteUnit, body: ComplaintCauseCreate) -> Response:
    """Add what cases can be about. What lies above it must be there; once there is one, cases name only what is."""
    cause_id = await ComplaintCauseService(unit).create(body)
    return await resource(unit, COMPLAINT_CAUSE, cause_id, status=201, location="/v1/complaint-causes")


@router.post("/complaint-causes/adopt", summary="Add a trade's ready-made taxonomy", responses=WRITE_PROBLEMS)
async def adopt_causes(unit: WriteUnit, body: ComplaintCausesAdopt | None = None) -> ComplaintCausesAdopted:
    """Add what the shop lacks of the taxonomy its trade starts with; what is there stays. The body may be left out.

    From then on cases name only what is in the taxonomy.
    """
    return await ComplaintCauseService(unit).adopt(body or ComplaintCausesAdopt())


@router.patch(
    "/complaint-causes/{id}",
    summary="Change a place of the taxonomy",
    responses=shown("ComplaintCause"),
    response_model=None,
)
async def update_cause(unit: WriteUnit, id: UUID, body: ComplaintCauseUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; the path stays. What is archived cannot be chosen any more; cases keep it."""
    await ComplaintCauseService(unit).update(id, body, expected_version=version)
    return await resource(unit, COMPLAINT_CAUSE, id)


@router.get(
    "/complaint-settings",
    summary="Get the settings of complaints",
    responses={
        200: {
            "description": "The settings; their version is the ETag.",
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/ComplaintSettings"}}},
        },
        **READ_PROBLEMS,
    },
    response_model=None,
)
async def get_complaint_settings(unit: ReadUnit) -> Response:
    """Tell for how long cases can be reopened, and when they are closed by themselves."""
    return await resource(unit, COMPLAINT_SETTINGS, unit.tenant_id)


@router.patch(
    "/complaint-settings",
    summary="Change the settings of complaints",
    responses=shown("ComplaintSettings", description="The settings as they are now."),
    response_model=None,
)
async def update_complaint_settings(
    unit: WriteUnit, body: ComplaintSettingsUpdate, version: ExpectedVersion
) -> Response:
    """Change the settings given; they hold at once, also for the cases there are."""
    await ComplaintSettingsService(unit).change(body, expected_version=version)
    return await resource(unit, COMPLAINT_SETTINGS, unit.tenant_id)


# -- assignment --------------------------------------------------------------------------------------------------------


@router.post("/complaints/{id}/assign", summary="Give a complaint to somebody", responses=WRITE_PROBLEMS)
async def assign_complaint(
    unit: WriteUnit, id: UUID, version: ExpectedVersion, body: ComplaintAssign | None = None
) -> ComplaintAssignment:
    """Give a case to a staff member, or, without one, ask the rules of assignment for cases now.

    New cases without `assignee_id` are handed out by themselves; a case whose handler goes off is taken over. If the
    rules find nobody the case waits in `GET /v1/complaint-queue` and is looked at again when somebody comes, gets
    room or learns, and every minute.
    """
    return await CaseAssignment(unit).assign(id, body or ComplaintAssign(), expected_version=version)


add_list(router, "/complaint-queue", COMPLAINT_QUEUE_ENTRY, summary="List complaints that wait for somebody")

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
