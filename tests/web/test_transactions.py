"""One request, one transaction: committed before the answer, retried after a lost race, or nothing at all."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from crm_api.customers.service import CustomerService
from crm_api.db.pool import WriteUnit
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def total(client):
    return (await client.get("/v1/customers?count=exact")).json()["page"]["total"]


async def test_a_failing_commit_is_an_error_and_no_effect(client, monkeypatch):
    original = WriteUnit._finish

    async def broken(self, connection, *, failed):
        await original(self, connection, failed=True)
        if not failed:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    with monkeypatch.context() as patch:
        patch.setattr(WriteUnit, "_finish", broken)
        answer = await client.post("/v1/customers", json={"name": "x"}, headers={"idempotency-key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert answer.headers["retry-after"]
    assert await total(client) == 0
    again = await client.post("/v1/customers", json={"name": "x"}, headers={"idempotency-key": "k"})
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers


async def test_what_was_answered_can_be_read(client, settings, tenant):
    """From another connection, at once."""
    made = (await client.post("/v1/customers", json={"name": "x"})).json()
    owner = await asyncpg.connect(settings.database_url)
    assert await owner.fetchval("SELECT count(*) FROM customers WHERE id = $1", made["id"]) == 1
    await owner.close()


async def test_a_fault_rolls_everything_back(client, monkeypatch):
    original = CustomerService.create
    before = (await client.get("/v1/audit-log")).json()

    async def faulty(self, data, **how):
        await original(self, data, **how)
        raise RuntimeError("secret detail")

    monkeypatch.setattr(CustomerService, "create", faulty)
    answer = await client.post("/v1/customers", json={"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret detail" not in answer.text
    assert await total(client) == 0
    assert (await client.get("/v1/audit-log")).json() == before


async def test_a_real_deadlock_is_retried(client, database, tenant):
    """Two requests lock two customers the other way round; PostgreSQL ends one, and it runs again."""
    ids = [(await client.post("/v1/customers", json={"name": "x"})).json()["id"] for _ in range(2)]
    both, runs = asyncio.Barrier(2), []

    async def change(first, second):
        async def work(unit):
            runs.append(first)
            service = CustomerService(unit)
            await service.add_tag(first, "a")
            if len(runs) <= 2:
                await both.wait()
            await service.add_tag(second, "a")

        await database.run(tenant.actor, work)

    one, two = map(UUID, ids)
    await asyncio.gather(change(one, two), change(two, one))
    assert len(runs) >= 3
    for each in ids:
        assert (await client.get(f"/v1/customers/{each}")).json()["tags"] == ["a"]


async def test_five_lost_races_are_unavailable(client, monkeypatch):
    runs = []

    async def unlucky(self, data, **_how):
        runs.append(data)
        raise asyncpg.DeadlockDetectedError("deadlock detected")

    monkeypatch.setattr(CustomerService, "create", unlucky)
    answer = await client.post("/v1/customers", json={"name": "x"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert len(runs) == 5


async def test_a_client_that_goes_away_leaves_no_transaction_open(app, tenant, client, settings):
    """Requests cancelled at any moment give their connections back clean."""
    async with client_of(app, tenant.key) as hasty:
        for pause in range(12):
            task = asyncio.create_task(hasty.post("/v1/customers", json={"name": f"n{pause}"}))
            await asyncio.sleep(pause / 2000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert (await client.post("/v1/customers", json={"name": "last"})).status_code == 201
    owner = await asyncpg.connect(settings.database_url)
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in tr%'"
    assert await owner.fetchval(idle) == 0
    await owner.close()
