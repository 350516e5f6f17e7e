"""Every operation in any order on PostgreSQL, with a clock that moves: no order of them makes or loses a point."""

import asyncio
import contextlib
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
from crm_api.core.errors import Conflict, InsufficientBalance
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from tests.loyalty.shop import START, Shop
from tests.support.api import make_tenant

pytestmark = pytest.mark.database

EXAMPLES = int(os.environ.get("CRM_TEST_LEDGER_EXAMPLES", "15"))
"""Times 25 steps; ``make test-long`` sets 400: ten thousand steps."""

STEPS = hypothesis.settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
HOUR = timedelta(hours=1)
CUSTOMERS = 2


class Machine(RuleBasedStateMachine):
    """Two customers of one shop.

    ``expected`` is what each must have but for what time has ended and refunds have taken; ``due`` is what refunds must
    have taken in all, ``waived`` what was let go of it by decision; ``parted`` is what each has sent or had taken by
    hand. What the policy lets go is never more than is spent, held, parted with or ended: undo the spending, and it is
    taken.
    """

    shop: Shop
    runner: asyncio.Runner

    def do(self, work):
        return self.runner.run(work)

    @initialize(
        pending=st.sampled_from([0, 0, 2]),
        expiry=st.sampled_from([None, 0, 3]),
        policy=st.sampled_from(["negative", "clamp", "review"]),
        start=st.sampled_from(["paid", "completed"]),
        grace=st.sampled_from([0, 2]),
    )
    def open_shop(self, pending, expiry, policy, start, grace):
        self.policy = policy
        self.do(
            self.shop.programme(
                pending_days=pending,
                expiry_days=expiry,
                refund_policy=policy,
                pending_from=start,
                restore_policy="grace" if grace else "expire",
                grace_days=grace,
            )
        )
        self.customers = [self.do(self.shop.customer()) for _ in range(CUSTOMERS)]
        self.expected, self.due, self.waived, self.parted = (dict.fromkeys(self.customers, 0) for _ in range(4))
        self.orders, self.grants, self.holds = {}, {}, {}
        self.redemptions, self.told = [], []

    who = st.integers(0, CUSTOMERS - 1)
    points = st.integers(1, 60)

    def one_of(self, data, things):
        return data.draw(st.sampled_from(sorted(things)))

    def enough(self, customer, points, attempt):
        """Do what takes available points; returns what it gave, None when there were too few, and only then."""
        self.do(self.shop.settle())
        available = self.do(self.shop.balance(customer))[0]
        try:
            done = self.do(attempt)
        except InsufficientBalance:
            assert available < points
            return None
        assert available >= points
        return done

    # -- orders --------------------------------------------------------------------------------------------------------

    @rule(who=who, amount=st.integers(1, 5000), completed=st.booleans())
    def pay(self, who, amount, completed):
        customer, order, now = self.customers[who], new_id(), self.shop.clock.now()
        said = {"paid_amount": amount, "currency": "CNY", "paid_at": now}
        self.do(self.shop.news(customer, order, completed_at=now if completed else None, **said))
        self.orders[order] = [customer, amount, 0, 0]
        self.expected[customer] += amount // 100

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), late=st.integers(0, 96))
    def complete(self, data, late):
        """Completed a while ago: what was told of the time since stays."""
        order, at = self.one_of(data, self.orders), self.shop.clock.now() - late * HOUR
        self.do(self.shop.news(self.orders[order][0], order, completed_at=at))

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), share=st.integers(0, 10))
    def refund(self, data, share):
        order = self.one_of(data, self.orders)
        customer, amount, before, refunded = self.orders[order]
        total = max(refunded, amount * share // 10)
        self.do(self.shop.news(customer, order, refunded_amount=amount * share // 10))
        taken = (amount // 100) * total // amount
        self.orders[order][2:] = [taken, total]
        self.due[customer] += taken - before

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), more=st.integers(1, 5000))
    def pay_the_rest(self, data, more):
        """What earlier refunds took is reckoned from the whole then: the difference is granted anew."""
        order = self.one_of(data, self.orders)
        customer, amount, before, refunded = self.orders[order]
        said = {"paid_amount": amount + more, "currency": "CNY", "paid_at": self.shop.clock.now()}
        self.do(self.shop.news(customer, order, **said))
        granted = (amount + more) // 100
        taken = granted * refunded // (amount + more)
        self.expected[customer] += granted - amount // 100 + max(0, before - taken)
        self.due[customer] += max(0, taken - before)
        self.orders[order] = [customer, amount + more, taken, refunded]

    # -- grants --------------------------------------------------------------------------------------------------------

    @rule(who=who, points=points, pending=st.booleans())
    def grant(self, who, points, pending):
        customer = self.customers[who]
        self.grants[self.do(self.shop.grant(customer, points, pending=pending))] = [customer, points]
        self.expected[customer] += points

    @precondition(lambda self: self.grants)
    @rule(data=st.data())
    def release(self, data):
        self.do(self.shop.release(self.one_of(data, self.grants)))

    @precondition(lambda self: self.grants)
    @rule(data=st.data())
    def take_back(self, data):
        grant = self.one_of(data, self.grants)
        customer, left = self.grants[grant]
        points = data.draw(st.integers(1, left))
        self.do(self.shop.take_back(grant, points))
        self.due[customer] += points
        self.grants[grant][1] -= points
        if points == left:
            del self.grants[grant]

    @precondition(lambda self: getattr(self, "policy", None) == "review")
    @rule(approve=st.booleans())
    def decide(self, approve):
        for review, points in self.do(self.shop.reviews())[:1]:
            [row] = self.do(
                self.shop.rows(
                    "SELECT w.customer_id FROM loyalty_reviews r JOIN loyalty_wallets w ON w.id = r.wallet_id "
                    "WHERE r.id = $1",
                    review,
                )
            )
            if approve:
                self.do(self.shop.approve(review))
            else:
                self.do(self.shop.waive(review))
                self.waived[row["customer_id"]] += points

    # -- spending ------------------------------------------------------------------------------------------------------

    @rule(who=who, points=points)
    def redeem(self, who, points):
        customer = self.customers[who]
        done = self.enough(customer, points, self.shop.redeem(customer, points))
        if done is not None:
            self.redemptions.append((customer, points, done))
            self.expected[customer] -= points

    @precondition(lambda self: self.redemptions)
    @rule(data=st.data())
    def reverse_a_redemption(self, data):
        customer, points, redemption = self.redemptions.pop(data.draw(st.integers(0, len(self.redemptions) - 1)))
        self.do(self.shop.restore(redemption))
        self.expected[customer] += points

    @rule(who=who, points=points)
    def transfer(self, who, points):
        giver, taker = self.customers[who], self.customers[who - 1]
        if self.enough(giver, points, self.shop.transfer(giver, taker, points)) is not None:
            self.expected[giver] -= points
            self.expected[taker] += points
            self.parted[giver] += points

    @rule(who=who, points=st.integers(-20, 20).filter(bool))
    def adjust(self, who, points):
        customer = self.customers[who]
        try:
            self.do(self.shop.adjust(customer, points))
        except InsufficientBalance:
            assert points < 0
        else:
            self.expected[customer] += points
            self.parted[customer] += max(0, -points)

    # -- holds ---------------------------------------------------------------------------------------------------------

    @rule(who=who, points=points, hours=st.integers(1, 60))
    def hold(self, who, points, hours):
        customer, until = self.customers[who], self.shop.clock.now() + hours * HOUR
        hold = self.enough(customer, points, self.shop.hold(customer, points, until=until))
        if hold is not None:
            self.holds[hold] = [customer, points, until, 0]

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), spend=st.booleans())
    def end_a_hold(self, data, spend):
        hold = self.one_of(data, self.holds)
        customer, points, until, posted = self.holds[hold]
        part = data.draw(st.integers(1, points)) if spend else 0
        is_open = posted == 0 and self.shop.clock.now() < until
        ending = self.shop.post(hold, part) if spend else self.shop.void(hold)
        if not is_open:
            with pytest.raises(Conflict, match="not open any more"):
                self.do(ending)
            return
        self.do(ending)
        self.expected[customer] -= part
        self.holds[hold] = [customer, points, self.shop.clock.now(), part]

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def reverse_a_hold(self, data):
        hold = self.one_of(data, self.holds)
        customer, _, _, posted = self.holds[hold]
        if posted:
            part = data.draw(st.integers(1, posted))
            self.do(self.shop.give_back(hold, part))
            self.expected[customer] += part
            self.holds[hold][3] -= part
            if part == posted:
                del self.holds[hold]

    # -- time ----------------------------------------------------------------------------------------------------------

    @rule(hours=st.integers(1, 72), job=st.booleans())
    def wait(self, hours, job):
        self.shop.clock.advance(hours * HOUR)
        if job:
            self.do(self.shop.settle())

    @rule(who=who, hours=st.integers(0, 72))
    def look_back(self, who, hours):
        """What was told of a moment is told again, whatever was booked since."""
        at = self.shop.clock.now() - hours * HOUR
        self.told.append((self.customers[who], at, self.do(self.shop.balance_at(self.customers[who], at))))
        customer, at, balance = self.told[hours % len(self.told)]
        assert self.do(self.shop.balance_at(customer, at)) == balance
        self.shop.clock.advance(HOUR)  # what is told of this very moment may still change within it

    @invariant()
    def nothing_is_made_or_lost(self):
        if not hasattr(self, "customers"):
            return
        assert self.do(self.shop.drift()) == []
        waiting = sum(points for _, points in self.do(self.shop.reviews()))
        let_go, taken = self.do(self.shop.let_go()), 0
        for customer in self.customers:
            available, pending, held, debt = self.do(self.shop.balance(customer))
            accounts = self.do(self.shop.accounts(customer))
            gone = accounts.get("expired", 0) + accounts.get("cancelled", 0)
            assert available + pending + held - debt == self.expected[customer] - gone
            taken += accounts.get("cancelled", 0)
            spent = accounts.get("redeemed", 0) + held + self.parted[customer]
            assert let_go.get(customer, 0) <= spent + accounts.get("expired", 0)
        assert taken + waiting + sum(self.waived.values()) + sum(let_go.values()) == sum(self.due.values())
        assert self.policy == "clamp" or not let_go
        assert self.policy == "review" or not waiting

    def teardown(self):
        """Undo everything: then exactly the grants are gone, in whatever parts it came."""
        if not hasattr(self, "customers"):
            return
        for order, (customer, amount, before, _) in self.orders.items():
            self.do(self.shop.news(customer, order, refunded_amount=amount))
            self.due[customer] += amount // 100 - before
        for grant, (customer, left) in self.grants.items():
            self.do(self.shop.take_back(grant))
            self.due[customer] += left
        for customer, points, redemption in self.redemptions:
            self.do(self.shop.restore(redemption))
            self.expected[customer] += points
        for hold, (customer, _, _, posted) in self.holds.items():
            with contextlib.suppress(Conflict):  # over by itself
                self.do(self.shop.give_back(hold) if posted else self.shop.void(hold))
            self.expected[customer] += posted
        self.nothing_is_made_or_lost()
        [lots] = self.do(
            self.shop.rows(
                "SELECT coalesce(sum(l.reversed), 0) = coalesce(sum(l.granted), 0) AS all FROM loyalty_lots l "
                "JOIN loyalty_transactions t ON t.tenant_id = l.tenant_id AND t.lot_id = l.id "
                "WHERE l.tenant_id = $1 AND t.type IN ('earn', 'grant')",
                self.shop.tenant.id,
            )
        )
        assert lots["all"]
        if self.policy == "negative":
            for customer in self.customers:
                accounts = self.do(self.shop.accounts(customer))
                assert accounts.get("cancelled", 0) == -accounts.get("issued", 0)
        assert self.do(self.shop.drift()) == []


def test_every_operation_in_any_order(settings):
    with asyncio.Runner() as runner:
        database = runner.run(Database.open(settings, FixedClock(START)))

        class OnDatabase(Machine):
            def __init__(self):
                super().__init__()
                self.runner = runner
                self.shop = Shop(database, runner.run(make_tenant(settings)))

        try:
            run_state_machine_as_test(OnDatabase, settings=STEPS)
        finally:
            runner.run(database.close())
