"""Subject exports: what is in the archive, who gets it, and for how long."""

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from crm_api import admin
from crm_api.core.clock import FixedClock
from crm_api.db.ownership import everything
from crm_api.db.pool import Database
from crm_api.privacy import jobs, rules
from crm_api.privacy.archive import Archive
from crm_api.privacy.labels import TABLES
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

NASTY = "<script>alert('小明')</script>"


class Desk:
    """Somebody who asks for copies."""

    def __init__(self, client, database, tenant):
        self.client, self.database, self.tenant = client, database, tenant

    async def customer(self, **fields):
        answer = await self.client.post("/v1/customers", json={"name": "王小明", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def ask(self, who):
        answer = await self.client.post(f"/v1/customers/{who}/subject-exports")
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def run(self, export, database=None):
        payload = {"tenant_id": str(self.tenant.id), "export_id": export["id"]}
        await jobs.export(database or self.database, payload)
        return (await self.client.get(f"/v1/subject-exports/{export['id']}")).json()

    async def fetch(self, export):
        return await self.client.get(f"/v1/subject-exports/{export['id']}/archive")

    async def archive(self, who):
        answer = await self.fetch(await self.run(await self.ask(who)))
        assert answer.status_code == 200, answer.text
        return zipfile.ZipFile(io.BytesIO(answer.content))


@pytest_asyncio.fixture
async def desk(client, database, tenant):
    return Desk(client, database, tenant)


class TestArchive:
    async def test_holds_what_the_customer_owns_and_nobody_elses(self, desk, client):
        who, other = await desk.customer(notes="花生过敏", tags=["vip"]), await desk.customer(name="李雷")
        for owner, number in ((who, "T-1"), (other, "T-2")):
            order = {
                "customer_id": owner,
                "status": "paid",
                "total": {"amount": 1999, "currency": "CNY"},
                "placed_at": "2026-05-01T00:00:00Z",
                "lines": [{"title": f"大虾 {number}", "unit_price": {"amount": 1999, "currency": "CNY"}}],
            }
            assert (await client.put(f"/v1/orders/taobao/{number}", json=order)).is_success
        said = {"purpose": "marketing", "action": "granted", "source": "form"}
        await client.post(f"/v1/customers/{who}/consents", json=said)

        archive = await desk.archive(who)

        assert archive.namelist() == ["data.json", "data.en.html", "data.zh.html"]
        kept = json.loads(archive.read("data.json"))
        data = kept["data"]
        assert kept["customer_id"] == who
        assert [(row["id"], row["notes"]) for row in data["customers"]] == [(who, "花生过敏")]
        assert [row["tag"] for row in data["customer_tags"]] == ["vip"]
        assert [row["external_id"] for row in data["orders"]] == ["T-1"]
        assert [row["title"] for row in data["order_lines"]] == ["大虾 T-1"]
        assert [row["purpose"] for row in data["consents"]] == ["marketing"]
        assert list(data) == ["customers", *(each.name for each in everything() if each.export)]
        everywhere = b"".join(map(archive.read, archive.namelist())).decode()
        assert "T-2" not in everywhere
        assert "李雷" not in everywhere
        assert str(desk.tenant.id) not in json.dumps(data["customers"])

    async def test_can_be_read_in_both_languages_and_does_nothing(self, desk):
        archive = await desk.archive(await desk.customer(name=NASTY, notes="第一行\n第二行"))
        english, chinese = (archive.read(f"data.{locale}.html").decode() for locale in ("en", "zh"))
        for page in (english, chinese):
            assert "<script" not in page
            assert "&lt;script&gt;alert(&#39;小明&#39;)&lt;/script&gt;" in page
            assert "http://" not in page
            assert "src=" not in page
        assert ">What we keep about you<" in english
        assert "<th>Name</th>" in english
        assert ">我们保存的您的个人信息<" in chinese
        assert "<th>姓名</th>" in chinese

    async def test_every_kind_of_data_has_a_name_people_understand(self):
        assert {str(each.name) for each in everything() if each.export} <= TABLES.keys()

    async def test_the_hash_of_a_code_is_no_part_of_it(self, desk, client):
        who = await desk.customer(contact_points=[{"kind": "mobile", "value": "13812345678"}])
        (point,) = (await client.get(f"/v1/customers/{who}")).json()["contact_points"]
        assert (await client.post("/v1/channels", json={"name": "local", "kind": "local"})).is_success
        assert (await client.post(f"/v1/customers/{who}/contact-points/{point['id']}/verification")).is_success
        data = json.loads((await desk.archive(who)).read("data.json"))["data"]
        (sent,) = data["contact_verifications"]
        assert sent["contact_point_id"] == point["id"]
        assert not {"code_hash", "salt"} & sent.keys()

    async def test_covers_who_was_merged_into_them(self, desk, client):
        who, loser = await desk.customer(), await desk.customer(name="小明（旧）")
        merged = await client.post("/v1/customers/merge", json={"winner_id": who, "loser_ids": [loser]})
        assert merged.status_code == 201, merged.text
        export = await desk.ask(loser)
        assert export["customer_id"] == who
        data = json.loads((await desk.archive(who)).read("data.json"))["data"]
        assert {row["name"] for row in data["customers"]} == {"王小明", "小明（旧）"}

    async def test_the_deleted_may_ask(self, desk, client):
        who = await desk.customer(notes="x")
        await client.delete(f"/v1/customers/{who}")
        assert json.loads((await desk.archive(who)).read("data.json"))["data"]["customers"][0]["notes"] == "x"

    async def test_long_lists_are_cut_in_the_page_only(self, tmp_path):
        async def rows():
            for number in range(rules.HTML_ROWS + 1):
                yield {"number": number, "nothing": None}

        with (tmp_path / "a.zip").open("w+b") as file:
            archive = Archive(file, uuid4(), datetime(2026, 1, 1, tzinfo=UTC))
            await archive.add("events", rows())
            size, digest = archive.close()
            raw = file.read()
        assert (size, digest) == (len(raw), hashlib.sha256(raw).hexdigest())
        made = zipfile.ZipFile(io.BytesIO(raw))
        assert len(json.loads(made.read("data.json"))["data"]["events"]) == rules.HTML_ROWS + 1
        page = made.read("data.en.html").decode()
        assert page.count("<tr><td>") == rules.HTML_ROWS
        assert "Only the first rows" in page
        assert "nothing" not in page


class TestLife:
    async def test_progress_and_proof(self, desk, client):
        who = await desk.customer()
        export = await desk.ask(who)
        assert (export["state"], export["total"], export["expires_at"]) == ("queued", 0, None)
        early = await desk.fetch(export)
        assert (early.status_code, early.json()["code"]) == (409, "export_not_ready")
        done = await desk.run(export)
        assert done["state"] == "completed"
        assert done["processed"] == done["total"] > 10
        assert done["rows"] >= 1
        answer = await desk.fetch(export)
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["cache-control"] == "no-store"
        assert (len(answer.content), hashlib.sha256(answer.content).hexdigest()) == (done["size_bytes"], done["sha256"])
        log = (await client.get("/v1/audit-log", params={"subject_id": export["id"]})).json()["data"]
        assert [each["operation"] for each in log] == [
            "subject_export.fetched",
            "subject_export.completed",
            "subject_export.requested",
        ]

    async def test_running_it_again_changes_nothing(self, desk):
        export = await desk.ask(await desk.customer())
        done = await desk.run(export)
        assert await desk.run(export) == done

    async def test_a_killed_workers_successor_begins_again(self, desk, monkeypatch):
        export = await desk.ask(await desk.customer())
        add, added = Archive.add, []

        async def dies(self, name, rows):
            added.append(name)
            if len(added) == 4:
                raise KeyboardInterrupt
            await add(self, name, rows)

        monkeypatch.setattr(Archive, "add", dies)
        with pytest.raises(KeyboardInterrupt):
            await desk.run(export)
        halfway = (await desk.client.get(f"/v1/subject-exports/{export['id']}")).json()
        assert halfway["state"] == "running"
        assert 0 < halfway["processed"] < halfway["total"]
        assert (await desk.run(export))["state"] == "completed"

    async def test_it_expires(self, desk, client):
        await client.patch("/v1/privacy-settings", json={"export_keep_days": 2})
        done = await desk.run(await desk.ask(await desk.customer()))
        left = datetime.fromisoformat(done["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=1, hours=23) < left <= timedelta(days=2)
        later = Database(desk.database.settings, FixedClock(datetime.now(UTC) + timedelta(days=3)))
        later._pools = desk.database._pools
        await jobs.expire(later)
        gone = await desk.fetch(done)
        assert (gone.status_code, gone.json()["code"]) == (409, "export_expired")
        async with desk.database.read(desk.tenant.actor) as unit:
            count = "SELECT count(*) FROM subject_export_blocks WHERE export_id = $1"
            assert await unit.connection.fetchval(count, UUID(done["id"])) == 0

    async def test_failing_is_told(self, desk):
        export = await desk.ask(await desk.customer())
        payload = {"tenant_id": str(desk.tenant.id), "export_id": export["id"]}
        await jobs.give_up_export(desk.database, payload, "the disk is full")
        failed = (await desk.client.get(f"/v1/subject-exports/{export['id']}")).json()
        assert (failed["state"], failed["error"]) == ("failed", "the disk is full")
        assert (await desk.fetch(export)).json()["code"] == "export_not_ready"

    async def test_takes_its_scope_and_its_tenant(self, desk, app, settings, tenant, other_tenant):
        done = await desk.run(await desk.ask(await desk.customer()))
        narrow = await admin.create_key(settings, tenant.id, frozenset({"customers:read", "customers:write"}))
        async with client_of(app, narrow.api_key) as clerk, client_of(app, other_tenant.key) as stranger:
            path = f"/v1/subject-exports/{done['id']}"
            assert (await clerk.get(f"{path}/archive")).status_code == 403
            assert (await stranger.get(path)).status_code == 404
            assert (await stranger.get(f"{path}/archive")).status_code == 404
            assert (await stranger.post(f"/v1/customers/{done['customer_id']}/subject-exports")).status_code == 404

    async def test_of_nobody(self, desk):
        assert (await desk.client.post(f"/v1/customers/{uuid4()}/subject-exports")).status_code == 404
