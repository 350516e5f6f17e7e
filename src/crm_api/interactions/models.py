"""Interactions and the timeline: domain models and wire shapes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, HttpUrl, SkipValidation
from pydantic_core import PydanticCustomError

from crm_api.core.batch import MAX_ITEMS, Mode, Ref
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.paging import MAX_LIMIT
from crm_api.core.text import Line, Prose, storable

Channel = Literal["call", "visit", "email", "sms", "wechat", "live_chat", "social", "in_store", "web"]
Direction = Literal["inbound", "outbound"]

MAX_ATTACHMENTS = 50
MAX_CURSOR = 2000
MAX_URL = 2000
MAX_DURATION = 31 * 24 * 3600


def _https(text: str) -> str:
    try:
        url = HttpUrl(text)
    except ValueError:
        raise PydanticCustomError("invalid_url", "This is not a web address") from None
    if url.scheme != "https" or url.username or url.password or any(part.isspace() for part in text):
        raise PydanticCustomError("invalid_url", "An attachment is an https:// address without a password")
    return text


Attachment = Annotated[
    str,
    Field(max_length=MAX_URL, examples=["https://files.example.com/call-20261111.mp3"]),
    AfterValidator(storable),
    AfterValidator(_https),
]
"""Where an attached file is; the service keeps addresses, never files."""


class _Content(Input):
    staff_id: UUID | None = Field(default=None, description="Who spoke for the shop.")
    store_id: UUID | None = Field(default=None, description="Where it happened.")
    order_id: UUID | None = Field(default=None, description="The order it was about.")
    subject: Line | None = Field(default=None, description="What it was about, in one line.")
    body: Prose | None = Field(default=None, description="What was said, in full.")
    outcome: Line | None = Field(default=None, description="How it ended, in one line.")
    problem: Prose | None = Field(default=None, description="The problem the customer raised.")
    solution: Prose | None = Field(default=None, description="The solution that was given.")
    next_step: Prose | None = Field(default=None, description="What the shop promised to do.")
    duration_seconds: int | None = Field(
        strict=True, default=None, ge=0, le=MAX_DURATION, description="How long it took, in seconds; at most 31 days."
    )


class InteractionCreate(_Content):
    """Something that was said or done between the shop and a customer."""

    model_config = with_examples(
        {
            "customer_id": "01981a6e-0000-7000-8000-000000000000",
            "channel": "call",
            "direction": "inbound",
            "subject": "询问春节发货",
            "problem": "担心节前收不到货",
            "solution": "安排顺丰冷链，腊月二十六发出",
            "next_step": "发出后电话告知单号",
            "duration_seconds": 185,
            "attachments": ["https://files.example.com/call-20261111.mp3"],
            "occurred_at": "2026-11-11T11:20:00+08:00",
        },
    )

    customer_id: UUID = Field(description="Who it was with.")
    channel: Channel = Field(description="How they spoke.")
    direction: Direction = Field(description="`inbound` came from the customer.")
    attachments: list[Attachment] = Field(
        default_factory=list, max_length=MAX_ATTACHMENTS, description="https:// addresses of files; at most 50."
    )
    occurred_at: Instant | None = Field(default=None, description="Now when left out; not in the future.")


class InteractionBatchItem(InteractionCreate):
    """A call, visit or message of a batch."""

    model_config = with_examples(
        {
            "ref": "row-17",
            "customer_id": "01981a6e-0000-7000-8000-000000000000",
            "channel": "call",
            "direction": "inbound",
        }
    )

    ref: Ref = None


class InteractionBatch(Input):
    """Calls, visits and messages, up to 1,000."""

    model_config = with_examples(
        {
            "mode": "per_item",
            "items": [
                {
                    "ref": "row-17",
                    "customer_id": "01981a6e-0000-7000-8000-000000000000",
                    "channel": "call",
                    "direction": "inbound",
                }
            ],
        }
    )

    mode: Mode = "all_or_none"
    items: list[SkipValidation[InteractionBatchItem]] = Field(
        min_length=1, max_length=MAX_ITEMS, description="Each as for `POST /v1/interactions`."
    )


class InteractionUpdate(_Content):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"outcome": "已解决", "next_step": None})

    channel: Channel = Field(default="call", description="How they spoke.")
    direction: Direction = Field(default="inbound", description="`inbound` came from the customer.")
    attachments: list[Attachment] = Field(
        default_factory=list, max_length=MAX_ATTACHMENTS, description="Replaces all attachments."
    )
    occurred_at: Instant = Field(
        default_factory=lambda: datetime.now(UTC),
        description="When it happened (RFC 3339, any offset); not in the future.",
    )


class Interaction(Wire):
    """Something that was said or done between the shop and a customer."""

    id: ResourceId
    customer_id: UUID = Field(description="Who it was with.")
    channel: Channel = Field(description="How they spoke.")
    direction: Direction = Field(description="`inbound` came from the customer.")
    staff_id: UUID | None = Field(description="Who spoke for the shop.")
    store_id: UUID | None = Field(description="Where it happened.")
    order_id: UUID | None = Field(description="The order it was about.")
    subject: str | None = Field(description="What it was about, in one line.")
    body: str | None = Field(description="What was said, in full.")
    outcome: str | None = Field(description="How it ended, in one line.")
    problem: str | None = Field(description="The problem the customer raised.")
    solution: str | None = Field(description="The solution that was given.")
    next_step: str | None = Field(description="What the shop promised to do.")
    duration_seconds: int | None = Field(description="How long it took, in seconds; null when not measured.")
    attachments: list[str] = Field(description="https:// addresses of files.")
    occurred_at: Instant = Field(description="When it happened.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class TimelineQuery(Input):
    """Which part of a customer's timeline."""

    first: int = Field(default=20, ge=1, le=MAX_LIMIT, description="Entries of the page.")
    after: str | None = Field(default=None, max_length=MAX_CURSOR, description="`next` of the page before this one.")
    before: str | None = Field(
        default=None, max_length=MAX_CURSOR, description="`previous` of the page after this one."
    )
    kinds: list[str] | None = Field(default=None, max_length=50, description="Only entries of these kinds.")
    count: bool = Field(default=False, description="Whether to count all entries.")


class TimelineEntry(Wire):
    """One thing that happened to a customer."""

    kind: str = Field(description="What it is; see the parameter `kind`.", examples=["interaction"])
    at: Instant = Field(description="When it happened.")
    id: UUID = Field(description="Of the thing itself.")
    title: str | None = Field(description="In the words of whoever wrote it.")
    data: dict[str, Any] = Field(description="What is worth seeing at a glance; its keys depend on `kind`.")


class TimelinePageInfo(Wire):
    """Where this page stands."""

    next: str | None = Field(description="Pass as `after` for what is older.")
    previous: str | None = Field(description="Pass as `before` for what is newer.")
    has_more: bool = Field(description="Whether older entries follow.")
    total: int | None = Field(default=None, description="Only with `count=exact`.")


class TimelinePage(Wire):
    """One page of a customer's timeline, newest first."""

    data: list[TimelineEntry] = Field(description="The entries, newest first.")
    page: TimelinePageInfo = Field(description="Where this page stands.")


# -- what services exchange --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InteractionRow:
    """One interaction of a bulk write; texts as for `InteractionCreate`."""

    customer_id: UUID
    channel: Channel
    direction: Direction
    occurred_at: datetime
    subject: str | None = None
    body: str | None = None
    outcome: str | None = None
    problem: str | None = None
    solution: str | None = None
    next_step: str | None = None
    duration_seconds: int | None = None
