"""The timeline: one feed over many domains."""

import random
from uuid import uuid4

import asyncpg
import orjson
import pytest

from crm_api import admin
from crm_api.core.errors import NotFound
from crm_api.core.paging import PageRequest
from crm_api.db import timeline
from crm_api.db.compile import compile_statement
from crm_api.interactions.service import InteractionService
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def post(client, path, **body):
    response = await client.post(path, json=body)
    assert response.status_code in (200, 201), response.text
    return response.json()


async def customer(client, name="王小明"):
    return (await post(client, "/v1/customers", name=name))["id"]


async def log(client, who, day, hour=0):
    return await post(
        client,
        "/v1/interactions",
        customer_id=who,
        channel="call",
        direction="inbound",
        subject=f"{day}",
        occurred_at=f"2026-01-{day:02}T{hour:02}:00:00Z",
    )


async def order(client, who, day, external_id):
    response = await client.put(
        f"/v1/orders/taobao/{external_id}",
        json={
            "customer_id": who,
            "status": "paid",
            "total": {"amount": 1999, "currency": "CNY"},
            "placed_at": f"2026-01-{day:02}T12:00:00Z",
        },
    )
    assert response.status_code in (200, 201), response.text
    return response.json()


async def complain(client, who, day, **fields):
    return await post(
        client,
        "/v1/complaints",
        customer_id=who,
        channel="wechat",
        subject="虾已变质",
        received_at=f"2026-01-{day:02}T06:00:00Z",
        **fields,
    )


async def feed(client, who, query=""):
    response = await client.get(f"/v1/customers/{who}/timeline?{query}")
    assert response.status_code == 200, response.text
    return response.json()


class TestFeed:
    async def test_holds_everything_newest_first(self, client):
        who = await customer(client)
        first = await log(client, who, 1)
        bought = await order(client, who, 2, "tb-1")
        case = await complain(client, who, 3, order_id=bought["id"])
        last = await log(client, who, 4)
        await post(client, f"/v1/complaints/{case['id']}/transitions", to="acknowledged", note="已联系")
        body = await feed(client, who)
        assert [entry["kind"] for entry in body["data"]] == [
            "complaint_event",
            "customer_created",
            "interaction",
            "complaint",
            "order",
            "interaction",
        ]
        event, created, newest, opened, paid, oldest = body["data"]
        assert event["data"]["complaint_id"] == case["id"]
        assert (event["data"]["from_state"], event["data"]["to_state"]) == ("received", "acknowledged")
        assert (created["id"], created["title"]) == (who, "王小明")
        assert (newest["id"], oldest["id"]) == (last["id"], first["id"])
        assert oldest["at"] == "2026-01-01T00:00:00+00:00"
        assert opened["data"]["order_id"] == bought["id"]
        assert paid["id"] == bought["id"]
        assert paid["data"]["total"] == {"amount": 1999, "currency": "CNY"}
        assert body["page"] == {"next": None, "previous": None, "has_more": False}

    async def test_a_refund_shows(self, client):
        who = await customer(client)
        bought = await order(client, who, 2, "tb-1")
        response = await client.post(
            f"/v1/orders/{bought['id']}/refunds",
            json={
                "external_id": "r-1",
                "amount": {"amount": 500, "currency": "CNY"},
                "refunded_at": "2026-01-05T00:00:00Z",
            },
        )
        assert response.status_code in (200, 201), response.text
        (entry,) = (await feed(client, who, "kind=refund"))["data"]
        assert entry["data"]["amount"] == {"amount": 500, "currency": "CNY"}
        assert entry["data"]["order_id"] == bought["id"]

    async def test_pages_meet_without_gap_in_both_directions(self, client):
        who = await customer(client)
        days = random.Random(7).sample(range(1, 28), 9)
        for number, day in enumerate(days):
            # Equal instants across and within sources: the id decides.
            await log(client, who, day, hour=12)
            await order(client, who, day, f"tb-{number}")
        await log(client, who, days[0], hour=12)
        whole = (await feed(client, who, "limit=200"))["data"]
        assert [entry["at"] for entry in whole] == sorted((entry["at"] for entry in whole), reverse=True)
        assert len(whole) == 20
        for size in (1, 3, 7, 20):
            forward, page = [], {"has_more": True, "next": ""}
            while page["has_more"]:
                after = f"&after={page['next']}" if page["next"] else ""
                body = await feed(client, who, f"limit={size}{after}")
                forward, page = forward + body["data"], body["page"]
            assert forward == whole
            backward, newest = body["data"], body["page"]["previous"]
            while newest:
                body = await feed(client, who, f"limit={size}&before={newest}")
                backward, newest = body["data"] + backward, body["page"]["previous"]
            assert backward == whole

    async def test_count_is_of_all(self, client):
        who = await customer(client)
        await log(client, who, 1)
        await complain(client, who, 2)
        body = await feed(client, who, "limit=1&count=exact")
        assert body["page"]["total"] == 3
        assert len(body["data"]) == 1

    async def test_kinds_can_be_chosen(self, client):
        who = await customer(client)
        await log(client, who, 1)
        await order(client, who, 2, "tb-1")
        assert [e["kind"] for e in (await feed(client, who, "kind=order"))["data"]] == ["order"]
        both = await feed(client, who, "kind=order&kind=interaction")
        assert [e["kind"] for e in both["data"]] == ["order", "interaction"]

    async def test_is_one_statement(self, client, database, tenant):
        who = await customer(client)
        await log(client, who, 1)
        async with database.read(tenant.actor) as unit:
            sent = []
            fetch_all = unit.fetch_all

            async def counting(statement, params=None):
                sent.append(statement)
                return await fetch_all(statement, params)

            unit.fetch_all = counting
            found = await InteractionService(unit).timeline(who, PageRequest(limit=5, count=True))
        assert (len(sent), len(found.entries), found.total) == (1, 2, 2)

    async def test_a_kind_has_one_source(self):
        source = next(iter(timeline._SOURCES.values()))
        with pytest.raises(ValueError, match="twice"):
            timeline.register(source)


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("kind=dreams", "/query/kind"),
            ("after=nonsense", "/after"),
            ("limit=0", "/query/limit"),
            ("limit=201", "/query/limit"),
            ("count=maybe", "/query/count"),
            ("colour=red", "/query/colour"),
        ],
    )
    async def test_a_bad_parameter_is_named(self, client, query, pointer):
        who = await customer(client)
        response = await client.get(f"/v1/customers/{who}/timeline?{query}")
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"].removeprefix("/query") == pointer.removeprefix("/query")

    async def test_another_lists_cursor_is_refused(self, client):
        who = await customer(client)
        for day in (1, 2):
            await log(client, who, day)
        cursor = (await client.get("/v1/interactions?limit=1")).json()["page"]["next"]
        assert (await client.get(f"/v1/customers/{who}/timeline?after={cursor}")).status_code == 422

    async def test_nobody_has_no_timeline(self, app, client, other_tenant):
        who = await customer(client)
        assert (await client.get(f"/v1/customers/{uuid4()}/timeline")).status_code == 404
        async with client_of(app, other_tenant.key) as stranger:
            assert (await stranger.get(f"/v1/customers/{who}/timeline")).status_code == 404
        await client.delete(f"/v1/customers/{who}")
        assert (await client.get(f"/v1/customers/{who}/timeline")).status_code == 404

    async def test_kinds_without_scope_are_left_out(self, app, client, settings, tenant):
        who = await customer(client)
        await log(client, who, 1)
        await complain(client, who, 2)
        scopes = frozenset({"customers:read", "interactions:read"})
        narrow = await admin.create_key(settings, tenant.id, scopes)
        async with client_of(app, narrow.api_key) as reader:
            body = await feed(reader, who, "count=exact")
            assert [entry["kind"] for entry in body["data"]] == ["customer_created", "interaction"]
            assert body["page"]["total"] == 2
            assert (await feed(reader, who, "kind=complaint"))["data"] == []
        blind = await admin.create_key(settings, tenant.id, frozenset({"interactions:read"}))
        async with client_of(app, blind.api_key) as reader:
            assert (await reader.get(f"/v1/customers/{who}/timeline")).status_code == 403

    async def test_the_service_says_not_found(self, database, tenant):
        async with database.read(tenant.actor) as unit:
            with pytest.raises(NotFound):
                await InteractionService(unit).timeline(uuid4(), PageRequest(), only=["complaint"])


class TestCost:
    async def test_a_page_of_a_long_history_reads_little(self, client, database, tenant, settings):
        who = await customer(client)
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute(
                "INSERT INTO interactions (tenant_id, id, customer_id, channel, direction, occurred_at) "
                "SELECT $1, gen_random_uuid(), $2, 'call', 'inbound', now() - n * interval '1 hour' "
                "FROM generate_series(1, 20000) AS n",
                tenant.id,
                who,
            )
            await unit.connection.execute(
                "INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, "
                "currency, placed_at) SELECT $1, gen_random_uuid(), $2, 'taobao', n::text, 'paid', 'paid', 'CNY', "
                "now() - n * interval '1 hour' FROM generate_series(1, 20000) AS n",
                tenant.id,
                who,
            )
        owner = await asyncpg.connect(settings.database_url)
        await owner.execute("ANALYZE interactions; ANALYZE orders; ANALYZE refunds; ANALYZE complaint_events")
        await owner.close()
        first = await feed(client, who, "limit=50")
        async with database.read(tenant.actor) as unit:
            plans = []
            fetch_all = unit.fetch_all

            async def explaining(statement, params=None):
                sql, values = compile_statement(statement, params)
                plans.append(await unit.connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *values))
                return await fetch_all(statement, params)

            unit.fetch_all = explaining
            await InteractionService(unit).timeline(who, PageRequest(limit=50, after=first["page"]["next"]))
        assert max(rows_of(orjson.loads(plans[0])[0]["Plan"])) <= 102


def rows_of(node):
    yield node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    for child in node.get("Plans", ()):
        yield from rows_of(child)
