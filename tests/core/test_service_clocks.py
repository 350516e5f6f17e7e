"""Clocks of a case: examples by hand, and any log against a count of single minutes."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.core.business_hours import BusinessHours, interval_of
from crm_api.core.service_clocks import (
    PRESETS,
    RULES,
    ClockPolicy,
    Entry,
    Target,
    clocks,
    next_change,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
MINUTE = timedelta(minutes=1)
HOURS = BusinessHours(SHANGHAI, {day: [(9 * 60, 17 * 60)] for day in range(1, 6)})
WAITING = frozenset({"waiting"})
HOUR = ClockPolicy({"": Target(minutes=60), "S1": Target(minutes=30)}, WAITING)


def at(text):
    return datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=SHANGHAI)


def run(clock, log, now, policy=HOUR):
    """Return the last run of one clock."""
    return clocks(log, {clock: policy}, HOURS, now)[-1]


OPENED = Entry(at("20T16:30"), "opened", "received", "S3")


class TestByHand:
    def test_it_runs_over_the_weekend_warns_and_is_missed(self):
        friday, monday = at("20T16:45"), at("23T09:30")
        shown = run("first_response", [OPENED], friday)
        assert (shown.state, shown.due_at, shown.spent) == ("running", monday, 15 * MINUTE)
        assert (shown.warn_at, shown.warned_at) == (at("23T09:18"), None)
        assert next_change([shown]) == at("23T09:18")
        warned = run("first_response", [OPENED], at("23T09:18"))
        assert (warned.state, warned.warned_at) == ("running", at("23T09:18"))
        assert next_change([warned]) == monday + timedelta(microseconds=1)
        assert run("first_response", [OPENED], monday).state == "running"
        missed = run("first_response", [OPENED], monday + MINUTE)
        assert (missed.state, missed.breached_at) == ("breached", monday)
        assert next_change([missed]) is None

    @pytest.mark.parametrize(("answered", "state"), [("23T09:30", "met"), ("23T09:31", "breached")])
    def test_an_answer_at_the_due_time_is_in_time(self, answered, state):
        log = [OPENED, Entry(at(answered), "staff_message")]
        shown = run("first_response", log, at("30T09:00"))
        assert (shown.state, shown.due_at, shown.stopped_at) == (state, at("23T09:30"), at(answered))

    def test_it_stands_still_while_it_waits(self):
        log = [OPENED, Entry(at("20T16:40"), "changed", state="waiting")]
        shown = run("resolution", log, at("26T12:00"))
        assert (shown.state, shown.due_at, shown.spent) == ("paused", None, 10 * MINUTE)
        log.append(Entry(at("26T10:00"), "customer_message", state="in_progress"))
        assert run("resolution", log, at("26T10:00")).due_at == at("26T10:50")

    def test_no_pause_takes_back_what_is_missed(self):
        late = at("23T10:00")
        log = [OPENED, Entry(late, "changed", state="waiting")]
        missed = run("resolution", log, late + MINUTE)
        assert (missed.state, missed.breached_at) == ("breached", at("23T09:30"))
        log += [
            Entry(late + MINUTE, "changed", state="in_progress", priority="S4"),
            Entry(late + 2 * MINUTE, "resolved"),
        ]
        log += [Entry(late + 3 * MINUTE, "reopened")]
        assert run("resolution", log, late + 9 * MINUTE).breached_at == at("23T09:30")

    def test_a_higher_priority_counts_what_is_spent(self):
        raised = [OPENED, Entry(at("20T16:50"), "changed", priority="S1")]
        assert run("resolution", raised, at("20T16:55")).due_at == at("20T17:00")
        too_late = [OPENED, Entry(at("23T09:20"), "changed", priority="S1")]
        assert run("resolution", too_late, at("23T09:25")).breached_at == at("23T09:20")

    def test_the_next_response_starts_at_the_first_unanswered_message(self):
        log = [
            OPENED,
            Entry(at("20T16:31"), "customer_message"),  # waits for the first response
            Entry(at("20T16:35"), "staff_message"),
            Entry(at("20T16:40"), "customer_message"),
            Entry(at("20T16:50"), "customer_message"),
            Entry(at("20T16:55"), "staff_message"),
            Entry(at("23T09:00"), "customer_message"),
        ]
        shown = clocks(log, {"next_response": HOUR}, HOURS, at("23T10:01"))
        assert [(each.cycle, each.state, each.started_at) for each in shown] == [
            (1, "met", at("20T16:40")),
            (2, "breached", at("23T09:00")),
        ]
        assert clocks(log, {"next_response": HOUR}, HOURS, at("20T16:39")) == []

    def test_a_reopened_case_goes_on_and_wants_an_answer(self):
        log = [OPENED, Entry(at("20T16:40"), "resolved"), Entry(at("24T10:00"), "reopened")]
        shown = clocks(log, {"next_response": HOUR, "resolution": HOUR}, HOURS, at("24T10:00"))
        assert [(each.clock, each.due_at) for each in shown] == [
            ("next_response", at("24T11:00")),
            ("resolution", at("24T10:50")),
        ]

    def test_a_withdrawn_case_is_due_no_more(self):
        log = [OPENED, Entry(at("20T16:40"), "ended")]
        found = clocks(log, dict.fromkeys(RULES, HOUR), HOURS, at("30T10:00"))
        assert {each.clock: each.state for each in found} == dict.fromkeys(
            ("acknowledge", "first_response", "resolution", "decision"), "cancelled"
        )

    def test_without_a_limit_it_measures(self):
        shown = run("resolution", [OPENED], at("23T09:10"), ClockPolicy({}))
        assert (shown.state, shown.due_at, shown.spent) == ("running", None, 40 * MINUTE)


class TestPresets:
    def test_each_has_a_note_in_both_languages(self):
        assert PRESETS.keys() == {"shop", "wechat_shop", "odr", "refund"}
        assert all(set(each.note) == {"en", "zh"} for each in PRESETS.values())

    @pytest.mark.parametrize(
        ("preset", "clock", "due"),
        [
            ("wechat_shop", "resolution", "2026-11-22T16:30"),
            ("odr", "decision", "2026-12-04T17:00"),
            ("shop", "first_response", "2026-11-23T16:30"),
            ("shop", "decision", "2026-11-26T16:30"),
        ],
    )
    def test_due(self, preset, clock, due):
        log = [Entry(at("20T16:30"), "opened", "received", "S3")]
        (shown,) = clocks(log, {clock: PRESETS[preset].policies[clock]}, HOURS, at("20T16:30"))
        assert shown.due_at == datetime.fromisoformat(due).replace(tzinfo=SHANGHAI)

    def test_a_refund_is_due_a_week_after_the_return(self):
        log = [OPENED, Entry(at("20T16:40"), "resolved"), Entry(at("22T10:00"), "return_received")]
        (shown,) = clocks(log, PRESETS["refund"].policies, HOURS, at("23T10:00"))
        assert (shown.state, shown.due_at) == ("running", at("29T10:00"))

    def test_money_that_came_before_the_goods_is_not_awaited(self):
        log = [OPENED, Entry(at("21T10:00"), "refunded"), Entry(at("22T10:00"), "return_received")]
        (shown,) = clocks(log, PRESETS["refund"].policies, HOURS, at("30T10:00"))
        assert (shown.state, shown.stopped_at, shown.breached_at) == ("met", at("22T10:00"), None)
        # It pays for one return only.
        log.append(Entry(at("23T10:00"), "return_received"))
        assert [each.state for each in clocks(log, PRESETS["refund"].policies, HOURS, at("30T12:00"))] == [
            "met",
            "breached",
        ]


# -- any log against single minutes ------------------------------------------------------------------------------------

BEGIN = at("19T15:00")
LENGTH = 3 * 1440
SPLIT = {day: [("09:00", "12:00"), ("13:30", "18:00")] for day in range(1, 6)} | {6: [("22:00", "02:00")]}
SPLIT_HOURS = BusinessHours(SHANGHAI, {day: [interval_of(*each) for each in given] for day, given in SPLIT.items()})
MOMENTS = [BEGIN + index * MINUTE for index in range(LENGTH + 1)]
WORKED = [SPLIT_HOURS.is_working(moment) for moment in MOMENTS]  # itself held against single minutes elsewhere
TARGETS = st.builds(Target, minutes=st.integers(1, 600), natural=st.booleans())
POLICIES = st.builds(
    ClockPolicy,
    st.fixed_dictionaries({}, optional={"": TARGETS, "S1": TARGETS, "S2": TARGETS}),
    st.sampled_from([frozenset(), WAITING]),
    st.sampled_from([None, 50, 80]),
)
KINDS = [
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
LOGS = st.lists(
    st.tuples(
        st.integers(1, LENGTH),
        st.sampled_from(KINDS),
        st.sampled_from([None, "waiting", "in_progress"]),
        st.sampled_from([None, "S1", "S2"]),
    ),
    max_size=9,
    unique_by=lambda each: each[0],
)


class MinuteClock:
    """One clock, told of every minute. It knows `RULES` and nothing of the engine."""

    def __init__(self, clock, policy):
        self.rule, self.policy = RULES[clock], policy
        self.runs, self.seen, self.closed, self.ahead = [], set(), False, False
        self.state = self.priority = None

    def tell(self, index, entry):
        """Take an entry at the beginning of a minute."""
        open_run = next((each for each in self.runs if each["stop"] is None), None)
        self.state, self.priority = entry.state or self.state, entry.priority or self.priority
        self.seen.add(entry.kind)
        if entry.kind in {"resolved", "ended"}:
            self.closed = True
        if entry.kind == "reopened":
            self.closed = False
        if open_run is not None:
            if entry.kind in self.rule.stops or entry.kind in self.rule.cancels:
                open_run.update(stop=index, cancelled=entry.kind not in self.rule.stops)
                if open_run["reached"] == index:
                    open_run["reached"] = None
        elif self.runs and entry.kind in self.rule.resumes:
            self.runs[-1].update(stop=None, cancelled=False)
        elif entry.kind in self.rule.starts and self.may_start():
            stop = index if self.ahead else None
            self.runs.append({"start": index, "stop": stop, "reached": None, "cancelled": False, "spent": [0, 0]})
            self.ahead = False
        elif entry.kind in self.rule.stops:
            self.ahead = self.rule.ahead

    def may_start(self):
        ready = not self.rule.after or bool(self.rule.after & self.seen)
        return ready and not (self.closed and self.rule.while_open)

    def pass_minute(self, index):
        """Let the minute that begins at ``index`` pass."""
        for each in self.runs:
            if each["stop"] is None and self.state not in self.policy.paused_in:
                self.look(each, index)
                each["spent"][0] += WORKED[index]
                each["spent"][1] += 1
                self.look(each, index + 1)

    def look(self, each, index):
        target = self.policy.targets.get(self.priority or "", self.policy.targets.get(""))
        if target is not None and each["reached"] is None and each["spent"][target.natural] >= target.minutes:
            each["reached"] = index

    def shown(self, now):
        """Return what can be compared."""
        found = []
        for each in self.runs:
            end = now if each["stop"] is None else each["stop"]
            missed = each["reached"] is not None and each["reached"] < end
            state = "paused" if self.state in self.policy.paused_in else "running"
            if each["stop"] is not None:
                state = "cancelled" if each["cancelled"] else "met"
            found.append(
                (each["start"], "breached" if missed else state, each["reached"] if missed else None, each["stop"])
            )
        return found


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(RULES)), POLICIES, LOGS, st.integers(0, LENGTH))
def test_any_log_at_any_moment_is_as_counted_by_minutes(clock, policy, drawn, now):
    log = [Entry(BEGIN, "opened", "received", "S3"), *(Entry(MOMENTS[each[0]], *each[1:]) for each in drawn)]
    oracle, entries = MinuteClock(clock, policy), {MOMENTS.index(each.at): each for each in log}
    for index in range(now + 1):
        if index in entries:
            oracle.tell(index, entries[index])
        if index < now:
            oracle.pass_minute(index)

    found = clocks(log, {clock: policy}, SPLIT_HOURS, MOMENTS[now])

    def index_of(moment):
        return None if moment is None else (moment - BEGIN) // MINUTE

    assert [
        (index_of(each.started_at), each.state, index_of(each.breached_at), index_of(each.stopped_at)) for each in found
    ] == oracle.shown(now)
    assert [each.cycle for each in found] == list(range(1, len(found) + 1))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(RULES)), POLICIES, LOGS, st.lists(st.integers(0, LENGTH), min_size=2, max_size=2))
def test_what_is_missed_stays_missed_whatever_comes(clock, policy, drawn, moments):
    log = [Entry(BEGIN, "opened", "received", "S3"), *(Entry(MOMENTS[each[0]], *each[1:]) for each in drawn)]
    earlier, later = (clocks(log, {clock: policy}, SPLIT_HOURS, MOMENTS[each]) for each in sorted(moments))
    known = {(each.cycle, each.breached_at) for each in later}
    assert {(each.cycle, each.breached_at) for each in earlier if each.breached_at} <= known


@settings(max_examples=40, deadline=None)
@given(POLICIES, LOGS, st.integers(0, LENGTH))
def test_nothing_changes_by_itself_before_the_moment_it_names(policy, drawn, now):
    log = [Entry(BEGIN, "opened", "received", "S3"), *(Entry(MOMENTS[each[0]], *each[1:]) for each in drawn)]
    log = [each for each in log if each.at <= MOMENTS[now]]
    policies = dict.fromkeys(RULES, policy)

    def words(moment):
        found = clocks(log, policies, SPLIT_HOURS, moment)
        return [(each.clock, each.cycle, each.state, each.warned_at, each.breached_at) for each in found]

    then = next_change(clocks(log, policies, SPLIT_HOURS, MOMENTS[now]))
    if then is None:
        assert words(MOMENTS[now] + timedelta(days=400)) == words(MOMENTS[now])
    else:
        assert words(then - timedelta(microseconds=1)) == words(MOMENTS[now])
        assert words(then) != words(MOMENTS[now])
