"""Tenants, stores, staff and keys."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import EmailStr, Field

from crm_api.core.models import Input, Instant, Wire
from crm_api.core.text import Line

Preset = Literal["retail", "baby-store", "taobao", "seafood", "salon"]
StoreKind = Literal["branch", "online"]


class Tenant(Wire):
    """One merchant."""

    id: UUID
    name: str
    preset: str
    time_zone: str
    currency: str
    locale: str
    created_at: Instant


class KeyInfo(Wire):
    """What is known of a key after it has been recognised."""

    tenant_id: UUID
    id: UUID
    scopes: frozenset[str]
    expires_at: datetime | None


class StoreCreate(Input):
    """A branch or an online shop."""

    name: Annotated[Line, Field(examples=["徐汇店"])]
    kind: StoreKind = "branch"


class Store(Wire):
    """A branch or an online shop of the tenant."""

    id: UUID
    name: str
    kind: StoreKind
    version: int
    created_at: Instant
    updated_at: Instant


class StaffCreate(Input):
    """One of the shop's own people."""

    name: Annotated[Line, Field(examples=["李娜"])]
    email: EmailStr | None = None
    store_id: UUID | None = None


class StaffUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    name: Line = ""
    email: EmailStr | None = None
    store_id: UUID | None = None
    active: bool = True


class Staff(Wire):
    """One of the shop's own people: owns customers, handles complaints."""

    id: UUID
    name: str
    email: str | None
    store_id: UUID | None
    active: bool
    version: int
    created_at: Instant
    updated_at: Instant


class AuditEntry(Wire):
    """One write, as it was and as it became."""

    id: UUID
    at: Instant
    actor_kind: str
    actor_id: UUID
    request_id: str
    operation: str = Field(examples=["customer.update"])
    subject_type: str
    subject_id: UUID
    before: dict[str, Any] | None
    after: dict[str, Any] | None
