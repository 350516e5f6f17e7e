"""What operators see and do: the outbox on the command line, metrics, the worker's health file."""

import asyncio
import json
import signal
import socket
import time
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crm_api import admin, registry
from crm_api.db.pool import Database
from crm_api.settings import Settings
from crm_api.worker import housekeeping
from tests.support.api import application, client_of, make_tenant
from tests.support.zygote import zygote

pytestmark = [pytest.mark.database]


def give_up(url, subscriber="loyalty"):
    """Leave a message behind that was given up on; returns tenant, message, and how many messages there are."""

    async def work():
        settings = Settings(database_url=url)
        tenant = await make_tenant(settings)
        database = await Database.open(settings)
        async with database.write(tenant.actor) as unit:
            message_id = unit.emit("order.paid", uuid4(), {"order_id": "x"})
            await unit.flush()
            await unit.connection.execute(
                "INSERT INTO outbox_failures (tenant_id, subscriber, message_id, attempts, error, next_attempt_at)"
                " VALUES ($1, $2, $3, 10, 'ValueError: broken', NULL)",
                tenant.id,
                subscriber,
                message_id,
            )
            number = await unit.connection.fetchval("SELECT count(*) FROM outbox")
        await database.close()
        return tenant, message_id, number

    return asyncio.run(work())


class TestOutboxCommands:
    def test_status_failures_and_retry(self, own_database_url, call, monkeypatch):
        monkeypatch.setenv("CRM_DATABASE_URL", own_database_url)
        tenant, message_id, number = give_up(own_database_url)
        status, out, err = call("outbox", "status", "--json")
        assert status == 0, err
        states = {each["subscriber"]: each for each in json.loads(out)}
        assert set(states) == {each.name for each in registry.subscribers()}
        loyalty = states["loyalty"]
        assert (loyalty["behind"], loyalty["retrying"], loyalty["dead"]) == (number, 0, 1)
        assert states["segments.keep"]["dead"] == 0

        [failure] = json.loads(call("outbox", "failures", "--subscriber", "loyalty", "--json")[1])
        assert failure["message_id"] == str(message_id)
        assert (failure["type"], failure["error"], failure["next_attempt_at"]) == (
            "order.paid",
            "ValueError: broken",
            None,
        )
        assert failure["tenant_id"] == str(tenant.id)

        assert call("outbox", "retry", "--subscriber", "segments.keep")[1] == "0 to be tried again\n"
        assert call("outbox", "retry", "--message", "x")[0] == 2
        assert call("outbox", "retry", "--message", str(message_id))[1] == "1 to be tried again\n"
        [state] = [
            each
            for each in asyncio.run(admin.outbox_status(Settings(database_url=own_database_url)))
            if each.subscriber == "loyalty"
        ]
        assert (state.retrying, state.dead) == (1, 0)


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.asyncio
class TestMetrics:
    async def test_lag_pools_and_jobs(self, own_database_url):
        settings = Settings(database_url=own_database_url)
        database = await Database.open(settings)
        tenant = await make_tenant(settings)
        async with application(settings, database) as app, client_of(app, tenant.key) as client:
            await client.post("/v1/customers", json={"name": "somebody"})
            await client.post("/v1/scoring-runs", json={})
            found = samples((await client.get("/metrics")).text)
        async with database.system() as connection:
            number = await connection.fetchval("SELECT count(*) FROM outbox")
        await database.close()
        assert found["crm_database_up",] == 1
        assert found["crm_outbox_behind", "loyalty"] == found["crm_outbox_behind", "segments.keep"] == number
        assert 0 <= found["crm_outbox_oldest_seconds", "loyalty"] < 60
        assert found["crm_outbox_given_up", "loyalty"] == 0
        assert found["crm_queue_jobs", "queued", "segments.score"] == 1
        assert found["crm_pool_connections", "limit", "write"] == settings.pool_size_write
        assert found["crm_pool_connections", "busy", "write"] == 0

    async def test_without_a_database_there_are_still_metrics(self):
        settings = Settings(database_url="postgresql://nobody@/nothing?host=/nowhere", connect_timeout=0.2)
        async with application(settings) as app, client_of(app, None) as client:
            answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert samples(answer.text)["crm_database_up",] == 0


@pytest.mark.asyncio
async def test_worker_shows_its_health_and_metrics(own_database_url, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    health = tmp_path / "healthy"
    with zygote(tmp_path) as forked:
        worker = forked.start(
            "worker",
            "--health-file",
            str(health),
            CRM_DATABASE_URL=own_database_url,
            CRM_WORKER_METRICS_PORT=port,
        )
        await asyncio.to_thread(worker.wait_for, "worker_started")
        async with asyncio.timeout(10):
            while not health.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.05)
        assert time.time() - health.stat().st_mtime < 10
        async with httpx.AsyncClient() as client:
            assert "crm_outbox_handled" in (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        await asyncio.to_thread(worker.kill, signal.SIGTERM)
        assert not health.exists()


@pytest.mark.asyncio
async def test_housekeeping_forgets_only_what_is_old_and_passed(own_database_url):
    settings = Settings(database_url=own_database_url)
    database = await Database.open(settings)
    tenant = await make_tenant(settings)
    for _ in range(3):
        async with database.write(tenant.actor) as unit:
            unit.emit("test.happened", uuid4(), {})

    async def left(table):
        async with database.system() as connection:
            return await connection.fetchval(f"SELECT count(*) FROM {table}")

    number = await left("outbox")
    await housekeeping.prune(database)
    assert await left("outbox") == number
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute("UPDATE outbox SET occurred_at = now() - interval '30 days'")
    await housekeeping.prune(database)
    assert await left("outbox") == number, "nobody has passed them"
    async with database.system() as connection:
        await connection.execute(
            "INSERT INTO outbox_cursors (subscriber, xid) VALUES ('loyalty', pg_current_xact_id())"
        )
        await connection.execute("INSERT INTO outbox_cursors (subscriber) VALUES ('of-an-older-version')")
        await connection.execute(
            "INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint)"
            " VALUES (now() - interval '30 days', 1, 'successful', 0, 'x'), (now(), 1, 'successful', 0, 'x')"
        )
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(
            "INSERT INTO outbox_failures (tenant_id, subscriber, message_id, error)"
            " SELECT tenant_id, 'loyalty', id, 'no' FROM outbox LIMIT 1"
        )
    await housekeeping.prune(database)
    assert await left("outbox") == 1, "somebody shall look at it"
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute("DELETE FROM outbox_failures")
    await housekeeping.prune(database)
    assert await left("outbox") == 0
    assert await left("pgqueuer_log") == 1
    await database.close()
