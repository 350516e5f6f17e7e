"""Segments and scores: inputs and wire shapes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import Input, Instant, Wire
from crm_api.core.money import Currency, Money
from crm_api.core.paging import DEFAULT_LIMIT, MAX_LIMIT
from crm_api.core.rules import RuleTree
from crm_api.core.text import Line, Prose

SegmentState = Literal["compiling", "active", "failed", "archived"]
Lifecycle = Literal["prospect", "first_purchase", "repeat", "loyal", "dormant", "lost"]
Grade = Literal["A", "B", "C", "D"]
RunState = Literal["queued", "running", "completed", "failed"]
Cause = Literal["rule", "event", "scoring", "time"]

EXAMPLE_RULE = {
    "all": [
        {"field": "lifecycle", "op": "in", "value": ["repeat", "loyal"]},
        {"aggregate": "count", "of": "orders", "window": {"last_days": 90}, "op": "gte", "value": 3},
    ]
}


class SegmentCreate(Input):
    """A segment by rule."""

    name: Annotated[Line, Field(examples=["Loyal and recent"])]
    description: Prose | None = None
    rule: RuleTree = Field(examples=[EXAMPLE_RULE])


class SegmentUpdate(Input):
    """Fields to change; a new rule evaluates everybody again."""

    name: Line = ""
    description: Prose | None = None
    rule: RuleTree | None = Field(default=None, examples=[EXAMPLE_RULE])
    archived: bool = Field(default=False, description="true stops its upkeep and keeps its members as they are.")


class Preview(Input):
    """A rule to try out; nothing is stored."""

    rule: RuleTree = Field(examples=[EXAMPLE_RULE])


class CustomerSearch(Input):
    """Customers by rule, paged like every list."""

    rule: RuleTree = Field(examples=[EXAMPLE_RULE])
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    after: str | None = Field(default=None, max_length=2000, description="`page.next` of the page before this one.")
    before: str | None = Field(default=None, max_length=2000, description="`page.previous` of the page after this one.")
    count: Literal["exact"] | None = Field(default=None, description="`exact` adds `page.total`.")
    order: str | None = Field(default=None, max_length=64, examples=["newest"])
    fields: list[Annotated[str, Field(max_length=64)]] | None = Field(default=None, min_length=1, max_length=100)


class Segment(Wire):
    """A group of customers, kept by its rule."""

    id: UUID
    name: str
    description: str | None
    rule: dict[str, Any]
    state: SegmentState = Field(description="`compiling` until everybody has been evaluated once.")
    error: str | None = Field(description="Why it failed; the last good members stay.")
    size: int
    evaluated_at: Instant | None
    version: int
    created_at: Instant
    updated_at: Instant


class SegmentLogEntry(Wire):
    """Somebody entered or left."""

    id: UUID
    segment_id: UUID
    customer_id: UUID
    change: Literal["enter", "leave"]
    cause: Cause = Field(description="rule: it was made or changed; event: something happened; scoring; time.")
    at: Instant


class PreviewResult(Wire):
    """What a rule would select now."""

    count: int
    sample: list[dict[str, Any]] = Field(description="Up to 20 customers, the newest.")


class Scores(Wire):
    """What the last scoring run said."""

    lifecycle: Lifecycle
    recency_days: int | None = Field(description="Days from the last purchase to the run; null for prospects.")
    frequency: int = Field(description="Purchases.")
    monetary: Money | None = Field(description="Paid less refunded, in the run's currency.")
    r: int | None = Field(description="Recency quintile, 5 is the most recent.", ge=1, le=5)
    f: int | None = Field(description="Frequency quintile, 5 is the most frequent.", ge=1, le=5)
    m: int | None = Field(description="Monetary quintile, 5 is the highest.", ge=1, le=5)
    grade: Grade | None = Field(description="By share of the whole turnover: A brings the first half.")
    scored_at: Instant


class ScoringRunCreate(Input):
    """A scoring of all customers."""

    as_of: Instant | None = Field(default=None, description="Score as things stood then; now, if left out.")
    currency: Currency | None = Field(
        default=None, description="Of the monetary score; the one most purchases were made in, if left out."
    )


class ScoringRun(Wire):
    """A scoring of all customers: how far it is, and what came out."""

    id: UUID
    state: RunState
    as_of: Instant
    currency: str | None
    total: int = Field(description="Customers to score.")
    processed: int
    thresholds: dict[str, Any] | None = Field(description="The cut points used, for the record.")
    summary: dict[str, Any] | None = Field(
        description="`lifecycle` and `grades`: counts; `rfm`: customers and turnover per (r, f) cell."
    )
    error: str | None
    started_at: Instant | None
    finished_at: Instant | None
    version: int
    created_at: Instant
    updated_at: Instant
