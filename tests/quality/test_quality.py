"""What is wrong with customers: counted, listed, told of one, and cleaned up."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from email_validator import EmailNotValidError, validate_email

from crm_api.core.actor import Actor
from crm_api.customers.service import normal_form
from crm_api.quality import rules
from crm_api.quality.jobs import give_up, run
from crm_api.quality.rules import Normal, Point, clean
from crm_api.quality.service import FINDINGS, CleanupService
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def person(client, name="x", *points, **fields):
    body = {"name": name, "contact_points": [{"kind": kind, "value": value} for kind, value in points], **fields}
    answer = await client.post("/v1/customers", json=body, headers={"x-allow-duplicate": "true"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def dirty(database, tenant, customer_id, kind, value, *, is_primary=False):
    """Store a contact point as an older version or another system might have left it; returns its id."""
    point_id = uuid4()
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(
            "INSERT INTO contact_points (tenant_id, id, customer_id, kind, value, is_primary) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            tenant.id,
            point_id,
            UUID(customer_id),
            kind,
            value,
            is_primary,
        )
    return str(point_id)


async def age(database, tenant, customer_id, days):
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(
            "UPDATE customers SET updated_at = now() - make_interval(days => $3) WHERE tenant_id = $1 AND id = $2",
            tenant.id,
            UUID(customer_id),
            days,
        )


async def report(client, **query):
    body = (await client.get("/v1/quality/report", params=query)).json()
    return body, {each["finding"]: each["customers"] for each in body["findings"]}


async def found(client, finding, **query):
    answer = await client.get("/v1/quality/customers", params={"finding": finding, **query})
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["data"]]


async def findings_of(client, customer_id):
    return (await client.get(f"/v1/customers/{customer_id}/quality")).json()["findings"]


class TestFindings:
    async def test_each(self, client, database, tenant):
        good = await person(client, "good", ("mobile", "13812345678"), ("email", "a@example.com"))
        nothing = await person(client, "nothing")
        landline = await person(client, "landline", ("landline", "021-64371234"))
        phone, mail, taobao = [await person(client, name) for name in ("phone", "mail", "taobao")]
        await dirty(database, tenant, phone, "mobile", "+8612345")
        await dirty(database, tenant, mail, "email", "nobody@localhost")
        await dirty(database, tenant, taobao, "taobao_buyer", "t***b")
        twins = [await person(client, "twin", ("mobile", "13912345678")) for _ in range(2)]
        gone = await person(client, "gone")
        await client.delete(f"/v1/customers/{gone}")
        expected = {
            "no_contact_point": [nothing],
            "invalid_phone": [phone],
            "invalid_email": [mail],
            "landline_only": [landline],
            "stale": [],
            "unreachable": [nothing, landline, phone, mail, taobao],
            "shared_contact_point": twins,
        }
        body, counts = await report(client)
        assert (body["customers"], body["shared_values"]) == (8, 1)
        assert counts == {finding: len(ids) for finding, ids in expected.items()}
        for finding, ids in expected.items():
            assert sorted(await found(client, finding)) == sorted(ids), finding
        for customer_id in (good, nothing, landline, phone, mail, taobao, *twins):
            assert await findings_of(client, customer_id) == [f for f in FINDINGS if customer_id in expected[f]]

    async def test_stale(self, client, database, tenant):
        silent, buyer, talker, fresh = [await person(client, name) for name in ("silent", "buyer", "talker", "fresh")]
        now = datetime.now(UTC)
        order = {
            "customer_id": buyer,
            "status": "paid",
            "total": {"amount": 1, "currency": "CNY"},
            "placed_at": (now - timedelta(days=100)).isoformat(),
        }
        assert (await client.put("/v1/orders/taobao/T1", json=order)).is_success
        call = {"customer_id": talker, "channel": "call", "direction": "inbound"}
        await client.post("/v1/interactions", json={**call, "occurred_at": (now - timedelta(days=200)).isoformat()})
        for customer_id in (silent, buyer, talker):
            await age(database, tenant, customer_id, 400)
        assert await found(client, "stale") == [silent]
        assert sorted(await found(client, "stale", stale_days=150)) == sorted([silent, talker])
        assert sorted(await found(client, "stale", stale_days=50)) == sorted([silent, talker, buyer])
        assert (await report(client, stale_days=50))[1]["stale"] == 3
        assert fresh not in await found(client, "stale", stale_days=1)

    async def test_whoever_refuses_everything_is_unreachable(self, client):
        customer_id = await person(client, "x", ("mobile", "13812345678"))
        said = {"purpose": "marketing", "channel": "sms", "source": "web_form"}
        for action, unreachable in (("granted", False), ("withdrawn", True)):
            answer = await client.post(f"/v1/customers/{customer_id}/consents", json={**said, "action": action})
            assert answer.is_success, answer.text
            assert (customer_id in await found(client, "unreachable")) is unreachable

    @pytest.mark.parametrize(
        "address",
        [
            "a@example.com", "a.b+c@sub.example.co.uk", "王@例子.中国", "a@b.cn", "o'neil@example.com",
            "a@b", "a", "@example.com", "a@", "a..b@example.com", ".a@example.com", "a.@example.com", "a b@example.com",
            "a@example..com", "a@x.test", "a@localhost", "a@sub.invalid", "a@-example.com", "a@example.c", "a@1.2.3.4",
        ],
    )  # fmt: skip
    async def test_no_valid_address_is_called_invalid(self, client, database, tenant, address):
        try:
            valid = bool(validate_email(address, check_deliverability=False))
        except EmailNotValidError:
            valid = False
        customer_id = await person(client)
        await dirty(database, tenant, customer_id, "email", address)
        taken = "invalid_email" not in await findings_of(client, customer_id)
        assert taken or not valid
        if address != "a@-example.com":
            assert taken == valid

    async def test_phones_of_the_world(self, client, database, tenant):
        customer_id = await person(client)
        for kind, value in (
            ("mobile", "+14155552671"),
            ("mobile", "+447400123456"),
            ("mobile", "+85291234567"),
            ("landline", "+862164371234"),
            ("landline", "+864008108888"),
        ):
            await dirty(database, tenant, customer_id, kind, value)
        assert await found(client, "invalid_phone") == []
        for kind, value in (("mobile", "+862164371234"), ("mobile", "+1415555"), ("landline", "+8613812345678")):
            other = await person(client)
            await dirty(database, tenant, other, kind, value)
            assert (await found(client, "invalid_phone"))[0] == other


class TestCompleteness:
    async def test_weights(self, client):
        assert sum(rules.WEIGHTS.values()) == 100
        bare = await person(client, "bare")
        full = await person(
            client, "full", ("mobile", "13812345678"),
            gender="female", birthday={"month": 1, "day": 1}, occupation="x", city="上海", address="x", source="x",
            preferences="x", tags=["vip"],
        )  # fmt: skip
        assert (await client.get(f"/v1/customers/{bare}/quality")).json()["completeness"] == 0
        body = (await client.get(f"/v1/customers/{full}/quality")).json()
        assert (body["completeness"], body["missing"]) == (90, [{"part": "verified_contact_point", "points": 10}])
        listed = (await client.get("/v1/quality/customers?completeness_below=50&fields=id")).json()
        assert listed["data"] == [{"id": bare}]
        summary, _ = await report(client)
        assert (summary["completeness"], summary["incomplete"]) == (45.0, 1)
        assert {each["part"]: each["customers"] for each in summary["parts"]} == {
            part: 0 if part == "verified_contact_point" else 1 for part in rules.WEIGHTS
        }
        query = {"query": "{ customers(first: 5) { nodes { name completeness } } }"}
        nodes = (await client.post("/graphql", json=query)).json()["data"]["customers"]["nodes"]
        assert nodes == [{"name": "full", "completeness": 90}, {"name": "bare", "completeness": 0}]

    async def test_of_nobody(self, client):
        body, counts = await report(client)
        assert (body["customers"], body["completeness"], set(counts.values())) == (0, None, {0})
        assert (await client.get(f"/v1/customers/{uuid4()}/quality")).status_code == 404


class TestScopes:
    async def test_what_looks_into_other_domains_takes_their_scopes(self, app, settings, tenant):
        from crm_api import admin  # noqa: PLC0415

        scopes = frozenset({"quality:read", "customers:read"})
        key = (await admin.create_key(settings, tenant.id, scopes)).api_key
        async with client_of(app, key) as client:
            assert {"stale", "unreachable"} & (await report(client))[1].keys() == set()
            for finding, scope in (("stale", "orders:read"), ("unreachable", "consent:read")):
                answer = await client.get("/v1/quality/customers", params={"finding": finding})
                assert (answer.status_code, answer.json()["required_scope"]) == (403, scope)
            assert await found(client, "no_contact_point") == []


class TestPages:
    async def test_forth_and_back(self, client):
        ids = [await person(client) for _ in range(5)][::-1]
        page = (await client.get("/v1/quality/customers?finding=no_contact_point&limit=2&count=exact")).json()
        assert ([each["id"] for each in page["data"]], page["page"]["total"]) == (ids[:2], 5)
        rest = await found(client, "no_contact_point", after=page["page"]["next"])
        assert rest == ids[2:]

    async def test_graphql(self, client):
        ids = [await person(client) for _ in range(3)][::-1]
        query = """{ qualityReport(input: {}) { customers findings { finding customers } }
          qualityCustomers(input: {finding: NO_CONTACT_POINT, limit: 2}) { customers { id completeness } next hasMore }
          customerQuality(input: {id: "Customer:%s"}) { completeness missing { part points } findings } }"""
        answer = await client.post("/graphql", json={"query": query % ids[0]})
        data = answer.json().get("data")
        assert data, answer.text
        assert data["qualityReport"]["customers"] == 3
        assert [each["id"] for each in data["qualityCustomers"]["customers"]] == [f"Customer:{id_}" for id_ in ids[:2]]
        assert data["qualityCustomers"]["hasMore"] is True
        assert "NO_CONTACT_POINT" in data["customerQuality"]["findings"]


ACTIONS = [
    "normalise_contact_points",
    "reclassify_phones",
    "remove_invalid_contact_points",
    "single_primary_contact_point",
]


def point(kind, value, *, is_primary=False):
    return Point(uuid4(), UUID(int=1), kind, value, is_primary)


class TestRules:
    def run(self, points, actions):
        normal = Normal(normal_form)
        changes = clean(points, actions, normal)
        left = {each.id: each for each in points}
        for each in changes:
            if each.change.kind is None:
                del left[each.change.id]
            else:
                old = left[each.change.id]
                left[old.id] = Point(
                    old.id, old.customer_id, each.change.kind, each.change.value, each.change.is_primary
                )
        assert clean(list(left.values()), actions, normal) == [], "cleaning what is clean"
        return [(each.kind, each.value) for each in left.values()], [each.action for each in changes]

    async def test_normalise(self):
        points = [point("mobile", "138 1234 5678"), point("email", "A@Example.COM"), point("mobile", "+8613812345678")]
        left, actions = self.run(points, ["normalise_contact_points"])
        assert left == [("mobile", "+8613812345678"), ("email", "a@example.com")]
        assert actions == ["normalise_contact_points"] * 3

    async def test_reclassify(self):
        points = [point("mobile", "+862164371234"), point("landline", "13812345678"), point("mobile", "+8612")]
        left, _ = self.run(points, ["reclassify_phones"])
        assert left == [("landline", "+862164371234"), ("mobile", "+8613812345678"), ("mobile", "+8612")]

    async def test_remove(self):
        points = [point("mobile", "12"), point("email", "x"), point("mobile", "+862164371234"), point("weibo", "a b")]
        left, _ = self.run(points, ["remove_invalid_contact_points"])
        assert left == [("mobile", "+862164371234")], "a good number under a wrong kind is not thrown away"

    async def test_one_primary_of_each_kind(self):
        points = [point("email", f"{name}@example.com", is_primary=True) for name in "abc"]
        _, actions = self.run(points, ["single_primary_contact_point"])
        assert actions == ["single_primary_contact_point"] * 2

    async def test_clean_ones_are_left_alone(self):
        points = [point("mobile", "+8613812345678", is_primary=True), point("email", "a@example.com")]
        assert self.run(points, ACTIONS)[1] == []


class TestCleanup:
    async def start(self, client, **body):
        answer = await client.post("/v1/quality/cleanups", json={"actions": ACTIONS, **body})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    async def finish(self, client, database, tenant, cleanup_id):
        await run(database, {"tenant_id": str(tenant.id), "cleanup_id": cleanup_id})
        return (await client.get(f"/v1/quality/cleanups/{cleanup_id}")).json()

    async def shop(self, client, database, tenant):
        clean_one = await person(client, "clean", ("mobile", "13812345678"))
        dirty_one = await person(client, "dirty")
        for kind, value in (("mobile", "139 1234 5678"), ("email", "nobody"), ("mobile", "+862164371234")):
            await dirty(database, tenant, dirty_one, kind, value)
        return clean_one, dirty_one

    async def test_a_preview_changes_nothing(self, client, database, tenant):
        _, dirty_one = await self.shop(client, database, tenant)
        before = (await client.get(f"/v1/customers/{dirty_one}")).json()
        done = await self.finish(client, database, tenant, await self.start(client))
        assert (done["state"], done["dry_run"], done["total"], done["processed"], done["changed"]) == (
            "completed", True, 2, 2, 1,
        )  # fmt: skip
        assert done["counts"] == [
            {"action": "normalise_contact_points", "contact_points": 1},
            {"action": "reclassify_phones", "contact_points": 1},
            {"action": "remove_invalid_contact_points", "contact_points": 1},
        ]
        assert {each["action"]: each["after"] for each in done["samples"]} == {
            "normalise_contact_points": {"kind": "mobile", "value": "+8613912345678", "is_primary": False},
            "reclassify_phones": {"kind": "landline", "value": "+862164371234", "is_primary": False},
            "remove_invalid_contact_points": None,
        }
        assert (await client.get(f"/v1/customers/{dirty_one}")).json() == before

    async def test_and_then_the_real_thing(self, client, database, tenant):
        clean_one, dirty_one = await self.shop(client, database, tenant)
        version = (await client.get(f"/v1/customers/{clean_one}")).json()["version"]
        done = await self.finish(client, database, tenant, await self.start(client, dry_run=False))
        assert (done["state"], done["changed"]) == ("completed", 1)
        points = (await client.get(f"/v1/customers/{dirty_one}")).json()["contact_points"]
        assert sorted((each["kind"], each["value"]) for each in points) == [
            ("landline", "+862164371234"),
            ("mobile", "+8613912345678"),
        ]
        assert (await client.get(f"/v1/customers/{clean_one}")).json()["version"] == version
        log = (await client.get("/v1/audit-log?operation=customer.contact_points_cleaned")).json()["data"]
        assert [each["subject_id"] for each in log] == [dirty_one]
        assert len(log[0]["before"]["contact_points"]) == 3
        again = await self.finish(client, database, tenant, await self.start(client, dry_run=False))
        assert (again["changed"], again["counts"]) == (0, [])
        assert [each["id"] for each in (await client.get("/v1/customers?q=13912345678")).json()["data"]] == [dirty_one]

    async def test_a_killed_worker_loses_one_step(self, client, database, tenant, monkeypatch):
        monkeypatch.setattr("crm_api.quality.service.CHUNK", 2)
        ids = [await person(client, str(number)) for number in range(5)]
        for customer_id in ids:
            await dirty(database, tenant, customer_id, "email", "nobody")
        cleanup_id = await self.start(client, dry_run=False)
        actor = Actor.system(tenant.id)

        async def step(unit):
            return await CleanupService(unit).step(UUID(cleanup_id))

        await database.run(actor, step)

        async def killed():
            async with database.write(actor) as unit:
                await step(unit)
                raise RuntimeError("killed")

        with pytest.raises(RuntimeError):
            await killed()
        half = (await client.get(f"/v1/quality/cleanups/{cleanup_id}")).json()
        assert (half["state"], half["processed"], half["changed"]) == ("running", 2, 2)
        done = await self.finish(client, database, tenant, cleanup_id)
        assert (done["state"], done["processed"], done["changed"]) == ("completed", 5, 5)
        log = (await client.get("/v1/audit-log?operation=customer.contact_points_cleaned")).json()["data"]
        assert sorted(each["subject_id"] for each in log) == sorted(ids)

    async def test_cancel_and_give_up(self, client, database, tenant):
        cleanup_id = await self.start(client)
        stopped = await client.post(f"/v1/quality/cleanups/{cleanup_id}/cancel", headers={"if-match": '"1"'})
        assert stopped.json()["state"] == "cancelled"
        assert (await client.post(f"/v1/quality/cleanups/{cleanup_id}/cancel")).json()["code"] == "cleanup_ended"
        assert (await self.finish(client, database, tenant, cleanup_id))["processed"] == 0
        other = await self.start(client)
        await give_up(database, {"tenant_id": str(tenant.id), "cleanup_id": other}, "internal error")
        failed = (await client.get(f"/v1/quality/cleanups/{other}")).json()
        assert (failed["state"], failed["error"]) == ("failed", "internal error")

    async def test_graphql(self, client):
        start = """mutation($i: QualityCleanupStartInput!) {
          qualityCleanupStart(input: $i) { qualityCleanup { id state dryRun } } }"""
        given = {"query": start, "variables": {"i": {"actions": ["RECLASSIFY_PHONES"]}}}
        made = (await client.post("/graphql", json=given)).json()["data"]["qualityCleanupStart"]["qualityCleanup"]
        assert (made["state"], made["dryRun"]) == ("QUEUED", True)
        cancel = (
            "mutation($i: QualityCleanupCancelInput!) { qualityCleanupCancel(input: $i) { qualityCleanup { state } } }"
        )
        gone = await client.post("/graphql", json={"query": cancel, "variables": {"i": {"id": made["id"]}}})
        assert gone.json()["data"]["qualityCleanupCancel"]["qualityCleanup"] == {"state": "CANCELLED"}
