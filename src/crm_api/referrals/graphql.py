"""Referrals in GraphQL."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from crm_api.referrals.models import (
    ReferralCodeCreate,
    ReferralProgrammeCreate,
    ReferralProgrammeUpdate,
    ReferralSignal,
    ReferralSignUp,
    ReferralTransition,
)
from crm_api.referrals.programmes import ReferralProgrammeService
from crm_api.referrals.service import ReferralService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

_PROGRAMME = {"programme": "ReferralProgramme"}
_REFERRAL = {"referral": "Referral"}


async def _create(call: Call) -> dict[str, Any]:
    return {"programme": await ReferralProgrammeService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await ReferralProgrammeService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"programme": call.id}


async def _give_code(call: Call) -> dict[str, Any]:
    code_id, is_new = await ReferralService(call.unit).give_code(call.id, call.data)
    return {"code": code_id, "is_new": is_new}


async def _sign_up(call: Call) -> dict[str, Any]:
    return {"referral": await ReferralService(call.unit).sign_up(call.data)}


async def _decide(call: Call) -> dict[str, Any]:
    await ReferralService(call.unit).decide(call.id, call.data, expected_version=call.version)
    return {"referral": call.id}


async def _note_signal(call: Call) -> dict[str, Any]:
    signal: ReferralSignal = call.data
    await ReferralService(call.unit).note_signal(signal)
    customer: UUID = signal.customer_id
    return {"customer": customer}


GRAPHQL = GraphQLParts(
    queries={
        "referral_programme": get("ReferralProgramme", description="A referral programme by id."),
        "referral_programmes": connection("ReferralProgramme", description="All referral programmes, newest first."),
        "referral_code": get("ReferralCode", description="A referral code by id."),
        "referral_codes": connection("ReferralCode", description="Customers' referral codes, newest first."),
        "referral": get("Referral", description="A referral by id."),
        "referrals": connection("Referral", description="All referrals, newest first."),
    },
    mutations={
        "referral_programme_create": Mutation(
            _create,
            input=ReferralProgrammeCreate,
            payload=_PROGRAMME,
            description="Start a referral programme.",
        ),
        "referral_programme_update": Mutation(
            _update,
            target="ReferralProgramme",
            input=ReferralProgrammeUpdate,
            versioned=True,
            payload=_PROGRAMME,
            description="Change the fields given; friends who signed up before keep what they were promised.",
        ),
        "referral_code_give": Mutation(
            _give_code,
            target="ReferralProgramme",
            input=ReferralCodeCreate,
            payload={
                "code": "ReferralCode",
                "is_new": Annotated[bool | None, Field(description="False: the customer had it already.")],
            },
            description="Give a customer a code to pass on; one there is already is answered.",
        ),
        "referral_sign_up": Mutation(
            _sign_up,
            input=ReferralSignUp,
            payload=_REFERRAL,
            description="Note that a friend came with a code.",
        ),
        "referral_transition": Mutation(
            _decide,
            target="Referral",
            input=ReferralTransition,
            versioned=True,
            payload=_REFERRAL,
            description="Approve a flagged referral, void any, or reopen a voided one.",
        ),
        "referral_note_signal": Mutation(
            _note_signal,
            input=ReferralSignal,
            payload={"customer": "Customer"},
            description="Tell a customer's device or payment account, for the checks to compare.",
        ),
    },
)
