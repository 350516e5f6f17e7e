"""Any history, late events, refunds, merges and clocks among it: what upkeep keeps is what a full evaluation finds."""

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

from crm_api.core.money import PositiveMoney
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.db.plans.aliases import successors
from crm_api.events.models import EventBatch
from crm_api.events.service import EventService
from crm_api.merges.service import MergeService
from crm_api.orders.models import OrderUpsert, RefundCreate
from crm_api.orders.service import OrderService
from crm_api.segments.models import MembersChange, SegmentCreate
from crm_api.segments.service import SegmentService
from tests.segments.lab import NOON, open_lab
from tests.support.api import Pools

pytestmark = pytest.mark.database

EXAMPLES = int(os.environ.get("CRM_TEST_SEGMENT_EXAMPLES", "4"))
STEPS = hypothesis.settings(
    max_examples=EXAMPLES, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
CUSTOMERS = 4
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


def orders(op, value, window, **more):
    return {"aggregate": "count", "of": "orders", "window": window, "op": op, "value": value, **more}


def named(segment_id):
    return {"field": "segments", "op": "contains", "value": str(segment_id)}


PAID = {"field": "status", "op": "in", "value": ["paid", "completed"]}
YUAN = {"amount": 2000, "currency": "CNY"}
VIP = {"field": "tags", "op": "contains", "value": "vip"}
RULES = {
    "window": orders("gte", 2, {"last_days": 30}),
    "where": orders("gte", 1, {"last_days": 10}, where=PAID),
    "inside": orders("gte", 1, {"last_days": 40}, where={"field": "placed_at", "op": "lt", "value": {"days_ago": 3}}),
    "ahead": orders("eq", 0, {"to": {"days_ahead": 1}}),
    "spent": {"aggregate": "sum", "of": "orders.paid", "window": {"last_days": 20}, "op": "gt", "value": YUAN},
    "silent": {"not": {"field": "last_order_at", "op": "gte", "value": {"days_ago": 7}}},
    "hours": {"aggregate": "count", "of": "events", "window": {"last_hours": 30}, "op": "gte", "value": 1},
    "latest": {"aggregate": "max", "of": "orders.placed_at", "op": "within", "value": {"last_hours": 50}},
    "twice": {"sequence": [{"of": "orders"}, {"of": "events"}], "window": {"last_days": 5}},
    "birthday": {"field": "next_birthday", "op": "lte", "value": {"days_ahead": 20}},
}


class History(RuleBasedStateMachine):
    """A shop in which things happen, late and early, and time goes by."""

    runner: asyncio.Runner
    lab: object

    def do(self, work):
        return self.runner.run(self.lab.run(work))

    def books(self, work):
        return self.runner.run(work)

    def now(self, who):
        """Return the id that a customer has now."""
        customer_id = self.customers[who]
        return self.do(lambda unit: successors(unit, [customer_id])).get(customer_id, customer_id)

    def segment(self, name, **more):
        data = SegmentCreate(name=f"{name} {self.number}", **more)
        segment_id = self.do(lambda unit: SegmentService(unit).create(data))
        self.books(self.lab.evaluate(segment_id))
        return segment_id

    @initialize()
    def open_shop(self):
        History.count = getattr(History, "count", 0) + 1
        self.number, self.customers, self.orders, self.merges = History.count, [], [], []
        self.do(lambda unit: unit.connection.execute("UPDATE segments SET state = 'archived'"))
        for number in range(CUSTOMERS):
            birthday = {"month": 11, "day": 5 + number * 8}
            data = CustomerCreate.model_validate({"name": f"n{number}", "birthday": birthday})
            self.customers.append(self.do(lambda unit, data=data: CustomerService(unit).create(data)))
        made = {name: self.segment(name, rule=rule) for name, rule in RULES.items()}
        self.list = self.segment("list", kind="static")
        deep = self.segment("deep", rule={"any": [{"not": named(made["window"])}, named(self.list)]})
        self.segment("deeper", rule={"all": [named(deep), {"any": [VIP, {"not": named(made["hours"])}]}]})

    who = st.integers(0, CUSTOMERS - 1)
    back = st.integers(-20, 45 * 24)

    @rule(who=who, hours=back, amount=st.integers(1, 3000), status=st.sampled_from(["paid", "pending_payment"]))
    def order(self, who, hours, amount, status):
        """An order of now, of long ago, or of today's evening."""
        number = f"{self.number}-{len(self.orders)}"
        customer_id = self.now(who)
        data = OrderUpsert.model_validate(
            {
                "customer_id": str(customer_id),
                "status": status,
                "total": {"amount": amount, "currency": "CNY"},
                "placed_at": (self.lab.clock.instant - timedelta(hours=hours)).isoformat(),
            }
        )
        self.orders.append(self.do(lambda unit: OrderService(unit).upsert("till", number, data))[0])

    @precondition(lambda self: self.orders)
    @rule(which=st.integers(0, 99), amount=st.integers(1, 3000))
    def refund(self, which, amount):
        order_id = self.orders[which % len(self.orders)]
        paid, back = self.do(
            lambda unit: unit.connection.fetchrow(
                "SELECT paid_amount, refunded_amount FROM orders WHERE id = $1", order_id
            )
        )
        if paid > back:
            data = RefundCreate(amount=PositiveMoney(amount=min(amount, paid - back), currency="CNY"))
            self.do(lambda unit: OrderService(unit).refund(order_id, data))

    @rule(who=who, hours=st.integers(0, 200), number=st.uuids())
    def event(self, who, hours, number):
        at = (self.lab.clock.instant - timedelta(hours=hours)).isoformat()
        about = {"customer_id": str(self.now(who))}
        sent = {"id": str(number), "type": "page_view", "occurred_at": at, "customer": about}
        data = EventBatch.model_validate({"events": [sent]})
        self.do(lambda unit: EventService(unit).ingest(data))

    @rule(who=who, vip=st.booleans())
    def tag(self, who, vip):
        customer_id = self.now(who)
        service = CustomerService
        self.do(lambda unit: (service(unit).add_tag if vip else service(unit).remove_tag)(customer_id, "vip"))

    @rule(who=who, add=st.booleans())
    def list_by_hand(self, who, add):
        data = MembersChange(customer_ids=[self.now(who)])
        self.do(
            lambda unit: (SegmentService(unit).add_members if add else SegmentService(unit).remove_members)(
                self.list, data
            )
        )

    @rule(winner=who, loser=who)
    def merge(self, winner, loser):
        one, other = self.now(winner), self.now(loser)
        if one != other:
            self.merges.append(self.do(lambda unit: MergeService(unit).merge(one, [other])))

    @precondition(lambda self: self.merges)
    @rule()
    def unmerge(self):
        merge_id = self.merges.pop()
        self.do(lambda unit: MergeService(unit).undo(merge_id))

    @rule(hours=st.integers(1, 300))
    def time(self, hours):
        self.books(self.lab.pass_time(timedelta(hours=hours)))

    @rule(ticks=st.sampled_from([-1, 0, 1]))
    def next_flip(self, ticks):
        """Go to where something may change: a microsecond before, at it, after it."""
        (row,) = self.books(self.lab.rows("SELECT min(at) AS at FROM segment_flips WHERE tenant_id = $1"))
        if row["at"] is not None and row["at"] > self.lab.clock.instant:
            self.books(self.lab.pass_time(row["at"] + ticks * TICK - self.lab.clock.instant))

    @invariant()
    def upkeep_equals_evaluation(self):
        if not hasattr(self, "number"):
            return
        self.books(self.lab.deliver())
        assert self.books(self.lab.drift()) == {}
        self.books(self.lab.check_books())


def test_any_history_keeps_members_right(settings):
    with asyncio.Runner() as runner:
        pools = Pools()
        opened = open_lab(settings, pools, NOON, api=False)
        History.runner, History.lab = runner, runner.run(opened.__aenter__())
        try:
            run_state_machine_as_test(History, settings=STEPS)
        finally:
            runner.run(opened.__aexit__(None, None, None))
            runner.run(pools.close())
