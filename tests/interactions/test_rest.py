"""Interactions over REST."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from crm_api.core.clock import FixedClock
from crm_api.core.errors import Forbidden
from crm_api.interactions.models import InteractionCreate
from crm_api.interactions.service import InteractionService
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

CALL = {"channel": "call", "direction": "inbound"}
NOW = datetime(2026, 11, 11, 4, tzinfo=UTC)


async def customer(client, name="王小明"):
    response = await client.post("/v1/customers", json={"name": name})
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def log(client, customer_id, **fields):
    response = await client.post("/v1/interactions", json={**CALL, "customer_id": customer_id, **fields})
    assert response.status_code == 201, response.text
    return response.json()


async def order(client, customer_id, external_id="tb-1"):
    response = await client.put(
        f"/v1/orders/taobao/{external_id}",
        json={
            "customer_id": customer_id,
            "status": "paid",
            "total": {"amount": 1999, "currency": "CNY"},
            "placed_at": "2026-11-11T03:20:00Z",
        },
    )
    assert response.status_code in (200, 201), response.text
    return response.json()["id"]


class TestLog:
    async def test_answers_with_what_was_stored(self, client):
        who = await customer(client)
        response = await client.post(
            "/v1/interactions",
            json={
                **CALL,
                "customer_id": who,
                "subject": "询问奶粉段位",
                "body": "宝宝六个月",
                "outcome": "推荐二段",
                "problem": "不确定",
                "solution": "说明",
                "next_step": "下周回访",
                "duration_seconds": 95,
                "attachments": ["https://files.example.com/call.mp3"],
                "occurred_at": "2026-11-11T11:20:00+08:00",
            },
        )
        assert response.status_code == 201
        body = response.json()
        assert response.headers["etag"] == '"1"'
        assert response.headers["location"] == f"/v1/interactions/{body['id']}"
        assert body["occurred_at"] == "2026-11-11T03:20:00+00:00"
        assert body["attachments"] == ["https://files.example.com/call.mp3"]
        assert (await client.get(response.headers["location"])).json() == body

    async def test_happens_now_unless_told_otherwise(self, client):
        logged = await log(client, await customer(client))
        assert logged["occurred_at"][:13] == logged["created_at"][:13]

    async def test_has_happened_give_or_take_the_clocks(self, client, database):
        database.clock = FixedClock(NOW)
        who = await customer(client)
        near, far = (NOW + timedelta(minutes=5)).isoformat(), (NOW + timedelta(minutes=5, seconds=1)).isoformat()
        logged = await log(client, who, occurred_at=near)
        items = [{**CALL, "customer_id": who, "occurred_at": each} for each in (far, near)]
        batch = await client.post("/v1/interactions/batch", json={"mode": "per_item", "items": items})
        refused, taken = batch.json()["results"]
        assert (refused["errors"][0]["pointer"], refused["errors"][0]["code"]) == (
            "/items/0/occurred_at",
            "in_the_future",
        )
        assert taken["verdict"] == "created"
        changed = await client.patch(f"/v1/interactions/{logged['id']}", json={"occurred_at": far})
        assert [each["code"] for each in changed.json()["errors"]] == ["in_the_future"]
        mutation = (
            "mutation($input: InteractionLogInput!) { interactionLog(input: $input) { userErrors { code path } } }"
        )
        given = {"customerId": who, "channel": "CALL", "direction": "INBOUND", "occurredAt": far}
        answer = await client.post("/graphql", json={"query": mutation, "variables": {"input": given}})
        assert answer.json()["data"]["interactionLog"]["userErrors"] == [
            {"code": "in_the_future", "path": ["input", "occurredAt"]}
        ]
        stored = (await client.get("/v1/interactions")).json()["data"]
        assert [each["occurred_at"] for each in stored] == [near] * 2

    async def test_links_an_order_of_the_same_customer(self, client):
        who, other = await customer(client), await customer(client, "李雷")
        bought = await order(client, who)
        assert (await log(client, who, order_id=bought))["order_id"] == bought
        for wrong, code in ((other, "other_customer"), (who, "unknown_reference")):
            response = await client.post(
                "/v1/interactions",
                json={**CALL, "customer_id": wrong, "order_id": bought if wrong == other else str(uuid4())},
            )
            assert response.status_code == 422
            assert response.json()["errors"][0] == {
                "pointer": "/order_id",
                "code": code,
                "message": response.json()["errors"][0]["message"],
            }

    async def test_leaves_a_message_and_an_audit_row(self, client, database, tenant):
        who = await customer(client)
        logged = await log(client, who, subject="你好")
        async with database.read(tenant.actor) as unit:
            sent = await unit.connection.fetch("SELECT type, payload FROM outbox WHERE subject_id = $1", logged["id"])
        assert [row["type"] for row in sent] == ["interaction.logged"]
        assert sent[0]["payload"]["customer_id"] == who
        audit = (await client.get(f"/v1/audit-log?subject_id={logged['id']}")).json()["data"]
        assert [row["operation"] for row in audit] == ["interaction.log"]
        assert audit[0]["after"]["subject"] == "你好"

    @pytest.mark.parametrize(
        ("fields", "pointer", "code"),
        [
            ({"channel": "telepathy"}, "/channel", "unknown_choice"),
            ({"direction": "sideways"}, "/direction", "unknown_choice"),
            ({"duration_seconds": -1}, "/duration_seconds", "out_of_range"),
            ({"duration_seconds": 10**12}, "/duration_seconds", "out_of_range"),
            ({"occurred_at": "2026-11-11T03:20:00"}, "/occurred_at", "invalid_time"),
            ({"occurred_at": "2026-02-30T03:20:00Z"}, "/occurred_at", "invalid_time"),
            ({"attachments": ["http://files.example.com/x"]}, "/attachments/0", "invalid_url"),
            ({"attachments": ["https://me:secret@files.example.com/x"]}, "/attachments/0", "invalid_url"),
            ({"attachments": ["javascript:alert(1)"]}, "/attachments/0", "invalid_url"),
            ({"attachments": ["https://x.example/" + "a" * 2000]}, "/attachments/0", "too_long"),
            ({"attachments": ["https://x.example/"] * 51}, "/attachments", "too_many"),
            ({"subject": "x" * 201}, "/subject", "too_long"),
            ({"body": "a\x00b"}, "/body", "nul_character"),
            ({"staff_id": str(uuid4())}, "/staff_id", "unknown_reference"),
            ({"store_id": str(uuid4())}, "/store_id", "unknown_reference"),
            ({"customer_id": "1"}, "/customer_id", "invalid_id"),
            ({"mood": "good"}, "/mood", "unknown_field"),
        ],
    )
    async def test_bad_input_changes_nothing(self, client, fields, pointer, code):
        who = await customer(client)
        response = await client.post("/v1/interactions", json={**CALL, "customer_id": who, **fields})
        assert response.status_code == 422, response.text
        assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [(pointer, code)]
        assert (await client.get("/v1/interactions?count=exact")).json()["page"]["total"] == 0

    async def test_an_unknown_customer_is_named(self, client):
        response = await client.post("/v1/interactions", json={**CALL, "customer_id": str(uuid4())})
        assert response.status_code == 404
        assert response.json()["errors"][0]["pointer"] == "/customer_id"


class TestList:
    async def test_filters(self, client):
        who, other = await customer(client), await customer(client, "李雷")
        staff = (await client.post("/v1/staff", json={"name": "李娜"})).json()["id"]
        first = await log(client, who, occurred_at="2026-11-01T00:00:00Z", staff_id=staff)
        second = await log(client, who, channel="visit", occurred_at="2026-11-02T00:00:00Z")
        third = await log(client, other, occurred_at="2026-11-03T00:00:00Z")

        async def ids(query):
            response = await client.get(f"/v1/interactions?{query}")
            assert response.status_code == 200, response.text
            return [row["id"] for row in response.json()["data"]]

        assert await ids("") == [third["id"], second["id"], first["id"]]
        assert await ids(f"customer_id={who}") == [second["id"], first["id"]]
        assert await ids("channel=visit") == [second["id"]]
        assert await ids(f"staff_id={staff}") == [first["id"]]
        span = "occurred_after=2026-11-02T00:00:00Z&occurred_before=2026-11-03T00:00:00Z"
        assert await ids(span) == [second["id"]]
        below = await client.get(f"/v1/customers/{other}/interactions")
        assert [row["id"] for row in below.json()["data"]] == [third["id"]]

    async def test_pages(self, client):
        who = await customer(client)
        for day in range(1, 6):
            await log(client, who, occurred_at=f"2026-11-0{day}T00:00:00Z")
        seen, query = [], "limit=2"
        while query:
            body = (await client.get(f"/v1/interactions?{query}")).json()
            seen += [row["occurred_at"][8:10] for row in body["data"]]
            query = f"limit=2&after={body['page']['next']}" if body["page"]["has_more"] else ""
        assert seen == ["05", "04", "03", "02", "01"]


class TestUpdate:
    async def test_changes_what_is_given(self, client):
        logged = await log(client, await customer(client), subject="旧", outcome="无")
        response = await client.patch(f"/v1/interactions/{logged['id']}", json={"subject": "新", "outcome": None})
        assert response.status_code == 200
        assert response.json() | {"updated_at": logged["updated_at"]} == {
            **logged,
            "subject": "新",
            "outcome": None,
            "version": 2,
        }

    async def test_an_older_version_is_refused(self, client):
        logged = await log(client, await customer(client))
        path = f"/v1/interactions/{logged['id']}"
        assert (await client.patch(path, json={"subject": "a"}, headers={"if-match": '"1"'})).status_code == 200
        assert (await client.patch(path, json={"subject": "b"}, headers={"if-match": '"1"'})).status_code == 412
        assert (await client.get(path)).json()["subject"] == "a"

    async def test_the_audit_row_tells_before_and_after(self, client):
        logged = await log(client, await customer(client))
        staff = [(await client.post("/v1/staff", json={"name": name})).json()["id"] for name in ("李娜", "王芳")]
        for each in staff:
            response = await client.patch(f"/v1/interactions/{logged['id']}", json={"staff_id": each})
            assert response.status_code == 200, response.text
        rows = (await client.get(f"/v1/audit-log?subject_id={logged['id']}&operation=interaction.update")).json()[
            "data"
        ]
        assert (rows[0]["before"], rows[0]["after"]) == ({"staff_id": staff[0]}, {"staff_id": staff[1]})

    @pytest.mark.parametrize("fields", [{"channel": None}, {"occurred_at": None}, {"customer_id": str(uuid4())}])
    async def test_what_must_stay_is_refused(self, client, fields):
        logged = await log(client, await customer(client))
        path = f"/v1/interactions/{logged['id']}"
        assert (await client.patch(path, json=fields)).status_code == 422
        assert (await client.get(path)).json() == logged


class TestIsolation:
    async def test_scopes(self, database, tenant):
        data = InteractionCreate(customer_id=uuid4(), channel="call", direction="inbound")
        async with database.read(tenant.actor_with("interactions:read")) as unit:
            with pytest.raises(Forbidden):
                await InteractionService(unit).log(data)

    async def test_another_merchant_sees_nothing(self, app, client, other_tenant):
        who = await customer(client)
        logged = await log(client, who)
        async with client_of(app, other_tenant.key) as stranger:
            path = f"/v1/interactions/{logged['id']}"
            assert (await stranger.get(path)).status_code == 404
            assert (await stranger.patch(path, json={"subject": "x"})).status_code == 404
            assert (await stranger.get("/v1/interactions")).json()["data"] == []
            response = await stranger.post("/v1/interactions", json={**CALL, "customer_id": who})
            assert response.status_code == 404
