"""What becomes of a referral: decided from what it is and from facts as they are now. Pure.

Nothing here depends on the order in which news arrives: whoever looks again at the same facts comes to the same state.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, FieldError
from crm_api.referrals.models import (
    Answer,
    Case,
    Decision,
    ReferralStep,
    ReferralTerms,
    ReferralTransition,
    StoredFinding,
)
from crm_api.referrals.rules import Event, apply, booking, event, steps
from crm_api.referrals.words import CHECKS, ENDS

_MAX_STEPS: Final = 8


# -- what is known -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Purchase:
    """An order of the friend, amounts in minor units."""

    id: UUID
    status: str
    paid_amount: int
    refunded_amount: int
    currency: str
    placed_at: datetime
    paid_at: datetime | None
    completed_at: datetime | None

    @property
    def net(self) -> int:
        """Return what it has brought after refunds."""
        return self.paid_amount - self.refunded_amount


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so now.

    Attributes:
        now: the time.
        gone: a side was deleted or erased.
        friend_merged: the friend became somebody who had come by a referral of their own.
        candidate: the friend's first order that may qualify: see ``ReferralTerms.qualifying_order``.
        order: the qualifying order as it is; None when it is gone or another's.
        findings: what the checks found now that the window is over; None when nobody looked.

    """

    now: datetime
    gone: bool = False
    friend_merged: bool = False
    candidate: Purchase | None = None
    order: Purchase | None = None
    findings: Sequence[StoredFinding] | None = None


PAID: Final = ("paid", "shipped", "completed", "refunded")
"""Statuses in which money came in (`crm_api.orders.rules.PAID`)."""


def reaches(terms: ReferralTerms, order: Purchase) -> bool:
    """Tell whether an order brings what was asked for."""
    if terms.currency is not None and order.currency != terms.currency:
        return False
    return order.status in PAID and order.net >= max(terms.minimum_amount, 1)


# -- decisions by facts ------------------------------------------------------------------------------------------------


def follow(case: Case, facts: Facts) -> Iterator[Event]:
    """Yield the events that bring a referral up to date with the facts; none when it is."""
    for _ in range(_MAX_STEPS):
        step = _next(case, facts)
        if step is None:
            return
        yield step
        case = apply(case, step)
    raise RuntimeError("a referral comes to no rest")


def wants_checks(case: Case, now: datetime) -> bool:
    """Tell whether the next step depends on what the checks find."""
    return case.state == "pending" and case.due_at is not None and case.due_at <= now


def _next(case: Case, facts: Facts) -> Event | None:
    if case.state == "voided":
        return _revived(case, facts)
    ended = _end(case, facts)
    if ended is not None:
        return voided(case, ended, facts.now)
    if case.state == "signed_up" and facts.candidate is not None:
        paid_at = facts.candidate.paid_at or facts.candidate.placed_at
        return event(
            case, "qualify", "qualified", facts.now, order_id=facts.candidate.id, qualified_at=paid_at, due_at=None
        )
    if case.state == "qualified":
        return _waiting(case, facts)
    if wants_checks(case, facts.now) and facts.findings is not None:
        return _judged(case, facts)
    return None


def _end(case: Case, facts: Facts) -> str | None:
    """Return why a referral that stands must not stand any more, or None."""
    if case.referrer_id == case.friend_id:
        return "self"
    if facts.friend_merged:
        return "already_referred"
    if facts.gone and case.state != "rewarded":
        return "customer_gone"
    if case.order_id is not None:
        return _order_end(case, _standing(case, facts))
    return _early_end(case, facts)


def _standing(case: Case, facts: Facts) -> Purchase | None:
    """Return the qualifying order as it is; just qualified, it is the candidate."""
    if facts.order is None and facts.candidate is not None and facts.candidate.id == case.order_id:
        return facts.candidate
    return facts.order


def _order_end(case: Case, order: Purchase | None) -> str | None:
    if order is not None and reaches(case.terms, order):
        return None
    if order is None:
        return "order_withdrawn"
    if order.status == "cancelled":
        return "order_cancelled"
    return "order_refunded" if order.refunded_amount else "order_withdrawn"


def _early_end(case: Case, facts: Facts) -> str | None:
    objection = next((each.code for each in case.findings if _acts(case, each, "void")), None)
    if objection is not None:
        return objection
    order, ends = facts.candidate, case.due_at
    if order is not None and (ends is None or order.placed_at < ends):
        return None if reaches(case.terms, order) else "below_minimum"
    return "expired" if order is not None or (ends is not None and ends <= facts.now) else None


def _acts(case: Case, finding: StoredFinding, answer: Answer) -> bool:
    return finding.answer == answer and finding.code not in case.waived


def _waiting(case: Case, facts: Facts) -> Event | None:
    order = _standing(case, facts)
    if order is None:
        return None
    begins = order.completed_at if case.terms.window_from == "completed" else case.qualified_at
    if begins is None:
        return None
    return event(case, "wait", "pending", facts.now, due_at=begins + timedelta(days=case.terms.window_days))


def _judged(case: Case, facts: Facts) -> Event:
    findings = facts.findings or ()
    kept = [each.model_dump(mode="json") for each in findings]
    for each in findings:
        if _acts(case, each, "void"):
            return voided(case, each.code, facts.now, findings=kept)
    if any(_acts(case, each, "flag") for each in findings):
        return event(case, "flag", "flagged", facts.now, findings=kept, flagged_at=facts.now, due_at=None)
    return _approved(case, facts.now, findings=kept)


def _approved(case: Case, now: datetime, note: str | None = None, **data: Any) -> Event:
    again = {"referrer_booked": None, "friend_booked": None, "clawed_back_at": None, "failure": None}
    return event(
        case, "approve", "approved", now, note, approved_at=now, due_at=now, attempt=case.attempt + 1, **again, **data
    )


def voided(case: Case, reason: str, now: datetime, note: str | None = None, **data: Any) -> Event:
    """Return the event that ends a referral; what was booked is to be taken back at once."""
    due_at = now if case.state == "rewarded" else None
    return event(
        case, "void", "voided", now, note, void_reason=reason, voided_at=now, due_at=due_at, failure=None, **data
    )


BY_MERGE: Final = frozenset({"self", "already_referred"})
"""Reasons that an undone merge takes away."""


def _revived(case: Case, facts: Facts) -> Event | None:
    """Return the way back when a merge that ended the referral was undone, or None."""
    if case.void_reason not in BY_MERGE or booking(case) is not None:
        return None
    step = _reopened(case, facts.now, _deadline(case), case.waived)
    return step if _end(apply(case, step), facts) is None else None


def _deadline(case: Case) -> datetime | None:
    days = case.terms.claim_days
    return None if days is None else case.signed_up_at + timedelta(days=days)


def _reopened(
    case: Case, now: datetime, ends: datetime | None, waived: Sequence[str], note: str | None = None
) -> Event:
    fresh = {"void_reason": None, "voided_at": None, "failure": None, "waived": list(waived)}
    if case.order_id is None:
        return event(case, "reopen", "signed_up", now, note, due_at=ends, **fresh)
    return event(case, "reopen", "flagged", now, note, flagged_at=now, due_at=None, **fresh)


# -- decisions by people -----------------------------------------------------------------------------------------------


def decided(case: Case, goal: ReferralTransition, facts: Facts) -> Event:
    """Return the event of what a person decides.

    Raises:
        Conflict: ``transition_not_allowed`` (the answer names what is) or ``transition_guard`` (it would not stand).

    """
    allowed = steps(case.state, has_order=case.order_id is not None)
    if goal.action not in {each.action for each in allowed}:
        raise _not_allowed(case, goal.action, allowed)
    if goal.action == "void":
        return voided(case, "rejected", facts.now, goal.reason)
    if goal.action == "approve":
        step = _approved(case, facts.now, goal.reason)
    else:
        step = _taken_up(case, goal.reason, facts.now)
    ended = _end(apply(case, step), facts)
    if ended is not None:
        en, zh = ENDS[ended]
        raise _guard(ended, f"It cannot stand: {en[0].lower()}{en[1:]}", f"无法继续：{zh}")
    return step


def _taken_up(case: Case, reason: str, now: datetime) -> Event:
    if booking(case) is not None:
        raise _guard("not_clawed_back", "The rewards are still being taken back: try later", "奖励正在收回：请稍后再试")
    objection = case.void_reason if case.void_reason in CHECKS else None
    ends = _deadline(case)
    # Whoever takes up what was too late does not want it to end at once again.
    ends = ends if ends is not None and ends > now else None
    return _reopened(case, now, ends, [*case.waived, *([objection] if objection else [])], reason)


def _not_allowed(case: Case, action: Decision, allowed: Sequence[ReferralStep]) -> Conflict:
    names = [each.action for each in allowed]
    return Conflict(
        f"'{action}' is not possible from '{case.state}'",
        zh=f"当前状态 “{case.state}” 不允许 “{action}”",
        code="transition_not_allowed",
        errors=[
            FieldError(
                "/action",
                "transition_not_allowed",
                f"Possible from here: {', '.join(names) or 'nothing'}",
                f"可用操作：{'、'.join(names) or '无'}",
            )
        ],
        extra={"state": case.state, "allowed": [each.model_dump() for each in allowed]},
    )


def _guard(code: str, message: str, zh: str) -> Conflict:
    return Conflict(message, zh=zh, code="transition_guard", errors=[FieldError("/action", code, message, zh)])
