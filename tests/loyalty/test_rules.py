"""The ledger's arithmetic, without a database."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crm_api.core.errors import InsufficientBalance
from crm_api.core.ids import new_id
from crm_api.loyalty import accruals as orders
from crm_api.loyalty.accruals import Accrual, Books, OrderNews
from crm_api.loyalty.lots import WALLET_ACCOUNTS, LotTimes, Note
from crm_api.loyalty.programmes import MAX_GRANT, Programme
from crm_api.loyalty.rules import Wallet

NOW = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def programme(**changes):
    plain = {
        "id": new_id(),
        "currency": "CNY",
        "points_per_unit": Decimal(1),
        "rounding": "floor",
        "pending_days": 0,
        "expiry_months": None,
        "expiry_days": None,
        "time_zone": "Asia/Shanghai",
    }
    return Programme(**{**plain, **changes})


def wallet():
    return Wallet(new_id(), new_id(), complete=True)


def books(plan, w):
    return Books(plan, w, lambda: w)


def times(available_at=NOW, expires_at=None, earned_at=NOW):
    return LotTimes(earned_at, available_at, expires_at)


class TestPoints:
    @pytest.mark.parametrize(
        ("rounding", "amount", "points"),
        [("floor", 1999, 19), ("half_up", 1950, 20), ("half_up", 1949, 19), ("ceiling", 1901, 20), ("floor", 99, 0)],
    )
    def test_rounding(self, rounding, amount, points):
        assert programme(rounding=rounding).points_for(amount, "CNY") == points

    def test_rate_and_digits_of_the_currency(self):
        assert programme(points_per_unit=Decimal("0.1")).points_for(12345, "CNY") == 12
        assert programme(currency="JPY").points_for(500, "JPY") == 500

    def test_other_currencies_earn_nothing_unless_all_count(self):
        assert programme().points_for(10_000, "USD") == 0
        assert programme(currency=None).points_for(10_000, "USD") == 100

    def test_no_grant_leaves_the_integers(self):
        assert programme(points_per_unit=Decimal(10_000)).points_for(10**15, "CNY") == MAX_GRANT
        assert programme().points_for(-5, "CNY") == 0


class TestExpiry:
    @pytest.mark.parametrize(
        ("start", "last_day"),
        [
            ("2026-01-25", "2026-02-25"),
            ("2026-01-31", "2026-02-28"),
            ("2028-01-31", "2028-02-29"),
            ("2025-12-31", "2026-01-31"),
        ],
    )
    def test_a_month_is_usable_through_the_same_day(self, start, last_day):
        begins = datetime.fromisoformat(f"{start}T23:30:00+08:00")
        ends = programme(expiry_months=1).expires_at(begins)
        following = datetime.fromisoformat(f"{last_day}T00:00:00+08:00") + DAY
        assert ends == following
        assert ends.tzinfo == UTC

    def test_for_ever(self):
        assert programme().expires_at(NOW) is None

    def test_days_follow_the_programmes_zone(self):
        # 23:30 UTC on the first is the second in Shanghai.
        late = datetime(2026, 1, 1, 23, 30, tzinfo=UTC)
        assert programme(expiry_days=1).expires_at(late) == datetime(2026, 1, 3, 16, tzinfo=UTC)


class TestConsumption:
    def test_priority_then_earliest_expiry_then_first_earned(self):
        w = wallet()
        never = w.earn(10, times(), NOW, Note())
        late = w.earn(10, times(expires_at=NOW + 9 * DAY), NOW, Note())
        soon_second = w.earn(10, times(expires_at=NOW + DAY), NOW, Note())
        soon_first = w.earn(10, times(expires_at=NOW + DAY, earned_at=NOW - DAY), NOW, Note())
        urgent = w.earn(10, times(), NOW, Note())
        urgent.priority = -1
        order = []
        for _ in range(5):
            booked = w.redeem(10, NOW)
            order.append(next(iter(booked.movements)))
        assert order == [lot.id for lot in (urgent, soon_first, soon_second, late, never)]

    def test_too_few(self):
        w = wallet()
        w.earn(10, times(), NOW, Note())
        with pytest.raises(InsufficientBalance) as caught:
            w.redeem(11, NOW)
        assert caught.value.extra == {"available": 10, "requested": 11}
        assert (w.available, len(w.booked)) == (10, 1)


class TestRefund:
    def test_same_lot_first_then_others_then_debt(self):
        w = wallet()
        first, other = (w.earn(10, times(), NOW, Note()) for _ in range(2))
        w.redeem(5, NOW)
        w.take_back(other.id, 10, NOW, Note())
        assert (other.state, first.remaining, w.available, w.debt) == ("reversed", 5, 5, 0)
        w.take_back(first.id, 10, NOW, Note())
        assert (w.available, w.debt) == (0, 5)
        w.earn(12, times(), NOW, Note())
        assert (w.available, w.debt) == (7, 0)

    def test_what_ran_out_unspent_is_not_taken_twice(self):
        w = wallet()
        lot = w.earn(10, times(expires_at=NOW + DAY), NOW, Note())
        other = w.earn(10, times(), NOW, Note())
        w.settle(NOW + DAY)
        booked = w.take_back(lot.id, 10, NOW + DAY, Note())
        assert (lot.expired, other.remaining, w.available, w.debt) == (0, 10, 10, 0)
        assert booked.entries == {"cancelled": 10, "expired": -10}

    @given(
        granted_for=st.integers(1, 10**9),
        rate=st.sampled_from(["0.1", "0.333333", "1", "7"]),
        cuts=st.lists(st.integers(0, 10**9), max_size=12),
    )
    def test_any_split_takes_back_exactly_the_grant(self, granted_for, rate, cuts):
        w, order = wallet(), new_id()
        accrual, plan = Accrual(order, w.customer_id), programme(points_per_unit=Decimal(rate))
        pay = OrderNews(order, w.customer_id, paid_amount=granted_for, currency="CNY", paid_at=NOW)
        orders.account_for(books(plan, w), accrual, pay, NOW)
        granted = w.available
        for total in [*sorted(cut % granted_for for cut in cuts), granted_for, granted_for]:
            orders.account_for(books(plan, w), accrual, OrderNews(order, w.customer_id, refunded_amount=total), NOW)
            assert w.available == granted - granted * total // granted_for
        assert (w.available, w.debt, accrual.reversed) == (0, 0, granted)


def test_late_news_of_completion_leave_the_past_as_it_was():
    """Completed on day 0, told on day 9, usable after 7 days: what was told of day 8 stays, and the points are new."""
    w, plan = wallet(), programme(pending_from="completed", pending_days=7, expiry_days=1)
    accrual = Accrual(new_id(), w.customer_id)
    news = OrderNews(accrual.order_id, w.customer_id, paid_amount=10_000, currency="CNY", paid_at=NOW)
    orders.account_for(books(plan, w), accrual, news, NOW)
    late = NOW + 9 * DAY
    orders.account_for(books(plan, w), accrual, OrderNews(accrual.order_id, w.customer_id, completed_at=NOW), late)
    assert [(each.type, each.at) for each in w.booked] == [("earn", NOW), ("release", late)]
    assert (w.available, w.lots[accrual.lot_id].expires_at) == (100, plan.expires_at(late))


class TestClamp:
    """What is let go is let go for as long as it stays spent."""

    @pytest.mark.parametrize("how", ["restore", "void", "post", "reverse"])
    def test_what_comes_back_of_earlier_spending_is_taken(self, how):
        w = wallet()
        lot = w.earn(100, times(), NOW, Note())
        spent = w.redeem(100, NOW) if how == "restore" else w.hold(100, None, NOW, Note())
        assert w.take_back(lot.id, 100, NOW, Note(), "clamp").short == 100
        hold = w.holds.get(spent.hold_id)
        if how == "restore":
            w.restore([(lot.id, 100)], NOW, Note(reverses_id=spent.id), spent=spent.place)
        elif how == "void":
            w.void(hold, NOW)
        else:
            w.post(hold, 30, NOW, Note())
        if how == "reverse":
            assert w.let_go[0].recovered == 70
            w.reverse(hold, 30, NOW, Note(), {}, programme())
        assert (w.available, lot.state, w.let_go[0].recovered) == (0, "reversed", 70 if how == "post" else 100)
        assert sum(each.entries.get("cancelled", 0) for each in w.booked) == w.let_go[0].recovered
        check_books(w)

    def test_other_lots_that_paid_for_it_are_answered_for(self):
        """The refund of the first was paid by the second, so what comes back to the first is the second's."""
        w = wallet()
        first = w.earn(10, times(), NOW, Note())
        spent = w.redeem(10, NOW)
        second = w.earn(10, times(), NOW, Note())
        assert w.take_back(first.id, 10, NOW, Note(), "clamp").short == 0
        assert w.take_back(second.id, 10, NOW, Note(), "clamp").short == 10
        w.restore([(first.id, 10)], NOW, Note(reverses_id=spent.id), spent=spent.place)
        assert w.available == 0

    def test_what_was_spent_afterwards_comes_back_untouched(self):
        w = wallet()
        lot = w.earn(10, times(), NOW, Note())
        before = w.redeem(10, NOW)
        w.take_back(lot.id, 10, NOW, Note(), "clamp")
        later = w.earn(10, times(), NOW, Note())
        after = w.redeem(10, NOW)
        w.restore([(later.id, 10)], NOW, Note(reverses_id=after.id), spent=after.place)
        assert w.available == 10
        w.restore([(lot.id, 10)], NOW, Note(reverses_id=before.id), spent=before.place)
        assert w.available == 10


class TestGrowth:
    """A deposit, then the rest."""

    @given(
        first=st.integers(1, 10**6),
        more=st.integers(1, 10**6),
        early=st.integers(0, 10**6),
        refunds=st.lists(st.integers(0, 10**6), max_size=4),
        spent=st.integers(0, 5000),
    )
    def test_in_the_end_it_is_as_if_all_was_paid_at_once(self, first, more, early, refunds, spent):
        w, plan = wallet(), programme()
        accrual = Accrual(new_id(), w.customer_id)

        def hear(**said):
            orders.account_for(books(plan, w), accrual, OrderNews(accrual.order_id, w.customer_id, **said), NOW)

        hear(paid_amount=first, currency="CNY", paid_at=NOW)
        spent = min(spent, w.available)
        if spent:
            w.redeem(spent, NOW)
        paid = first + more
        hear(refunded_amount=early)
        hear(paid_amount=paid, currency="CNY", paid_at=NOW)
        hear(paid_amount=first, currency="CNY", paid_at=NOW)  # once more, and late
        back = min(early, paid)
        for total in refunds:
            back = max(back, min(total, paid))
            hear(refunded_amount=total)
        left = paid // 100 - (paid // 100) * back // paid
        assert w.available - w.debt == left - spent
        hear(refunded_amount=paid)
        assert w.available - w.debt == -spent
        check_books(w)

    def test_the_rest_waits_and_ends_with_the_deposit(self):
        w, plan = wallet(), programme(pending_days=2, expiry_days=1)
        accrual = Accrual(new_id(), w.customer_id)

        def pay(amount, at):
            news = OrderNews(accrual.order_id, w.customer_id, paid_amount=amount, currency="CNY", paid_at=NOW)
            orders.account_for(books(plan, w), accrual, news, at)

        pay(1000, NOW)
        pay(5000, NOW + DAY)
        lot = w.lots[accrual.lot_id]
        assert (w.pending, lot.granted, lot.available_at) == (50, 50, NOW + 2 * DAY)
        pay(6000, NOW + 9 * DAY)  # it has ended: what comes now is new
        assert (w.available, lot.granted, lot.expired, lot.expires_at) == (10, 60, 50, plan.expires_at(NOW + 11 * DAY))
        check_books(w)


class TestRestore:
    def test_goes_back_to_the_original_lots(self):
        w = wallet()
        soon = w.earn(10, times(expires_at=NOW + DAY), NOW, Note())
        late = w.earn(10, times(), NOW, Note())
        spent = w.redeem(15, NOW)
        w.restore([(lot, -points) for lot, points in spent.movements.items()], NOW, Note(reverses_id=spent.id))
        assert (soon.remaining, soon.state, late.remaining, w.available) == (10, "available", 10, 20)

    def test_repays_what_a_refund_left_owing(self):
        w = wallet()
        lot = w.earn(10, times(), NOW, Note())
        spent = w.redeem(10, NOW)
        w.take_back(lot.id, 10, NOW, Note())
        assert w.debt == 10
        w.restore([(lot.id, 10)], NOW, Note(reverses_id=spent.id))
        assert (w.available, w.debt, lot.remaining) == (0, 0, 0)


POINTS = st.integers(1, 40)
PLANS = st.builds(
    programme,
    pending_days=st.sampled_from([0, 0, 2]),
    expiry_days=st.sampled_from([None, 0, 1, 5]),
    rounding=st.sampled_from(["floor", "half_up", "ceiling"]),
)


class LedgerMachine(RuleBasedStateMachine):
    """Everything that can happen to a wallet, done twice: once settled eagerly by jobs, once only when touched."""

    def __init__(self):
        super().__init__()
        self.now = NOW
        self.eager, self.lazy = wallet(), None
        self.orders: dict[UUID, int] = {}
        self.spent: list[tuple[int, int]] = []
        self.given = self.redeemed = 0

    @initialize(plan=PLANS)
    def begin(self, plan):
        self.plan = plan
        self.lazy = deepcopy(self.eager)
        self.accruals = {self.eager.id: {}, "lazy": {}}

    @property
    def both(self):
        return ((self.eager, self.accruals[self.eager.id]), (self.lazy, self.accruals["lazy"]))

    def news(self, order, **said):
        for w, accruals in self.both:
            w.settle(self.now)
            accrual = accruals.setdefault(order, Accrual(order, w.customer_id))
            orders.account_for(books(self.plan, w), accrual, OrderNews(order, w.customer_id, **said), self.now)

    @rule(amount=st.integers(1, 4000))
    def pay(self, amount):
        order = new_id()
        self.orders[order] = amount
        self.news(order, paid_amount=amount, currency="CNY", paid_at=self.now)

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), share=st.integers(0, 100))
    def refund(self, data, share):
        order = data.draw(st.sampled_from(sorted(self.orders)))
        self.news(order, refunded_amount=self.orders[order] * share // 100)

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def hear_the_payment_again(self, data):
        order = data.draw(st.sampled_from(sorted(self.orders)))
        before = self.total
        self.news(order, paid_amount=self.orders[order], currency="CNY", paid_at=self.now)
        assert self.total <= before  # only time may have taken something

    @rule(points=POINTS)
    def redeem(self, points):
        booked = []
        for w, _ in self.both:
            w.settle(self.now)
            if points > w.available:
                with pytest.raises(InsufficientBalance):
                    w.redeem(points, self.now)
            else:
                booked.append(w.redeem(points, self.now))
        assert len(booked) in {0, 2}
        if booked:
            self.spent.append(booked)

    @precondition(lambda self: self.spent)
    @rule(data=st.data())
    def restore(self, data):
        index = data.draw(st.integers(0, len(self.spent) - 1))
        for (w, _), booked in zip(self.both, self.spent.pop(index), strict=True):
            w.settle(self.now)
            moved = [(lot, -points) for lot, points in booked.movements.items()]
            w.restore(moved, self.now, Note(reverses_id=booked.id))
            w.settle(self.now)

    @rule(points=st.integers(-40, 40).filter(bool))
    def adjust(self, points):
        for w, _ in self.both:
            w.settle(self.now)
            available = w.available
            try:
                w.adjust(points, orders.lot_times(programme(), self.now, None), self.now, Note())
            except InsufficientBalance:
                assert -points > available

    @rule(hours=st.integers(1, 72))
    def wait(self, hours):
        self.now += timedelta(hours=hours)

    @rule()
    def job(self):
        self.eager.settle(self.now)
        self.eager.settle(self.now)

    @property
    def total(self):
        return self.eager.available + self.eager.pending - self.eager.debt

    @invariant()
    def books_balance(self):
        if self.lazy is None:
            return
        for w, _ in self.both:
            check_books(w)

    def teardown(self):
        if self.lazy is None:
            return
        for w, accruals in self.both:
            w.settle(self.now)
            check_books(w)
            for order, amount in self.orders.items():  # the rest of every refund
                news = OrderNews(order, w.customer_id, refunded_amount=amount)
                orders.account_for(books(self.plan, w), accruals[order], news, self.now)
                assert accruals[order].reversed == accruals[order].granted
            check_books(w)
        eager, lazy = self.eager, self.lazy
        assert (eager.available, eager.pending, eager.debt) == (lazy.available, lazy.pending, lazy.debt)
        issued = -sum(booking.entries.get("issued", 0) for booking in eager.booked)
        assert sum(booking.entries.get("cancelled", 0) for booking in eager.booked) == issued


def check_books(w):
    """Entries sum to zero, balances are their replay, lots are within bounds and add up."""
    totals = dict.fromkeys(WALLET_ACCOUNTS, 0)
    moved: dict[UUID, int] = {}
    for booking in w.booked:
        assert sum(booking.entries.values()) == 0
        for account in totals:
            totals[account] += booking.entries.get(account, 0)
        for lot, points in booking.movements.items():
            moved[lot] = moved.get(lot, 0) + points
    assert (w.available, w.pending, w.held, -w.debt) == tuple(totals.values())
    assert min(w.available, w.pending, w.held, w.debt) >= 0
    assert not (w.debt and w.available)
    for lot in w.lots.values():
        assert 0 <= lot.remaining <= lot.granted
        assert 0 <= lot.expired <= lot.granted - lot.remaining
        assert lot.remaining == moved.get(lot.id, 0)
        assert (lot.remaining > 0) == (lot.state in {"pending", "available"})
    for state, balance in (("available", w.available), ("pending", w.pending)):
        assert sum(lot.remaining for lot in w.lots.values() if lot.state == state) == balance
    assert [booking.sequence for booking in w.booked] == list(range(1, w.sequence + 1))


LedgerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
