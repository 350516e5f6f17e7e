"""Vouchers in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

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
    VoucherRollback,
    VoucherUpdate,
    VoucherValidate,
    VoucherVerdict,
)
from crm_api.vouchers.service import VoucherService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

_USES = {"redemptions": ["VoucherRedemption"]}


async def _create(call: Call) -> dict[str, Any]:
    return {"campaign": await VoucherCampaignService(call.unit).create(call.data)}


async def _change(call: Call) -> dict[str, Any]:
    await VoucherCampaignService(call.unit).change(call.id, call.data, expected_version=call.version)
    return {"campaign": call.id}


async def _batch(call: Call) -> dict[str, Any]:
    return {"batch": await VoucherBatchService(call.unit).start(call.id, call.data)}


async def _issue(call: Call) -> dict[str, Any]:
    return {"voucher": await VoucherService(call.unit).give(call.id, call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await VoucherService(call.unit).change(call.id, call.data, expected_version=call.version)
    return {"voucher": call.id}


async def _look_up(call: Call) -> dict[str, Any]:
    return {"voucher": await VoucherService(call.unit).find(call.data)}


async def _validate(call: Call) -> dict[str, Any]:
    return await VoucherCheckoutService(call.unit).validate(call.data)


async def _lock(call: Call) -> dict[str, Any]:
    return {"redemptions": await VoucherCheckoutService(call.unit).lock(call.data)}


async def _release(call: Call) -> dict[str, Any]:
    return {"released": await VoucherCheckoutService(call.unit).release(call.data)}


async def _redeem(call: Call) -> dict[str, Any]:
    return {"redemptions": await VoucherCheckoutService(call.unit).redeem(call.data)}


async def _roll_back_order(call: Call) -> dict[str, Any]:
    return {"redemptions": await VoucherCheckoutService(call.unit).roll_back_order(call.data)}


async def _roll_back(call: Call) -> dict[str, Any]:
    await VoucherCheckoutService(call.unit).roll_back(call.id, call.data)
    return {"redemption": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "voucher_campaign": get("VoucherCampaign", description="A campaign by id."),
        "voucher_campaigns": connection("VoucherCampaign", description="Campaigns, newest first."),
        "voucher_batch": get("VoucherBatch", description="A batch of codes by id."),
        "voucher_batches": connection("VoucherBatch", description="Batches of codes, newest first."),
        "voucher": get("Voucher", description="A voucher by id."),
        "vouchers": connection("Voucher", description="Vouchers, newest first."),
        "voucher_redemption": get("VoucherRedemption", description="A use of a voucher by id."),
        "voucher_redemptions": connection("VoucherRedemption", description="Uses of vouchers, newest first."),
        "voucher_lookup": Computed(
            _look_up,
            input=VoucherLookup,
            payload={"voucher": "Voucher"},
            description="The voucher with a code, however it was typed.",
        ),
        "voucher_validate": Computed(
            _validate,
            input=VoucherValidate,
            payload={
                "currency": Annotated[str, Field(description="ISO 4217 code.")],
                "subtotal": Annotated[int, Field(description="What the lines cost, in minor units.")],
                "shipping": Annotated[int | None, Field(description="Freight as sent.")],
                "discount": Annotated[int, Field(description="What all applicable vouchers take off.")],
                "total": Annotated[int, Field(description="Lines and freight less the discount; never below 0.")],
                "vouchers": Annotated[
                    list[VoucherVerdict], Field(description="One verdict for each code, in the order sent.")
                ],
            },
            description="What vouchers do to a cart; nothing is changed or set aside.",
        ),
    },
    mutations={
        "voucher_campaign_create": Mutation(
            _create,
            input=VoucherCampaignCreate,
            payload={"campaign": "VoucherCampaign"},
            description="Make a campaign.",
        ),
        "voucher_campaign_update": Mutation(
            _change,
            target="VoucherCampaign",
            input=VoucherCampaignUpdate,
            versioned=True,
            payload={"campaign": "VoucherCampaign"},
            description="Change the fields given; what its vouchers are worth stays.",
        ),
        "voucher_batch_start": Mutation(
            _batch,
            target="VoucherCampaign",
            input=VoucherBatchCreate,
            payload={"batch": "VoucherBatch"},
            description="Make codes, in the background.",
        ),
        "voucher_issue": Mutation(
            _issue,
            target="VoucherCampaign",
            input=VoucherIssue,
            payload={"voucher": "Voucher"},
            description="Give a customer a voucher that only they can use.",
        ),
        "voucher_update": Mutation(
            _update,
            target="Voucher",
            input=VoucherUpdate,
            versioned=True,
            payload={"voucher": "Voucher"},
            description="Take a voucher back, or change when it ends.",
        ),
        "voucher_lock": Mutation(
            _lock,
            input=VoucherLock,
            payload=_USES,
            description="Set vouchers aside for a checkout, all of them or none.",
        ),
        "voucher_release": Mutation(
            _release,
            input=VoucherRelease,
            payload={"released": Annotated[int, Field(description="Vouchers that are free again.")]},
            description="Free what a checkout has locked.",
        ),
        "voucher_redeem": Mutation(
            _redeem,
            input=VoucherRedeem,
            payload=_USES,
            description="Use vouchers for an order, all of them or none; the same order again has no further effect.",
        ),
        "voucher_rollback_order": Mutation(
            _roll_back_order,
            input=VoucherRollback,
            payload=_USES,
            description="Give an order's vouchers back.",
        ),
        "voucher_rollback": Mutation(
            _roll_back,
            target="VoucherRedemption",
            input=RedemptionRollback,
            payload={"redemption": "VoucherRedemption"},
            description="Give one voucher back.",
        ),
    },
)
