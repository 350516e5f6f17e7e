"""Clocks of a case: what is due, warned of and missed at a moment, derived from its log alone.

``clocks(log, policies, hours, now)`` is a pure function. Entries later than ``now`` play no part, so it tells for any
moment what it told then; nothing is stored that could go stale, and a worker that was down for a day finds the same.

How a clock runs:

* It starts, stops, is cancelled and goes on by kinds of entries (`RULES`). ``next_response`` starts at the first
  customer message nobody has answered, each time anew: its runs are numbered.
* Its limit depends on the priority of the moment. What has been spent counts against a new limit; a limit that is used
  up already when it comes is missed at that moment.
* In states named by the policy it stands still.
* What is missed stays missed: no pause, longer limit, answer or reopening takes it back. An answer at ``due_at`` itself
  is in time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from crm_api.core.business_hours import MINUTES_A_DAY, BusinessHours, Pause

Clock = Literal["acknowledge", "first_response", "next_response", "resolution", "decision", "refund"]
Kind = Literal[
    "opened",
    "acknowledged",
    "customer_message",
    "staff_message",
    "decided",
    "resolved",
    "reopened",
    "return_received",
    "refunded",
    "ended",
    "changed",
]
ClockState = Literal["running", "paused", "met", "breached", "cancelled"]

ALWAYS: Final = BusinessHours(ZoneInfo("UTC"), {day: [(0, MINUTES_A_DAY)] for day in range(1, 8)})
"""Natural time."""
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened to a case.

    Attributes:
        at: when.
        kind: what. ``decided``: the customer was told the decision. ``ended``: withdrawn, rejected or a duplicate.
            ``changed``: nothing but what follows.
        state: the case's state from then on; None if it is as before.
        priority: likewise.

    """

    at: datetime
    kind: Kind
    state: str | None = None
    priority: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """How long something may take: either minutes or working days.

    Attributes:
        minutes: of business time.
        working_days: full days after that of the start; due when work ends on the last (`BusinessHours.due_days`).
        natural: whether minutes are of natural time, as platforms and laws count hours.

    """

    minutes: int | None = None
    working_days: int | None = None
    natural: bool = False


@dataclass(frozen=True, slots=True)
class ClockPolicy:
    """What holds for one clock.

    Attributes:
        targets: priority → limit; ``""`` for any other priority. Without a limit the clock only measures.
        paused_in: states of the case in which it stands still.
        warn_percent: share of the limit after which it warns; None for never. Of working days whole ones, at least one.

    """

    targets: Mapping[str, Target]
    paused_in: frozenset[str] = frozenset()
    warn_percent: int | None = 80

    def target(self, priority: str | None) -> Target | None:
        """Return the limit at a priority."""
        return self.targets.get(priority or "", self.targets.get(""))


@dataclass(frozen=True, slots=True)
class ClockRun:
    """One run of a clock, as it is at a moment.

    Attributes:
        clock: which.
        cycle: counts its runs from 1; with the clock's name it identifies what is announced once.
        state: ``breached`` also after it has stopped, if that was too late.
        started_at: when it started.
        due_at: until when it must stop; None while it stands still and without a limit.
        warn_at: when it warns; None likewise.
        warned_at: when it warned.
        breached_at: the due time that was missed.
        stopped_at: when what it waits for happened, or when it was cancelled.
        spent: time used up, business or natural as the limit is; business time for working days.
        cancelled: whether it stopped because it became pointless, be it missed.

    """

    clock: Clock
    cycle: int
    state: ClockState
    started_at: datetime
    due_at: datetime | None
    warn_at: datetime | None
    warned_at: datetime | None
    breached_at: datetime | None
    stopped_at: datetime | None
    spent: timedelta
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Which entries move a clock.

    Attributes:
        starts: begin a run, unless one is open.
        stops: what it waits for.
        cancels: make it pointless.
        resumes: let the last run, if it has stopped, go on; the time between does not count.
        after: one of these must have come before a run can start.
        while_open: whether nothing starts between ``resolved`` or ``ended`` and ``reopened``.
        ahead: whether what it waits for counts for the next run if it came before: that one is met as it starts.

    """

    starts: frozenset[Kind]
    stops: frozenset[Kind]
    cancels: frozenset[Kind] = frozenset({"ended"})
    resumes: frozenset[Kind] = frozenset()
    after: frozenset[Kind] = frozenset()
    while_open: bool = True
    ahead: bool = False

    def heeds(self, entry: Entry) -> bool:
        """Tell whether an entry can make a difference; of a long conversation most cannot."""
        if entry.state is not None or entry.priority is not None or entry.kind in _ENDS:
            return True
        return any(entry.kind in kinds for kinds in (self.starts, self.stops, self.cancels, self.resumes, self.after))


_ENDS: Final[frozenset[Kind]] = frozenset({"resolved", "ended", "reopened"})


def _kinds(*kinds: Kind) -> frozenset[Kind]:
    return frozenset(kinds)


RULES: Final[Mapping[Clock, Rule]] = {
    "acknowledge": Rule(_kinds("opened"), _kinds("acknowledged", "staff_message", "decided", "resolved")),
    "first_response": Rule(_kinds("opened"), _kinds("staff_message", "decided"), _kinds("ended", "resolved")),
    "next_response": Rule(
        _kinds("customer_message", "reopened"),
        _kinds("staff_message", "decided"),
        _kinds("ended", "resolved"),
        after=_kinds("staff_message", "decided", "resolved"),
    ),
    "resolution": Rule(_kinds("opened"), _kinds("resolved"), resumes=_kinds("reopened")),
    "decision": Rule(_kinds("opened"), _kinds("decided"), resumes=_kinds("reopened")),
    "refund": Rule(_kinds("return_received"), _kinds("refunded"), while_open=False, ahead=True),
}
"""Customer messages before the first response wait for that one; a reopened case is a customer's unanswered word."""


def clocks(
    log: Iterable[Entry], policies: Mapping[Clock, ClockPolicy], hours: BusinessHours, now: datetime
) -> list[ClockRun]:
    """Return every run of every clock that has a policy, as of a moment.

    Args:
        log: what happened, in any order; entries of the same instant in the order they are given.
        policies: what holds for which clock.
        hours: the business calendar.
        now: the moment; what came later is not looked at.

    """
    past = sorted((entry for entry in log if entry.at <= now), key=lambda entry: entry.at)
    return [run for clock in RULES if clock in policies for run in _runs(clock, policies[clock], past, hours, now)]


def next_change(runs: Iterable[ClockRun]) -> datetime | None:
    """Return the first moment at which one of these runs warns or is missed by itself: when to look again."""
    moments = []
    for run in runs:
        if run.state == "running":
            if run.warned_at is None and run.warn_at is not None:
                moments.append(run.warn_at)
            if run.due_at is not None:
                moments.append(run.due_at + _MICROSECOND)
    return min(moments, default=None)


# -- one clock ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Meter:
    """A run that is being measured: it is told how far it went and in which circumstances."""

    hours: BusinessHours
    started_at: datetime
    since: datetime
    target: Target | None = None
    paused: bool = False
    stopped_at: datetime | None = None
    cancelled: bool = False
    reached: datetime | None = None
    """The due time, once it was reached without the clock having stopped."""
    warned_at: datetime | None = None
    business: timedelta = timedelta()
    natural: timedelta = timedelta()
    pauses: list[Pause] = field(default_factory=list)

    def go(self, until: datetime, warn_percent: int | None) -> None:
        """Run, or stand still, until a moment."""
        if self.paused:
            self.pauses.append((self.since, until))
        else:
            due, warn = self.due(), self.warn(warn_percent)
            if self.reached is None and due is not None and due <= until:
                self.reached = due
            if self.warned_at is None and warn is not None and warn <= until:
                self.warned_at = warn
            self.business += self.hours.worked(self.since, until)
            self.natural += until - self.since
        self.since = until

    def stop(self, at: datetime, *, cancelled: bool) -> None:
        """Stop; what is stopped at its due time is in time."""
        self.stopped_at, self.cancelled = at, cancelled
        if self.reached == at:
            self.reached = None

    def resume(self, at: datetime) -> None:
        """Go on where it stopped."""
        if self.stopped_at is not None:
            self.pauses.append((self.stopped_at, at))
        self.stopped_at, self.cancelled, self.since = None, False, at

    def due(self) -> datetime | None:
        """Return when the limit is reached if it runs on from ``since``."""
        return self._used_up(100)

    def warn(self, percent: int | None) -> datetime | None:
        """Return when so much of the limit is used up if it runs on from ``since``."""
        return None if percent is None else self._used_up(percent)

    def spent(self) -> timedelta:
        """Return the time used up."""
        return self.natural if self.target is not None and self.target.natural else self.business

    def _used_up(self, percent: int) -> datetime | None:
        if self.target is None:
            return None
        if self.target.working_days is not None:
            days = max(1, self.target.working_days * percent // 100)
            found = self.hours.due_days(self.started_at, days, self.pauses)
            return None if found is None else max(found, self.since)
        whole = timedelta(minutes=self.target.minutes or 0)
        hours = ALWAYS if self.target.natural else self.hours
        return hours.due(self.since, whole * percent / 100 - self.spent())


def _runs(
    clock: Clock, policy: ClockPolicy, log: Iterable[Entry], hours: BusinessHours, now: datetime
) -> list[ClockRun]:
    rule, meters = RULES[clock], list[_Meter]()
    state: str | None = None
    priority: str | None = None
    ready, closed, ahead = not rule.after, False, False
    for entry in filter(rule.heeds, log):
        last = meters[-1] if meters else None
        # Of several entries at one instant the last says what holds from then on.
        if last is not None and last.stopped_at is None and entry.at > last.since:
            last.go(entry.at, policy.warn_percent)
        state, priority = entry.state or state, entry.priority or priority
        ready = ready or entry.kind in rule.after
        closed = (closed or entry.kind in {"resolved", "ended"}) and entry.kind != "reopened"
        is_open = last is not None and last.stopped_at is None
        ahead = ahead or (rule.ahead and not is_open and entry.kind in rule.stops)
        if _move(rule, last, entry) and ready and not (closed and rule.while_open):
            # What came ahead has met it already: goods that come back after the money did.
            meters.append(_Meter(hours, entry.at, entry.at, stopped_at=entry.at if ahead else None))
            ahead = False
        for meter in meters[-1:]:
            if meter.stopped_at is None:
                meter.target, meter.paused = policy.target(priority), state in policy.paused_in
    for meter in meters[-1:]:
        if meter.stopped_at is None:
            meter.go(now, policy.warn_percent)
    return [_shown(clock, cycle, meter, policy, now) for cycle, meter in enumerate(meters, 1)]


def _move(rule: Rule, last: _Meter | None, entry: Entry) -> bool:
    """Stop or resume the last run; return whether the entry asks for a new one."""
    if last is not None and last.stopped_at is None:
        if entry.kind in rule.stops | rule.cancels:
            last.stop(entry.at, cancelled=entry.kind not in rule.stops)
        return False
    if last is not None and entry.kind in rule.resumes:
        last.resume(entry.at)
        return False
    return entry.kind in rule.starts


def _shown(clock: Clock, cycle: int, meter: _Meter, policy: ClockPolicy, now: datetime) -> ClockRun:
    end = meter.stopped_at or now
    missed = meter.reached is not None and meter.reached < end
    moving = not meter.paused and not meter.cancelled
    return ClockRun(
        clock=clock,
        cycle=cycle,
        state="breached" if missed else _calm(meter),
        started_at=meter.started_at.astimezone(UTC),
        due_at=meter.reached or (meter.due() if moving else None),
        warn_at=meter.warned_at or (meter.warn(policy.warn_percent) if moving else None),
        warned_at=meter.warned_at,
        breached_at=meter.reached if missed else None,
        stopped_at=meter.stopped_at,
        spent=meter.spent(),
        cancelled=meter.cancelled,
    )


def _calm(meter: _Meter) -> ClockState:
    if meter.cancelled:
        return "cancelled"
    if meter.stopped_at is not None:
        return "met"
    return "paused" if meter.paused else "running"


# -- presets -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClockPreset:
    """Limits to begin with.

    Attributes:
        policies: by clock.
        note: where they come from, in English and Chinese.

    """

    policies: Mapping[Clock, ClockPolicy]
    note: Mapping[Literal["en", "zh"], str]


_WAITING: Final = frozenset({"waiting_customer"})
_HOUR: Final = 60


def _by_severity(s1: int, s2: int, s3: int, s4: int) -> dict[str, Target]:
    minutes = {"S1": s1, "S2": s2, "S3": s3, "S4": s4, "": s3}
    return {severity: Target(minutes=each) for severity, each in minutes.items()}


PRESETS: Final[Mapping[str, ClockPreset]] = {
    "shop": ClockPreset(
        {
            "acknowledge": ClockPolicy(_by_severity(30, _HOUR, 4 * _HOUR, 8 * _HOUR)),
            "first_response": ClockPolicy(_by_severity(_HOUR, 2 * _HOUR, 8 * _HOUR, 16 * _HOUR)),
            "next_response": ClockPolicy(_by_severity(_HOUR, 2 * _HOUR, 8 * _HOUR, 16 * _HOUR)),
            "decision": ClockPolicy(_by_severity(8 * _HOUR, 16 * _HOUR, 32 * _HOUR, 64 * _HOUR), _WAITING),
            "resolution": ClockPolicy(_by_severity(12 * _HOUR, 24 * _HOUR, 40 * _HOUR, 80 * _HOUR), _WAITING),
        },
        {
            "en": "Our own starting points in business hours by severity, not a norm: ISO 10002 asks for prompt "
            "acknowledgement and names no hours. Set what you promise your customers.",
            "zh": "按严重等级设定的工作时间起始值，并非标准要求：ISO 10002 / GB/T 19012 要求及时告知已收到投诉，"
            "但未规定小时数。请按对顾客的承诺调整。",
        },
    ),
    "wechat_shop": ClockPreset(
        {"resolution": ClockPolicy({"": Target(minutes=48 * _HOUR, natural=True)})},
        {
            "en": "WeChat shop: 48 natural hours for a merchant to handle a case. A rule of the platform that it may "
            "change: check it against your shop's console.",
            "zh": "微信小店：商家须在 48 小时（自然时间）内处理。属平台规则，可能调整：请以店铺后台为准。",
        },
    ),
    "odr": ClockPreset(
        {
            "decision": ClockPolicy({"": Target(working_days=10)}),
            "resolution": ClockPolicy({"": Target(working_days=10)}),
        },
        {
            "en": "China's 12315 platform, online dispute resolution (ODR): a business settles with the consumer "
            "within 10 working days. The day of receipt is not counted, the last ends with business hours (Civil Code, "
            "Art. 201, 203).",
            "zh": "全国 12315 平台在线消费纠纷解决（ODR）：企业于 10 个工作日内与消费者协商和解。收到当日不计入，"
            "最后一日至停止业务活动时止（民法典第 201、203 条）。",
        },
    ),
    "refund": ClockPreset(
        {"refund": ClockPolicy({"": Target(minutes=7 * MINUTES_A_DAY, natural=True)})},
        {
            "en": "Refund within 7 days after the returned goods were received (Consumer Protection Law of China, "
            "Art. 25). Counted from the very hour: up to a day earlier than the law, which leaves the first day out.",
            "zh": "收到退回商品之日起七日内返还价款（消费者权益保护法第二十五条）。按收到的时刻起算，"
            "比法律（不计当日）最多早一天。",
        },
    ),
}
