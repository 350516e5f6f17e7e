"""From a case to its clocks: pure.

`entries` turns what is stored of a case (its events, what was said, what was marked, the cases merged into it) into the
log that `crm_api.core.service_clocks` reckons with. `judge` says which policy holds for which clock and asks the
engine. `kept` holds what was announced against what is reckoned now: facts stay. `alerts` lists what is to be announced
by a moment. Nothing here reads or writes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from crm_api.calendars.models import EARLIEST
from crm_api.complaints.clock_models import step_key
from crm_api.complaints.models import Case
from crm_api.complaints.rules import TELLING, Event
from crm_api.core.business_hours import BusinessHours
from crm_api.core.service_clocks import (
    ALWAYS,
    PRESETS,
    Clock,
    ClockPolicy,
    ClockRun,
    ClockState,
    Entry,
    Kind,
    Target,
    clocks,
    next_change,
)

ENDS: Final = frozenset({"duplicate", "withdrawn", "rejected"})
_ANSWERED: Final = frozenset({"resolved", "closed"})

# -- the log -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a case: `in` from the customer, `out` to them; `internal` ones move nothing."""

    at: datetime
    direction: str


@dataclass(frozen=True, slots=True)
class CaseFile:
    """What is stored of a case.

    Attributes:
        events: its log, oldest first.
        said: its messages.
        marks: what was marked and when, such as ``("return_received", at)``.
        merged: cases that are merged into it.

    """

    events: Sequence[Event]
    said: Sequence[Said] = ()
    marks: Sequence[tuple[str, datetime]] = ()
    merged: Sequence["CaseFile"] = ()

    @property
    def erased(self) -> bool:
        """Tell whether an erasure has blanked what the log said: clocks cannot be derived from it any more."""
        return not self.events or "received_at" not in self.events[0].data


def entries(case: CaseFile) -> list[Entry]:
    """Return a case's log as the engine reads it.

    Of cases merged into it the earliest opening counts, and what was said, acknowledged and marked there; their own
    states, decisions and ends do not. What was said before that opening is no word about the case: it answers
    nothing, and nothing waits for an answer to it.
    """
    own = _own(case)
    first = own[0]
    heard = [entry for child in case.merged for entry in _heard(child)]
    opened_at = min([first.at, *(each.at for each in heard if each.kind == "opened")])
    others = [each for each in [*own[1:], *heard] if each.kind != "opened"]
    said = _WORDS.values()
    heeded = [each for each in others if each.kind not in said or each.at >= opened_at]
    return [replace(first, at=opened_at), *_marks(case), *heeded]


def _own(case: CaseFile) -> list[Entry]:
    first = case.events[0]
    decided = _instant(first.data["received_at"])
    made = [Entry(decided, "opened", first.target, first.data["severity"])]
    # What was said comes before the steps of the same instant: a case is rejected with a word to the customer.
    made += _words(case.said)
    for event in _without_undone(case.events[1:]):
        if event.target in TELLING and (event.source not in TELLING or "decision" in event.data):
            decided = event.at
        told = event.data.get("decision_told_at")
        if told is not None:
            # Nobody can have told a decision before there was one, whatever the message says.
            made.append(Entry(max(_instant(told), decided), "decided"))
        made.append(Entry(event.at, _kind(event), event.target, event.data.get("severity")))
    return made


def _heard(case: CaseFile) -> list[Entry]:
    """Return what a case that was merged brings along, those merged into it included.

    One that was resolved by then waited for nothing any more: it brings what was said, and no earlier opening.
    """
    merged_from = next((each.source for each in reversed(case.events) if each.action == "mark_duplicate"), None)
    heard = {*_WORDS.values(), *(() if merged_from in _ANSWERED else ("opened", "acknowledged"))}
    own = [Entry(each.at, each.kind) for each in _own(case) if each.kind in heard]
    return [*own, *(entry for child in case.merged for entry in _heard(child))]


def _marks(case: CaseFile) -> list[Entry]:
    """Return what was marked, those merged into it included; one refund that was noted for several is one."""
    own = [Entry(at, _MARKS[what]) for what, at in case.marks]
    return list(dict.fromkeys([*own, *(entry for child in case.merged for entry in _marks(child))]))


def _words(said: Iterable[Said]) -> list[Entry]:
    return [Entry(each.at, _WORDS[each.direction]) for each in said if each.direction in _WORDS]


_WORDS: Final[Mapping[str, Kind]] = {"in": "customer_message", "out": "staff_message"}
_MARKS: Final[Mapping[str, Kind]] = {"return_received": "return_received", "refunded": "refunded"}


def _kind(event: Event) -> Kind:
    if event.action == "reopen":
        return "reopened"
    if event.source == event.target or event.action == "unmerge":
        return "changed"
    if event.target in ENDS:
        return "ended"
    kinds: Mapping[str, Kind] = {"acknowledged": "acknowledged", "resolved": "resolved"}
    return kinds.get(event.target, "changed")


def _without_undone(events: Sequence[Event]) -> list[Event]:
    """Leave out merges that were undone: the customer has waited all the time, as if it had never been merged."""
    kept: list[Event] = []
    for event in events:
        if event.action == "unmerge":
            last = max((at for at, each in enumerate(kept) if each.target == "duplicate"), default=None)
            if last is not None:
                # What was changed while it was a duplicate stays, in the state of before.
                before: Any = kept[last].source
                kept[last:] = [replace(each, source=before, target=before) for each in kept[last + 1 :]]
                event = replace(event, source=before)  # noqa: PLW2901 - seen as if nothing had been in between
        kept.append(event)
    return kept


def _instant(value: Any) -> datetime:
    """Return a moment of a log; what 0.1 took from before 1970 counts from there, where calendars begin."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return max(at, EARLIEST)


# -- policies ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A step of escalation; see `clock_models.EscalationStep`."""

    at: Literal["warn", "breach"]
    clock: str | None
    after: timedelta
    action: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return what identifies it within its policy."""
        return step_key(self.at, self.clock, self.after // timedelta(minutes=1), self.action)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it is reckoned with.

    Attributes:
        id: the policy's.
        conditions: for which cases it is.
        clocks: what holds for which clock.
        steps: of escalation.
        hours: its calendar's.

    """

    id: UUID
    conditions: Mapping[str, Sequence[str] | None]
    clocks: Mapping[Clock, ClockPolicy]
    steps: Sequence[Step]
    hours: BusinessHours

    def is_for(self, case: Case) -> bool:
        """Tell whether a case meets the conditions."""
        return all(wanted is None or _meets(name, case, wanted) for name, wanted in self.conditions.items())


def _meets(name: str, case: Case, wanted: Sequence[str]) -> bool:
    value = getattr(case, name)
    if name == "category":
        return any(prefix in wanted for prefix in paths_of(value))
    return value in wanted


def paths_of(path: str | None) -> list[str]:
    """Return a path of causes and all above it: ``a/b`` is ``["a", "a/b"]``."""
    parts = [] if path is None else path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]


def policy_of(row: Mapping[str, Any], hours: BusinessHours) -> Policy:
    """Return a stored policy."""
    return Policy(
        id=row["id"],
        conditions=row["conditions"],
        clocks={each["clock"]: _terms(each) for each in row["clocks"]},
        steps=[
            Step(each["at"], each["clock"], timedelta(minutes=each["after_minutes"]), each["action"], each)
            for each in row["escalations"]
        ],
        hours=hours,
    )


def _terms(stored: Mapping[str, Any]) -> ClockPolicy:
    targets = {
        "" if each["severity"] == "default" else each["severity"]: Target(
            each["minutes"], each["working_days"], each["natural"]
        )
        for each in stored["targets"]
    }
    return ClockPolicy(targets, frozenset(stored["paused_in"]), stored["warn_percent"])


def preset_terms(name: str) -> list[dict[str, Any]]:
    """Return the clocks of a preset as a policy stores them."""
    return [
        {
            "clock": clock,
            "targets": [
                {
                    "severity": severity or "default",
                    "minutes": target.minutes,
                    "working_days": target.working_days,
                    "natural": target.natural,
                }
                for severity, target in policy.targets.items()
            ],
            "paused_in": sorted(policy.paused_in),
            "warn_percent": policy.warn_percent,
        }
        for clock, policy in PRESETS[name].policies.items()
    ]


# -- the clocks of a case ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """A run of a clock, and the policy it follows."""

    policy: Policy
    run: ClockRun
    natural: bool


def judge(case: Case, log: CaseFile, policies: Sequence[Policy], now: datetime) -> list[Judged]:
    """Return every run of every clock of a case as of a moment.

    Each clock follows the first policy that is for the case, as it is now, and has that clock.

    Args:
        case: as it is.
        log: what is stored of it.
        policies: active ones, the first to be asked first.
        now: the moment.

    """
    written = entries(log)
    taken: set[Clock] = set()
    made: list[Judged] = []
    for policy in policies:
        if not policy.is_for(case):
            continue
        own = {clock: terms for clock, terms in policy.clocks.items() if clock not in taken}
        taken |= set(own)
        made += [
            Judged(policy, run, _natural(own[run.clock], case.severity))
            for run in clocks(written, own, policy.hours, now)
        ]
    return made


def _natural(terms: ClockPolicy, severity: str) -> bool:
    target = terms.target(severity)
    return target is not None and target.natural


# -- what was announced, and what is to be -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """A stored run: what of it was announced stays, whatever is reckoned now; all of it once it has stopped."""

    id: UUID
    clock: Clock
    nth: int
    started_at: datetime
    warned_at: datetime | None
    breached_at: datetime | None
    stopped_at: datetime | None = None
    state: ClockState = "running"
    due_at: datetime | None = None
    warn_at: datetime | None = None
    spent: timedelta = timedelta()


Identity = tuple[str, datetime | None, int]
"""A clock, when the run started, and which it is of those that started then; `complaint_clocks` is unique by it."""
_REPEATED: Final = frozenset({"next_response", "refund"})


def identities(runs: Iterable[ClockRun]) -> list[Identity]:
    """Return what makes each run, given in their order, the same one although the log has grown in front of it.

    Most clocks have one run: it stays the same when a merged case brings an earlier opening. Of others each run is told
    by its start, and of those that start at one instant by their order, too.
    """
    seen: Counter[tuple[str, datetime]] = Counter()
    found = list[Identity]()
    for run in runs:
        seen[run.clock, run.started_at] += 1
        found.append(_identity(run.clock, run.started_at, seen[run.clock, run.started_at]))
    return found


def _identity(clock: Clock, started_at: datetime, nth: int) -> Identity:
    return clock, started_at if clock in _REPEATED else None, nth


def matched(runs: Sequence[ClockRun], stored: Iterable[Known]) -> list[Known | None]:
    """Return for each run the stored one that it is, if it was stored.

    A wait that is under way is the same one when a word of before, recorded late, begins it earlier.
    """
    left = {_identity(each.clock, each.started_at, each.nth): each for each in stored}
    same = [left.pop(key, None) for key in identities(runs)]
    for place, run in enumerate(runs):
        if same[place] is None and run.stopped_at is None:
            later = [key for key, each in left.items() if each.clock == run.clock and _began_later(each, run)]
            if len(later) == 1:
                same[place] = left.pop(later[0])
    return same


def _began_later(known: Known, run: ClockRun) -> bool:
    return known.stopped_at is None and known.started_at > run.started_at


def is_final(run: ClockRun, known: Known | None) -> bool:
    """Tell whether a run was judged when it stopped, and the log has not moved its start, its end or its reason since.

    Its judgement stays then: neither another policy nor another calendar makes a met clock a missed one.
    """
    if known is None or known.stopped_at is None:
        return False
    same_end = known.state == "breached" or (known.state == "cancelled") == run.cancelled
    return same_end and (run.started_at, run.stopped_at) == (known.started_at, known.stopped_at)


def kept(run: ClockRun, known: Known | None) -> ClockRun:
    """Return a run with what was judged or announced of it: a longer limit or another calendar takes nothing back.

    A run that begins later than it did began with a case that was merged then and is not any more: what was missed from
    there on is not its own.
    """
    if known is None or run.started_at > known.started_at:
        return run
    if is_final(run, known):
        return replace(
            run,
            state=known.state,
            due_at=known.due_at,
            warn_at=known.warn_at,
            warned_at=known.warned_at,
            breached_at=known.breached_at,
            spent=known.spent,
        )
    if known.breached_at is not None:
        missed = known.breached_at
        run = replace(run, state="breached", breached_at=missed, due_at=missed)
    if known.warned_at is not None:
        run = replace(run, warned_at=known.warned_at, warn_at=known.warned_at)
    return run


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to announce once.

    Attributes:
        what: ``warned``, ``breached`` or ``escalated``.
        at: the moment it was due.
        step: of the policy, for ``escalated``.

    """

    what: Literal["warned", "breached", "escalated"]
    at: datetime
    step: Step | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Return what identifies it within its run."""
        return self.what, "" if self.step is None else self.step.key


def alerts(judged: Judged) -> list[Alert]:
    """Return everything a run announces sooner or later, if nothing else happens to the case."""
    run, made = judged.run, list[Alert]()
    if run.warned_at is not None:
        made.append(Alert("warned", run.warned_at))
    if run.breached_at is not None:
        made.append(Alert("breached", run.breached_at))
    for step in judged.policy.steps:
        begun = run.warned_at if step.at == "warn" else run.breached_at
        if begun is None or step.clock not in {None, run.clock}:
            continue
        at = (ALWAYS if judged.natural else judged.policy.hours).due(begun, step.after)
        if at is not None and (run.stopped_at is None or at < run.stopped_at or not step.after):
            made.append(Alert("escalated", at, step))
    return made


def next_look(judged: Iterable[Judged], now: datetime) -> datetime | None:
    """Return when something will be due to be announced: the first moment after ``now`` at which to look again."""
    found = list(judged)
    moment = next_change(each.run for each in found if each.run.breached_at is None)
    later = [alert.at for each in found for alert in alerts(each) if alert.at > now]
    return min([*later, *([] if moment is None else [moment])], default=None)


def due_of(runs: Iterable[ClockRun]) -> datetime | None:
    """Return until when the first clock that has not stopped must stop, be it missed."""
    return min((run.due_at for run in runs if run.stopped_at is None and run.due_at is not None), default=None)
