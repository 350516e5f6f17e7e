"""Interactions and the timeline: domain models and wire shapes."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, HttpUrl
from pydantic_core import PydanticCustomError

from crm_api.core.models import Input, Instant, Wire
from crm_api.core.paging import MAX_LIMIT
from crm_api.core.text import Line, Prose, storable

Channel = Literal["call", "visit", "email", "sms", "wechat", "live_chat", "social", "in_store"]
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
    store_id: UUID | None = None
    order_id: UUID | None = Field(default=None, description="The order it was about.")
    subject: Line | None = None
    body: Prose | None = None
    outcome: Line | None = None
    problem: Prose | None = Field(default=None, description="The problem the customer raised.")
    solution: Prose | None = Field(default=None, description="The solution that was given.")
    next_step: Prose | None = None
    duration_seconds: int | None = Field(default=None, ge=0, le=MAX_DURATION)


class InteractionCreate(_Content):
    """Something that was said or done between the shop and a customer."""

    customer_id: UUID
    channel: Channel
    direction: Direction
    attachments: list[Attachment] = Field(default_factory=list, max_length=MAX_ATTACHMENTS)
    occurred_at: Instant | None = Field(default=None, description="Now when left out.")


class InteractionUpdate(_Content):
    """Fields to change; a field left out stays, null clears it."""

    channel: Channel = "call"
    direction: Direction = "inbound"
    attachments: list[Attachment] = Field(
        default_factory=list, max_length=MAX_ATTACHMENTS, description="Replaces all attachments."
    )
    occurred_at: Instant = Field(default_factory=lambda: datetime.now(UTC))


class Interaction(Wire):
    """Something that was said or done between the shop and a customer."""

    id: UUID
    customer_id: UUID
    channel: Channel
    direction: Direction
    staff_id: UUID | None
    store_id: UUID | None
    order_id: UUID | None
    subject: str | None
    body: str | None
    outcome: str | None
    problem: str | None
    solution: str | None
    next_step: str | None
    duration_seconds: int | None
    attachments: list[str]
    occurred_at: Instant
    version: int
    created_at: Instant
    updated_at: Instant


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
    at: Instant
    id: UUID = Field(description="Of the thing itself.")
    title: str | None = Field(description="In the words of whoever wrote it.")
    data: dict[str, Any] = Field(description="What is worth seeing at a glance; its keys depend on `kind`.")


class TimelinePageInfo(Wire):
    """Where this page stands."""

    next: str | None = Field(description="Pass as `after` for what is older.")
    previous: str | None = Field(description="Pass as `before` for what is newer.")
    has_more: bool
    total: int | None = Field(default=None, description="Only with `count=exact`.")


class TimelinePage(Wire):
    """One page of a customer's timeline, newest first."""

    data: list[TimelineEntry]
    page: TimelinePageInfo
