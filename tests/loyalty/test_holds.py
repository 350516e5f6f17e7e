"""Holds, grants, transfers, policies and balances of the past on PostgreSQL."""

import asyncio
from datetime import datetime, timedelta

import pytest

from crm_api.core.errors import Conflict, InsufficientBalance, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.loyalty.holds import HoldService
from crm_api.loyalty.jobs import settle
from tests.loyalty.shop import START

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class TestHold:
    async def test_post_spends_some_and_lets_the_others_go(self, shop):
        customer = await shop.customer(points=30)
        hold = await shop.hold(customer, 20)
        assert await shop.balance(customer) == (10, 0, 20, 0)
        await shop.post(hold, 15)
        assert await shop.balance(customer) == (15, 0, 0, 0)
        assert await shop.hold_state(hold) == ("posted", 20, 15, 0)
        await shop.give_back(hold, 5)
        assert await shop.hold_state(hold) == ("partly_reversed", 20, 15, 5)
        await shop.give_back(hold)
        assert await shop.hold_state(hold) == ("reversed", 20, 15, 15)
        assert await shop.balance(customer) == (30, 0, 0, 0)
        assert await shop.accounts(customer) == {"adjusted": -30, "available": 30, "held": 0, "redeemed": 0}
        assert await shop.drift() == []

    async def test_a_closed_hold_stays_closed(self, shop):
        customer = await shop.customer(points=30)
        hold = await shop.hold(customer, 20)
        with pytest.raises(Conflict, match="the hold has 20"):
            await shop.post(hold, 21)
        with pytest.raises(Conflict) as unposted:
            await shop.give_back(hold)
        assert unposted.value.code == "hold_not_posted"
        await shop.void(hold)
        for attempt in (shop.post(hold), shop.void(hold)):
            with pytest.raises(Conflict) as caught:
                await attempt
            assert caught.value.code == "hold_closed"
        with pytest.raises(NotFound):
            await shop.post(new_id())
        assert await shop.balance(customer) == (30, 0, 0, 0)

    async def test_a_key_has_its_effect_once(self, shop):
        customer = await shop.customer(points=30)
        hold = await shop.hold(customer, 20, key="checkout 1")
        assert await shop.hold(customer, 20, key="checkout 1") == hold
        posted = await shop.post(hold, 5, key="pay 1")
        assert await shop.post(hold, 5, key="pay 1") == posted
        with pytest.raises(Conflict) as caught:
            await shop.redeem(customer, 20, key="checkout 1")
        assert caught.value.code == "key_reused"
        assert await shop.balance(customer) == (25, 0, 0, 0)

    @pytest.mark.parametrize("by", ["job", "operation"])
    async def test_times_out(self, shop, by):
        customer = await shop.customer(points=30)
        hold = await shop.hold(customer, 30, until=START + HOUR)
        shop.clock.advance(HOUR)
        if by == "job":
            assert await shop.settle() == 1
            assert await shop.balance(customer) == (30, 0, 0, 0)
        else:
            await shop.redeem(customer, 30)
            assert await shop.balance(customer) == (0, 0, 0, 0)
        assert (await shop.hold_state(hold))[0] == "timed_out"
        assert await shop.drift() == []

    async def test_held_points_end_when_they_are_let_go(self, shop):
        await shop.programme(expiry_days=0)
        customer = await shop.customer(points=30)
        hold = await shop.hold(customer, 20, until=START + 3 * DAY)
        shop.clock.advance(2 * DAY)
        await shop.settle()
        assert await shop.balance(customer) == (0, 0, 20, 0)
        await shop.void(hold)
        assert await shop.balance(customer) == (0, 0, 0, 0)
        assert (await shop.accounts(customer))["expired"] == 30
        spent = await shop.customer(points=10)
        await shop.post(await shop.hold(spent, 10, until=START + 5 * DAY))
        assert (await shop.accounts(spent))["redeemed"] == 10

    async def test_points_that_end_first_stay_spent(self, shop):
        customer = await shop.customer()
        late = await shop.grant(customer, 10, expires_at=START + 9 * DAY)
        soon = await shop.grant(customer, 10, expires_at=START + 2 * DAY)
        hold = await shop.hold(customer, 15)
        await shop.post(hold, 15)
        await shop.give_back(hold, 5)
        rows = await shop.rows("SELECT id, remaining FROM loyalty_lots WHERE id = ANY ($1::uuid[])", [late, soon])
        assert dict(map(tuple, rows)) == {late: 10, soon: 0}

    async def test_many_at_once_for_a_balance_of_seven(self, shop):
        customer = await shop.customer(points=7)
        results = await asyncio.gather(*(shop.hold(customer, 1) for _ in range(20)), return_exceptions=True)
        holds = [each for each in results if not isinstance(each, BaseException)]
        assert len(holds) == 7
        assert {type(each) for each in results if isinstance(each, BaseException)} == {InsufficientBalance}
        # Each is posted or voided once, whoever comes first.
        ends = [attempt(hold) for hold in holds for attempt in (shop.post, shop.void)]
        outcome = await asyncio.gather(*ends, return_exceptions=True)
        assert sum(isinstance(each, Conflict) for each in outcome) == 7
        posted = (await shop.accounts(customer)).get("redeemed", 0)
        assert await shop.balance(customer) == (7 - posted, 0, 0, 0)
        assert await shop.drift() == []

    async def test_two_workers_and_redemptions_leave_what_is_held(self, shop, settings):
        await shop.programme(expiry_days=1)
        customers = [await shop.customer(points=10) for _ in range(4)]
        for customer in customers:
            await shop.hold(customer, 4, until=START + 9 * DAY)
        shop.clock.advance(DAY)
        for customer in customers:
            await shop.adjust(customer, 5)
        shop.clock.advance(DAY)
        rival = await Database.open(settings, shop.clock)
        try:
            work = [settle(shop.database), settle(rival), settle(shop.database), settle(rival)]
            work += [shop.redeem(customer, 1) for customer in customers for _ in range(3)]
            results = await asyncio.gather(*work, return_exceptions=True)
        finally:
            await rival.close()
        assert not [each for each in results if isinstance(each, BaseException)]
        for customer in customers:
            assert await shop.balance(customer) == (2, 0, 4, 0)
            assert (await shop.accounts(customer))["expired"] == 6
        assert await shop.drift() == []


class TestGrant:
    async def test_once_and_taken_back_in_parts(self, shop):
        customer = await shop.customer()
        grant = await shop.grant(customer, 30, key="reward 1")
        assert await shop.grant(customer, 30, key="reward 1") == grant
        with pytest.raises(Conflict) as caught:
            await shop.grant(customer, 31, key="reward 1")
        assert caught.value.code == "key_reused"
        await shop.take_back(grant, 10)
        await shop.redeem(customer, 15)
        await shop.take_back(grant)
        assert await shop.balance(customer) == (0, 0, 0, 15)
        with pytest.raises(Conflict) as again:
            await shop.take_back(grant)
        assert again.value.code == "already_reversed"
        assert await shop.accounts(customer) == {
            "issued": -30,
            "cancelled": 30,
            "available": 0,
            "redeemed": 15,
            "debt": -15,
        }

    async def test_waits_until_it_is_released(self, shop):
        await shop.programme(expiry_days=1)
        customer = await shop.customer()
        grant = await shop.grant(customer, 30, pending=True)
        shop.clock.advance(30 * DAY)
        await shop.settle()
        assert await shop.balance(customer) == (0, 30, 0, 0)
        await shop.release(grant)
        assert await shop.balance(customer) == (30, 0, 0, 0)
        shop.clock.advance(2 * DAY)
        await shop.settle()
        assert await shop.balance(customer) == (0, 0, 0, 0)
        refused = await shop.grant(customer, 5, pending=True)
        await shop.take_back(refused)
        [lot] = await shop.rows("SELECT state FROM loyalty_lots WHERE id = $1", refused)
        assert lot["state"] == "cancelled"

    async def test_qualifying_points_lie_apart(self, shop):
        customer = await shop.customer()
        grant = await shop.grant(customer, 30, kind="qualifying")
        assert await shop.balance(customer) == (0, 0, 0, 0)
        with pytest.raises(InsufficientBalance):
            await shop.redeem(customer, 1)
        await shop.take_back(grant, 10)
        [wallet] = await shop.rows("SELECT available, debt FROM loyalty_wallets WHERE customer_id = $1", customer)
        assert tuple(wallet) == (20, 0)

    async def test_an_order_earns_both_kinds_and_loses_both(self, shop):
        customer, order = await shop.customer(), new_id()
        await shop.news(customer, order, paid_amount=900, paid_at=START, points=9, qualifying=5)
        for total in (300, 600, 900):
            await shop.news(customer, order, refunded_amount=total)
        accounts = await shop.accounts(customer)
        assert (accounts["issued"], accounts["cancelled"], accounts["available"]) == (-14, 14, 0)

    async def test_orders_wait_for_their_completion(self, shop):
        await shop.programme(pending_from="completed", pending_days=7, expiry_days=1)
        customer, order, early = await shop.customer(), new_id(), new_id()
        await shop.news(customer, order, paid_amount=900, currency="CNY", paid_at=START)
        await shop.news(customer, early, completed_at=START)  # overtakes its payment
        await shop.news(customer, early, paid_amount=500, currency="CNY", paid_at=START)
        shop.clock.advance(7 * DAY)
        await shop.settle()
        assert await shop.balance(customer) == (5, 9, 0, 0)
        await shop.news(customer, order, completed_at=shop.clock.now())
        shop.clock.advance(7 * DAY)
        await shop.settle()
        assert await shop.balance(customer) == (9, 0, 0, 0)  # the five have ended


class TestTransfer:
    async def test_keeps_the_end_and_repays_debt(self, shop):
        giver, taker = await shop.customer(), await shop.customer()
        await shop.grant(giver, 10, expires_at=START + DAY)
        await shop.grant(giver, 10)
        order = await shop.pay(taker, 300)
        await shop.redeem(taker, 3)
        await shop.cancel(taker, order)
        sent = await shop.transfer(giver, taker, 15, key="gift")
        assert await shop.transfer(giver, taker, 15, key="gift") == sent
        assert (await shop.balance(giver), await shop.balance(taker)) == ((5, 0, 0, 0), (12, 0, 0, 0))
        shop.clock.advance(DAY)
        await shop.settle()
        assert (await shop.balance(giver), await shop.balance(taker)) == ((5, 0, 0, 0), (5, 0, 0, 0))
        assert (await shop.accounts(giver))["transferred"] == 15
        assert (await shop.accounts(taker))["transferred"] == -15
        assert await shop.drift() == []

    async def test_refusals(self, shop):
        giver, taker = await shop.customer(points=5), await shop.customer()
        with pytest.raises(InsufficientBalance):
            await shop.transfer(giver, taker, 6)
        with pytest.raises(Invalid):
            await shop.transfer(giver, giver, 1)
        with pytest.raises(NotFound):
            await shop.transfer(giver, new_id(), 1)
        assert (await shop.balance(giver), await shop.balance(taker)) == ((5, 0, 0, 0), (0, 0, 0, 0))

    async def test_both_ways_at_once_wait_for_nobody_in_a_circle(self, shop):
        one, two = await shop.customer(points=20), await shop.customer(points=20)
        ways = [shop.transfer(*pair, 1) for _ in range(10) for pair in ((one, two), (two, one))]
        await asyncio.gather(*ways)
        assert (await shop.balance(one), await shop.balance(two)) == ((20, 0, 0, 0), (20, 0, 0, 0))
        assert await shop.drift() == []


class TestPolicies:
    async def test_clamp_lets_go_what_is_not_there(self, shop):
        await shop.programme(refund_policy="clamp")
        customer = await shop.customer()
        order = await shop.pay(customer, 1000)
        await shop.redeem(customer, 7)
        await shop.refund(customer, order, 1000)
        assert await shop.balance(customer) == (0, 0, 0, 0)
        assert (await shop.accounts(customer))["cancelled"] == 3
        await shop.adjust(customer, 5)
        await shop.refund(customer, order, 1000)
        assert await shop.balance(customer) == (5, 0, 0, 0)

    async def test_review_asks_somebody(self, shop):
        await shop.programme(refund_policy="review")
        customer = await shop.customer()
        orders = [await shop.pay(customer, 1000) for _ in range(2)]
        await shop.redeem(customer, 20)
        for order in orders:
            await shop.refund(customer, order, 1000)
        assert await shop.balance(customer) == (0, 0, 0, 0)
        (first, points), (second, _) = await shop.reviews()
        assert points == 10
        await shop.adjust(customer, 4)
        await shop.approve(first)
        await shop.waive(second)
        assert await shop.balance(customer) == (0, 0, 0, 6)
        for attempt in (shop.approve(first), shop.waive(second)):
            with pytest.raises(Conflict) as caught:
                await attempt
            assert caught.value.code == "review_decided"
        assert await shop.drift() == []

    async def test_grace_for_points_given_back_after_their_end(self, shop):
        await shop.programme(expiry_days=1, restore_policy="grace", grace_days=3)
        customer = await shop.customer(points=10)
        spent, hold = await shop.redeem(customer, 4), await shop.hold(customer, 6)
        await shop.post(hold)
        shop.clock.advance(10 * DAY)
        await shop.restore(spent)
        await shop.give_back(hold)
        assert await shop.balance(customer) == (10, 0, 0, 0)
        shop.clock.advance(4 * DAY)
        await shop.settle()
        assert await shop.balance(customer) == (0, 0, 0, 0)


class TestThen:
    async def test_the_past_stays_whoever_looks_first(self, shop):
        await shop.programme(expiry_days=0)  # ends at midnight in Shanghai: 16:00 UTC
        customer = await shop.customer(points=10)
        await shop.hold(customer, 4, until=START + 6 * HOUR)
        moments = [START - DAY, START, START + 6 * HOUR, START + 11 * HOUR, START + 12 * HOUR, START + DAY]
        shop.clock.advance(2 * DAY)
        unbooked = [await shop.balance_at(customer, each) for each in moments]
        assert unbooked == [(0, 0, 0, 0), (6, 0, 4, 0), (10, 0, 0, 0), (10, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)]
        await shop.settle()
        await shop.adjust(customer, 50)
        assert [await shop.balance_at(customer, each) for each in moments] == unbooked
        booked = await shop.rows("SELECT type, at FROM loyalty_transactions WHERE type IN ('timeout', 'expire')")
        assert [tuple(row) for row in booked] == [("timeout", START + 6 * HOUR), ("expire", START + 12 * HOUR)]
        with pytest.raises(Invalid):
            await shop.balance_at(customer, datetime.max.replace(microsecond=0, tzinfo=START.tzinfo))


@pytest.mark.parametrize("policy", ["negative", "clamp"])
async def test_a_key_is_for_one_size(shop, policy):
    """The same key for another number of points is refused; for the same it has had its effect."""
    await shop.programme(refund_policy=policy)
    customer = await shop.customer()
    grant = await shop.grant(customer, 200)
    again = {
        "hold": (lambda points: shop.hold(customer, points, key="h"), 100),
        "post": (lambda points: shop.post(holds[0], points, key="p"), 60),
        "reverse": (lambda points: shop.run(lambda u: HoldService(u).reverse_hold(holds[0], points, key="r")), 30),
        "take_back": (lambda points: shop.take_back(grant, points, key="t"), 190),
    }
    holds = []
    for do, points in again.values():
        holds.append(await do(points))
        assert await do(points) == holds[-1]
        with pytest.raises(Conflict, match="key"):
            await do(points + 1)
    assert (await shop.balance(customer))[0] == 0
