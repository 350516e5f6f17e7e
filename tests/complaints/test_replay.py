"""The log against the row, in the database: whatever is tried, replaying the events gives the row."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from crm_api.complaints import repository, rules
from crm_api.complaints.models import (
    ComplaintCreate,
    ComplaintMessageCreate,
    ComplaintProductInput,
    ComplaintTransition,
    ComplaintUpdate,
)
from crm_api.complaints.service import ComplaintMessageService, ComplaintService
from crm_api.core.clock import FixedClock
from crm_api.core.errors import CrmError
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.db.pool import Database
from tests.support.api import make_tenant

pytestmark = pytest.mark.database

START = datetime(2026, 1, 1, tzinfo=UTC)


class Shop:
    """A shop with a clock and two cases, driven from plain code."""

    def __init__(self, settings):
        self.runner = asyncio.Runner()
        self.clock = FixedClock(START)
        self.database = self.runner.run(Database.open(settings, self.clock))
        self.actor = self.runner.run(make_tenant(settings)).actor

    def open(self, severity):
        async def work(unit):
            customer_id = await CustomerService(unit).create(CustomerCreate(name="王小明"))
            data = ComplaintCreate(customer_id=customer_id, channel="call", subject="甲", severity=severity)
            return await ComplaintService(unit).open(data)

        return self.run(work)

    def run(self, work):
        return self.runner.run(self.database.run(self.actor, work))

    def stored(self, complaint_id):
        """Return the row, its log added up, and how many events and messages there are."""

        async def work():
            async with self.database.read(self.actor) as unit:
                fetch = unit.connection.fetchval
                return (
                    await repository.ComplaintRepository(unit).case(complaint_id),
                    await ComplaintService(unit).replayed(complaint_id),
                    await fetch("SELECT count(*) FROM complaint_events WHERE complaint_id = $1", complaint_id),
                    await fetch(
                        "SELECT count(*) FROM outbox WHERE subject_id = $1 AND NOT payload ?| '{clock,message_id}'",
                        complaint_id,
                    ),
                )

        return self.runner.run(work())

    def close(self):
        self.runner.run(self.database.close())
        self.runner.close()


GOALS = st.fixed_dictionaries(
    {},
    optional={
        "note": st.just("说明"),
        "reason": st.just("无据"),
        "root_cause": st.just("quality"),
        "decision": st.just("退款"),
        "decision_told": st.booleans(),
        "notice": st.just("已告知"),
        "merged_into": st.sampled_from(["other", "self", "nobody"]),
    },
)
UPDATES = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.sampled_from(["S1", "S2", "S3", "S4"]),
        "root_cause": st.none() | st.just("logistics"),
        "category": st.none() | st.just("quality/spoilage"),
        "regulator_ref": st.none() | st.just("12315-1"),
        "products": st.lists(st.builds(ComplaintProductInput, sku=st.sampled_from(["A", "B"])), max_size=2),
        "safety": st.booleans(),
        "subject": st.sampled_from(["甲", "乙"]),
    },
)


class StoredLife(RuleBasedStateMachine):
    shop: Shop

    @initialize(severity=st.sampled_from(["S1", "S3"]))
    def open(self, severity):
        self.case, self.other = self.shop.open(severity), self.shop.open("S3")
        self.before = self.shop.stored(self.case)

    @rule(days=st.integers(0, 20))
    def wait(self, days):
        self.shop.clock.advance(timedelta(days=days))

    @rule(goal=GOALS, state=st.sampled_from(rules.STATES))
    def any_step(self, goal, state):
        self.step(goal, state)

    @rule(goal=GOALS, choice=st.integers(0, 99))
    def step_from_the_table(self, goal, choice):
        possible = rules.steps(self.before[0].state, self.before[0].merged_from)
        if possible:
            self.step(goal, possible[choice % len(possible)].to)

    def step(self, goal, state):
        named = {"other": self.other, "self": self.case, "nobody": uuid4()}
        given = ComplaintTransition(
            **{**goal, "to": state, **({"merged_into": named[goal["merged_into"]]} if "merged_into" in goal else {})}
        )
        case = self.before[0]
        allowed = state in {step.to for step in rules.steps(case.state, case.merged_from)}
        failed = self.attempt(lambda service: service.transition(self.case, given))
        assert (failed == "transition_not_allowed") == (not allowed)
        assert failed is not None or self.before[0].state == state

    @rule(direction=st.sampled_from(["in", "out", "internal"]), tells=st.booleans())
    def say(self, direction, tells):
        data = ComplaintMessageCreate(direction=direction, body="话", tells=tells and direction == "out")
        before = self.before[0]

        async def add(service):
            await ComplaintMessageService(service.unit).add(self.case, data)

        failed = self.attempt(add)
        assert failed in ((None, "nothing_to_tell") if data.tells else (None,))
        if failed is None and before.state != "duplicate":
            resumed = before.state == "waiting_customer" and direction == "in"
            told = data.tells and before.decision_told_at is None
            assert self.before[0].version == before.version + (resumed or told)

    @rule(fields=UPDATES)
    def update(self, fields):
        failed = self.attempt(lambda service: service.update(self.case, ComplaintUpdate(**fields)))
        assert failed in (None, "transition_guard")

    def attempt(self, do):
        async def work(unit):
            await do(ComplaintService(unit))

        failed, before = None, self.before
        try:
            self.shop.run(work)
        except CrmError as error:
            failed = error.code
        self.before = self.shop.stored(self.case)
        if failed is not None:
            assert self.before == before
        return failed

    @invariant()
    def the_log_adds_up(self):
        if hasattr(self, "before"):
            row, replayed, events, messages = self.before
            assert row == replayed
            assert row.version == events == messages


def test_replaying_the_events_gives_the_row(settings):
    shop = Shop(settings)
    try:
        run_state_machine_as_test(
            type("Life", (StoredLife,), {"shop": shop}),
            settings=hypothesis_settings(
                max_examples=20,
                stateful_step_count=25,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        shop.close()
