"""Stores, staff and the audit log over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.accounts.models import StaffCreate, StaffUpdate, StoreCreate, StoreUpdate
from crm_api.accounts.repository import AUDIT_ENTRY, STAFF, STORE
from crm_api.accounts.service import AccountService
from crm_api.web.resources import add_get, add_list, crm_router, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("accounts")

add_list(router, "/stores", STORE, summary="List stores")
add_get(router, "/stores", STORE, summary="Get a store")
add_list(router, "/staff", STAFF, summary="List staff")
add_get(router, "/staff", STAFF, summary="Get a staff member")
add_list(router, "/audit-log", AUDIT_ENTRY, summary="List what was done, newest first")


@router.post("/stores", status_code=201, summary="Add a store", responses=shown("Store", 201), response_model=None)
async def create_store(unit: WriteUnit, body: StoreCreate) -> Response:
    """Add a branch or an online shop."""
    return await resource(unit, STORE, await AccountService(unit).create_store(body), status=201, location="/v1/stores")


@router.patch("/stores/{id}", summary="Change a store", responses=shown("Store"), response_model=None)
async def update_store(unit: WriteUnit, id: UUID, body: StoreUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given."""
    await AccountService(unit).update_store(id, body, expected_version=version)
    return await resource(unit, STORE, id)


@router.post(
    "/staff", status_code=201, summary="Add a staff member", responses=shown("Staff", 201), response_model=None
)
async def create_staff(unit: WriteUnit, body: StaffCreate) -> Response:
    """Add one of the shop's own people."""
    return await resource(unit, STAFF, await AccountService(unit).create_staff(body), status=201, location="/v1/staff")


@router.patch("/staff/{id}", summary="Change a staff member", responses=shown("Staff"), response_model=None)
async def update_staff(unit: WriteUnit, id: UUID, body: StaffUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; ``active: false`` takes somebody out of service."""
    await AccountService(unit).update_staff(id, body, expected_version=version)
    return await resource(unit, STAFF, id)
