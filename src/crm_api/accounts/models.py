"""Tenants, stores, staff and keys."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import EmailStr, Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line

Preset = Literal["retail", "baby-store", "taobao", "seafood", "salon"]
StoreKind = Literal["branch", "online"]
Availability = Literal["online", "offline", "by_shift"]
Capacity = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]

_WORK = {
    "title": "What they do, such as 美容师.",
    "customer_capacity": "How many customers may be given to them automatically; null is without limit.",
    "case_capacity": "How many open cases may be given to them automatically; null is without limit.",
    "weight": "Share of what the strategy `weighted` gives out, 1–100.",
    "availability": "`online` or `offline` by hand, or `by_shift`: at work while a shift covers the moment. An absence "
    "(`POST /v1/shifts`) counts before either.",
}


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


class StoreUpdate(Input):
    """Fields to change; a field left out stays."""

    model_config = with_examples({"name": "静安寺店"})

    name: Line = Field(default="", description="As customers know it; cannot be cleared.")
    kind: StoreKind = Field(default="branch", description="A place to walk into, or a shop on a platform.")


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

    model_config = with_examples(
        {"name": "陈静", "email": "chen.jing@example.com", "title": "美容师", "customer_capacity": 120}
    )

    name: Annotated[Line, Field(examples=["李娜"])] = Field(description="Full name.")
    email: EmailStr | None = Field(default=None, description="Work address; unique in the tenant.")
    store_id: UUID | None = Field(default=None, description="Where they work; null for head office.")
    title: Line | None = Field(default=None, description=_WORK["title"])
    customer_capacity: Capacity | None = Field(default=None, description=_WORK["customer_capacity"])
    case_capacity: Capacity | None = Field(default=None, description=_WORK["case_capacity"])
    weight: int = Field(default=1, ge=1, le=100, strict=True, description=_WORK["weight"])
    availability: Availability = Field(default="online", description=_WORK["availability"])


class StaffUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"email": "na.li@example.com", "active": True})

    name: Line = Field(default="", description="Full name; cannot be cleared.")
    email: EmailStr | None = Field(default=None, description="Work address; unique in the tenant.")
    store_id: UUID | None = Field(default=None, description="Where they work; null for head office.")
    active: bool = Field(
        strict=True, default=True, description="false once they have left: nothing new is given to them."
    )
    title: Line | None = Field(default=None, description=_WORK["title"])
    customer_capacity: Capacity | None = Field(default=None, description=_WORK["customer_capacity"])
    case_capacity: Capacity | None = Field(default=None, description=_WORK["case_capacity"])
    weight: int = Field(default=1, ge=1, le=100, strict=True, description=_WORK["weight"])
    availability: Availability = Field(default="online", description=_WORK["availability"])


class Staff(Wire):
    """One of the shop's own people: owns customers, handles complaints."""

    id: ResourceId
    name: str = Field(description="Full name.")
    email: str | None = Field(description="Work address; unique in the tenant.")
    store_id: UUID | None = Field(description="Where they work; null for head office.")
    active: bool = Field(description="false once they have left: nothing new is given to them.")
    title: str | None = Field(description=_WORK["title"])
    customer_capacity: int | None = Field(description=_WORK["customer_capacity"])
    case_capacity: int | None = Field(description=_WORK["case_capacity"])
    weight: int = Field(description=_WORK["weight"])
    availability: Availability = Field(description=_WORK["availability"])
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
