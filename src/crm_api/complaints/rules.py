"""The life of a complaint: pure rules.

One table says which steps there are; guards say what each needs. A step is decided from the case as it is and
becomes an event that names every field it sets, so that applying the events in order gives the case: the log is the
truth and the row is its sum. Stages follow ISO 10002 (GB/T 19012).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, cast, get_args

from crm_api.complaints.models import Action, Case, ComplaintCreate, ComplaintTransition, ComplaintUpdate, State, Step
from crm_api.core.errors import Conflict, FieldError, Invalid

REOPEN_WINDOW: Final = timedelta(days=30)
"""How long after its resolution a case can be reopened; later the customer's words are a new case."""

GRAVE: Final = frozenset({"S1", "S2"})
"""Severities that are not closed without a root cause."""

TELLING: Final = frozenset({"resolved", "closed", "rejected"})
"""States whose entry may say that the customer was told the decision."""


# -- the table of transitions ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed step.

    Attributes:
        action: its name.
        source: the state it starts from.
        target: the state it leads to.
        guards: names of what must hold, see ``GUARDS``.

    """

    action: Action
    source: State
    target: State
    guards: tuple[str, ...] = ()


STATES: Final[tuple[State, ...]] = get_args(State)
"""Every state, in the order of a case's way."""

OPEN: Final[tuple[State, ...]] = (
    "received",
    "acknowledged",
    "assessed",
    "in_progress",
    "waiting_customer",
    "waiting_third_party",
    "proposed",
    "escalated_external",
)
"""States of a case that waits for its resolution."""

TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition("acknowledge", "received", "acknowledged"),
    Transition("assess", "acknowledged", "assessed"),
    Transition("start", "assessed", "in_progress"),
    Transition("wait_customer", "in_progress", "waiting_customer"),
    Transition("wait_third_party", "in_progress", "waiting_third_party"),
    Transition("resume", "waiting_customer", "in_progress"),
    Transition("resume", "waiting_third_party", "in_progress"),
    Transition("propose", "in_progress", "proposed"),
    Transition("reject_proposal", "proposed", "in_progress"),
    Transition("escalate", "proposed", "escalated_external"),
    Transition("resume", "escalated_external", "in_progress"),
    Transition("resolve", "proposed", "resolved"),
    Transition("resolve", "escalated_external", "resolved"),
    Transition("close", "resolved", "closed", ("decision_told", "root_cause")),
    Transition("reopen", "resolved", "in_progress", ("window",)),
    Transition("reopen", "closed", "in_progress", ("window",)),
    *(Transition("mark_duplicate", source, "duplicate", ("merged_into",)) for source in OPEN),
    *(Transition("withdraw", source, "withdrawn") for source in OPEN),
    *(Transition("reject", source, "rejected", ("reason",)) for source in OPEN),
)
"""The one place that says what can follow what; the service, the documents and the tests read it."""


def steps(state: State) -> list[Step]:
    """Return what can be done from a state, guards aside."""
    return [Step(action=each.action, to=each.target) for each in TRANSITIONS if each.source == state]


def find(state: State, goal: ComplaintTransition) -> Transition:
    """Return the transition a command names.

    Raises:
        Conflict: there is none from this state; ``allowed`` in the answer names those there are.

    """
    for each in TRANSITIONS:
        if each.source == state and goal.action in (None, each.action) and goal.to in (None, each.target):
            return each
    wanted = goal.action or goal.to
    allowed = steps(state)
    raise Conflict(
        f"'{wanted}' is not possible from '{state}'",
        zh=f"当前状态 “{state}” 不允许 “{wanted}”",
        code="transition_not_allowed",
        errors=[
            FieldError(
                "/action" if goal.action else "/to",
                "transition_not_allowed",
                f"Possible from here: {', '.join(f'{step.action} ({step.to})' for step in allowed) or 'nothing'}",
                f"可用操作：{'、'.join(step.action for step in allowed) or '无'}",
            )
        ],
        extra={"state": state, "allowed": [step.model_dump() for step in allowed]},
    )


# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a complaint.

    Attributes:
        number: counts from 1; the complaint's version after it.
        at: when.
        action: a transition's, or ``open`` or ``update``.
        source: state before, None for the first.
        target: state after; the same as before for ``update``.
        data: the fields it sets.
        note: for readers of the log.

    """

    number: int
    at: datetime
    action: str
    source: State | None
    target: State
    data: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None


def apply(case: Case | None, event: Event) -> Case:
    """Return the case after an event.

    Raises:
        ValueError: the event does not follow on the case.

    """
    before: dict[str, Any] = {} if case is None else case.model_dump()
    if event.number != before.get("version", 0) + 1 or event.source != before.get("state"):
        raise ValueError(f"event {event.number} ({event.action}) does not follow on the case")
    changed = before.get("state_changed_at") if event.source == event.target else event.at
    stamp = {"state": event.target, "state_changed_at": changed, "version": event.number}
    return Case.model_validate({**before, **event.data, **stamp})


def replay(events: Iterable[Event]) -> Case:
    """Return the case that its events, oldest first, add up to."""
    case: Case | None = None
    for event in events:
        case = apply(case, event)
    if case is None:
        raise ValueError("a case begins with an event")
    return case


def opened(data: ComplaintCreate, now: datetime) -> Event:
    """Return the first event of a case."""
    later = dict.fromkeys(("decision", "reason", "merged_into_id", "acknowledged_at", "resolved_at", "closed_at"))
    fields = {**data.model_dump(), **later, "decision_told_at": None, "reopened": 0}
    fields["received_at"] = data.received_at or now
    if fields["received_at"] > now:
        raise Invalid.field("/received_at", "in_the_future", "This is still to come", "该时间尚未到来")
    return Event(1, now, "open", None, "received", fields)


def updated(case: Case, data: ComplaintUpdate, now: datetime) -> Event | None:
    """Return the event of a change of fields, or None when nothing differs.

    Raises:
        Conflict: a closed case would lose what it needed to be closed.

    """
    given = data.model_dump(exclude_unset=True)
    changes = {name: value for name, value in given.items() if getattr(case, name) != value}
    if not changes:
        return None
    event = Event(case.version + 1, now, "update", case.state, case.state, changes)
    _keep_promises(apply(case, event))
    return event


def decided(case: Case, goal: ComplaintTransition, now: datetime, parent: Case | None = None) -> Event:
    """Return the event of a step.

    Args:
        case: as it is.
        goal: the step wanted and what comes with it.
        now: the time.
        parent: the case named by ``merged_into``, if there is one.

    Raises:
        Conflict: the step is not allowed from this state (``transition_not_allowed``), comes too late
            (``reopen_window_over``), or lacks what it needs (``transition_guard``).
        Invalid: something needed was not given, or something was given that does not belong to the step.

    """
    step = find(case.state, goal)
    _refuse_strays(step, goal)
    attempt = _Attempt(case, goal, now, parent)
    for guard in step.guards:
        GUARDS[guard].check(attempt)
    return Event(case.version + 1, now, step.action, step.source, step.target, _changes(step, attempt), goal.note)


@dataclass(frozen=True, slots=True)
class _Attempt:
    case: Case
    goal: ComplaintTransition
    now: datetime
    parent: Case | None

    @property
    def root_cause(self) -> str | None:
        return self.goal.root_cause or self.case.root_cause


def _changes(step: Transition, attempt: _Attempt) -> dict[str, Any]:
    goal, now = attempt.goal, attempt.now
    changes: dict[str, Any] = {
        name: getattr(goal, name) for name in ("reason", "root_cause", "decision") if getattr(goal, name) is not None
    }
    if goal.decision_told:
        changes["decision_told_at"] = now
    if step.target == "duplicate":
        changes["merged_into_id"] = goal.merged_into
    if step.action == "reopen":
        # A new decision has to be found, and told.
        changes |= dict.fromkeys(("resolved_at", "closed_at", "decision_told_at"))
        changes["reopened"] = attempt.case.reopened + 1
    stamp = _STAMPS.get(step.target)
    if stamp is not None:
        changes[stamp] = now
    return changes


_STAMPS: Final[Mapping[str, str]] = {
    "acknowledged": "acknowledged_at",
    "resolved": "resolved_at",
    "closed": "closed_at",
}


def _refuse_strays(step: Transition, goal: ComplaintTransition) -> None:
    errors = []
    if goal.merged_into is not None and step.target != "duplicate":
        errors.append(_stray("/merged_into", step))
    if goal.decision_told and step.target not in TELLING:
        errors.append(_stray("/decision_told", step))
    if errors:
        raise Invalid(errors=errors)


def _stray(pointer: str, step: Transition) -> FieldError:
    return FieldError(
        pointer, "not_expected", f"This does not belong to '{step.action}'", f"“{step.action}” 不接受此字段"
    )


# -- guards ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guard:
    """What must hold for a step: a sentence for the documents and a check that raises."""

    says: str
    check: Callable[[_Attempt], None]


def _told(attempt: _Attempt) -> None:
    if not (attempt.goal.decision_told or attempt.case.decision_told_at):
        raise _lacking(
            "/decision_told", "decision_not_told", "Tell the customer the decision first", "请先告知客户处理结果"
        )


def _cause_known(attempt: _Attempt) -> None:
    if attempt.case.severity in GRAVE and attempt.root_cause is None:
        raise _NO_CAUSE


def _lacking(pointer: str, code: str, message: str, zh: str) -> Conflict:
    return Conflict(message, zh=zh, code="transition_guard", errors=[FieldError(pointer, code, message, zh)])


_NO_CAUSE: Final = _lacking(
    "/root_cause",
    "root_cause_missing",
    "A case of severity S1 or S2 is not closed without its root cause",
    "严重等级 S1、S2 的投诉须先填写根本原因才能关闭",
)


def _in_window(attempt: _Attempt) -> None:
    ended = attempt.case.resolved_at
    if ended is not None and attempt.now - ended > REOPEN_WINDOW:
        days = REOPEN_WINDOW.days
        raise Conflict(
            f"It was resolved more than {days} days ago: open a new case",
            zh=f"解决已超过 {days} 天：请新建投诉",
            code="reopen_window_over",
        )


def _reason_given(attempt: _Attempt) -> None:
    if attempt.goal.reason is None:
        raise Invalid.field("/reason", "required", "Say why", "请说明原因")


def _merges(attempt: _Attempt) -> None:
    if attempt.goal.merged_into is None:
        raise Invalid.field("/merged_into", "required", "Name the case this one repeats", "请指定被重复的投诉")
    if attempt.parent is None:
        raise Invalid.field("/merged_into", "unknown_reference", "There is no such other case", "没有该投诉")
    if attempt.parent.state == "duplicate":
        raise Invalid.field(
            "/merged_into", "is_duplicate", "That case is a duplicate itself: name its original", "该投诉本身是重复件"
        )


GUARDS: Final[Mapping[str, Guard]] = {
    "decision_told": Guard("the customer has been told the decision", _told),
    "root_cause": Guard("the root cause is set for severity S1 and S2", _cause_known),
    "window": Guard(f"at most {REOPEN_WINDOW.days} days after the resolution", _in_window),
    "reason": Guard("a reason is given", _reason_given),
    "merged_into": Guard("the case it repeats is named, and is no duplicate itself", _merges),
}


def _keep_promises(case: Case) -> None:
    """Raise when a closed case lacks what closing needed."""
    if case.state == "closed" and case.severity in GRAVE and case.root_cause is None:
        raise _NO_CAUSE


# -- the drawing -------------------------------------------------------------------------------------------------------


def mermaid() -> str:
    """Return the state machine as a Mermaid diagram; docs/domains/complaints.md holds it."""
    everywhere = {
        (each.action, each.target)
        for each in TRANSITIONS
        if all(Transition(each.action, state, each.target, each.guards) in TRANSITIONS for state in OPEN)
    }
    inside: list[str] = []
    outside: list[str] = []
    for each in TRANSITIONS:
        if (each.action, each.target) in everywhere:
            continue
        (inside if each.target in OPEN and each.source in OPEN else outside).append(_arrow(each.source, each))
    ends = [
        _arrow(cast("State", "open"), each)
        for each in TRANSITIONS
        if (each.action, each.target) in everywhere and each.source == OPEN[0]
    ]
    lines = [
        "stateDiagram-v2",
        "    [*] --> open",
        "    state open {",
        "        [*] --> received : open",
        *(f"        {arrow}" for arrow in inside),
        "    }",
        *(f"    {arrow}" for arrow in (*outside, *ends)),
    ]
    return "\n".join(lines) + "\n"


def _arrow(source: State, step: Transition) -> str:
    guards = f" [{', '.join(step.guards)}]" if step.guards else ""
    return f"{source} --> {step.target} : {step.action}{guards}"
