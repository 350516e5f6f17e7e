"""Points over GraphQL."""

from typing import Any

from crm_api.db.projections import eq_ref
from crm_api.loyalty.models import AdjustmentCreate, RedemptionCreate, ReversalCreate
from crm_api.loyalty.service import LoyaltyService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, get

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


GRAPHQL = GraphQLParts(
    queries={
        "loyalty_account": get(
            "LoyaltyAccount", by={"customer_id": eq_ref("id", "Customer")}, description="A customer's points."
        ),
        "loyalty_entry": get("LoyaltyEntry", description="One thing that happened to points."),
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
    },
)
