"""Proving contact points in GraphQL."""

from typing import Any
from uuid import UUID

from crm_api.verification.models import VerificationCheck, VerificationSend
from crm_api.verification.service import VerificationService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

_SHOWN = {"verification": "ContactVerification", "customer": "Customer"}
_POINT = {"contact_point_id": UUID}


async def _send(call: Call) -> dict[str, Any]:
    sent = await VerificationService(call.unit).send(call.id, call.extra["contact_point_id"], call.data)
    return {"verification": sent, "customer": call.id}


async def _check(call: Call) -> dict[str, Any]:
    checked = await VerificationService(call.unit).check(call.id, call.extra["contact_point_id"], call.data)
    return {"verification": checked, "customer": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "contact_verification": get("ContactVerification", description="A verification by id."),
        "contact_verifications": connection("ContactVerification", description="Codes that were sent, newest first."),
    },
    mutations={
        "contact_point_verification_send": Mutation(
            _send,
            target="Customer",
            input=VerificationSend,
            extra=_POINT,
            payload=_SHOWN,
            description="Send a one-time code to a contact point; a code sent before is void.",
        ),
        "contact_point_verification_check": Mutation(
            _check,
            target="Customer",
            input=VerificationCheck,
            extra=_POINT,
            payload=_SHOWN,
            description="Prove a contact point by the code that was sent there. A wrong guess counts.",
        ),
    },
)
