"""Complaints: domain models and wire shapes."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line, Prose, Token

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
    order_id: UUID | None = Field(default=None, description="The order it is about.")
    severity: Severity = Field(default="S3", description="S1 is the gravest.")
    safety: bool = Field(strict=True, default=False, description="Whether somebody's health or safety is concerned.")
    category: CauseText | None = Field(
        default=None, description="What it is about: a path from the general to the particular."
    )
    root_cause: CauseText | None = Field(
        default=None, description="Why it happened, in the same form; often known only later."
    )
    subject: Annotated[Line, Field(examples=["收到的虾已变质"])] = Field(description="What is wrong, in one line.")
    description: Prose | None = Field(default=None, description="What happened, in full.")
    remedy_sought: Prose | None = Field(default=None, description="What the customer asks for.")
    assignee_id: UUID | None = Field(default=None, description="The staff member who handles it.")
    received_at: Instant | None = Field(default=None, description="When it reached the shop; now when left out.")


class ComplaintUpdate(Input):
    """Fields to change; a field left out stays, null clears it. The state changes by transitions only."""

    model_config = with_examples({"severity": "S1", "root_cause": "logistics/cold_chain/ice_pack", "assignee_id": None})

    kind: Kind = Field(default="complaint", description="Inquiries, requests and praise are handled by the same steps.")
    order_id: UUID | None = Field(default=None, description="The order it is about.")
    severity: Severity = Field(default="S3", description="S1 is the gravest.")
    safety: bool = Field(strict=True, default=False, description="Whether somebody's health or safety is concerned.")
    category: CauseText | None = Field(
        default=None, description="What it is about: a path from the general to the particular."
    )
    root_cause: CauseText | None = Field(
        default=None, description="Why it happened: a path from the general to the particular."
    )
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
    reason: Line | None = Field(default=None, description="Needed to reject a case.")
    root_cause: CauseText | None = Field(
        default=None, description="Why it happened: a path from the general to the particular."
    )
    decision: Prose | None = Field(default=None, description="What was offered or decided.")
    merged_into: UUID | None = Field(default=None, description="The case this one repeats; needed for `duplicate`.")
    decision_told: bool = Field(
        strict=True, default=False, description="Whether the customer has been told the decision."
    )

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if (self.to is None) == (self.action is None):
            raise PydanticCustomError("one_of", "Give either 'to' or 'action'")
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
    order_id: UUID | None = Field(description="The order it is about.")
    severity: Severity = Field(description="S1 is the gravest.")
    safety: bool = Field(description="Whether somebody's health or safety is concerned.")
    category: str | None = Field(description="What it is about: a path from the general to the particular.")
    root_cause: str | None = Field(description="Why it happened, in the same form; null until known.")
    subject: str = Field(description="What is wrong, in one line.")
    description: str | None = Field(description="What happened, in full.")
    remedy_sought: str | None = Field(description="What the customer asks for.")
    assignee_id: UUID | None = Field(description="The staff member who handles it; null when nobody does yet.")
    decision: str | None = Field(description="What was last offered or decided.")
    reason: str | None = Field(description="The last reason given for a step.")
    merged_into_id: UUID | None = Field(description="The case this one repeats.")
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
    action: str = Field(description="A transition's action, or `open` or `update`.", examples=["acknowledge"])
    from_state: State | None = Field(description="Null for the first event.")
    to_state: State = Field(description="The same as before when only fields changed.")
    note: str | None = Field(description="What was written for the log.")
    data: dict[str, Any] = Field(description="The fields it set.")
