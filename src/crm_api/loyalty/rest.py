"""Points over REST."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from crm_api.core.errors import NotFound
from crm_api.core.paging import DEFAULT_LIMIT
from crm_api.db.plans import read_list, read_one
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.models import (
    AdjustmentCreate,
    EntryType,
    LoyaltyReceipt,
    RedemptionCreate,
    ReversalCreate,
)
from crm_api.loyalty.repository import LOYALTY_ACCOUNT, LOYALTY_ENTRY
from crm_api.loyalty.service import LoyaltyService
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    After,
    Before,
    Count,
    Fields,
    Limit,
    add_get,
    crm_router,
    etag,
    page_request,
    parse_fields,
    resource,
)
from crm_api.web.units import ReadUnit, WriteUnit

router = crm_router("loyalty")
ENTRIES: Final = "/v1/loyalty/entries"

_ENTRIES_PAGE = {
    200: {
        "description": "One page of LoyaltyEntry.",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/LoyaltyEntryPage"}}},
    },
    **READ_PROBLEMS,
}
_RECEIPT = {
    201: {
        "description": "What was booked, and the account after it.",
        "model": LoyaltyReceipt,
        "headers": {"Location": {"description": "The entry.", "schema": {"type": "string"}}},
    },
    **WRITE_PROBLEMS,
}


@router.get(
    "/loyalty/accounts/{customer_id}",
    summary="Get a customer's points",
    responses={
        200: {
            "description": "The LoyaltyAccount.",
            "headers": {"ETag": {"description": "Grows with every transaction.", "schema": {"type": "string"}}},
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/LoyaltyAccount"}}},
        },
        **READ_PROBLEMS,
    },
    response_model=None,
)
async def get_loyalty_account(unit: ReadUnit, customer_id: UUID, fields: Fields = None) -> Response:
    """Available, pending, held and owed points; zeros for a customer who never had any."""
    return await resource(unit, LOYALTY_ACCOUNT, customer_id, fields=parse_fields(fields))


@router.get(
    "/loyalty/accounts/{customer_id}/entries",
    summary="List what happened to a customer's points",
    responses=_ENTRIES_PAGE,
    response_model=None,
)
async def list_loyalty_entries(
    *,
    unit: ReadUnit,
    customer_id: UUID,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
    before: Before = None,
    count: Count = None,
    fields: Fields = None,
    type: Annotated[list[EntryType] | None, Query(description="Only these types.")] = None,
) -> Response:
    """Newest first, with the balances after each entry."""
    wallet_id = await LoyaltyService(unit).wallet_of(customer_id)
    body = await read_list(
        unit,
        LOYALTY_ENTRY,
        page_request(limit, after, before, count),
        filters={"type": type},
        fields=parse_fields(fields),
        where=lambda t: t.c.wallet_id == (wallet_id or customer_id),  # without a wallet: nothing has this id
    )
    return Response(body, 200, media_type=JSON)


add_get(router, "/loyalty/entries", LOYALTY_ENTRY, summary="Get one thing that happened to points")


@router.post(
    "/loyalty/accounts/{customer_id}/redemptions",
    status_code=201,
    summary="Spend points",
    responses=_RECEIPT,
    response_model=None,
)
async def redeem_points(unit: WriteUnit, customer_id: UUID, body: RedemptionCreate) -> Response:
    """Spend available points, those that end first before others; 409 insufficient_balance when there are too few."""
    booked = await LoyaltyService(unit).redeem(customer_id, body)
    return await _receipt(unit, booked, customer_id)


@router.post(
    "/loyalty/accounts/{customer_id}/adjustments",
    status_code=201,
    summary="Give or take points by hand",
    responses=_RECEIPT,
    response_model=None,
)
async def adjust_points(unit: WriteUnit, customer_id: UUID, body: AdjustmentCreate) -> Response:
    """Give (positive) or take (negative) points; never below zero: 409 insufficient_balance."""
    booked = await LoyaltyService(unit).adjust(customer_id, body)
    return await _receipt(unit, booked, customer_id)


@router.post(
    "/loyalty/redemptions/{id}/reversal",
    status_code=201,
    summary="Undo a redemption",
    responses=_RECEIPT,
    response_model=None,
)
async def reverse_redemption(unit: WriteUnit, id: UUID, body: ReversalCreate | None = None) -> Response:
    """Give the points back to where they came from, with the expiry they had; 409 already_reversed the second time."""
    booked, customer_id = await LoyaltyService(unit).reverse_redemption(id, body)
    return await _receipt(unit, booked, customer_id)


async def _receipt(unit: UnitOfWork, transaction_id: UUID, customer_id: UUID) -> Response:
    entry = await read_one(unit, LOYALTY_ENTRY, transaction_id)
    account = await read_one(unit, LOYALTY_ACCOUNT, customer_id)
    if entry is None or account is None:
        raise NotFound
    body = b'{"transaction":' + entry.json + b',"account":' + account.json + b"}"
    headers = {**etag(account.version), "location": f"{ENTRIES}/{transaction_id}"}
    return Response(body, 201, headers, JSON)
