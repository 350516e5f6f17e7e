"""A worker process that is killed between the ledger's booking and the compensation's own row."""

import asyncio
import time

import asyncpg
import pytest
import pytest_asyncio

from crm_api.core.clock import SystemClock
from crm_api.db.pool import Database
from crm_api.settings import Settings
from tests.compensations.shop import Shop
from tests.support.api import application, client_of, make_tenant
from tests.support.zygote import zygote

pytestmark = [pytest.mark.asyncio, pytest.mark.database, pytest.mark.slow]
LOCK = 4711
WAITS = """
CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN new; END $$;
CREATE TRIGGER wait_here BEFORE UPDATE ON compensations FOR EACH ROW
  WHEN (new.state = 'settled') EXECUTE FUNCTION wait_here();
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
WORKER = {"CRM_JOB_HEARTBEAT_SECONDS": 0.5, "CRM_RELAY_POLL_SECONDS": 0.05}


@pytest_asyncio.fixture
async def shop(own_database_url):
    """A shop in a database of its own."""
    settings = Settings(database_url=own_database_url)
    database = await Database.open(settings)
    tenant = await make_tenant(settings)
    async with application(settings, database) as app, client_of(app, tenant.key) as client:
        made = Shop(client, database, tenant)
        database.clock = SystemClock()
        made.app, made.settings = app, settings
        yield made
    await database.close()


async def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


async def test_points_are_paid_once_whoever_is_killed(shop, tmp_path):
    owner = await asyncpg.connect(shop.settings.database_url)
    await owner.execute(WAITS)
    await owner.execute("SELECT pg_advisory_lock($1)", LOCK)
    case = await shop.case()
    made = await shop.propose(case, kind="points", points=500)

    async def somebody_waits():
        return await owner.fetchval(WAITING) > 0

    async def settled():
        return (await shop.shown(made))["state"] == "settled"

    with zygote(tmp_path) as forked:
        for _ in range(2):
            worker = forked.start("worker", CRM_DATABASE_URL=shop.settings.database_url, **WORKER)
            await until(somebody_waits)  # the ledger is booked, the row is about to be written
            await asyncio.to_thread(worker.kill)
            assert ((await shop.shown(made))["state"], await shop.points(case["customer_id"])) == ("approved", 0)
            # What the dead worker's connection still holds goes when the server notices.
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 "
                "AND NOT granted"
            )
        await owner.execute("SELECT pg_advisory_unlock($1)", LOCK)
        forked.start("worker", CRM_DATABASE_URL=shop.settings.database_url, **WORKER)
        await until(settled)
    assert (await shop.points(case["customer_id"]), await shop.grants()) == (500, 1)
    assert len(await shop.told("compensation.settled")) == 1
    await owner.close()
