"""Models over the API: the published figures, refusals, resumption."""

import asyncio
import hashlib
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from crm_api.core.actor import Actor
from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from crm_api.demo import cdnow
from crm_api.lifetime import fitting, jobs, service
from crm_api.lifetime.service import ChurnModelService

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

PUBLISHED = "38c6d2804f8554b506542b2818b5d57bdfedcbdd57280a90dae75e3e821c3ed8"
"""Of a line `customer x t_x T` for each of the 2,357 in `cdnow_customers_summary.csv` (Fader & Hardie; weeks with two
decimals), whose sample ids `CDNOW_sample.txt` maps to the customers of our file: neither has a licence to be copied."""

_LOAD = """
WITH given AS (
  SELECT * FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::bigint[]) AS g (id, buyer, at, amount)
),
buyers AS (
  INSERT INTO customers (tenant_id, id, name)
  SELECT $1, gen_random_uuid(), buyer FROM (SELECT DISTINCT buyer FROM given) AS each RETURNING id, name
)
INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency,
  total_amount, paid_amount, placed_at)
SELECT $1, given.id, buyers.id, 'cdnow', given.id::text, 'completed', 'completed', 'USD', amount, amount, at
FROM given JOIN buyers ON buyers.name = given.buyer
"""


async def load(database, tenant, rows):
    """Put (buyer, day, amount) in as completed orders at noon, Shanghai time."""

    def noon(day):
        return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)

    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(
            _LOAD,
            tenant.id,
            [new_id() for _ in rows],
            [buyer for buyer, _, _ in rows],
            [noon(day) for _, day, _ in rows],
            [amount for _, _, amount in rows],
        )


async def fitted(client, database, tenant, **body):
    answer = await client.post("/v1/churn/models", json=body)
    assert answer.status_code == 202, answer.text
    await jobs.fit(database, {"tenant_id": str(tenant.id), "model_id": answer.json()["id"]})
    return (await client.get(f"/v1/churn/models/{answer.json()['id']}")).json()


async def test_cdnow_gives_the_published_figures(client, database, tenant):
    purchases = cdnow_purchases()
    assert len(purchases) == 6919
    await load(database, tenant, purchases)
    model = await fitted(client, database, tenant, calibration_end="1997-09-30", apply=True, horizon_days=273)
    assert (model["state"], model["customers"], model["repeat_customers"]) == ("completed", 2357, 946)
    assert {name: round(value, 3) for name, value in model["params"].items()} == {
        "r": 0.243,
        "alpha": 4.414,
        "a": 0.793,
        "b": 2.426,
    }
    assert model["log_likelihood"] == pytest.approx(-9582.4, abs=0.05)
    # Fader & Hardie (2013): p 6.25, q 3.74, gamma 15.44 (average of repeat purchases, customer-days).
    assert {name: round(value, 2) for name, value in model["spend_params"].items()} == {
        "p": 6.25,
        "q": 3.74,
        "gamma": 15.44,
    }
    assert model["spend_correlation"] == pytest.approx(0.114, abs=0.001)
    held = model["holdout"]
    assert (held["days"], held["actual"], held["expected"]) == (273, 1882, pytest.approx(1653.4, abs=0.5))
    assert model["cumulative"]["actual"][-1] == 1882 + sum(x for x, _, _ in expected_histories().values())
    assert (model["total"], model["processed"]) == (2357, 2357)
    outlooks = {each["customer_id"]: each for each in await all_outlooks(client)}
    assert len(outlooks) == 2357
    names = await names_of(database, tenant)
    shown = {
        names[key]: (each["repeat_purchases"], each["recency_days"], each["age_days"]) for key, each in outlooks.items()
    }
    assert shown == expected_histories()
    picture = await client.get(f"/v1/churn/models/{model['id']}/cumulative.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.text.lstrip().startswith("<?xml")
    assert "expected by the model" in picture.text


def cdnow_purchases():
    truth = cdnow.Truth(cdnow.find_file())
    return [
        (row["customer_id"], date.fromisoformat(row["placed_at"]), cents)
        for row, cents in zip(truth.rows, truth.cents, strict=True)
    ]


def expected_histories():
    """Return customer → (x, days to the last purchase, days to the end), counted here from the file itself."""
    days, end = defaultdict(set), date(1997, 9, 30)
    for buyer, day, _ in cdnow_purchases():
        if day <= end:
            days[buyer].add(day)
    return {
        buyer: (len(found) - 1, (max(found) - min(found)).days, (end - min(found)).days)
        for buyer, found in days.items()
    }


async def test_histories_equal_the_published_summary():
    ours = sorted(expected_histories().items())
    lines = [f"{buyer} {x} {t_x / 7:.2f} {age / 7:.2f}" for buyer, (x, t_x, age) in ours]
    assert len(lines) == 2357
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == PUBLISHED


async def all_outlooks(client):
    path, found = "/v1/churn/outlooks?limit=200&order=by_customer", []
    after = ""
    while True:
        page = (await client.get(path + after)).json()
        found += page["data"]
        if not page["page"]["has_more"]:
            return found
        after = f"&after={page['page']['next']}"


async def names_of(database, tenant):
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch("SELECT id, name FROM customers WHERE tenant_id = $1", tenant.id)
    return {str(row["id"]): row["name"] for row in rows}


def some_history(customers, *, same_spend=True):
    """Return purchases of customers who come back more or less often; deterministic."""
    rows, start = [], date(2025, 1, 1)
    for number in range(customers):
        for visit in range(1 + (number * 7) % 5):
            amount = 10_000 + (number * 37 % 50) * 100 if same_spend else 5_000 * (1 + (number * 7) % 5) ** 2
            rows.append((f"c{number}", start + timedelta(days=number % 40 + visit * (11 + number % 23)), amount))
    return rows


class TestRefusals:
    async def test_too_few(self, client, database, tenant):
        await load(database, tenant, some_history(20))
        model = await fitted(client, database, tenant)
        assert (model["state"], model["refused"]["code"], model["params"]) == ("refused", "too_few_customers", None)
        assert "100" in model["refused"]["en"]
        assert "100" in model["refused"]["zh"]
        assert await all_outlooks(client) == []
        refused = await client.get(f"/v1/churn/models/{model['id']}/cumulative.svg")
        assert (refused.status_code, refused.json()["code"]) == (409, "not_completed")

    async def test_spend_that_depends_on_frequency(self, client, database, tenant):
        await load(database, tenant, some_history(400, same_spend=False))
        model = await fitted(client, database, tenant, calibration_end="2025-12-31", apply=True)
        assert model["state"] == "completed", model["refused"]
        assert model["spend_correlation"] > 0.9
        assert (model["spend_refused"]["code"], model["spend_params"]) == ("spend_depends_on_frequency", None)
        assert all(each["expected_value"] is None for each in await all_outlooks(client))

    async def test_a_calibration_that_ends_today(self, client):
        answer = await client.post("/v1/churn/models", json={"calibration_end": "2999-01-01"})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "in_the_future")


def once(fit):
    """Return the first fit again for the same histories."""
    kept = {}

    def fitted(buyers, repeat_days):
        key = (tuple(buyers.ids), buyers.x.tobytes(), buyers.t_x.tobytes(), buyers.age.tobytes())
        if key not in kept:
            kept[key] = fit(buyers, repeat_days)
        return kept[key]

    return fitted


async def test_a_killed_workers_successor_goes_on(client, database, tenant, monkeypatch):
    await load(database, tenant, some_history(300))
    monkeypatch.setattr(service, "CHUNK", 100)
    # Fitting is deterministic; done once it is three seconds less of everybody's time.
    monkeypatch.setattr(fitting, "fit", once(fitting.fit))
    answer = await client.post("/v1/churn/models", json={"calibration_end": "2025-12-31", "apply": True})
    model_id = answer.json()["id"]
    write, calls = ChurnModelService.write, []

    async def dies(self, *args):
        calls.append(args[-1])
        if len(calls) == 3:
            raise RuntimeError("killed")
        return await write(self, *args)

    payload = {"tenant_id": str(tenant.id), "model_id": model_id}
    with monkeypatch.context() as patch:
        patch.setattr(ChurnModelService, "write", dies)
        with pytest.raises(RuntimeError):
            await jobs.fit(database, payload)
    assert (await client.get(f"/v1/churn/models/{model_id}")).json()["processed"] == 200
    await asyncio.gather(jobs.fit(database, payload), jobs.fit(database, payload))
    model = (await client.get(f"/v1/churn/models/{model_id}")).json()
    assert (model["state"], model["processed"]) == ("completed", 300)
    assert len(await all_outlooks(client)) == 300


async def test_a_new_model_replaces_the_old_one_on_graphql_too_and_for_nobody_else(
    client, database, tenant, other_tenant
):
    await load(database, tenant, some_history(150))
    first = await fitted(client, database, tenant, calibration_end="2025-12-31", apply=True)
    assert {each["model_id"] for each in await all_outlooks(client)} == {first["id"]}
    model = await fitted(client, database, tenant)
    assert {each["model_id"] for each in await all_outlooks(client)} == {model["id"]}
    assert model["holdout"] is None
    query = (
        "query { churnModels { nodes { params state } } outlooks(first: 1) { nodes { alive customer { name outlook "
        "{ expectedPurchases } } } } }"
    )
    shown = (await client.post("/graphql", json={"query": query})).json()["data"]
    assert shown["churnModels"]["nodes"][0]["params"] == model["params"]
    [outlook] = shown["outlooks"]["nodes"]
    assert outlook["customer"]["outlook"]["expectedPurchases"] >= 0
    await a_merge_is_reckoned_anew(client, database, tenant)
    actor = Actor.system(other_tenant.id)
    async with database.read(actor) as unit:
        rows = await unit.connection.fetch("SELECT 1 FROM customer_outlooks")
    assert rows == []
    assert UUID(model["id"])


async def a_merge_is_reckoned_anew(client, database, tenant):
    """By the model that stands, at once; undone, each has the figures of before to the last digit."""
    before = {each["customer_id"]: each for each in await all_outlooks(client)}
    ids = {name: key for key, name in (await names_of(database, tenant)).items()}
    winner, loser = ids["c1"], ids["c2"]  # c1 bought on three days, c2 on five

    async def relayed(kind):
        message = Message(new_id(), tenant.id, kind, UUID(winner), {"customer_ids": [winner, loser]}, datetime.now(UTC))
        await database.run(tenant.actor, lambda unit: jobs.follow(unit, [message]))
        return {each["customer_id"]: each for each in await all_outlooks(client)}

    merged = (await client.post("/v1/customers/merge", json={"winner_id": winner, "loser_ids": [loser]})).json()
    together = await relayed("customer.merged")
    assert together.keys() == before.keys() - {loser}
    days = {day for buyer, day, _ in some_history(150) if buyer in {"c1", "c2"}}
    assert together[winner]["repeat_purchases"] == len(days) - 1
    assert together[winner]["recency_days"] == (max(days) - min(days)).days
    assert {key: each for key, each in together.items() if key != winner} == {
        key: each for key, each in before.items() if key not in {winner, loser}
    }
    assert (await client.post(f"/v1/merges/{merged['id']}/undo")).status_code == 200
    assert await relayed("customer.unmerged") == before
