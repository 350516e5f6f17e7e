"""Points over GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.db.projections import eq_ref
from crm_api.loyalty.following import BALANCE_CHANGED
from crm_api.loyalty.grants import GrantService
from crm_api.loyalty.holds import HoldService
from crm_api.loyalty.models import (
    AdjustmentCreate,
    BalanceQuery,
    HoldCreate,
    HoldPost,
    HoldReverse,
    LoyaltyBalanceAt,
    LoyaltyProgrammeCreate,
    LoyaltyProgrammeUpdate,
    RedemptionCreate,
    ReversalCreate,
    ReviewDecision,
    TransferCreate,
)
from crm_api.loyalty.programme_service import ProgrammeService
from crm_api.loyalty.review_service import ReviewService
from crm_api.loyalty.service import LoyaltyService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

_RECEIPT = {"account": "LoyaltyAccount", "entry": "LoyaltyEntry"}


async def _redeem(call: Call) -> dict[str, Any]:
    booked = await LoyaltyService(call.unit).redeem(call.id, call.data)
    return {"account": call.id, "entry": booked}


async def _adjust(call: Call) -> dict[str, Any]:
    booked = await LoyaltyService(call.unit).adjust(call.id, call.data)
    return {"account": call.id, "entry": booked}


async def _reverse(call: Call) -> dict[str, Any]:
    booked, customer_id = await LoyaltyService(call.unit).reverse_redemption(call.id, call.data)
    return {"account": customer_id, "entry": booked}


async def _transfer(call: Call) -> dict[str, Any]:
    data: TransferCreate = call.data
    booked = await GrantService(call.unit).transfer(
        call.id, data.to_customer_id, data.points, reason=data.reason, programme_id=data.programme_id
    )
    return {"account": call.id, "entry": booked}


async def _start(call: Call) -> dict[str, Any]:
    return {"programme": await ProgrammeService(call.unit).create(call.data)}


async def _change(call: Call) -> dict[str, Any]:
    await ProgrammeService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"programme": call.id}


async def _hold(call: Call) -> dict[str, Any]:
    data: HoldCreate = call.data
    hold_id = await HoldService(call.unit).hold(
        call.id, data.points, until=data.until, reason=data.reason, programme_id=data.programme_id
    )
    return {"hold": hold_id}


async def _post(call: Call) -> dict[str, Any]:
    await HoldService(call.unit).post_hold(call.id, call.data.points)
    return {"hold": call.id}


async def _void(call: Call) -> dict[str, Any]:
    await HoldService(call.unit).void_hold(call.id, reason=call.data.reason)
    return {"hold": call.id}


async def _give_back(call: Call) -> dict[str, Any]:
    await HoldService(call.unit).reverse_hold(call.id, call.data.points, reason=call.data.reason)
    return {"hold": call.id}


async def _approve(call: Call) -> dict[str, Any]:
    await ReviewService(call.unit).approve(call.id, call.data)
    return {"review": call.id}


async def _waive(call: Call) -> dict[str, Any]:
    await ReviewService(call.unit).waive(call.id, call.data)
    return {"review": call.id}


async def _balance(call: Call) -> dict[str, Any]:
    return {"balance": await LoyaltyService(call.unit).balance_at(call.id, call.data)}


_HELD = {"hold": "LoyaltyHold"}
_REVIEWED = {"review": "LoyaltyReview"}
_PROGRAMME = {"programme": "LoyaltyProgramme"}

GRAPHQL = GraphQLParts(
    subscriptions={"balance_changed": BALANCE_CHANGED},
    queries={
        "loyalty_account": get(
            "LoyaltyAccount", by={"customer_id": eq_ref("id", "Customer")}, description="A customer's points."
        ),
        "loyalty_entry": get("LoyaltyEntry", description="One thing that happened to points."),
        "loyalty_balance": Computed(
            _balance,
            target="Customer",
            input=BalanceQuery,
            payload={"balance": Annotated[LoyaltyBalanceAt, Field(description="The balances at that moment.")]},
            description="A customer's balances at a moment; what is told of the past stays as it was told.",
        ),
        "loyalty_programme": get("LoyaltyProgramme", description="A loyalty programme by id."),
        "loyalty_programmes": connection("LoyaltyProgramme", description="All loyalty programmes."),
        "loyalty_wallet": get("LoyaltyWallet", description="A wallet by id."),
        "loyalty_wallets": connection("LoyaltyWallet", description="Points by customer, programme and kind."),
        "loyalty_lot": get("LoyaltyLot", description="Points granted together, by id."),
        "loyalty_lots": connection("LoyaltyLot", description="Points by grant: when usable, and when they end."),
        "loyalty_hold": get("LoyaltyHold", description="A hold by id."),
        "loyalty_holds": connection("LoyaltyHold", description="Points set aside, newest first."),
        "loyalty_review": get("LoyaltyReview", description="A refund whose points were not there, by id."),
        "loyalty_reviews": connection("LoyaltyReview", description="Refunds whose points were not there."),
    },
    mutations={
        "loyalty_redeem": Mutation(
            _redeem, target="Customer", input=RedemptionCreate, payload=_RECEIPT, description="Spend points."
        ),
        "loyalty_adjust": Mutation(
            _adjust,
            target="Customer",
            input=AdjustmentCreate,
            payload=_RECEIPT,
            description="Give or take points by hand, never below zero.",
        ),
        "loyalty_reverse_redemption": Mutation(
            _reverse,
            target="LoyaltyEntry",
            input=ReversalCreate,
            payload=_RECEIPT,
            description="Undo a redemption: its points go back to where they came from.",
        ),
        "loyalty_transfer": Mutation(
            _transfer,
            target="Customer",
            input=TransferCreate,
            payload=_RECEIPT,
            description="Let points go to another customer; they keep their end.",
        ),
        "loyalty_programme_create": Mutation(
            _start, input=LoyaltyProgrammeCreate, payload=_PROGRAMME, description="Start a loyalty programme."
        ),
        "loyalty_programme_update": Mutation(
            _change,
            target="LoyaltyProgramme",
            input=LoyaltyProgrammeUpdate,
            versioned=True,
            payload=_PROGRAMME,
            description="Change a loyalty programme, for points given from now on.",
        ),
        "loyalty_hold": Mutation(
            _hold,
            target="Customer",
            input=HoldCreate,
            payload=_HELD,
            description="Set points aside: nobody else spends them and they do not end.",
        ),
        "loyalty_hold_post": Mutation(
            _post, target="LoyaltyHold", input=HoldPost, payload=_HELD, description="Spend held points."
        ),
        "loyalty_hold_void": Mutation(
            _void, target="LoyaltyHold", input=ReversalCreate, payload=_HELD, description="Let held points go."
        ),
        "loyalty_hold_reverse": Mutation(
            _give_back,
            target="LoyaltyHold",
            input=HoldReverse,
            payload=_HELD,
            description="Give back points that a hold has spent.",
        ),
        "loyalty_review_approve": Mutation(
            _approve,
            target="LoyaltyReview",
            input=ReviewDecision,
            payload=_REVIEWED,
            description="Take missing points back: what is available now, the rest is owed.",
        ),
        "loyalty_review_waive": Mutation(
            _waive,
            target="LoyaltyReview",
            input=ReviewDecision,
            payload=_REVIEWED,
            description="Let missing points go.",
        ),
    },
)
