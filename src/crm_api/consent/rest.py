"""Consent over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.consent.models import (
    ConsentCreate,
    ConsentSettings,
    ConsentSettingsUpdate,
    ConsentState,
    ConsentTextCreate,
    Evaluated,
    Evaluation,
)
from crm_api.consent.repository import CONSENT, CONSENT_TEXT
from crm_api.consent.service import ConsentService
from crm_api.web.resources import (
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    resource,
    shown,
)
from crm_api.web.units import ReadUnit, WriteUnit

router = crm_router("consent")

add_list(router, "/consents", CONSENT, summary="List what customers agreed to and refused")
add_get(router, "/consents", CONSENT, summary="Get an entry of the consent ledger")
add_list(
    router,
    "/customers/{customer_id}/consents",
    CONSENT,
    summary="List what a customer agreed to and refused",
    parent=("customer_id", "customer_id"),
)
add_list(router, "/consent-texts", CONSENT_TEXT, summary="List the words people agree to")
add_get(router, "/consent-texts", CONSENT_TEXT, summary="Get a version of a consent text")


@router.post(
    "/customers/{customer_id}/consents",
    status_code=201,
    summary="Note that a customer agreed or refused",
    responses=shown("Consent", 201),
    response_model=None,
)
async def record_consent(unit: WriteUnit, customer_id: UUID, body: ConsentCreate) -> Response:
    """Add an entry to the ledger; it counts from this answer on, and is never changed.

    The latest word counts by `at`, so entries may be sent late. A withdrawal for `any` stops all that was granted
    before it; a grant for `any` covers every channel except those withdrawn by name.
    """
    consent_id = await ConsentService(unit).record(customer_id, body)
    return await resource(unit, CONSENT, consent_id, status=201, location="/v1/consents")


@router.get(
    "/customers/{customer_id}/consent-state",
    summary="Get what a customer's word amounts to",
    responses=READ_PROBLEMS,
)
async def get_consent_state(unit: ReadUnit, customer_id: UUID) -> ConsentState:
    """Tell for every purpose and channel whether it is allowed now, why, and which ledger entry decided."""
    return await ConsentService(unit).state(customer_id)


@router.post("/consents/evaluate", summary="Ask whether something may be sent", responses=WRITE_PROBLEMS)
async def evaluate_consent(unit: WriteUnit, body: Evaluation) -> Evaluated:
    """Decide for up to 1,000 customers; ask right before sending, a withdrawal counts from its own answer on.

    Nothing is written. Deleted and erased customers answer `customer_gone`.
    """
    # A write unit: a read replica may not have heard of the withdrawal yet.
    return Evaluated(data=await ConsentService(unit).evaluate(body))


@router.post(
    "/consent-texts",
    status_code=201,
    summary="Add a version of a consent text",
    responses=shown("ConsentText", 201),
    response_model=None,
)
async def add_consent_text(unit: WriteUnit, body: ConsentTextCreate) -> Response:
    """Store new words; they become the next version of their purpose and language. Ledger entries refer to a version.

    New words do not carry old consent over: ask again when the meaning has changed (PIPL Art. 14).
    """
    text_id = await ConsentService(unit).add_text(body)
    return await resource(unit, CONSENT_TEXT, text_id, status=201, location="/v1/consent-texts")


@router.get("/consent-settings", summary="Get the consent settings", responses=READ_PROBLEMS)
async def get_consent_settings(unit: ReadUnit) -> ConsentSettings:
    """Show how the shop handles consent."""
    return await ConsentService(unit).settings()


@router.patch("/consent-settings", summary="Change the consent settings", responses=WRITE_PROBLEMS)
async def update_consent_settings(unit: WriteUnit, body: ConsentSettingsUpdate) -> ConsentSettings:
    """Change the settings given. Without guardian consent required, details of children are stored unasked."""
    return await ConsentService(unit).configure(body)
