"""What is bought together: against counting by hand, and the run that finds it."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm_api.core.actor import Actor
from crm_api.patterns import jobs, rules
from crm_api.patterns import repository as repositories
from crm_api.patterns.repository import PatternRepository
from crm_api.patterns.rules import PatternSettings
from crm_api.patterns.service import PASSES, PatternService
from tests.patterns.books import NOON, Line, Order, make_customers, make_products, pairs, put, rolled_back

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

_relaxed = hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
CATEGORIES = ["海鲜/虾", "海鲜/蟹", "酒", None, "酒"]


async def stored(unit, kind):
    """Return (one, other) → the figures of each pair."""
    item, other = ("product_id", "with_product_id") if kind == "product" else ("category", "with_category")
    rows = await unit.connection.fetch(
        f"SELECT * FROM bought_together WHERE tenant_id = $1 AND {item} IS NOT NULL", unit.tenant_id
    )
    names = ("baskets", "item_baskets", "with_baskets", "both_baskets", "support", "confidence", "lift")
    return {(row[item], row[other]): tuple(row[name] for name in names) for row in rows}


baskets = st.lists(
    st.tuples(
        st.integers(0, 3),  # buyer
        st.integers(-40, 1),  # days
        st.sampled_from(["paid", "completed", "shipped", "paid", "refunded", "cancelled", "pending_payment"]),
        st.lists(st.tuples(st.sampled_from([None, 0, 1, 2, 3, 4]), st.sampled_from([0, 0, 0, 1])), max_size=5),
    ),
    max_size=25,
)
shops = st.builds(
    PatternSettings,
    basket_days=st.sampled_from([7, 30, 365]),
    min_baskets=st.integers(2, 3),
    min_support=st.sampled_from([0, 0.1, 0.25]),
)


@_relaxed
@given(baskets, shops, st.sampled_from(PASSES))
async def test_equals_counting_by_hand(database, tenant, baskets, settings, which):
    basis, kind = which
    async with rolled_back(database, tenant) as unit:
        buyers, products = await make_customers(unit, 4), await make_products(unit, CATEGORIES)
        orders = [
            Order(
                buyers[buyer],
                NOON + timedelta(days=days),
                status,
                lines=[
                    Line(
                        None if each is None else products[each],
                        None if each is None else CATEGORIES[each],
                        1,
                        back,
                    )
                    for each, back in lines
                ],
            )
            for buyer, days, status, lines in baskets
        ]
        await put(unit, orders)
        repository = PatternRepository(unit)
        run_id = await PatternService(unit)._start("bought_together", everyone=False)
        found = await repository.find_pairs(run_id, basis, kind, NOON, settings)
        by_hand = pairs(orders, basis, kind, NOON, settings)
        assert await stored(unit, kind) == by_hand
        assert (found["pairs"] * 2, found["skipped"]) == (len(by_hand), 0)


async def finish(database, tenant, run):
    await jobs.run(database, {"tenant_id": str(tenant.id), "run_id": run["id"]})


async def shop(database, tenant):
    """Ten orders: 8 with shrimp, 5 with wine, 4 with both, one of everything; returns the three products' ids."""
    async with database.write(Actor.system(tenant.id)) as unit:
        now = unit.now()
        buyers = await make_customers(unit, 10)
        shrimp, crab, wine = products = await make_products(unit, ["海鲜/虾", "海鲜/蟹", "酒"])
        kinds = dict(zip(products, ["海鲜/虾", "海鲜/蟹", "酒"], strict=True))
        contents = [[shrimp, wine]] * 4 + [[shrimp]] * 4 + [[wine]] + [[crab]]
        orders = [
            Order(buyer, now - timedelta(days=9), lines=[Line(each, kinds[each]) for each in content])
            for buyer, content in zip(buyers, contents, strict=True)
        ]
        # None of these counts: cancelled, refunded, sent back, before the window.
        both = [Line(shrimp, "海鲜/虾"), Line(crab, "海鲜/蟹")]
        back = [Line(shrimp, "海鲜/虾", 2, 2), Line(crab, "海鲜/蟹", 1, 1)]
        for status, lines, days in (
            ("cancelled", both, 3),
            ("refunded", both, 3),
            ("paid", back, 3),
            ("paid", both, 400),
        ):
            orders += [Order(buyer, now - timedelta(days=days), status, lines=lines) for buyer in buyers]
        await put(unit, orders)
    return products


async def test_the_run_and_what_it_shows(client, database, tenant, other_tenant):
    shrimp, crab, wine = map(str, await shop(database, tenant))
    settings = await client.patch("/v1/pattern-settings", json={"min_baskets": 4})
    assert settings.status_code == 200
    queued = (await client.post("/v1/patterns/runs", json={"kind": "bought_together"})).json()
    assert (queued["state"], queued["as_of"], queued["processed"]) == ("queued", None, 0)
    await finish(database, tenant, queued)
    run = (await client.get(f"/v1/patterns/runs/{queued['id']}")).json()
    assert (run["state"], run["processed"], run["total"], run["error"]) == ("completed", 4, 4, None)
    assert run["figures"]["order_product"] == {"baskets": 10, "pairs": 1, "skipped": 0}
    page = (await client.get(f"/v1/patterns/bought-together?product_id={shrimp}&basis=order")).json()
    [pair] = page["data"]
    figures = ("baskets", "item_baskets", "with_baskets", "both_baskets", "support", "confidence", "lift")
    assert [pair[name] for name in figures] == [10, 8, 5, 4, 0.4, 0.5, 1.0]
    assert (pair["with_product_id"], pair["category"], pair["as_of"]) == (wine, None, run["as_of"])
    [back] = (await client.get(f"/v1/patterns/bought-together?product_id={wine}&basis=order")).json()["data"]
    assert [back[name] for name in figures] == [10, 5, 8, 4, 0.4, 0.8, 1.0]
    assert (await client.get(f"/v1/patterns/bought-together?product_id={crab}")).json()["data"] == []
    listed = (await client.get("/v1/patterns/bought-together", params={"category": "酒", "count": "exact"})).json()
    assert [(each["basis"], each["with_category"]) for each in listed["data"]] == [
        ("customer", "海鲜/虾"),
        ("order", "海鲜/虾"),
    ] or listed["page"]["total"] == 2
    asked_both = await client.get(f"/v1/patterns/bought-together?product_id={wine}&category=x")
    assert (asked_both.status_code, asked_both.json()["errors"][0]["code"]) == (422, "conflict")
    query = (
        "{ products(first: 3) { nodes { sku boughtTogether(basis: ORDER) { nodes { lift withProduct { sku } } } } } }"
    )
    shown = (await client.post("/graphql", json={"query": query})).json()["data"]["products"]["nodes"]
    assert {each["sku"]: each["boughtTogether"]["nodes"] for each in shown} == {
        f"SKU-{shrimp}": [{"lift": 1.0, "withProduct": {"sku": f"SKU-{wine}"}}],
        f"SKU-{wine}": [{"lift": 1.0, "withProduct": {"sku": f"SKU-{shrimp}"}}],
        f"SKU-{crab}": [],
    }
    async with database.read(Actor.system(other_tenant.id)) as unit:
        assert await unit.connection.fetch("SELECT 1 FROM bought_together") == []


async def test_until_a_run_is_done_the_one_before_is_shown(client, database, tenant, monkeypatch):
    products = await shop(database, tenant)
    await client.patch("/v1/pattern-settings", json={"min_baskets": 4})

    async def start():
        return (await client.post("/v1/patterns/runs", json={"kind": "bought_together"})).json()

    async def lists():
        page = (await client.get("/v1/patterns/bought-together?limit=200")).json()
        return {each["id"] for each in page["data"]}, {each["as_of"] for each in page["data"]}

    first = await start()
    await finish(database, tenant, first)
    before, _ = await lists()
    assert len(before) == 8
    second, third = await start(), await start()
    find, calls = PatternRepository.find_pairs, []

    async def dies(self, *args):
        calls.append(args)
        if len(calls) == 3:
            raise RuntimeError("killed")
        return await find(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(PatternRepository, "find_pairs", dies)
        with pytest.raises(RuntimeError):
            await finish(database, tenant, second)
    # The next run waits for it, and a wholesaler's basket is left out of every count.
    await finish(database, tenant, third)
    assert (await client.get(f"/v1/patterns/runs/{third['id']}")).json()["state"] == "queued"
    assert (await lists())[0] == before
    await finish(database, tenant, second)
    ended = (await client.get(f"/v1/patterns/runs/{second['id']}")).json()
    assert (ended["state"], ended["processed"]) == ("completed", 4)
    after, as_of = await lists()
    assert (len(after), after & before, as_of) == (8, set(), {ended["as_of"]})
    monkeypatch.setattr(repositories, "MAX_BASKET", 1)
    await finish(database, tenant, third)
    figures = (await client.get(f"/v1/patterns/runs/{third['id']}")).json()["figures"]
    assert figures["order_product"] == {"baskets": 6, "pairs": 0, "skipped": 4}
    assert await lists() == (set(), set())
    assert rules.MAX_BASKET == 200
    assert len(products) == 3


async def test_a_run_nobody_goes_on_with_says_why(client, database, tenant):
    await shop(database, tenant)
    run = (await client.post("/v1/patterns/runs", json={"kind": "bought_together"})).json()
    await jobs.give_up(database, {"tenant_id": str(tenant.id), "run_id": run["id"]}, "the disk is full")
    told = (await client.get(f"/v1/patterns/runs/{run['id']}")).json()
    assert (told["state"], told["error"]) == ("failed", "the disk is full")
    await finish(database, tenant, run)
    assert (await client.get("/v1/patterns/bought-together")).json()["data"] == []
