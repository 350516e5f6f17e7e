"""Deciding what occasions earn: loads rules, conditions and caps, lets `rules.decide` reckon, and keeps the answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.earning import rules
from crm_api.earning.models import Trigger
from crm_api.earning.repository import Book, Conditions, EarningRepository, RuleRepository
from crm_api.earning.repository.conditions import Asked, Checked, Part
from crm_api.earning.rules import (
    ORDER_TRIGGERS,
    Allowance,
    Base,
    Caps,
    Decision,
    Matched,
    Occasion,
    Terms,
    Used,
    Version,
)
from crm_api.loyalty.service import Programme

_TELLS_OF: Final[Mapping[Trigger, Part]] = {"order_paid": "order", "order_completed": "order", "event": "event"}
"""What an occasion's id names; a customer's otherwise."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that may earn.

    Attributes:
        id: what it is known by, once per trigger.
        about: id of the order, event or customer that conditions are put to.
        quantity: pieces of all lines.
        reason: shown to the customer instead of the rules'.

    """

    id: UUID
    about: UUID
    occasion: Occasion
    quantity: int = 0
    order_id: UUID | None = None
    event_type: str | None = None
    reference: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about a subject."""

    subject: Subject
    decisions: Sequence[Decision]
    id: UUID = field(default_factory=new_id)

    @property
    def points(self) -> int:
        """Return points to spend."""
        return rules.totals(self.decisions)[0]

    @property
    def qualifying(self) -> int:
        """Return points for tiers."""
        return rules.totals(self.decisions)[1]

    @property
    def reason(self) -> str | None:
        """Return what the customer is shown: what the rules that gave something say, in their turn."""
        said = [each.terms.reason or each.terms.name for each in self.decisions if each.points and each.terms.rule_id]
        return self.subject.reason or "; ".join(dict.fromkeys(said))[:200] or None

    def row(self, trigger: Trigger) -> dict[str, Any]:
        """Return the row of `earnings`."""
        return {
            "id": self.id,
            "trigger": trigger,
            "subject_id": self.subject.id,
            "reference": self.subject.reference,
            "customer_id": self.subject.occasion.customer_id,
            "order_id": self.subject.order_id,
            "occurred_at": self.subject.occasion.at,
            "points": self.points,
            "qualifying": self.qualifying,
            "decisions": [told(each) for each in self.decisions],
        }

    def awards(self) -> list[dict[str, Any]]:
        """Return the rows of `earning_awards`."""
        return [
            {
                "earning_id": self.id,
                "rule_id": each.terms.rule_id,
                "revision": each.terms.revision,
                "points": each.points,
            }
            for each in self.decisions
            if each.points
        ]


def told(decision: Decision) -> dict[str, Any]:
    """Return a decision as JSON, as `models.EarningDecision` has it."""
    return {
        "rule_id": None if decision.terms.rule_id is None else str(decision.terms.rule_id),
        "revision": decision.terms.revision,
        "name": decision.terms.name,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "before_caps": decision.before_caps,
        "points": decision.spendable,
        "qualifying": decision.qualifying,
        "capped_by": [
            {"by": each.by, "scope": each.scope, "limit": each.limit, "used": each.used} for each in decision.capped
        ],
        "beaten_by": None if decision.beaten_by is None else str(decision.beaten_by),
    }


def base_of(programme: Programme) -> Base:
    """Return a programme's own formula and calendar."""
    return Base(
        programme.currency,
        rules.as_fraction(programme.points_per_unit) * 10**programme.scale,
        programme.rounding,
        ZoneInfo(programme.time_zone),
    )


async def book_of(unit: UnitOfWork, trigger: Trigger) -> Book:
    """Return the rules that matter when something like this happens."""
    return await RuleRepository(unit).book(ORDER_TRIGGERS if trigger in ORDER_TRIGGERS else {trigger})


@dataclass(slots=True)
class _Case:
    """A subject with the rules that hold at its moment."""

    subject: Subject
    terms: list[Terms]
    matched: list[tuple[Terms, Matched]] = field(default_factory=list)


class Engine:
    """Decides what subjects of one trigger earn; a simulation goes the same way and keeps nothing."""

    def __init__(self, unit: UnitOfWork, programme: Programme) -> None:
        """Work inside a unit, for a programme."""
        self.unit = unit
        self.base = base_of(programme)
        self.repository = EarningRepository(unit)
        self.conditions = Conditions(unit)
        self.checked: dict[tuple[UUID | None, int], Checked] = {}

    async def judge(
        self,
        trigger: Trigger,
        subjects: Sequence[Subject],
        book: Book,
        *,
        keep: bool = True,
        had: Mapping[UUID | None, int] | None = None,
    ) -> list[Verdict]:
        """Return what subjects earn, in the order they happened; those about somebody deleted are left out.

        Args:
            trigger: what happened to all of them.
            subjects: not decided before.
            book: of the trigger, by `book_of`.
            keep: whether it counts: then budgets are locked and used. Customers' turns are for the caller to take.
            had: rule → points of the one subject decided before and now anew, which takes their place under all caps.

        """
        cases = [self._case(trigger, each, book.versions) for each in sorted(subjects, key=lambda one: one.occasion.at)]
        cases = await self._match(trigger, cases)
        used = await self._used(cases, book.limits, keep=keep)
        before = dict(used)
        _leave_out(used, had or {})
        multipliers = await self._multipliers(cases)
        verdicts = []
        for case in cases:
            occasion = replace(
                case.subject.occasion,
                multiplier=multipliers.get(_moment_of(case), Fraction(1)),
            )
            verdicts.append(Verdict(case.subject, rules.decide(case.matched, occasion, self.base, used, book.limits)))
        if keep:
            await self._use_budgets(used, before)
        return verdicts

    def _case(self, trigger: Trigger, subject: Subject, versions: Iterable[Version]) -> _Case:
        holding = rules.in_force(versions, subject.occasion.at)
        mine = [
            terms for terms in holding if terms.trigger == trigger and terms.event_type in {None, subject.event_type}
        ]
        if trigger == "order_paid" and rules.uses_base(holding):
            mine.append(rules.base_terms(trigger))
        return _Case(subject, mine)

    async def _match(self, trigger: Trigger, cases: Sequence[_Case]) -> list[_Case]:
        """Put the conditions of all rules to all subjects."""
        wanted = {(terms.rule_id, terms.revision): terms for case in cases for terms in case.terms}
        for key, terms in wanted.items():
            if key not in self.checked:
                self.checked[key] = await self.conditions.checked(terms)
        asked = [
            Asked(case.subject.about, case.subject.occasion.customer_id, case.subject.occasion.at) for case in cases
        ]
        order = list(wanted)
        found = await self.conditions.matched(
            [self.checked[key] for key in order], asked, _TELLS_OF.get(trigger, "customer")
        )
        there = []
        for case in cases:
            answers = found.get(case.subject.about)
            if answers is None:
                continue
            by_key = dict(zip(order, answers, strict=True))
            case.matched = [
                (terms, _with_pieces(by_key[terms.rule_id, terms.revision], case.subject.quantity))
                for terms in case.terms
            ]
            there.append(case)
        return there

    async def _used(self, cases: Sequence[_Case], limits: Caps, *, keep: bool) -> Used:
        """Return how much is used of every allowance these cases have."""
        zone = self.base.zone
        asked = dict.fromkeys(
            allowance
            for case in cases
            for rule_id, caps in [
                *((terms.rule_id, terms.caps) for terms in case.terms if terms.rule_id),
                (None, limits),
            ]
            for allowance in rules.allowances(rule_id, caps, case.subject.occasion, zone)
        )
        personal = [each for each in asked if each.customer_id is not None]
        shared = {self._scope(each): each for each in asked if each.customer_id is None}
        used: Used = dict(zip(personal, await self.repository.used(personal), strict=True))
        if shared:
            read = self.repository.lock_budgets if keep else self.repository.budgets
            known = await read(list(shared))
            used |= {each: known.get(scope, 0) for scope, each in shared.items()}
        return used

    async def _use_budgets(self, used: Used, before: Mapping[Allowance, int]) -> None:
        more = {
            self._scope(each): points - before[each]
            for each, points in used.items()
            if each.customer_id is None and points > before[each]
        }
        await self.repository.use_budgets(more)

    def _scope(self, allowance: Allowance) -> UUID:
        return allowance.rule_id or self.unit.tenant_id

    async def _multipliers(self, cases: Sequence[_Case]) -> Mapping[tuple[UUID, datetime], Fraction]:
        """Return the multipliers of the tiers customers had at the time, where a rule asks for them."""
        from crm_api.tiers.service import TierService  # noqa: PLC0415 - only rules that ask for tiers need it

        asking = {
            _moment_of(case) for case in cases if any(terms.formula.kind == "tier_multiplier" for terms in case.terms)
        }
        held = await TierService(self.unit).held_before(asking) if asking else {}
        return {moment: Fraction(tier.multiplier) for moment, tier in held.items()}


def _leave_out(used: Used, had: Mapping[UUID | None, int]) -> None:
    """Let allowances be as if an occasion had not been decided: its own points are in every period of its rules."""
    for each in used:
        own = sum(had.values()) if each.rule_id is None else had.get(each.rule_id, 0)
        used[each] = max(0, used[each] - own)


def _moment_of(case: _Case) -> tuple[UUID, datetime]:
    return case.subject.occasion.customer_id, case.subject.occasion.at


def _with_pieces(matched: Matched, quantity: int) -> Matched:
    """Return what was found, with all pieces where a rule chooses no lines."""
    return matched if matched.amount is not None else replace(matched, quantity=quantity)
