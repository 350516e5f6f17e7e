"""Rewards in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.rewards.models import (
    RewardCheck,
    RewardCreate,
    RewardReason,
    RewardRequest,
    RewardStep,
    RewardUpdate,
)
from crm_api.rewards.service import RewardRedemptionService, RewardService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

_STEP = {"redemption": "RewardRedemption"}


async def _create(call: Call) -> dict[str, Any]:
    return {"reward": await RewardService(call.unit).create(call.data)}


async def _change(call: Call) -> dict[str, Any]:
    await RewardService(call.unit).change(call.id, call.data, expected_version=call.version)
    return {"reward": call.id}


async def _check(call: Call) -> dict[str, Any]:
    return await RewardService(call.unit).check(call.id, call.data)


async def _request(call: Call) -> dict[str, Any]:
    return {"redemption": await RewardRedemptionService(call.unit).request(call.id, call.data)}


async def _confirm(call: Call) -> dict[str, Any]:
    await RewardRedemptionService(call.unit).confirm(call.id, call.data)
    return {"redemption": call.id}


async def _fulfil(call: Call) -> dict[str, Any]:
    await RewardRedemptionService(call.unit).fulfil(call.id, call.data)
    return {"redemption": call.id}


async def _cancel(call: Call) -> dict[str, Any]:
    await RewardRedemptionService(call.unit).cancel(call.id, call.data)
    return {"redemption": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "reward": get("Reward", description="A reward by id."),
        "rewards": connection("Reward", description="Rewards, newest first."),
        "reward_redemption": get("RewardRedemption", description="A redemption of a reward by id."),
        "reward_redemptions": connection("RewardRedemption", description="Redemptions of rewards, newest first."),
        "reward_check": Computed(
            _check,
            target="Reward",
            input=RewardCheck,
            payload={
                "can_have": Annotated[bool, Field(description="Whether a redemption would be accepted now.")],
                "reason": Annotated[RewardReason | None, Field(description="Why not; null when it can be had.")],
                "points": Annotated[int, Field(description="What it would cost in all.")],
                "available_points": Annotated[int, Field(description="What the customer can spend.")],
            },
            description="Whether a customer can have a reward now, and why not; nothing is changed or held.",
        ),
    },
    mutations={
        "reward_create": Mutation(
            _create, input=RewardCreate, payload={"reward": "Reward"}, description="Offer a reward."
        ),
        "reward_update": Mutation(
            _change,
            target="Reward",
            input=RewardUpdate,
            versioned=True,
            payload={"reward": "Reward"},
            description="Change the fields given; requests keep the price they were made at.",
        ),
        "reward_request": Mutation(
            _request,
            target="Reward",
            input=RewardRequest,
            payload=_STEP,
            description="Hold points and stock for a customer.",
        ),
        "reward_confirm": Mutation(
            _confirm, target="RewardRedemption", input=RewardStep, payload=_STEP, description="Spend the points."
        ),
        "reward_fulfil": Mutation(
            _fulfil,
            target="RewardRedemption",
            input=RewardStep,
            payload=_STEP,
            description="Note that the customer has it; vouchers are given with this step.",
        ),
        "reward_cancel": Mutation(
            _cancel,
            target="RewardRedemption",
            input=RewardStep,
            payload=_STEP,
            description="Give points and stock back.",
        ),
    },
)
