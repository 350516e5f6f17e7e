"""Events over REST and GraphQL: what is stored, what is refused, what is known already."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from crm_api.core.ids import new_id
from tests.events.shop import customer, event, send

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def listed(client, **query):
    return (await client.get("/v1/events", params=query)).json()["data"]


class TestBatch:
    async def test_everything_sent_is_shown(self, client):
        given = event(
            type="page_view",
            session_id="s",
            sku="MILK",
            url="/p/MILK?x=1",
            dwell_ms=8_200,
            properties={"referrer": "微信", "deep": [1, {"a": None}]},
        )
        answer = await send(client, given)
        assert (answer.status_code, answer.json()) == (
            200,
            {"accepted": 1, "duplicates": 0, "rejected": 0, "results": []},
        )
        shown = (await client.get(f"/v1/events/{given['id']}")).json()
        assert {name: shown[name] for name in given if name not in {"id", "occurred_at"}} == {
            name: value for name, value in given.items() if name not in {"id", "occurred_at"}
        }
        assert shown["event_id"] == shown["id"] == given["id"]
        assert datetime.fromisoformat(shown["occurred_at"]) == datetime.fromisoformat(given["occurred_at"])
        assert shown["customer_id"] is None

    async def test_ids_may_be_any_text(self, client):
        await send(client, event(id="app-4711"))
        (shown,) = await listed(client)
        assert (shown["event_id"], shown["id"][14]) == ("app-4711", "8")
        assert (await send(client, event(id="app-4711"))).json()["duplicates"] == 1

    async def test_sending_again_stores_nothing(self, client):
        batch = [event() for _ in range(20)]
        await send(client, *batch)
        again = (await send(client, *batch, event())).json()
        assert (again["accepted"], again["duplicates"]) == (1, 20)

    async def test_first_time_of_an_id_stands(self, client):
        first = event()
        await send(client, first)
        moved = {**first, "occurred_at": (datetime.now(UTC) - timedelta(days=70)).isoformat()}
        assert (await send(client, moved)).json()["duplicates"] == 1
        assert (await send(client, {**first, "id": "x"}, {**moved, "id": "x"})).json()["duplicates"] == 1
        assert len(await listed(client)) == 2

    async def test_wrong_ones_are_refused_alone(self, client):
        good = event()
        wrong = {
            "x": 7,
            "missing": {"id": "m"},
            "id": event(id="a b"),
            "type": event(type="Page View"),
            "stranger": event(colour="red"),
            "naive": event(occurred_at="2026-11-11T00:00:00"),
            "ahead": event(occurred_at=(datetime.now(UTC) + timedelta(days=2)).isoformat()),
            "old": event(occurred_at=(datetime.now(UTC) - timedelta(days=401)).isoformat()),
            "nobody": event(device_id=None),
            "dwell": event(dwell_ms=-1),
            "properties": event(properties={"a": "x" * 5_000}),
            "names": event(properties={str(n): 1 for n in range(51)}),
            "both": event(customer={"customer_id": str(uuid4()), "platform": "a", "external_id": "b"}),
            "unknown": event(customer={"customer_id": str(uuid4())}),
            "nowhere": event(customer={"platform": "taobao", "external_id": "nobody"}),
        }
        answer = await send(client, *wrong.values(), good)
        body = answer.json()
        assert (answer.status_code, body["accepted"], body["rejected"]) == (207, 1, len(wrong))
        assert [each["index"] for each in body["results"]] == list(range(len(wrong)))
        found = {
            name: (each["errors"][0]["pointer"].removeprefix(f"/events/{each['index']}"), each["errors"][0]["code"])
            for name, each in zip(wrong, body["results"], strict=True)
        }
        assert found == {
            "x": ("", "wrong_type"),
            "missing": ("/type", "required"),
            "id": ("/id", "bad_format"),
            "type": ("/type", "bad_format"),
            "stranger": ("/colour", "unknown_field"),
            "naive": ("/occurred_at", "invalid_time"),
            "ahead": ("/occurred_at", "in_the_future"),
            "old": ("/occurred_at", "too_old"),
            "nobody": ("/device_id", "required"),
            "dwell": ("/dwell_ms", "out_of_range"),
            "properties": ("/properties", "too_long"),
            "names": ("/properties", "too_long"),
            "both": ("/customer", "one_of"),
            "unknown": ("/customer", "unknown_customer"),
            "nowhere": ("/customer", "unknown_customer"),
        }
        assert [each["event_id"] for each in await listed(client)] == [good["id"]]

    async def test_reasons_are_given_in_chinese(self, client):
        answer = await send(client, event(device_id=None), headers={"accept-language": "zh-CN"})
        assert answer.json()["results"][0]["errors"][0]["message"] == "请提供 device_id 或 customer"

    async def test_customers_are_named_by_id_or_identity(self, client):
        mine = await customer(client, identities=[{"platform": "taobao", "external_id": "tb_1"}])
        by_id = event(device_id=None, customer={"customer_id": mine})
        by_identity = event(device_id=None, customer={"platform": "taobao", "external_id": "tb_1"})
        assert (await send(client, by_id, by_identity)).json()["accepted"] == 2
        shown = (await client.get(f"/v1/customers/{mine}/events")).json()["data"]
        assert {each["event_id"] for each in shown} == {by_id["id"], by_identity["id"]}

    async def test_other_shops_customer_is_unknown(self, client, app, other_tenant, database):
        async with database.write(other_tenant.actor) as unit:
            theirs = new_id()
            await unit.connection.execute(
                "INSERT INTO customers (tenant_id, id, name) VALUES ($1, $2, 'x')", other_tenant.id, theirs
            )
        answer = (await send(client, event(customer={"customer_id": str(theirs)}))).json()
        assert answer["results"][0]["errors"][0]["code"] == "unknown_customer"

    async def test_one_batch_is_one_audit_row_and_one_message(self, client, tenant, database):
        mine = await customer(client)
        await send(client, *[event() for _ in range(9)], event(customer={"customer_id": mine}))
        log = (await client.get("/v1/audit-log", params={"order": "newest"})).json()["data"]
        assert log[0]["operation"] == "events.recorded"
        assert log[0]["after"] == {"accepted": 10, "duplicates": 0, "rejected": 0}
        async with database.system() as connection:
            told = await connection.fetch(
                "SELECT payload FROM outbox WHERE tenant_id = $1 AND type = 'events.recorded'", tenant.id
            )
        assert [each["payload"] for each in told] == [
            {"accepted": 10, "duplicates": 0, "rejected": 0, "customer_ids": [mine]}
        ]

    async def test_equal_batches_at_once_store_each_event_once(self, client):
        batch = [event() for _ in range(200)]
        answers = await asyncio.gather(*(send(client, *each) for each in (batch, batch[::-1], batch)))
        assert [each.status_code for each in answers] == [200] * 3
        assert sum(each.json()["accepted"] for each in answers) == 200
        page = (await client.get("/v1/events", params={"count": "exact"})).json()["page"]
        assert page["total"] == 200

    async def test_idempotency_key_gives_the_first_answer(self, client):
        batch = [event(), event(type="No")]
        first = await send(client, *batch, headers={"idempotency-key": "k"})
        again = await send(client, *batch, headers={"idempotency-key": "k"})
        assert (again.status_code, again.json()) == (207, first.json())
        assert again.headers["idempotency-replayed"] == "true"

    async def test_graphql_stores_too(self, client):
        mutation = (
            "mutation($e: [EventInput!]!) { eventIngest(input: {events: $e}) "
            "{ accepted duplicates rejected results { index id errors { pointer code } } userErrors { code path } } }"
        )
        now = datetime.now(UTC).isoformat()
        good = {"id": "g1", "type": "like", "occurredAt": now, "deviceId": "d", "properties": {"n": 1}}
        body = {"query": mutation, "variables": {"e": [good, {**good, "id": "g2", "type": "A B"}]}}
        done = (await client.post("/graphql", json=body)).json()["data"]["eventIngest"]
        assert (done["accepted"], done["rejected"], done["userErrors"]) == (1, 1, [])
        assert done["results"] == [
            {"index": 1, "id": "g2", "errors": [{"pointer": "/events/1/type", "code": "bad_format"}]}
        ]


class TestReading:
    async def test_lists_are_paged_and_filtered(self, client):
        now = datetime.now(UTC)
        sent = [event(occurred_at=(now - timedelta(hours=hours)).isoformat(), type="search") for hours in range(60)]
        await send(client, *sent[::-1], event(type="like"))
        first = (await client.get("/v1/events", params={"type": "search", "limit": 40})).json()
        second = (
            await client.get("/v1/events", params={"type": "search", "limit": 40, "after": first["page"]["next"]})
        ).json()
        assert [each["event_id"] for each in first["data"] + second["data"]] == [each["id"] for each in sent]
        between = {"occurred_after": sent[9]["occurred_at"], "occurred_before": sent[4]["occurred_at"]}
        assert [each["event_id"] for each in await listed(client, **between)] == [each["id"] for each in sent[5:10]]

    async def test_graphql_joins_customer_and_product(self, client):
        mine = await customer(client, name="李雷")
        await client.post("/v1/products", json={"sku": "MILK", "name": "奶粉"})
        await send(client, event(sku="MILK", customer={"customer_id": mine}))
        query = (
            "query($c: ID!) { customer(id: $c) { events(first: 1) "
            "{ nodes { type product { name } customer { name } } } } }"
        )
        body = {"query": query, "variables": {"c": f"Customer:{mine}"}}
        found = (await client.post("/graphql", json=body)).json()["data"]["customer"]["events"]["nodes"]
        assert found == [{"type": "search", "product": {"name": "奶粉"}, "customer": {"name": "李雷"}}]

    async def test_timeline_has_events(self, client):
        mine = await customer(client)
        sent = event(sku="MILK", customer={"customer_id": mine})
        await send(client, sent)
        entries = (await client.get(f"/v1/customers/{mine}/timeline", params={"kind": "event"})).json()["data"]
        assert [(each["id"], each["title"], each["data"]["sku"]) for each in entries] == [
            (sent["id"], "search", "MILK")
        ]

    async def test_rules_count_events_in_a_window(self, client):
        busy, idle, late = [await customer(client) for _ in range(3)]
        old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
        await send(client, *[event(type="cart_add", customer={"customer_id": busy}) for _ in range(3)])
        await send(client, *[event(type="like", customer={"customer_id": idle}) for _ in range(5)])
        await send(client, *[event(type="cart_add", occurred_at=old, customer={"customer_id": late}) for _ in range(3)])
        rule = {
            "aggregate": "count",
            "of": "events",
            "where": {"field": "type", "op": "eq", "value": "cart_add"},
            "window": {"last_days": 30},
            "op": "gte",
            "value": 3,
        }
        found = (await client.post("/v1/customers/search", json={"rule": rule})).json()["data"]
        assert [each["id"] for each in found] == [busy]


class TestInterests:
    async def test_what_was_bought_is_no_open_interest(self, client):
        mine = await customer(client)
        who = {"customer": {"customer_id": mine}}
        await client.post("/v1/products", json={"sku": "MILK", "name": "奶粉", "category": "母婴"})
        views = [event(type="page_view", sku=sku, dwell_ms=1_000, **who) for sku in ("MILK", "MILK", "TOY", "COT")]
        await send(client, *views, event(type="cart_add", sku="TOY", **who), event(type="search", **who))
        price = {"amount": 100, "currency": "CNY"}
        paid = {
            "customer_id": mine,
            "status": "paid",
            "total": price,
            "placed_at": datetime.now(UTC).isoformat(),
            "lines": [{"sku": "COT", "title": "cot", "unit_price": price}],
        }
        assert (await client.put("/v1/orders/taobao/1", json=paid)).is_success
        found = (await client.get(f"/v1/customers/{mine}/viewed-not-bought")).json()["data"]
        assert [(each["sku"], each["views"], each["cart_adds"], each["dwell_ms"]) for each in found] == [
            ("TOY", 2, 1, 1_000),
            ("MILK", 2, 0, 2_000),
        ]
        assert (found[1]["name"], found[1]["category"]) == ("奶粉", "母婴")
        body = {
            "query": "query($c: ID!) { customerViewedNotBought(input: {id: $c, limit: 1}) { products { sku views } } }",
            "variables": {"c": f"Customer:{mine}"},
        }
        planned = (await client.post("/graphql", json=body)).json()["data"]["customerViewedNotBought"]["products"]
        assert planned == [{"sku": "TOY", "views": 2}]
