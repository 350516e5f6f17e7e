"""Classifications: inputs and wire shapes."""

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field, JsonValue
from pydantic.config import JsonDict

from crm_api.classifications.definitions import (
    Dimension,
    IndustryPosition,
    Outlook,
    Period,
    PurchaseIntent,
)
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.moments import Moment
from crm_api.core.money import Currency, Money
from crm_api.core.text import Prose

Lifecycle = Literal["prospect", "first_purchase", "repeat", "loyal", "dormant", "lost"]
Grade = Literal["A", "B", "C", "D"]
RunState = Literal["queued", "running", "completed", "failed"]
RunCause = Literal["asked", "schedule", "edit"]
Cause = Literal["run", "edit", "event", "input", "before"]


class Words(Wire):
    """A text in both languages."""

    en: str = Field(description="English.")
    zh: str = Field(description="Chinese.")


class Scores(Wire):
    """What the last scoring said."""

    lifecycle: Lifecycle = Field(description="Where the customer stands between first interest and loss.")
    recency_days: int | None = Field(description="Days from the last purchase to the scoring; null for prospects.")
    frequency: int = Field(description="Purchases.")
    monetary: Money | None = Field(description="Paid less refunded, in the run's currency.")
    r: int | None = Field(description="Recency score, 5 is the most recent.", ge=1, le=5)
    f: int | None = Field(description="Frequency score, 5 is the most frequent.", ge=1, le=5)
    m: int | None = Field(description="Monetary score, 5 is the highest.", ge=1, le=5)
    grade: Grade | None = Field(description="By share of the whole turnover: A brings the first half.")
    scored_at: Instant = Field(description="The moment that was scored.")


class ScoringRunCreate(Input):
    """A scoring of all customers."""

    model_config = with_examples({"as_of": "2026-11-01T00:00:00+08:00", "currency": "CNY"}, {"period": "2026-10"}, {})

    as_of: Instant | None = Field(default=None, description="Score as things stood then; now, if left out.")
    currency: Currency | None = Field(
        default=None, description="Of RFM and grade; the one most purchases were made in, if left out."
    )
    period: str | None = Field(
        default=None,
        max_length=10,
        examples=["2026-10"],
        description="Keep what the scores were at the end of this month (2026-10), quarter (2026-Q3) or year (2026), "
        "beside the current ones, which stay: `GET /v1/period-scores`.",
    )


class ScoringRun(Wire):
    """A scoring of all customers: how far it is, and what came out."""

    id: ResourceId
    state: RunState = Field(description="How far it is.")
    cause: RunCause = Field(description="asked for; by the nightly schedule; because a definition was edited.")
    as_of: Instant = Field(description="The moment that is scored.")
    period: str | None = Field(description="The period whose scores it keeps; null when it makes the current ones.")
    currency: str | None = Field(description="ISO 4217, of the monetary score; null until it is decided.")
    total: int = Field(description="Customers to score.")
    processed: int = Field(description="Customers scored so far: all at once, in one statement.")
    versions: dict[str, int] | None = Field(
        description="Versions of the definitions used, by dimension.", examples=[{"rfm": 3}]
    )
    thresholds: dict[str, Any] | None = Field(
        description="For the record: `recency`, `frequency`, `monetary` (type-7 quantiles of the scheme `quantile`), "
        "`edges` (where the bands of each begin), `grade_a` to `grade_c` (least turnover of each grade)."
    )
    summary: dict[str, Any] | None = Field(
        description="`classes`: customers by dimension and class; `lifecycle` and `grades` likewise; `rfm`: customers "
        "and turnover per (r, f) cell."
    )
    error: str | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- definitions -------------------------------------------------------------------------------------------------------

EXAMPLE_DEFINITION: JsonDict = {"window_days": 180, "high": 10, "mid": 3}


class NamedClass(Wire):
    """A class and what it is called."""

    code: str = Field(description="What stands in answers and rules.", examples=["A"])
    name: Words = Field(description="What people call it.")


class Classification(Wire):
    """A ready-made classification: its definition, open to view and edit."""

    id: ResourceId
    dimension: Dimension = Field(description="What is classified.")
    title: Words = Field(description="What it is called.")
    classes: list[NamedClass] = Field(description="Its classes, best first.")
    definition: dict[str, Any] = Field(
        description="The thresholds; docs/domains/classifications.md shows the parts of each.",
        examples=[EXAMPLE_DEFINITION],
    )
    contact_limits: dict[str, Any] = Field(
        description="Contacts allowed by class; a class that is not there has no limit.",
        examples=[{"A": {"contacts": 4, "per": "month"}}],
    )
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ClassificationUpdate(Input):
    """Fields to change; everybody is then scored anew by a job."""

    model_config = with_examples(
        {"definition": EXAMPLE_DEFINITION}, {"contact_limits": {"high": {"contacts": 4, "per": "month"}}}
    )

    definition: dict[str, JsonValue] = Field(
        default_factory=dict,
        max_length=50,
        description="Parts of the definition to change; parts left out stay.",
        examples=[EXAMPLE_DEFINITION],
    )
    contact_limits: dict[str, JsonValue] = Field(
        default_factory=dict,
        max_length=200,
        description="By class: `contacts` at most `per` day, week, month, quarter or year of the calendar. Replaces "
        "all limits of the dimension.",
        examples=[{"high": {"contacts": 4, "per": "month"}}],
    )


class ClassificationVersion(Wire):
    """A definition as it was from one edit to the next."""

    id: ResourceId
    dimension: Dimension = Field(description="What is classified.")
    version: int = Field(description="Of the classification.")
    definition: dict[str, Any] = Field(description="The thresholds.", examples=[EXAMPLE_DEFINITION])
    contact_limits: dict[str, Any] = Field(
        description="Contacts allowed by class.", examples=[{"A": {"contacts": 4, "per": "month"}}]
    )
    actor_kind: str = Field(description="`key` or `system`: who made it.")
    actor_id: UUID | None = Field(description="The key that made it.")
    created_at: CreatedAt


# -- customers ---------------------------------------------------------------------------------------------------------


class ClassReason(Wire):
    """Why a customer is in a class."""

    values: dict[str, Any] = Field(description="What decided, as measured.", examples=[{"purchases": 12}])
    thresholds: dict[str, Any] = Field(
        description="What it was held against.", examples=[{"high": 12, "mid": 4, "window_days": 365}]
    )
    en: str = Field(description="In English.", examples=["12 purchases in 365 days; high from 12, mid from 4"])
    zh: str = Field(description="In Chinese.", examples=["近 365 天购买 12 次；高频 ≥ 12，中频 ≥ 4"])


class CustomerClass(Wire):
    """A customer's class in one dimension."""

    dimension: Dimension = Field(description="What is classified.")
    title: Words = Field(description="What the dimension is called.")
    code: str | None = Field(description="The class; null when nothing can be said, such as without a purchase.")
    name: Words | None = Field(description="What the class is called.")
    since: Instant | None = Field(description="When the customer came into it; null if always.")
    version: int = Field(description="Of the definition that stands now.")
    reason: ClassReason = Field(description="Why.")
    policy: Words | None = Field(description="Of a cell of the value × potential grid: what to do.")


class ContactUse(Wire):
    """What a class allows, and what of it is used."""

    dimension: Dimension = Field(description="Whose limit it is.")
    code: str = Field(description="The customer's class there.")
    contacts: int = Field(description="Contacts allowed in the period.")
    per: Period = Field(description="The calendar period, in the tenant's time zone.")
    used: int = Field(description="Outbound interactions in the current period so far.")
    remaining: int = Field(description="Contacts left in it.")
    until: Instant = Field(description="When the period ends.")


class ContactAllowance(Wire):
    """How often a customer may still be contacted."""

    allowed: bool = Field(description="Whether one more contact is within every limit.")
    remaining: int | None = Field(description="Contacts left by the tightest limit; null without any.")
    until: Instant | None = Field(description="Until when that holds; when nothing is left, from when it is allowed.")
    limits: list[ContactUse] = Field(description="Every limit that applies.")


class CustomerClasses(Wire):
    """What a customer is in every dimension, and why."""

    customer_id: UUID = Field(description="Whose.")
    assessed_at: Instant | None = Field(description="When it was last looked at; null before the first time.")
    classes: list[CustomerClass] = Field(description="One for each dimension.")
    contact: ContactAllowance = Field(description="What the classes' contact limits leave.")


class CustomerPotentialSet(Input):
    """What staff think a customer may become; what is left out counts as unknown."""

    model_config = with_examples(
        {"industry_position": "leading", "outlook": "growing", "purchase_intent": "high", "note": "本地最大连锁"},
    )

    industry_position: IndustryPosition | None = Field(default=None, description="Where they stand in their industry.")
    outlook: Outlook | None = Field(default=None, description="Where their business is going.")
    purchase_intent: PurchaseIntent | None = Field(default=None, description="How much they want to buy.")
    note: Prose | None = Field(default=None, description="What it rests on.")
    staff_id: UUID | None = Field(default=None, description="Who judged.")


class CustomerPotential(Wire):
    """What staff think a customer may become: input of the value × potential grid."""

    id: ResourceId
    customer_id: UUID = Field(description="Whose.")
    industry_position: IndustryPosition | None = Field(description="Where they stand in their industry.")
    outlook: Outlook | None = Field(description="Where their business is going.")
    purchase_intent: PurchaseIntent | None = Field(description="How much they want to buy.")
    note: str | None = Field(description="What it rests on.")
    staff_id: UUID | None = Field(description="Who judged.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ClassSet(Wire):
    """A customer's classes at one moment; null where nothing could be said."""

    frequency: str | None = Field(description="Purchase frequency.")
    amount: str | None = Field(description="Amount spent.")
    loyalty: str | None = Field(description="Loyal, regular or lost.")
    value: str | None = Field(description="Frequency × order value.")
    activity: str | None = Field(description="Active, dormant or lost.")
    value_potential: str | None = Field(description="Cell of the value × potential grid.")
    grade: str | None = Field(description="A, B, C or D by share of turnover.")
    rfm: str | None = Field(description="RFM group.")
    lifecycle: str | None = Field(description="From prospect to lost.")


class ClassLogEntry(Wire):
    """A moment at which classes of a customer changed."""

    id: ResourceId
    customer_id: UUID = Field(description="Whose.")
    at: Instant = Field(description="When.")
    cause: Cause = Field(
        description="run: asked for or nightly; edit: a definition was changed; event: a purchase, a merge; input: "
        "staff judged the potential; before: from the log of an older version."
    )
    run_id: UUID | None = Field(description="The run, which names the versions of the definitions.")
    changed: list[str] = Field(description="The dimensions that changed.", examples=[["grade", "rfm"]])
    before: ClassSet | None = Field(description="All classes until then; null at the first time.")
    after: ClassSet = Field(description="All classes from then on.")


class PeriodScore(Wire):
    """What a customer's scores and classes were at the end of a period."""

    id: ResourceId
    period: str = Field(description="2026-10, 2026-Q3 or 2026.", examples=["2026-10"])
    customer_id: UUID = Field(description="Whose.")
    run_id: UUID = Field(description="The run that computed it.")
    silent_days: int | None = Field(description="Days from the last purchase to the end of the period.")
    frequency: int = Field(description="Purchases in the window of RFM.")
    monetary: Money | None = Field(description="Paid less refunded in that window.")
    r: int | None = Field(description="Recency score, 5 is the most recent.", ge=1, le=5)
    f: int | None = Field(description="Frequency score, 5 is the most frequent.", ge=1, le=5)
    m: int | None = Field(description="Monetary score, 5 is the highest.", ge=1, le=5)
    classes: ClassSet = Field(description="The class in every dimension.")


# -- transitions -------------------------------------------------------------------------------------------------------

TransitionsBasis = Literal["record", "orders"]
BASIS_ASKED: Final = (
    "`record`: what the log says of then. `orders`: reckoned from the orders of then by today's definitions. If left "
    "out, the log, or the orders when the earlier moment lies before the log's first entry."
)


class TransitionsAsked(Input):
    """Between which moments."""

    dimension: Dimension = Field(default="lifecycle", description="Whose classes.")
    from_at: Moment | None = Field(
        default=None,
        description="A day, meaning its beginning in the tenant's zone, or an RFC 3339 time; 30 days before the later "
        "one, if left out.",
    )
    to_at: Moment | None = Field(
        default=None, description="The later day or time; now, if left out.", examples=["2026-11-01"]
    )
    basis: TransitionsBasis | None = Field(default=None, description=BASIS_ASKED)


class TransitionCell(Wire):
    """Customers who were in one class and are in another."""

    from_class: str = Field(description="The class at the first moment; `none` without one.", examples=["B"])
    to_class: str = Field(description="The class at the second moment; `none` without one.", examples=["A"])
    customers: int = Field(description="How many.")
    share: float = Field(description="Of those who were in the first class.", examples=[0.12])


class Transitions(Wire):
    """How customers moved between the classes of a dimension: the conversion matrix."""

    dimension: Dimension = Field(description="Whose classes.")
    basis: TransitionsBasis = Field(description="By the log (`record`), or by the orders of then (`orders`).")
    from_at: Instant = Field(description="The first moment.")
    to_at: Instant = Field(description="The second moment.")
    customers: int = Field(description="All customers there are now; the cells add up to it.")
    classes: list[str] = Field(description="Every class in the matrix, best first, `none` last.")
    cells: list[TransitionCell] = Field(description="Only cells with somebody in it, in the order of the classes.")
