"""Complaints over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.complaints.models import ComplaintCreate, ComplaintTransition, ComplaintUpdate
from crm_api.complaints.repository import COMPLAINT, COMPLAINT_EVENT
from crm_api.complaints.service import ComplaintService
from crm_api.web.resources import add_get, add_list, crm_router, nothing, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

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
