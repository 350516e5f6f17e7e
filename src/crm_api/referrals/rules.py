"""The life of a referral: pure rules.

One table says which steps there are. Each becomes an event that names every field it sets, so that applying the events
in order gives the row: the log is the truth and the row is its sum.

What is decided is in `decisions`. Decisions and bookings are apart: a decision changes the referral alone; points and
vouchers follow one referral at a time (``booking``), keyed by the referral and its attempt, so that whatever is
repeated or raced has its effect once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast, get_args
from uuid import UUID

from crm_api.referrals.models import (
    Action,
    Case,
    Decision,
    ReferralBooking,
    ReferralFailure,
    ReferralStep,
    ReferralTerms,
    State,
)

RETRY: Final = timedelta(hours=1)
"""How long after a booking that failed it is tried again."""


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


def apply(case: Case | None, happened: Event) -> Case:
    """Return the referral after an event.

    Raises:
        ValueError: the event does not follow on the referral.

    """
    before: dict[str, Any] = {} if case is None else case.model_dump()
    if happened.number != before.get("version", 0) + 1 or happened.source != before.get("state"):
        raise ValueError(f"event {happened.number} ({happened.action}) does not follow on the referral")
    changed = before.get("state_changed_at") if happened.source == happened.target else happened.at
    stamp = {"state": happened.target, "state_changed_at": changed, "version": happened.number}
    return Case.model_validate({**before, **happened.data, **stamp})


def replay(events: Iterable[Event]) -> Case:
    """Return the referral that its events, oldest first, add up to."""
    case: Case | None = None
    for each in events:
        case = apply(case, each)
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


def event(case: Case, action: Action, target: State, now: datetime, note: str | None = None, **data: Any) -> Event:
    """Return the event of a step of the table that sets these fields.

    Raises:
        ValueError: the table has no such step.

    """
    if not any((each.action, each.source, each.target) == (action, case.state, target) for each in TRANSITIONS):
        raise ValueError(f"there is no way '{action}' from '{case.state}' to '{target}'")
    return Event(case.version + 1, now, action, case.state, target, _plain(data), note)


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in data.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


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
    return event(case, "reward", "rewarded", now, None, rewarded_at=now, due_at=None, failure=None, **booked)


def clawed_back(case: Case, now: datetime) -> Event:
    """Return the event that says that both rewards were taken back."""
    return event(case, "claw_back", "voided", now, clawed_back_at=now, due_at=None, failure=None)


def failed(case: Case, why: ReferralFailure, now: datetime) -> Event:
    """Return the event that says why nothing could be booked, and that it will be tried again."""
    return event(case, "fail", case.state, now, failure=why.model_dump(), due_at=now + RETRY)


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
