"""Rewards over REST."""

from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from crm_api.rewards.models import RewardCheck, RewardCreate, RewardRequest, RewardStep, RewardUpdate, RewardVerdict
from crm_api.rewards.repository import REWARD, REWARD_REDEMPTION
from crm_api.rewards.service import RewardRedemptionService, RewardService
from crm_api.web.resources import JSON, READ_PROBLEMS, add_get, add_list, crm_router, resource, shown
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("loyalty")

_VERDICT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Whether, and why not.", "model": RewardVerdict},
    **READ_PROBLEMS,
}

add_list(router, "/loyalty/rewards", REWARD, summary="List rewards")
add_get(router, "/loyalty/rewards", REWARD, summary="Get a reward")


@router.post(
    "/loyalty/rewards",
    status_code=201,
    summary="Offer a reward",
    responses=shown("Reward", 201, "The reward."),
    response_model=None,
)
async def create_reward(unit: WriteUnit, body: RewardCreate) -> Response:
    """Say what it costs in points, how much of it there is, and for whom."""
    reward_id = await RewardService(unit).create(body)
    return await resource(unit, REWARD, reward_id, status=201, location="/v1/loyalty/rewards")


@router.patch("/loyalty/rewards/{id}", summary="Change a reward", responses=shown("Reward"), response_model=None)
async def update_reward(unit: WriteUnit, id: UUID, body: RewardUpdate, version: ExpectedVersion) -> Response:
    """Change price, stock, limits, times or customers; requests keep the price they were made at."""
    await RewardService(unit).change(id, body, expected_version=version)
    return await resource(unit, REWARD, id)


@router.post(
    "/loyalty/rewards/{id}/check", summary="Ask whether a reward can be had", responses=_VERDICT, response_model=None
)
async def check_reward(unit: ReadUnit, id: UUID, body: RewardCheck) -> Response:
    """Tell whether a customer can have it now, and why not; nothing is changed or held."""
    return Response(orjson.dumps(await RewardService(unit).check(id, body)), media_type=JSON)


@router.post(
    "/loyalty/rewards/{id}/redemptions",
    status_code=201,
    summary="Request a reward",
    responses=shown("RewardRedemption", 201, "The redemption."),
    response_model=None,
)
async def request_reward(unit: WriteUnit, id: UUID, body: RewardRequest) -> Response:
    """Hold points and stock for a customer; an immediate reward is confirmed at once, its vouchers given."""
    redemption_id = await RewardRedemptionService(unit).request(id, body)
    return await resource(unit, REWARD_REDEMPTION, redemption_id, status=201, location="/v1/loyalty/reward-redemptions")


add_list(router, "/loyalty/reward-redemptions", REWARD_REDEMPTION, summary="List redemptions of rewards")
add_get(router, "/loyalty/reward-redemptions", REWARD_REDEMPTION, summary="Get a redemption of a reward")


@router.post(
    "/loyalty/reward-redemptions/{id}/confirm",
    summary="Confirm a redemption",
    responses=shown("RewardRedemption"),
    response_model=None,
)
async def confirm_redemption(unit: WriteUnit, id: UUID, body: RewardStep | None = None) -> Response:
    """Spend the points. The body may be left out."""
    await RewardRedemptionService(unit).confirm(id, body)
    return await resource(unit, REWARD_REDEMPTION, id)


@router.post(
    "/loyalty/reward-redemptions/{id}/fulfil",
    summary="Note that the customer has it",
    responses=shown("RewardRedemption"),
    response_model=None,
)
async def fulfil_redemption(unit: WriteUnit, id: UUID, body: RewardStep | None = None) -> Response:
    """Hand it over; vouchers are given with this step. The body may be left out."""
    await RewardRedemptionService(unit).fulfil(id, body)
    return await resource(unit, REWARD_REDEMPTION, id)


@router.post(
    "/loyalty/reward-redemptions/{id}/cancel",
    summary="Cancel a redemption",
    responses=shown("RewardRedemption"),
    response_model=None,
)
async def cancel_redemption(unit: WriteUnit, id: UUID, body: RewardStep | None = None) -> Response:
    """Give points and stock back; 409 when it is fulfilled. The body may be left out."""
    await RewardRedemptionService(unit).cancel(id, body)
    return await resource(unit, REWARD_REDEMPTION, id)
