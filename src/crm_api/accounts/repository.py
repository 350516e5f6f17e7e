"""Access to tenants, stores, staff, keys and the audit log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from crm_api.accounts.models import AuditEntry, KeyInfo, Staff, Store, StoreKind, Tenant
from crm_api.accounts.tables import api_keys, staff, stores, tenants
from crm_api.core.errors import NotFound
from crm_api.db.compile import compile_statement
from crm_api.db.projections import Projection, columns, desc, eq, eq_ref, one, ref
from crm_api.db.repository import Repository
from crm_api.db.tables import audit_log
from crm_api.db.uow import UnitOfWork

STORE = Projection(
    "Store",
    table=stores,
    model=Store,
    scope="accounts:read",
    description="A branch or an online shop of the tenant.",
    fields=columns("id", "name", "kind", "version", "created_at", "updated_at"),
    filters={"kind": eq("kind", StoreKind)},
)

STAFF = Projection(
    "Staff",
    table=staff,
    model=Staff,
    scope="accounts:read",
    description="One of the shop's own people.",
    fields={
        **columns("id", "name", "email", "active", "title", "customer_capacity", "case_capacity", "weight"),
        **columns("availability", "version", "created_at", "updated_at"),
        "store_id": ref("store_id", "Store"),
    },
    relations={"store": one("Store", on=lambda p, c: c.c.id == p.c.store_id, description="Where they work.")},
    filters={"store_id": eq_ref("store_id", "Store"), "active": eq("active", bool)},
)

AUDIT_ENTRY = Projection(
    "AuditEntry",
    table=audit_log,
    model=AuditEntry,
    scope="audit:read",
    description="One write, as it was and as it became.",
    fields=columns(
        "id",
        "at",
        "actor_kind",
        "actor_id",
        "request_id",
        "operation",
        "subject_type",
        "subject_id",
        "before",
        "after",
    ),
    orders={"newest": [desc("id")]},
    filters={
        "subject_id": eq("subject_id", UUID, description="Only what was done to this resource."),
        "operation": eq("operation", description="Only this operation, e.g. customer.updated."),
    },
)


class StoreRepository(Repository):
    """Stores."""

    table = stores


class StaffRepository(Repository):
    """Staff."""

    table = staff

    async def is_active(self, staff_id: UUID) -> bool:
        """Tell whether there is such a staff member, who has not left."""
        return await self.unit.fetch_value(select(staff.c.id).where(self.by_id(staff_id), staff.c.active)) is not None


class TenantRepository:
    """The unit's own tenant."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def add(self, values: dict[str, Any]) -> None:
        """Insert the tenant the unit acts for."""
        await self.unit.execute(tenants.insert(), {"tenant_id": self.unit.tenant_id, **values})

    async def current(self) -> Tenant:
        """Return the tenant the unit acts for."""
        row = await self.unit.fetch_one(select(tenants).where(tenants.c.tenant_id == self.unit.tenant_id))
        if row is None:
            raise NotFound
        return _tenant(row)


class KeyRepository(Repository):
    """API keys of the tenant."""

    table = api_keys

    async def all(self) -> list[Any]:
        """Return every key, newest first, without its hash."""
        shown = [column for column in api_keys.c if column.name != "hash"]
        return await self.unit.fetch_all(select(*shown).where(self.mine()).order_by(api_keys.c.id.desc()))

    async def revoke(self, key_id: UUID) -> None:
        """Make a key useless from now on."""
        changed = await self.unit.execute(
            update(api_keys).where(self.by_id(key_id), api_keys.c.revoked_at.is_(None)).values(revoked_at=func.now())
        )
        if not changed:
            raise NotFound


def _tenant(row: Any) -> Tenant:
    fields = ("name", "preset", "time_zone", "currency", "locale", "created_at")
    return Tenant(id=row["tenant_id"], **{field: row[field] for field in fields})


# -- the two reads that come before a tenant is known; they run on a system connection ---------------------------------


async def recognise(connection: Any, key_hash: bytes, now: datetime) -> KeyInfo | None:
    """Return the live key with this hash, or None."""
    sql, values = compile_statement(
        select(api_keys.c.tenant_id, api_keys.c.id, api_keys.c.scopes, api_keys.c.expires_at).where(
            api_keys.c.hash == key_hash,
            api_keys.c.revoked_at.is_(None),
            api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > now),
        )
    )
    row = await connection.fetchrow(sql, *values)
    return None if row is None else KeyInfo.model_validate(dict(row))


async def all_tenants(connection: Any) -> list[Tenant]:
    """Return every tenant, oldest first."""
    sql, values = compile_statement(select(tenants).order_by(tenants.c.tenant_id))
    return [_tenant(row) for row in await connection.fetch(sql, *values)]
