"""Runs that are killed, doubled, cancelled, or that lose the database."""

import asyncio
import random
from uuid import UUID

import asyncpg
import pytest

from crm_api.core.actor import Actor
from crm_api.core.errors import Forbidden
from crm_api.exchange import jobs
from crm_api.exchange.runner import ImportRun, SupersededError
from crm_api.exchange.service import ImportService
from tests.support.import_worker import working
from tests.support.imports import finished, order, orders_csv, rows_of, start

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

KILLS = 10


async def state_of(client, import_id):
    return (await client.get(f"/v1/imports/{import_id}")).json()


async def until_processed(client, import_id, rows):
    while (await state_of(client, import_id))["processed"] < rows:  # noqa: ASYNC110 - the worker is another process
        await asyncio.sleep(0.02)


async def sums_of(database, tenant):
    """Everything that an import must leave exactly once."""
    async with database.read(tenant.actor) as unit:
        return dict(
            await unit.connection.fetchrow(
                """
                SELECT
                  (SELECT count(*) FROM orders WHERE tenant_id = $1) AS orders,
                  (SELECT sum(total_amount) FROM orders WHERE tenant_id = $1)::bigint AS total,
                  (SELECT count(*) FROM customers WHERE tenant_id = $1) AS customers,
                  (SELECT sum(paid_order_count) FROM customer_purchase_facts WHERE tenant_id = $1)::bigint AS facts,
                  (SELECT count(*) FROM outbox WHERE tenant_id = $1 AND type = 'order.paid') AS paid,
                  (SELECT count(DISTINCT subject_id) FROM outbox
                   WHERE tenant_id = $1 AND type = 'order.paid') AS payers,
                  (SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND operation = 'order.created') AS audited,
                  (SELECT count(*) FROM import_rows WHERE tenant_id = $1) AS verdicts,
                  (SELECT count(*) FROM outbox WHERE tenant_id = $1 AND type = 'import.finished') AS finished
                """,
                tenant.id,
            )
        )


@pytest.mark.slow
async def test_killed_again_and_again_it_loses_and_doubles_nothing(client, database, tenant, database_url):
    rows = 20_000
    # Quoted line breaks and broken rows at odd places: resuming must find record boundaries exactly.
    lines = [order(n) if n % 97 else order(n, customer_id=f'"b\n{n}"') for n in range(1, rows + 1)]
    import_id = (await start(client, orders_csv(*lines))).json()["id"]
    wrong = rows // 97
    pick, killed, done_before = random.Random(), 0, []
    while True:
        async with working(database_url, tenant.id, import_id, chunk=500, lease=0.3) as process:
            before = await state_of(client, import_id)
            if killed < KILLS:
                # Once it has begun to work, at any moment: in the middle of a chunk, of a commit, between two.
                # (All rows done and the end not noted is such a moment too.)
                await until_processed(client, import_id, min(rows, before["processed"] + 1))
                await asyncio.sleep(pick.uniform(0, 0.15))
                process.kill()
        state = await state_of(client, import_id)
        done_before.append(state["processed"])
        if state["state"] == "completed":
            break
        killed += 1
    assert killed >= 8, done_before
    assert done_before == sorted(done_before)
    assert (state["processed"], state["created"], state["failed"]) == (rows, rows - wrong, wrong)
    good = rows - wrong
    assert await sums_of(database, tenant) == {
        "orders": good,
        "total": good * 2933,
        "customers": 100,
        "facts": good,
        "paid": good,
        "payers": good,
        "audited": good,
        "verdicts": rows,
        "finished": 1,
    }


async def test_two_workers_on_one_import(client, database, tenant):
    import_id = UUID((await start(client, orders_csv(*[order(n) for n in range(1, 1501)]))).json()["id"])
    runs = [ImportRun(database, tenant.id, import_id, chunk=100, lease=0.2) for _ in range(2)]
    await asyncio.gather(*(run.run() for run in runs))
    state = await state_of(client, import_id)
    assert (state["state"], state["created"], state["processed"]) == ("completed", 1500, 1500)
    sums = await sums_of(database, tenant)
    assert (sums["orders"], sums["paid"], sums["verdicts"], sums["finished"]) == (1500, 1500, 1500, 1)


async def test_a_worker_whose_lease_was_taken_may_not_commit(client, database, tenant):
    import_id = UUID((await start(client, orders_csv(*[order(n) for n in range(1, 201)]))).json()["id"])
    sleeper = ImportRun(database, tenant.id, import_id, chunk=50, lease=0.01)
    claimed = await sleeper._claim()
    await asyncio.sleep(0.05)
    await jobs.run(database, {"tenant_id": str(tenant.id), "import_id": str(import_id)})
    sleeper._kind = "orders"
    with pytest.raises(SupersededError):
        await sleeper._work(dict(claimed))
    assert (await sums_of(database, tenant))["verdicts"] == 200


async def test_cancelled_in_the_middle_it_stops_for_good(client, database, tenant):
    import_id = (await start(client, orders_csv(*[order(n) for n in range(1, 5001)]))).json()["id"]
    run = asyncio.create_task(ImportRun(database, tenant.id, UUID(import_id), chunk=100).run())
    await until_processed(client, import_id, 200)
    cancelled = (await client.post(f"/v1/imports/{import_id}/cancel")).json()
    await asyncio.wait_for(run, 20)
    after = await state_of(client, import_id)
    assert after == cancelled
    assert after["state"] == "cancelled"
    assert 200 <= after["processed"] < 5000
    sums = await sums_of(database, tenant)
    assert (sums["orders"], sums["verdicts"], sums["finished"]) == (after["processed"], after["processed"], 1)


async def test_the_database_goes_away_and_comes_back(client, database, tenant, database_url):
    import_id = (await start(client, orders_csv(*[order(n) for n in range(1, 3001)]))).json()["id"]
    run = asyncio.create_task(ImportRun(database, tenant.id, UUID(import_id), chunk=100, lease=0.2).run())
    await until_processed(client, import_id, 200)
    assassin = await asyncpg.connect(database_url)
    await assassin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await assassin.close()
    outcome = (await asyncio.gather(run, return_exceptions=True))[0]
    assert outcome is None or isinstance(
        outcome, (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    )
    await ImportRun(database, tenant.id, UUID(import_id), lease=0.2).run()
    state = await state_of(client, import_id)
    assert (state["state"], state["created"]) == ("completed", 3000)
    assert (await sums_of(database, tenant))["paid"] == 3000


async def test_an_import_whose_job_was_lost_is_queued_again(client, database, tenant, database_url):
    import_id = (await start(client, orders_csv(order()))).json()["id"]
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        "UPDATE imports SET state = 'running', runner_id = id, lease_until = now() - interval '1 hour', "
        "updated_at = now() - interval '1 hour' WHERE id = $1",
        import_id,
    )
    count = (
        "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'exchange.import' AND convert_from(payload, 'UTF8') LIKE $1"
    )
    before = await owner.fetchval(count, f"%{import_id}%")
    await jobs.rescue(database)
    await jobs.rescue(database)  # not once a minute for ever
    assert await owner.fetchval(count, f"%{import_id}%") == before + 1
    await owner.close()
    await jobs.run(database, {"tenant_id": str(tenant.id), "import_id": import_id})
    assert (await state_of(client, import_id))["state"] == "completed"


async def test_a_fault_of_ours_ends_the_import_and_says_so(client, database, tenant, monkeypatch):
    async def broken(_self, _rows, _mode):
        raise ZeroDivisionError

    monkeypatch.setattr("crm_api.exchange.kinds.orders.OrderService.upsert_many", broken)
    done = await finished(client, database, orders_csv(order()))
    assert (done["state"], done["error"]["code"], done["processed"]) == ("failed", "internal_error", 0)


async def test_an_import_that_is_gone(database, tenant):
    await jobs.run(database, {"tenant_id": str(tenant.id), "import_id": str(tenant.id)})


class TestCustomers:
    HEADER = "姓名,手机号,邮箱,性别,生日,城市,标签,平台,客户编号"

    def file(self, *lines):
        return "\n".join([self.HEADER, *lines, ""]).encode()

    async def test_created_with_all_that_is_given(self, client, database):
        data = self.file("王小明,138 1234 5678,Wang@Example.COM,女,1990-08-15,上海,vip；新客,taobao,tb1")
        done = await finished(client, database, data, "customers")
        assert done["created"] == 1
        row = (await rows_of(client, done))["data"][0]
        stored = (await client.get(f"/v1/customers/{row['resource_id']}")).json()
        assert (stored["name"], stored["gender"], stored["city"]) == ("王小明", "female", "上海")
        assert (stored["birthday"]["year"], stored["tags"]) == (1990, ["vip", "新客"])
        assert {(each["kind"], each["value"]) for each in stored["contact_points"]} == {
            ("mobile", "+8613812345678"),
            ("email", "wang@example.com"),
        }
        assert [(each["platform"], each["external_id"]) for each in stored["identities"]] == [("taobao", "tb1")]
        found = await client.get("/v1/customers", params={"q": "小明"})
        assert [each["id"] for each in found.json()["data"]] == [row["resource_id"]]

    async def test_again_changes_nothing_and_empty_cells_clear_nothing(self, client, database):
        data = self.file("王小明,13812345678,,女,,上海,vip,taobao,tb1", "李雷,13912345678,,,,,,,")
        await finished(client, database, data, "customers")
        again = await finished(client, database, data, "customers")
        assert (again["unchanged"], again["updated"], again["created"]) == (2, 0, 0)
        sparse = await finished(client, database, self.file(",13812345678,,,,,,,", ",,,,,,,taobao,tb1"), "customers")
        assert sparse["unchanged"] == 2

    async def test_known_by_identity_then_mobile_then_email(self, client, database):
        await finished(client, database, self.file("王小明,13812345678,w@example.com,,,,,taobao,tb1"), "customers")
        done = await finished(
            client,
            database,
            self.file(
                "王大明,13812345678,,,,,,taobao,tb1",  # the identity says so
                ",138 1234 5678,,,,北京,,douyin,dy1",  # unknown there, but the number is known
                ",,W@EXAMPLE.com,,,,新,,",
                "别人,13812345678,,,,,,douyin,dy1",  # learned two rows above
            ),
            "customers",
        )
        assert (done["updated"], done["failed"]) == (4, 0)
        everybody = (await client.get("/v1/customers")).json()["data"]
        assert len(everybody) == 1
        assert (everybody[0]["name"], everybody[0]["city"], everybody[0]["tags"]) == ("别人", "北京", ["新"])
        assert len(everybody[0]["identities"]) == 2
        assert everybody[0]["version"] == 2

    async def test_several_with_one_number(self, client, database):
        for name in ("甲", "乙"):
            body = {"name": name, "contact_points": [{"kind": "mobile", "value": "13812345678"}]}
            await client.post("/v1/customers", json=body, headers={"x-allow-duplicate": "true"})
        done = await finished(client, database, self.file("丙,13812345678,,,,,,,"), "customers")
        errors = (await rows_of(client, done))["data"][0]["errors"]
        assert [(each["column"], each["code"]) for each in errors] == [("mobile", "ambiguous_customer")]

    async def test_a_deleted_customer(self, client, database):
        data = self.file("王小明,13812345678,,,,,,taobao,tb1")
        done = await finished(client, database, data, "customers")
        customer = (await rows_of(client, done))["data"][0]["resource_id"]
        await client.delete(f"/v1/customers/{customer}")
        # Deleting freed the identity, and the number means nobody who lives: a new customer, who is then found again.
        for verdict in ("created", "unchanged"):
            done = await finished(client, database, data, "customers")
            row = (await rows_of(client, done))["data"][0]
            assert row["verdict"] == verdict
            assert row["resource_id"] != customer

    async def test_is_told_and_audited_once_each(self, client, database, tenant):
        data = self.file("甲,13812345671,,,,,,,", "乙,13812345672,,,,,,,", "甲,13812345671,,,,上海,,,")
        done = await finished(client, database, data, "customers")
        assert [row["verdict"] for row in (await rows_of(client, done))["data"]] == ["created", "created", "updated"]
        async with database.read(tenant.actor) as unit:
            told = await unit.connection.fetch(
                "SELECT type, count(*) FROM outbox WHERE tenant_id = $1 AND type LIKE 'customer.%' GROUP BY 1",
                tenant.id,
            )
        assert [tuple(row) for row in told] == [("customer.created", 2)]

    async def test_two_files_at_once_create_nobody_twice(self, client, database, tenant):
        lines = [f"客户{n},1381234{n:04},,,,,,," for n in range(400)]
        data = self.file(*lines)
        ids = [(await start(client, data, "customers", name=name)).json()["id"] for name in ("a.csv", "b.csv")]
        await asyncio.gather(*(ImportRun(database, tenant.id, UUID(each), chunk=50).run() for each in ids))
        states = [await state_of(client, each) for each in ids]
        assert sum(state["created"] for state in states) == 400
        assert sum(state["unchanged"] for state in states) == 400


async def test_needs_the_right_to_cancel(client, database, tenant):
    import_id = UUID((await start(client, orders_csv(order()))).json()["id"])
    weak = Actor(tenant.id, "key", tenant.id, frozenset({"imports:write"}))
    with pytest.raises(Forbidden, match="orders:write"):
        async with database.write(weak) as unit:
            await ImportService(unit).cancel(import_id)
