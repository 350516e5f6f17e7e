"""Proving contact points over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.verification.models import VerificationCheck, VerificationSend
from crm_api.verification.repository import CONTACT_VERIFICATION
from crm_api.verification.service import VerificationService
from crm_api.web.resources import add_get, add_list, crm_router, problem_responses, resource, shown
from crm_api.web.units import WriteUnit

router = crm_router("verification")
_PATH = "/customers/{id}/contact-points/{contact_point_id}/verification"
_SENT = {
    **shown("ContactVerification", 202, "The verification; its message is on its way."),
    **problem_responses(429),
}

add_list(router, "/contact-verifications", CONTACT_VERIFICATION, summary="List verifications, newest first")
add_get(router, "/contact-verifications", CONTACT_VERIFICATION, summary="Get a verification")


@router.post(_PATH, status_code=202, summary="Send a one-time code", responses=_SENT, response_model=None)
async def send_verification(
    unit: WriteUnit, id: UUID, contact_point_id: UUID, body: VerificationSend | None = None
) -> Response:
    """Send six digits to the contact point; a code sent before is void.

    429 `too_soon` or `daily_limit` with Retry-After; 409 `contact_point_taken` names the customer who has verified the
    same value.
    """
    sent = await VerificationService(unit).send(id, contact_point_id, body or VerificationSend())
    return await resource(unit, CONTACT_VERIFICATION, sent, status=202, location="/v1/contact-verifications")


@router.post(
    f"{_PATH}/check",
    summary="Check a one-time code",
    responses=shown("ContactVerification", 200, "The contact point is verified."),
    response_model=None,
)
async def check_verification(unit: WriteUnit, id: UUID, contact_point_id: UUID, body: VerificationCheck) -> Response:
    """Prove the contact point by the code that was sent there, within five minutes and five tries.

    422 `code_wrong` with `tries_left`; 409 `code_expired`, `too_many_tries` or `no_code`: send a new one.
    """
    checked = await VerificationService(unit).check(id, contact_point_id, body)
    return await resource(unit, CONTACT_VERIFICATION, checked)
