"""Whatever the order, repetition and way of writing: the same order, the same facts."""

import itertools
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm_api.core.errors import Conflict
from crm_api.orders.models import OrderLineInput, OrderRow, RefundCreate
from tests.orders.shop import DAY, announced, brute_force, facts, message, order, put, put_many, refund, rows, yuan

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

# One database and tenant for all examples: each example uses names of its own.
_relaxed = hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_numbers = itertools.count()

STATUSES = ["pending_payment", "paid", "shipped", "completed", "cancelled", "refunded"]
versions = st.tuples(
    st.one_of(st.none(), st.integers(1, 3)),
    st.integers(0, 3).map(lambda hours: DAY + timedelta(hours=hours)),
    st.sampled_from(STATUSES),
    st.sampled_from([0, 500]),
)


def told(version, time, status, refunded):
    """Return the message a platform sends for a state; its content follows from what dates it."""
    return message(
        f"buyer-{status}",
        status=status,
        total=1_000 + (version or 0) * 10 + time.hour,
        paid=yuan(0 if status == "pending_payment" else 1_000),
        refunded=yuan(0 if status == "pending_payment" else refunded),
        platform_version=version,
        platform_updated_at=time,
        channel=f"{version}-{time.hour}-{status}",
        lines=[{"title": status, "unit_price": yuan(refunded)}],
    )


KEPT_APART = {"id", "external_id", "version", "created_at", "updated_at", "paid_announced"}


class TestMessages:
    @_relaxed
    @given(st.lists(versions, min_size=1, max_size=6), st.randoms(use_true_random=False))
    async def test_converge(self, database, tenant, states, random):
        shuffled = [*states, *random.choices(states, k=2)]
        random.shuffle(shuffled)
        results = []
        for sequence in (states, shuffled):
            name = f"order-{next(_numbers)}"
            for state in sequence:
                order_id, _ = await put(database, tenant.actor, name, told(*state))
            stored = await order(database, tenant.actor, order_id)
            lines = await rows(
                database,
                tenant.actor,
                "SELECT title, amount FROM order_lines WHERE tenant_id = $1 AND order_id = $2",
                order_id,
            )
            results.append(({name: stored[name] for name in stored.keys() - KEPT_APART}, lines))
            kinds = [kind for kind, _ in await announced(database, tenant.actor, order_id)]
            assert kinds.count("order.paid") == int(stored["paid_announced"])
        assert results[0] == results[1]


placed = st.sampled_from([DAY + timedelta(hours=hours) for hours in (-40, -30, -20, 0, 0, 1, 3, 5, 29, 200)])
ways = st.fixed_dictionaries(
    {
        "way": st.sampled_from(["single", "bulk"]),
        "number": st.integers(0, 5),
        "buyer": st.integers(0, 2),
        "status": st.sampled_from(STATUSES),
        "total": st.integers(0, 9).map(lambda units: units * 333),
        "placed": placed,
        "version": st.one_of(st.none(), st.integers(1, 4)),
        "category": st.sampled_from([None, "海鲜", "零食", "Tea", "tea", "母婴"]),
    }
)
refunds = st.fixed_dictionaries(
    {"way": st.just("refund"), "number": st.integers(0, 5), "amount": st.integers(1, 2_000), "id": st.integers(0, 2)}
)


def currency_of(number):
    return ["CNY", "USD", "USD", "CNY", "JPY", "EUR"][number]


class Shop:
    """Does to one tenant what an example says."""

    def __init__(self, database, actor, prefix):
        self.database, self.actor, self.prefix = database, actor, prefix
        self.orders = {}

    def row(self, step):
        return OrderRow(
            platform="taobao",
            external_id=f"{self.prefix}-{step['number']}",
            customer_external_id=f"{self.prefix}-c{step['buyer']}",
            placed_at=step["placed"],
            status=step["status"],
            total_amount=step["total"],
            currency=currency_of(step["number"]),
            platform_version=step["version"],
            lines=self.lines(step),
        )

    @staticmethod
    def lines(step):
        if not step["category"]:
            return None
        price = yuan(step["total"], currency_of(step["number"]))
        return (OrderLineInput(title="x", unit_price=price, category=step["category"]),)

    async def single(self, step):
        currency = currency_of(step["number"])
        line = {"title": "x", "unit_price": yuan(step["total"], currency), "category": step["category"]}
        data = message(
            f"{self.prefix}-c{step['buyer']}",
            status=step["status"],
            total=step["total"],
            currency=currency,
            placed_at=step["placed"],
            platform_version=step["version"],
            lines=[line] if step["category"] else None,
        )
        result = await put(self.database, self.actor, f"{self.prefix}-{step['number']}", data)
        self.orders[step["number"]] = result.order_id
        return result.verdict

    async def bulk(self, steps):
        verdicts = await put_many(self.database, self.actor, [self.row(step) for step in steps])
        for step, verdict in zip(steps, verdicts, strict=True):
            self.orders[step["number"]] = verdict.order_id
        return [each.verdict for each in verdicts]

    async def refund(self, step):
        order_id = self.orders.get(step["number"])
        if order_id is None:
            return
        amount = yuan(step["amount"], currency_of(step["number"]))
        data = RefundCreate(external_id=f"r{step['id']}", amount=amount, refunded_at=DAY + timedelta(days=30))
        with suppress(Conflict):  # more than was paid, or the same id with another amount
            await refund(self.database, self.actor, order_id, data)

    async def play(self, steps):
        for way, group in itertools.groupby(steps, key=lambda step: step["way"]):
            if way == "bulk":
                await self.bulk(list(group))
            else:
                for step in group:
                    await (self.single(step) if way == "single" else self.refund(step))


class TestFacts:
    @_relaxed
    @given(st.lists(st.one_of(ways, ways, refunds), min_size=1, max_size=14))
    async def test_equal_brute_force(self, database, tenant, steps):
        await Shop(database, tenant.actor, f"f{next(_numbers)}").play(steps)
        assert await facts(database, tenant.actor) == await brute_force(database, tenant.actor)

    @_relaxed
    @given(st.lists(ways, min_size=1, max_size=12))
    async def test_bulk_equals_one_after_the_other(self, database, tenant, steps):
        prefixes = [f"b{next(_numbers)}", f"s{next(_numbers)}"]
        together, apart = (Shop(database, tenant.actor, prefix) for prefix in prefixes)
        many = await together.bulk(steps)
        one_by_one = [(await apart.bulk([step]))[0] for step in steps]
        singles = Shop(database, tenant.actor, f"t{next(_numbers)}")
        single = [await singles.single(step) for step in steps]
        assert many == one_by_one == single
        states = [await self.state(shop) for shop in (together, apart, singles)]
        assert states[0] == states[1] == states[2]

    async def state(self, shop):
        stored = {}
        for number, order_id in shop.orders.items():
            row = await order(shop.database, shop.actor, order_id)
            columns = row.keys() - {"id", "customer_id", "external_id", "created_at", "updated_at"}
            kinds = [kind for kind, _ in await announced(shop.database, shop.actor, order_id)]
            stored[number] = ({name: row[name] for name in columns}, kinds)
        kept = await facts(shop.database, shop.actor)
        own = {buyer.rpartition("-")[2]: each for buyer, each in kept.items() if buyer.startswith(f"{shop.prefix}-")}
        return stored, own
