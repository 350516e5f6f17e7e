"""Every operation in any order on PostgreSQL, with a clock that moves: no order of them makes or loses a point."""

import asyncio
import os
from datetime import timedelta

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crm_api.core.clock import FixedClock
from crm_api.core.errors import InsufficientBalance
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from tests.loyalty.shop import START, Shop
from tests.support.api import make_tenant

pytestmark = pytest.mark.database

EXAMPLES = int(os.environ.get("CRM_TEST_LEDGER_EXAMPLES", "20"))
"""Times 25 steps; continuous integration's long job sets 400: ten thousand steps."""

STEPS = hypothesis.settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
HOUR = timedelta(hours=1)
CUSTOMERS = 2


class Machine(RuleBasedStateMachine):
    """Two customers of one shop; ``expected`` is what each must have but for what time took."""

    shop: Shop
    runner: asyncio.Runner

    def do(self, work):
        return self.runner.run(work)

    @initialize(pending=st.sampled_from([0, 0, 2]), expiry=st.sampled_from([None, 0, 3]))
    def open_shop(self, pending, expiry):
        self.do(self.shop.programme(pending_days=pending, expiry_days=expiry))
        self.customers = [self.do(self.shop.customer()) for _ in range(CUSTOMERS)]
        self.expected = dict.fromkeys(self.customers, 0)
        self.orders = {}
        self.redemptions = []

    who = st.integers(0, CUSTOMERS - 1)

    @rule(who=who, amount=st.integers(1, 5000))
    def pay(self, who, amount):
        customer, order = self.customers[who], new_id()
        self.do(self.shop.pay(customer, amount, order))
        self.orders[order] = [customer, amount, 0]
        self.expected[customer] += amount // 100

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), share=st.integers(0, 10))
    def refund(self, data, share):
        order = data.draw(st.sampled_from(sorted(self.orders)))
        customer, amount, before = self.orders[order]
        granted, total = amount // 100, amount * share // 10
        self.do(self.shop.refund(customer, order, total))
        taken = max(before, granted * total // amount)
        self.orders[order][2] = taken
        self.expected[customer] -= taken - before

    @rule(who=who, points=st.integers(1, 60))
    def redeem(self, who, points):
        customer = self.customers[who]
        self.do(self.shop.settle())
        available = self.do(self.shop.balance(customer))[0]
        try:
            self.redemptions.append((customer, points, self.do(self.shop.redeem(customer, points))))
        except InsufficientBalance:
            assert available < points
        else:
            assert available >= points
            self.expected[customer] -= points

    @precondition(lambda self: self.redemptions)
    @rule(data=st.data())
    def reverse_a_redemption(self, data):
        customer, points, redemption = self.redemptions.pop(data.draw(st.integers(0, len(self.redemptions) - 1)))
        self.do(self.shop.restore(redemption))
        self.expected[customer] += points

    @rule(who=who, points=st.integers(-20, 20).filter(bool))
    def adjust(self, who, points):
        customer = self.customers[who]
        try:
            self.do(self.shop.adjust(customer, points))
        except InsufficientBalance:
            assert points < 0
        else:
            self.expected[customer] += points

    @rule(hours=st.integers(1, 72), job=st.booleans())
    def wait(self, hours, job):
        self.shop.clock.advance(hours * HOUR)
        if job:
            self.do(self.shop.settle())

    @invariant()
    def nothing_is_made_or_lost(self):
        assert self.do(self.shop.drift()) == []
        for customer in getattr(self, "customers", ()):
            available, pending, held, debt = self.do(self.shop.balance(customer))
            expired = self.do(self.shop.accounts(customer)).get("expired", 0)
            assert available + pending + held - debt == self.expected[customer] - expired

    def teardown(self):
        for order, (customer, amount, _) in getattr(self, "orders", {}).items():
            self.do(self.shop.refund(customer, order, amount))
        for customer in getattr(self, "customers", ()):
            accounts = self.do(self.shop.accounts(customer))
            assert accounts.get("cancelled", 0) == -accounts.get("issued", 0)
        assert self.do(self.shop.drift()) == []


def test_every_operation_in_any_order(settings):
    with asyncio.Runner() as runner:
        tenant = runner.run(make_tenant(settings))
        database = runner.run(Database.open(settings, FixedClock(START)))

        class OnDatabase(Machine):
            def __init__(self):
                super().__init__()
                self.runner = runner
                self.shop = Shop(database, tenant)

        try:
            run_state_machine_as_test(OnDatabase, settings=STEPS)
        finally:
            runner.run(database.close())
