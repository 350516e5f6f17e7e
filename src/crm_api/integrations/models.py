"""Sources, deliveries and what a delivery asks for."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from crm_api.core.models import Input, Instant, Wire
from crm_api.core.text import Line, storable

Platform = Literal["shopify", "standard"]
Secret = Annotated[
    str, StringConstraints(min_length=8, max_length=200, strip_whitespace=True), AfterValidator(storable)
]
DeliveryState = Literal["received", "processed", "ignored", "failed"]


class SourceCreate(Input):
    """Where webhooks will come from."""

    name: Annotated[Line, Field(examples=["Main Shopify shop"])]
    platform: Platform = Field(description="`standard` is any sender of Standard Webhooks.")
    secret: Annotated[
        Secret,
        Field(
            examples=["shpss_0123456789abcdef"],
            description="What the platform signs with; it is never shown again.",
        ),
    ]


class SourceUpdate(Input):
    """Fields to change."""

    name: Line = ""
    secret: Secret = ""
    active: bool = True


class Source(Wire):
    """Where webhooks come from. Point the platform at ``POST /v1/inbound/{id}``."""

    id: UUID
    name: str
    platform: Platform
    active: bool
    inbound_path: str = Field(examples=["/v1/inbound/01981a6e-0000-7000-8000-000000000000"])
    version: int
    created_at: Instant
    updated_at: Instant


class Delivery(Wire):
    """One webhook as it arrived, and what became of it."""

    id: UUID
    source_id: UUID
    topic: str = Field(examples=["orders/paid"])
    state: DeliveryState
    attempts: int
    repeats: int = Field(description="How often the platform sent it again.")
    result: dict[str, Any] | None = Field(description="What it changed.")
    error: str | None = Field(description="Why it failed; mend the cause and replay.")
    received_at: Instant
    processed_at: Instant | None


class Accepted(Wire):
    """The delivery is stored and will be processed."""

    delivery_id: UUID
    duplicate: bool
