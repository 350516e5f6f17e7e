"""Earning rules: inputs and wire shapes."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field
from pydantic.config import JsonDict

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import PositiveMoney
from crm_api.core.rules import RuleTree
from crm_api.core.text import Line, Prose, Slug, Token
from crm_api.orders.models import OrderUpsert

MAX_POINTS: Final = 10**9
MAX_BUDGET: Final = 10**15

Trigger = Literal["order_paid", "order_completed", "event", "sign_up", "birthday", "survey", "referral", "compensation"]
OrderTrigger = Literal["order_paid", "order_completed"]
NamedTrigger = Literal["survey", "referral", "compensation"]
RuleState = Literal["draft", "active", "archived"]
VersionState = Literal["active", "archived"]
FormulaKind = Literal["fixed", "per_unit", "per_item", "percent", "tier_multiplier"]
Share = Literal["extra", "whole"]
Stacking = Literal["exclusive", "additive", "best_of"]
Gives = Literal["both", "spendable", "qualifying"]
CapName = Literal["per_order", "per_day", "per_week", "per_month", "per_life", "budget"]
Outcome = Literal["earned", "not_matched", "nothing", "excluded", "capped"]
Reason = Literal[
    "customer_not_matched",
    "order_not_matched",
    "no_line_matched",
    "event_not_matched",
    "rule_invalid",
    "other_currency",
    "gives_nothing",
    "rounds_to_nothing",
    "exclusive_rule",
    "better_rule",
    "capped",
]


class EarningFormulaInput(Input):
    """How many points."""

    model_config = with_examples({"kind": "per_unit", "points": 1, "per": 1}, {"kind": "fixed", "points": 100})

    kind: FormulaKind = Field(
        description="fixed: `points`; per_unit: `points` for every `per` currency units that count; per_item: `points` "
        "for every piece that counts; percent: `percent` of what the programme's own formula gives for what counts; "
        "tier_multiplier: that times the multiplier of the customer's tier."
    )
    points: int | None = Field(
        default=None, ge=1, le=MAX_POINTS, strict=True, description="Of fixed, per_unit, per_item."
    )
    per: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        strict=True,
        description="Currency units (¥) that `points` are for; 1 if left out.",
    )
    whole_steps: bool | None = Field(
        default=None, strict=True, description="true: only every full `per` counts (满100送10); false if left out."
    )
    percent: int | None = Field(default=None, ge=1, le=10_000, strict=True, description="Of percent: 50 is half of it.")
    share: Share | None = Field(
        default=None,
        description="Of tier_multiplier. extra: only what the multiplier adds (0.5 of ×1.5), beside the own formula; "
        "whole: all of it, in the place of the own formula. extra if left out.",
    )


class EarningCountsInput(Input):
    """Which parts of what was paid count."""

    model_config = with_examples({"shipping": False})

    shipping: bool = Field(default=False, strict=True, description="Whether delivery counts; false if left out.")
    tax: bool = Field(default=True, strict=True, description="Whether the tax told of counts; true if left out.")
    points: bool = Field(
        default=False, strict=True, description="Whether the part paid by points counts; false if left out."
    )
    vouchers: bool = Field(
        default=False, strict=True, description="Whether the part paid by vouchers counts; false if left out."
    )


def _cap(description: str, most: int = MAX_POINTS) -> Any:
    return Field(default=None, ge=0, le=most, strict=True, description=f"{description}; null for no limit.")


class EarningCapsInput(Input):
    """The most that is given; exact also when much happens at once."""

    model_config = with_examples({"per_order": 500, "per_day": 1000, "budget": 1_000_000})

    per_order: int | None = _cap("Points for one order, event or other occasion")
    per_day: int | None = _cap("Points for a customer on a day of the programme's zone")
    per_week: int | None = _cap("Points for a customer from Monday to Sunday")
    per_month: int | None = _cap("Points for a customer in a calendar month")
    per_life: int | None = _cap("Points for a customer ever")
    budget: int | None = _cap("Points for all customers together", MAX_BUDGET)


_RULE_EXAMPLE: JsonDict = {
    "name": "海鲜双倍积分",
    "trigger": "order_paid",
    "customer": {"field": "city", "op": "eq", "value": "上海"},
    "order": {"field": "paid", "op": "gte", "value": {"amount": 10000, "currency": "CNY"}},
    "lines": {"field": "category", "op": "starts_with", "value": "海鲜"},
    "formula": {"kind": "per_unit", "points": 2},
    "stacking": "best_of",
    "caps": {"per_order": 500, "per_month": 2000},
    "keeps_base": True,
    "starts_at": "2026-11-11T00:00:00+08:00",
    "ends_at": "2026-11-12T00:00:00+08:00",
}
_CUSTOMER: Final = "Who earns by it; `GET /v1/rule-fields` lists what it can name. Everybody if left out."
_ORDER: Final = "Which orders, by what a rule can name of one of `orders`; all if left out."
_LINES: Final = (
    "Which lines count, by what a rule can name of one of `orders.lines`: the others earn nothing by this rule; all if "
    "left out."
)
_EVENT: Final = "Which events, by what a rule can name of one of `events`; all of the type if left out."
_TYPE: Final = "Of trigger event: the type of the events."
_STARTS: Final = "From when what happens earns by it; from when it is activated if left out."
_BASE: Final = (
    "For orders. true: it comes beside the programme's own formula; false: while it is in force the own formula gives "
    "nothing, unless no rule replaces it."
)
_STACKING: Final = (
    "exclusive: when it earns, no other rule does; best_of: of those of its group only the one that gives most; "
    "additive: counts beside others."
)


class EarningRuleCreate(Input):
    """What customers get points for."""

    model_config = with_examples(
        _RULE_EXAMPLE,
        {"name": "生日礼", "trigger": "birthday", "formula": {"kind": "fixed", "points": 88}, "draft": False},
    )

    name: Annotated[Line, Field(examples=["海鲜双倍积分"])] = Field(
        description="What staff call it; unique in the tenant."
    )
    description: Prose | None = Field(default=None, description="What it is for.")
    trigger: Trigger = Field(
        description="What it listens to. order_paid, order_completed, event, sign_up and birthday happen here; survey, "
        "referral and compensation are told by `POST /v1/loyalty/earnings`. Cannot be changed."
    )
    event_type: Slug | None = Field(default=None, examples=["share"], description=_TYPE)
    customer: RuleTree | None = Field(default=None, description=_CUSTOMER)
    order: RuleTree | None = Field(default=None, description=_ORDER)
    lines: RuleTree | None = Field(default=None, description=_LINES)
    event: RuleTree | None = Field(default=None, description=_EVENT)
    formula: EarningFormulaInput = Field(description="How many points.")
    gives: Gives = Field(
        default="both", description="Points to spend, points that count for tiers only, or both; both if left out."
    )
    stacking: Stacking = Field(default="additive", description=_STACKING)
    stacking_group: Slug = Field(default="default", description="Best-of rules of one group give way to each other.")
    priority: int = Field(
        default=100, ge=0, le=10_000, strict=True, description="Lower comes first; then the rule that was made first."
    )
    keeps_base: bool = Field(default=False, strict=True, description=_BASE)
    counts: EarningCountsInput = Field(default=EarningCountsInput(), description="Which parts of what was paid count.")
    caps: EarningCapsInput = Field(default=EarningCapsInput(), description="The most that is given.")
    starts_at: Instant | None = Field(default=None, description=_STARTS)
    ends_at: Instant | None = Field(default=None, description="Until when, exclusive; for good if left out.")
    reason: Line | None = Field(
        default=None,
        examples=["双十一双倍积分"],
        description="Shown to the customer with the points; the name if left out.",
    )
    draft: bool = Field(default=True, strict=True, description="false: it is active at once.")


class EarningRuleUpdate(Input):
    """Fields to change; of an active rule they hold for what happens from now on."""

    model_config = with_examples({"priority": 10, "caps": {"per_day": 300}})

    name: Line = Field(default="", description="What staff call it; cannot be cleared.")
    description: Prose | None = Field(default=None, description="What it is for.")
    event_type: Slug | None = Field(default=None, description=_TYPE)
    customer: RuleTree | None = Field(default=None, description=_CUSTOMER)
    order: RuleTree | None = Field(default=None, description=_ORDER)
    lines: RuleTree | None = Field(default=None, description=_LINES)
    event: RuleTree | None = Field(default=None, description=_EVENT)
    formula: EarningFormulaInput = Field(
        default=EarningFormulaInput(kind="fixed", points=1),
        description="How many points, in the place of the old formula.",
    )
    gives: Gives = Field(default="both", description="Points to spend, points that count for tiers only, or both.")
    stacking: Stacking = Field(default="additive", description=_STACKING)
    stacking_group: Slug = Field(default="default", description="Best-of rules of one group give way to each other.")
    priority: int = Field(default=100, ge=0, le=10_000, strict=True, description="Lower comes first.")
    keeps_base: bool = Field(default=False, strict=True, description=_BASE)
    counts: EarningCountsInput = Field(
        default=EarningCountsInput(), description="The switches given change; others stay."
    )
    caps: EarningCapsInput = Field(
        default=EarningCapsInput(), description="The caps given change, null clears one; others stay."
    )
    starts_at: Instant | None = Field(default=None, description=_STARTS)
    ends_at: Instant | None = Field(default=None, description="Until when, exclusive.")
    reason: Line | None = Field(default=None, description="Shown to the customer with the points.")


class EarningLimitsUpdate(EarningCapsInput):
    """Caps to change; null clears one, what is left out stays."""

    model_config = with_examples({"per_day": 2000, "budget": 5_000_000})


class EarningCreate(Input):
    """Something that happened outside, for which customers may earn points."""

    model_config = with_examples(
        {
            "trigger": "survey",
            "customer_id": "01981a6e-0000-7000-8000-000000000001",
            "reference": "nps-2026-11:answer-77",
        }
    )

    trigger: NamedTrigger = Field(description="What happened; rules listen to it by this name.")
    customer_id: UUID = Field(description="Who earns.")
    reference: Annotated[Token, Field(examples=["nps-2026-11:answer-77"])] = Field(
        description="What it is called there; with the trigger it earns once, however often it is told."
    )
    occurred_at: Instant | None = Field(default=None, description="When; now if left out. At most 30 days ago.")
    amount: PositiveMoney | None = Field(
        default=None, description="What per_unit and percent count, such as the price that is made up for."
    )
    reason: Line | None = Field(default=None, description="Shown to the customer instead of the rule's.")


class SimulatedOrder(OrderUpsert):
    """An order as it would be sent to the API."""


class SimulationCreate(Input):
    """An order to try the rules on: one that is stored, or one written out."""

    model_config = with_examples(
        {
            "order": {
                "customer_id": "01981a6e-0000-7000-8000-000000000001",
                "status": "paid",
                "total": {"amount": 25800, "currency": "CNY"},
                "placed_at": "2026-11-11T00:03:20+08:00",
                "lines": [
                    {"title": "青岛大虾 500g", "quantity": 2, "unit_price": {"amount": 12900, "currency": "CNY"}}
                ],
            }
        },
    )

    order_id: UUID | None = Field(default=None, description="A stored order; or send `order`.")
    order: SimulatedOrder | None = Field(default=None, description="An order as it would be sent to the API.")
    platform: Slug = Field(default="manual", description="The platform of a written-out order; `manual` if left out.")
    trigger: OrderTrigger = Field(default="order_paid", description="What would happen to it; paid if left out.")


# -- answers -----------------------------------------------------------------------------------------------------------


class EarningFormula(Wire):
    """How many points."""

    kind: FormulaKind = Field(description="What the points follow from.")
    points: int | None = Field(description="Of fixed, per_unit and per_item; null for others.")
    per: int | None = Field(description="Currency units (¥) that `points` are for; null for 1.")
    whole_steps: bool | None = Field(description="true: only every full `per` counts; null for false.")
    percent: int | None = Field(description="Of percent: 50 is half of what the own formula gives.")
    share: Share | None = Field(description="Of tier_multiplier: what the multiplier adds, or all of it.")


class EarningCounts(Wire):
    """Which parts of what was paid count."""

    shipping: bool = Field(description="Whether delivery counts.")
    tax: bool = Field(description="Whether the tax told of counts.")
    points: bool = Field(description="Whether the part paid by points counts.")
    vouchers: bool = Field(description="Whether the part paid by vouchers counts.")


class EarningCaps(Wire):
    """The most that is given; null for no limit."""

    per_order: int | None = Field(description="Points for one order, event or other occasion.")
    per_day: int | None = Field(description="Points for a customer on a day of the programme's zone.")
    per_week: int | None = Field(description="Points for a customer from Monday to Sunday.")
    per_month: int | None = Field(description="Points for a customer in a calendar month.")
    per_life: int | None = Field(description="Points for a customer ever.")
    budget: int | None = Field(description="Points for all customers together.")


class EarningRule(Wire):
    """What customers get points for."""

    id: ResourceId
    name: str = Field(description="What staff call it.")
    description: str | None = Field(description="What it is for.")
    state: RuleState = Field(
        description="draft: earns nothing yet; active: earns within its validity; archived: earns no more."
    )
    revision: int = Field(description="Of what is published; 0 before it was ever active.", examples=[1])
    trigger: Trigger = Field(description="What it listens to.")
    event_type: str | None = Field(description=_TYPE)
    customer: dict[str, Any] | None = Field(description="Who earns by it; null for everybody.")
    order: dict[str, Any] | None = Field(description="Which orders; null for all.")
    lines: dict[str, Any] | None = Field(description="Which lines count; null for all.")
    event: dict[str, Any] | None = Field(description="Which events; null for all of the type.")
    formula: EarningFormula = Field(description="How many points.")
    gives: Gives = Field(description="Points to spend, points that count for tiers only, or both.")
    stacking: Stacking = Field(description=_STACKING)
    stacking_group: str = Field(description="Best-of rules of one group give way to each other.")
    priority: int = Field(description="Lower comes first.")
    keeps_base: bool = Field(description=_BASE)
    counts: EarningCounts = Field(description="Which parts of what was paid count.")
    caps: EarningCaps = Field(description="The most that is given.")
    budget_used: int = Field(description="Points given so far under the cap `budget`.", examples=[0])
    starts_at: Instant | None = Field(description="From when; null for from its activation.")
    ends_at: Instant | None = Field(description="Until when, exclusive; null for good.")
    reason: str | None = Field(description="Shown to the customer with the points; null for the name.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class EarningRuleVersion(Wire):
    """What a rule said, from one moment until its next version; kept for good."""

    id: ResourceId
    rule_id: UUID = Field(description="The rule.")
    revision: int = Field(description="Counts from 1.", examples=[1])
    state: VersionState = Field(description="archived: it earned nothing from then on.")
    definition: dict[str, Any] = Field(description="The rule's fields as they were.")
    effective_from: Instant = Field(description="It holds for what happened from then on.")


class EarningLimits(Wire):
    """Caps over all rules of the programme together, its own formula too."""

    per_order: int | None = Field(description="Points for one order, event or other occasion; null for no limit.")
    per_day: int | None = Field(description="Points for a customer on a day of the programme's zone.")
    per_week: int | None = Field(description="Points for a customer from Monday to Sunday.")
    per_month: int | None = Field(description="Points for a customer in a calendar month.")
    per_life: int | None = Field(description="Points for a customer ever.")
    budget: int | None = Field(description="Points for all customers together.")
    budget_used: int = Field(description="Points given so far under the cap `budget`.", examples=[0])
    version: Version
    updated_at: UpdatedAt


class CappedBy(Wire):
    """A cap that left less than the formula gave."""

    by: CapName = Field(description="Which cap.")
    scope: Literal["rule", "programme"] = Field(
        description="The rule's own, or the programme's for all rules together."
    )
    limit: int = Field(description="What it allows.")
    used: int = Field(description="How much of it was used before.")


class EarningDecision(Wire):
    """What became of one rule at one occasion."""

    rule_id: UUID | None = Field(description="The rule; null for the programme's own formula.")
    revision: int = Field(description="Which version of it; 0 for the programme's own formula.")
    name: str = Field(description="What staff called it then.")
    outcome: Outcome = Field(
        description="earned, not_matched (a condition failed), nothing (it matched and gives 0), excluded (another "
        "rule stood before it), capped (nothing was left)."
    )
    reason: Reason | None = Field(description="Why, as a code; null when it earned all its formula gives.")
    before_caps: int = Field(description="Points by the formula, rounded.")
    points: int = Field(description="Points to spend that it gave.")
    qualifying: int = Field(description="Points for tiers that it gave.")
    capped_by: list[CappedBy] = Field(description="Caps that left less, in the order they were applied.")
    beaten_by: UUID | None = Field(description="The rule that stood before it.")


class Earning(Wire):
    """What one order, event or other occasion earned, rule by rule."""

    id: ResourceId
    trigger: Trigger = Field(description="What happened.")
    customer_id: UUID = Field(description="Who earned.")
    order_id: UUID | None = Field(description="The order, if it was one.")
    reference: str | None = Field(description="The event's id, the year of a birthday, or what it was called outside.")
    occurred_at: Instant = Field(description="When it happened.")
    points: int = Field(description="Points to spend that were given.", examples=[120])
    qualifying: int = Field(description="Points for tiers that were given.", examples=[120])
    taken_back: int = Field(
        description="Points to spend that refunds took back of order_completed; of order_paid see the ledger's entries."
    )
    decisions: list[EarningDecision] = Field(description="Rule by rule, in the order they were asked.")
    transaction_id: UUID | None = Field(
        description="The ledger's entry with the points; null for none, and for order_paid: find it by the order."
    )
    created_at: CreatedAt


class SimulatedDecision(EarningDecision):
    """What would become of one rule."""

    explanation: list[dict[str, Any]] = Field(
        description="Of a condition that failed, its leaves: each `pointer`, `sentence`, `asked`, `found`, `holds`."
    )
    en: str = Field(description="The decision in words.")
    zh: str = Field(description="The same in Chinese.")


class Simulation(Wire):
    """What an order would earn; nothing is stored."""

    order_id: UUID | None = Field(description="The stored order; null for one that was written out.")
    customer_id: UUID | None = Field(description="Who would earn; null when the order would make a new customer.")
    trigger: OrderTrigger = Field(description="What would happen to the order.")
    at: Instant = Field(description="When it would count: decides which rules hold.")
    points: int = Field(description="Points to spend.", examples=[258])
    qualifying: int = Field(description="Points for tiers.", examples=[258])
    booked: bool = Field(description="true: it has earned already; this is what was decided then.")
    decisions: list[SimulatedDecision] = Field(description="Rule by rule, in the order they are asked.")
