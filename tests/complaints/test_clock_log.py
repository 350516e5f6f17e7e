"""From a case to its clocks, without a database: the log as the engine reads it, policies, facts, announcements."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from crm_api.complaints import rules
from crm_api.complaints.clock_log import (
    CaseFile,
    Known,
    Said,
    alerts,
    due_of,
    entries,
    judge,
    kept,
    matched,
    next_look,
    policy_of,
    preset_terms,
)
from crm_api.complaints.clock_models import ClockPolicyCreate
from crm_api.complaints.models import Case, ComplaintCreate, ComplaintTransition, ComplaintUpdate
from crm_api.complaints.rules import Event
from crm_api.core.business_hours import BusinessHours, interval_of
from crm_api.core.service_clocks import PRESETS, Entry

T = datetime(2026, 11, 23, 1, tzinfo=UTC)
"""Monday, nine in Shanghai: work begins."""
HOUR = timedelta(hours=1)
OFFICE = BusinessHours(
    ZoneInfo("Asia/Shanghai"),
    {day: [interval_of("09:00", "12:00"), interval_of("13:30", "18:00")] for day in range(1, 6)},
)


class Story:
    """A case that steps are taken with, as the service takes them."""

    def __init__(self, opened=T, received=None, **fields):
        given = {"customer_id": uuid4(), "channel": "call", "subject": "甲", "received_at": received, **fields}
        self.events = [rules.opened(ComplaintCreate(**given), opened)]

    @property
    def case(self) -> Case:
        return rules.replay(self.events)

    def step(self, hours, **goal):
        parent = Story(T).case if "merged_into" in goal else None
        self.events.append(rules.decided(self.case, ComplaintTransition(**goal), T + hours * HOUR, parent))
        return self

    def update(self, hours, **fields):
        self.events.append(rules.updated(self.case, ComplaintUpdate(**fields), T + hours * HOUR))
        return self

    def unmerge(self, hours):
        before = next(each.source for each in reversed(self.events) if each.target == "duplicate")
        event = Event(self.case.version + 1, T + hours * HOUR, "unmerge", "duplicate", before, {"merged_into_id": None})
        self.events.append(event)
        return self

    def file(self, *said, merged=(), marks=()):
        return CaseFile(self.events, [Said(T + hours * HOUR, way) for hours, way in said], marks, merged)


def policy(*clocks, **more):
    given = ClockPolicyCreate(name="甲", clocks=list(clocks), **more)
    return policy_of(
        {**given.model_dump(mode="json"), "id": uuid4(), "conditions": given.conditions.model_dump()}, OFFICE
    )


def limits(clock, minutes, **more):
    return {"clock": clock, "targets": [{"minutes": minutes}], **more}


def told(log):
    """Return the log as kinds by hour."""
    return [((each.at - T) / HOUR, each.kind) for each in sorted(entries(log), key=lambda each: each.at)]


def only(judged):
    (found,) = judged
    return found


class TestEntries:
    def test_every_step_of_the_table_has_its_kind(self):
        kinds = {
            "acknowledge": "acknowledged",
            "resolve": "resolved",
            "reopen": "reopened",
            **dict.fromkeys(("mark_duplicate", "withdraw", "reject"), "ended"),
        }
        for each in rules.TRANSITIONS:
            event = Event(2, T + HOUR, each.action, each.source, each.target)
            found = entries(CaseFile([*Story().events, event]))[1]
            assert found == Entry(T + HOUR, kinds.get(each.action, "changed"), each.target, None), each

    def test_a_case_begins_when_it_reached_the_shop(self):
        story = Story(received=T - 5 * HOUR, severity="S2")
        assert entries(story.file()) == [Entry(T - 5 * HOUR, "opened", "received", "S2")]

    def test_a_log_read_from_the_database_says_the_same(self):
        story = Story(received=T - HOUR, severity="S1").step(1, to="acknowledged")
        stored = [
            replace(each, data={k: getattr(v, "isoformat", lambda v=v: v)() for k, v in each.data.items()})
            for each in story.events
        ]
        assert entries(CaseFile(stored)) == entries(story.file())

    def test_telling_the_decision_counts_before_the_step_it_came_with(self):
        story = Story().step(1, action="reject", reason="无据", decision_told=True)
        assert told(story.file()) == [(0, "opened"), (1, "decided"), (1, "ended")]

    def test_severity_is_the_priority_from_then_on(self):
        story = Story().update(2, severity="S1")
        assert [each.priority for each in entries(story.file())] == ["S3", "S1"]

    def test_messages_move_clocks_and_internal_notes_do_not(self):
        log = Story().file((1, "out"), (2, "in"), (3, "internal"))
        assert told(log) == [(0, "opened"), (1, "staff_message"), (2, "customer_message")]

    def test_what_was_said_before_the_case_reached_the_shop_is_no_answer_to_it(self):
        story = Story()
        said = ((-2, "out"), (-1, "in"), (1, "in"))
        assert told(story.file(*said)) == [(0, "opened"), (1, "customer_message")]
        # So the customer waits for the first response, and not for a next one besides.
        terms = [policy(limits("first_response", 60), limits("next_response", 60))]
        found = judge(story.case, story.file(*said), terms, T + 2 * HOUR)
        assert [(each.run.clock, each.run.started_at) for each in found] == [("first_response", T)]
        # With a merged case it is the earliest opening that counts.
        assert told(story.file(*said, merged=[Story(T - 3 * HOUR).file()]))[1] == (-2, "staff_message")

    def test_of_a_merged_case_the_opening_and_the_words_count(self):
        child = Story(T - 3 * HOUR).step(-2, to="acknowledged")
        child.step(1, action="mark_duplicate", merged_into=uuid4())
        log = Story(severity="S2").file((2, "out"), merged=[child.file((-1, "in"), (3, "in"))])
        assert told(log) == [
            (-3, "opened"),
            (-2, "acknowledged"),
            (-1, "customer_message"),
            (2, "staff_message"),
            (3, "customer_message"),
        ]
        # The priority is the case's own, from the earliest opening on.
        assert entries(log)[0].priority == "S2"

    def test_of_a_case_that_was_resolved_before_it_was_merged_only_the_words_count(self):
        child = Story(T - 9 * HOUR).step(-8, to="acknowledged").step(-8, to="assessed").step(-8, to="in_progress")
        child.step(-7, to="proposed").step(-6, to="resolved")
        child.step(1, action="mark_duplicate", merged_into=uuid4())
        log = Story().file(merged=[child.file((-9, "in"), (2, "in"))])
        assert told(log) == [(0, "opened"), (2, "customer_message")]

    def test_what_was_marked_of_a_merged_case_is_watched_and_one_refund_is_one(self):
        back, paid = ("return_received", T), ("refunded", T + HOUR)
        child, story = Story().file(marks=[back, paid]), Story()
        found = judge(
            story.case,
            story.file(merged=[child], marks=[paid, ("return_received", T + 2 * HOUR)]),
            [policy(limits("refund", 600))],
            T + 3 * HOUR,
        )
        # Noted for both cases, the money counts for the first return alone.
        assert [(each.run.started_at, each.run.state) for each in found] == [(T, "met"), (T + 2 * HOUR, "running")]

    def test_merging_reaches_through_a_case_that_was_merged_itself(self):
        grandchild, child = Story(T - 9 * HOUR), Story(T - HOUR)
        log = Story().file(merged=[child.file(merged=[grandchild.file()])])
        assert told(log) == [(-9, "opened")]

    def test_a_merge_undone_never_was(self):
        story = Story().step(1, to="acknowledged").step(2, action="mark_duplicate", merged_into=uuid4()).unmerge(5)
        assert told(story.file()) == [(0, "opened"), (1, "acknowledged"), (5, "changed")]
        assert entries(story.file())[-1].state == "acknowledged"

    def test_an_erased_log_is_known_as_such(self):
        assert not Story().file().erased
        assert CaseFile([replace(Story().events[0], data={})]).erased


class TestPolicies:
    def test_each_clock_follows_the_first_policy_that_has_it(self):
        first = policy(limits("resolution", 60), conditions={"channel": ["call"]})
        second = policy(limits("resolution", 30), limits("acknowledge", 30))
        found = judge(Story().case, Story().file(), [first, second], T)
        assert [(each.run.clock, each.policy.id) for each in found] == [
            ("resolution", first.id),
            ("acknowledge", second.id),
        ]

    @pytest.mark.parametrize(
        ("conditions", "meant"),
        [
            ({}, True),
            ({"category": ["quality"]}, True),
            ({"category": ["quality/cold_chain"]}, True),
            ({"category": ["qual"]}, False),
            ({"category": ["quality/cold_chain/ice"]}, False),
            ({"severity": ["S1", "S3"], "kind": ["complaint"]}, True),
            ({"severity": ["S1"]}, False),
            ({"channel": ["web"], "severity": ["S3"]}, False),
        ],
    )
    def test_conditions(self, conditions, meant):
        story = Story(category="quality/cold_chain")
        assert policy(limits("resolution", 60), conditions=conditions).is_for(story.case) is meant

    def test_a_category_condition_is_for_no_case_without_one(self):
        assert not policy(limits("resolution", 60), conditions={"category": ["quality"]}).is_for(Story().case)

    @pytest.mark.parametrize("name", PRESETS)
    def test_presets_are_stored_without_loss(self, name):
        stored = {"id": uuid4(), "conditions": {}, "clocks": preset_terms(name), "escalations": []}
        assert policy_of(stored, OFFICE).clocks == PRESETS[name].policies
        ClockPolicyCreate(name="甲", clocks=preset_terms(name))


STEPS = [
    {"at": "warn", "action": "notify", "to": ["assignee"]},
    {"at": "breach", "after_minutes": 60, "action": "raise"},
    {"at": "breach", "after_minutes": 60, "action": "reassign", "clock": "acknowledge"},
]


class TestAnnouncements:
    def judged(self, hours, *said, story=None, **more):
        terms = policy(limits("resolution", 120, warn_percent=50), escalations=STEPS, **more)
        story = story or Story()
        return only(judge(story.case, story.file(*said), [terms], T + hours * HOUR))

    def of(self, judged):
        return [((each.at - T) / HOUR, each.key) for each in alerts(judged)]

    def test_warning_breach_and_steps_in_their_time(self):
        assert self.of(self.judged(0.5)) == []
        assert self.of(self.judged(1)) == [(1, ("warned", "")), (1, ("escalated", "warn+0:notify"))]
        # 11:00 + 60 minutes of work is 12:00.
        assert self.of(self.judged(9)) == [
            (1, ("warned", "")),
            (2, ("breached", "")),
            (1, ("escalated", "warn+0:notify")),
            (3, ("escalated", "breach+60:raise")),
        ]

    def test_a_step_that_would_come_after_the_end_is_not_taken(self):
        story = Story()
        for hours, goal in ((2.1, "acknowledged"), (2.2, "assessed"), (2.3, "in_progress"), (2.4, "proposed")):
            story.step(hours, to=goal)
        story.step(2.5, to="resolved")
        assert self.of(self.judged(9, story=story))[-1] == (1, ("escalated", "warn+0:notify"))

    def test_when_to_look_again(self):
        looks, hours = [], 0.0
        while (found := next_look([self.judged(hours)], T + timedelta(hours=hours))) is not None:
            hours = (found - T) / HOUR
            looks.append(round(hours, 3))
        assert looks == [1, 2, 3]

    def test_what_was_announced_stays_whatever_is_reckoned_now(self):
        run = self.judged(0.5).run
        assert kept(run, None) == run
        known = Known(uuid4(), "resolution", 1, T, T - 2 * HOUR, T - HOUR)
        fact = kept(run, known)
        assert (fact.state, fact.breached_at, fact.due_at, fact.warned_at) == (
            "breached",
            T - HOUR,
            T - HOUR,
            T - 2 * HOUR,
        )
        assert due_of([fact]) == T - HOUR
        assert due_of([replace(fact, stopped_at=T)]) is None

    def test_of_runs_that_start_at_one_instant_each_stays_itself(self):
        story = Story()
        said = [(0, "out"), (1, "in"), (1, "out"), (1, "in")]
        terms = [policy(limits("next_response", 60))]
        runs = [each.run for each in judge(story.case, story.file(*said), terms, T + 2 * HOUR)]
        assert [(each.cycle, each.started_at) for each in runs] == [(1, T + HOUR), (2, T + HOUR)]
        stored = [Known(uuid4(), "next_response", nth, T + HOUR, None, None) for nth in (1, 2)]
        for order in (stored, stored[::-1]):
            assert matched(runs, order) == stored
        # An earlier wait comes in front: their numbers grow, and they stay what they are.
        more = [(0.2, "in"), (0.5, "out"), *said]
        runs = [each.run for each in judge(story.case, story.file(*more), terms, T + 2 * HOUR)]
        assert [each.cycle for each in runs] == [1, 2, 3]
        assert matched(runs, stored) == [None, *stored]
