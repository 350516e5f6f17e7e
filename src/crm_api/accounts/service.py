"""What can be done with stores, staff and keys."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import structlog

from crm_api.accounts import rules
from crm_api.accounts.models import StaffCreate, StaffUpdate, StoreCreate, StoreUpdate, Tenant
from crm_api.accounts.repository import (
    KeyRepository,
    StaffRepository,
    StoreRepository,
    TenantRepository,
    all_tenants,
    recognise,
)
from crm_api.core.actor import Actor
from crm_api.core.errors import Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

log = structlog.get_logger(__name__)

READ = "accounts:read"
WRITE = "accounts:write"


class AccountService:
    """Stores and staff of the tenant."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.stores = StoreRepository(unit)
        self.staff = StaffRepository(unit)

    async def tenant(self) -> Tenant:
        """Return the caller's own tenant."""
        return await TenantRepository(self.unit).current()

    async def is_active(self, staff_id: UUID) -> bool:
        """Tell whether there is such a staff member, who has not left."""
        return await self.staff.is_active(staff_id)

    async def require_active(self, staff_id: UUID | None, pointer: str) -> None:
        """Raise Invalid, naming the pointer, when somebody is named who is no active staff member."""
        if staff_id is not None and not await self.is_active(staff_id):
            raise Invalid.field(pointer, "unknown_reference", "There is no such active staff member", "没有此在职员工")

    async def create_store(self, data: StoreCreate) -> UUID:
        """Add a store; its name is unique."""
        self.unit.actor.require(WRITE)
        store_id = new_id()
        row = {"id": store_id, **data.model_dump()}
        with unique_as(_STORE_TAKEN):
            await self.stores.insert(row)
        self.unit.audit("store.created", "Store", store_id, after=data.model_dump(mode="json"))
        self.unit.emit("store.created", store_id, {})
        return store_id

    async def update_store(self, store_id: UUID, data: StoreUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given."""
        self.unit.actor.require(WRITE)
        before = await self.stores.get(store_id, lock=True, expected_version=expected_version)
        given = data.model_dump(exclude_unset=True)
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        with unique_as(_STORE_TAKEN):
            await self.stores.change(store_id, changes)
        was = {name: before[name] for name in changes}
        self.unit.audit("store.updated", "Store", store_id, before=was, after=changes)
        self.unit.emit("store.updated", store_id, {})

    async def create_staff(self, data: StaffCreate) -> UUID:
        """Add a staff member; an e-mail address is unique."""
        self.unit.actor.require(WRITE)
        staff_id = new_id()
        with unique_as({"uq_staff_email": _EMAIL_TAKEN}):
            await self.staff.insert({"id": staff_id, **data.model_dump()})
        self.unit.audit("staff.created", "Staff", staff_id, after=data.model_dump(mode="json"))
        self.unit.emit("staff.created", staff_id, {})
        return staff_id

    async def update_staff(self, staff_id: UUID, data: StaffUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given."""
        self.unit.actor.require(WRITE)
        before = await self.staff.get(staff_id, lock=True, expected_version=expected_version)
        given = data.model_dump(exclude_unset=True)
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        with unique_as({"uq_staff_email": _EMAIL_TAKEN}):
            await self.staff.change(staff_id, changes)
        was = {name: before[name] for name in changes}
        self.unit.audit("staff.updated", "Staff", staff_id, before=was, after=changes)
        self.unit.emit("staff.updated", staff_id, {})


_STORE_TAKEN = {
    "uq_stores_tenant_id_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "A store has this name", "已有同名门店")]
    )
}
_EMAIL_TAKEN = Duplicate(errors=[FieldError("/email", "duplicate", "A staff member has this e-mail", "该邮箱已被使用")])


class KeyService:
    """API keys; used by the command line."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.keys = KeyRepository(unit)

    async def create(self, name: str, scopes: frozenset[str], expires_at: datetime | None = None) -> tuple[UUID, str]:
        """Make a key; returns its id and the key itself, which is shown only now."""
        rules.check_scopes(scopes)
        key, key_id = rules.new_key(), new_id()
        await self.keys.insert(
            {
                "id": key_id,
                "name": name,
                "hash": rules.hash_key(key),
                "hint": rules.hint(key),
                "scopes": sorted(scopes),
                "expires_at": expires_at,
            }
        )
        self.unit.audit("key.created", "ApiKey", key_id, after={"name": name, "scopes": sorted(scopes)})
        return key_id, key

    async def revoke(self, key_id: UUID) -> None:
        """Make a key useless from now on (a few seconds' cache apart)."""
        await self.keys.revoke(key_id)
        self.unit.audit("key.revoked", "ApiKey", key_id, before={"revoked": False}, after={"revoked": True})


async def for_each_tenant(database: Database, schedule: str, work: Callable[[Actor], Awaitable[object]]) -> None:
    """Do what a schedule does, tenant by tenant; one merchant's trouble is logged and stops no other.

    Args:
        database: the worker's pools.
        schedule: its name, for the log and for the audit log.
        work: gets the system's actor for each tenant.

    """
    async with database.system() as connection:
        tenants = await all_tenants(connection)
    for tenant in tenants:
        try:
            await work(Actor.system(tenant.id, schedule))
        except Exception:
            log.exception("schedule_failed", schedule=schedule, tenant_id=str(tenant.id))


__all__ = ["AccountService", "KeyService", "all_tenants", "for_each_tenant", "recognise"]
