"""Behaviour events: what visitors look at, search for and do; and who their devices belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import Field, SkipValidation, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_api.core.errors import FieldError
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line, Slug, Token
from crm_api.customers.models import ContactKind

MAX_EVENTS: Final = 1_000
"""Events of one call."""

MAX_PROPERTIES: Final = 50
MAX_PROPERTIES_BYTES: Final = 4_096
MAX_DWELL_MS: Final = 86_400_000

DEFAULT_RETENTION_DAYS: Final = 400
"""What a tenant that says nothing keeps: the same season of last year can still be compared."""

IdentificationState = Literal["running", "done"]

EventId = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-~]+$", strip_whitespace=False)]
"""A client's own id of an event: printable ASCII without spaces."""

EventType = Annotated[Slug, Field(examples=["page_view"])]
DeviceId = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-~]+$"), Field(examples=["d-8f14e45f"])
]

_TYPES = (
    "What was done. Known: `page_view`, `search`, `cart_add`, `cart_remove`, `promotion`, `content_read`, "
    "`content_download`, `like`, `comment`, `share`; any other lower-case name is an event of your own."
)


class KnownCustomer(Input):
    """A customer, by our id or by the id they have on a platform."""

    customer_id: UUID | None = Field(default=None, description="The customer; or send `platform` and `external_id`.")
    platform: Slug | None = Field(default=None, description="Lower-case name of the platform.", examples=["taobao"])
    external_id: Token | None = Field(default=None, description="Their id on that platform.", examples=["tb_10086"])

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        by_identity = self.platform is not None and self.external_id is not None
        half = (self.platform is None) != (self.external_id is None)
        if half or by_identity == (self.customer_id is not None):
            raise PydanticCustomError("one_of", "Send either customer_id, or platform and external_id")
        return self


class EventInput(Input):
    """Something a visitor did."""

    model_config = with_examples(
        {
            "id": "0198a0c0-1111-7000-8000-000000000000",
            "type": "page_view",
            "occurred_at": "2026-11-11T03:20:00+00:00",
            "device_id": "d-8f14e45f",
            "session_id": "s-1",
            "sku": "MILK-900",
            "dwell_ms": 8200,
            "url": "/p/MILK-900",
            "properties": {"referrer": "wechat"},
        }
    )

    id: EventId = Field(
        description="Your id of the event: one that was sent before is not stored again. A UUID, best a UUIDv7.",
        examples=["0198a0c0-1111-7000-8000-000000000000"],
    )
    type: EventType = Field(description=_TYPES)
    occurred_at: Instant = Field(description="When it happened: by the visitor's clock, at most a day ahead of ours.")
    device_id: DeviceId | None = Field(
        default=None, description="The browser, phone or app it happened on; required when the customer is not known."
    )
    customer: KnownCustomer | None = Field(
        default=None, description="Who did it, when you know; otherwise who the device belonged to at that time."
    )
    session_id: DeviceId | None = Field(default=None, description="Your id of the visit.", examples=["s-1"])
    sku: Token | None = Field(default=None, description="The product it was about.", examples=["MILK-900"])
    url: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = Field(
        default=None, description="The page, absolute or from the shop's root.", examples=["/p/MILK-900"]
    )
    dwell_ms: int | None = Field(
        default=None, ge=0, le=MAX_DWELL_MS, strict=True, description="Time spent there, in milliseconds."
    )
    properties: dict[str, Any] = Field(
        default={},
        description=f"Anything else: at most {MAX_PROPERTIES} names and {MAX_PROPERTIES_BYTES:,} bytes of JSON.",
        examples=[{"query": "奶粉", "results": 12}],
    )


class EventBatch(Input):
    """Events to store. A wrong one is refused alone; all others are stored."""

    model_config = with_examples({"events": [EventInput.model_config["json_schema_extra"]["examples"][0]]})  # type: ignore[index]

    # Checked one by one by the service: a wrong event shall not take the others with it.
    events: list[SkipValidation[EventInput]] = Field(
        min_length=1, max_length=MAX_EVENTS, description=f"1–{MAX_EVENTS:,} events, in any order."
    )


class EventFault(Wire):
    """One thing wrong with an event."""

    pointer: str = Field(description="JSON pointer into the body.", examples=["/events/3/occurred_at"])
    code: str = Field(description="Stable and machine-readable.", examples=["too_old"])
    message: str = Field(description="For people, in the language of Accept-Language.")


class RefusedEvent(Wire):
    """An event that was not stored."""

    index: int = Field(description="Its place in the batch, from 0.")
    id: str | None = Field(description="Its id, when it had one that could be read.")
    errors: list[EventFault] = Field(description="Why.")


class IngestResult(Wire):
    """What came of a batch."""

    accepted: int = Field(description="Events stored now.")
    duplicates: int = Field(description="Events whose id had been stored before; nothing was done with them.")
    rejected: int = Field(description="Events that were refused; `results` names each.")
    results: list[RefusedEvent] = Field(description="The refused ones, in the order of the batch.")


class Event(Wire):
    """Something a visitor did."""

    id: ResourceId = Field(description="Your id of the event if it was a UUID, otherwise one derived from it.")
    event_id: str = Field(description="Your id of the event.")
    type: str = Field(description=_TYPES, examples=["page_view"])
    occurred_at: Instant = Field(description="When it happened.")
    received_at: Instant = Field(description="When it was stored here.")
    device_id: str | None = Field(description="What it happened on.")
    customer_id: UUID | None = Field(
        description="Who did it: as the event said, otherwise who the device belonged to at that time; null when "
        "nobody has identified themselves there."
    )
    session_id: str | None = Field(description="Your id of the visit.")
    sku: str | None = Field(description="The product it was about.")
    url: str | None = Field(description="The page.")
    dwell_ms: int | None = Field(description="Time spent there, in milliseconds.")
    properties: dict[str, Any] = Field(description="Anything else that was sent.")


class ContactReference(Input):
    """A customer by a way to reach them."""

    kind: ContactKind = Field(description="What it is.", examples=["mobile"])
    value: Line = Field(description="Number, address or account.", examples=["13800138000"])


class IdentifyInput(Input):
    """Says who uses a device from a moment on, or that they have signed out."""

    model_config = with_examples(
        {"device_id": "d-8f14e45f", "platform": "taobao", "external_id": "tb_1"},
        {"device_id": "d-8f14e45f", "signed_out": True},
    )

    device_id: DeviceId = Field(description="The browser, phone or app, as its events name it.")
    customer_id: UUID | None = Field(default=None, description="Who it is.")
    platform: Slug | None = Field(default=None, description="Or by a platform's id of theirs: its name.")
    external_id: Token | None = Field(default=None, description="And their id there.", examples=["tb_10086"])
    contact_point: ContactReference | None = Field(
        default=None, description="Or by a contact point that exactly one customer has (a verified one goes first)."
    )
    signed_out: bool = Field(
        strict=True,
        default=False,
        description="Nobody from now on: what follows belongs to whoever identifies themselves next.",
    )
    at: Instant | None = Field(default=None, description="When they did; now if left out.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (self.customer_id is not None, self.platform is not None, self.contact_point is not None)
        if (self.platform is None) != (self.external_id is None) or sum(ways) + self.signed_out != 1:
            raise PydanticCustomError(
                "one_of", "Send one of customer_id, platform with external_id, contact_point, or signed_out: true"
            )
        return self


class Identification(Wire):
    """A moment at which somebody identified themselves on a device, or signed out."""

    id: ResourceId
    device_id: str = Field(description="The device.")
    customer_id: UUID | None = Field(description="Who; null for a sign-out.")
    at: Instant = Field(description="From when on.")
    state: IdentificationState = Field(
        description="`running` while a long history is given to the customer in the background."
    )
    attributed: int = Field(description="Events that changed hands because of it so far.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class EventSettings(Wire):
    """How long the shop keeps events."""

    retention_days: int = Field(description="Events older than this are deleted, and no longer accepted.")


class EventSettingsUpdate(Input):
    """How long the shop keeps events."""

    model_config = with_examples({"retention_days": 180})

    retention_days: int = Field(
        strict=True, ge=7, le=3_650, description="Days, 7 to 3,650; shortening it deletes within a day.", examples=[180]
    )


class InterestQuery(Input):
    """Which interests to look for."""

    days: int = Field(default=90, ge=1, le=3_650, description="Looks of the last so many days.", examples=[90])
    limit: int = Field(default=20, ge=1, le=100, description="Products, at most.", examples=[20])


class ViewedProduct(Wire):
    """A product a customer looked at and did not buy."""

    sku: str = Field(description="The product.")
    product_id: UUID | None = Field(description="The product, if the catalogue has it.")
    name: str | None = Field(description="Its name in the catalogue.")
    category: str | None = Field(description="Its category in the catalogue.")
    views: int = Field(description="How often it was looked at.")
    cart_adds: int = Field(description="How often it was put into the cart.")
    dwell_ms: int = Field(description="Time spent on it, in milliseconds.")
    last_viewed_at: Instant = Field(description="When last.")


class InterestList(Wire):
    """What a customer looked at and did not buy."""

    data: list[ViewedProduct] = Field(description="The products, the strongest interest first.")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event of a batch that cannot be stored."""

    index: int
    id: str | None
    errors: Sequence[FieldError]


@dataclass(frozen=True, slots=True)
class EventRowVerdict:
    """What became of one row of a bulk write.

    Attributes:
        event_id: the event, None when the row failed.
        verdict: what happened.
        errors: why it failed; pointers name the event's fields.

    """

    event_id: UUID | None
    verdict: Literal["created", "unchanged", "failed"]
    errors: Sequence[FieldError] = ()


@dataclass(frozen=True, slots=True)
class Ingested:
    """What came of a batch."""

    accepted: int
    duplicates: int
    refused: Sequence[Refusal]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment from which a device is a customer's, or nobody's."""

    at: datetime
    customer_id: UUID | None
