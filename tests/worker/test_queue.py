"""Jobs and schedules: retried, given up, delayed, left to others."""

import asyncio
import contextlib
import signal
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import orjson
import pytest
import pytest_asyncio
from pgqueuer.errors import RetryRequested

from crm_api.classifications import jobs as classifications_jobs
from crm_api.core.errors import Unavailable
from crm_api.core.work import Job, Schedule
from crm_api.db.pool import Database
from crm_api.exchange import jobs as exchange_jobs
from crm_api.segments import jobs as segments_jobs
from crm_api.settings import Settings
from crm_api.worker import queue
from crm_api.worker.queue import JobRunner, pause_after, run_job
from tests.support.api import application, client_of, make_tenant
from tests.support.imports import order, orders_csv, start
from tests.support.zygote import zygote

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest_asyncio.fixture
async def own(own_database_url):
    """Pools on a database whose queue is this test's alone, with a short heartbeat."""
    opened = await Database.open(Settings(database_url=own_database_url, job_heartbeat_seconds=0.3), worker=True)
    yield opened
    await opened.close()


async def enqueue(database, tenant, name, delay=0.0):
    async with database.write(tenant.actor) as unit:
        await unit.enqueue(name, {"n": 1}, delay_seconds=delay)


async def queued(database):
    async with database.system() as connection:
        return await connection.fetch("SELECT *, execute_after - updated AS pause FROM pgqueuer ORDER BY id")


class Crew:
    """Job runners in this process."""

    def __init__(self, database, jobs=(), schedules=(), size=1):
        self.stop = asyncio.Event()
        self.runners = [JobRunner(database, jobs, schedules) for _ in range(size)]

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(runner.run(self.stop)) for runner in self.runners]
        return self

    async def __aexit__(self, *_):
        self.stop.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), 20)


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in the database
            await asyncio.sleep(0.05)


def attempt(number, **payload):
    return SimpleNamespace(payload=orjson.dumps(payload), attempts=number - 1)


class TestRetries:
    async def test_pauses_grow(self):
        assert [pause_after(n) for n in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]

    async def test_a_failing_job_is_queued_again_after_a_pause(self, own):
        tenant = await make_tenant(own.settings)
        seen = []

        async def fail(_database, payload):
            seen.append(payload)
            raise ValueError("no")

        await enqueue(own, tenant, "test.fail")

        async def failed():
            rows = await queued(own)
            return rows and rows[0]["attempts"] == 1 and rows[0]["status"] == "queued"

        async with Crew(own, [Job("test.fail", fail)]):
            await until(failed)
        [row] = await queued(own)
        assert row["pause"].total_seconds() == 1
        assert seen[0] == {"tenant_id": str(tenant.id), "n": 1}

    async def test_is_retried_until_it_works(self, own, monkeypatch):
        monkeypatch.setattr(queue, "pause_after", lambda _attempts: 0.05)
        tenant = await make_tenant(own.settings)
        seen = []

        async def third_time_lucky(_database, _payload):
            seen.append(1)
            if len(seen) < 3:
                raise ValueError("not yet")

        await enqueue(own, tenant, "test.lucky")
        async with Crew(own, [Job("test.lucky", third_time_lucky)]):
            await until(lambda: _none(own))
        assert len(seen) == 3

    async def test_is_given_up_after_the_last_attempt(self, own, monkeypatch):
        monkeypatch.setattr(queue, "pause_after", lambda _attempts: 0.01)
        tenant = await make_tenant(own.settings)
        seen, told = [], []

        async def fail(_database, _payload):
            seen.append(1)
            raise ValueError("secret detail")

        async def give_up(_database, payload, reason):
            told.append((payload["n"], reason))

        await enqueue(own, tenant, "test.hopeless")
        async with Crew(own, [Job("test.hopeless", fail, give_up)]):
            await until(lambda: _none(own))
        assert len(seen) == queue.ATTEMPTS
        assert told == [(1, "Given up after 8 attempts: internal error")]

    async def test_stays_as_long_as_its_row_cannot_be_told(self):
        async def fail(_database, _payload):
            raise ValueError

        async def give_up(_database, _payload, _reason):
            raise Unavailable

        with pytest.raises(RetryRequested):
            await run_job(None, Job("test.job", fail, give_up), attempt(queue.ATTEMPTS))


async def _none(database):
    return not await queued(database)


class TestGivenUpRowsSayWhy:
    async def test_import(self, client, database, tenant, monkeypatch):
        import_id = (await start(client, orders_csv(order()))).json()["id"]

        async def away(_run):
            raise Unavailable

        monkeypatch.setattr(exchange_jobs.ImportRun, "run", away)
        last = attempt(queue.ATTEMPTS, tenant_id=str(tenant.id), import_id=import_id)
        with pytest.raises(Unavailable):
            await run_job(database, exchange_jobs.JOBS[0], last)
        told = (await client.get(f"/v1/imports/{import_id}")).json()
        assert told["state"] == "failed"
        assert told["error"]["code"] == "given_up"
        assert told["error"]["message"].startswith("Given up after 8 attempts: ")
        assert told["finished_at"]

    async def test_scoring_run(self, client, database, tenant, monkeypatch):
        run_id = (await client.post("/v1/scoring-runs", json={})).json()["id"]

        async def broken(*_):
            raise ZeroDivisionError

        monkeypatch.setattr(classifications_jobs.scoring, "run_scoring", broken)
        last = attempt(queue.ATTEMPTS, tenant_id=str(tenant.id), run_id=run_id)
        with pytest.raises(ZeroDivisionError):
            await run_job(database, classifications_jobs.JOBS[0], last)
        told = (await client.get(f"/v1/scoring-runs/{run_id}")).json()
        assert (told["state"], told["error"]) == ("failed", "Given up after 8 attempts: internal error")

    async def test_segment(self, client, database, tenant, monkeypatch):
        body = {"name": "s", "rule": {"field": "tags", "op": "contains", "value": "vip"}}
        segment_id = (await client.post("/v1/segments", json=body)).json()["id"]

        async def broken(*_):
            raise Unavailable

        monkeypatch.setattr(segments_jobs.Upkeep, "evaluate", broken)
        last = attempt(queue.ATTEMPTS, tenant_id=str(tenant.id), segment_id=segment_id)
        with pytest.raises(Unavailable):
            await run_job(database, segments_jobs.JOBS[0], last)
        told = (await client.get(f"/v1/segments/{segment_id}")).json()
        assert told["state"] == "failed"
        assert "Given up" in told["error"]


async def test_one_scoring_run_goes_after_another(client, database, tenant):
    await client.post("/v1/customers", json={"name": "somebody"})
    first, second = [(await client.post("/v1/scoring-runs", json={})).json()["id"] for _ in range(2)]

    async def run(run_id):
        await classifications_jobs.score(database, {"tenant_id": str(tenant.id), "run_id": run_id})
        return (await client.get(f"/v1/scoring-runs/{run_id}")).json()["state"]

    assert await run(second) == "queued", "it waits, in the queue"
    assert await run(first) == "completed"
    assert await run(second) == "completed"


async def test_a_delayed_job_waits(own):
    tenant = await make_tenant(own.settings)
    loop = asyncio.get_running_loop()
    ran = []

    async def note(_database, _payload):
        ran.append(loop.time())

    began = loop.time()
    await enqueue(own, tenant, "test.delayed", delay=1.0)
    async with Crew(own, [Job("test.delayed", note)]):
        await until(lambda: _none(own))
    assert len(ran) == 1
    assert ran[0] - began >= 1.0


NEW_YEAR = "0 0 1 1 *"


async def due(database, name):
    """Register a schedule that is due now, and not again during this test."""
    async with database.system() as connection:
        statement = "INSERT INTO pgqueuer_schedules (expression, entrypoint, next_run) VALUES ($1, $2, now())"
        await connection.execute(statement, NEW_YEAR, name)


async def test_a_schedule_runs_once_with_two_workers(own):
    ran = []

    async def note(_database):
        ran.append(1)
        await asyncio.sleep(0.5)

    async def picked():
        async with own.system() as connection:
            return await connection.fetchval("SELECT last_run FROM pgqueuer_schedules WHERE entrypoint = 'test.clock'")

    await due(own, "test.clock")
    async with Crew(own, schedules=[Schedule("test.clock", NEW_YEAR, note)], size=2):
        await until(picked)
        await asyncio.sleep(0.3)
    assert ran == [1]


async def test_a_schedule_that_fails_stays(own):
    async def fail(_database):
        raise ValueError("this time")

    await due(own, "test.bad")

    async def back():
        async with own.system() as connection:
            return await connection.fetchval(
                "SELECT last_run IS NOT NULL AND status = 'queued' AND next_run > now() FROM pgqueuer_schedules"
            )

    async with Crew(own, schedules=[Schedule("test.bad", NEW_YEAR, fail)]):
        await until(back)


async def test_a_running_job_keeps_its_heart_beating(own):
    """Nobody else takes a long job as long as its worker lives."""
    tenant = await make_tenant(own.settings)
    started = []

    async def long(_database, _payload):
        started.append(1)
        await asyncio.sleep(2.0)  # more than three times what counts as dead

    await enqueue(own, tenant, "test.long")
    async with Crew(own, [Job("test.long", long)], size=2):
        await until(lambda: _none(own))
    assert started == [1]


@contextlib.asynccontextmanager
async def locked(url, import_id):
    """Keep an import's row locked, without the pool's time limits."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            assert await connection.fetchval("SELECT 1 FROM imports WHERE id = $1 FOR UPDATE", import_id)
            yield
    finally:
        await connection.close()


@pytest.mark.slow
async def test_told_to_stop_a_worker_leaves_a_long_job_to_another(own_database_url, tmp_path, monkeypatch):
    settings = Settings(database_url=own_database_url)
    database = await Database.open(settings)
    tenant = await make_tenant(settings)
    options = {"CRM_DATABASE_URL": own_database_url, "CRM_JOB_HEARTBEAT_SECONDS": 0.5}
    with zygote(tmp_path) as forked:
        async with application(settings, database) as app, client_of(app, tenant.key) as client:
            import_id = UUID((await start(client, orders_csv(*(order(n) for n in range(1, 101))))).json()["id"])
            # Somebody keeps the import locked: the job takes as long as we like.
            async with locked(own_database_url, import_id):
                first = forked.start("worker", **options, CRM_LOCK_TIMEOUT_MS=60_000)
                await asyncio.to_thread(first.wait_for, "job_started")
                await asyncio.to_thread(first.kill, signal.SIGTERM)
                assert first.says("worker_leaves_jobs_to_others")
                async with database.system() as connection:
                    state = await connection.fetchval("SELECT status FROM pgqueuer")
                assert state == "picked", "neither lost nor marked as cancelled"
            second = forked.start("worker", **options)

            async def done():
                return (await client.get(f"/v1/imports/{import_id}")).json()["state"] == "completed"

            await until(done)
            await asyncio.to_thread(second.kill, signal.SIGTERM)
            assert second.says("worker_stopped")
    await database.close()
