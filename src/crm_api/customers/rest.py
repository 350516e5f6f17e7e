"""Customers over REST."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Path
from starlette.responses import Response

from crm_api.attributes.service import check_listing
from crm_api.customers.addresses import AddressService
from crm_api.customers.contact_points import ContactPointService
from crm_api.customers.models import (
    AddressInput,
    AddressUpdate,
    ContactPointInput,
    CustomerBatch,
    CustomerCreate,
    CustomerUpdate,
    IdentityInput,
    Tag,
)
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.service import CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.web.batch import ANSWERS, batch_response, read_items
from crm_api.web.resources import add_get, add_list, crm_router, nothing, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("customers")
PATH = "/v1/customers"

AllowDuplicate = Annotated[
    bool,
    Header(
        description="`true` stores it even when a living customer has one of the contact points; without it the answer "
        "is 409 `duplicate_customer` with `matches`. Outside identities stay unique all the same.",
    ),
]


async def _check(unit: UnitOfWork, filters: Mapping[str, Any], order: str | None) -> None:
    await check_listing(unit, "customer", filters.get("attribute"), order)


add_list(router, "/customers", CUSTOMER, summary="List customers", check=_check)
add_get(router, "/customers", CUSTOMER, summary="Get a customer")


@router.post(
    "/customers", status_code=201, summary="Create a customer", responses=shown("Customer", 201), response_model=None
)
async def create_customer(unit: WriteUnit, body: CustomerCreate, x_allow_duplicate: AllowDuplicate = False) -> Response:
    """Create a customer with contact points, outside identities and tags."""
    customer_id = await CustomerService(unit).create(body, allow_duplicate=x_allow_duplicate)
    return await resource(unit, CUSTOMER, customer_id, status=201, location=PATH)


@router.post("/customers/batch", summary="Create many customers", responses=ANSWERS, response_model=None)
async def create_customers(unit: WriteUnit, body: CustomerBatch, x_allow_duplicate: AllowDuplicate = False) -> Response:
    """Create up to 1,000 customers in one transaction, each as `POST /v1/customers` does, all or each by itself."""
    items = read_items(body.items, CustomerCreate)
    results = await CustomerService(unit).batch(items, body.mode, allow_duplicate=x_allow_duplicate)
    return batch_response(results, body.mode, unit.actor.locale)


@router.patch("/customers/{id}", summary="Change a customer", responses=shown("Customer"), response_model=None)
async def update_customer(unit: WriteUnit, id: UUID, body: CustomerUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; null clears one."""
    await CustomerService(unit).update(id, body, expected_version=version)
    return await resource(unit, CUSTOMER, id)


@router.delete(
    "/customers/{id}", status_code=204, summary="Delete a customer", responses=nothing(), response_model=None
)
async def delete_customer(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Delete softly: it disappears from lists, what refers to it stays."""
    await CustomerService(unit).delete(id, expected_version=version)
    return Response(status_code=204)


@router.post(
    "/customers/{id}/contact-points",
    status_code=201,
    summary="Add a contact point",
    responses=shown("Customer", 201),
    response_model=None,
)
async def add_contact_point(
    unit: WriteUnit, id: UUID, body: ContactPointInput, x_allow_duplicate: AllowDuplicate = False
) -> Response:
    """Add a phone, e-mail address or account; answers with the customer."""
    await ContactPointService(unit).add(id, body, allow_duplicate=x_allow_duplicate)
    return await resource(unit, CUSTOMER, id, status=201)


@router.delete(
    "/customers/{id}/contact-points/{contact_point_id}",
    status_code=204,
    summary="Remove a contact point",
    responses=nothing(),
    response_model=None,
)
async def remove_contact_point(unit: WriteUnit, id: UUID, contact_point_id: UUID) -> Response:
    """Remove a contact point."""
    await ContactPointService(unit).remove(id, contact_point_id)
    return Response(status_code=204)


@router.post(
    "/customers/{id}/identities",
    status_code=201,
    summary="Add an outside identity",
    responses=shown("Customer", 201),
    response_model=None,
)
async def add_identity(unit: WriteUnit, id: UUID, body: IdentityInput) -> Response:
    """Say who the customer is on another platform; answers with the customer."""
    await CustomerService(unit).add_identity(id, body)
    return await resource(unit, CUSTOMER, id, status=201)


@router.delete(
    "/customers/{id}/identities/{identity_id}",
    status_code=204,
    summary="Remove an outside identity",
    responses=nothing(),
    response_model=None,
)
async def remove_identity(unit: WriteUnit, id: UUID, identity_id: UUID) -> Response:
    """Remove an outside identity."""
    await CustomerService(unit).remove_identity(id, identity_id)
    return Response(status_code=204)


@router.post(
    "/customers/{id}/addresses",
    status_code=201,
    summary="Add an address",
    responses=shown("Customer", 201),
    response_model=None,
)
async def add_address(unit: WriteUnit, id: UUID, body: AddressInput) -> Response:
    """Add an address; answers with the customer."""
    await AddressService(unit).add(id, body)
    return await resource(unit, CUSTOMER, id, status=201)


@router.patch(
    "/customers/{id}/addresses/{address_id}",
    summary="Change an address",
    responses=shown("Customer"),
    response_model=None,
)
async def update_address(unit: WriteUnit, id: UUID, address_id: UUID, body: AddressUpdate) -> Response:
    """Change the parts given, null clears one; answers with the customer."""
    await AddressService(unit).update(id, address_id, body)
    return await resource(unit, CUSTOMER, id)


@router.delete(
    "/customers/{id}/addresses/{address_id}",
    status_code=204,
    summary="Remove an address",
    responses=nothing(),
    response_model=None,
)
async def remove_address(unit: WriteUnit, id: UUID, address_id: UUID) -> Response:
    """Remove an address."""
    await AddressService(unit).remove(id, address_id)
    return Response(status_code=204)


@router.put("/customers/{id}/tags/{tag}", summary="Add a tag", responses=shown("Customer"), response_model=None)
async def add_tag(unit: WriteUnit, id: UUID, tag: Annotated[Tag, Path()]) -> Response:
    """Add a tag; adding it again changes nothing."""
    await CustomerService(unit).add_tag(id, tag)
    return await resource(unit, CUSTOMER, id)


@router.delete(
    "/customers/{id}/tags/{tag}", status_code=204, summary="Remove a tag", responses=nothing(), response_model=None
)
async def remove_tag(unit: WriteUnit, id: UUID, tag: Annotated[Tag, Path()]) -> Response:
    """Remove a tag; removing one that is not there changes nothing."""
    await CustomerService(unit).remove_tag(id, tag)
    return Response(status_code=204)
