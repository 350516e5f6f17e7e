"""Points over REST."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from crm_api.core.errors import NotFound
from crm_api.core.models import Instant
from crm_api.core.paging import DEFAULT_LIMIT, PageRequest
from crm_api.db.plans import read_list, read_one
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.grants import GrantService
from crm_api.loyalty.holds import HoldService
from crm_api.loyalty.models import (
    AdjustmentCreate,
    BalanceQuery,
    EntryType,
    HoldCreate,
    HoldPost,
    HoldReverse,
    LoyaltyBalanceAt,
    LoyaltyProgrammeCreate,
    LoyaltyProgrammeUpdate,
    LoyaltyReceipt,
    RedemptionCreate,
    ReversalCreate,
    ReviewDecision,
    TransferCreate,
)
from crm_api.loyalty.programme_service import ProgrammeService
from crm_api.loyalty.programmes import Kind
from crm_api.loyalty.repository import HOLD, LOT, LOYALTY_ACCOUNT, LOYALTY_ENTRY, PROGRAMME, REVIEW, WALLET
from crm_api.loyalty.review_service import ReviewService
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
    add_list,
    crm_router,
    etag,
    page_request,
    parse_fields,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("loyalty")
ENTRIES: Final = "/v1/loyalty/entries"
EntryTypes = Annotated[list[EntryType] | None, Query(description="Only these types.")]
HOLDS: Final = "/v1/loyalty/holds"

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


# -- programmes --------------------------------------------------------------------------------------------------------

add_list(router, "/loyalty/programmes", PROGRAMME, summary="List loyalty programmes")
add_get(router, "/loyalty/programmes", PROGRAMME, summary="Get a loyalty programme")


@router.post(
    "/loyalty/programmes",
    status_code=201,
    summary="Start a loyalty programme",
    responses=shown("LoyaltyProgramme", 201),
    response_model=None,
)
async def create_loyalty_programme(unit: WriteUnit, body: LoyaltyProgrammeCreate) -> Response:
    """Start a programme; a shop's first one is its default one, which orders earn in."""
    programme_id = await ProgrammeService(unit).create(body)
    return await resource(unit, PROGRAMME, programme_id, status=201, location="/v1/loyalty/programmes")


@router.patch(
    "/loyalty/programmes/{id}",
    summary="Change a loyalty programme",
    responses=shown("LoyaltyProgramme"),
    response_model=None,
)
async def update_loyalty_programme(
    unit: WriteUnit, id: UUID, body: LoyaltyProgrammeUpdate, version: ExpectedVersion
) -> Response:
    """Change the settings given, for points given from now on. `is_default: true` makes it the default one."""
    await ProgrammeService(unit).update(id, body, expected_version=version)
    return await resource(unit, PROGRAMME, id)


# -- accounts ----------------------------------------------------------------------------------------------------------

add_list(router, "/loyalty/wallets", WALLET, summary="List wallets: points by customer, programme and kind")
add_get(router, "/loyalty/wallets", WALLET, summary="Get a wallet")
add_list(router, "/loyalty/lots", LOT, summary="List points by grant: when they are usable and when they end")
add_get(router, "/loyalty/lots", LOT, summary="Get points granted together")


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
    type: EntryTypes = None,
) -> Response:
    """Newest first, with the balances after each entry: points to spend of the default programme."""
    wallet_id = await LoyaltyService(unit).wallet_of(customer_id)
    page = page_request(limit, after, before, count)
    # Without a wallet: nothing has the customer's id.
    return await _entries(unit, wallet_id or customer_id, page, fields, type)


@router.get(
    "/loyalty/wallets/{id}/entries",
    summary="List what happened to a wallet's points",
    responses=_ENTRIES_PAGE,
    response_model=None,
)
async def list_loyalty_wallet_entries(
    *,
    unit: ReadUnit,
    id: UUID,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
    before: Before = None,
    count: Count = None,
    fields: Fields = None,
    type: EntryTypes = None,
) -> Response:
    """Newest first, with the balances after each entry: of any programme, points to spend or points that make tiers."""
    if await read_one(unit, WALLET, id, fields=("id",)) is None:
        raise NotFound
    return await _entries(unit, id, page_request(limit, after, before, count), fields, type)


add_get(router, "/loyalty/entries", LOYALTY_ENTRY, summary="Get one thing that happened to points")


@router.get(
    "/loyalty/accounts/{customer_id}/balance",
    summary="Get a customer's balances at a moment",
    responses={200: {"description": "The balances at that moment.", "model": LoyaltyBalanceAt}, **READ_PROBLEMS},
    response_model=None,
)
async def get_loyalty_balance(
    *,
    unit: ReadUnit,
    customer_id: UUID,
    at: Annotated[Instant | None, Query(description="The moment; now if left out. Not in the future.")] = None,
    programme_id: Annotated[UUID | None, Query(description="The programme; the default one if left out.")] = None,
    kind: Annotated[Kind, Query(description="Points to spend, or points that make tiers.")] = "spendable",
) -> Response:
    """Available, pending, held and owed points then; what is told of the past stays as it was told."""
    query = BalanceQuery(at=at, programme_id=programme_id, kind=kind)
    balance = await LoyaltyService(unit).balance_at(customer_id, query)
    return Response(balance.model_dump_json(), 200, media_type=JSON)


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


@router.post(
    "/loyalty/accounts/{customer_id}/transfers",
    status_code=201,
    summary="Let points go to another customer",
    responses=_RECEIPT,
    response_model=None,
)
async def transfer_points(unit: WriteUnit, customer_id: UUID, body: TransferCreate) -> Response:
    """Points that end first go first, and keep their end; 409 insufficient_balance when there are too few."""
    booked = await GrantService(unit).transfer(
        customer_id, body.to_customer_id, body.points, reason=body.reason, programme_id=body.programme_id
    )
    return await _receipt(unit, booked, customer_id)


# -- holds -------------------------------------------------------------------------------------------------------------

add_list(router, "/loyalty/holds", HOLD, summary="List holds, newest first")
add_get(router, "/loyalty/holds", HOLD, summary="Get a hold")


@router.post(
    "/loyalty/accounts/{customer_id}/holds",
    status_code=201,
    summary="Set points aside",
    responses=shown("LoyaltyHold", 201),
    response_model=None,
)
async def hold_points(unit: WriteUnit, customer_id: UUID, body: HoldCreate) -> Response:
    """Hold points while a checkout is under way: nobody else spends them and they do not end.

    Post the hold to spend them, void it to let them go; by itself it times out at `until`.
    """
    hold_id = await HoldService(unit).hold(
        customer_id, body.points, until=body.until, reason=body.reason, programme_id=body.programme_id
    )
    return await resource(unit, HOLD, hold_id, status=201, location=HOLDS)


@router.post(
    "/loyalty/holds/{id}/post", summary="Spend held points", responses=shown("LoyaltyHold"), response_model=None
)
async def post_hold(unit: WriteUnit, id: UUID, body: HoldPost | None = None) -> Response:
    """Spend all or some of the points and let the others go; 409 hold_closed when it is not open any more."""
    await HoldService(unit).post_hold(id, body.points if body else None)
    return await resource(unit, HOLD, id)


@router.post(
    "/loyalty/holds/{id}/void", summary="Let held points go", responses=shown("LoyaltyHold"), response_model=None
)
async def void_hold(unit: WriteUnit, id: UUID, body: ReversalCreate | None = None) -> Response:
    """Give the points back to where they came from; what has ended since ends now. 409 hold_closed likewise."""
    await HoldService(unit).void_hold(id, reason=body.reason if body else None)
    return await resource(unit, HOLD, id)


@router.post(
    "/loyalty/holds/{id}/reverse",
    summary="Give back points that a hold has spent",
    responses=shown("LoyaltyHold"),
    response_model=None,
)
async def reverse_hold(unit: WriteUnit, id: UUID, body: HoldReverse | None = None) -> Response:
    """Give back all or some of the spent points, those that end last first, with the expiry they had."""
    await HoldService(unit).reverse_hold(id, body.points if body else None, reason=body.reason if body else None)
    return await resource(unit, HOLD, id)


# -- reviews -----------------------------------------------------------------------------------------------------------

add_list(router, "/loyalty/reviews", REVIEW, summary="List refunds whose points were not there")
add_get(router, "/loyalty/reviews", REVIEW, summary="Get a refund whose points were not there")


@router.post(
    "/loyalty/reviews/{id}/approve",
    summary="Take the missing points back",
    responses=shown("LoyaltyReview"),
    response_model=None,
)
async def approve_review(unit: WriteUnit, id: UUID, body: ReviewDecision | None = None) -> Response:
    """Take what is available now and let the customer owe the rest; 409 review_decided the second time."""
    await ReviewService(unit).approve(id, body)
    return await resource(unit, REVIEW, id)


@router.post(
    "/loyalty/reviews/{id}/waive",
    summary="Let the missing points go",
    responses=shown("LoyaltyReview"),
    response_model=None,
)
async def waive_review(unit: WriteUnit, id: UUID, body: ReviewDecision | None = None) -> Response:
    """The customer keeps what was spent; 409 review_decided the second time."""
    await ReviewService(unit).waive(id, body)
    return await resource(unit, REVIEW, id)


async def _entries(
    unit: UnitOfWork, wallet_id: UUID, page: PageRequest, fields: str | None, types: list[EntryType] | None
) -> Response:
    body = await read_list(
        unit,
        LOYALTY_ENTRY,
        page,
        filters={"type": types},
        fields=parse_fields(fields),
        where=lambda t: t.c.wallet_id == wallet_id,
    )
    return Response(body, 200, media_type=JSON)


async def _receipt(unit: UnitOfWork, transaction_id: UUID, customer_id: UUID) -> Response:
    entry = await read_one(unit, LOYALTY_ENTRY, transaction_id)
    account = await read_one(unit, LOYALTY_ACCOUNT, customer_id)
    if entry is None or account is None:
        raise NotFound
    body = b'{"transaction":' + entry.json + b',"account":' + account.json + b"}"
    headers = {**etag(account.version), "location": f"{ENTRIES}/{transaction_id}"}
    return Response(body, 201, headers, JSON)
