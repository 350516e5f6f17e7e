"""RFM, grade and lifecycle: equal to a plain calculation over the same orders, resumable, counted once."""

import random
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from uuid import UUID

import pytest

from crm_api.classifications import jobs, scoring

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def quintile(value, cuts):
    """Return 1 to 5: 1 plus the cut points below the value."""
    return 1 + sum(cut < value for cut in cuts)


def lifecycle(purchases, silent):
    """Return the stage by the retail preset."""
    if silent > 365:
        return "lost"
    if silent > 90:
        return "dormant"
    return "loyal" if purchases >= 5 else "repeat" if purchases > 1 else "first_purchase"


def expected(histories):
    """Score by hand: {customer: [(days before NOW, amount)]} → {customer: (r, f, m, grade, lifecycle)}."""
    bought = {name: orders for name, orders in histories.items() if orders}
    measures = {
        name: (min(days for days, _ in orders), len(orders), sum(amount for _, amount in orders))
        for name, orders in bought.items()
    }
    cuts = [
        tuple(quantiles([each[index] for each in measures.values()], n=5, method="inclusive")) for index in range(3)
    ]
    total = sum(each[2] for each in measures.values())
    scores = {}
    for name in histories:
        if name not in measures:
            scores[name] = (None, None, None, None, "prospect")
            continue
        recency, frequency, monetary = measures[name]
        before = sum(each[2] for each in measures.values() if each[2] > monetary) / total
        grade = "A" if before < 0.5 else "B" if before < 0.8 else "C" if before < 0.95 else "D"
        scores[name] = (
            6 - quintile(recency, cuts[0]),
            quintile(frequency, cuts[1]),
            quintile(monetary, cuts[2]),
            grade,
            lifecycle(frequency, recency),
        )
    return scores


async def shop(client, seed, customers=30):
    """Make customers with made-up orders; return their histories."""
    chance = random.Random(seed)
    histories = {}
    for number in range(customers):
        response = await client.post("/v1/customers", json={"name": f"c{number:03}"})
        orders = [(chance.randrange(0, 500), chance.randrange(100, 90_000)) for _ in range(chance.randrange(0, 7))]
        histories[f"c{number:03}"] = orders
        for index, (days, amount) in enumerate(orders):
            body = {
                "customer_id": response.json()["id"],
                "status": "completed",
                "total": {"amount": amount, "currency": "CNY"},
                "placed_at": (NOW - timedelta(days=days, hours=1)).isoformat(),
            }
            assert (await client.put(f"/v1/orders/till/{number}-{index}", json=body)).status_code in {200, 201}
    return histories


async def run(client, database, tenant, **body):
    response = await client.post("/v1/scoring-runs", json={"as_of": NOW.isoformat(), **body})
    assert response.status_code == 202, response.text
    run_id = response.json()["id"]
    await jobs.score(database, {"tenant_id": str(tenant.id), "run_id": run_id})
    return (await client.get(f"/v1/scoring-runs/{run_id}")).json()


async def scores(client):
    page = (await client.get("/v1/customers?limit=200&fields=name,scores")).json()
    return {
        each["name"]: tuple(each["scores"][part] for part in ("r", "f", "m", "grade", "lifecycle"))
        for each in page["data"]
    }


@pytest.mark.asyncio
@pytest.mark.database
class TestRuns:
    @pytest.mark.parametrize("seed", range(3))
    async def test_equals_a_plain_calculation(self, client, database, tenant, seed):
        histories = await shop(client, seed)
        done = await run(client, database, tenant)
        assert (done["state"], done["total"], done["processed"], done["currency"]) == ("completed", 30, 30, "CNY")
        assert await scores(client) == expected(histories)
        assert sum(done["summary"]["lifecycle"].values()) == 30
        assert sum(cell["customers"] for cell in done["summary"]["rfm"]) == sum(map(bool, histories.values()))

    async def test_a_killed_run_is_done_once(self, client, database, tenant):
        histories = await shop(client, 7)
        response = await client.post("/v1/scoring-runs", json={"as_of": NOW.isoformat()})
        run_id = UUID(response.json()["id"])
        service = scoring.ScoringService
        for _ in range(2):  # killed after it began, and again
            assert await database.run(tenant.actor, lambda unit: service(unit).prepare(run_id))
        half = (await client.get(f"/v1/scoring-runs/{run_id}")).json()
        assert (half["state"], half["processed"], half["total"]) == ("running", 0, 30)
        for _ in range(2):  # the second time there is nothing left
            await jobs.score(database, {"tenant_id": str(tenant.id), "run_id": str(run_id)})
        done = (await client.get(f"/v1/scoring-runs/{run_id}")).json()
        assert (done["state"], done["processed"]) == ("completed", 30)
        assert await scores(client) == expected(histories)

    async def test_transitions_are_logged_once(self, client, database, tenant):
        await shop(client, 1, customers=10)
        await run(client, database, tenant)
        await run(client, database, tenant)
        async with database.read(tenant.actor) as unit:
            count = await unit.connection.fetchval("SELECT count(*) FROM class_log WHERE tenant_id = $1", tenant.id)
        assert count == 10

    async def test_needs_no_body(self, client):
        response = await client.post("/v1/scoring-runs")
        assert (response.status_code, response.json()["state"]) == (202, "queued")

    async def test_nobody_to_score(self, client, database, tenant):
        done = await run(client, database, tenant)
        assert (done["state"], done["total"], done["summary"]["rfm"]) == ("completed", 0, [])

    async def test_the_future_is_refused(self, client):
        response = await client.post("/v1/scoring-runs", json={"as_of": "2999-01-01T00:00:00Z"})
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "/as_of"
