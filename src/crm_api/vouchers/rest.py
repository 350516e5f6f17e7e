"""Vouchers over REST."""

from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from crm_api.core.paging import PageRequest
from crm_api.db.plans import read_list
from crm_api.db.uow import UnitOfWork
from crm_api.vouchers.campaigns import VoucherCampaignService
from crm_api.vouchers.checkout import VoucherCheckoutService
from crm_api.vouchers.generation import VoucherBatchService
from crm_api.vouchers.models import (
    RedemptionRollback,
    VoucherBatchCreate,
    VoucherCampaignCreate,
    VoucherCampaignUpdate,
    VoucherIssue,
    VoucherLock,
    VoucherLookup,
    VoucherRedeem,
    VoucherRelease,
    VoucherReleased,
    VoucherRollback,
    VoucherUpdate,
    VoucherValidate,
    VoucherValidation,
)
from crm_api.vouchers.repository import VOUCHER, VOUCHER_BATCH, VOUCHER_CAMPAIGN, VOUCHER_REDEMPTION, ids_are
from crm_api.vouchers.service import VoucherService
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

router = crm_router("vouchers")

_USES: dict[str, Any] = {
    "description": "The uses, in the order in which they apply.",
    "content": {JSON: {"schema": {"$ref": "#/components/schemas/VoucherRedemptionPage"}}},
}
_VALIDATION: dict[int | str, dict[str, Any]] = {
    200: {"description": "One verdict for each code.", "model": VoucherValidation},
    **READ_PROBLEMS,
}
_FOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "The voucher.", "content": {JSON: {"schema": {"$ref": "#/components/schemas/Voucher"}}}},
    **READ_PROBLEMS,
}


def _uses(status: int) -> dict[int | str, dict[str, Any]]:
    return {status: _USES, **WRITE_PROBLEMS}


# -- campaigns ---------------------------------------------------------------------------------------------------------

add_list(router, "/voucher-campaigns", VOUCHER_CAMPAIGN, summary="List campaigns")
add_get(router, "/voucher-campaigns", VOUCHER_CAMPAIGN, summary="Get a campaign")


@router.post(
    "/voucher-campaigns",
    status_code=201,
    summary="Make a campaign",
    responses=shown("VoucherCampaign", 201, "The campaign."),
    response_model=None,
)
async def create_campaign(unit: WriteUnit, body: VoucherCampaignCreate) -> Response:
    """Say what its vouchers are worth, for whom, for which carts and how often; codes are made with batches."""
    campaign_id = await VoucherCampaignService(unit).create(body)
    return await resource(unit, VOUCHER_CAMPAIGN, campaign_id, status=201, location="/v1/voucher-campaigns")


@router.patch(
    "/voucher-campaigns/{id}",
    summary="Change a campaign",
    responses=shown("VoucherCampaign"),
    response_model=None,
)
async def update_campaign(unit: WriteUnit, id: UUID, body: VoucherCampaignUpdate, version: ExpectedVersion) -> Response:
    """Pause or archive it, or change its times, limits and conditions; what is locked stays as it was locked."""
    await VoucherCampaignService(unit).change(id, body, expected_version=version)
    return await resource(unit, VOUCHER_CAMPAIGN, id)


add_list(router, "/voucher-batches", VOUCHER_BATCH, summary="List batches of codes")
add_get(router, "/voucher-batches", VOUCHER_BATCH, summary="Get a batch of codes")


@router.post(
    "/voucher-campaigns/{id}/batches",
    status_code=202,
    summary="Make codes",
    responses=shown("VoucherBatch", 202, "The batch, not done yet."),
    response_model=None,
)
async def start_batch(unit: WriteUnit, id: UUID, body: VoucherBatchCreate) -> Response:
    """Queue the making of unguessable codes; poll the batch, then list them with `batch_id`."""
    batch_id = await VoucherBatchService(unit).start(id, body)
    return await resource(unit, VOUCHER_BATCH, batch_id, status=202, location="/v1/voucher-batches")


@router.post(
    "/voucher-campaigns/{id}/vouchers",
    status_code=201,
    summary="Give a customer a voucher",
    responses=shown("Voucher", 201, "The voucher."),
    response_model=None,
)
async def issue_voucher(unit: WriteUnit, id: UUID, body: VoucherIssue) -> Response:
    """Make a voucher that only this customer can use; the same `key` gives it once."""
    voucher_id = await VoucherService(unit).give(id, body)
    return await resource(unit, VOUCHER, voucher_id, status=201, location="/v1/vouchers")


# -- vouchers ----------------------------------------------------------------------------------------------------------

add_list(router, "/vouchers", VOUCHER, summary="List vouchers")
add_get(router, "/vouchers", VOUCHER, summary="Get a voucher")


@router.patch("/vouchers/{id}", summary="Change a voucher", responses=shown("Voucher"), response_model=None)
async def update_voucher(unit: WriteUnit, id: UUID, body: VoucherUpdate, version: ExpectedVersion) -> Response:
    """Take a voucher back, or change when it ends."""
    await VoucherService(unit).change(id, body, expected_version=version)
    return await resource(unit, VOUCHER, id)


@router.post("/vouchers/lookup", summary="Find a voucher by its code", responses=_FOUND, response_model=None)
async def look_up_voucher(unit: ReadUnit, body: VoucherLookup) -> Response:
    """Take a code however it was typed; 404 `malformed` when its check character is wrong, else `not_found`."""
    return await resource(unit, VOUCHER, await VoucherService(unit).find(body))


# -- at a checkout -----------------------------------------------------------------------------------------------------


@router.post("/vouchers/validate", summary="Try vouchers on a cart", responses=_VALIDATION, response_model=None)
async def validate_vouchers(unit: ReadUnit, body: VoucherValidate) -> Response:
    """Tell of each voucher whether it applies, why not, and what it takes off; nothing is changed or set aside."""
    return Response(orjson.dumps(await VoucherCheckoutService(unit).validate(body)), media_type=JSON)


@router.post(
    "/vouchers/locks", status_code=201, summary="Set vouchers aside", responses=_uses(201), response_model=None
)
async def lock_vouchers(unit: WriteUnit, body: VoucherLock) -> Response:
    """Set all of them aside for a checkout, or none: 409 `voucher_inapplicable` names each with its reason.

    The same session extends its locks; vouchers that it does not name any more are free again.
    """
    return await _shown(unit, await VoucherCheckoutService(unit).lock(body), 201)


@router.post(
    "/vouchers/locks/release",
    summary="Free what a checkout has locked",
    responses={200: {"description": "How many.", "model": VoucherReleased}, **WRITE_PROBLEMS},
    response_model=None,
)
async def release_vouchers(unit: WriteUnit, body: VoucherRelease) -> Response:
    """Free all that the session has locked; again, nothing happens."""
    released = await VoucherCheckoutService(unit).release(body)
    return Response(orjson.dumps({"released": released}), media_type=JSON)


add_list(router, "/vouchers/redemptions", VOUCHER_REDEMPTION, summary="List uses of vouchers")
add_get(router, "/vouchers/redemptions", VOUCHER_REDEMPTION, summary="Get a use of a voucher")


@router.post(
    "/vouchers/redemptions", status_code=201, summary="Redeem vouchers", responses=_uses(201), response_model=None
)
async def redeem_vouchers(unit: WriteUnit, body: VoucherRedeem) -> Response:
    """Use all of them for an order, or none; the same order again has no further effect.

    A session that has locked them redeems without a cart what it locked, on the terms it was locked.
    """
    return await _shown(unit, await VoucherCheckoutService(unit).redeem(body), 201)


@router.post(
    "/vouchers/redemptions/rollback", summary="Give an order's vouchers back", responses=_uses(200), response_model=None
)
async def roll_back_order(unit: WriteUnit, body: VoucherRollback) -> Response:
    """Let none of the order's uses count any more; again, nothing happens."""
    return await _shown(unit, await VoucherCheckoutService(unit).roll_back_order(body), 200)


@router.post(
    "/vouchers/redemptions/{id}/rollback",
    summary="Give one voucher back",
    responses=shown("VoucherRedemption"),
    response_model=None,
)
async def roll_back_one(unit: WriteUnit, id: UUID, body: RedemptionRollback | None = None) -> Response:
    """Let one use count no more; again, nothing happens. The body may be left out."""
    await VoucherCheckoutService(unit).roll_back(id, body)
    return await resource(unit, VOUCHER_REDEMPTION, id)


async def _shown(unit: UnitOfWork, ids: list[UUID], status: int) -> Response:
    page = PageRequest(limit=max(len(ids), 1))
    body = await read_list(unit, VOUCHER_REDEMPTION, page, order="position", where=ids_are(ids))
    return Response(body, status, media_type=JSON)
