"""The arithmetic of earning rules: pure, no I/O, exact until the one rounding at the end of each rule.

One *occasion* (an order that was paid, a birthday) is put to all rules in force at its moment::

    matched?   formula          stacking                 caps
    customer   points, exact →  exclusive | best of |  → order, customer per day/week/month/life, budget
    order      then rounded     additive
    lines

Every rule leaves a `Decision` that says what became of it, so that the sum can be read line by line.

Amounts are minor units (fen); rates and shares are `Fraction`, so that 1 point per 3 yuan is exact. Points are counted
in their smallest parts, as everywhere in the ledger.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision

from crm_api.earning.models import (
    MAX_POINTS,
    CapName,
    Gives,
    Outcome,
    Reason,
    Stacking,
    Trigger,
)
from crm_api.loyalty.service import MAX_GRANT

ORDER_TRIGGERS: Final = frozenset[Trigger]({"order_paid", "order_completed"})
NAMED_TRIGGERS: Final = frozenset[Trigger]({"survey", "referral", "compensation"})
"""Triggers that come from outside, by name and reference: no domain here tells of them yet."""

PERIODS: Final[Mapping[CapName, str]] = {
    "per_day": "day",
    "per_week": "week",
    "per_month": "month",
    "per_life": "life",
}
"""Caps on what one customer gets within a period of the programme's calendar."""


# -- what rules say ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Formula:
    """How many points; see `models.EarningFormula` for what each kind reads."""

    kind: str
    points: int = 0
    per: int = 1
    whole_steps: bool = False
    percent: int = 0
    share: str = "extra"


@dataclass(frozen=True, slots=True)
class Counts:
    """Which parts of what was paid count."""

    shipping: bool = False
    tax: bool = True
    points: bool = False
    vouchers: bool = False


Caps = Mapping[CapName, int]


@dataclass(frozen=True, slots=True)
class Terms:
    """One version of a rule, or the programme's own formula (``rule_id`` None).

    Attributes:
        starts_at: first moment it holds for, inclusive; None for no limit.
        ends_at: end of its validity, exclusive.

    """

    rule_id: UUID | None
    revision: int
    name: str
    trigger: Trigger
    formula: Formula
    event_type: str | None = None
    priority: int = 100
    stacking: Stacking = "additive"
    stacking_group: str = "default"
    gives: Gives = "both"
    keeps_base: bool = False
    counts: Counts = Counts()
    caps: Caps = field(default_factory=dict)
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    customer_rule: Any = None
    order_rule: Any = None
    lines_rule: Any = None
    event_rule: Any = None
    reason: str | None = None

    @property
    def turn(self) -> tuple[int, str]:
        """Return its place: by priority, the first-made rule before later ones (ids grow with time)."""
        return (self.priority, str(self.rule_id or ""))

    def holds_at(self, moment: datetime) -> bool:
        """Tell whether a moment lies in ``[starts_at, ends_at)``."""
        return (self.starts_at is None or self.starts_at <= moment) and (self.ends_at is None or moment < self.ends_at)


@dataclass(frozen=True, slots=True)
class Version:
    """A published version of a rule: holds from ``effective_from`` until the next one of the same rule."""

    terms: Terms
    state: Literal["active", "archived"]
    effective_from: datetime


def in_force(versions: Iterable[Version], moment: datetime) -> list[Terms]:
    """Return the rules that hold for what happened at a moment, in their turn.

    A version holds from when it was published: what happened before a change earns by what was said then.
    """
    latest: dict[UUID | None, Version] = {}
    for each in sorted(versions, key=lambda version: version.terms.revision):
        if each.effective_from <= moment:
            latest[each.terms.rule_id] = each
    holding = (each.terms for each in latest.values() if each.state == "active")
    return sorted((terms for terms in holding if terms.holds_at(moment)), key=lambda terms: terms.turn)


# -- what happened -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Matched:
    """What a rule's conditions found.

    Attributes:
        failed: the condition that did not hold: ``customer``, ``order``, ``lines`` or ``event``, or ``rule`` when a
            condition names what is no more; None when all did.
        amount: what the lines that count cost, in minor units; None when the rule does not choose lines.
        quantity: pieces of the lines that count.

    """

    failed: str | None = None
    amount: int | None = None
    quantity: int = 0


@dataclass(frozen=True, slots=True)
class Occasion:
    """What points may be earned for.

    Attributes:
        at: when it happened: decides which rules hold and which day, week and month it falls into.
        paid: money, minor units; 0 where there is none.
        shipping: part of ``paid`` that is delivery; likewise ``tax``, ``by_points``, ``by_vouchers``.
        lines_amount: what all lines cost together.
        multiplier: of the customer's tier; 1 without one.

    """

    customer_id: UUID
    at: datetime
    currency: str | None = None
    paid: int = 0
    shipping: int = 0
    tax: int = 0
    by_points: int = 0
    by_vouchers: int = 0
    lines_amount: int = 0
    multiplier: Fraction = Fraction(1)

    def counted(self, counts: Counts) -> int:
        """Return what of the payment counts, in minor units; never negative."""
        left = self.paid
        left -= 0 if counts.shipping else self.shipping
        left -= 0 if counts.tax else self.tax
        left -= 0 if counts.points else self.by_points
        left -= 0 if counts.vouchers else self.by_vouchers
        return max(0, left)


@dataclass(frozen=True, slots=True)
class Base:
    """The programme's own formula, and its calendar.

    Attributes:
        currency: what amounts must be in; None counts every currency unit for unit.
        points_per_unit: points for one currency unit (¥1).
        rounding: ``floor``, ``half_up`` or ``ceiling``; of every rule too.

    """

    currency: str | None
    points_per_unit: Fraction
    rounding: str
    zone: ZoneInfo

    def rounded(self, points: Fraction) -> int:
        """Return whole points, at most what one grant can give: as without rules."""
        return min(_ROUND[self.rounding](points), MAX_GRANT)


def _half_up(points: Fraction) -> int:
    return floor(points + Fraction(1, 2))


_ROUND: Final[Mapping[str, Callable[[Fraction], int]]] = {"floor": floor, "ceiling": ceil, "half_up": _half_up}


# -- formulae ----------------------------------------------------------------------------------------------------------


def eligible(terms: Terms, occasion: Occasion, matched: Matched) -> Fraction:
    """Return the amount a rule counts, in currency units.

    Lines chosen by a rule count with their share of what the lines cost: a discount on the whole order lowers them
    alike. Delivery belongs to no line, so it never counts then.
    """
    if occasion.currency is None:
        return Fraction(0)
    counts = terms.counts if matched.amount is None else replace(terms.counts, shipping=False)
    amount = Fraction(occasion.counted(counts))
    if matched.amount is not None:
        amount = amount * matched.amount / occasion.lines_amount if occasion.lines_amount else Fraction(0)
    unit = Fraction(10) ** get_currency_precision(occasion.currency)
    return amount / unit


def exact_points(terms: Terms, occasion: Occasion, matched: Matched, base: Base) -> Fraction | Reason:
    """Return a rule's points before rounding, or why there are none."""
    formula = terms.formula
    if formula.kind == "fixed":
        return Fraction(formula.points)
    if formula.kind == "per_item":
        return Fraction(formula.points * matched.quantity)
    if base.currency is not None and occasion.currency not in {None, base.currency}:
        return "other_currency"
    units = eligible(terms, occasion, matched)
    if formula.kind == "per_unit":
        steps = units / formula.per
        return formula.points * (Fraction(floor(steps)) if formula.whole_steps else steps)
    own = units * base.points_per_unit
    if formula.kind == "percent":
        return own * formula.percent / 100
    return own * (occasion.multiplier - 1 if formula.share == "extra" else occasion.multiplier)


# -- decisions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capped:
    """A cap that left less than the formula gave.

    Attributes:
        by: which cap.
        scope: the rule's own, or the programme's for all rules together.
        limit: what it allows.
        used: how much of it was used before.

    """

    by: CapName
    scope: Literal["rule", "programme"]
    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one rule at one occasion.

    Attributes:
        outcome: ``earned``, ``not_matched`` (a condition failed), ``nothing`` (it matched and gives 0), ``excluded``
            (another rule stood before it) or ``capped`` (nothing was left of a cap).
        reason: why, as a code; None when it earned all its formula gives.
        before_caps: what the formula gives, rounded.
        points: what is given, of either kind.
        beaten_by: the rule that stood before it.

    """

    terms: Terms
    outcome: Outcome
    reason: Reason | None = None
    before_caps: int = 0
    points: int = 0
    capped: tuple[Capped, ...] = ()
    beaten_by: UUID | None = None

    @property
    def spendable(self) -> int:
        """Return points that can be spent."""
        return self.points if self.terms.gives != "qualifying" else 0

    @property
    def qualifying(self) -> int:
        """Return points that count for tiers."""
        return self.points if self.terms.gives != "spendable" else 0


def base_terms(trigger: Trigger) -> Terms:
    """Return the programme's own formula as a rule: asked last, it counts all that was paid, not for tiers."""
    everything = Counts(shipping=True, tax=True, points=True, vouchers=True)
    own = Formula("percent", percent=100)
    return Terms(None, 0, "", trigger, own, priority=MAX_POINTS, gives="spendable", counts=everything)


def uses_base(rules: Iterable[Terms]) -> bool:
    """Tell whether the programme's own formula counts beside these rules: unless one of an order's replaces it."""
    return all(terms.keeps_base for terms in rules if terms.trigger in ORDER_TRIGGERS)


def weigh(terms: Terms, occasion: Occasion, matched: Matched, base: Base) -> Decision:
    """Return what a rule alone would give."""
    if matched.failed is not None:
        return Decision(terms, "not_matched", _FAILED[matched.failed])
    points = exact_points(terms, occasion, matched, base)
    if not isinstance(points, Fraction):
        return Decision(terms, "not_matched", points)
    whole = max(0, base.rounded(points))
    if whole == 0:
        return Decision(terms, "nothing", "rounds_to_nothing" if points > 0 else "gives_nothing")
    return Decision(terms, "earned", None, whole, whole)


_FAILED: Final[Mapping[str, Reason]] = {
    "customer": "customer_not_matched",
    "order": "order_not_matched",
    "lines": "no_line_matched",
    "event": "event_not_matched",
    "rule": "rule_invalid",
}


def stack(decisions: Sequence[Decision]) -> list[Decision]:
    """Let rules that cannot stand together give way, in the order they came.

    The first exclusive rule that earns stands alone. Otherwise, of the best-of rules of one group the one that gives
    most counts (the first of equals), and all additive ones.
    """
    earning = sorted((each for each in decisions if each.outcome == "earned"), key=lambda each: each.terms.turn)
    alone = next((each for each in earning if each.terms.stacking == "exclusive"), None)
    if alone is not None:
        winners = {id(each): alone for each in earning if each is not alone}
        return [_beaten(each, winners.get(id(each)), "exclusive_rule") for each in decisions]
    best: dict[str, Decision] = {}
    for each in earning:
        group = each.terms.stacking_group
        if each.terms.stacking == "best_of" and (group not in best or each.points > best[group].points):
            best[group] = each
    winners = {
        id(each): best[each.terms.stacking_group]
        for each in earning
        if each.terms.stacking == "best_of" and best[each.terms.stacking_group] is not each
    }
    return [_beaten(each, winners.get(id(each)), "better_rule") for each in decisions]


def _beaten(decision: Decision, winner: Decision | None, reason: Reason) -> Decision:
    if winner is None:
        return decision
    return replace(decision, outcome="excluded", reason=reason, points=0, beaten_by=winner.terms.rule_id)


# -- caps --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Allowance:
    """Something that is used up: one cap of one rule (or, without ``rule_id``, of the programme), for whom and when.

    Attributes:
        customer_id: None for a budget: it is everybody's.
        start: first moment of the period; None for life, budgets and single occasions.
        end: the first moment after it.

    """

    cap: CapName
    rule_id: UUID | None
    customer_id: UUID | None
    start: datetime | None = None
    end: datetime | None = None


def allowances(rule_id: UUID | None, caps: Caps, occasion: Occasion, zone: ZoneInfo) -> Iterator[Allowance]:
    """Yield what an occasion uses up of a rule's caps, the narrowest first; not the cap per order: it is not kept."""
    for cap, period in PERIODS.items():
        if caps.get(cap) is not None:
            yield Allowance(cap, rule_id, occasion.customer_id, *period_of(period, occasion.at, zone))
    if caps.get("budget") is not None:
        yield Allowance("budget", rule_id, None)


def period_of(period: str, at: datetime, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """Return the day, the week (from Monday) or the month of the zone that a moment lies in; life has no ends."""
    if period == "life":
        return None, None
    day = at.astimezone(zone).date()
    if period == "week":
        first, following = day - timedelta(days=day.weekday()), day + timedelta(days=7 - day.weekday())
    elif period == "month":
        first = day.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    else:
        first, following = day, day + timedelta(days=1)
    return _midnight(first, zone), _midnight(following, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


Used = dict[Allowance, int]
"""How much of each allowance is used; `decide` adds to it."""


def decide(
    rules: Sequence[tuple[Terms, Matched]], occasion: Occasion, base: Base, used: Used, limits: Caps
) -> list[Decision]:
    """Return what becomes of every rule at an occasion, in their turn, and use up their caps.

    Args:
        rules: those in force, each with what its conditions found.
        occasion: what happened.
        base: the programme's own formula and calendar.
        used: of every allowance these rules have; what is given now is added.
        limits: the programme's caps, over all rules together.

    """
    decisions = stack([weigh(terms, occasion, matched, base) for terms, matched in rules])
    given = 0
    result = []
    for each in sorted(decisions, key=lambda decision: decision.terms.turn):
        decided = _capped(each, occasion, base.zone, used, limits, given) if each.outcome == "earned" else each
        given += decided.points
        result.append(decided)
    return result


def _capped(decision: Decision, occasion: Occasion, zone: ZoneInfo, used: Used, limits: Caps, given: int) -> Decision:
    """Give a rule what its own caps and the programme's leave; ``given`` is what this occasion had before."""
    terms, points, capped = decision.terms, decision.points, list[Capped]()
    touched = list[Allowance]()
    scopes: tuple[tuple[Literal["rule", "programme"], UUID | None, Caps, int], ...] = (
        ("rule", terms.rule_id, terms.caps, 0),
        ("programme", None, limits, given),
    )
    for scope, rule_id, caps, had in scopes:
        if scope == "rule" and rule_id is None:
            continue
        known: list[tuple[CapName, int]] = [("per_order", had)] if caps.get("per_order") is not None else []
        for allowance in allowances(rule_id, caps, occasion, zone):
            touched.append(allowance)
            known.append((allowance.cap, used.get(allowance, 0)))
        for cap, before in known:
            left = max(0, caps[cap] - before)
            if left < points:
                capped.append(Capped(cap, scope, caps[cap], before))
                points = left
    for allowance in touched:
        used[allowance] = used.get(allowance, 0) + points
    if not capped:
        return decision
    return replace(
        decision, outcome="earned" if points else "capped", reason="capped", points=points, capped=tuple(capped)
    )


def totals(decisions: Iterable[Decision]) -> tuple[int, int]:
    """Return the points that can be spent, and those that count for tiers."""
    found = list(decisions)
    return sum(each.spendable for each in found), sum(each.qualifying for each in found)


def share_taken_back(granted: int, paid: int, refunded: int, *, cancelled: bool) -> int:
    """Return how many points of a grant must have been taken back in total: the ledger's own cumulative rule.

    ``floor(granted x refunded / paid)``, and all of them from the full price on: any split of a refund ends alike.
    """
    if cancelled or refunded >= paid:
        return granted if cancelled or refunded else 0
    return granted * refunded // paid


def as_fraction(value: Decimal) -> Fraction:
    """Return a decimal number exactly."""
    return Fraction(value)
