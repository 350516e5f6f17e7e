"""Referrals over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.referrals.models import (
    ReferralCodeCreate,
    ReferralProgrammeCreate,
    ReferralProgrammeUpdate,
    ReferralSignal,
    ReferralSignUp,
    ReferralTransition,
)
from crm_api.referrals.programmes import ReferralProgrammeService
from crm_api.referrals.repository import REFERRAL, REFERRAL_CODE, REFERRAL_EVENT, REFERRAL_PROGRAMME
from crm_api.referrals.service import ReferralService
from crm_api.web.resources import add_get, add_list, crm_router, nothing, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("referrals")

add_list(router, "/referral-programmes", REFERRAL_PROGRAMME, summary="List referral programmes")
add_get(router, "/referral-programmes", REFERRAL_PROGRAMME, summary="Get a referral programme")
add_list(router, "/referral-codes", REFERRAL_CODE, summary="List customers' referral codes")
add_get(router, "/referral-codes", REFERRAL_CODE, summary="Get a referral code")
add_list(router, "/referrals", REFERRAL, summary="List referrals")
add_get(router, "/referrals", REFERRAL, summary="Get a referral")
add_list(
    router,
    "/referrals/{id}/events",
    REFERRAL_EVENT,
    summary="List what happened to a referral",
    parent=("id", "referral_id"),
)


@router.post(
    "/referral-programmes",
    status_code=201,
    summary="Start a referral programme",
    responses=shown("ReferralProgramme", 201),
    response_model=None,
)
async def create_referral_programme(unit: WriteUnit, body: ReferralProgrammeCreate) -> Response:
    """Say what a referral must bring, what both sides get for it, and what is looked at before."""
    programme_id = await ReferralProgrammeService(unit).create(body)
    return await resource(unit, REFERRAL_PROGRAMME, programme_id, status=201, location="/v1/referral-programmes")


@router.patch(
    "/referral-programmes/{id}",
    summary="Change a referral programme",
    responses=shown("ReferralProgramme"),
    response_model=None,
)
async def update_referral_programme(
    unit: WriteUnit, id: UUID, body: ReferralProgrammeUpdate, version: ExpectedVersion
) -> Response:
    """Change the fields given; friends who signed up before keep what they were promised."""
    await ReferralProgrammeService(unit).update(id, body, expected_version=version)
    return await resource(unit, REFERRAL_PROGRAMME, id)


@router.post(
    "/referral-programmes/{id}/codes",
    status_code=201,
    summary="Give a customer a referral code",
    responses={
        200: shown("ReferralCode", description="The code the customer has already.")[200],
        **shown("ReferralCode", 201),
    },
    response_model=None,
)
async def give_referral_code(unit: WriteUnit, id: UUID, body: ReferralCodeCreate) -> Response:
    """Make a code the customer can pass on; one there is already is answered with 200."""
    code_id, is_new = await ReferralService(unit).give_code(id, body)
    return await resource(
        unit, REFERRAL_CODE, code_id, status=201 if is_new else 200, location="/v1/referral-codes" if is_new else None
    )


@router.post(
    "/referrals", status_code=201, summary="Sign a friend up", responses=shown("Referral", 201), response_model=None
)
async def sign_up_friend(unit: WriteUnit, body: ReferralSignUp) -> Response:
    """Note that a friend came with a code.

    Look at `state` in the answer: a check that voids does so at once, and a friend whose order is paid already has
    qualified. A friend who came before answers 409 `already_referred` with the `referral_id`.
    """
    referral_id = await ReferralService(unit).sign_up(body)
    return await resource(unit, REFERRAL, referral_id, status=201, location="/v1/referrals")


@router.post(
    "/referrals/{id}/transitions",
    summary="Decide about a referral",
    responses=shown("Referral"),
    response_model=None,
)
async def decide_referral(unit: WriteUnit, id: UUID, body: ReferralTransition, version: ExpectedVersion) -> Response:
    """Approve a flagged referral, void any, or reopen a voided one; answers with the referral.

    Rewards are booked, and taken back, within moments. What is not possible answers 409 `transition_not_allowed` and
    lists in `allowed` what is; what would not stand answers 409 `transition_guard`.
    """
    await ReferralService(unit).decide(id, body, expected_version=version)
    return await resource(unit, REFERRAL, id)


@router.post(
    "/referrals/signals",
    status_code=204,
    summary="Tell a customer's device or payment account",
    responses=nothing(),
    response_model=None,
)
async def note_referral_signal(unit: WriteUnit, body: ReferralSignal) -> Response:
    """Note by what one person behind two customers can be told; only a hash is kept, and telling it again is fine."""
    await ReferralService(unit).note_signal(body)
    return Response(status_code=204)
