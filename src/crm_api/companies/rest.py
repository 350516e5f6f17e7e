"""Companies' contacts and roll-ups over REST."""

from typing import Any
from uuid import UUID

from starlette.responses import Response

from crm_api.companies.models import CompanyContactCreate, CompanyContactUpdate
from crm_api.companies.repository import COMPANY_CONTACT, COMPANY_ROLLUP
from crm_api.companies.service import CompanyService
from crm_api.web.resources import (
    READ_PROBLEMS,
    Fields,
    add_get,
    add_list,
    crm_router,
    nothing,
    parse_fields,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("companies")

add_list(
    router,
    "/customers/{customer_id}/contacts",
    COMPANY_CONTACT,
    summary="List a company's contacts",
    parent=("customer_id", "company_id"),
)
add_list(
    router,
    "/customers/{customer_id}/companies",
    COMPANY_CONTACT,
    summary="List the companies a person speaks for",
    parent=("customer_id", "customer_id"),
)
add_list(router, "/company-contacts", COMPANY_CONTACT, summary="List contacts of all companies")
add_get(router, "/company-contacts", COMPANY_CONTACT, summary="Get a contact of a company")


@router.post(
    "/customers/{customer_id}/contacts",
    status_code=201,
    summary="Add a contact to a company",
    responses=shown("CompanyContact", 201),
    response_model=None,
)
async def add_company_contact(unit: WriteUnit, customer_id: UUID, body: CompanyContactCreate) -> Response:
    """Make a person a contact of a company; both are customers.

    The person's orders count in the company's roll-up from `since` on. Being a contact in the same days already
    answers 409 `duplicate` with the `contact_id` there is.
    """
    contact_id = await CompanyService(unit).add_contact(customer_id, body)
    return await resource(unit, COMPANY_CONTACT, contact_id, status=201, location="/v1/company-contacts")


@router.patch(
    "/company-contacts/{id}",
    summary="Change a contact of a company",
    responses=shown("CompanyContact"),
    response_model=None,
)
async def update_company_contact(
    unit: WriteUnit, id: UUID, body: CompanyContactUpdate, version: ExpectedVersion
) -> Response:
    """Change the fields given; `until` ends the contact, which stays as history."""
    await CompanyService(unit).update_contact(id, body, expected_version=version)
    return await resource(unit, COMPANY_CONTACT, id)


@router.delete(
    "/company-contacts/{id}",
    status_code=204,
    summary="Remove a contact of a company",
    responses=nothing(),
    response_model=None,
)
async def remove_company_contact(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Remove a contact that was entered by mistake; one that is over is ended with `until` instead."""
    await CompanyService(unit).remove_contact(id, expected_version=version)
    return Response(status_code=204)


_ROLLUP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The roll-up.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CompanyRollup"}}},
    },
}


@router.get(
    "/customers/{customer_id}/rollup",
    summary="Get a company's roll-up",
    responses={**_ROLLUP, **READ_PROBLEMS},
    response_model=None,
)
async def company_rollup(unit: ReadUnit, customer_id: UUID, fields: Fields = None) -> Response:
    """Add up the orders and points of a company and its contacts, each once; 404 for a person."""
    return await resource(unit, COMPANY_ROLLUP, customer_id, fields=parse_fields(fields))
