"""Tenants, stores, staff and keys."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import EmailStr, Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line

Preset = Literal["retail", "baby-store", "taobao", "seafood", "salon"]
StoreKind = Literal["branch", "online"]


class Tenant(Wire):
    """One merchant."""

    id: ResourceId
    name: str = Field(description="The merchant's name.")
    preset: str = Field(description="The industry preset it began with.")
    time_zone: str = Field(description="IANA name; days and birthdays are reckoned in it.")
    currency: str = Field(description="ISO 4217; the shop's own.")
    locale: str = Field(description="Language of messages to its staff.")
    created_at: CreatedAt


class KeyInfo(Wire):
    """What is known of a key after it has been recognised."""

    tenant_id: UUID = Field(description="Whose key it is.")
    id: ResourceId
    scopes: frozenset[str] = Field(description="What it may do.")
    expires_at: datetime | None = Field(description="Null when it does not end by itself.")


class StoreCreate(Input):
    """A branch or an online shop."""

    model_config = with_examples({"name": "静安店", "kind": "branch"})

    name: Annotated[Line, Field(examples=["徐汇店"])] = Field(description="As customers know it; unique in the tenant.")
    kind: StoreKind = Field(default="branch", description="A place to walk into, or a shop on a platform.")


class Store(Wire):
    """A branch or an online shop of the tenant."""

    id: ResourceId
    name: str = Field(description="As customers know it; unique in the tenant.")
    kind: StoreKind = Field(description="A place to walk into, or a shop on a platform.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class StaffCreate(Input):
    """One of the shop's own people."""

    model_config = with_examples({"name": "陈静", "email": "chen.jing@example.com"})

    name: Annotated[Line, Field(examples=["李娜"])] = Field(description="Full name.")
    email: EmailStr | None = Field(default=None, description="Work address; unique in the tenant.")
    store_id: UUID | None = Field(default=None, description="Where they work; null for head office.")


class StaffUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"email": "na.li@example.com", "active": True})

    name: Line = Field(default="", description="Full name; cannot be cleared.")
    email: EmailStr | None = Field(default=None, description="Work address; unique in the tenant.")
    store_id: UUID | None = Field(default=None, description="Where they work; null for head office.")
    active: bool = Field(
        strict=True, default=True, description="false once they have left: nothing new is given to them."
    )


class Staff(Wire):
    """One of the shop's own people: owns customers, handles complaints."""

    id: ResourceId
    name: str = Field(description="Full name.")
    email: str | None = Field(description="Work address; unique in the tenant.")
    store_id: UUID | None = Field(description="Where they work; null for head office.")
    active: bool = Field(description="false once they have left: nothing new is given to them.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class AuditEntry(Wire):
    """One write, as it was and as it became."""

    id: ResourceId
    at: Instant = Field(description="When it was written.")
    actor_kind: str = Field(description="`key` for an API key, `system` for the service itself.")
    actor_id: UUID = Field(description="The key, or the tenant for the service itself.")
    request_id: str = Field(description="The X-Request-ID of the request that did it.")
    operation: str = Field(examples=["customer.updated"], description="What was done: the subject, a dot, a verb.")
    subject_type: str = Field(description="Kind of resource.")
    subject_id: UUID = Field(description="The resource that was written.")
    before: dict[str, Any] | None = Field(description="The fields as they were; null when it was new.")
    after: dict[str, Any] | None = Field(description="The fields as they became; null when nothing of it is told.")
