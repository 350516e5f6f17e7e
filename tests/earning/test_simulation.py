"""What a simulation shows is what is booked afterwards, and it changes nothing."""

from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_api.core.errors import Invalid
from tests.earning.shop import Shop, fixed, per_unit, yuan

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

NUMBERS = count(1)

FORMULAE = st.one_of(
    st.builds(fixed, st.integers(1, 300)),
    st.builds(per_unit, st.integers(1, 5), st.integers(1, 7)),
    st.builds(lambda points, per: per_unit(points, per, whole_steps=True), st.integers(1, 20), st.integers(1, 50)),
    st.builds(lambda points: {"kind": "per_item", "points": points}, st.integers(1, 9)),
    st.builds(lambda percent: {"kind": "percent", "percent": percent}, st.integers(1, 300)),
)
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "customer": st.sampled_from(
            [
                {"field": "order_count", "op": "lte", "value": 1},
                {"aggregate": "count", "of": "orders", "window": {"last_days": 30}, "op": "gte", "value": 2},
            ]
        ),
        "order": st.sampled_from(
            [
                {"field": "total", "op": "gte", "value": yuan(60)},
                {"aggregate": "sum", "of": "lines.quantity", "op": "gte", "value": 3},
            ]
        ),
        "lines": st.just({"field": "category", "op": "eq", "value": "海鲜"}),
        "caps": st.dictionaries(st.sampled_from(["per_order", "per_day", "budget"]), st.integers(0, 150), min_size=1),
        "stacking": st.sampled_from(["additive", "best_of", "exclusive"]),
        "keeps_base": st.booleans(),
        "gives": st.sampled_from(["both", "spendable", "qualifying"]),
        "priority": st.integers(0, 3),
        "counts": st.just({"shipping": True}),
    },
)
ORDERS = st.lists(
    st.tuples(st.sampled_from(["海鲜", "水果"]), st.integers(1, 90), st.integers(1, 3)), min_size=1, max_size=3
)


async def marks(shop):
    """Return how many rows there are of everything that a booking would write."""
    names = ("orders", "customers", "earnings", "earning_awards", "loyalty_transactions", "outbox", "audit_log")
    wanted = ", ".join(f"(SELECT count(*) FROM {name} WHERE tenant_id = $1)" for name in names)
    [row] = await shop.rows(f"SELECT {wanted}", shop.tenant.id)
    return tuple(row)


DRAWN = (st.lists(st.tuples(FORMULAE, CONDITIONS), min_size=1, max_size=4), st.lists(ORDERS, min_size=1, max_size=3))
HEALTH = list(HealthCheck)


async def compare(database, tenant, drawn, orders):
    """Simulate orders and let them come in, one after the other; both must earn the same."""
    shop = Shop(database, tenant, numbers=NUMBERS)
    made = [await shop.rule(formula, **more) for formula, more in drawn]
    customer = await shop.customer()
    for lines in orders:
        total = sum(price for _, price, _ in lines) + 5
        parts = {"lines": lines, "shipping": yuan(5)}
        before = await marks(shop)
        asked = await shop.simulate(order=shop.body(customer, total, **parts))
        assert await marks(shop) == before
        had = await shop.points(customer), await shop.points(customer, "qualifying")
        order = await shop.order(customer, total, **parts)
        got = await shop.points(customer) - had[0], await shop.points(customer, "qualifying") - had[1]
        assert (asked["points"], asked["qualifying"]) == got
        after = await shop.simulate(order_id=order)
        assert after["booked"] is True
        assert after["decisions"] == [{**each, "explanation": []} for each in asked["decisions"]]
    for rule in made:
        await shop.archive(rule)


@settings(max_examples=8, deadline=None, suppress_health_check=HEALTH)
@given(*DRAWN)
async def test_what_is_simulated_is_what_is_booked(database, tenant, drawn, orders):
    await compare(database, tenant, drawn, orders)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH)
@given(*DRAWN)
async def test_what_is_simulated_is_what_is_booked_whatever_it_is(database, tenant, drawn, orders):
    await compare(database, tenant, drawn, orders)


async def test_it_says_why(shop):
    customer = await shop.customer()
    await shop.rows("UPDATE customers SET city = '北京' WHERE id = $1", customer)
    await shop.rule(fixed(10), customer={"field": "city", "op": "eq", "value": "上海"}, priority=1)
    await shop.rule(fixed(50), caps={"per_order": 30}, priority=2)
    await shop.rule(fixed(1), order={"field": "total", "op": "gte", "value": yuan(500)}, priority=3)
    shown = await shop.simulate(order=shop.body(customer, 100))
    first, second, third = shown["decisions"]
    [leaf] = first["explanation"]
    assert (first["outcome"], leaf["found"], leaf["asked"], leaf["holds"]) == ("not_matched", "北京", "上海", False)
    assert leaf["pointer"] == "/customer/where"
    assert second["points"] == 30
    assert second["capped_by"] == [{"by": "per_order", "scope": "rule", "limit": 30, "used": 0}]
    assert "30 points, limited by its cap per order" in second["en"]
    assert third["explanation"][0]["found"] == yuan(100)
    assert third["zh"].endswith("订单不符合条件")
    assert (shown["points"], shown["booked"], shown["order_id"], shown["customer_id"]) == (30, False, None, customer)


async def test_an_unpaid_order_is_shown_as_if_it_were_paid(shop):
    customer = await shop.customer()
    order = await shop.order(customer, 80, "pending_payment")
    shown = await shop.simulate(order_id=order)
    assert (shown["points"], shown["booked"]) == (80, False)
    assert shown["decisions"][0]["rule_id"] is None


async def test_a_stranger_is_not_made_a_customer(shop):
    before = await marks(shop)
    body = shop.body(None, 50, customer={"external_id": "tb_new", "name": "王小明"})
    shown = await shop.simulate(order=body, platform="taobao")
    assert (shown["points"], shown["customer_id"]) == (50, None)
    assert await marks(shop) == before


async def test_one_order_at_a_time(shop):
    with pytest.raises(Invalid):
        await shop.simulate()
