"""The state machine, without a database."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crm_api.complaints import rules
from crm_api.complaints.models import ComplaintCreate, ComplaintTransition, ComplaintUpdate
from crm_api.core.errors import Conflict, CrmError, Invalid

NOW = datetime(2026, 11, 11, 9, tzinfo=UTC)
PATH = (
    {"to": "acknowledged"},
    {"to": "assessed"},
    {"to": "in_progress"},
    {"to": "proposed"},
    {"to": "resolved"},
    {"to": "closed", "decision_told": True},
)


def opened(**fields):
    data = ComplaintCreate(customer_id=uuid4(), channel="wechat", subject="收到的虾已变质", **fields)
    return rules.apply(None, rules.opened(data, NOW))


def go(case, *goals, now=NOW, parent=None):
    for goal in goals:
        case = rules.apply(case, rules.decided(case, ComplaintTransition(**goal), now, parent))
    return case


def refused(case, goal, now=NOW, parent=None):
    with pytest.raises(CrmError) as caught:
        go(case, goal, now=now, parent=parent)
    return caught.value


class TestTable:
    def test_every_state_is_reached_and_every_open_one_left(self):
        reached = {step.target for step in rules.TRANSITIONS} | {"received"}
        assert reached == set(rules.STATES)
        for state in rules.STATES:
            assert bool(rules.steps(state)) == (state in rules.LIVE)
        for state in rules.LIVE:
            assert [step.to for step in rules.steps("duplicate", state)] == [state]

    def test_a_goal_names_one_step(self):
        for state in rules.STATES:
            for merged_from in (None, *rules.LIVE):
                steps = rules.possible(state, merged_from)
                assert len({step.target for step in steps}) == len({step.action for step in steps}) == len(steps)

    def test_cases_end_in_three_ways_from_everywhere(self):
        assert set(rules.STATES) - set(rules.LIVE) == {"duplicate", "withdrawn", "rejected"}
        for state in rules.LIVE:
            assert {"duplicate", "withdrawn", "rejected"} <= {step.to for step in rules.steps(state)}

    def test_the_document_shows_this_table(self):
        document = Path(__file__).parents[2] / "docs/domains/complaints.md"
        drawn = re.search(r"```mermaid\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
        assert drawn is not None
        assert drawn[1] == rules.mermaid()

    def test_the_document_names_every_guard(self):
        text = (Path(__file__).parents[2] / "docs/domains/complaints.md").read_text(encoding="utf-8")
        assert set(re.findall(r"^\* `(\w+)`:", text, re.MULTILINE)) == set(rules.GUARDS)


class TestSteps:
    def test_the_whole_way(self):
        case = go(opened(), *PATH)
        assert case.state == "closed"
        assert case.version == 7
        assert case.acknowledged_at == case.resolved_at == case.closed_at == case.decision_told_at == NOW

    def test_a_goal_may_be_named_by_its_action(self):
        assert go(opened(), {"action": "acknowledge"}).state == "acknowledged"

    def test_waiting_and_resuming(self):
        case = go(opened(), *PATH[:3])
        for state in ("waiting_customer", "waiting_third_party"):
            assert go(case, {"to": state}, {"action": "resume"}).state == "in_progress"

    def test_a_refused_proposal_goes_back_or_outside(self):
        proposed = go(opened(), *PATH[:4])
        assert go(proposed, {"action": "reject_proposal"}).state == "in_progress"
        outside = go(proposed, {"to": "escalated_external", "reason": "12315"})
        assert outside.reason == "12315"
        assert go(outside, {"to": "resolved"}).state == "resolved"

    def test_what_is_not_possible_names_what_is(self):
        error = refused(opened(), {"to": "closed"})
        assert (error.status, error.code) == (409, "transition_not_allowed")
        assert error.extra["state"] == "received"
        assert {"action": "acknowledge", "to": "acknowledged"} in error.extra["allowed"]
        assert error.errors[0].pointer == "/to"
        assert refused(opened(), {"action": "close"}).errors[0].pointer == "/action"

    @pytest.mark.parametrize("goal", [{}, {"to": "acknowledged", "action": "acknowledge"}])
    def test_one_goal_is_given(self, goal):
        with pytest.raises(ValueError, match="either 'to' or 'action'"):
            ComplaintTransition(**goal)


class TestGuards:
    def test_closing_needs_the_decision_told(self):
        resolved = go(opened(), *PATH[:5])
        error = refused(resolved, {"to": "closed"})
        assert (error.code, error.errors[0].code) == ("transition_guard", "decision_not_told")
        told = go(opened(), *PATH[:4], {"to": "resolved", "decision_told": True}, {"to": "closed"})
        assert told.state == "closed"

    def test_all_that_closing_lacks_is_told_at_once(self):
        error = refused(go(opened(severity="S1"), *PATH[:5]), {"to": "closed"})
        assert [(each.pointer, each.code) for each in error.errors] == [
            ("/decision_told", "decision_not_told"),
            ("/root_cause", "root_cause_missing"),
        ]

    @pytest.mark.parametrize("severity", ["S1", "S2"])
    def test_a_grave_case_needs_its_cause(self, severity):
        resolved = go(opened(severity=severity), *PATH[:5])
        assert refused(resolved, PATH[5]).errors[0].code == "root_cause_missing"
        assert go(resolved, {**PATH[5], "root_cause": "quality/cold_chain"}).root_cause == "quality/cold_chain"

    def test_a_closed_case_keeps_what_closing_needed(self):
        closed = go(opened(), *PATH)
        with pytest.raises(Conflict) as caught:
            rules.updated(closed, ComplaintUpdate(severity="S1"), NOW)
        assert caught.value.code == "transition_guard"
        assert rules.updated(closed, ComplaintUpdate(severity="S1", root_cause="logistics"), NOW) is not None

    def test_reopening_within_the_window(self):
        closed = go(opened(), *PATH)
        reopened = go(closed, {"action": "reopen"}, now=NOW + timedelta(days=30))
        assert (reopened.state, reopened.reopened) == ("in_progress", 1)
        assert (reopened.resolved_at, reopened.closed_at, reopened.decision_told_at) == (None, None, None)
        late = refused(closed, {"action": "reopen"}, now=NOW + timedelta(days=30, seconds=1))
        assert (late.status, late.code) == (409, "reopen_window_over")

    def test_a_duplicate_names_another_case_that_is_none(self):
        case, parent, goal = opened(), opened(), {"to": "duplicate", "merged_into": uuid4()}
        assert go(case, goal, parent=parent).merged_into_id == goal["merged_into"]
        assert refused(case, {"to": "duplicate"}).errors[0].pointer == "/merged_into"
        assert refused(case, goal).errors[0].code == "unknown_reference"
        repeated = go(parent, {"to": "duplicate", "merged_into": uuid4()}, parent=opened())
        assert refused(case, goal, parent=repeated).errors[0].code == "is_duplicate"

    def test_rejecting_needs_a_reason_and_may_bring_a_notice(self):
        assert refused(opened(), {"to": "rejected"}).errors[0].pointer == "/reason"
        assert go(opened(), {"to": "rejected", "reason": "无据"}).decision_told_at is None
        rejected = go(opened(), {"to": "rejected", "reason": "无据", "notice": "经核查，无法支持您的诉求"})
        assert (rejected.reason, rejected.decision_told_at) == ("无据", NOW)
        assert go(opened(), {"to": "rejected", "reason": "无据", "decision_told": True}).decision_told_at == NOW

    def test_what_was_told_of_an_old_proposal_does_not_count(self):
        proposed = go(opened(), *PATH[:3], {"to": "proposed", "decision": "补发", "notice": "为您补发"})
        assert proposed.decision_told_at == NOW
        assert go(proposed, {"action": "reject_proposal"}).decision_told_at is None
        assert go(proposed, {"to": "escalated_external"}, {"action": "resume"}).decision_told_at is None
        assert go(proposed, {"to": "resolved", "decision": "补发"}).decision_told_at == NOW
        another = go(proposed, {"to": "resolved", "decision": "退款"})
        assert another.decision_told_at is None
        assert refused(another, {"to": "closed"}).errors[0].code == "decision_not_told"

    def test_telling_takes_a_decision(self):
        resolved = go(opened(), *PATH[:5])
        event = rules.told(resolved, NOW - timedelta(hours=1), NOW)
        assert (event.action, event.target, event.data) == (
            "tell",
            "resolved",
            {"decision_told_at": NOW - timedelta(hours=1)},
        )
        assert rules.told(rules.apply(resolved, event), NOW, NOW) is None
        with pytest.raises(Conflict) as caught:
            rules.told(opened(), NOW, NOW)
        assert caught.value.code == "nothing_to_tell"

    def test_unmerging_goes_back_to_where_it_was(self):
        case = go(opened(), *PATH[:3], {"to": "waiting_customer"})
        merged = go(case, {"to": "duplicate", "merged_into": uuid4()}, parent=opened())
        assert merged.merged_from == "waiting_customer"
        assert refused(merged, {"to": "in_progress"}).extra["allowed"] == [
            {"action": "unmerge", "to": "waiting_customer"}
        ]
        back = go(merged, {"action": "unmerge"})
        assert (back.state, back.merged_into_id, back.merged_from) == ("waiting_customer", None, None)

    def test_an_unmerged_case_was_acknowledged_resolved_and_closed_when_it_was(self):
        for steps in (PATH[:1], PATH[:5], PATH):
            case = go(opened(), *steps)
            later = NOW + timedelta(days=3)
            merged = go(case, {"to": "duplicate", "merged_into": uuid4()}, now=later, parent=opened())
            back = go(merged, {"action": "unmerge"}, now=later)
            assert back.model_copy(update={"version": 0, "state_changed_at": NOW}) == case.model_copy(
                update={"version": 0, "state_changed_at": NOW}
            )

    def test_an_unmerged_case_is_closed_again_with_its_cause_only(self):
        closed = go(opened(severity="S1"), *PATH[:5], {**PATH[5], "root_cause": "quality"})
        merged = go(closed, {"to": "duplicate", "merged_into": uuid4()}, parent=opened())
        merged = rules.apply(merged, rules.updated(merged, ComplaintUpdate(root_cause=None), NOW))
        assert refused(merged, {"action": "unmerge"}).errors[0].code == "root_cause_missing"
        assert go(merged, {"action": "unmerge", "root_cause": "logistics"}).root_cause == "logistics"

    def test_what_was_resolved_may_turn_out_unfounded_or_be_withdrawn(self):
        for steps in (PATH[:5], PATH):
            case = go(opened(), *steps, *([] if steps == PATH else [{"action": "withdraw"}]))
            if steps == PATH:
                assert refused(case, {"to": "rejected"}).errors[0].pointer == "/reason"
                rejected = go(case, {"to": "rejected", "reason": "照片系网图"})
                # What was told of the old decision is no notice of this one.
                assert (rejected.decision_told_at, rejected.resolved_at) == (None, NOW)
            else:
                assert (case.state, case.resolved_at) == ("withdrawn", NOW)

    def test_the_window_is_the_shops(self):
        closed = go(opened(), *PATH)
        goal = ComplaintTransition(action="reopen")
        with pytest.raises(Conflict, match="more than 7 days ago"):
            rules.decided(closed, goal, NOW + timedelta(days=8), window=timedelta(days=7))
        assert not rules.can_be_reopened(closed, NOW + timedelta(days=8), timedelta(days=7))
        assert rules.can_be_reopened(closed, NOW + timedelta(days=7), timedelta(days=7))

    def test_what_does_not_belong_to_the_step_is_refused(self):
        strays = {"merged_into": uuid4(), "decision_told": True, "notice": "好", "notice_channel": "call"}
        error = refused(opened(), {"to": "acknowledged", **strays})
        assert isinstance(error, Invalid)
        assert [each.pointer for each in error.errors] == ["/merged_into", "/decision_told", "/notice"]
        assert refused(opened(), {"to": "withdrawn", "notice_channel": "call"}).errors[0].pointer == "/notice_channel"

    def test_a_case_does_not_come_from_the_future(self):
        data = ComplaintCreate(customer_id=uuid4(), channel="call", subject="x", received_at=NOW + timedelta(seconds=1))
        with pytest.raises(Invalid):
            rules.opened(data, NOW)


class TestOrders:
    A, B, C = (UUID(int=number) for number in (1, 2, 3))

    def test_the_main_order_is_the_first(self):
        case = opened(order_id=self.B, order_ids=[self.A, self.B])
        assert (case.order_id, case.order_ids) == (self.B, [self.B, self.A])
        assert opened(order_ids=[self.A, self.C]).order_id == self.A

    def test_another_main_order_takes_its_place(self):
        case = opened(order_ids=[self.A, self.B])
        event = rules.updated(case, ComplaintUpdate(order_id=self.C), NOW)
        assert event.data == {"order_id": self.C, "order_ids": [self.C, self.B]}
        assert rules.updated(case, ComplaintUpdate(order_id=None), NOW).data == {
            "order_id": self.B,
            "order_ids": [self.B],
        }

    def test_logs_of_older_releases_are_understood(self):
        case = opened(order_id=self.A)
        old = dict(rules.opened(ComplaintCreate(customer_id=case.customer_id, channel="wechat", subject="x"), NOW).data)
        for name in ("order_ids", "products", "regulator_ref", "merged_from", "reopens_id"):
            del old[name]
        events = [
            rules.Event(1, NOW, "open", None, "received", {**old, "order_id": str(self.A)}),
            rules.Event(2, NOW, "update", "received", "received", {"order_id": str(self.B)}),
            rules.Event(3, NOW, "mark_duplicate", "received", "duplicate", {"merged_into_id": str(self.C)}),
        ]
        replayed = rules.replay(events)
        assert (replayed.order_id, replayed.order_ids, replayed.products) == (self.B, [self.B], [])
        assert (replayed.merged_from, replayed.reopens_id) == ("received", None)


class TestUpdates:
    def test_an_event_names_what_differs(self):
        case = opened(severity="S3")
        event = rules.updated(case, ComplaintUpdate(severity="S3", category="logistics"), NOW)
        assert event.data == {"category": "logistics"}
        assert (event.source, event.target, event.number) == ("received", "received", 2)

    def test_no_difference_is_no_event(self):
        assert rules.updated(opened(), ComplaintUpdate(severity="S3"), NOW) is None

    def test_an_event_must_follow_on_the_case(self):
        case = opened()
        stale = rules.decided(case, ComplaintTransition(to="acknowledged"), NOW)
        with pytest.raises(ValueError, match="does not follow"):
            rules.apply(rules.apply(case, stale), stale)


GOALS = st.builds(
    ComplaintTransition,
    to=st.sampled_from(rules.STATES),
    note=st.none() | st.just("说明"),
    reason=st.none() | st.just("无据"),
    root_cause=st.none() | st.just("quality"),
    decision=st.none() | st.just("退款"),
    decision_told=st.booleans(),
    notice=st.none() | st.just("已告知"),
    merged_into=st.none() | st.just(UUID(int=7)),
)
UPDATES = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.sampled_from(["S1", "S2", "S3", "S4"]),
        "root_cause": st.none() | st.just("logistics"),
        "safety": st.booleans(),
        "assignee_id": st.none() | st.just(UUID(int=9)),
        "subject": st.sampled_from(["甲", "乙"]),
        "order_id": st.none() | st.just(UUID(int=3)),
        "order_ids": st.lists(st.sampled_from([UUID(int=3), UUID(int=4)]), unique=True),
    },
)


class Life(RuleBasedStateMachine):
    """Any steps in any order: the table decides, the log adds up, and promises hold."""

    @initialize(severity=st.sampled_from(["S1", "S2", "S3", "S4"]))
    def open(self, severity):
        data = ComplaintCreate(customer_id=UUID(int=1), channel="call", subject="甲", severity=severity)
        self.now = NOW
        self.events = [rules.opened(data, NOW)]
        self.case = rules.apply(None, self.events[0])

    @rule(days=st.integers(0, 20))
    def wait(self, days):
        self.now += timedelta(days=days)

    @rule(goal=GOALS)
    def step(self, goal):
        known = {step.target for step in rules.possible(self.case.state, self.case.merged_from)}
        allowed = goal.to in known or None
        parent = opened() if goal.merged_into else None
        if allowed is None:
            with pytest.raises(Conflict) as caught:
                rules.decided(self.case, goal, self.now, parent)
            assert caught.value.code == "transition_not_allowed"
            return
        try:
            event = rules.decided(self.case, goal, self.now, parent)
        except CrmError as error:
            assert error.code in ("transition_guard", "reopen_window_over", "invalid")  # noqa: PT017 - it may succeed
        else:
            self.append(event)

    @rule(goal=GOALS, choice=st.integers(0, 99))
    def step_from_the_table(self, goal, choice):
        possible = rules.steps(self.case.state, self.case.merged_from)
        if possible:
            self.step(goal.model_copy(update={"to": possible[choice % len(possible)].to}))

    @rule()
    def tell(self):
        try:
            event = rules.told(self.case, self.now, self.now)
        except Conflict as error:
            assert self.case.state not in rules.TELLING
            assert error.code == "nothing_to_tell"  # noqa: PT017 - it may succeed
        else:
            if event is not None:
                self.append(event)

    @rule(fields=UPDATES)
    def update(self, fields):
        try:
            event = rules.updated(self.case, ComplaintUpdate(**fields), self.now)
        except Conflict:
            assert self.case.state == "closed"
        else:
            if event is not None:
                self.append(event)

    def append(self, event):
        self.events.append(event)
        self.case = rules.apply(self.case, event)

    @invariant()
    def the_log_adds_up(self):
        if hasattr(self, "case"):
            assert rules.replay(self.events) == self.case
            assert self.case.version == len(self.events)

    @invariant()
    def promises_hold(self):
        if not hasattr(self, "case"):
            return
        case = self.case
        if case.state == "closed":
            assert case.decision_told_at is not None
            assert case.severity in ("S3", "S4") or case.root_cause is not None
        assert (case.state == "duplicate") == (case.merged_into_id is not None) == (case.merged_from is not None)
        assert case.order_id == (case.order_ids[0] if case.order_ids else None)
        # Where work goes on there is nothing to have been told of.
        assert case.decision_told_at is None or case.state in (*rules.TELLING, "duplicate")
        assert case.state != "rejected" or case.reason is not None
        assert case.state not in rules.OPEN or case.resolved_at is None
        assert case.state not in ("resolved", "closed") or case.resolved_at is not None


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=50, deadline=None)
