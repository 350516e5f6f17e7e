"""Compensations and limits of approval over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.compensations.limits import ApprovalLimitService
from crm_api.compensations.models import (
    ApprovalLimitCreate,
    ApprovalLimitUpdate,
    CompensationApproval,
    CompensationCreate,
    CompensationRefusal,
    CompensationReversal,
    CompensationSettlement,
)
from crm_api.compensations.repository import APPROVAL_LIMIT, COMPENSATION
from crm_api.compensations.service import CompensationService
from crm_api.web.resources import add_get, add_list, crm_router, nothing, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("complaints")

add_list(router, "/compensations", COMPENSATION, summary="List compensations")
add_get(router, "/compensations", COMPENSATION, summary="Get a compensation")
add_list(
    router,
    "/complaints/{id}/compensations",
    COMPENSATION,
    summary="List the compensations of a complaint",
    parent=("id", "complaint_id"),
)


@router.post(
    "/complaints/{id}/compensations",
    status_code=201,
    summary="Propose a compensation",
    responses=shown("Compensation", 201, "The compensation."),
    response_model=None,
)
async def propose_compensation(unit: WriteUnit, id: UUID, body: CompensationCreate) -> Response:
    """Propose what the customer is to get.

    Within the proposer's own limit (`/v1/approval-limits`) it is `approved` at once, otherwise it is `proposed` and
    somebody else approves it. A key with the scope `admin` that names no staff member has no limit. Points and vouchers
    are then paid by the worker, once.
    """
    made = await CompensationService(unit).propose(id, body)
    return await resource(unit, COMPENSATION, made, status=201, location="/v1/compensations")


@router.post(
    "/compensations/{id}/approve",
    summary="Approve a compensation",
    responses=shown("Compensation"),
    response_model=None,
)
async def approve_compensation(
    unit: WriteUnit, id: UUID, version: ExpectedVersion, body: CompensationApproval | None = None
) -> Response:
    """Let it be paid or done; takes the scope `compensations:approve`. The body may be left out.

    409 `same_person` when the one who proposed it tries, 409 `over_limit` above the caller's own limit.
    """
    await CompensationService(unit).approve(id, body or CompensationApproval(), expected_version=version)
    return await resource(unit, COMPENSATION, id)


@router.post(
    "/compensations/{id}/reject", summary="Reject a compensation", responses=shown("Compensation"), response_model=None
)
async def reject_compensation(
    unit: WriteUnit, id: UUID, body: CompensationRefusal, version: ExpectedVersion
) -> Response:
    """Refuse it for good; takes the scope `compensations:approve`."""
    await CompensationService(unit).reject(id, body, expected_version=version)
    return await resource(unit, COMPENSATION, id)


@router.post(
    "/compensations/{id}/cancel", summary="Cancel a compensation", responses=shown("Compensation"), response_model=None
)
async def cancel_compensation(
    unit: WriteUnit, id: UUID, body: CompensationRefusal, version: ExpectedVersion
) -> Response:
    """Give it up before it is paid or done."""
    await CompensationService(unit).cancel(id, body, expected_version=version)
    return await resource(unit, COMPENSATION, id)


@router.post(
    "/compensations/{id}/settle",
    summary="Note that a compensation was done",
    responses=shown("Compensation"),
    response_model=None,
)
async def settle_compensation(
    unit: WriteUnit, id: UUID, body: CompensationSettlement, version: ExpectedVersion
) -> Response:
    """Say that the shop has refunded, sent or done what was approved, and under which number.

    Points and vouchers are paid by themselves: 409 `paid_by_itself`.
    """
    await CompensationService(unit).settle(id, body, expected_version=version)
    return await resource(unit, COMPENSATION, id)


@router.post(
    "/compensations/{id}/retry",
    summary="Pay a failed compensation again",
    responses=shown("Compensation"),
    response_model=None,
)
async def retry_compensation(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Have the worker try again what `failed`; it is still paid once."""
    await CompensationService(unit).retry(id, expected_version=version)
    return await resource(unit, COMPENSATION, id)


@router.post(
    "/compensations/{id}/reverse",
    summary="Take a compensation back",
    responses=shown("Compensation"),
    response_model=None,
)
async def reverse_compensation(
    unit: WriteUnit, id: UUID, body: CompensationReversal, version: ExpectedVersion
) -> Response:
    """Take back points or an unused voucher, or note that the shop got back what it had given.

    Takes the scope `compensations:approve`, and for points `loyalty:write`, for vouchers `vouchers:write`. What is left
    of spent points is decided by the loyalty programme's refund policy.
    """
    await CompensationService(unit).reverse(id, body, expected_version=version)
    return await resource(unit, COMPENSATION, id)


# -- limits of approval ------------------------------------------------------------------------------------------------

add_list(router, "/approval-limits", APPROVAL_LIMIT, summary="List limits of approval")
add_get(router, "/approval-limits", APPROVAL_LIMIT, summary="Get a limit of approval")


@router.post(
    "/approval-limits",
    status_code=201,
    summary="Set a limit of approval",
    responses=shown("ApprovalLimit", 201),
    response_model=None,
)
async def create_approval_limit(unit: WriteUnit, body: ApprovalLimitCreate) -> Response:
    """Say how much a role, a staff member, a key or everybody may approve alone for one case.

    Takes `accounts:write`, so that who approves does not raise their own limit.
    """
    made = await ApprovalLimitService(unit).create(body)
    return await resource(unit, APPROVAL_LIMIT, made, status=201, location="/v1/approval-limits")


@router.patch(
    "/approval-limits/{id}",
    summary="Change a limit of approval",
    responses=shown("ApprovalLimit"),
    response_model=None,
)
async def update_approval_limit(
    unit: WriteUnit, id: UUID, body: ApprovalLimitUpdate, version: ExpectedVersion
) -> Response:
    """Change the fields given; what was approved before stays approved. Takes `accounts:write`."""
    await ApprovalLimitService(unit).change(id, body, expected_version=version)
    return await resource(unit, APPROVAL_LIMIT, id)


@router.delete(
    "/approval-limits/{id}",
    status_code=204,
    summary="Delete a limit of approval",
    responses=nothing(),
    response_model=None,
)
async def delete_approval_limit(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Take it away; takes `accounts:write`."""
    await ApprovalLimitService(unit).delete(id, expected_version=version)
    return Response(status_code=204)
