"""The life of a complaint: pure rules.

One table says which steps there are; guards say what each needs. A step is decided from the case as it is and
becomes an event that names every field it sets, so that applying the events in order gives the case: the log is the
truth and the row is its sum. Stages follow ISO 10002 (GB/T 19012).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID

from crm_api.complaints.models import Action, Case, ComplaintCreate, ComplaintTransition, ComplaintUpdate, State, Step
from crm_api.core.errors import Conflict, FieldError, Invalid

REOPEN_WINDOW: Final = timedelta(days=30)
"""How long after its resolution a case can be reopened unless the shop says otherwise; later it takes a new case."""

GRAVE: Final = frozenset({"S1", "S2"})
"""Severities that are not closed without a root cause."""

TELLING: Final = frozenset({"proposed", "escalated_external", "resolved", "closed", "rejected", "withdrawn"})
"""States in which there is a decision to tell, and whose entry may say that the customer was told it."""

DECIDED: Final = TELLING - {"rejected", "withdrawn"}
"""Those of them from which a case can come back to work: the decision is void then, and what was told of it."""


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

LIVE: Final[tuple[State, ...]] = (*OPEN, "resolved", "closed")
"""States from which a case can turn out to be a duplicate, unfounded or withdrawn: all but those three ends."""

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
    *(Transition("mark_duplicate", source, "duplicate", ("merged_into",)) for source in LIVE),
    # Of these a case has one: back to the state it was merged in.
    *(Transition("unmerge", "duplicate", target) for target in LIVE),
    *(Transition("withdraw", source, "withdrawn") for source in LIVE),
    *(Transition("reject", source, "rejected", ("reason",)) for source in LIVE),
)
"""The one place that says what can follow what; the service, the documents and the tests read it."""


def possible(state: State, merged_from: State | None = None) -> list[Transition]:
    """Return the transitions from a state, guards aside.

    Args:
        state: where the case stands.
        merged_from: the state it was merged in, for a duplicate.

    """
    return [
        each
        for each in TRANSITIONS
        if each.source == state and (each.action != "unmerge" or each.target == merged_from)
    ]


def steps(state: State, merged_from: State | None = None) -> list[Step]:
    """Return what can be done from a state, guards aside; see `possible`."""
    return [Step(action=each.action, to=each.target) for each in possible(state, merged_from)]


def find(case: Case, goal: ComplaintTransition) -> Transition:
    """Return the transition a command names.

    Raises:
        Conflict: there is none from this state; ``allowed`` in the answer names those there are.

    """
    state = case.state
    for each in possible(state, case.merged_from):
        if goal.action in (None, each.action) and goal.to in (None, each.target):
            return each
    wanted = goal.action or goal.to
    allowed = steps(state, case.merged_from)
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
        action: a transition's, or ``open``, ``update`` or ``tell``.
        source: state before, None for the first.
        target: state after; the same as before for ``update`` and ``tell``.
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
    return Case.model_validate({**_LATER, **before, **_implied(before, event), **event.data, **stamp})


_LATER: Final[Mapping[str, Any]] = {
    "order_ids": [],
    "products": [],
    "regulator_ref": None,
    "merged_from": None,
    "reopens_id": None,
}
"""Fields that the first events of older cases do not name."""


def _implied(before: Mapping[str, Any], event: Event) -> dict[str, Any]:
    """Return what events of older releases meant without naming it."""
    if event.action == "mark_duplicate":
        return {"merged_from": event.source}
    if "order_id" in event.data:
        known = [UUID(str(each)) for each in before.get("order_ids", ())]
        return orders(None if event.data["order_id"] is None else UUID(str(event.data["order_id"])), None, known)
    return {}


def orders(order_id: UUID | None, order_ids: Iterable[UUID] | None, known: Iterable[UUID] = ()) -> dict[str, Any]:
    """Return ``order_id`` and ``order_ids`` as they go together: the main order is the first of all.

    Args:
        order_id: the main order.
        order_ids: all orders, or None when only the main one is named: it takes the place of the one before.
        known: all orders there were.

    """
    others = list(known)[1:] if order_ids is None else list(order_ids)
    first = [] if order_id is None else [order_id]
    every = list(dict.fromkeys([*first, *others]))
    return {"order_id": every[0] if every else None, "order_ids": every}


def replay(events: Iterable[Event]) -> Case:
    """Return the case that its events, oldest first, add up to."""
    case: Case | None = None
    for event in events:
        case = apply(case, event)
    if case is None:
        raise ValueError("a case begins with an event")
    return case


def opened(data: ComplaintCreate, now: datetime, *, reopens_id: UUID | None = None) -> Event:
    """Return the first event of a case; ``reopens_id`` is the case it takes up again, if it does."""
    later = dict.fromkeys(("decision", "reason", "merged_into_id", "acknowledged_at", "resolved_at", "closed_at"))
    fields = {**data.model_dump(), **later, "merged_from": None, "decision_told_at": None, "reopened": 0}
    fields |= {**orders(data.order_id, data.order_ids), "reopens_id": reopens_id}
    fields["received_at"] = data.received_at or now
    if fields["received_at"] > now:
        raise Invalid.field("/received_at", "in_the_future", "This is still to come", "该时间尚未到来")
    return Event(1, now, "open", None, "received", fields)


def updated(case: Case, data: ComplaintUpdate, now: datetime) -> Event | None:
    """Return the event of a change of fields, or None when nothing differs.

    Raises:
        Conflict: a closed case would lose what it needed to be closed.

    """
    given, before = data.model_dump(include=data.model_fields_set), case.model_dump()
    if given.keys() & {"order_id", "order_ids"}:
        given |= orders(given.get("order_id"), given.get("order_ids"), case.order_ids)
    changes = {name: value for name, value in given.items() if before[name] != value}
    if not changes:
        return None
    event = Event(case.version + 1, now, "update", case.state, case.state, changes)
    _keep_promises(apply(case, event))
    return event


def told(case: Case, at: datetime, now: datetime) -> Event | None:
    """Return the event of telling the customer the decision, or None when they were told it before.

    Args:
        case: as it is.
        at: when they were told.
        now: the time.

    Raises:
        Conflict: there is no decision to tell (``nothing_to_tell``).

    """
    if case.state not in TELLING:
        raise Conflict(
            f"There is no decision to tell in '{case.state}': propose, resolve or reject first",
            zh=f"“{case.state}” 状态下没有可告知的处理结果：请先提出方案、解决或驳回",
            code="nothing_to_tell",
        )
    if case.decision_told_at is not None:
        return None
    return Event(case.version + 1, now, "tell", case.state, case.state, {"decision_told_at": at})


def decided(
    case: Case,
    goal: ComplaintTransition,
    now: datetime,
    parent: Case | None = None,
    *,
    window: timedelta = REOPEN_WINDOW,
) -> Event:
    """Return the event of a step.

    Args:
        case: as it is.
        goal: the step wanted and what comes with it.
        now: the time.
        parent: the case named by ``merged_into``, if there is one.
        window: how long after its resolution a case can be reopened.

    Raises:
        Conflict: the step is not allowed from this state (``transition_not_allowed``), comes too late
            (``reopen_window_over``), or lacks what it needs (``transition_guard``).
        Invalid: something needed was not given, or something was given that does not belong to the step.

    """
    step = find(case, goal)
    _refuse_strays(step, goal)
    attempt = _Attempt(case, goal, now, parent, window)
    lacking = [each for each in (GUARDS[guard].check(attempt) for guard in step.guards) if each is not None]
    if lacking:
        raise _refusal(lacking)
    event = Event(case.version + 1, now, step.action, step.source, step.target, _changes(step, attempt), goal.note)
    _keep_promises(apply(case, event))
    return event


@dataclass(frozen=True, slots=True)
class _Attempt:
    case: Case
    goal: ComplaintTransition
    now: datetime
    parent: Case | None
    window: timedelta

    @property
    def root_cause(self) -> str | None:
        return self.goal.root_cause or self.case.root_cause

    @property
    def tells(self) -> bool:
        return self.goal.decision_told or self.goal.notice is not None


def _changes(step: Transition, attempt: _Attempt) -> dict[str, Any]:
    goal, now = attempt.goal, attempt.now
    changes: dict[str, Any] = {
        name: getattr(goal, name) for name in ("reason", "root_cause", "decision") if getattr(goal, name) is not None
    }
    if attempt.tells:
        changes["decision_told_at"] = now
    elif _is_void(step, attempt):
        changes["decision_told_at"] = None
    if step.action == "mark_duplicate":
        changes |= {"merged_into_id": goal.merged_into, "merged_from": step.source}
    if step.action == "unmerge":
        changes |= {"merged_into_id": None, "merged_from": None}
    if step.action == "reopen":
        changes |= dict.fromkeys(("resolved_at", "closed_at"))
        changes["reopened"] = attempt.case.reopened + 1
    stamp = _STAMPS.get(step.target)
    # Un-merged, a case is as it was: it was acknowledged, resolved or closed then, and not now.
    if stamp is not None and step.action != "unmerge":
        changes[stamp] = now
    return changes


def _is_void(step: Transition, attempt: _Attempt) -> bool:
    """Tell whether what the customer was told holds no more: a new decision has to be found, or is another one."""
    overturned = step.source in DECIDED and step.target in {"in_progress", "rejected"}
    return attempt.case.decision_told_at is not None and (overturned or _changes_decision(attempt))


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
    if goal.notice is not None and step.target not in TELLING:
        errors.append(_stray("/notice", step))
    if goal.notice_channel is not None and goal.notice is None:
        errors.append(_stray("/notice_channel", step))
    if errors:
        raise Invalid(errors=errors)


def _stray(pointer: str, step: Transition) -> FieldError:
    return FieldError(
        pointer, "not_expected", f"This does not belong to '{step.action}'", f"“{step.action}” 不接受此字段"
    )


# -- guards ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guard:
    """What must hold for a step: a sentence for the documents, and a check.

    The check returns what the case lacks, so that all of it is told at once; it raises where the step itself is wrong.
    """

    says: str
    check: Callable[[_Attempt], FieldError | None]


def _told(attempt: _Attempt) -> FieldError | None:
    told_before = attempt.case.decision_told_at is not None and not _changes_decision(attempt)
    return None if attempt.tells or told_before else _NOT_TOLD


def _changes_decision(attempt: _Attempt) -> bool:
    return attempt.goal.decision not in (None, attempt.case.decision)


def _cause_known(attempt: _Attempt) -> FieldError | None:
    return _NO_CAUSE if attempt.case.severity in GRAVE and attempt.root_cause is None else None


def _refusal(lacking: list[FieldError]) -> Conflict:
    first = lacking[0]
    return Conflict(first.message, zh=first.message_zh, code="transition_guard", errors=lacking)


_NOT_TOLD: Final = FieldError(
    "/decision_told", "decision_not_told", "Tell the customer the decision first", "请先告知客户处理结果"
)
_NO_CAUSE: Final = FieldError(
    "/root_cause",
    "root_cause_missing",
    "A case of severity S1 or S2 is not closed without its root cause",
    "严重等级 S1、S2 的投诉须先填写根本原因才能关闭",
)


def _in_window(attempt: _Attempt) -> FieldError | None:
    ended = attempt.case.resolved_at
    if ended is not None and attempt.now - ended > attempt.window:
        days = attempt.window.days
        raise Conflict(
            f"It was resolved more than {days} days ago: take it up in a new case that is linked to it, with "
            "POST /v1/complaints/{id}/follow-on",
            zh=f"解决已超过 {days} 天：请通过 POST /v1/complaints/{{id}}/follow-on 新建关联投诉",
            code="reopen_window_over",
        )
    return None


def can_be_reopened(case: Case, now: datetime, window: timedelta) -> bool:
    """Tell whether a case still is, or can be, open: then it needs no other to go on in."""
    ended = case.resolved_at
    return case.state in OPEN or (case.state in {"resolved", "closed"} and ended is not None and now - ended <= window)


def _reason_given(attempt: _Attempt) -> FieldError | None:
    if attempt.goal.reason is None:
        raise Invalid.field("/reason", "required", "Say why", "请说明原因")
    return None


def _merges(attempt: _Attempt) -> FieldError | None:
    if attempt.goal.merged_into is None:
        raise Invalid.field("/merged_into", "required", "Name the case this one repeats", "请指定被重复的投诉")
    if attempt.parent is None:
        raise Invalid.field("/merged_into", "unknown_reference", "There is no such other case", "没有这样的其他投诉")
    if attempt.parent.state == "duplicate":
        raise Invalid.field(
            "/merged_into", "is_duplicate", "That case is a duplicate itself: name its original", "该投诉本身是重复件"
        )
    if attempt.parent.state not in (*OPEN, "resolved"):
        text = f"That case is '{attempt.parent.state}', and nobody handles it: reopen it first, or take it up again"
        zh = f"该投诉状态为 “{attempt.parent.state}”，已无人处理：请先重新打开，或新建后续投诉"
        raise Invalid.field("/merged_into", "not_open", text, zh)
    return None


GUARDS: Final[Mapping[str, Guard]] = {
    "decision_told": Guard("the customer has been told the decision", _told),
    "root_cause": Guard("the root cause is set for severity S1 and S2", _cause_known),
    "window": Guard("at most `reopen_days` after the resolution", _in_window),
    "reason": Guard("a reason is given", _reason_given),
    "merged_into": Guard("the case it repeats is named, is open or resolved, and no duplicate itself", _merges),
}


def _keep_promises(case: Case) -> None:
    """Raise when a closed case lacks what closing needed, also one that is closed again by being un-merged."""
    if case.state == "closed" and case.severity in GRAVE and case.root_cause is None:
        raise _refusal([_NO_CAUSE])


# -- the drawing -------------------------------------------------------------------------------------------------------


def mermaid() -> str:
    """Return the state machine as a Mermaid diagram; docs/domains/complaints.md holds it."""
    inside: list[str] = []
    ending: list[str] = []
    outside: list[str] = []
    for each in TRANSITIONS:
        if {each.source, each.target} <= {*OPEN}:
            inside.append(_arrow(each.source, each.target, each))
        elif {each.source, each.target} <= {*LIVE}:
            ending.append(_arrow(each.source, each.target, each))
        # What leads out of every live state, or back into the one before, is drawn once.
        elif each.source == LIVE[0]:
            outside.append(_arrow("live", each.target, each))
        elif each.target == LIVE[0]:
            outside.append(_arrow(each.source, "live", each))
    lines = [
        "stateDiagram-v2",
        "    [*] --> live",
        "    state live {",
        "        [*] --> open",
        "        state open {",
        "            [*] --> received : open",
        *(f"            {arrow}" for arrow in inside),
        "        }",
        *(f"        {arrow}" for arrow in ending),
        "    }",
        *(f"    {arrow}" for arrow in outside),
    ]
    return "\n".join(lines) + "\n"


def _arrow(source: str, target: str, step: Transition) -> str:
    guards = f" [{', '.join(step.guards)}]" if step.guards else ""
    return f"{source} --> {target} : {step.action}{guards}"
