"""Models of purchases to come: domain models and wire shapes."""

from datetime import date
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Currency, Money

ModelState = Literal["queued", "running", "completed", "refused", "failed"]

DEFAULT_HORIZON = 90
MAX_HORIZON = 1830


class ChurnModelCreate(Input):
    """A model to fit."""

    model_config = with_examples({"calibration_end": "2026-06-30", "horizon_days": 90}, {})

    calibration_end: date | None = Field(
        default=None,
        description="Learn from purchases up to and including this day (in the tenant's zone), and compare with what "
        "came after it. Yesterday when left out: then nothing is held out.",
        examples=["2026-06-30"],
    )
    horizon_days: int = Field(
        strict=True,
        default=DEFAULT_HORIZON,
        ge=1,
        le=MAX_HORIZON,
        description="How many days ahead purchases and their value are expected for each customer.",
    )
    currency: Currency | None = Field(
        default=None, description="Of the values; the one most purchases were made in, if left out."
    )
    apply: bool | None = Field(
        strict=True,
        default=None,
        description="Whether customers' outlooks are made anew from it. Yes when left out, unless it has a "
        "`calibration_end`.",
    )


class ChurnModel(Wire):
    """A BG/NBD model of how often customers buy, and a Gamma-Gamma model of what they spend."""

    id: ResourceId
    state: ModelState = Field(description="`refused`: the data do not allow it, and `refused` says why.")
    calibration_end: date | None = Field(description="Last day learned from; null until the job has begun.")
    horizon_days: int = Field(description="How many days ahead each customer's outlook looks.")
    apply: bool = Field(description="Whether customers' outlooks are made from it.")
    currency: str | None = Field(description="ISO 4217, of the values; null until it is decided, or without any.")
    customers: int | None = Field(description="Customers with a purchase in the calibration.")
    repeat_customers: int | None = Field(description="Those who bought on a second day.")
    params: dict[str, Any] | None = Field(
        description="BG/NBD: `r`, `alpha` (weeks), `a`, `b`.",
        examples=[{"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}],
    )
    log_likelihood: float | None = Field(description="Of the BG/NBD model at its maximum.", examples=[-9582.43])
    spend_params: dict[str, Any] | None = Field(
        description="Gamma-Gamma: `p`, `q`, `gamma` (major units of the currency).",
        examples=[{"p": 6.25, "q": 3.744, "gamma": 15.44}],
    )
    spend_correlation: float | None = Field(
        description="Between how often and how much repeat customers buy; the spend model takes it to be about 0.",
        examples=[0.114],
    )
    spend_refused: dict[str, Any] | None = Field(
        description="Why there is no spend model (`code`, `en`, `zh`); null when there is one.",
        examples=[{"code": "spend_depends_on_frequency", "en": "…", "zh": "…"}],
    )
    holdout: dict[str, Any] | None = Field(
        description="How well it foretold what came after the calibration: `days`, `expected` and `actual` repeat "
        "purchases, `error` (expected over actual, less 1), `mean_absolute_error` per customer, `by_frequency`. Null "
        "when nothing was held out.",
        examples=[{"days": 273, "expected": 1653.4, "actual": 1882, "error": -0.1215, "mean_absolute_error": 0.73}],
    )
    cumulative: dict[str, Any] | None = Field(
        description="Repeat purchases of everybody, added up week by week: `weeks`, `actual`, `expected`, and "
        "`calibration_weeks`.",
        examples=[{"weeks": [1, 2], "actual": [12, 40], "expected": [14.1, 41.0], "calibration_weeks": 39}],
    )
    refused: dict[str, Any] | None = Field(
        description="Why there is no model, and what would help (`code`, `en`, `zh`); null otherwise.",
        examples=[{"code": "too_few_customers", "en": "…", "zh": "…"}],
    )
    error: str | None = Field(description="Why it failed; null otherwise.")
    total: int = Field(description="Outlooks to write.")
    processed: int = Field(description="Outlooks written so far.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class Outlook(Wire):
    """What is expected of a customer, by the last model that was applied."""

    customer_id: UUID = Field(description="Whose.")
    model_id: UUID = Field(description="By which model.")
    repeat_purchases: int = Field(description="Days with a purchase after the first such day (x in the papers).")
    recency_days: int = Field(description="Days from the first to the last purchase (t_x, there in weeks).")
    age_days: int = Field(description="Days from the first purchase to the end of the calibration (T, there in weeks).")
    alive: float = Field(description="Probability of still being a customer, 0–1.", examples=[0.83])
    expected_purchases: float = Field(description="Purchases expected within the model's horizon.", examples=[1.27])
    expected_value: Money | None = Field(description="What they are expected to amount to; null without a spend model.")
