"""Spreading customers anew: wire shapes of proposals and what became of them."""

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Caption, Prose
from crm_api.staff.models import StaffIds

RebalancingState = Literal["proposed", "approved", "rejected", "applied", "undone"]
RebalancingCause = Literal["asked", "left"]
MoveState = Literal["planned", "applied", "skipped", "returned", "stayed"]

MAX_MOVES: Final = 10_000
MAX_NAMED: Final = 1_000
_ID = "01981a6e-0000-7000-8000-000000000000"


class RebalancingCreate(Input):
    """Whose customers to spread anew; nothing moves before it is approved and applied."""

    model_config = with_examples({"keep_tags": ["vip"], "keep_active_days": 30}, {"leaving_ids": [_ID]})

    team_id: UUID | None = Field(default=None, description="Members of this team take part.")
    store_id: UUID | None = Field(default=None, description="Staff of this store take part.")
    staff_ids: StaffIds = Field(
        default_factory=list, description="These take part. Neither team, store nor these: all active staff."
    )
    leaving_ids: StaffIds = Field(
        default_factory=list, description="These give all their customers away; inactive staff always do."
    )
    keep_tags: list[Caption] = Field(
        default_factory=list, max_length=50, description="Customers with one of these tags stay with their owner."
    )
    keep_customer_ids: list[UUID] = Field(
        default_factory=list, max_length=MAX_MOVES, description="These customers stay with their owner."
    )
    keep_active_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        strict=True,
        description="Customers whom their owner spoke with in the last so many days stay. Customers of those who leave "
        "go whatever is said.",
    )
    move_customer_ids: list[UUID] = Field(
        default_factory=list,
        max_length=MAX_NAMED,
        description="These customers get another owner whatever the loads and exceptions, before anybody else moves: "
        "neglected ones (`GET /v1/neglected-customers`), for instance. With `max_moves` as many, only they do.",
    )
    max_moves: int = Field(default=1_000, ge=1, le=MAX_MOVES, strict=True, description="At most so many change hands.")
    note: Prose | None = Field(default=None, description="Why; the handover note of all who change hands.")


class Load(Wire):
    """What one member carries."""

    staff_id: UUID = Field(description="Who.")
    customers: int = Field(description="How many customers they look after.")


class Rebalancing(Wire):
    """A proposal to spread customers anew, with the load before and after, and what became of it."""

    id: ResourceId
    state: RebalancingState = Field(description="proposed → approved → applied → undone, or rejected.")
    cause: RebalancingCause = Field(description="`left`: made by itself when somebody with customers became inactive.")
    options: dict[str, Any] = Field(description="What was asked for.", examples=[{"max_moves": 1000}])
    before: list[Load] = Field(description="Loads when it was proposed, of all who take part.")
    after: list[Load] = Field(description="Loads after all planned moves.")
    gini_before: float = Field(description="Gini coefficient of loads per weight of those who stay: 0 is even.")
    gini_after: float = Field(description="The same after all planned moves.")
    planned: int = Field(description="Customers who would change hands.")
    unplaced: int = Field(description="Customers who should, but there is no room, or `max_moves` is reached.")
    kept: int = Field(description="Customers who stay by an exception.")
    moved: int = Field(description="Customers who changed hands when it was applied.")
    skipped: int = Field(
        description="Customers who had another owner by then, or were gone, or whose taker has no room or has left."
    )
    returned: int = Field(description="Customers who went back when it was undone.")
    stayed: int = Field(
        description="Customers who did not: they had another owner by then, were gone, or who had them before has left."
    )
    note: str | None = Field(description="Why; the handover note of all who change hands.")
    decision_note: str | None = Field(description="What was said when it was approved or rejected.")
    decided_by: UUID | None = Field(description="The key that approved or rejected it.")
    decided_at: Instant | None = Field(description="When it was approved or rejected.")
    applied_at: Instant | None = Field(description="When it was applied.")
    undone_at: Instant | None = Field(description="When it was undone.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class RebalancingDecision(Input):
    """A word with a decision."""

    model_config = with_examples({"note": "同意，月底前完成交接"})

    note: Prose | None = Field(default=None, description="Why.")


class RebalancingMove(Wire):
    """One customer of a rebalancing."""

    id: ResourceId
    rebalancing_id: UUID = Field(description="Of which proposal.")
    customer_id: UUID = Field(description="Who changes hands.")
    from_staff_id: UUID = Field(description="Who had them when it was proposed.")
    to_staff_id: UUID = Field(description="Who gets them.")
    state: MoveState = Field(
        description="planned; applied, or `skipped` (had another owner by then, was gone, or `to_staff_id` had no room "
        "or had left); "
        "returned, or `stayed` (had another owner when it was undone, was gone, or `from_staff_id` has left)."
    )
