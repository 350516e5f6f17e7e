"""Parallel writers on real connections."""

import asyncio
import random
from collections import Counter
from datetime import timedelta

import pytest

from crm_api.core.errors import Conflict
from crm_api.orders.models import OrderRow, RefundCreate
from tests.orders.shop import DAY, announced, brute_force, facts, message, order, put, put_many, refund, rows, yuan

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


class TestParallel:
    async def test_messages_about_one_new_order_of_one_new_customer(self, database, tenant):
        versions = list(range(1, 21))
        random.Random(7).shuffle(versions)
        results = await asyncio.gather(
            *(
                put(database, tenant.actor, "T-1", message("new", total=version, platform_version=version))
                for version in versions
            )
        )
        assert len({each.order_id for each in results}) == 1
        assert Counter(each.verdict for each in results)["created"] == 1
        order_id = results[0].order_id
        assert (await order(database, tenant.actor, order_id))["total_amount"] == 20
        assert len(await rows(database, tenant.actor, "SELECT 1 FROM customers WHERE tenant_id = $1")) == 1
        assert [kind for kind, _ in await announced(database, tenant.actor, order_id)].count("order.paid") == 1
        assert await facts(database, tenant.actor) == await brute_force(database, tenant.actor)

    async def test_messages_about_one_new_order_of_a_masked_buyer(self, database, tenant):
        results = await asyncio.gather(
            *(put(database, tenant.actor, "T-1", message("t***b", total=n, platform_version=n)) for n in range(10))
        )
        assert Counter(each.verdict for each in results)["created"] == 1
        assert len(await rows(database, tenant.actor, "SELECT 1 FROM customers WHERE tenant_id = $1")) == 1

    async def test_orders_of_one_customer(self, database, tenant):
        await asyncio.gather(
            *(
                put(database, tenant.actor, f"T-{n}", message("one", placed_at=DAY + timedelta(days=n)))
                for n in range(25)
            )
        )
        kept = await facts(database, tenant.actor)
        assert (kept["one"]["order_count"], kept["one"]["net_spend_amount"]) == (25, 250_000)
        assert kept == await brute_force(database, tenant.actor)

    async def test_refunds_never_exceed_what_was_paid(self, database, tenant):
        order_id, _ = await put(database, tenant.actor, "T-1", message())
        results = await asyncio.gather(
            *(
                refund(database, tenant.actor, order_id, RefundCreate(amount=yuan(3_000), refunded_at=DAY))
                for _ in range(10)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, tuple) for each in results) == 3
        assert sum(isinstance(each, Conflict) for each in results) == 7
        assert (await order(database, tenant.actor, order_id))["refunded_amount"] == 9_000

    async def test_the_same_refund(self, database, tenant):
        order_id, _ = await put(database, tenant.actor, "T-1", message())
        data = RefundCreate(external_id="R", amount=yuan(3_000), refunded_at=DAY)
        results = await asyncio.gather(*(refund(database, tenant.actor, order_id, data) for _ in range(10)))
        assert len({refund_id for refund_id, _ in results}) == 1
        assert sum(new for _, new in results) == 1

    async def test_bulk_writers_with_the_same_rows_beside_single_ones(self, database, tenant):
        def row(number):
            return OrderRow(
                "taobao", f"T-{number}", f"c{number % 40}", DAY + timedelta(days=number % 9), "paid", 100, "CNY"
            )

        numbers = list(range(300))
        shuffles = [random.Random(seed).sample(numbers, len(numbers)) for seed in range(4)]
        singles = [
            put(
                database,
                tenant.actor,
                f"T-{n}",
                message(f"c{n % 40}", total=100, placed_at=DAY + timedelta(days=n % 9)),
            )
            for n in range(0, 300, 20)
        ]
        *bulk, one = await asyncio.gather(
            *(put_many(database, tenant.actor, [row(n) for n in shuffled]) for shuffled in shuffles),
            asyncio.gather(*singles),
        )
        verdicts = Counter(each.verdict for each in [*(v for verdicts in bulk for v in verdicts), *one])
        assert verdicts == {"created": 300, "unchanged": 3 * 300 + 15}
        kept = await facts(database, tenant.actor)
        assert sum(each["order_count"] for each in kept.values()) == 300
        assert kept == await brute_force(database, tenant.actor)
        assert len(await rows(database, tenant.actor, "SELECT 1 FROM customers WHERE tenant_id = $1")) == 40
