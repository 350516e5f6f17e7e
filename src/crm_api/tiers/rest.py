"""Tiers over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from crm_api.core.models import Instant
from crm_api.tiers.models import (
    TierHistory,
    TierOverrideCreate,
    TierProgress,
    TierReplayCreate,
    TierSchemeCreate,
    TierSchemeUpdate,
)
from crm_api.tiers.repository import TIER_OVERRIDE, TIER_REPLAY, TIER_SCHEME, TIER_STANDING, TIER_TRANSITION
from crm_api.tiers.service import TierService
from crm_api.web.resources import (
    READ_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    problem_responses,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("loyalty")

SCHEMES = "/loyalty/tiers/schemes"
OVERRIDES = "/loyalty/tiers/overrides"
REPLAYS = "/loyalty/tiers/replays"

ProgrammeId = Annotated[UUID | None, Query(description="The loyalty programme; the shop's default one, if left out.")]
_COMPUTED: dict[int | str, dict[str, Any]] = {**READ_PROBLEMS, **problem_responses(409)}

add_list(router, SCHEMES, TIER_SCHEME, summary="List tier schemes: the tiers, with names and benefits, and their rules")
add_get(router, SCHEMES, TIER_SCHEME, summary="Get a tier scheme")


@router.post(
    SCHEMES,
    status_code=201,
    summary="Give a loyalty programme tiers",
    responses=shown("TierScheme", 201),
    response_model=None,
)
async def create_tier_scheme(unit: WriteUnit, body: TierSchemeCreate) -> Response:
    """Say which tiers there are and what makes them; a job then works out everybody's tier from their history.

    Each loyalty programme has one scheme. Front ends show names and benefits in the order they are listed.
    """
    scheme_id = await TierService(unit).create_scheme(body)
    return await resource(unit, TIER_SCHEME, scheme_id, status=201, location=f"/v1{SCHEMES}")


@router.patch(
    SCHEMES + "/{id}",
    summary="Change a tier scheme",
    responses=shown("TierScheme"),
    response_model=None,
)
async def update_tier_scheme(unit: WriteUnit, id: UUID, body: TierSchemeUpdate, version: ExpectedVersion) -> Response:
    """Change the name or the rules given; the list of tiers is replaced as a whole.

    New rules hold from now on: who has a tier keeps it to the end of its term. With `apply` `from_the_start` it is as
    if they had always held. A job then looks at everybody.
    """
    await TierService(unit).update_scheme(id, body, expected_version=version)
    return await resource(unit, TIER_SCHEME, id)


add_list(
    router, "/loyalty/tiers/standings", TIER_STANDING, summary="List customers with their tiers, the highest first"
)
add_list(router, "/loyalty/tiers/transitions", TIER_TRANSITION, summary="List changes of tier, newest first")
add_get(router, "/loyalty/tiers/transitions", TIER_TRANSITION, summary="Get a change of tier")


@router.get(
    "/loyalty/accounts/{customer_id}/tier",
    summary="Get a customer's tier and what is missing for the next",
    responses=_COMPUTED,
)
async def get_customer_tier(unit: ReadUnit, customer_id: UUID, programme_id: ProgrammeId = None) -> TierProgress:
    """Show the tier with its benefits, how much is missing for the next one, and what becomes of it in time.

    It is worked out at this moment; lists, rules and messages follow within minutes.
    """
    return TierProgress.model_validate(await TierService(unit).progress(customer_id, programme_id))


@router.get(
    "/loyalty/accounts/{customer_id}/tier/history",
    summary="Get every change of a customer's tier, by a replay",
    responses=_COMPUTED,
)
async def get_customer_tier_history(
    unit: ReadUnit,
    customer_id: UUID,
    programme_id: ProgrammeId = None,
    as_of: Annotated[Instant | None, Query(description="Up to when; now, if left out.")] = None,
) -> TierHistory:
    """Replay the rules over all that is known today: purchases at their own time, refunded ones never made.

    `GET /v1/loyalty/tiers/transitions` is the log of what was told.
    """
    return TierHistory.model_validate(await TierService(unit).history(customer_id, programme_id, as_of))


add_list(router, OVERRIDES, TIER_OVERRIDE, summary="List tiers given by hand")
add_get(router, OVERRIDES, TIER_OVERRIDE, summary="Get a tier given by hand")


@router.post(
    "/loyalty/accounts/{customer_id}/tier/overrides",
    status_code=201,
    summary="Give a customer a tier by hand, with an end",
    responses=shown("TierOverride", 201),
    response_model=None,
)
async def give_tier(unit: WriteUnit, customer_id: UUID, body: TierOverrideCreate) -> Response:
    """Give a tier until a day that must be named; then the earned one counts again. The newest override decides."""
    override_id = await TierService(unit).give(customer_id, body)
    return await resource(unit, TIER_OVERRIDE, override_id, status=201, location=f"/v1{OVERRIDES}")


@router.post(
    OVERRIDES + "/{id}/end",
    summary="End a tier given by hand now",
    responses=shown("TierOverride"),
    response_model=None,
)
async def end_tier_override(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Let the earned tier count again at once; an override that has ended stays as it is."""
    await TierService(unit).end_override(id, expected_version=version)
    return await resource(unit, TIER_OVERRIDE, id)


add_list(router, REPLAYS, TIER_REPLAY, summary="List replays of everybody's tier")
add_get(router, REPLAYS, TIER_REPLAY, summary="Get a replay and its progress")


@router.post(
    REPLAYS,
    status_code=202,
    summary="Work out everybody's tier anew",
    responses=shown("TierReplay", 202, "The replay, not done yet."),
    response_model=None,
)
async def start_tier_replay(unit: WriteUnit, body: TierReplayCreate | None = None) -> Response:
    """Queue a replay; poll it. Tiers follow by themselves, so it finds nothing to change (`moved` is 0).

    The body may be left out.
    """
    replay_id = await TierService(unit).start_replay(body or TierReplayCreate())
    return await resource(unit, TIER_REPLAY, replay_id, status=202, location=f"/v1{REPLAYS}")
