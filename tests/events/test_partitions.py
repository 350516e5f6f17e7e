"""Months of the events table: made ahead and on demand, forgotten, dropped; and what a query touches of them."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.events import jobs
from crm_api.events.partitions import keep_partitions
from crm_api.settings import Settings
from tests.events.shop import event, send
from tests.support.api import application, client_of, make_tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


class World:
    """A database of a test's own, whose partitions it may make and drop."""

    async def __aenter__(self):
        self.settings = Settings(database_url=self.url)
        self.tenant = await make_tenant(self.settings)
        self.database = await Database.open(self.settings)
        self.owner = await asyncpg.connect(self.url)
        return self

    def __init__(self, url):
        self.url = url

    async def __aexit__(self, *_):
        await self.owner.close()
        await self.database.close()

    async def partitions(self):
        rows = await self.owner.fetch(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass"
        )
        return {row[0] for row in rows}

    async def where(self):
        rows = await self.owner.fetch("SELECT tableoid::regclass::text AS part, count(*) FROM events GROUP BY 1")
        return dict(rows)

    async def put(self, moment):
        await self.owner.execute(
            "INSERT INTO events (tenant_id, id, type, occurred_at, device_id) VALUES ($1, $2, 'x', $3, 'd')",
            self.tenant.id,
            new_id(),
            moment,
        )


def month(moment):
    return f"events_y{moment:%Y}m{moment:%m}"


class TestMonths:
    async def test_they_are_there_ahead(self, own_database_url):
        async with World(own_database_url) as world:
            now = datetime.now(UTC)
            ahead = [(now.replace(day=1) + timedelta(days=31 * months)) for months in range(4)]
            assert {month(each) for each in ahead} <= await world.partitions()

    async def test_late_events_wait_in_the_default_one_and_are_moved(self, own_database_url):
        async with World(own_database_url) as world:
            old = datetime.now(UTC) - timedelta(days=200)
            async with application(world.settings, world.database) as app, client_of(app, world.tenant.key) as client:
                sent = event(occurred_at=old.isoformat())
                assert (await send(client, sent, event())).json()["accepted"] == 2
                assert (await world.where())["events_default"] == 1
                await keep_partitions(world.database)
                assert await world.where() == {month(old): 1, month(datetime.now(UTC)): 1}
                assert (await send(client, sent)).json()["duplicates"] == 1
                assert (await client.get(f"/v1/events/{sent['id']}")).status_code == 200
            await keep_partitions(world.database)  # nothing left to do
            made = await world.owner.fetchrow(
                "SELECT relrowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies,"
                " (SELECT count(*) FROM pg_index WHERE indrelid = c.oid) AS indexes FROM pg_class c WHERE relname = $1",
                month(old),
            )
            assert tuple(made) == (True, 1, 4)

    async def test_batches_go_on_while_a_month_is_made(self, own_database_url):
        async with World(own_database_url) as world:
            old = (datetime.now(UTC) - timedelta(days=100)).isoformat()
            async with application(world.settings, world.database) as app, client_of(app, world.tenant.key) as client:

                async def stream():
                    return [await send(client, *(event(occurred_at=old) for _ in range(50))) for _ in range(10)]

                async def keep():
                    for _ in range(5):
                        await keep_partitions(world.database)
                        await asyncio.sleep(0.02)

                answers, _ = await asyncio.gather(stream(), keep())
                assert [each.status_code for each in answers] == [200] * 10
            await keep_partitions(world.database)
            assert sum((await world.where()).values()) == 500

    async def test_application_may_not_call_for_tables(self, own_database_url):
        async with World(own_database_url) as world, world.database.write(world.tenant.actor) as unit:
            for call in ("crm_events_make_partition('2026-01-01')", "crm_events_drop_expired()"):
                async with unit.savepoint():
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        async with unit.savepoint():
                            await unit.connection.execute(f"SELECT {call}")

    async def test_absurd_months_are_refused(self, own_database_url):
        async with World(own_database_url) as world:
            for wrong in ("'1999-01-01'", "'2999-01-01'", "NULL"):
                with pytest.raises(asyncpg.RaiseError):
                    await world.owner.fetchval(f"SELECT crm_events_make_partition({wrong})")


class TestRetention:
    async def test_old_events_go_and_so_do_empty_months(self, own_database_url):
        async with World(own_database_url) as world:
            now = datetime.now(UTC)
            for days in (1, 20, 45, 500):
                await world.put(now - timedelta(days=days))
            await keep_partitions(world.database)  # drops what is beyond all retention: the 500 days
            assert month(now - timedelta(days=500)) not in await world.partitions()
            assert sum((await world.where()).values()) == 3
            async with application(world.settings, world.database) as app, client_of(app, world.tenant.key) as client:
                assert (await client.get("/v1/event-settings")).json() == {"retention_days": 400}
                assert (await client.put("/v1/event-settings", json={"retention_days": 30})).status_code == 200
                await jobs.forget(world.database)
                assert (await client.get("/v1/events", params={"count": "exact"})).json()["page"]["total"] == 2
                refused = await send(client, event(occurred_at=(now - timedelta(days=31)).isoformat()))
                assert refused.json()["results"][0]["errors"][0]["code"] == "too_old"

    async def test_longest_retention_keeps_the_month(self, own_database_url):
        async with World(own_database_url) as world:
            old = datetime.now(UTC) - timedelta(days=700)
            await world.put(old)
            async with application(world.settings, world.database) as app, client_of(app, world.tenant.key) as client:
                await client.put("/v1/event-settings", json={"retention_days": 3_650})
            await keep_partitions(world.database)
            await jobs.forget(world.database)
            assert await world.where() == {month(old): 1}


class TestPlans:
    async def test_a_customers_newest_events_come_by_index(self, own_database_url):
        async with World(own_database_url) as world:
            person, tenant_id = new_id(), world.tenant.id
            await world.owner.execute(
                "INSERT INTO customers (tenant_id, id, name) VALUES ($1, $2, 'x')", tenant_id, person
            )
            await world.owner.execute(
                "INSERT INTO events (tenant_id, id, type, occurred_at, device_id, customer_id)"
                " SELECT $1, gen_random_uuid(), 'x', now() - n * interval '1 minute', 'd' || n % 500,"
                " CASE WHEN n % 1000 = 0 THEN $2::uuid END FROM generate_series(1, 20000) n",
                tenant_id,
                person,
            )
            await world.owner.execute("ANALYZE events")
            async with world.database.read(world.tenant.actor) as unit:
                plan = "\n".join(
                    row[0]
                    for row in await unit.connection.fetch(
                        "EXPLAIN SELECT * FROM events WHERE tenant_id = $1 AND customer_id = $2"
                        " ORDER BY occurred_at DESC, id DESC LIMIT 51",
                        tenant_id,
                        person,
                    )
                )
            assert f"Seq Scan on {month(datetime.now(UTC))}" not in plan  # an empty month may be read whole
            assert "customer_id_occurred_at_id_idx" in plan
