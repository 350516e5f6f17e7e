"""Subject exports and erasures over REST."""

from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from crm_api.privacy.models import ErasureCreate, PrivacySettings, PrivacySettingsUpdate
from crm_api.privacy.repository import ERASURE, SUBJECT_EXPORT
from crm_api.privacy.service import ErasureService, PrivacySettingsService, SubjectExportService
from crm_api.web.resources import (
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    problem_responses,
    resource,
    shown,
)
from crm_api.web.units import CurrentActor, ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("privacy")

add_list(router, "/subject-exports", SUBJECT_EXPORT, summary="List copies of customers' data")
add_get(router, "/subject-exports", SUBJECT_EXPORT, summary="Get a copy's progress")
add_list(
    router,
    "/customers/{customer_id}/subject-exports",
    SUBJECT_EXPORT,
    summary="List copies of a customer's data",
    parent=("customer_id", "customer_id"),
)
add_list(router, "/erasures", ERASURE, summary="List erasures")
add_get(router, "/erasures", ERASURE, summary="Get an erasure and its progress")
add_list(
    router,
    "/customers/{customer_id}/erasures",
    ERASURE,
    summary="List a customer's erasures",
    parent=("customer_id", "customer_id"),
)


@router.post(
    "/customers/{customer_id}/subject-exports",
    status_code=202,
    summary="Make a copy of all that is kept about a customer",
    responses=shown("SubjectExport", 202),
    response_model=None,
)
async def start_subject_export(unit: WriteUnit, customer_id: UUID) -> Response:
    """Queue the copy; poll it, and fetch its archive when it is `completed`. PIPL Art. 45, GDPR Art. 15 and 20.

    One zip archive: `data.json` with everything, and pages to read in English and Chinese. Deleted customers too.
    """
    export_id = await SubjectExportService(unit).start(customer_id)
    return await resource(unit, SUBJECT_EXPORT, export_id, status=202, location="/v1/subject-exports")


@router.get(
    "/subject-exports/{id}/archive",
    summary="Fetch the archive",
    responses={
        200: {
            "description": "The archive.",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        },
        **READ_PROBLEMS,
        **problem_responses(409),
    },
    response_model=None,
)
async def fetch_subject_export(request: Request, actor: CurrentActor, id: UUID) -> Response:
    """Fetch a finished copy until it expires; every fetch is audited.

    409 `export_not_ready` before, `export_expired` after its days are over.
    """
    # A unit of its own: what is fetched must not be remembered under an idempotency key.
    async with request.app.state.db.write(actor) as unit:
        data = await SubjectExportService(unit).fetch(id)
    headers = {"content-disposition": f'attachment; filename="subject-{id}.zip"', "cache-control": "no-store"}
    return Response(data, 200, headers, "application/zip")


@router.post(
    "/customers/{customer_id}/erasures",
    status_code=202,
    summary="Ask for a customer's erasure",
    responses=shown("Erasure", 202),
    response_model=None,
)
async def request_erasure(unit: WriteUnit, customer_id: UUID, body: ErasureCreate) -> Response:
    """Note the wish; personal data go when the waiting period is over. PIPL Art. 47, GDPR Art. 17.

    From now on whatever the customer granted counts as withdrawn. What stays: sums and counts of orders and points, the
    consent ledger without its proofs, and this erasure itself. An id that was merged means the customer it became, with
    all who were merged into them; nothing brings an erased customer back, and the merge cannot be undone.
    """
    erasure_id = await ErasureService(unit).request(customer_id, body)
    return await resource(unit, ERASURE, erasure_id, status=202, location="/v1/erasures")


@router.post("/erasures/{id}/cancel", summary="Call an erasure off", responses=shown("Erasure"), response_model=None)
async def cancel_erasure(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Call it off while it waits; 409 `erasure_begun` afterwards. What was withdrawn stays withdrawn: ask again."""
    await ErasureService(unit).cancel(id, expected_version=version)
    return await resource(unit, ERASURE, id)


@router.get("/privacy-settings", summary="Get the privacy settings", responses=READ_PROBLEMS)
async def get_privacy_settings(unit: ReadUnit) -> PrivacySettings:
    """Show how long erasures wait and archives are kept."""
    return await PrivacySettingsService(unit).settings()


@router.patch("/privacy-settings", summary="Change the privacy settings", responses=WRITE_PROBLEMS)
async def update_privacy_settings(unit: WriteUnit, body: PrivacySettingsUpdate) -> PrivacySettings:
    """Change the settings given; erasures and archives there are keep their day."""
    return await PrivacySettingsService(unit).configure(body)
