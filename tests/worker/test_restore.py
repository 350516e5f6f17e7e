"""A backup restored on another server, with the programs operators use."""

import asyncio
import shutil
import signal
import subprocess
from uuid import uuid4

import asyncpg
import pytest

from crm_api.core.ids import new_id
from crm_api.db.embedded import EmbeddedServer
from crm_api.db.pool import Database
from crm_api.registry import subscribers
from crm_api.settings import Settings
from tests.support.api import application, client_of, make_tenant
from tests.support.command_line import crm_api
from tests.support.zygote import zygote

pytestmark = [pytest.mark.asyncio, pytest.mark.database, pytest.mark.slow]

ROLES = "CREATE ROLE crm_app NOLOGIN; CREATE ROLE crm_system NOLOGIN; GRANT crm_app, crm_system TO CURRENT_USER"


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr


async def value(url, tenant, sql):
    connection = await asyncpg.connect(url, server_settings={"app.tenant": str(tenant.id)})
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def pay(client, number):
    body = {
        "customer": {"name": "somebody"},
        "status": "paid",
        "total": {"amount": 1000, "currency": "CNY"},
        "placed_at": "2026-11-01T00:00:00+00:00",
    }
    customer = (await client.post("/v1/customers", json={"name": "somebody"})).json()["id"]
    del body["customer"]
    answer = await client.put(f"/v1/orders/till/{number}", json={**body, "customer_id": customer})
    assert answer.status_code == 201, answer.text


async def drained(url, tenant):
    async with asyncio.timeout(60):
        while (  # noqa: ASYNC110 - a worker process does it
            await value(
                url,
                tenant,
                f"SELECT count(*) < {len(subscribers())} OR coalesce(sum((SELECT count(*) FROM outbox o"
                " WHERE (o.xid, o.id) > (c.xid, c.message_id))), 1) > 0 FROM outbox_cursors c",
            )
        ):
            await asyncio.sleep(0.1)


async def test_dump_and_restore(own_database_url, tmp_path, tmp_path_factory):
    """On a server whose transaction numbers are far behind, nothing is lost and nothing handled again."""
    programs = EmbeddedServer(tmp_path_factory.mktemp("other"), durable=False)
    await asyncio.to_thread(programs.start)
    try:
        await the_way(own_database_url, programs, tmp_path)
    finally:
        await asyncio.to_thread(programs.stop, force=True)
        shutil.rmtree(programs.layout.base, ignore_errors=True)


async def the_way(old_url, server, tmp_path):
    settings = Settings(database_url=old_url)
    tenant = await make_tenant(settings)
    with zygote(tmp_path) as forked:
        database = await Database.open(settings)
        async with application(settings, database) as app, client_of(app, tenant.key) as client:
            await pay(client, 1)
            worker = forked.start("worker", CRM_DATABASE_URL=old_url)
            await drained(old_url, tenant)
            await asyncio.to_thread(worker.kill, signal.SIGTERM)
            await pay(client, 2)  # nobody has handled this one when the backup is made
        # The old server has counted far: its positions mean nothing on the new one.
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute("UPDATE outbox SET xid = (xid::text::bigint + 1000000)::text::xid8")
        async with database.system() as connection:
            await connection.execute("UPDATE outbox_cursors SET xid = (xid::text::bigint + 1000000)::text::xid8")
        await database.close()

        dump = str(tmp_path / "crm.dump")
        await asyncio.to_thread(run, str(server._program("pg_dump")), "-Fc", "-f", dump, old_url)
        new_url = await asyncio.to_thread(server.ensure_database, "restored")
        connection = await asyncpg.connect(new_url)
        await connection.execute(ROLES)
        await connection.close()
        restore = (str(server._program("pg_restore")), "--no-owner", "--exit-on-error", "-d", new_url, dump)
        await asyncio.to_thread(run, *restore)
        told = await asyncio.to_thread(crm_api, "outbox", "rebase", CRM_DATABASE_URL=new_url)
        assert told.stdout == "done\n", told.stderr
        told = await asyncio.to_thread(crm_api, "doctor", CRM_DATABASE_URL=new_url)
        assert told.returncode == 0, told.stdout + told.stderr

        settings = Settings(database_url=new_url)
        async with application(settings) as app, client_of(app, tenant.key) as client:
            await pay(client, 3)
        worker = forked.start("worker", CRM_DATABASE_URL=new_url)
        await asyncio.to_thread(worker.wait_for, "worker_started")
        await drained(new_url, tenant)
        await asyncio.to_thread(worker.kill, signal.SIGTERM)
    assert await value(new_url, tenant, "SELECT count(*) FROM loyalty_transactions WHERE type = 'earn'") == 3
    assert await value(new_url, tenant, "SELECT sum(available) FROM loyalty_wallets") == 30
    assert await value(new_url, tenant, "SELECT count(*) FROM outbox_failures") == 0


async def test_a_worker_notices_by_itself(own_database_url, tmp_path):
    settings = Settings(database_url=own_database_url)
    tenant = await make_tenant(settings)
    database = await Database.open(settings)
    async with database.write(tenant.actor) as unit:
        unit.emit("test.happened", uuid4(), {})
        await unit.flush()
        await unit.connection.execute("UPDATE outbox SET xid = '900000000000'")
    async with database.system() as connection:
        await connection.execute("INSERT INTO outbox_cursors VALUES ('loyalty', '900000000001', $1, now())", new_id())
    await database.close()
    with zygote(tmp_path) as forked:
        worker = forked.start("worker", CRM_DATABASE_URL=own_database_url)
        await asyncio.to_thread(worker.wait_for, "outbox_rebased")
        await drained(own_database_url, tenant)
        await asyncio.to_thread(worker.kill, signal.SIGTERM)
