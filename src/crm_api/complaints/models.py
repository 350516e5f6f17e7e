"""Complaints: domain models and wire shapes."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_api.calendars.models import EARLIEST
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line, Prose, Token, storable
from crm_api.interactions.models import Attachment as Address

Kind = Literal["complaint", "inquiry", "request", "praise"]
Channel = Literal[
    "call", "visit", "email", "sms", "wechat", "live_chat", "social", "in_store", "platform", "regulator", "web"
]
Severity = Literal["S1", "S2", "S3", "S4"]
State = Literal[
    "received",
    "acknowledged",
    "assessed",
    "in_progress",
    "waiting_customer",
    "waiting_third_party",
    "proposed",
    "escalated_external",
    "resolved",
    "closed",
    "duplicate",
    "withdrawn",
    "rejected",
]
Action = Literal[
    "acknowledge",
    "assess",
    "start",
    "wait_customer",
    "wait_third_party",
    "resume",
    "propose",
    "reject_proposal",
    "escalate",
    "resolve",
    "close",
    "reopen",
    "mark_duplicate",
    "unmerge",
    "withdraw",
    "reject",
]
CauseText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00/]+(/[^\x00/]+)*$",
        description="A path from the general to the particular, such as quality/cold_chain.",
        examples=["quality/cold_chain"],
    ),
]

Words = Annotated[
    str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True), AfterValidator(storable)
]
"""What somebody said: 1–20,000 characters after trimming."""


def _counted_by_calendars(value: datetime) -> datetime:
    if value < EARLIEST:
        raise PydanticCustomError("beyond_calendar", "Give a time from 1970 to 2099")
    return value


Happened = Annotated[Instant, AfterValidator(_counted_by_calendars)]
"""When something happened: calendars begin in 1970, and services refuse what is still to come."""

MAX_ORDERS = 20
MAX_PRODUCTS = 50
MAX_PIECES = 1_000_000
MAX_MESSAGE_FILES = 20
MAX_BYTES = 10 * 2**30

_ORDERS = "All orders it is about, the main one first; at most 20. `order_id` is the first of them."
_PRODUCTS = "What of the goods it is about, at most 50: products and batches."
_REGULATOR_REF = "Its number at an authority, such as 12315 or an ombudsman."


def each_once(ids: list[UUID]) -> list[UUID]:
    """Return ids of which none is repeated, or refuse them."""
    if len(set(ids)) < len(ids):
        raise PydanticCustomError("repeated_value", "Each may be named once")
    return ids


OrderIds = Annotated[list[UUID], Field(max_length=MAX_ORDERS), AfterValidator(each_once)]


class ComplaintProductInput(Input):
    """Goods a case is about."""

    product_id: UUID | None = Field(default=None, description="The product; found by its SKU when left out.")
    sku: Line | None = Field(
        default=None, description="Its SKU, also one the catalogue lacks; the product's when left out."
    )
    batch: Line | None = Field(default=None, description="Which batch or lot, as printed on the goods.")
    quantity: int | None = Field(
        strict=True, default=None, ge=1, le=MAX_PIECES, description="How many pieces are concerned; null if unknown."
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.product_id is None and self.sku is None and self.batch is None:
            raise PydanticCustomError("nothing_named", "Give the product, its SKU or the batch")
        return self


class ComplaintProduct(Wire):
    """Goods a case is about."""

    product_id: UUID | None = Field(description="The product; null when the catalogue has none with this SKU.")
    sku: str | None = Field(description="Its SKU.")
    batch: str | None = Field(description="Which batch or lot, as printed on the goods.")
    quantity: int | None = Field(description="How many pieces are concerned; null if unknown.")


Products = Annotated[list[ComplaintProductInput], Field(max_length=MAX_PRODUCTS)]


class ComplaintCreate(Input):
    """A new case: a complaint, or an inquiry, request or praise that is handled like one."""

    model_config = with_examples(
        {
            "customer_id": "01981a6e-0000-7000-8000-000000000000",
            "channel": "platform",
            "source_ref": "taobao:refund:998877",
            "severity": "S2",
            "safety": True,
            "category": "quality/cold_chain",
            "products": [{"sku": "SHRIMP-500", "batch": "20261108-3", "quantity": 2}],
            "subject": "收到的虾已变质",
            "description": "打开包装有异味，冰袋已完全融化",
            "remedy_sought": "全额退款",
        },
    )

    customer_id: UUID = Field(description="Who complains.")
    kind: Kind = Field(default="complaint", description="Inquiries, requests and praise are handled by the same steps.")
    channel: Channel = Field(description="How it reached the shop.")
    source_ref: Annotated[Token, Field(examples=["taobao:refund:998877"])] | None = Field(
        default=None, description="Its number where it came from; unique, so that one platform case is one case here."
    )
    order_id: UUID | None = Field(default=None, description="The order it is mainly about.")
    order_ids: OrderIds = Field(default_factory=list, description=_ORDERS)
    products: Products = Field(default_factory=list, description=_PRODUCTS)
    severity: Severity = Field(default="S3", description="S1 is the gravest.")
    safety: bool = Field(strict=True, default=False, description="Whether somebody's health or safety is concerned.")
    category: CauseText | None = Field(
        default=None, description="What it is about: a path from the general to the particular."
    )
    root_cause: CauseText | None = Field(
        default=None, description="Why it happened, in the same form; often known only later."
    )
    regulator_ref: Line | None = Field(default=None, description=_REGULATOR_REF)
    subject: Annotated[Line, Field(examples=["收到的虾已变质"])] = Field(description="What is wrong, in one line.")
    description: Prose | None = Field(default=None, description="What happened, in full.")
    remedy_sought: Prose | None = Field(default=None, description="What the customer asks for.")
    assignee_id: UUID | None = Field(default=None, description="The staff member who handles it.")
    received_at: Happened | None = Field(default=None, description="When it reached the shop; now when left out.")


class ComplaintUpdate(Input):
    """Fields to change; a field left out stays, null clears it. The state changes by transitions only."""

    model_config = with_examples({"severity": "S1", "root_cause": "logistics/cold_chain/ice_pack", "assignee_id": None})

    kind: Kind = Field(default="complaint", description="Inquiries, requests and praise are handled by the same steps.")
    order_id: UUID | None = Field(default=None, description="The order it is mainly about.")
    order_ids: OrderIds = Field(default_factory=list, description=_ORDERS)
    products: Products = Field(default_factory=list, description=_PRODUCTS)
    severity: Severity = Field(default="S3", description="S1 is the gravest.")
    safety: bool = Field(strict=True, default=False, description="Whether somebody's health or safety is concerned.")
    category: CauseText | None = Field(
        default=None, description="What it is about: a path from the general to the particular."
    )
    root_cause: CauseText | None = Field(
        default=None, description="Why it happened: a path from the general to the particular."
    )
    regulator_ref: Line | None = Field(default=None, description=_REGULATOR_REF)
    subject: Line = Field(default="", description="What is wrong, in one line; cannot be cleared.")
    description: Prose | None = Field(default=None, description="What happened, in full.")
    remedy_sought: Prose | None = Field(default=None, description="What the customer asks for.")
    assignee_id: UUID | None = Field(default=None, description="The staff member who handles it.")


class ComplaintTransition(Input):
    """A step to take: named by the state it leads to or by its action."""

    model_config = with_examples(
        {"action": "acknowledge", "note": "已电话告知客户收到投诉"},
        {"to": "assessed", "root_cause": "logistics/cold_chain"},
    )

    to: State | None = Field(
        default=None, description="The state to reach; or give `action`.", examples=["acknowledged"]
    )
    action: Action | None = Field(default=None, description="What to do; or give `to`.")
    note: Prose | None = Field(default=None, description="For the log.")
    reason: Line | None = Field(default=None, description="Why; needed to reject a case.")
    root_cause: CauseText | None = Field(
        default=None, description="Why it happened: a path from the general to the particular."
    )
    decision: Prose | None = Field(default=None, description="What was offered or decided.")
    merged_into: UUID | None = Field(default=None, description="The case this one repeats; needed for `duplicate`.")
    decision_told: bool = Field(
        strict=True, default=False, description="Whether the customer has been told the decision."
    )
    notice: Words | None = Field(
        default=None,
        description="What the customer was told with this step: kept as a message of the shop, and counts as telling "
        "the decision.",
    )
    notice_channel: Channel | None = Field(
        default=None, description="How they were told; the way the case came in if left out."
    )

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if (self.to is None) == (self.action is None):
            raise PydanticCustomError("one_of", "Give either {expected}", {"expected": "'to' or 'action'"})
        return self


class Step(Wire):
    """A step that the state machine allows."""

    action: Action = Field(description="What to do.")
    to: State = Field(description="The state it leads to.")


class Case(Wire):
    """All of a complaint that its events determine; the same fields as its row."""

    version: Version
    state: State = Field(description="Where the case stands; see `steps` for the ways on.")
    state_changed_at: Instant = Field(description="When it came into this state.")
    kind: Kind = Field(description="Inquiries, requests and praise are handled by the same steps.")
    channel: Channel = Field(description="How it reached the shop.")
    source_ref: str | None = Field(
        description="Its number where it came from; null when it came from nowhere with numbers."
    )
    customer_id: UUID = Field(description="Who complains.")
    order_id: UUID | None = Field(description="The order it is mainly about: the first of `order_ids`.")
    order_ids: list[UUID] = Field(description="All orders it is about, the main one first.")
    products: list[ComplaintProduct] = Field(description="What of the goods it is about: products and batches.")
    severity: Severity = Field(description="S1 is the gravest.")
    safety: bool = Field(description="Whether somebody's health or safety is concerned.")
    category: str | None = Field(description="What it is about: a path from the general to the particular.")
    root_cause: str | None = Field(description="Why it happened, in the same form; null until known.")
    regulator_ref: str | None = Field(description=_REGULATOR_REF)
    subject: str = Field(description="What is wrong, in one line.")
    description: str | None = Field(description="What happened, in full.")
    remedy_sought: str | None = Field(description="What the customer asks for.")
    assignee_id: UUID | None = Field(description="The staff member who handles it; null when nobody does yet.")
    decision: str | None = Field(description="What was last offered or decided.")
    reason: str | None = Field(description="The last reason given for a step.")
    merged_into_id: UUID | None = Field(description="The case this one repeats.")
    merged_from: State | None = Field(description="The state it was merged in, and goes back to when that is undone.")
    reopens_id: UUID | None = Field(description="The case this one takes up again after it could not be reopened.")
    reopened: int = Field(description="How often it was reopened.")
    received_at: Instant = Field(description="When it reached the shop.")
    acknowledged_at: Instant | None = Field(
        description="When the customer was first told that it arrived; null before."
    )
    resolved_at: Instant | None = Field(description="When it was last resolved; null before.")
    decision_told_at: Instant | None = Field(description="When the customer was told the decision.")
    closed_at: Instant | None = Field(description="When it was closed; null before.")


class Complaint(Case):
    """A case and where it stands."""

    id: ResourceId
    open: bool = Field(description="Whether it still waits for its resolution.")
    steps: list[Step] = Field(description="What the state machine allows from here.")
    created_at: CreatedAt
    updated_at: UpdatedAt


class ComplaintEvent(Wire):
    """Something that happened to a complaint; never changed afterwards."""

    id: ResourceId
    complaint_id: UUID = Field(description="The case it belongs to.")
    number: int = Field(description="Counts the complaint's events from 1; its version after this one.")
    at: Instant = Field(description="When it happened.")
    actor_kind: str = Field(description="`key` for an API key, `system` for the service itself.")
    actor_id: UUID = Field(description="The key, or the tenant for the service itself.")
    action: str = Field(description="A transition's action, or `open`, `update` or `tell`.", examples=["acknowledge"])
    from_state: State | None = Field(description="Null for the first event.")
    to_state: State = Field(description="The same as before when only fields changed.")
    note: str | None = Field(description="What was written for the log.")
    data: dict[str, Any] = Field(description="The fields it set.")


# -- what is said about a case -----------------------------------------------------------------------------------------

MessageKind = Literal["message", "note", "step"]
MessageDirection = Literal["in", "out", "internal"]


class ComplaintAttachmentInput(Input):
    """A file that belongs to a message: where it is, never the file itself."""

    url: Address = Field(description="Where it is: an https:// address.")
    name: Line | None = Field(default=None, description="What to call it.", examples=["冰袋.jpg"])
    media_type: (
        Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+$", max_length=100, examples=["image/jpeg"])] | None
    ) = Field(default=None, description="What it is (RFC 6838).")
    bytes: int | None = Field(strict=True, default=None, ge=0, le=MAX_BYTES, description="How large it is.")


class ComplaintAttachment(Wire):
    """A file that belongs to a message."""

    url: str = Field(description="Where it is.")
    name: str | None = Field(description="What to call it.")
    media_type: str | None = Field(description="What it is (RFC 6838); null when not told.")
    bytes: Annotated[int, Field(le=MAX_BYTES)] | None = Field(description="How large it is; null when not told.")


class ComplaintMessageCreate(Input):
    """Something that was said to or by the customer, noted within the shop, or done."""

    model_config = with_examples(
        {
            "direction": "in",
            "channel": "wechat",
            "body": "打开包装有异味，照片如下",
            "attachments": [{"url": "https://files.example.com/a.jpg", "name": "冰袋.jpg", "media_type": "image/jpeg"}],
            "source_ref": "wx:msg:24183",
        },
        {"direction": "out", "channel": "call", "body": "已电话致歉，今天补发", "tells": False},
        {"direction": "internal", "kind": "step", "body": "已向承运商调取温度记录"},
    )

    direction: MessageDirection = Field(
        description="`in` came from the customer, `out` went to them, `internal` stays in the shop."
    )
    kind: MessageKind | None = Field(
        default=None,
        description="What is internal is a `note` (if left out) or a `step`: something that was done. All else is a "
        "`message`.",
    )
    channel: Channel | None = Field(
        default=None, description="How it went; the way the case came in if left out. Nothing for what is internal."
    )
    body: Words | None = Field(
        default=None, description="What was said or done; may be left out when there are attachments."
    )
    attachments: list[ComplaintAttachmentInput] = Field(
        default_factory=list, max_length=MAX_MESSAGE_FILES, description="Files that belong to it; at most 20."
    )
    staff_id: UUID | None = Field(default=None, description="Who of the shop said or did it.")
    interaction_id: UUID | None = Field(
        default=None, description="The call, visit or chat it was part of; gets linked to the case."
    )
    source_ref: Token | None = Field(
        default=None, description="Its number where it came from; the same one twice is one message of the case."
    )
    at: Happened | None = Field(default=None, description="When it was said or done; now when left out.")
    tells: bool = Field(
        strict=True,
        default=False,
        description="Whether this tells the customer the decision: only for what goes `out`, once there is one.",
    )

    @model_validator(mode="after")
    def _something_said(self) -> Self:
        if self.body is None and not self.attachments:
            raise PydanticCustomError("nothing_said", "Give 'body' or 'attachments'")
        return self


class ComplaintMessage(Wire):
    """Something that was said to or by the customer, noted within the shop, or done; never changed afterwards."""

    id: ResourceId
    complaint_id: UUID = Field(description="The case it belongs to; a case also shows those of cases merged into it.")
    kind: MessageKind = Field(description="`message`, or what it is within the shop.")
    direction: MessageDirection = Field(
        description="`in` came from the customer, `out` went to them, `internal` stays in the shop."
    )
    channel: Channel | None = Field(description="How it went; null for what is internal.")
    body: str | None = Field(description="What was said or done; null when only files were sent.")
    attachments: list[ComplaintAttachment] = Field(description="Files that belong to it.")
    staff_id: UUID | None = Field(description="Who of the shop said or did it; null when not told, or the customer.")
    interaction_id: UUID | None = Field(description="The call, visit or chat it was part of.")
    source_ref: str | None = Field(description="Its number where it came from.")
    tells: bool = Field(description="Whether it told the customer the decision.")
    at: Instant = Field(description="When it was said or done.")
    created_at: CreatedAt


# -- cases that go on --------------------------------------------------------------------------------------------------


class ComplaintFollowOn(Input):
    """What is different in the new case; all else is taken from the old one."""

    model_config = with_examples({"subject": "补发的虾再次变质", "channel": "wechat", "severity": "S2"}, {})

    channel: Channel | None = Field(default=None, description="How it reached the shop; as before when left out.")
    source_ref: Token | None = Field(default=None, description="Its number where it came from; unique.")
    severity: Severity | None = Field(default=None, description="S1 is the gravest; as before when left out.")
    subject: Line | None = Field(default=None, description="What is wrong, in one line; as before when left out.")
    description: Prose | None = Field(default=None, description="What happened, in full.")
    remedy_sought: Prose | None = Field(default=None, description="What the customer asks for.")
    assignee_id: UUID | None = Field(default=None, description="The staff member who handles it.")
    received_at: Happened | None = Field(default=None, description="When it reached the shop; now when left out.")
