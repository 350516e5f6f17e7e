"""Classifications: inputs and wire shapes."""

from typing import Any, Literal

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Currency, Money

Lifecycle = Literal["prospect", "first_purchase", "repeat", "loyal", "dormant", "lost"]
Grade = Literal["A", "B", "C", "D"]
RunState = Literal["queued", "running", "completed", "failed"]


class Scores(Wire):
    """What the last scoring run said."""

    lifecycle: Lifecycle = Field(description="Where the customer stands between first interest and loss.")
    recency_days: int | None = Field(description="Days from the last purchase to the run; null for prospects.")
    frequency: int = Field(description="Purchases.")
    monetary: Money | None = Field(description="Paid less refunded, in the run's currency.")
    r: int | None = Field(description="Recency quintile, 5 is the most recent.", ge=1, le=5)
    f: int | None = Field(description="Frequency quintile, 5 is the most frequent.", ge=1, le=5)
    m: int | None = Field(description="Monetary quintile, 5 is the highest.", ge=1, le=5)
    grade: Grade | None = Field(description="By share of the whole turnover: A brings the first half.")
    scored_at: Instant = Field(description="When the run was done.")


class ScoringRunCreate(Input):
    """A scoring of all customers."""

    model_config = with_examples({"as_of": "2026-11-01T00:00:00+08:00", "currency": "CNY"}, {})

    as_of: Instant | None = Field(default=None, description="Score as things stood then; now, if left out.")
    currency: Currency | None = Field(
        default=None, description="Of the monetary score; the one most purchases were made in, if left out."
    )


class ScoringRun(Wire):
    """A scoring of all customers: how far it is, and what came out."""

    id: ResourceId
    state: RunState = Field(description="How far it is.")
    as_of: Instant = Field(description="The moment that is scored.")
    currency: str | None = Field(description="ISO 4217, of the monetary score; null until it is decided.")
    total: int = Field(description="Customers to score.")
    processed: int = Field(description="Customers scored so far.")
    thresholds: dict[str, Any] | None = Field(description="The cut points used, for the record.")
    summary: dict[str, Any] | None = Field(
        description="`lifecycle` and `grades`: counts; `rfm`: customers and turnover per (r, f) cell."
    )
    error: str | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
