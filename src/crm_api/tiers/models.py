"""Tiers: inputs and wire shapes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Currency
from crm_api.core.text import Line

Metric = Literal["qualifying_points", "net_spend", "paid_orders", "visits"]
Window = Literal["rolling", "calendar", "anniversary", "lifetime"]
AtExpiry = Literal["one_down", "to_qualified", "real_time"]
Mode = Literal["at_least", "exactly"]
Cause = Literal["activity", "time", "rules", "override"]
MAX_TIERS = 20
MAX_THRESHOLD = 10**15

RunState = Literal["queued", "running", "completed", "failed"]
LogCause = Literal["activity", "time", "rules", "override", "merge", "replay"]
Code = Annotated[
    str,
    StringConstraints(pattern="^[a-z][a-z0-9_-]{0,39}$"),
    Field(examples=["gold"], description="Your short name: what rules, messages and other programs know it by."),
]
Moment = Annotated[str, Field(max_length=40, examples=["2026-10-01"])]

_GOLD: dict[str, Any] = {
    "code": "gold",
    "name": {"en": "Gold", "zh": "金卡"},
    "threshold": 500000,
    "multiplier": 1.5,
    "benefits": [{"code": "free_shipping", "name": {"en": "Free shipping", "zh": "包邮"}}],
}
_SILVER: dict[str, Any] = {"code": "silver", "name": {"en": "Silver", "zh": "银卡"}, "threshold": 100000}
_RULES: dict[str, Any] = {
    "metric": "net_spend",
    "currency": "CNY",
    "window": "rolling",
    "window_months": 12,
    "tiers": [_SILVER, _GOLD],
}


# -- what is sent ------------------------------------------------------------------------------------------------------


class TierNameInput(Input):
    """A name in both languages."""

    en: Line = Field(description="In English.", examples=["Gold"])
    zh: Line = Field(description="In Chinese.", examples=["金卡"])


class TierBenefitInput(Input):
    """Something a tier brings, to be shown."""

    code: Code
    name: TierNameInput = Field(description="What to show.")
    description: TierNameInput | None = Field(default=None, description="More about it.")


class TierInput(Input):
    """One tier."""

    code: Code
    name: TierNameInput = Field(description="What to show.")
    threshold: int = Field(
        ge=0,
        le=MAX_THRESHOLD,
        strict=True,
        examples=[500000],
        description="What the metric must reach: points, minor units of the currency, orders, or days with a visit. "
        "0 for the lowest tier: everybody has it.",
    )
    multiplier: float = Field(
        default=1,
        ge=0,
        le=100,
        strict=True,
        allow_inf_nan=False,
        description="How many times the usual points purchases earn.",
        examples=[1.5],
    )
    benefits: list[TierBenefitInput] = Field(
        default=[], max_length=50, description="What the tier brings, in the order to show it."
    )


class TierRulesInput(Input):
    """What makes a tier."""

    model_config = with_examples(_RULES)

    metric: Metric = Field(
        description="qualifying_points (less those taken back), net_spend (paid less refunded, in one currency), "
        "paid_orders (those not refunded in full), visits (days with a purchase, or with an inbound contact "
        "`in_store`)."
    )
    window: Window = Field(
        description="rolling: the last `window_months`; calendar: periods of the year; anniversary: years, or so, from "
        "the day the customer joined; lifetime: everything."
    )
    tiers: list[TierInput] = Field(
        min_length=1, max_length=MAX_TIERS, description="Lowest first; thresholds must rise from one to the next."
    )
    currency: Currency | None = Field(
        default=None,
        description="For net_spend: which currency counts; the programme's own, else the shop's, if left out.",
    )
    window_months: int = Field(
        default=12, ge=1, le=120, strict=True, description="Length of the window; for calendar 1, 2, 3, 4, 6 or 12."
    )
    start_month: int = Field(
        default=1, ge=1, le=12, strict=True, description="For calendar: the month the year of the shop begins with."
    )
    at_expiry: AtExpiry = Field(
        default="to_qualified",
        description="When a term is over and the tier was not reached again: one_down, to_qualified (what the metric "
        "says), or real_time: no terms, the tier follows the metric down at once (or after the grace).",
    )
    valid_months: int = Field(
        default=12, ge=1, le=120, strict=True, description="Rolling window: how long a tier lasts once reached."
    )
    valid_periods: int = Field(
        default=1,
        ge=1,
        le=10,
        strict=True,
        description="Calendar and anniversary: how many whole periods a tier lasts after the one it was reached in.",
    )
    grace_days: int = Field(
        default=0, ge=0, le=365, strict=True, description="How long a tier is kept after it should have fallen."
    )
    notice_days: int = Field(
        default=30,
        ge=0,
        le=365,
        strict=True,
        description="How long before a fall `tier.will_downgrade` is sent; 0 for never.",
    )


class TierRulesPatch(TierRulesInput):
    """The rules to change; the others stay. Tiers are replaced as a whole."""

    model_config = with_examples({"grace_days": 30})

    metric: Metric = Field(default="net_spend", description="What is counted.")
    window: Window = Field(default="rolling", description="Over which time.")
    tiers: list[TierInput] = Field(
        default=[], min_length=1, max_length=MAX_TIERS, description="All tiers there shall be, lowest first."
    )


class TierSchemeCreate(Input):
    """A tier scheme for a loyalty programme."""

    model_config = with_examples({"name": "会员等级", "rules": _RULES})

    name: Line = Field(description="For staff.", examples=["会员等级"])
    programme_id: UUID | None = Field(
        default=None, description="The loyalty programme; the shop's default one, if left out. Each has one scheme."
    )
    rules: TierRulesInput = Field(description="What makes a tier.")


class TierSchemeUpdate(Input):
    """What to change of a scheme."""

    model_config = with_examples({"rules": {"grace_days": 30}}, {"name": "会员等级 2027"})

    name: Line = Field(default="", description="For staff.", examples=["会员等级"])
    rules: TierRulesPatch | None = Field(
        default=None, description="The rules to change; the others stay. Tiers are replaced as a whole."
    )
    apply: Literal["from_now", "from_the_start"] = Field(
        default="from_now",
        description="from_now: who holds a tier keeps it to the end of its term. from_the_start: as if the rules had "
        "always been so, which may take tiers away at once.",
    )


class TierOverrideCreate(Input):
    """A tier given by hand, until a day that must be named."""

    model_config = with_examples({"tier": "gold", "ends_at": "2027-12-31T16:00:00+00:00", "reason": "投诉补偿"})

    tier: Code
    mode: Mode = Field(
        default="at_least",
        description="at_least: a better tier that is earned counts all the same. exactly: this one whatever is earned.",
    )
    starts_at: Instant | None = Field(default=None, description="From when on; now, if left out. Not in the past.")
    ends_at: Instant = Field(description="Until before when. The earned tier counts again from then on.")
    programme_id: UUID | None = Field(
        default=None, description="The loyalty programme; the shop's default one, if left out."
    )
    reason: Line | None = Field(default=None, description="For the record.", examples=["投诉补偿"])


class TierReplayCreate(Input):
    """Whose tiers to work out anew."""

    model_config = with_examples({})

    scheme_id: UUID | None = Field(
        default=None, description="The scheme; that of the shop's default programme, if left out."
    )


# -- what is answered --------------------------------------------------------------------------------------------------


class TierName(Wire):
    """A name in both languages."""

    en: str = Field(description="In English.", examples=["Gold"])
    zh: str = Field(description="In Chinese.", examples=["金卡"])


class TierBenefit(Wire):
    """Something a tier brings, to be shown."""

    code: str = Field(description="Your short name of it.", examples=["free_shipping"])
    name: TierName = Field(description="What to show.")
    description: TierName | None = Field(description="More about it.")


class TierDefinition(Wire):
    """One tier of a scheme."""

    level: int = Field(description="1 is the lowest.", examples=[2])
    code: str = Field(description="Your short name of it.", examples=["gold"])
    name: TierName = Field(description="What to show.")
    threshold: int = Field(description="What the metric must reach; minor units of money.", examples=[500000])
    multiplier: float = Field(description="How many times the usual points purchases earn.", examples=[1.5])
    benefits: list[TierBenefit] = Field(description="What it brings, in the order to show it.")


class TierRules(Wire):
    """What makes a tier."""

    metric: Metric = Field(description="What is counted.")
    window: Window = Field(description="Over which time.")
    tiers: list[TierDefinition] = Field(description="Lowest first.")
    currency: str | None = Field(description="Of net_spend; null for other metrics.", examples=["CNY"])
    window_months: int = Field(description="Length of the window; lifetime windows have no use for it.")
    start_month: int = Field(description="The month calendar periods begin with.")
    at_expiry: AtExpiry = Field(description="What becomes of a tier that was not reached again.")
    valid_months: int = Field(description="Rolling window: how long a tier lasts.")
    valid_periods: int = Field(description="Other windows: whole periods it lasts after the one it was reached in.")
    grace_days: int = Field(description="How long a tier is kept after it should have fallen.")
    notice_days: int = Field(description="How long before a fall `tier.will_downgrade` is sent.")


class TierScheme(Wire):
    """The tiers of a loyalty programme and what makes them."""

    id: ResourceId
    programme_id: UUID = Field(description="The loyalty programme.")
    name: str = Field(description="For staff.", examples=["会员等级"])
    rules: TierRules = Field(description="What makes a tier.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class TierStanding(Wire):
    """A customer's tier."""

    customer_id: UUID = Field(description="Whose.")
    scheme_id: UUID = Field(description="By which scheme.")
    level: int = Field(description="1 is the lowest tier; 0 for none.", examples=[2])
    code: str | None = Field(description="The tier; null for none.", examples=["gold"])
    name: TierName | None = Field(description="What to show.")
    multiplier: float = Field(description="How many times the usual points purchases earn; 1 without a tier.")
    benefits: list[TierBenefit] = Field(description="What the tier brings, in the order to show it.")
    since: Instant | None = Field(description="When it was entered.")
    until: Instant | None = Field(description="When its term ends, or the override that gives it; null for no end.")
    grace_until: Instant | None = Field(description="Its term is over and it is kept until then.")
    override_id: UUID | None = Field(description="The override that gives it.")


class TierTransition(Wire):
    """A customer's tier changed."""

    id: ResourceId
    customer_id: UUID = Field(description="Whose.")
    scheme_id: UUID = Field(description="By which scheme.")
    from_level: int = Field(description="0 for none.", examples=[1])
    from_code: str | None = Field(description="The tier before; null for none.", examples=["silver"])
    to_level: int = Field(description="0 for none.", examples=[2])
    to_code: str | None = Field(description="The tier since; null for none.", examples=["gold"])
    cause: LogCause = Field(
        description="activity (purchases, refunds, points, visits), time (a term or window ended), rules (they were "
        "changed), override (a tier was given by hand, or no more), merge, replay (it was worked out anew)."
    )
    at: Instant = Field(description="When it was found out and told.")


class TierOverride(Wire):
    """A tier given by hand."""

    id: ResourceId
    customer_id: UUID = Field(description="To whom.")
    scheme_id: UUID = Field(description="Of which scheme.")
    tier: str = Field(description="Which tier.", examples=["gold"])
    mode: Mode = Field(description="Whether a better tier that is earned counts.")
    starts_at: Instant = Field(description="From when on.")
    ends_at: Instant = Field(description="Until before when.")
    reason: str | None = Field(description="For the record.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class TierReplay(Wire):
    """Everybody's tier, worked out anew."""

    id: ResourceId
    scheme_id: UUID = Field(description="By which scheme.")
    state: RunState = Field(description="How far it is.")
    cause: Literal["rules", "replay"] = Field(description="rules: they are new; replay: somebody asked for it.")
    total: int = Field(description="Customers when it began.")
    processed: int = Field(description="Customers looked at.")
    moved: int = Field(
        description="Of those, whose tier was another. 0 when nothing but a replay was asked for: anything else is a "
        "fault of ours."
    )
    error: str | None = Field(description="Why it failed.")
    started_at: Instant | None = Field(description="When a worker began.")
    finished_at: Instant | None = Field(description="When it ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class NextTier(Wire):
    """What is missing for the next tier."""

    level: int = Field(description="Of the next tier.", examples=[2])
    code: str = Field(description="The next tier.", examples=["gold"])
    name: TierName = Field(description="What to show.")
    threshold: int = Field(description="What the metric must reach.", examples=[500000])
    missing: int = Field(description="How much is missing: points, minor units, orders or days.", examples=[120000])
    share: float = Field(description="How much of the threshold is there, 0 to 1.", examples=[0.76])


class TierFall(Wire):
    """What will become of the tier if nothing happens."""

    at: Instant = Field(description="When it falls.")
    to_level: int = Field(description="To which; 0 for none.", examples=[1])
    to_code: str | None = Field(description="To which; null for none.", examples=["silver"])


class TierProgress(Wire):
    """Where a customer stands, worked out this moment."""

    customer_id: UUID = Field(description="Whose.")
    scheme_id: UUID = Field(description="By which scheme.")
    programme_id: UUID = Field(description="Of which loyalty programme.")
    level: int = Field(description="1 is the lowest tier; 0 for none.", examples=[1])
    code: str | None = Field(description="The tier; null for none.", examples=["silver"])
    name: TierName | None = Field(description="What to show.")
    multiplier: float = Field(description="How many times the usual points purchases earn; 1 without a tier.")
    benefits: list[TierBenefit] = Field(description="What the tier brings, in the order to show it.")
    earned_level: int = Field(description="The level without any override.", examples=[1])
    metric: Metric = Field(description="What is counted.")
    currency: str | None = Field(description="Of net_spend.", examples=["CNY"])
    value: int = Field(description="The metric in the window of this moment.", examples=[380000])
    since: Instant | None = Field(description="When the tier was entered.")
    until: Instant | None = Field(description="When its term ends, or the override that gives it; null for no end.")
    grace_until: Instant | None = Field(description="Its term is over and it is kept until then.")
    override_id: UUID | None = Field(description="The override that gives it.")
    next: NextTier | None = Field(description="The next tier and what is missing; null for who has the highest.")
    will_fall: TierFall | None = Field(description="What will become of it if nothing happens; null if it stays.")


class TierStep(Wire):
    """One change of tier, as a replay of all that is known today gives it."""

    at: Instant = Field(description="When it took place.")
    from_level: int = Field(description="0 for none.", examples=[0])
    from_code: str | None = Field(description="The tier before.", examples=[None])
    to_level: int = Field(description="0 for none.", examples=[1])
    to_code: str | None = Field(description="The tier since.", examples=["silver"])
    cause: Cause = Field(description="What made it so.")


class TierHistory(Wire):
    """How a customer's tier came about by all that is known today."""

    customer_id: UUID = Field(description="Whose.")
    scheme_id: UUID = Field(description="By which scheme.")
    as_of: Instant = Field(description="Up to when.")
    level: int = Field(description="The level then.", examples=[1])
    code: str | None = Field(description="The tier then.", examples=["silver"])
    steps: list[TierStep] = Field(description="Every change, oldest first.")
