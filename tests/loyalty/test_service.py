"""The ledger on PostgreSQL: orders, people, time, and many at once."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from crm_api.core.errors import Conflict, Forbidden, InsufficientBalance, NotFound
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.earning.jobs import follow_orders
from crm_api.loyalty.jobs import settle
from crm_api.loyalty.models import OpeningRow, RedemptionCreate
from crm_api.loyalty.repository import TransactionRepository
from crm_api.loyalty.service import LoyaltyService
from tests.loyalty.shop import START, Shop, cancelled, paid, refunded
from tests.support.api import make_tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
DAY = timedelta(days=1)


async def test_a_balance_told_while_the_job_books_counts_nothing_twice(shop, monkeypatch):
    await shop.programme(expiry_days=1)
    customer = await shop.customer()
    await shop.pay(customer, 10_000)
    shop.clock.advance(timedelta(days=5))
    read = TransactionRepository.booked_until

    async def after_the_job(self, wallet_id, at):
        await shop.settle()
        return await read(self, wallet_id, at)

    monkeypatch.setattr(TransactionRepository, "booked_until", after_the_job)
    assert await shop.balance_at(customer, shop.clock.now()) == (0, 0, 0, 0)


async def test_an_opening_balance_ends_with_its_day_where_the_programme_is(shop):
    await shop.programme(time_zone="America/New_York")
    customer = await shop.customer()
    row = OpeningRow(customer, 70, date(2026, 3, 1))
    await shop.run(lambda unit: LoyaltyService(unit).open_many([row]))
    [lot] = await shop.rows("SELECT expires_at FROM loyalty_lots WHERE tenant_id = $1", shop.tenant.id)
    assert lot["expires_at"] == datetime(2026, 3, 2, 5, tzinfo=UTC)


class TestEarn:
    async def test_a_paid_order_earns_once(self, shop):
        customer = await shop.customer()
        order = await shop.pay(customer, 1999)
        await shop.pay(customer, 1999, order)
        assert await shop.balance(customer) == (19, 0, 0, 0)
        assert await shop.accounts(customer) == {"issued": -19, "available": 19}
        assert await shop.drift() == []

    async def test_pending_points_are_released_by_time(self, shop):
        await shop.programme(pending_days=7)
        customer = await shop.customer()
        await shop.pay(customer, 5000)
        assert await shop.balance(customer) == (0, 50, 0, 0)
        with pytest.raises(InsufficientBalance):
            await shop.redeem(customer, 1)
        shop.clock.advance(7 * DAY)
        assert await shop.settle() == 1
        assert await shop.settle() == 0
        assert await shop.balance(customer) == (50, 0, 0, 0)
        assert await shop.history(customer) == [("earn", 50), ("release", 0)]

    async def test_old_orders_count_from_their_own_time(self, shop):
        await shop.programme(pending_days=7, expiry_months=12)
        customer = await shop.customer()
        await shop.pay(customer, 5000, at=START - 30 * DAY)
        assert await shop.balance(customer) == (50, 0, 0, 0)
        await shop.pay(customer, 5000, at=START - 800 * DAY)
        await shop.settle()
        assert await shop.balance(customer) == (50, 0, 0, 0)

    async def test_nothing_for_other_currencies_nobody_or_unknown_customers(self, shop):
        customer = await shop.customer()
        await shop.pay(customer, 5000, currency="USD")
        await shop.pay(new_id(), 5000)
        message = paid(shop.tenant.id, customer, new_id(), 5000)
        await shop.hear(
            type(message)(
                *(getattr(message, n) for n in ("id", "tenant_id", "type", "subject_id")),
                {**message.payload, "customer_id": None},
                START,
            )
        )
        assert await shop.balance(customer) == (0, 0, 0, 0)

    async def test_two_workers_grant_once(self, shop):
        customer, order = await shop.customer(), new_id()
        messages = [paid(shop.tenant.id, customer, order, 1999) for _ in range(8)]
        await asyncio.gather(*(shop.hear(message) for message in messages))
        assert await shop.balance(customer) == (19, 0, 0, 0)
        assert await shop.history(customer) == [("earn", 19)]


class TestRefund:
    async def test_thirds_take_back_exactly_everything(self, shop):
        customer = await shop.customer()
        order = await shop.pay(customer, 1000)
        left = []
        for total in (333, 666, 999, 1000):
            await shop.refund(customer, order, total)
            left.append((await shop.balance(customer))[0])
        assert left == [7, 4, 1, 0]
        assert await shop.accounts(customer) == {"issued": -10, "available": 0, "cancelled": 10}

    async def test_points_already_spent_become_debt_that_later_points_repay(self, shop):
        customer = await shop.customer()
        order = await shop.pay(customer, 3000)
        await shop.redeem(customer, 20)
        await shop.refund(customer, order, 3000)
        assert await shop.balance(customer) == (0, 0, 0, 20)
        await shop.pay(customer, 1500)
        assert await shop.balance(customer) == (0, 0, 0, 5)
        await shop.pay(customer, 1500)
        assert await shop.balance(customer) == (10, 0, 0, 0)
        assert await shop.drift() == []

    async def test_pending_points_are_taken_back(self, shop):
        await shop.programme(pending_days=7)
        customer = await shop.customer()
        order = await shop.pay(customer, 3000)
        await shop.cancel(customer, order)
        await shop.cancel(customer, order)
        assert await shop.balance(customer) == (0, 0, 0, 0)
        assert await shop.lots(customer) == [("cancelled", 30, 0)]

    @pytest.mark.parametrize("together", [True, False])
    async def test_a_refund_that_overtakes_its_payment_converges(self, shop, together):
        customer, order = await shop.customer(), new_id()
        t = shop.tenant.id
        messages = [refunded(t, customer, order, 1500), paid(t, customer, order, 3000)]
        if together:
            await shop.hear(*messages)
        else:
            for message in messages:
                await shop.hear(message)
        assert await shop.balance(customer) == (15, 0, 0, 0)
        await shop.hear(cancelled(t, customer, order))
        assert await shop.balance(customer) == (0, 0, 0, 0)
        late = new_id()
        await shop.hear(cancelled(t, customer, late), paid(t, customer, late, 3000))
        assert await shop.balance(customer) == (0, 0, 0, 0)

    async def test_an_old_total_changes_nothing(self, shop):
        customer = await shop.customer()
        order = await shop.pay(customer, 3000)
        for total in (2000, 1000, 2000):
            await shop.refund(customer, order, total)
        assert await shop.balance(customer) == (10, 0, 0, 0)


class TestBatches:
    async def test_one_by_one_and_all_at_once_are_the_same(self, database, settings):
        chance = random.Random(7)
        shops = [Shop(database, await make_tenant(settings)) for _ in range(3)]
        customers = [[await shop.customer() for _ in range(4)] for shop in shops]
        orders = [(new_id(), chance.randrange(4), chance.randrange(50, 5000)) for _ in range(40)]
        told = []
        for order, who, amount in orders:
            told.append((paid, order, who, amount))
            told.extend(
                (refunded, order, who, amount * share // 10) for share in sorted(chance.sample(range(1, 11), 2))
            )
            if chance.random() < 0.2:
                told.append((cancelled, order, who))
        chance.shuffle(told)
        for shop, people, size in zip(shops, customers, (1, 7, len(told)), strict=True):
            await shop.programme(pending_days=3, expiry_days=10)
            messages = [
                make(shop.tenant.id, people[who], order, *more, **({"at": START - 12 * DAY} if i % 3 else {}))
                for i, (make, order, who, *more) in enumerate(told)
            ]
            for first in range(0, len(messages), size):
                await shop.hear(*messages[first : first + size])
            await shop.settle()
        histories = []
        for shop, people in zip(shops, customers, strict=True):
            assert await shop.drift() == []
            histories.append([await shop.balance(customer) for customer in people])
            issued = [(await shop.accounts(customer)) for customer in people]
            histories[-1].append([(each.get("issued"), each.get("cancelled")) for each in issued])
        assert histories[0] == histories[1] == histories[2]

    async def test_five_hundred_orders_take_a_handful_of_statements(self, shop, monkeypatch):
        customers = [await shop.customer() for _ in range(20)]
        messages = [paid(shop.tenant.id, customers[n % 20], new_id(), 1000 + n) for n in range(500)]
        statements = 0

        async def work(unit):
            nonlocal statements
            unit.connection.add_query_logger(count)
            await follow_orders(unit, messages)
            unit.connection.remove_query_logger(count)

        def count(_record):
            nonlocal statements
            statements += 1

        await shop.run(work)
        assert statements <= 11  # one of them asks whether there are earning rules
        assert sum([(await shop.balance(customer))[0] for customer in customers]) == sum(
            (1000 + n) // 100 for n in range(500)
        )


class TestRedeem:
    async def test_spends_and_remembers(self, shop):
        customer = await shop.customer(points=30)
        await shop.redeem(customer, 10)
        assert await shop.balance(customer) == (20, 0, 0, 0)
        assert await shop.accounts(customer) == {"adjusted": -30, "available": 20, "redeemed": 10}

    async def test_a_key_has_its_effect_once(self, shop):
        customer = await shop.customer(points=30)
        first = await shop.redeem(customer, 10, key="coupon 1")
        assert await shop.redeem(customer, 10, key="coupon 1") == first
        with pytest.raises(Conflict, match="another transaction"):
            await shop.redeem(customer, 11, key="coupon 1")
        assert await shop.balance(customer) == (20, 0, 0, 0)

    async def test_points_past_their_time_cannot_be_spent_before_the_job_came(self, shop):
        await shop.programme(expiry_days=0)
        customer = await shop.customer(points=30)
        shop.clock.advance(DAY)
        with pytest.raises(InsufficientBalance):
            await shop.redeem(customer, 1)

    async def test_fifty_at_once_for_a_balance_of_seven(self, shop):
        customer = await shop.customer(points=7)
        results = await asyncio.gather(*(shop.redeem(customer, 1) for _ in range(50)), return_exceptions=True)
        assert sum(not isinstance(result, BaseException) for result in results) == 7
        assert {type(result) for result in results if isinstance(result, BaseException)} == {InsufficientBalance}
        assert await shop.balance(customer) == (0, 0, 0, 0)
        assert await shop.drift() == []

    async def test_needs_the_scope(self, shop):
        customer = await shop.customer(points=7)
        reader = shop.tenant.actor_with("loyalty:read")
        with pytest.raises(Forbidden):
            await shop.database.run(
                reader,
                lambda unit: LoyaltyService(unit).redeem(customer, RedemptionCreate(points=1, reason="x")),
            )


class TestReversal:
    async def test_restores_lots_and_only_once(self, shop):
        customer = await shop.customer()
        await shop.pay(customer, 1000)
        await shop.pay(customer, 1000)
        spent = await shop.redeem(customer, 15)
        assert await shop.lots(customer) == [("exhausted", 10, 0), ("available", 10, 5)]
        results = await asyncio.gather(*(shop.restore(spent) for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 4
        assert await shop.lots(customer) == [("available", 10, 10), ("available", 10, 10)]
        assert await shop.drift() == []

    async def test_what_has_ended_since_ends_at_once(self, shop):
        await shop.programme(expiry_days=1)
        customer = await shop.customer(points=10)
        spent = await shop.redeem(customer, 10)
        shop.clock.advance(3 * DAY)
        await shop.restore(spent)
        assert await shop.balance(customer) == (0, 0, 0, 0)
        assert [kind for kind, _ in await shop.history(customer)] == ["adjust", "redeem", "restore", "expire"]

    async def test_earn_redeem_refund_reverse_makes_no_points(self, shop):
        customer = await shop.customer()
        order = await shop.pay(customer, 1000)
        spent = await shop.redeem(customer, 10)
        await shop.refund(customer, order, 1000)
        await shop.restore(spent)
        assert await shop.balance(customer) == (0, 0, 0, 0)

    async def test_only_redemptions(self, shop):
        customer = await shop.customer()
        with pytest.raises(NotFound):
            await shop.restore(await shop.adjust(customer, 5))
        with pytest.raises(NotFound):
            await shop.restore(new_id())


class TestAdjust:
    async def test_never_below_zero(self, shop):
        customer = await shop.customer(points=5)
        with pytest.raises(InsufficientBalance):
            await shop.adjust(customer, -6)
        await shop.adjust(customer, -5)
        assert await shop.balance(customer) == (0, 0, 0, 0)
        with pytest.raises(InsufficientBalance):
            await shop.adjust(await shop.customer(), -1)

    async def test_repays_debt(self, shop):
        customer = await shop.customer()
        order = await shop.pay(customer, 1000)
        await shop.redeem(customer, 10)
        await shop.cancel(customer, order)
        await shop.adjust(customer, 12)
        assert await shop.balance(customer) == (2, 0, 0, 0)

    async def test_unknown_and_deleted_customers(self, shop):
        customer = await shop.customer(points=5)
        await shop.rows("UPDATE customers SET deleted_at = now() WHERE id = $1", customer)
        for somebody in (customer, new_id()):
            with pytest.raises(NotFound):
                await shop.adjust(somebody, 5)
            with pytest.raises(NotFound):
                await shop.redeem(somebody, 5)

    async def test_without_a_programme(self, shop):
        customer = await shop.customer()
        await shop.programme(is_default=False)
        with pytest.raises(Conflict) as caught:
            await shop.adjust(customer, 5)
        assert caught.value.code == "no_programme"
        await shop.pay(customer, 5000)
        assert await shop.balance(customer) == (0, 0, 0, 0)


class TestExpiryJob:
    async def test_two_workers_twice_during_redemptions(self, shop, settings):
        await shop.programme(expiry_days=1)
        customers = [await shop.customer(points=10) for _ in range(6)]
        shop.clock.advance(DAY)
        for customer in customers:
            await shop.pay(customer, 1000)
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
            assert await shop.balance(customer) == (7, 0, 0, 0)
            assert (await shop.accounts(customer))["expired"] == 10
        assert await shop.drift() == []

    async def test_goes_on_until_nothing_is_due(self, shop):
        await shop.programme(expiry_days=0)
        customers = [await shop.customer(points=10) for _ in range(7)]
        shop.clock.advance(DAY)
        assert await shop.settle(limit=3) == 3
        await settle(shop.database)
        assert {await shop.balance(customer) for customer in customers} == {(0, 0, 0, 0)}


class TestDatabase:
    """What the database itself refuses, whoever asks."""

    async def insert(self, shop, customer, *entries):
        [wallet] = await shop.rows("SELECT id FROM loyalty_wallets WHERE customer_id = $1", customer)
        booking, tenant = new_id(), shop.tenant.id

        async def work(unit):
            await unit.connection.execute(
                "INSERT INTO loyalty_transactions (tenant_id, id, wallet_id, sequence, type, points, available_change, "
                "available_after, pending_after, held_after, debt_after, actor_kind, actor_id, at) "
                "VALUES ($1, $2, $3, 99, 'earn', 5, 5, 5, 0, 0, 0, 'key', $1, now())",
                tenant,
                booking,
                wallet["id"],
            )
            for account, points in entries:
                await unit.connection.execute(
                    "INSERT INTO loyalty_entries (tenant_id, transaction_id, account, points) VALUES ($1, $2, $3, $4)",
                    tenant,
                    booking,
                    account,
                    points,
                )

        await shop.run(work)

    async def test_unbalanced_entries(self, shop):
        customer = await shop.customer(points=5)
        with pytest.raises(asyncpg.CheckViolationError, match="sum to -1, not to zero"):
            await self.insert(shop, customer, ("available", 5), ("issued", -6))
        with pytest.raises(asyncpg.CheckViolationError):
            await self.insert(shop, customer, ("available", 5))
        await self.insert(shop, customer, ("available", 5), ("issued", -5))
        assert len(await shop.drift()) == 1  # balanced, but the wallet's own balance does not know of it

    @pytest.mark.parametrize("change", ["available = -1", "debt = 1", "pending = -1"])
    async def test_impossible_balances(self, shop, change):
        customer = await shop.customer(points=5)
        with pytest.raises(asyncpg.CheckViolationError):
            await shop.rows(f"UPDATE loyalty_wallets SET {change} WHERE customer_id = $1", customer)

    @pytest.mark.parametrize("change", ["remaining = 6", "remaining = -1", "remaining = 0", "expired = 1"])
    async def test_impossible_lots(self, shop, change):
        await shop.customer(points=5)
        with pytest.raises(asyncpg.CheckViolationError):
            await shop.rows(f"UPDATE loyalty_lots SET {change}")

    @pytest.mark.parametrize("table", ["loyalty_transactions", "loyalty_entries", "loyalty_lot_movements"])
    async def test_history_cannot_be_changed(self, shop, table):
        for statement in (f"UPDATE {table} SET points = 1", f"DELETE FROM {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await shop.rows(statement)
