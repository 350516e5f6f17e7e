"""Households over REST."""

from typing import Any
from uuid import UUID

from starlette.responses import Response

from crm_api.households.models import (
    ChildBirth,
    HouseholdCreate,
    HouseholdMemberCreate,
    HouseholdMemberUpdate,
    HouseholdSettingsUpdate,
    HouseholdUpdate,
)
from crm_api.households.repository import HOUSEHOLD, HOUSEHOLD_MEMBER, HOUSEHOLD_SETTINGS
from crm_api.households.service import HouseholdService
from crm_api.web.resources import READ_PROBLEMS, add_get, add_list, crm_router, nothing, resource, shown
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("households")
MEMBERS = "/v1/household-members"

add_list(router, "/households", HOUSEHOLD, summary="List households")
add_get(router, "/households", HOUSEHOLD, summary="Get a household with its members")
add_list(router, "/household-members", HOUSEHOLD_MEMBER, summary="List members of households")
add_get(router, "/household-members", HOUSEHOLD_MEMBER, summary="Get a member of a household")
add_list(
    router,
    "/households/{id}/members",
    HOUSEHOLD_MEMBER,
    summary="List a household's members",
    parent=("id", "household_id"),
)
add_list(
    router,
    "/customers/{customer_id}/households",
    HOUSEHOLD,
    summary="List a customer's households",
    parent=("customer_id", "customer_id"),
)
add_list(
    router,
    "/customers/{customer_id}/children",
    HOUSEHOLD_MEMBER,
    summary="List the children of a customer's households",
    parent=("customer_id", "child_of"),
)


@router.post(
    "/households",
    status_code=201,
    summary="Create a household",
    responses=shown("Household", 201),
    response_model=None,
)
async def create_household(unit: WriteUnit, body: HouseholdCreate) -> Response:
    """Create a household with whoever is known of it: grown-ups are customers, children need not be."""
    household_id = await HouseholdService(unit).create(body)
    return await resource(unit, HOUSEHOLD, household_id, status=201, location="/v1/households")


@router.patch("/households/{id}", summary="Change a household", responses=shown("Household"), response_model=None)
async def update_household(unit: WriteUnit, id: UUID, body: HouseholdUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; members are changed one by one."""
    await HouseholdService(unit).update(id, body, expected_version=version)
    return await resource(unit, HOUSEHOLD, id)


@router.delete(
    "/households/{id}", status_code=204, summary="Delete a household", responses=nothing(), response_model=None
)
async def delete_household(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Delete a household: its customers stay customers, what is known of its other children is gone."""
    await HouseholdService(unit).delete(id, expected_version=version)
    return Response(status_code=204)


@router.post(
    "/households/{id}/members",
    status_code=201,
    summary="Add a member",
    responses=shown("HouseholdMember", 201),
    response_model=None,
)
async def add_household_member(unit: WriteUnit, id: UUID, body: HouseholdMemberCreate) -> Response:
    """Add a customer, or a child that is none: with its birthday, its due date, or neither.

    Where the shop asks for guardians' consent, a child's details take that of its guardian: 409
    `guardian_consent_required` until it is recorded.
    """
    member_id = await HouseholdService(unit).add_member(id, body)
    return await resource(unit, HOUSEHOLD_MEMBER, member_id, status=201, location=MEMBERS)


@router.patch(
    "/household-members/{id}",
    summary="Change a member of a household",
    responses=shown("HouseholdMember"),
    response_model=None,
)
async def update_household_member(
    unit: WriteUnit, id: UUID, body: HouseholdMemberUpdate, version: ExpectedVersion
) -> Response:
    """Change the fields given; null clears one. Name, sex and days of a customer are the customer's own."""
    await HouseholdService(unit).update_member(id, body, expected_version=version)
    return await resource(unit, HOUSEHOLD_MEMBER, id)


@router.delete(
    "/household-members/{id}",
    status_code=204,
    summary="Remove a member of a household",
    responses=nothing(),
    response_model=None,
)
async def remove_household_member(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Remove a member: a customer stays one, what is known of another child is gone."""
    await HouseholdService(unit).remove_member(id, expected_version=version)
    return Response(status_code=204)


@router.post(
    "/household-members/{id}/birth",
    summary="Record a birth",
    responses=shown("HouseholdMember"),
    response_model=None,
)
async def record_birth(unit: WriteUnit, id: UUID, body: ChildBirth, version: ExpectedVersion) -> Response:
    """Turn an expected child into a born one, with one call.

    The same birth again answers with the child as it is; another day is 409 `already_born`: correct the birthday by
    PATCH instead.
    """
    await HouseholdService(unit).record_birth(id, body, expected_version=version)
    return await resource(unit, HOUSEHOLD_MEMBER, id)


_SETTINGS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The stages.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HouseholdSettings"}}},
    },
}


@router.get(
    "/household-settings",
    summary="Get the stages of children",
    responses={**_SETTINGS, **READ_PROBLEMS},
    response_model=None,
)
async def get_household_settings(unit: ReadUnit) -> Response:
    """Tell how children's ages become stages."""
    return await resource(unit, HOUSEHOLD_SETTINGS, unit.tenant_id)


@router.patch(
    "/household-settings",
    summary="Change the stages of children",
    responses={**shown("HouseholdSettings"), **_SETTINGS},
    response_model=None,
)
async def update_household_settings(unit: WriteUnit, body: HouseholdSettingsUpdate) -> Response:
    """Change the fields given; stages follow at once, because they are never stored."""
    await HouseholdService(unit).configure(body)
    return await resource(unit, HOUSEHOLD_SETTINGS, unit.tenant_id)
