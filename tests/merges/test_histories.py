"""Any history over four customers, merges and undos among it: nothing is lost, an untouched undo leaves no trace."""

import asyncio
import contextlib
import os

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

from crm_api.complaints.models import ComplaintCreate
from crm_api.complaints.service import ComplaintService
from crm_api.core.errors import Conflict, Duplicate, InsufficientBalance, Invalid
from crm_api.core.money import PositiveMoney
from crm_api.core.undo import DONE, Entry
from crm_api.customers.models import ContactPointInput, CustomerCreate, CustomerUpdate, IdentityInput
from crm_api.customers.service import ContactPointService, CustomerService
from crm_api.db.plans.aliases import successors
from crm_api.db.pool import Database
from crm_api.interactions.models import InteractionCreate
from crm_api.interactions.service import InteractionService
from crm_api.loyalty.models import AdjustmentCreate, OpeningRow, RedemptionCreate
from crm_api.loyalty.service import LoyaltyService
from crm_api.merges.service import MergeService
from crm_api.orders.models import OrderUpsert, RefundCreate
from crm_api.orders.service import OrderService
from tests.loyalty.shop import START, Shop
from tests.merges import books
from tests.support.api import make_tenant

pytestmark = pytest.mark.database

EXAMPLES = int(os.environ.get("CRM_TEST_MERGE_EXAMPLES", "8"))
STEPS = hypothesis.settings(
    max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
CUSTOMERS = 4
CITIES = ["上海", "杭州", None]
PHONES = ["13812345670", "13812345671", "13812345672"]


class History(RuleBasedStateMachine):
    """A shop whose customers turn out to be one person, or not."""

    shop: Shop
    runner: asyncio.Runner

    def do(self, work):
        return self.runner.run(self.shop.run(work))

    def books(self, work):
        return self.runner.run(work)

    def now(self, who):
        """Return the id that customer has now."""
        customer_id = self.customers[who]
        return self.do(lambda unit: successors(unit, [customer_id])).get(customer_id, customer_id)

    @initialize(fields=st.lists(st.sampled_from(CITIES), min_size=CUSTOMERS, max_size=CUSTOMERS))
    def open_shop(self, fields):
        self.customers, self.orders, self.merges, self.holds = [], [], [], []
        self.count = dict.fromkeys(("orders", "interactions", "complaints", "refunds"), 0)
        for number, city in enumerate(fields):
            identity = IdentityInput(platform="taobao", external_id=f"b{number}")
            data = CustomerCreate(name=f"n{number}", city=city, identities=[identity], tags=["all", f"t{number}"])
            self.customers.append(self.do(lambda unit, data=data: CustomerService(unit).create(data)))

    who = st.integers(0, CUSTOMERS - 1)

    @rule(who=who, amount=st.integers(1, 9000))
    def order(self, who, amount):
        number = f"o{len(self.orders)}"
        data = OrderUpsert.model_validate(
            {
                "status": "paid",
                "total": {"amount": amount, "currency": "CNY"},
                "placed_at": START,
                "customer": {"external_id": f"b{who}"},
            }
        )
        order = self.do(lambda unit: OrderService(unit).upsert("taobao", number, data))
        self.count["orders"] += 1
        self.orders.append([order.order_id, who, amount, 0])
        # The news may still name who the buyer was.
        self.runner.run(self.shop.pay(self.customers[who], amount, order.order_id))

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), share=st.integers(1, 10))
    def refund(self, data, share):
        """A refund whose news still names who the buyer was."""
        order = data.draw(st.sampled_from(self.orders))
        order_id, who, amount, before = order
        more = min(amount * share // 10, amount - before)
        if more:
            money = RefundCreate(amount=PositiveMoney(amount=more, currency="CNY"))
            self.do(lambda unit: OrderService(unit).refund(order_id, money))
            self.count["refunds"] += 1
            order[3] += more
            self.runner.run(self.shop.refund(self.customers[who], order_id, order[3]))

    @rule(who=who, points=st.integers(1, 60))
    def give(self, who, points):
        customer_id, gift = self.now(who), AdjustmentCreate(points=points, reason="gift")
        self.do(lambda unit: LoyaltyService(unit).adjust(customer_id, gift))

    @rule(who=who, points=st.integers(1, 40))
    def spend(self, who, points):
        customer_id, cost = self.now(who), RedemptionCreate(points=points, reason="cup")
        try:
            self.do(lambda unit: LoyaltyService(unit).redeem(customer_id, cost))
        except InsufficientBalance:
            return

    @rule(who=who, points=st.integers(1, 40))
    def hold(self, who, points):
        customer_id = self.now(who)
        try:
            self.holds.append(self.do(lambda unit: LoyaltyService(unit).hold(customer_id, points)))
        except InsufficientBalance:
            return

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), what=st.sampled_from(["post", "void", "reverse"]), points=st.integers(1, 40))
    def end_a_hold(self, data, what, points):
        """Whoever the customer is by now: the hold is found, and does what it may still do."""
        hold = data.draw(st.sampled_from(self.holds))

        def work(unit):
            ledger = LoyaltyService(unit)
            if what == "post":
                return ledger.post_hold(hold, points)
            return ledger.void_hold(hold) if what == "void" else ledger.reverse_hold(hold, points)

        with contextlib.suppress(Conflict):
            self.do(work)

    @rule(who=who, other=who, points=st.integers(1, 20))
    def send(self, who, other, points):
        giver, taker = self.now(who), self.now(other)
        with contextlib.suppress(Invalid, InsufficientBalance):
            self.do(lambda unit: LoyaltyService(unit).transfer(giver, taker, points))

    @rule(who=who, about=st.integers(-1, 3))
    def talk(self, who, about):
        customer_id = self.now(who)
        order_id = self._order_of(customer_id, about)
        talk = InteractionCreate(
            customer_id=customer_id, order_id=order_id, channel="call", direction="inbound", occurred_at=START
        )
        case = ComplaintCreate(
            customer_id=customer_id, order_id=order_id, kind="complaint", channel="call", severity="S3", subject="坏了"
        )
        self.do(lambda unit: InteractionService(unit).log(talk))
        self.do(lambda unit: ComplaintService(unit).open(case))
        self.count["interactions"] += 1
        self.count["complaints"] += 1

    def _order_of(self, customer_id, about):
        mine = self.do(
            lambda unit: unit.connection.fetch("SELECT id FROM orders WHERE customer_id = $1 ORDER BY id", customer_id)
        )
        return mine[about]["id"] if 0 <= about < len(mine) else None

    @rule(who=who, city=st.sampled_from(CITIES), tags=st.sets(st.sampled_from(["all", "vip", "new"])))
    def change(self, who, city, tags):
        customer_id, data = self.now(who), CustomerUpdate(city=city, tags=sorted(tags))
        self.do(lambda unit: CustomerService(unit).update(customer_id, data))

    @rule(who=who, phone=st.sampled_from(PHONES), primary=st.booleans())
    def phone(self, who, phone, primary):
        customer_id, data = self.now(who), ContactPointInput(kind="mobile", value=phone, is_primary=primary)
        try:
            self.do(lambda unit: ContactPointService(unit).add(customer_id, data, allow_duplicate=True))
        except Duplicate:
            return

    @rule(winner=who, loser=who, chosen=st.booleans())
    def merge(self, winner, loser, chosen):
        winner_id, loser_id = self.now(winner), self.now(loser)
        if winner_id != loser_id:
            choices = {"city": loser_id} if chosen else {}
            self.merges.append(self.do(lambda unit: MergeService(unit).merge(winner_id, [loser_id], choices)))

    @precondition(lambda self: self.merges)
    @rule(data=st.data())
    def undo(self, data):
        merge_id = data.draw(st.sampled_from(self.merges))
        try:
            self.do(lambda unit: MergeService(unit).undo(merge_id))
        except Conflict as error:
            # What is to be undone first can be, in the order given; and then this one.
            for each in error.extra["undo_first"]:
                self.do(lambda unit, each=each: MergeService(unit).undo(each))
            self.do(lambda unit: MergeService(unit).undo(merge_id))

    @rule(data=st.data(), winner=who)
    def there_and_back(self, data, winner):
        """Merges that nothing comes between leave no trace, in whichever order they are undone."""
        winner_id = self.now(winner)
        others = sorted({self.now(who) for who in range(CUSTOMERS)} - {winner_id})
        if not others:
            return
        groups = data.draw(st.lists(st.sampled_from(others), min_size=1, max_size=3, unique=True))
        before = self.books(books.digest(self.shop.database, self.shop.tenant.actor))
        made = [self.do(lambda unit, each=each: MergeService(unit).merge(winner_id, [each])) for each in groups]
        for merge_id in data.draw(st.permutations(made)):
            self.do(lambda unit, merge_id=merge_id: MergeService(unit).undo(merge_id))
        after = self.books(books.digest(self.shop.database, self.shop.tenant.actor))
        assert after == before, [table for table in before if before[table] != after[table]]

    @invariant()
    def nothing_is_lost(self):
        if not hasattr(self, "customers"):
            return
        self.books(books.check(self.shop.database, self.shop.tenant.actor))
        found = self.books(books.totals(self.shop.database, self.shop.tenant.actor))
        assert {name: found[name] for name in self.count} == self.count
        assert found["customers"] == CUSTOMERS

    def teardown(self):
        """Whatever was merged can be taken apart to the end."""
        if not hasattr(self, "customers"):
            return
        for merge_id in reversed(self.merges):
            self.do(lambda unit, merge_id=merge_id: MergeService(unit).undo(merge_id))
        self.nothing_is_lost()
        assert [self.now(who) for who in range(CUSTOMERS)] == self.customers


@pytest.mark.asyncio
async def test_a_debt_that_another_losers_points_repaid_is_owed_again(database, tenant):
    """Undone in the order they were made: the lot that repaid went back before the debt did."""
    shop = Shop(database, tenant)
    winner, debtor, saver = [await shop.customer() for _ in range(3)]
    await shop.adjust(saver, 100)
    order = await shop.pay(debtor, 5000)
    await shop.redeem(debtor, 50)
    await shop.refund(debtor, order, 5000)
    everybody = (winner, debtor, saver)
    before = [await shop.balance(each) for each in everybody]
    made = [
        await shop.run(lambda unit, each=each: MergeService(unit).merge(winner, [each])) for each in (saver, debtor)
    ]
    assert await shop.balance(winner) == (50, 0, 0, 0)
    for each in made:
        await shop.run(lambda unit, each=each: MergeService(unit).undo(each))
    assert [await shop.balance(each) for each in everybody] == before == [(0, 0, 0, 0), (0, 0, 0, 50), (100, 0, 0, 0)]
    await books.check(database, tenant.actor)


@pytest.mark.asyncio
async def test_an_opening_balance_goes_along(database, tenant):
    """The import run again brings nothing twice, and what it brought can be taken back."""
    shop = Shop(database, tenant)
    winner, loser = [await shop.customer() for _ in range(2)]

    async def bring(who, points):
        [verdict] = await shop.run(lambda unit: LoyaltyService(unit).open_many([OpeningRow(who, points)]))
        return verdict

    brought = await bring(loser, 70)
    merge = await shop.run(lambda unit: MergeService(unit).merge(winner, [loser]))
    assert (await bring(winner, 70)).verdict == "unchanged"
    assert (await bring(winner, 71)).verdict == "failed"
    entry = Entry(brought.transaction_id, True, {})
    [undone] = await shop.run(lambda unit: LoyaltyService(unit).undo_openings([entry]))
    assert (undone, await shop.balance(winner)) == (DONE, (0, 0, 0, 0))
    assert (await bring(winner, 20)).verdict == "created"
    await shop.run(lambda unit: MergeService(unit).undo(merge))
    assert (await bring(loser, 30)).verdict == "created"
    assert [(await shop.balance(each))[0] for each in (winner, loser)] == [20, 30]
    await books.check(database, tenant.actor)


def test_any_history(settings):
    with asyncio.Runner() as runner:
        database = runner.run(Database.open(settings))

        class Run(History):
            def __init__(self):
                super().__init__()
                self.runner = runner
                self.shop = Shop(database, runner.run(make_tenant(settings)))

        try:
            run_state_machine_as_test(Run, settings=STEPS)
        finally:
            runner.run(database.close())
