"""The life of a referral: pure rules.

One table says which steps there are. A step is decided from the referral as it is and from facts as they are now, and
becomes an event that names every field it sets, so that applying the events in order gives the row: the log is the
truth and the row is its sum. Nothing here depends on the order in which news arrives: whoever looks again at the same
facts comes to the same state.

Decisions and bookings are apart. A decision changes the referral alone; points and vouchers follow one referral at a
time (``booking``), keyed by the referral and its attempt, so that whatever is repeated or raced has its effect once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast, get_args
from uuid import UUID

from crm_api.core.errors import Conflict, FieldError
from crm_api.referrals.models import (
    Action,
    Answer,
    Case,
    Decision,
    ReferralBooking,
    ReferralFailure,
    ReferralStep,
    ReferralTerms,
    ReferralTransition,
    State,
    StoredFinding,
)
from crm_api.referrals.words import CHECKS, ENDS

RETRY: Final = timedelta(hours=1)
"""How long after a booking that failed it is tried again."""

_MAX_STEPS: Final = 8


# -- the table of transitions ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed step.

    Attributes:
        action: its name.
        source: the state it starts from.
        target: the state it leads to.
        by: who takes it: ``facts`` (an order, time, a merge, a booking) or ``person``; both may void.
        when: what must hold, for the documents.

    """

    action: Action
    source: State
    target: State
    by: Literal["facts", "person", "both"] = "facts"
    when: str = ""

    @property
    def moves(self) -> bool:
        """Tell whether it leads to another state."""
        return self.source != self.target


STATES: Final[tuple[State, ...]] = get_args(State)
OPEN: Final[tuple[State, ...]] = ("signed_up", "qualified", "pending", "flagged", "approved")
"""States that wait for something."""

_STANDS: Final = "the qualifying order stands"
TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition("qualify", "signed_up", "qualified", when="the friend's order is paid and reaches the minimum"),
    Transition("wait", "qualified", "pending", when="the return window has begun"),
    Transition("approve", "pending", "approved", when="the window is over, no check objects"),
    Transition("flag", "pending", "flagged", when="the window is over, a check wants a review"),
    Transition("approve", "flagged", "approved", "person", _STANDS),
    Transition("reward", "approved", "rewarded", when="both rewards are booked"),
    Transition("fail", "approved", "approved", when="a reward cannot be booked"),
    *(Transition("void", each, "voided", "both", "see the reasons") for each in (*OPEN, "rewarded")),
    Transition("claw_back", "voided", "voided", when="rewards had been booked"),
    Transition("fail", "voided", "voided", when="a reward cannot be taken back"),
    Transition("reopen", "voided", "signed_up", "both", "there was no qualifying order"),
    Transition("reopen", "voided", "flagged", "both", _STANDS),
)
"""The one place that says what can follow what; the service, the documents and the tests read it."""


def steps(state: State, *, has_order: bool) -> list[ReferralStep]:
    """Return what a person can decide in a state."""
    back: State = "flagged" if has_order else "signed_up"
    return [
        ReferralStep(action=cast("Decision", each.action), to=each.target)
        for each in TRANSITIONS
        if each.source == state and each.by != "facts" and (each.action != "reopen" or each.target == back)
    ]


# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a referral.

    Attributes:
        number: counts from 1; the referral's version after it.
        at: when.
        action: a transition's, or ``sign_up``.
        source: state before, None for the first.
        target: state after.
        data: the fields it sets, as plain JSON values.
        note: the reason a person gave.

    """

    number: int
    at: datetime
    action: str
    source: State | None
    target: State
    data: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None


def apply(case: Case | None, event: Event) -> Case:
    """Return the referral after an event.

    Raises:
        ValueError: the event does not follow on the referral.

    """
    before: dict[str, Any] = {} if case is None else case.model_dump()
    if event.number != before.get("version", 0) + 1 or event.source != before.get("state"):
        raise ValueError(f"event {event.number} ({event.action}) does not follow on the referral")
    changed = before.get("state_changed_at") if event.source == event.target else event.at
    stamp = {"state": event.target, "state_changed_at": changed, "version": event.number}
    return Case.model_validate({**before, **event.data, **stamp})


def replay(events: Iterable[Event]) -> Case:
    """Return the referral that its events, oldest first, add up to."""
    case: Case | None = None
    for event in events:
        case = apply(case, event)
    if case is None:
        raise ValueError("a referral begins with an event")
    return case


def signed_up(
    programme_id: UUID,
    referrer_id: UUID,
    friend_id: UUID,
    terms: ReferralTerms,
    signed_up_at: datetime,
    now: datetime,
) -> Event:
    """Return the first event of a referral."""
    later = ("order_id", "qualified_at", "flagged_at", "approved_at", "rewarded_at", "voided_at", "void_reason")
    days = terms.claim_days
    ends = None if days is None else signed_up_at + timedelta(days=days)
    fields: dict[str, Any] = {
        "programme_id": programme_id,
        "referrer_id": referrer_id,
        "friend_id": friend_id,
        "signed_up_at": signed_up_at,
        "terms": terms.model_dump(mode="json"),
        "findings": [],
        "waived": [],
        "due_at": ends,
        "attempt": 0,
        **dict.fromkeys((*later, "referrer_booked", "friend_booked", "clawed_back_at", "failure")),
    }
    return Event(1, now, "sign_up", None, "signed_up", _plain(fields))


def _event(case: Case, action: Action, target: State, now: datetime, note: str | None = None, **data: Any) -> Event:
    if not any((each.action, each.source, each.target) == (action, case.state, target) for each in TRANSITIONS):
        raise ValueError(f"there is no way '{action}' from '{case.state}' to '{target}'")
    return Event(case.version + 1, now, action, case.state, target, _plain(data), note)


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in data.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


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
        event = _next(case, facts)
        if event is None:
            return
        yield event
        case = apply(case, event)
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
        return _event(
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
    return _event(case, "wait", "pending", facts.now, due_at=begins + timedelta(days=case.terms.window_days))


def _judged(case: Case, facts: Facts) -> Event:
    findings = facts.findings or ()
    kept = [each.model_dump(mode="json") for each in findings]
    for each in findings:
        if _acts(case, each, "void"):
            return voided(case, each.code, facts.now, findings=kept)
    if any(_acts(case, each, "flag") for each in findings):
        return _event(case, "flag", "flagged", facts.now, findings=kept, flagged_at=facts.now, due_at=None)
    return _approved(case, facts.now, findings=kept)


def _approved(case: Case, now: datetime, note: str | None = None, **data: Any) -> Event:
    again = {"referrer_booked": None, "friend_booked": None, "clawed_back_at": None, "failure": None}
    return _event(
        case, "approve", "approved", now, note, approved_at=now, due_at=now, attempt=case.attempt + 1, **again, **data
    )


def voided(case: Case, reason: str, now: datetime, note: str | None = None, **data: Any) -> Event:
    """Return the event that ends a referral; what was booked is to be taken back at once."""
    due_at = now if case.state == "rewarded" else None
    return _event(
        case, "void", "voided", now, note, void_reason=reason, voided_at=now, due_at=due_at, failure=None, **data
    )


BY_MERGE: Final = frozenset({"self", "already_referred"})
"""Reasons that an undone merge takes away."""


def _revived(case: Case, facts: Facts) -> Event | None:
    """Return the way back when a merge that ended the referral was undone, or None."""
    if case.void_reason not in BY_MERGE or booking(case) is not None:
        return None
    event = _reopened(case, facts.now, _deadline(case), case.waived)
    return event if _end(apply(case, event), facts) is None else None


def _deadline(case: Case) -> datetime | None:
    days = case.terms.claim_days
    return None if days is None else case.signed_up_at + timedelta(days=days)


def _reopened(
    case: Case, now: datetime, ends: datetime | None, waived: Sequence[str], note: str | None = None
) -> Event:
    fresh = {"void_reason": None, "voided_at": None, "failure": None, "waived": list(waived)}
    if case.order_id is None:
        return _event(case, "reopen", "signed_up", now, note, due_at=ends, **fresh)
    return _event(case, "reopen", "flagged", now, note, flagged_at=now, due_at=None, **fresh)


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
        event = _approved(case, facts.now, goal.reason)
    else:
        event = _taken_up(case, goal.reason, facts.now)
    ended = _end(apply(case, event), facts)
    if ended is not None:
        en, zh = ENDS[ended]
        raise _guard(ended, f"It cannot stand: {en[0].lower()}{en[1:]}", f"无法继续：{zh}")
    return event


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


# -- bookings ----------------------------------------------------------------------------------------------------------


def booking(case: Case) -> Literal["reward", "claw_back"] | None:
    """Return what is to be booked, if anything."""
    if case.state == "approved":
        return "reward"
    has = case.referrer_booked is not None or case.friend_booked is not None
    return "claw_back" if case.state == "voided" and has and case.clawed_back_at is None else None


def rewarded(case: Case, referrer: ReferralBooking | None, friend: ReferralBooking | None, now: datetime) -> Event:
    """Return the event that says what both sides got."""
    booked = {"referrer_booked": _shown(referrer), "friend_booked": _shown(friend)}
    return _event(case, "reward", "rewarded", now, None, rewarded_at=now, due_at=None, failure=None, **booked)


def clawed_back(case: Case, now: datetime) -> Event:
    """Return the event that says that both rewards were taken back."""
    return _event(case, "claw_back", "voided", now, clawed_back_at=now, due_at=None, failure=None)


def failed(case: Case, why: ReferralFailure, now: datetime) -> Event:
    """Return the event that says why nothing could be booked, and that it will be tried again."""
    return _event(case, "fail", case.state, now, failure=why.model_dump(), due_at=now + RETRY)


def _shown(booked: ReferralBooking | None) -> dict[str, Any] | None:
    return None if booked is None else booked.model_dump(mode="json")


def key(referral_id: UUID, side: str, attempt: int) -> str:
    """Return the key under which a side's reward is booked: once for each time the referral was approved."""
    return f"referral:{referral_id}:{side}:{attempt}"


# -- the drawing -------------------------------------------------------------------------------------------------------


def mermaid() -> str:
    """Return the state machine as a Mermaid diagram; docs/domains/referrals.md holds it."""
    arrows = [f"    {each.source} --> {each.target} : {each.action}" for each in TRANSITIONS if each.moves]
    return "\n".join(["stateDiagram-v2", "    [*] --> signed_up : sign_up", *arrows]) + "\n"
