"""Churn warning: domain models and wire shapes."""

from datetime import date
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Day, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples

Level = Literal["none", "watch", "high", "lost"]
AlertLevel = Literal["watch", "high", "lost"]
Indicator = Literal["purchases", "interactions", "satisfaction", "complaints", "browsing"]
PeerGroup = Literal["all", "purchases", "grade"]
RunState = Literal["queued", "running", "completed", "failed"]
Basis = Literal["own", "peers"]
Missing = Literal["none_recorded", "too_seldom", "too_new", "no_cycle"]

LEVELS: Final[tuple[Level, ...]] = ("none", "watch", "high", "lost")
"""Low to high: a rise goes to the right."""

INDICATORS: Final[tuple[Indicator, ...]] = ("purchases", "interactions", "satisfaction", "complaints", "browsing")

MAX_CUTS: Final = 60

Weight = Annotated[int, Field(ge=0, le=100, strict=True)]
Cycles = Annotated[float, Field(ge=1, le=50, strict=True, allow_inf_nan=False)]

_WEIGHTS: Final = {
    "purchases": "Points that silence far beyond the customer's own cycle gives.",
    "interactions": "Points for the customer no longer calling, writing or coming by.",
    "satisfaction": "Points for ratings that have fallen.",
    "complaints": "Points for more complaints than before.",
    "browsing": "Points for the customer no longer looking around.",
}
_TEXTS: Final = {
    "period_days": "The last so many days are held against the time before them.",
    "baseline_periods": "How many such periods before it are the customer's own past.",
    "quiet_days": "A silence up to this long never counts, however often the customer buys.",
    "overdue_from": "Silence counts from so many of the customer's cycles on.",
    "overdue_full": "Silence counts in full from so many cycles on.",
    "lost_cycles": "After so many cycles of silence a customer is `lost`, whatever the score.",
    "lost_min_days": "…but not before so many days.",
    "watch_score": "Score from which the level is `watch`.",
    "high_score": "Score from which the level is `high`.",
    "margin": "A level is left only when the score has fallen this far below it: no to and fro.",
    "peers": "Whom a customer is compared with: `all`, those with a similar number of `purchases`, or of the same "
    "`grade` (A–D by the last scoring; assessments of the past compare with all: the grade of then is not known).",
    "peer_share": "How much of an indicator depends on peers, 0–1: what most of them show too counts less.",
    "alert_from": "A rise to this level or a higher one sends `churn.alert`.",
}


class ChurnWeights(Wire):
    """How many points each indicator gives at full strength; the score is their sum, at most 100."""

    purchases: int = Field(description=_WEIGHTS["purchases"])
    interactions: int = Field(description=_WEIGHTS["interactions"])
    satisfaction: int = Field(description=_WEIGHTS["satisfaction"])
    complaints: int = Field(description=_WEIGHTS["complaints"])
    browsing: int = Field(description=_WEIGHTS["browsing"])


class ChurnWeightsUpdate(Input):
    """Weights to change; one left out stays."""

    purchases: Weight = Field(default=70, description=_WEIGHTS["purchases"])
    interactions: Weight = Field(default=15, description=_WEIGHTS["interactions"])
    satisfaction: Weight = Field(default=20, description=_WEIGHTS["satisfaction"])
    complaints: Weight = Field(default=20, description=_WEIGHTS["complaints"])
    browsing: Weight = Field(default=15, description=_WEIGHTS["browsing"])


class ChurnSettings(Wire):
    """What makes a customer's level."""

    weights: ChurnWeights = Field(description="Points of each indicator at full strength; 0 leaves it out.")
    period_days: int = Field(description=_TEXTS["period_days"])
    baseline_periods: int = Field(description=_TEXTS["baseline_periods"])
    quiet_days: int = Field(description=_TEXTS["quiet_days"])
    overdue_from: float = Field(description=_TEXTS["overdue_from"])
    overdue_full: float = Field(description=_TEXTS["overdue_full"])
    lost_cycles: float = Field(description=_TEXTS["lost_cycles"])
    lost_min_days: int = Field(description=_TEXTS["lost_min_days"])
    watch_score: int = Field(description=_TEXTS["watch_score"])
    high_score: int = Field(description=_TEXTS["high_score"])
    margin: int = Field(description=_TEXTS["margin"])
    peers: PeerGroup = Field(description=_TEXTS["peers"])
    peer_share: float = Field(description=_TEXTS["peer_share"])
    alert_from: AlertLevel = Field(description=_TEXTS["alert_from"])
    version: Version
    updated_at: UpdatedAt


class ChurnSettingsUpdate(Input):
    """Settings to change; one left out stays. They hold from the next assessment on."""

    model_config = with_examples({"weights": {"browsing": 25}, "watch_score": 30, "high_score": 60})

    weights: ChurnWeightsUpdate = Field(
        default_factory=ChurnWeightsUpdate, description="Points of each indicator at full strength; 0 leaves it out."
    )
    period_days: int = Field(default=60, ge=7, le=365, strict=True, description=_TEXTS["period_days"])
    baseline_periods: int = Field(default=5, ge=1, le=24, strict=True, description=_TEXTS["baseline_periods"])
    quiet_days: int = Field(default=14, ge=0, le=365, strict=True, description=_TEXTS["quiet_days"])
    overdue_from: Cycles = Field(default=1.5, description=_TEXTS["overdue_from"])
    overdue_full: Cycles = Field(default=4.0, description=_TEXTS["overdue_full"])
    lost_cycles: Cycles = Field(default=5.0, description=_TEXTS["lost_cycles"])
    lost_min_days: int = Field(default=90, ge=1, le=3650, strict=True, description=_TEXTS["lost_min_days"])
    watch_score: int = Field(default=30, ge=1, le=100, strict=True, description=_TEXTS["watch_score"])
    high_score: int = Field(default=55, ge=1, le=100, strict=True, description=_TEXTS["high_score"])
    margin: int = Field(default=5, ge=0, le=50, strict=True, description=_TEXTS["margin"])
    peers: PeerGroup = Field(default="all", description=_TEXTS["peers"])
    peer_share: float = Field(
        default=0.25, ge=0, le=1, strict=True, allow_inf_nan=False, description=_TEXTS["peer_share"]
    )
    alert_from: AlertLevel = Field(default="watch", description=_TEXTS["alert_from"])


class ChurnAssessmentCreate(Input):
    """An assessment of all customers."""

    model_config = with_examples({})

    as_of: Instant | None = Field(
        default=None,
        description="Assess as things stood then: only what had happened before it is used. Now when left out; never "
        "before the last assessment, because the log goes forward (back-tests look into the past).",
    )


class ChurnAssessment(Wire):
    """An assessment of all customers."""

    id: ResourceId
    state: RunState = Field(description="Where the job stands; `failed` with the reason in `error`.")
    as_of: Instant = Field(description="Things as they stood then.")
    settings: dict[str, Any] = Field(
        description="The settings it goes by, as they were when it was started.", examples=[{"period_days": 60}]
    )
    settings_version: int = Field(description="Version of these settings.")
    total: int = Field(description="Customers to look at.")
    processed: int = Field(description="Customers looked at so far.")
    assessed: int = Field(description="Those of them who have ever bought, and so have a level.")
    rises: int = Field(description="Customers whose level rose.")
    falls: int = Field(description="Customers whose level fell.")
    alerts: int = Field(description="Alerts sent.")
    levels: dict[str, Any] | None = Field(
        description="Customers by level; null until it is completed.", examples=[{"none": 120, "watch": 7}]
    )
    peers: dict[str, Any] | None = Field(
        description="What customers were compared with: by peer group the usual cycle in days and, for each indicator, "
        "how many customers it was known of and their median; null until the job has begun.",
        examples=[{"all": {"customers": 130, "cycle": 28.0, "indicators": {}}}],
    )
    error: str | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ChurnReason(Wire):
    """What one indicator says of a customer."""

    indicator: Indicator = Field(description="Which.")
    measured: bool = Field(description="false: there are no data, so it does not count; `missing` says why.")
    missing: Missing | None = Field(
        description="`none_recorded`: nothing of the kind is recorded; `too_seldom`: too little before to fall; "
        "`too_new`: known for less than a period before the last one; `no_cycle`: too few purchases to know a cycle."
    )
    value: float | None = Field(
        description="Days since the last purchase; contacts, complaints or days of browsing in the last period; mean "
        "rating of the last period out of 5."
    )
    baseline: float | None = Field(
        description="What is usual: days between purchases; contacts, complaints or days in such a period; mean rating "
        "before."
    )
    basis: Basis | None = Field(description="Whose baseline it is: the customer's own, or the peers' for want of one.")
    period_days: int = Field(description="Length of the last period.")
    strength: float = Field(description="How strongly it speaks for leaving, 0–1, peers considered.")
    weight: int = Field(description="Points at full strength.")
    contribution: float = Field(description="Points it gives to the score.")
    peer_group: str | None = Field(description="Compared with whom: `all` or, say, `grade:B`; null with too few.")
    peers: int | None = Field(description="Number of peers of whom it is known.")
    peer_median: float | None = Field(description="Their median value.")
    peer_percentile: float | None = Field(description="Share of them who show it less, 0–100.")
    en: str = Field(description="In words.", examples=["Last purchase 74 days ago; usually every 21 days"])
    zh: str = Field(description="In Chinese.")


class ChurnState(Wire):
    """How likely a customer is leaving, and why."""

    customer_id: UUID = Field(description="Whose.")
    assessment_id: UUID = Field(description="By which assessment.")
    level: Level = Field(description="`lost` by the length of the silence, the others by the score.")
    score: float = Field(description="0–100: the points of all indicators, at most 100.", examples=[57.1])
    level_since: Instant = Field(description="When the level became what it is.")
    as_of: Instant = Field(description="Things as they stood then.")
    purchases: int = Field(description="Days with a purchase so far.")
    silence_days: int | None = Field(description="Days since the last one; null when all were refunded.")
    cycle_days: float | None = Field(description="Usual days between purchases; null when nobody can tell.")
    alive: float | None = Field(
        description="Probability of still being a customer, 0–1, by the BG/NBD model applied last; null without one."
    )
    reasons: list[ChurnReason] = Field(description="Every indicator, the weightiest first; those without data last.")


class ChurnTransition(Wire):
    """A customer's level changed."""

    id: ResourceId
    customer_id: UUID = Field(description="Whose.")
    assessment_id: UUID = Field(description="By which assessment.")
    from_level: Level = Field(description="Level before; `none` before the first assessment.")
    to_level: Level = Field(description="Level since.")
    score: float = Field(description="Score at the time.")
    alert: bool = Field(description="Whether `churn.alert` was sent.")
    reasons: list[ChurnReason] = Field(description="Why, as it was then.")
    at: Instant = Field(description="When: the assessment's `as_of`.")


class ChurnBacktestCreate(Input):
    """A test of the warnings on the past."""

    model_config = with_examples({"until": "2026-06-30", "cuts": 6, "step_days": 30, "horizon_days": 90}, {})

    until: Day | None = Field(
        default=None,
        description="Last day on which to assess (its beginning, in the tenant's zone). The latest day that leaves a "
        "whole horizon when left out.",
        examples=["2026-06-30"],
    )
    cuts: int = Field(default=6, ge=1, le=MAX_CUTS, strict=True, description="On how many days to assess.")
    step_days: int = Field(default=30, ge=1, le=365, strict=True, description="Days between them.")
    horizon_days: int = Field(
        default=90, ge=7, le=730, strict=True, description="Who buys nothing in so many days after a cut was lost then."
    )


class ChurnBacktest(Wire):
    """A test of the warnings on the past."""

    id: ResourceId
    state: RunState = Field(description="Where the job stands; `failed` with the reason in `error`.")
    until: date = Field(description="Last day on which customers are assessed.")
    cuts: int = Field(description="On how many days.")
    step_days: int = Field(description="Days between them.")
    horizon_days: int = Field(description="How long to look ahead.")
    processed: int = Field(description="Days done.")
    settings_version: int = Field(description="Version of the settings it goes by.")
    result: dict[str, Any] | None = Field(
        description="`total` and one entry of `cuts` for each day with alarms, hits, false alarms, misses and their "
        "rates; `levels`: how many of each level were lost; `lead_days`: how long before the loss the first warning "
        "came. Null until it is completed. docs/domains/churn.md defines each figure.",
        examples=[{"total": {"alarms": 40, "hits": 31, "recall": 0.62, "false_alarm_rate": 0.08}}],
    )
    error: str | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
