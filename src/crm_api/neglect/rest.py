"""Standards of contact, and who is neglected by them, over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.neglect.models import ContactStandardCreate, ContactStandardUpdate
from crm_api.neglect.repository import CONTACT_STANDARD, NEGLECTED_CUSTOMER
from crm_api.neglect.service import ContactStandardService
from crm_api.web.resources import add_get, add_list, crm_router, nothing, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("staff")

add_list(router, "/neglected-customers", NEGLECTED_CUSTOMER, summary="List customers nobody has spoken with in time")
add_list(router, "/contact-standards", CONTACT_STANDARD, summary="List how often classes should be contacted")
add_get(router, "/contact-standards", CONTACT_STANDARD, summary="Get a standard of contact")


@router.post(
    "/contact-standards",
    status_code=201,
    summary="Set how often a class should be contacted",
    responses=shown("ContactStandard", 201),
    response_model=None,
)
async def create_contact_standard(unit: WriteUnit, body: ContactStandardCreate) -> Response:
    """Set a standard; a customer who meets several is held to the strictest."""
    made = await ContactStandardService(unit).create(body)
    return await resource(unit, CONTACT_STANDARD, made, status=201, location="/v1/contact-standards")


@router.patch(
    "/contact-standards/{id}",
    summary="Change a standard of contact",
    responses=shown("ContactStandard"),
    response_model=None,
)
async def update_contact_standard(
    unit: WriteUnit, id: UUID, body: ContactStandardUpdate, version: ExpectedVersion
) -> Response:
    """Change how often."""
    await ContactStandardService(unit).update(id, body, expected_version=version)
    return await resource(unit, CONTACT_STANDARD, id)


@router.delete(
    "/contact-standards/{id}",
    status_code=204,
    summary="Delete a standard of contact",
    responses=nothing(),
    response_model=None,
)
async def delete_contact_standard(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Ask for nothing of the class any more."""
    await ContactStandardService(unit).delete(id, expected_version=version)
    return Response(status_code=204)
