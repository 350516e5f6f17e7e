"""Complaints: domain models and wire shapes."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from crm_api.core.models import Input, Instant, Wire
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

    customer_id: UUID
    kind: Kind = "complaint"
    channel: Channel
    source_ref: Annotated[Token, Field(examples=["taobao:refund:998877"])] | None = Field(
        default=None, description="Its number where it came from; unique, so that one platform case is one case here."
    )
    order_id: UUID | None = None
    severity: Severity = Field(default="S3", description="S1 is the gravest.")
    safety: bool = Field(default=False, description="Whether somebody's health or safety is concerned.")
    category: CauseText | None = None
    root_cause: CauseText | None = None
    subject: Annotated[Line, Field(examples=["收到的虾已变质"])]
    description: Prose | None = None
    remedy_sought: Prose | None = Field(default=None, description="What the customer asks for.")
    assignee_id: UUID | None = Field(default=None, description="The staff member who handles it.")
    received_at: Instant | None = Field(default=None, description="When it reached the shop; now when left out.")


class ComplaintUpdate(Input):
    """Fields to change; a field left out stays, null clears it. The state changes by transitions only."""

    kind: Kind = "complaint"
    order_id: UUID | None = None
    severity: Severity = "S3"
    safety: bool = False
    category: CauseText | None = None
    root_cause: CauseText | None = None
    subject: Line = ""
    description: Prose | None = None
    remedy_sought: Prose | None = None
    assignee_id: UUID | None = None


class ComplaintTransition(Input):
    """A step to take: named by the state it leads to or by its action."""

    to: State | None = Field(
        default=None, description="The state to reach; or give `action`.", examples=["acknowledged"]
    )
    action: Action | None = Field(default=None, description="What to do; or give `to`.")
    note: Prose | None = Field(default=None, description="For the log.")
    reason: Annotated[Line, Field(description="Needed to reject a case.")] | None = None
    root_cause: CauseText | None = None
    decision: Annotated[Prose, Field(description="What was offered or decided.")] | None = None
    merged_into: UUID | None = Field(default=None, description="The case this one repeats; needed for `duplicate`.")
    decision_told: bool = Field(default=False, description="Whether the customer has been told the decision.")

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if (self.to is None) == (self.action is None):
            raise PydanticCustomError("one_of", "Give either 'to' or 'action'")
        return self


class Step(Wire):
    """A step that the state machine allows."""

    action: Action
    to: State


class Case(Wire):
    """All of a complaint that its events determine; the same fields as its row."""

    version: int
    state: State
    state_changed_at: Instant
    kind: Kind
    channel: Channel
    source_ref: str | None
    customer_id: UUID
    order_id: UUID | None
    severity: Severity = Field(description="S1 is the gravest.")
    safety: bool
    category: str | None
    root_cause: str | None
    subject: str
    description: str | None
    remedy_sought: str | None
    assignee_id: UUID | None
    decision: str | None = Field(description="What was last offered or decided.")
    reason: str | None = Field(description="The last reason given for a step.")
    merged_into_id: UUID | None = Field(description="The case this one repeats.")
    reopened: int = Field(description="How often it was reopened.")
    received_at: Instant
    acknowledged_at: Instant | None
    resolved_at: Instant | None
    decision_told_at: Instant | None = Field(description="When the customer was told the decision.")
    closed_at: Instant | None


class Complaint(Case):
    """A case and where it stands."""

    id: UUID
    open: bool = Field(description="Whether it still waits for its resolution.")
    steps: list[Step] = Field(description="What the state machine allows from here.")
    created_at: Instant
    updated_at: Instant


class ComplaintEvent(Wire):
    """Something that happened to a complaint; never changed afterwards."""

    id: UUID
    complaint_id: UUID
    number: int = Field(description="Counts the complaint's events from 1; its version after this one.")
    at: Instant
    actor_kind: str
    actor_id: UUID
    action: str = Field(description="A transition's action, or `open` or `update`.", examples=["acknowledge"])
    from_state: State | None
    to_state: State
    note: str | None
    data: dict[str, Any] = Field(description="The fields it set.")
