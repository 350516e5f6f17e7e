"""Nothing is lost and nothing doubled, whoever is killed and whenever."""

import asyncio
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import httpx
import pytest
import pytest_asyncio

from crm_api.db.embedded import EmbeddedServer
from crm_api.db.migrate import upgrade
from crm_api.db.pool import Database
from crm_api.exchange import jobs
from crm_api.loyalty.repository import drift
from crm_api.registry import subscribers
from crm_api.settings import Settings
from tests.support.api import application, client_of, make_tenant
from tests.support.imports import order, orders_csv, start
from tests.support.workers import BEHIND, Workplace
from tests.support.zygote import zygote

pytestmark = [pytest.mark.asyncio, pytest.mark.database, pytest.mark.slow]

ROWS = 8_000
BUYERS = 2_000
BAD_EVERY = 100
GOOD = ROWS - ROWS // BAD_EVERY


def major(number: int) -> int:
    """Price of an order in major units; one point each."""
    return 10 + number % 90


def the_file(first: int = 1, last: int = ROWS) -> bytes:
    """Return an orders file in which every hundredth row is wrong."""
    rows = (
        order(n, customer_id=f"buyer-{n % BUYERS}", total="many" if n % BAD_EVERY == 0 else f"{major(n)}.00")
        for n in range(first, last + 1)
    )
    return orders_csv(*rows)


@dataclass
class Shop(Workplace):
    """A workplace and what was uploaded there."""

    rows: int = ROWS
    kills: dict[str, int] = field(default_factory=dict)

    @property
    def orders(self) -> list[int]:
        """Prices of all good orders that were uploaded, in major units."""
        return [major(n) for n in range(1, self.rows + 1) if n % BAD_EVERY]

    def worker(self):
        return super().worker(CRM_RELAY_BATCH=40)

    async def kill(self, phase, workers):
        for worker in workers:
            await asyncio.to_thread(worker.kill)
            self.kills[phase] = self.kills.get(phase, 0) + 1


@pytest.fixture
def forked(tmp_path):
    with zygote(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def shop(own_database_url, forked):
    settings = Settings(database_url=own_database_url)
    database = await Database.open(settings)
    tenant = await make_tenant(settings)
    async with application(settings, database) as app, client_of(app, tenant.key) as client:
        yield Shop(own_database_url, database, tenant, client, forked)
    await database.close()


async def test_workers_killed_in_imports_relays_and_scoring(shop):
    await make_segment(shop)
    imports = await kill_during_imports(shop)
    await kill_during_relays(shop)
    runs = await kill_during_scoring(shop)
    crew = [shop.worker(), shop.worker()]
    await shop.until(shop.idle, what="the end of all work", seconds=180)
    runs.append((await shop.client.post("/v1/scoring-runs", json={})).json()["id"])
    await shop.until(shop.idle, what="a last scoring", seconds=60)
    for worker in crew:
        await asyncio.to_thread(worker.kill, signal.SIGTERM)
    assert sum(shop.kills.values()) >= 16, shop.kills
    await orders_are_exact(shop)
    await verdicts_are_exact(shop, imports)
    await points_are_exact(shop)
    await messages_are_exact(shop)
    await scores_are_exact(shop, runs)


async def make_segment(shop):
    loyal = {"all": [{"aggregate": "count", "of": "orders", "op": "gte", "value": 2}]}
    assert (await shop.client.post("/v1/segments", json={"name": "loyal", "rule": loyal})).status_code == 201


async def kill_during_imports(shop):
    """Kill whoever works on an import; upload the file again when it is done too soon."""
    imports, runner = [], None
    while shop.kills.get("import", 0) < 6 or not imports:
        if not imports or await import_state(shop, imports[-1]) in {"completed", "failed"}:
            response = await start(shop.client, the_file())
            assert response.status_code == 202, response.text
            imports.append(UUID(response.json()["id"]))
        crew = [shop.worker() for _ in range(random.choice((1, 1, 2)))]
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            now = await shop.value("SELECT runner_id FROM imports WHERE id = $1", imports[-1])
            if now != runner or await import_state(shop, imports[-1]) == "completed":
                break
            await asyncio.sleep(0.02)
        runner = now
        await asyncio.sleep(random.uniform(0, 0.9))
        await shop.kill("import", crew)
    return imports


async def import_state(shop, import_id):
    return await shop.value("SELECT state FROM imports WHERE id = $1", import_id)


async def kill_during_relays(shop):
    for _ in range(6):
        crew = [shop.worker() for _ in range(random.choice((1, 1, 2)))]
        for worker in crew:
            await asyncio.to_thread(worker.wait_for, "worker_started")
        for _ in range(20):  # a kill while the relays have nothing to do would prove nothing
            await asyncio.sleep(random.uniform(0, 0.3))
            if await shop.value(BEHIND):
                break
            await more_orders(shop)
        assert await shop.value(BEHIND)
        await shop.kill("relay", crew)


async def more_orders(shop, number=1_000):
    """Import more in this process, in competition with whoever else finds the job."""
    response = await start(shop.client, the_file(shop.rows + 1, shop.rows + number))
    shop.rows += number
    await jobs.run(shop.database, {"tenant_id": str(shop.tenant.id), "import_id": response.json()["id"]})


async def kill_during_scoring(shop):
    runs = []
    for _ in range(4):
        response = await shop.client.post("/v1/scoring-runs", json={})
        assert response.status_code in {201, 202}, response.text
        runs.append(response.json()["id"])
        worker = shop.worker()
        await shop.until(lambda: scoring_or_done(shop), seconds=30, what="the scoring's start")
        await asyncio.sleep(random.uniform(0, 0.4))
        await shop.kill("scoring", [worker])
    return runs


async def scoring_or_done(shop):
    return await shop.value(
        "SELECT NOT EXISTS (SELECT FROM pgqueuer WHERE entrypoint = 'segments.score') OR EXISTS (SELECT FROM pgqueuer"
        " WHERE entrypoint = 'segments.score' AND status = 'picked' AND heartbeat > now() - interval '0.3 seconds')"
    )


async def orders_are_exact(shop):
    good = len(shop.orders)
    assert await shop.value("SELECT count(*) FROM orders") == good
    assert await shop.value("SELECT count(DISTINCT (platform, external_id)) FROM orders") == good
    assert await shop.value("SELECT sum(total_amount) FROM orders") == sum(shop.orders) * 100
    assert await shop.value("SELECT count(*) FROM customers") == await shop.value(
        "SELECT count(DISTINCT customer_id) FROM orders"
    )


async def verdicts_are_exact(shop, imports):
    for number, import_id in enumerate(imports):
        told = (await shop.client.get(f"/v1/imports/{import_id}")).json()
        done = "created" if number == 0 else "unchanged"
        assert (told["state"], told["processed"], told[done], told["failed"]) == ("completed", ROWS, GOOD, ROWS - GOOD)
        rows = await shop.value(
            "SELECT array_agg(row || verdict ORDER BY row) FROM import_rows WHERE import_id = $1", import_id
        )
        assert rows == [f"{n}{done if n % BAD_EVERY else 'failed'}" for n in range(1, ROWS + 1)]
    assert await shop.value("SELECT count(*) FROM import_files") == 0


async def points_are_exact(shop):
    good, expected = len(shop.orders), sum(shop.orders)
    earned = "FROM loyalty_transactions WHERE type = 'earn'"
    assert await shop.value(f"SELECT count(*) {earned}") == good
    assert await shop.value(f"SELECT count(DISTINCT order_id) {earned}") == good
    assert await shop.value(f"SELECT sum(points) {earned}") == expected
    assert await shop.value("SELECT sum(available) FROM loyalty_wallets") == expected
    async with shop.database.read(shop.tenant.actor) as unit:
        assert await drift(unit) == []


async def messages_are_exact(shop):
    failures = await shop.value("SELECT array_agg(subscriber || attempts || error) FROM outbox_failures")
    assert failures is None
    for kind in ("order.paid", "points.granted"):
        assert await shop.value("SELECT count(*) FROM outbox WHERE type = $1", kind) == len(shop.orders)
    for subscriber in subscribers():
        received = await shop.value("SELECT count(*) FROM outbox_receipts WHERE subscriber = $1", subscriber.name)
        wanted = await shop.value("SELECT count(*) FROM outbox WHERE type = any($1)", list(subscriber.types))
        assert received == wanted, subscriber.name
    members = await shop.value("SELECT count(*) FROM segment_members")
    assert members == await shop.value(
        "SELECT count(*) FROM (SELECT FROM orders GROUP BY customer_id HAVING count(*) >= 2) AS loyal"
    )
    entered = "FROM outbox WHERE type = 'segment.entered'"
    assert await shop.value(f"SELECT count(*) {entered}") == members
    assert await shop.value(f"SELECT count(DISTINCT subject_id) {entered}") == members


async def scores_are_exact(shop, runs):
    customers = await shop.value("SELECT count(*) FROM customers")
    # Each scores whom there is by then: on a slow machine imports are still under way.
    told = [(await shop.client.get(f"/v1/scoring-runs/{run}")).json() for run in runs]
    assert all(each["state"] == "completed" and 0 < each["processed"] <= customers for each in told), told
    assert told[-1]["processed"] == customers, told
    assert await shop.value("SELECT count(*) FROM outbox WHERE type = 'scoring.finished'") == len(runs)
    assert await shop.value("SELECT count(*) FROM customer_scores") == customers
    assert await shop.value("SELECT count(DISTINCT customer_id) FROM class_log") == customers
    twice = await shop.value(
        "SELECT count(*) FROM (SELECT lifecycle, changed, lag(lifecycle) OVER (PARTITION BY customer_id ORDER BY at) AS"
        " before FROM class_log) l WHERE 'lifecycle' = ANY (changed) = (lifecycle IS NOT DISTINCT FROM before)"
    )
    assert twice == 0, "a change is logged once"


async def test_api_killed_while_writing_with_keys(shop):
    """Callers send again what was not answered; each key has one effect and, from then on, one answer."""
    port_file = shop.zygote.folder / "api.sock"
    stop = asyncio.Event()
    answers: dict[str, set[str]] = {}

    async def caller(client, prefix):
        number = 0
        # Whoever was not answered asks until it is: what was asked last may have been done all the same.
        answered = True
        while not (answered and stop.is_set()):
            key, answered = f"{prefix}-{number}", False
            body = {"name": key}
            try:
                response = await client.post("/v1/customers", json=body, headers={"idempotency-key": key})
            except httpx.TransportError:
                await asyncio.sleep(0.02)
                continue
            if response.status_code == 503:
                await asyncio.sleep(0.02)
                continue
            assert response.status_code == 201, response.text
            answers.setdefault(key, set()).add(response.json()["id"])
            answered = True
            # Once in a while somebody asks again although there was an answer.
            if random.random() > 0.1:
                number += 1

    transport = httpx.AsyncHTTPTransport(uds=str(port_file))
    headers = {"authorization": f"Bearer {shop.tenant.key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test", headers=headers) as client:
        async with asyncio.TaskGroup() as callers:
            for name in "abcdefgh":
                callers.create_task(caller(client, name))
            for _ in range(6):
                before = len(answers)
                api = shop.zygote.start("serve", "--uds", str(port_file), CRM_DATABASE_URL=shop.url)
                await shop.until(lambda seen=before: _true(len(answers) > seen + 8), what="an answer")
                await asyncio.sleep(random.uniform(0, 0.3))
                await asyncio.to_thread(api.kill)
            api = shop.zygote.start("serve", "--uds", str(port_file), CRM_DATABASE_URL=shop.url)
            await asyncio.sleep(1)
            stop.set()
        await asyncio.to_thread(api.kill, signal.SIGTERM)
    assert all(len(ids) == 1 for ids in answers.values())
    made = await shop.value("SELECT array_agg(name ORDER BY name) FROM customers")
    assert made == sorted(answers)
    assert await shop.value("SELECT count(*) FROM outbox WHERE type = 'customer.created'") == len(made)
    assert await shop.value("SELECT count(*) FROM audit_log WHERE subject_type = 'Customer'") == len(made)


async def _true(value):
    return value


async def test_postmaster_killed_in_the_middle(forked, tmp_path_factory):
    """PostgreSQL dies at once, twice; the same worker process finds it again and finishes."""
    server = EmbeddedServer(tmp_path_factory.mktemp("postmaster"))
    await asyncio.to_thread(server.start)
    try:
        url = await asyncio.to_thread(server.ensure_database, "killed")
        await asyncio.to_thread(upgrade, url)
        settings = Settings(database_url=url)
        database = await Database.open(settings)
        tenant = await make_tenant(settings)
        async with application(settings, database) as app, client_of(app, tenant.key) as client:
            shop = Shop(url, database, tenant, client, forked)
            await make_segment(shop)
            worker = shop.worker()
            response = await start(client, the_file())
            import_id = UUID(response.json()["id"])
            for _ in range(2):
                await shop.until(lambda: _progressed(shop, import_id), what="progress")
                await asyncio.sleep(random.uniform(0, 0.5))
                await asyncio.to_thread(kill_postmaster, server)
                assert (await client.get("/v1/customers")).status_code == 503
                assert (await client.get("/readyz")).status_code == 503
                await asyncio.sleep(1)
                await asyncio.to_thread(server.start)
            await shop.until(shop.idle, what="the end of all work", seconds=180)
            assert worker.alive
            await orders_are_exact(shop)
            await verdicts_are_exact(shop, [import_id])
            await messages_are_exact(shop)
            await points_are_exact(shop)
            await asyncio.to_thread(worker.kill, signal.SIGTERM)
        await database.close()
    finally:
        await asyncio.to_thread(server.stop, force=True)
        shutil.rmtree(server.layout.base, ignore_errors=True)


async def _progressed(shop, import_id):
    try:
        return await shop.value("SELECT processed > 0 FROM imports WHERE id = $1", import_id)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False


def kill_postmaster(server):
    os.kill(server.status().pid, signal.SIGKILL)
