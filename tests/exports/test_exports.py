"""Exports: who may have them, how far they are, how they end, and how long they stay."""

import asyncio
import csv
import io
import json
import sys
import tempfile
import tracemalloc
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from crm_api import admin
from crm_api.core.clock import FixedClock
from crm_api.core.errors import Forbidden, NotFound
from crm_api.db.pool import Database
from crm_api.exports import jobs, rules
from crm_api.exports.columns import Column
from crm_api.exports.formats import Layout, open_writer
from crm_api.exports.models import ExportStart
from crm_api.exports.runner import ExportRun
from crm_api.exports.service import ExportService, open_linked_file, resources
from crm_api.segments.jobs import evaluate
from tests.exports import support
from tests.support.api import client_of
from tests.support.imports import finished

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

READING = ("exports:read", "exports:write", "customers:read")


async def many(database, tenant, number, length=20):
    """Insert customers, as fast as that goes."""
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(
            "INSERT INTO customers (tenant_id, id, name, kind) "
            "SELECT $1, gen_random_uuid(), lpad(n::text, $3, 'x'), 'person' FROM generate_series(1, $2) n",
            tenant.id,
            number,
            length,
        )


async def with_scopes(app, settings, tenant, stack, *scopes):
    """Return a client whose key has only these scopes."""
    key = (await admin.create_key(settings, tenant.id, frozenset(scopes))).api_key
    return await stack.enter_async_context(client_of(app, key))


@pytest_asyncio.fixture
async def stack():
    """Clients that are closed at the end."""
    async with AsyncExitStack() as opened:
        yield opened


async def audited(client, export):
    answer = await client.get("/v1/audit-log", params={"subject_id": export["id"]})
    return [each["operation"] for each in answer.json()["data"]]


async def under_way(desk, export):
    """Wait for the first rows; returns the export as it is then."""
    while (seen := await desk.see(export))["rows"] == 0:  # noqa: ASYNC110 - nobody tells of a first row
        await asyncio.sleep(0.01)
    return seen


class TestWhatMayBeExported:
    async def test_every_list_by_itself(self, desk):
        names = resources()
        assert {"customers", "orders", "products", "interactions", "complaints", "loyalty_entries", "events"} <= set(
            names
        )
        for name in names:
            done = await desk.run(await desk.ask(name))
            assert (name, done["state"], done["error"]) == (name, "completed", None)

    async def test_by_rule_and_by_segment(self, desk, database, tenant):
        for name, city in (("甲", "杭州"), ("乙", "北京")):
            await desk.post("customers", {"name": name, "city": city})
        rule = {"field": "city", "op": "eq", "value": "杭州"}
        assert json.loads(await desk.file(rule=rule, format="ndjson"))["name"] == "甲"
        segment = await desk.post("segments", {"name": "s", "rule": rule})
        await evaluate(database, {"tenant_id": str(tenant.id), "segment_id": segment["id"]})
        export = await desk.ask(segment_id=segment["id"], format="ndjson", fields=["name"])
        assert export["filters"] == {"segment_id": segment["id"]}
        done = await desk.run(export)
        assert (await desk.fetch(done)).json() == {"name": "甲"}

    async def test_answers_say_what_was_asked(self, desk):
        export = await desk.ask("orders", filters={"status": "paid"}, order="newest", fields=["id"], bom=True)
        assert (export["state"], export["filters"], export["order"], export["fields"], export["bom"]) == (
            "queued",
            {"status": "paid"},
            "newest",
            ["id"],
            True,
        )
        assert export["time_zone"] == "Asia/Shanghai"


class TestRights:
    async def test_a_key_exports_no_more_than_it_sees(self, app, settings, database, tenant, stack, desk):
        await desk.post("customers", {"name": "王"})
        poor = support.Desk(await with_scopes(app, settings, tenant, stack, *READING), database, tenant)
        row = json.loads(await poor.file(format="ndjson"))
        assert {"purchases", "scores"} & set(row) == set()
        for body in (
            {"resource": "orders"},
            {"resource": "customers", "fields": ["purchases"]},
            {"resource": "customers", "fields": ["purchases.order_count"]},
            {"resource": "customers", "filters": {"segment_id": str(uuid4())}},
        ):
            assert (await poor.client.post("/v1/exports", json=body)).status_code == 403, body

    async def test_a_rule_about_what_the_key_may_not_see(self, app, settings, database, tenant, stack):
        poor = await with_scopes(app, settings, tenant, stack, *READING)
        rule = {"field": "paid_order_count", "op": "gte", "value": 1}
        answer = await poor.post("/v1/exports", json={"resource": "customers", "rule": rule})
        assert answer.status_code in {403, 422}

    async def test_the_keys_rights_are_those_it_had_at_the_start(self, database, tenant, desk):
        await desk.post("customers", {"name": "王"})
        async with database.write(tenant.actor_with(*READING)) as unit:
            export_id = await ExportService(unit).start(ExportStart(resource="customers", format="ndjson"))
        done = await desk.run({"id": str(export_id)})
        assert done["masked"] is True
        assert "purchases" not in (await desk.fetch(done)).json()

    async def test_contact_details_are_masked_without_the_scope(self, app, settings, database, tenant, stack, desk):
        await desk.post(
            "customers",
            {
                "name": "王",
                "address": "浙江省杭州市西湖区文三路1号",
                "contact_points": [
                    {"kind": "mobile", "value": "13812341234"},
                    {"kind": "email", "value": "xiaoming@example.com"},
                ],
                "addresses": [{"city": "杭州", "street": "文三路一百二十号", "phone": "13812341234", "receiver": "王"}],
            },
        )
        poor = support.Desk(await with_scopes(app, settings, tenant, stack, *READING), database, tenant)
        (row,) = csv.DictReader(io.StringIO((await poor.file()).decode()))
        assert (row["mobile"], row["email"]) == ("138****1234", "x****@example.com")
        assert row["address"] == "浙江省杭州市****"
        for format in ("ndjson", "csv", "parquet", "xlsx"):
            assert b"13812341234" not in await poor.file(format=format)
        shown = json.loads(await poor.file(format="ndjson", fields=["contact_points", "addresses"]))
        assert {each["value"] for each in shown["contact_points"]} == {"138****1234", "x****@example.com"}
        rich = support.Desk(await with_scopes(app, settings, tenant, stack, *READING, rules.REVEAL), database, tenant)
        (row,) = csv.DictReader(io.StringIO((await rich.file()).decode()))
        assert row["mobile"] == "'+8613812341234"

    async def test_whoever_fetches_must_see_all_that_is_in_it(self, app, settings, database, tenant, stack, desk):
        await desk.post("customers", {"name": "王"})
        done = await desk.run(await desk.ask())
        plain = await desk.run(await desk.ask(fields=["name"]))
        lacking = {
            "a scope of a field": [*READING, rules.REVEAL],
            "the unmasked contact details": [*READING, "orders:read", "segments:read"],
            "the resource's scope": ["exports:read", "exports:write", "orders:read", rules.REVEAL],
            "the scope of exports": ["customers:read", "exports:write"],
        }
        for what, scopes in lacking.items():
            poor = await with_scopes(app, settings, tenant, stack, *scopes)
            answer = await poor.get(f"/v1/exports/{done['id']}/download")
            assert answer.status_code == 403, what
            if "exports:write" in scopes and "exports:read" in scopes:
                assert (await poor.post(f"/v1/exports/{done['id']}/link")).status_code == 403, what
        enough = await with_scopes(app, settings, tenant, stack, "exports:read", "customers:read", rules.REVEAL)
        assert (await enough.get(f"/v1/exports/{plain['id']}/download")).status_code == 200

    async def test_another_shop_finds_nothing(self, app, other_tenant, desk):
        done = await desk.run(await desk.ask())
        async with client_of(app, other_tenant.key) as other:
            for method, path in (
                ("GET", ""),
                ("GET", "/download"),
                ("POST", "/cancel"),
                ("POST", "/link"),
                ("DELETE", ""),
            ):
                answer = await other.request(method, f"/v1/exports/{done['id']}{path}")
                assert answer.status_code == 404, path
            assert (await other.get("/v1/exports")).json()["data"] == []


class TestLinks:
    async def test_a_link_takes_no_key(self, app, desk):
        await desk.post("customers", {"name": "王"})
        done = await desk.run(await desk.ask(fields=["name"]))
        link = await desk.post(f"exports/{done['id']}/link", None)
        async with client_of(app, None) as anybody:
            answer = await anybody.get(link["download_path"])
            assert (answer.status_code, answer.text) == (200, "name\r\n王\r\n")
            again = await desk.post(f"exports/{done['id']}/link", None)
            assert (await anybody.get(link["download_path"])).status_code == 404
            assert (await anybody.get(again["download_path"])).status_code == 200
            assert (await anybody.get(again["download_path"][:-1])).status_code == 404
            other = again["download_path"].replace(done["id"], str(uuid4()))
            assert (await anybody.get(other)).status_code == 404
            assert (await desk.client.delete(f"/v1/exports/{done['id']}")).status_code == 204
            assert (await anybody.get(again["download_path"])).status_code == 404
        assert await audited(desk.client, done) == [
            "export.deleted",
            "export.downloaded",
            "export.link_created",
            "export.downloaded",
            "export.link_created",
            "export.completed",
            "export.requested",
        ]

    async def test_its_secret_is_not_kept(self, desk, database):
        done = await desk.run(await desk.ask())
        secret = (await desk.post(f"exports/{done['id']}/link", None))["download_path"].partition("token=")[2]
        shown = await desk.see(done)
        assert secret not in json.dumps(shown)
        assert shown["link_expires_at"] is not None
        async with database.system() as connection:
            row = await connection.fetchrow("SELECT * FROM exports WHERE id = $1", UUID(done["id"]))
        assert row["link_hash"] == rules.hash_secret(secret)


class TestItsEnd:
    async def test_file_and_link_expire(self, desk, database, tenant, settings, app):
        clock = FixedClock(datetime.now(UTC))
        timed = await Database.open(settings, clock)
        try:
            export = await desk.ask()
            await ExportRun(timed, tenant.id, UUID(export["id"])).run()
            async with timed.write(tenant.actor) as unit:
                link = await ExportService(unit).link(UUID(export["id"]))
            assert link.expires_at == clock.now() + timedelta(hours=24)
            clock.advance(timedelta(hours=25))

            with pytest.raises(NotFound):
                await open_linked_file(timed, UUID(export["id"]), link.download_path.partition("token=")[2])
            clock.advance(timedelta(hours=48))
            await jobs.expire(timed)
        finally:
            await timed.close()
        assert (await desk.see(export))["state"] == "expired"
        answer = await desk.fetch(export)
        assert (answer.status_code, answer.json()["code"]) == (409, "export_expired")
        async with database.write(tenant.actor) as unit:
            left = "SELECT count(*) FROM export_blocks WHERE export_id = $1"
            assert await unit.connection.fetchval(left, UUID(export["id"])) == 0

    async def test_cancelled_before_it_began(self, desk):
        export = await desk.ask()
        answer = await desk.client.post(f"/v1/exports/{export['id']}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        assert (await desk.run(export))["state"] == "cancelled"
        assert (await desk.fetch(export)).json()["code"] == "export_not_ready"

    @pytest.mark.parametrize("format", ["csv", "xlsx", "ndjson", "parquet"])
    @pytest.mark.parametrize("deleted", [False, True])
    async def test_cancelled_or_deleted_while_it_runs(self, desk, database, tenant, format, deleted):
        await many(database, tenant, 2_000)
        export = await desk.ask(format=format, fields=["id", "name"])
        running = asyncio.create_task(ExportRun(database, tenant.id, UUID(export["id"]), page=2, lease=0.05).run())
        await under_way(desk, export)
        path = f"/v1/exports/{export['id']}"
        answer = await (desk.client.delete(path) if deleted else desk.client.post(f"{path}/cancel"))
        assert answer.is_success
        await asyncio.wait_for(running, 20)
        if deleted:
            assert (await desk.client.get(path)).status_code == 404
        else:
            assert (await desk.see(export))["state"] == "cancelled"

    async def test_given_up(self, desk, database, tenant):
        export = await desk.ask()
        await jobs.give_up(database, {"tenant_id": str(tenant.id), "export_id": export["id"]}, "too often")
        assert (await desk.see(export))["error"] == {"code": "given_up", "message": "too often"}

    async def test_a_fault_of_ours_is_told(self, desk, monkeypatch):
        def broken(*_):
            raise RuntimeError

        monkeypatch.setattr("crm_api.exports.runner.open_writer", broken)
        done = await desk.run(await desk.ask())
        assert (done["state"], done["error"]["code"]) == ("failed", "internal_error")

    async def test_what_is_no_more_is_told(self, desk):
        made = await desk.post("attribute-definitions", {"key": "size", "type": "text", "label": {"en": "x"}})
        kept = await desk.ask(fields=["name", "attributes.size"])
        lost = await desk.ask(order="attributes.size")
        assert (await desk.client.delete(f"/v1/attribute-definitions/{made['id']}")).is_success
        assert (await desk.run(kept))["state"] == "completed"
        assert (await desk.run(lost))["error"]["code"] == "unknown_attribute"


class TestProgress:
    async def test_rows_rate_and_remaining_time(self, desk, database, tenant):
        await many(database, tenant, 2_400)
        export = await desk.ask(fields=["name"])
        running = asyncio.create_task(ExportRun(database, tenant.id, UUID(export["id"]), page=1, lease=0.2).run())
        seen = await under_way(desk, export)
        assert (seen["state"], seen["total"]) == ("running", 2_400)
        assert seen["rows_per_second"] > 0
        assert seen["seconds_remaining"] is not None
        await running
        done = await desk.see(export)
        assert (done["rows"], done["total"], done["seconds_remaining"]) == (2_400, 2_400, None)

    async def test_it_is_the_list_of_one_instant(self, desk, database, tenant):
        await many(database, tenant, 300)
        names = {each["name"] for each in await desk.listed()}
        export = await desk.ask(fields=["name"], order="recently_changed")
        running = asyncio.create_task(ExportRun(database, tenant.id, UUID(export["id"]), page=3, lease=0.2).run())
        await under_way(desk, export)
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute(
                "UPDATE customers SET name = 'changed', updated_at = now() WHERE tenant_id = $1", tenant.id
            )
        await many(database, tenant, 50, 30)
        await running
        lines = (await desk.fetch(export)).text.splitlines()[1:]
        assert len(lines) == 300
        assert set(lines) == names


class TestWorkers:
    async def test_two_workers_on_one_export(self, desk, database, tenant):
        await many(database, tenant, 500)
        export = await desk.ask(fields=["id"])
        runs = [ExportRun(database, tenant.id, UUID(export["id"]), page=50, lease=0.2) for _ in range(2)]
        await asyncio.gather(*(run.run() for run in runs))
        lines = (await desk.fetch(export)).text.splitlines()[1:]
        assert sorted(lines) == sorted(each["id"] for each in await desk.listed(fields="id"))

    async def test_a_killed_worker_leaves_nothing_behind(self, desk, database, tenant, database_url):
        await many(database, tenant, 5_000)
        export = await desk.ask(fields=["id"])
        arguments = [database_url, str(tenant.id), export["id"], "5", "0.5"]
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.exports.support", *arguments, cwd=Path(support.__file__).parents[2]
        )
        await under_way(desk, export)
        worker.kill()
        await worker.wait()
        assert (await desk.see(export))["state"] == "running"
        done = await desk.run(export)
        assert (done["state"], done["rows"]) == ("completed", 5_000)
        lines = (await desk.fetch(done)).text.splitlines()[1:]
        assert len(lines) == len(set(lines)) == 5_000

    async def test_an_export_nobody_works_on_is_queued_again(self, desk, database, tenant):
        export = await desk.ask()
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute(
                "UPDATE exports SET updated_at = now() - interval '2 hours' WHERE id = $1", UUID(export["id"])
            )
        before = (await desk.see(export))["version"]
        await jobs.rescue(database)
        assert (await desk.see(export))["version"] == before + 1


_MEASURE = """
import asyncio, resource, sys
from tests.exports.support import main
asyncio.run(main())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.edge
class TestMemory:
    async def test_it_does_not_grow_with_the_list(self, desk, database, tenant, database_url):
        peaks = []
        for more in (2_000, 18_000):
            await many(database, tenant, more, 60)
            export = await desk.ask(fields=["id", "name", "created_at"], format="parquet")
            worker = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _MEASURE,
                database_url,
                str(tenant.id),
                export["id"],
                "1000",
                "10",
                cwd=Path(support.__file__).parents[2],
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await worker.communicate()
            assert worker.returncode == 0
            peaks.append(int(output.split()[-1]) / 1024)
            assert (await desk.see(export))["state"] == "completed"
        # Ten times the rows; held in memory, 20,000 of them are over 10 MiB.
        assert peaks[1] - peaks[0] < 8, peaks

    @pytest.mark.parametrize("format", ["csv", "xlsx", "ndjson", "parquet"])
    async def test_no_writer_keeps_what_it_has_written(self, format):
        peaks = [_peak_of(format, pages) for pages in (4, 4, 24)]  # the first brings the libraries into memory
        assert peaks[2] < 1.3 * peaks[1] + 200_000, peaks


def _peak_of(format, pages):
    """Return the most bytes in use while so many pages of 500 rows are written."""
    text = {"en": "x", "zh": "x"}
    columns = [Column(name, name, "text", text, lambda row, name=name: row[name]) for name in ("a", "b", "c")]
    layout = Layout(columns, ["a", "b", "c"], ZoneInfo("UTC"))
    with tempfile.TemporaryFile() as file:
        tracemalloc.start()
        writer = open_writer(format, file, layout)
        for page in range(pages):
            writer.write([{name: f"{page}-{row}-{name}" * 5 for name in "abc"} for row in range(500)])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        writer.close()
    return peak


async def test_what_an_import_recognises_comes_back_unchanged(desk, client, database):

    for place in range(3):
        await desk.post(
            "customers",
            {
                "name": f"=王{place}",
                "gender": "female",
                "city": "杭州",
                "age_range": "25_34",
                "notes": "a, b",
                "birthday": {"year": 1990, "month": 5, "day": 20 + place},
                "contact_points": [
                    {"kind": "mobile", "value": f"1381234123{place}"},
                    {"kind": "email", "value": f"a{place}@example.com"},
                ],
                "identities": [{"platform": "taobao", "external_id": f"b{place}"}],
                "tags": ["vip", "老客"],
            },
        )
    for headers in ("names", "en", "zh"):
        data = await desk.file(headers=headers, bom=True)
        done = await finished(client, database, data, "customers")
        assert (done["unchanged"], done["failed"], done["updated"], done["created"]) == (3, 0, 0, 0), (headers, done)


async def test_over_graphql(desk, database, tenant):
    query = """mutation { exportStart(input: {resource: "customers", filters: {blacklisted: false}, format: NDJSON})
      { export { id state filters } } }"""
    answer = (await desk.client.post("/graphql", json={"query": query})).json()
    assert "errors" not in answer, answer
    shown = answer["data"]["exportStart"]["export"]
    assert (shown["state"], shown["filters"]) == ("QUEUED", {"blacklisted": False})
    query = "query { exports(first: 1) { nodes { id rows error { code } } } }"
    answer = (await desk.client.post("/graphql", json={"query": query})).json()
    assert answer["data"]["exports"]["nodes"][0]["id"] == shown["id"]
    for mutation, inside in (
        ("exportLink", "link { downloadPath }"),
        ("exportCancel", "export { state }"),
        ("exportDelete", "deleted"),
    ):
        query = f'mutation {{ {mutation}(input: {{id: "{shown["id"]}"}}) {{ {inside} userErrors {{ code }} }} }}'
        answer = (await desk.client.post("/graphql", json={"query": query})).json()
        assert "data" in answer, answer
        codes = [each["code"] for each in answer["data"][mutation]["userErrors"]]
        assert codes == (["export_not_ready"] if mutation == "exportLink" else []), answer


async def test_a_key_without_any_right_to_export(database, tenant):
    async with database.write(tenant.actor_with("customers:read")) as unit:
        with pytest.raises(Forbidden):
            await ExportService(unit).start(ExportStart(resource="customers"))
