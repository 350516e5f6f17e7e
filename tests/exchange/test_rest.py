"""Imports over REST, worked off by the job handler."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from crm_api import admin
from crm_api.exchange import jobs
from tests.support.api import client_of
from tests.support.imports import HEADER, finished, order, orders_csv, rows_of, start, tenant_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

CDNOW = Path(__file__).resolve().parents[2] / "examples" / "cdnow" / "orders.csv"


class TestCreate:
    async def test_answers_at_once_with_a_queued_import(self, client):
        response = await start(client, orders_csv(order()), name="C:\\files\\May\u202e.csv")
        assert response.status_code == 202, response.text
        body = response.json()
        assert response.headers["location"] == f"/v1/imports/{body['id']}"
        assert response.headers["etag"] == '"1"'
        assert body["state"] == "queued"
        assert body["filename"] == "May.csv"
        assert body["columns"]["total"] == "total"
        assert (body["processed"], body["error"], body["rows_per_second"]) == (0, None, None)
        listed = await client.get("/v1/imports", params={"state": "queued"})
        assert listed.json()["data"] == [body]

    async def test_the_job_is_queued_with_it(self, client, database, tenant):
        created = (await start(client, orders_csv(order()))).json()
        async with database.system() as connection:
            payloads = await connection.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'exchange.import'")
        wanted = {"tenant_id": str(tenant.id), "import_id": created["id"]}
        assert wanted in [json.loads(row["payload"]) for row in payloads]

    async def test_needs_the_scope_of_what_it_writes(self, client, settings, tenant, app):
        key = await admin.create_key(settings, tenant.id, frozenset({"imports:write", "imports:read"}))
        async with client_of(app, key.api_key) as limited:
            response = await start(limited, orders_csv(order()))
        assert response.status_code == 403
        assert response.json()["required_scope"] == "orders:write"

    async def test_without_a_key(self, app):
        async with client_of(app, None) as nobody:
            assert (await start(nobody, orders_csv(order()))).status_code == 401

    async def test_idempotency_key(self, client):
        data, headers = orders_csv(order()), {"idempotency-key": uuid4().hex}
        first = await start(client, data, headers=headers)
        again = await start(client, data, headers=headers)
        assert again.json() == first.json()
        assert again.headers["idempotency-replayed"] == "true"
        other = await start(client, data + b"\n", headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert len((await client.get("/v1/imports")).json()["data"]) == 1

    async def test_another_tenant_sees_nothing(self, client, app, other_tenant):
        created = (await start(client, orders_csv(order()))).json()
        async with client_of(app, other_tenant.key) as other:
            assert (await other.get(f"/v1/imports/{created['id']}")).status_code == 404
            assert (await other.get(f"/v1/imports/{created['id']}/rows")).status_code == 404
            assert (await other.post(f"/v1/imports/{created['id']}/cancel")).status_code == 404


class TestOrders:
    async def test_cdnow(self, client, database, tenant):
        done = await finished(client, database, CDNOW.read_bytes())
        assert (done["state"], done["created"], done["failed"]) == ("completed", 6919, 0)
        assert done["processed_bytes"] == done["total_bytes"]
        assert done["rows_per_second"] > 0
        async with database.read(tenant.actor) as unit:
            sums = await unit.connection.fetchrow(
                "SELECT count(*), count(DISTINCT customer_id), sum(total_amount) FROM orders WHERE tenant_id = $1",
                tenant.id,
            )
            kept = await unit.connection.fetchval("SELECT count(*) FROM import_files WHERE tenant_id = $1", tenant.id)
        assert tuple(sums) == (6919, 2357, 24_409_194)
        assert kept == 0  # the file is forgotten once it has been read

        again = await finished(client, database, CDNOW.read_bytes())
        assert (again["created"], again["updated"], again["unchanged"], again["failed"]) == (0, 0, 6919, 0)

    async def test_rows_are_paged_in_the_files_order(self, client, database):
        done = await finished(client, database, orders_csv(*[order(n) for n in range(1, 8)]))
        first = await rows_of(client, done, limit=3)
        assert [row["row"] for row in first["data"]] == [1, 2, 3]
        assert [row["line"] for row in first["data"]] == [2, 3, 4]
        second = await rows_of(client, done, limit=3, after=first["page"]["next"])
        assert [row["row"] for row in second["data"]] == [4, 5, 6]
        one = first["data"][0]
        assert one["verdict"] == "created"
        assert (await client.get(f"/v1/orders/{one['resource_id']}")).json()["external_id"] == "A-1"

    async def test_only_failures(self, client, database):
        data = orders_csv(order(1), order(2, currency="XYZ"), order(3))
        done = await finished(client, database, data)
        assert (done["created"], done["failed"]) == (2, 1)
        failed = await rows_of(client, done, verdict="failed")
        assert [(row["row"], row["resource_id"]) for row in failed["data"]] == [(2, None)]
        assert failed["data"][0]["errors"] == [
            {
                "column": "currency",
                "code": "unknown_currency",
                "message": "This is not a currency in use (ISO 4217)",
            }
        ]

    async def test_reasons_speak_the_uploaders_language(self, client, database):
        done = await finished(client, database, orders_csv(order(1, total="")), headers={"accept-language": "zh-CN"})
        failed = await rows_of(client, done)
        assert failed["data"][0]["errors"] == [{"column": "total", "code": "required", "message": "缺少必填内容"}]

    async def test_an_order_that_changed(self, client, database):
        await finished(client, database, orders_csv(order(1, status="paid")))
        done = await finished(client, database, orders_csv(order(1, status="completed"), order(2)))
        assert (done["created"], done["updated"]) == (1, 1)

    async def test_one_order_twice_in_a_file(self, client, database):
        done = await finished(client, database, orders_csv(order(1, status="paid"), order(1, status="completed")))
        rows = (await rows_of(client, done))["data"]
        assert [row["verdict"] for row in rows] == ["created", "updated"]
        assert rows[0]["resource_id"] == rows[1]["resource_id"]

    async def test_chinese_headers_in_gb18030(self, client, database):
        data = "平台;订单号;客户编号;下单时间;订单状态;金额;币种;姓名\r\n"
        data += "taobao;T1;b1;2026年5月4日 12:30;交易成功;1,299.50;CNY;王小明\r\n"
        done = await finished(client, database, data.encode("gb18030"))
        assert (done["created"], done["encoding"], done["delimiter"]) == (1, "gb18030", ";")
        row = (await rows_of(client, done))["data"][0]
        stored = (await client.get(f"/v1/orders/{row['resource_id']}")).json()
        assert stored["total"] == {"amount": 129_950, "currency": "CNY"}
        assert stored["placed_at"] == "2026-05-04T04:30:00+00:00"  # half past twelve in Shanghai
        customer = (await client.get(f"/v1/customers/{stored['customer_id']}")).json()
        assert customer["name"] == "王小明"

    async def test_mapping(self, client, database):
        data = b"shop,nr,who,when,how,paid sum,cur\nown,1,c1,20260504,paid,5,CNY\n"
        mapping = {
            "shop": "platform",
            "nr": "order_id",
            "who": "customer_id",
            "when": "placed_at",
            "how": "status",
            "paid sum": "total",
            "cur": "currency",
        }
        done = await finished(client, database, data, mapping=mapping)
        assert done["created"] == 1
        assert done["columns"] == mapping

    async def test_tells_the_outbox_when_it_has_finished(self, client, database, tenant):
        done = await finished(client, database, orders_csv(order()))
        async with database.read(tenant.actor) as unit:
            payloads = await unit.connection.fetch(
                "SELECT payload FROM outbox WHERE tenant_id = $1 AND type = 'import.finished' AND subject_id = $2",
                tenant.id,
                done["id"],
            )
        assert [row["payload"] for row in payloads] == [
            {
                "import_id": done["id"],
                "kind": "orders",
                "state": "completed",
                "dry_run": False,
                "processed": 1,
                "created": 1,
                "updated": 0,
                "unchanged": 0,
                "duplicate": 0,
                "failed": 0,
            }
        ]

    async def test_a_header_alone_is_an_empty_import(self, client, database):
        done = await finished(client, database, HEADER + b"\n")
        assert (done["state"], done["processed"]) == ("completed", 0)


class TestCancel:
    async def test_before_it_begins(self, client, database):
        created = (await start(client, orders_csv(order()))).json()
        response = await client.post(f"/v1/imports/{created['id']}/cancel")
        assert response.status_code == 200
        assert response.json()["state"] == "cancelled"
        await jobs.run(database, {"tenant_id": str(await tenant_of(client, database)), "import_id": created["id"]})
        after = (await client.get(f"/v1/imports/{created['id']}")).json()
        assert (after["state"], after["processed"]) == ("cancelled", 0)

    async def test_once_it_has_ended(self, client, database):
        done = await finished(client, database, orders_csv(order()))
        response = await client.post(f"/v1/imports/{done['id']}/cancel")
        assert (response.status_code, response.json()["code"]) == (409, "import_ended")

    async def test_of_an_older_version(self, client):
        created = (await start(client, orders_csv(order()))).json()
        response = await client.post(f"/v1/imports/{created['id']}/cancel", headers={"if-match": '"7"'})
        assert response.status_code == 412
