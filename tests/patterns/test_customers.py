"""A customer's patterns: against a walk over their orders, and cases worked out by hand."""

from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm_api import admin
from crm_api.core.actor import Actor
from crm_api.core.clock import FixedClock
from crm_api.db.outbox import message_of
from crm_api.patterns import jobs
from crm_api.patterns.repository import PatternRepository
from crm_api.patterns.rules import PatternSettings
from tests.patterns.books import NOON, Line, Order, expected, favourites, make_customers, put, rolled_back
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

_relaxed = hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def shown(unit):
    """Return customer → (figures, favourites) as they are stored."""
    rows = await unit.connection.fetch("SELECT * FROM customer_patterns WHERE tenant_id = $1", unit.tenant_id)
    liked = await unit.connection.fetch(
        "SELECT * FROM customer_favourites WHERE tenant_id = $1 ORDER BY customer_id, place", unit.tenant_id
    )
    return {row["customer_id"]: (row, [f for f in liked if f["customer_id"] == row["customer_id"]]) for row in rows}


COLUMNS = {
    "purchases": "purchases",
    "purchase_days": "purchase_days",
    "median_value_amount": "median",
    "low_value_amount": "low",
    "high_value_amount": "high",
    "cycle_days": "cycle_days",
    "cycle_low_days": "cycle_low_days",
    "cycle_high_days": "cycle_high_days",
    "next_purchase_expected": "expected",
    "next_purchase_from": "from",
    "next_purchase_to": "to",
    "next_purchase_coverage": "coverage",
    "discounted_line_share": "line_share",
    "discounted_spend_share": "spend_share",
    "price_sensitivity": "level",
}

lines = st.builds(
    Line,
    category=st.sampled_from([None, "海鲜/虾", "海鲜/蟹", "酒", "a", "B", "c", "d"]),
    quantity=st.integers(1, 3),
    returned=st.sampled_from([0, 0, 0, 1, 3]),
    price=st.sampled_from([0, 333, 1000, 99_999]),
    cut=st.sampled_from([0, 0, 100, 5000]),
).map(
    lambda line: Line(
        line.product, line.category, line.quantity, min(line.returned, line.quantity), line.price, line.cut
    )
)
histories = st.lists(
    st.lists(
        st.tuples(
            st.integers(-3000, 0),  # hours before noon
            st.sampled_from(["paid", "paid", "shipped", "completed", "refunded", "cancelled", "pending_payment"]),
            st.sampled_from(["CNY", "CNY", "CNY", "USD"]),
            st.sampled_from([0, 0, 50, 100]),
            st.booleans(),
            st.sampled_from([0, 0, 77]),
            st.lists(lines, max_size=3),
        ),
        max_size=14,
    ),
    min_size=1,
    max_size=4,
)
shops = st.builds(
    PatternSettings,
    half_life_days=st.sampled_from([7, 30, 180]),
    min_purchase_days=st.integers(3, 5),
    coverage_percent=st.sampled_from([50, 60, 80, 95]),
    medium_percent=st.sampled_from([10, 30]),
    high_percent=st.sampled_from([40, 60, 100]),
)


@_relaxed
@given(histories, shops)
async def test_equals_a_walk_over_the_orders(database, tenant, histories, settings):
    async with rolled_back(database, tenant) as unit:
        ids = await make_customers(unit, len(histories))
        books = {
            customer: [
                Order(customer, NOON + timedelta(hours=hours), status, currency, cut, inside, back, lines=found)
                for hours, status, currency, cut, inside, back, found in history
            ]
            for customer, history in zip(ids, histories, strict=True)
        }
        await put(unit, [order for orders in books.values() for order in orders])
        repository = PatternRepository(unit)
        await repository.refresh(ids, settings, 1)
        stored = await shown(unit)
        for customer, orders in books.items():
            row, liked = stored[customer]
            wanted = expected(orders, settings)
            assert {name: wanted[mine] for name, mine in COLUMNS.items()} == {
                name: pytest.approx(row[name], abs=1e-6) if isinstance(row[name], float) else row[name]
                for name in COLUMNS
            }
            by_hand = favourites(orders, settings)
            assert [each["category"] for each in liked] == [category for category, *_ in by_hand]
            for each, (_, score, share, paid) in zip(liked, by_hand, strict=True):
                assert (each["score"], each["line_share"]) == (
                    pytest.approx(score, abs=2e-6),
                    pytest.approx(share, abs=2e-6),
                )
                assert each["spend_share"] == (None if paid is None else pytest.approx(paid, abs=2e-6))
        # Nothing has happened since, so nothing changes and nobody is told.
        assert await repository.refresh(ids, settings, 1) == set()


# -- by the API and by messages ----------------------------------------------------------------------------------------


async def taken_in(database, tenant):
    """Hand all that was told so far to the subscriber, as the relay does."""
    async with database.system() as connection:
        rows = await connection.fetch(
            "SELECT * FROM outbox WHERE tenant_id = $1 AND type = ANY ($2) ORDER BY id",
            tenant.id,
            sorted(jobs.SUBSCRIBERS[0].types),
        )
    async with database.write(Actor.system(tenant.id)) as unit:
        await jobs.keep(unit, [message_of(row) for row in rows])


async def told(database, tenant):
    """Return whose patterns changed, by all messages so far."""
    async with database.system() as connection:
        rows = await connection.fetch(
            "SELECT payload FROM outbox WHERE tenant_id = $1 AND type = 'patterns.changed' ORDER BY id", tenant.id
        )
    return [row["payload"]["customer_ids"] for row in rows]


def money(amount):
    return {"amount": amount, "currency": "CNY"}


async def buy(client, number, day, *lines, customer="wang", status="completed", **more):
    """Send an order of a day of 2026 (noon in Shanghai); lines are (category, price, discount)."""
    shown = [
        {
            "title": "x",
            "category": category,
            "unit_price": money(price),
            "amount": money(price - cut),
            **more.pop("line", {}),
        }
        for category, price, cut in lines
    ]
    total = sum(price - cut for _, price, cut in lines)
    body = {"customer": {"external_id": customer}, "status": status, "total": money(total), "lines": shown}
    body |= {"placed_at": f"2026-{day}T12:00:00+08:00", **more}
    answer = await client.put(f"/v1/orders/shop/{number}", json=body)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()["customer_id"]


async def patterns(client, customer):
    answer = await client.get(f"/v1/customers/{customer}/patterns")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def clock():
    return FixedClock(datetime(2026, 5, 10, 4, tzinfo=UTC))


@pytest_asyncio.fixture
async def database(settings, pools, clock):
    async with pools.lend(settings, clock) as lent:
        yield lent


async def test_a_customer_worked_out_by_hand(client, database, tenant):
    for number, (day, *lines) in enumerate(
        [
            ("01-01", ("海鲜/虾", 10_000, 0)),
            ("01-11", ("海鲜/虾", 10_000, 4_000)),
            ("01-11", ("酒", 4_000, 0)),  # the same day: one visit
            ("01-31", ("海鲜/虾", 6_000, 0), ("酒", 2_000, 0)),
            ("03-12", ("酒", 2_000, 1_000)),
        ]
    ):
        customer = await buy(client, number, day, *lines)
    nobody = (await client.post("/v1/customers", json={"name": "never bought"})).json()["id"]
    await taken_in(database, tenant)
    assert await told(database, tenant) == [[customer]]
    found = await patterns(client, customer)
    assert (found["purchases"], found["purchase_days"]) == (5, 4)
    # 1000, 4000, 6000, 8000, 10000 fen
    names = ("usual_order_value_low", "usual_order_value", "usual_order_value_high")
    assert [found[name]["amount"] for name in names] == [4_000, 6_000, 8_000]
    # Gaps of 10, 20 and 40 days: three of them leave one chance in four on either side.
    assert [found[f"cycle_{name}"] for name in ("low_days", "days", "high_days")] == [15.0, 20.0, 30.0]
    assert found["cycle_dispersion"] == pytest.approx(1 / 3)
    names = ("next_purchase_from", "next_purchase_expected", "next_purchase_to")
    assert [found[name] for name in names] == ["2026-03-22", "2026-04-01", "2026-04-21"]
    assert (found["next_purchase_coverage"], found["next_purchase_overdue"], found["reason"]) == (0.5, True, None)
    # On discount: 6000 of 29000 fen, 2 of 6 lines.
    assert found["discounted_spend_share"] == pytest.approx(7_000 / 29_000, abs=1e-6)
    assert (found["discounted_line_share"], found["price_sensitivity"]) == (0.333333, "low")
    assert [each["category"] for each in found["favourite_categories"]] == ["海鲜/虾", "酒"]
    assert sum(each["score"] for each in found["favourite_categories"]) == pytest.approx(1, abs=1e-5)
    none = await patterns(client, nobody)
    assert none.keys() == found.keys()
    assert (none["purchases"], none["cycle_days"], none["reason"]["code"]) == (0, None, "too_few_purchases")
    assert none["reason"]["zh"].startswith("有购买的天数")
    query = (
        "query ($a: ID!, $b: ID!) { a: customer(id: $a) { ...p } b: customer(id: $b) { ...p } } fragment p on Customer"
    )
    query += " { patterns { cycleDays nextPurchaseTo favouriteCategories { category } interests { sku } } }"
    ids = {"a": f"Customer:{customer}", "b": f"Customer:{nobody}"}
    data = (await client.post("/graphql", json={"query": query, "variables": ids})).json()
    assert data["data"]["b"]["patterns"] is None, data
    assert data["data"]["a"]["patterns"] == {
        "cycleDays": 20.0,
        "nextPurchaseTo": "2026-04-21",
        "favouriteCategories": [{"category": "海鲜/虾"}, {"category": "酒"}],
        "interests": [],
    }
    for wanted, there in {
        "overdue=true": True,
        "overdue=false": False,
        "favourite_category=酒": True,
        "favourite_category=茶": False,
        "expected_from=2026-04-01&expected_before=2026-04-02": True,
        "price_sensitivity=high": False,
    }.items():
        listed = (await client.get(f"/v1/patterns/customers?{wanted}")).json()["data"]
        assert bool(listed) is there, wanted
    rule = "favourite_categories contains 酒 and next_purchase_expected before 30d ago and cycle_days = 20"
    rule += " and discount_share < 0.3 and measured_price_sensitivity = low and usual_order_value = 60 CNY"
    assert (await client.post("/v1/segments/preview", json={"rule": rule})).json()["count"] == 1


async def test_late_orders_refunds_and_a_change_of_buyer(client, database, tenant):
    for number, day in enumerate(("01-01", "01-31", "03-02")):
        customer = await buy(client, number, day, ("酒", 1_000, 0))
    await taken_in(database, tenant)
    assert (await patterns(client, customer))["cycle_days"] == 30
    await buy(client, "late", "01-11", ("酒", 1_000, 0))
    await taken_in(database, tenant)
    found = await patterns(client, customer)
    assert (found["cycle_days"], found["cycle_low_days"], found["purchases"]) == (20, 15, 4)
    # Sent back whole: no purchase any more. A line of another order sent back: the purchase stays, the line goes.
    order = (await client.get("/v1/orders?external_id=late")).json()["data"][0]
    await client.post(f"/v1/orders/{order['id']}/refunds", json={"amount": money(1_000)})
    await buy(client, 2, "03-02", ("酒", 1_000, 0), line={"refunded_quantity": 1}, platform_version=2)
    await taken_in(database, tenant)
    found = await patterns(client, customer)
    assert (found["cycle_days"], found["purchases"]) == (30, 3)
    assert [each["lines"] for each in found["favourite_categories"]] == [2]
    # It was somebody else's order after all: both are looked at anew.
    other = await buy(client, 2, "03-02", ("酒", 1_000, 0), customer="li", platform_version=3)
    assert other != customer
    await taken_in(database, tenant)
    mine, theirs = await patterns(client, customer), await patterns(client, other)
    assert (mine["purchases"], mine["cycle_days"], mine["reason"]["code"]) == (2, None, "too_few_purchases")
    assert (theirs["purchases"], (await told(database, tenant))[-1]) == (1, sorted([customer, other]))


async def test_looked_at_and_not_bought(client, database, tenant, clock):
    product = await client.post("/v1/products", json={"sku": "TEA", "name": "茶", "category": "茶/绿茶"})
    customer = await buy(client, 1, "05-01", ("酒", 1_000, 0), line={"sku": "WINE"})

    async def look(event, sku, day, kind="page_view", **more):
        body = {"id": event, "type": kind, "occurred_at": f"2026-{day}T12:00:00+08:00"}
        body |= {"customer": {"customer_id": customer}, **({"sku": sku} if sku else {}), **more}
        answer = await client.post("/v1/events/batch", json={"events": [body]})
        assert answer.json()["accepted"] == 1, answer.text

    await look("1", "WINE", "04-01")  # bought since
    await look("2", "WINE", "05-02", properties={"category": "酒"})
    await look("3", "TEA", "02-12")
    await look("4", "TEA", "05-03", "cart_add")
    await look("5", "TEA", "05-04", "cart_remove")
    await look("6", None, "05-05", properties={"category": "咖啡"})
    await taken_in(database, tenant)

    async def interests():
        found = (await patterns(client, customer))["interests"]
        return [(each["kind"], each["sku"] or each["category"], each["strength"]) for each in found]

    tea = [("product", "TEA", 6), ("category", "茶/绿茶", 6)]
    rest = [("category", "咖啡", 1), ("product", "WINE", 1), ("category", "酒", 1)]
    assert sorted(await interests()) == sorted(tea + rest)
    assert (await patterns(client, customer))["interests"][0]["product_id"] in {product.json()["id"], None}
    for wanted in ("interested_in_sku=TEA", "interested_in_category=咖啡"):
        assert len((await client.get(f"/v1/patterns/customers?{wanted}")).json()["data"]) == 1
    rule = "interested_products contains TEA and interested_categories contains any (酒, 茶)"
    assert (await client.post("/v1/segments/preview", json={"rule": rule})).json()["count"] == 1
    # Four days on the look of February is more than 90 days old: nothing told us, so the nightly run must see it.
    clock.advance(timedelta(days=4))
    before = len(await told(database, tenant))
    await jobs.start_nightly(database)
    runs = (await client.get("/v1/patterns/runs?kind=customers")).json()["data"]
    await jobs.run(database, {"tenant_id": str(tenant.id), "run_id": runs[0]["id"]})
    run = (await client.get(f"/v1/patterns/runs/{runs[0]['id']}")).json()
    assert (run["state"], run["everyone"], run["total"], run["processed"]) == ("completed", False, 1, 1)
    assert (run["figures"], len(await told(database, tenant)) - before) == ({"changed": 1}, 1)
    assert sorted(await interests()) == sorted([("product", "TEA", 5), ("category", "茶/绿茶", 5), *rest])
    # A purchase ends the interest in the product and in its category.
    await buy(client, 2, "05-06", ("茶/绿茶", 1_000, 0), line={"sku": "TEA"})
    await taken_in(database, tenant)
    assert sorted(await interests()) == sorted(rest)


async def test_merge_and_undo(client, database, tenant):
    for number, day in enumerate(("01-01", "01-11", "01-31")):
        winner = await buy(client, number, day, ("酒", 1_000, 0))
    loser = await buy(client, "other", "03-12", ("茶", 9_000, 0), customer="li")
    await taken_in(database, tenant)
    alone = await patterns(client, winner)
    made = await client.post("/v1/customers/merge", json={"winner_id": winner, "loser_ids": [loser]})
    assert made.status_code == 201, made.text
    together = await patterns(client, winner)
    assert (together["purchases"], together["cycle_days"]) == (4, 20)
    assert {each["category"] for each in together["favourite_categories"]} == {"酒", "茶"}
    assert await patterns(client, loser) == together  # the old id answers for the new one
    assert (await told(database, tenant))[-1] == [winner]
    listed = (await client.get("/v1/patterns/customers")).json()["data"]
    assert [each["customer_id"] for each in listed] == [winner]
    undone = await client.post(f"/v1/merges/{made.json()['id']}/undo")
    assert undone.status_code == 200, undone.text
    assert {**await patterns(client, winner), "updated_at": alone["updated_at"]} == alone
    assert (await patterns(client, loser))["favourite_categories"][0]["category"] == "茶"


async def test_settings_make_everything_anew(client, database, tenant):
    for number, day in enumerate(("01-01", "01-11", "01-31")):
        customer = await buy(client, number, day, ("酒", 1_000, 400))
    await taken_in(database, tenant)
    assert (await patterns(client, customer))["price_sensitivity"] == "high"
    refused = await client.patch("/v1/pattern-settings", json={"high_percent": 20})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/high_percent")
    changed = await client.patch("/v1/pattern-settings", json={"min_purchase_days": 4, "half_life_days": 30})
    assert changed.json()["min_purchase_days"] == 4
    assert (await client.get("/v1/pattern-settings")).json() == changed.json()
    [run] = (await client.get("/v1/patterns/runs")).json()["data"]
    await jobs.run(database, {"tenant_id": str(tenant.id), "run_id": run["id"]})
    found = await patterns(client, customer)
    mutation = "mutation { patternSettingsUpdate(input: {minBaskets: 7}) { settings { minBaskets minPurchaseDays } } "
    mutation += "patternRunStart(input: {kind: CUSTOMERS}) { run { kind state everyone } } }"
    said = (await client.post("/graphql", json={"query": mutation})).json()["data"]
    assert said["patternSettingsUpdate"]["settings"] == {"minBaskets": 7, "minPurchaseDays": 4}
    assert said["patternRunStart"]["run"] == {"kind": "CUSTOMERS", "state": "QUEUED", "everyone": True}
    # What only pairs depend on makes no customer due.
    assert len((await client.get("/v1/patterns/runs")).json()["data"]) == 2
    assert (found["price_sensitivity"], found["cycle_days"], found["reason"]["code"]) == (
        None,
        None,
        "too_few_purchases",
    )


async def test_what_a_narrow_key_sees(app, client, database, tenant, settings):
    customer = await buy(client, 1, "01-01", ("酒", 1_000, 0))
    await taken_in(database, tenant)
    key = await admin.create_key(settings, tenant.id, frozenset({"orders:read"}))
    async with client_of(app, key.api_key) as narrow:
        shown = (await narrow.get(f"/v1/customers/{customer}/patterns")).json()
        assert "interests" not in shown
        assert shown["purchases"] == 1
        assert (await narrow.get("/v1/patterns/customers?interested_in_sku=x")).status_code == 403
        assert (await narrow.post("/v1/patterns/runs", json={"kind": "customers"})).status_code == 403
