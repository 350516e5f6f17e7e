"""Sources, deliveries and what a delivery asks for."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line, storable

Platform = Literal["shopify", "standard"]
Secret = Annotated[
    str, StringConstraints(min_length=8, max_length=200, strip_whitespace=True), AfterValidator(storable)
]
DeliveryState = Literal["received", "processed", "ignored", "failed"]


class SourceCreate(Input):
    """Where webhooks will come from."""

    model_config = with_examples({"name": "Shopify 旗舰店", "platform": "shopify", "secret": "shpss_0123456789abcdef"})

    name: Line | None = Field(
        default=None, examples=["Main Shopify shop"], description="What staff call it; the platform's name if left out."
    )
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

    model_config = with_examples({"name": "Shopify 主店", "active": True})

    name: Line = Field(default="", description="What staff call it; cannot be cleared.")
    secret: Secret = Field(default="", description="The new secret the platform signs with; never shown again.")
    active: bool = Field(strict=True, default=True, description="false refuses its webhooks.")


class Source(Wire):
    """Where webhooks come from. Point the platform at ``POST /v1/inbound/{id}``."""

    id: ResourceId
    name: str = Field(description="What staff call it.")
    platform: Platform = Field(description="`standard` is any sender of Standard Webhooks.")
    active: bool = Field(description="false: its webhooks are refused.")
    inbound_path: str = Field(
        examples=["/v1/inbound/01981a6e-0000-7000-8000-000000000000"],
        description="Where the platform must send, on this server.",
    )
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class Delivery(Wire):
    """One webhook as it arrived, and what became of it."""

    id: ResourceId
    source_id: UUID = Field(description="Where it came from.")
    topic: str = Field(examples=["orders/paid"], description="The platform's name for what happened.")
    state: DeliveryState = Field(description="How far it has come.")
    attempts: int = Field(description="How often it was processed.")
    repeats: int = Field(description="How often the platform sent it again.")
    result: dict[str, Any] | None = Field(description="What it changed.")
    error: str | None = Field(description="Why it failed; mend the cause and replay.")
    received_at: Instant = Field(description="When it arrived.")
    processed_at: Instant | None = Field(description="Null until it has been.")


class Accepted(Wire):
    """The delivery is stored and will be processed."""

    delivery_id: UUID = Field(description="The delivery, for `GET /v1/inbound-deliveries/{id}`.")
    duplicate: bool = Field(description="Whether it had arrived before; then nothing more is done.")
