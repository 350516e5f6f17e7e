"""Segments by rule: preview, membership, log; search by rule."""

import asyncio

import pytest

from crm_api.segments import jobs
from crm_api.worker.relay import Relay

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

VIP = {"field": "tags", "op": "contains", "value": "vip"}


async def customer(client, name, **fields):
    response = await client.post("/v1/customers", json={"name": name, **fields})
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def order(client, customer_id, number, amount=1000, status="paid", placed_at="2026-11-01T00:00:00+00:00"):
    body = {
        "customer_id": customer_id,
        "status": status,
        "total": {"amount": amount, "currency": "CNY"},
        "placed_at": placed_at,
    }
    response = await client.put(f"/v1/orders/till/{number}", json=body)
    assert response.status_code in {200, 201}, response.text


async def segment(client, database, tenant, rule, name="s"):
    response = await client.post("/v1/segments", json={"name": name, "rule": rule})
    assert response.status_code == 201, response.text
    made = response.json()
    assert made["state"] == "compiling"
    await jobs.evaluate(database, {"tenant_id": str(tenant.id), "segment_id": made["id"]})
    return made["id"]


async def members(client, segment_id):
    page = (await client.get(f"/v1/segments/{segment_id}/members?limit=200&count=exact")).json()
    stored = (await client.get(f"/v1/segments/{segment_id}")).json()
    assert stored["size"] == page["page"]["total"] == len(page["data"])
    return sorted(each["name"] for each in page["data"])


async def settle(client, database, segment_id, wanted):
    relay = Relay(database, jobs.SUBSCRIBERS[0])
    for _ in range(1500):
        await relay.step()
        if await members(client, segment_id) == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(await members(client, segment_id))


class TestRules:
    async def test_preview_equals_search_equals_members(self, client, database, tenant):
        for number in range(5):
            buyer = await customer(client, f"c{number}", city="上海" if number % 2 else "北京")
            for each in range(number):
                await order(client, buyer, f"{number}-{each}", amount=1000 * (each + 1))
        rule = {
            "all": [
                {"aggregate": "count", "of": "orders", "op": "gte", "value": 2},
                {"not": {"field": "city", "op": "eq", "value": "上海"}},
            ]
        }
        preview = (await client.post("/v1/segments/preview", json={"rule": rule})).json()
        assert (preview["count"], [each["name"] for each in preview["sample"]]) == (2, ["c4", "c2"])
        found = (await client.post("/v1/customers/search", json={"rule": rule, "count": "exact", "limit": 1})).json()
        assert (found["page"]["total"], found["data"][0]["name"], found["page"]["has_more"]) == (2, "c4", True)
        following = {"rule": rule, "limit": 1, "after": found["page"]["next"], "fields": ["name"]}
        rest = (await client.post("/v1/customers/search", json=following)).json()
        assert rest["data"] == [{"name": "c2"}]
        segment_id = await segment(client, database, tenant, rule)
        assert await members(client, segment_id) == ["c2", "c4"]

    async def test_bad_rules_name_the_node_everywhere(self, client):
        for rule, pointer in (
            ({"field": "nope", "op": "eq", "value": 1}, "/rule/field"),
            ({"all": [{"field": "city", "op": "gt", "value": "x"}]}, "/rule/all/0/op"),
            ({"field": "order_count", "op": "eq", "value": "many"}, "/rule/value"),
            ({"aggregate": "sum", "of": "orders", "op": "gt", "value": 1}, "/rule/of"),
            ({"all": {}}, "/rule/all"),
            ({}, "/rule"),
            ([], "/rule"),
            ("x", "/rule"),
            (None, "/rule"),
        ):
            for path, body in (
                ("/v1/segments/preview", {"rule": rule}),
                ("/v1/customers/search", {"rule": rule}),
                ("/v1/segments", {"rule": rule, "name": "s"}),
            ):
                response = await client.post(path, json=body)
                assert response.status_code == 422, response.text
                assert response.json()["errors"][0]["pointer"].startswith(pointer), (rule, path)
        assert (await client.get("/v1/segments")).json()["data"] == []


class TestUpkeep:
    async def test_members_follow_tags_and_the_log_tells(self, client, database, tenant):
        one = await customer(client, "one", tags=["vip"])
        two = await customer(client, "two")
        segment_id = await segment(client, database, tenant, VIP)
        assert await members(client, segment_id) == ["one"]
        await client.put(f"/v1/customers/{two}/tags/vip")
        await settle(client, database, segment_id, ["one", "two"])
        await client.delete(f"/v1/customers/{one}/tags/vip")
        await settle(client, database, segment_id, ["two"])
        log = (await client.get(f"/v1/segments/{segment_id}/log")).json()["data"][::-1]
        assert [(each["customer_id"], each["change"], each["cause"]) for each in log] == [
            (one, "enter", "rule"),
            (two, "enter", "event"),
            (one, "leave", "event"),
        ]

    async def test_orders_and_refunds_move_customers(self, client, database, tenant):
        buyer = await customer(client, "buyer")
        rule = {"field": "net_spend", "op": "gte", "value": {"amount": 5000, "currency": "CNY"}}
        segment_id = await segment(client, database, tenant, rule)
        await order(client, buyer, "1", amount=6000)
        await settle(client, database, segment_id, ["buyer"])
        order_id = (await client.get("/v1/orders/till/1")).json()["id"]
        refund = {"amount": {"amount": 2000, "currency": "CNY"}, "external_id": "r1"}
        assert (await client.post(f"/v1/orders/{order_id}/refunds", json=refund)).status_code == 201
        await settle(client, database, segment_id, [])

    async def test_deleted_customers_leave(self, client, database, tenant):
        gone = await customer(client, "gone", tags=["vip"])
        segment_id = await segment(client, database, tenant, VIP)
        await client.delete(f"/v1/customers/{gone}")
        await settle(client, database, segment_id, [])

    async def test_exactly_one_message_per_transition(self, client, database, tenant):
        one = await customer(client, "one", tags=["vip"])
        segment_id = await segment(client, database, tenant, VIP)
        for _ in range(3):
            await jobs.evaluate(database, {"tenant_id": str(tenant.id), "segment_id": segment_id})
        async with database.read(tenant.actor) as unit:
            rows = await unit.connection.fetch(
                "SELECT type, subject_id::text, payload, id::text FROM outbox"
                " WHERE tenant_id = $1 AND type IN ('segment.entered', 'segment.left')",
                tenant.id,
            )
        told = {"segment_id": segment_id, "sequence": 1, "cause": "rule", "cause_id": None}
        (entry,) = (await client.get(f"/v1/segments/{segment_id}/log")).json()["data"]
        assert [tuple(row) for row in rows] == [("segment.entered", one, told, entry["id"])]

    async def test_a_new_rule_evaluates_everybody(self, client, database, tenant):
        await customer(client, "one", tags=["vip"])
        await customer(client, "two", tags=["new"])
        segment_id = await segment(client, database, tenant, VIP)
        changed = await client.patch(
            f"/v1/segments/{segment_id}", json={"rule": {"field": "tags", "op": "contains", "value": "new"}}
        )
        assert changed.json()["state"] == "compiling"
        await jobs.evaluate(database, {"tenant_id": str(tenant.id), "segment_id": segment_id})
        assert await members(client, segment_id) == ["two"]

    async def test_parallel_evaluations_agree(self, client, database, tenant):
        for number in range(20):
            await customer(client, f"c{number:02}", tags=["vip"])
        segment_id = await segment(client, database, tenant, {"not": VIP})
        assert await members(client, segment_id) == []
        await client.patch(f"/v1/segments/{segment_id}", json={"rule": VIP})
        payload = {"tenant_id": str(tenant.id), "segment_id": segment_id}
        await asyncio.gather(*(jobs.evaluate(database, payload) for _ in range(4)))
        assert len(await members(client, segment_id)) == 20
        log = (await client.get(f"/v1/segments/{segment_id}/log?count=exact")).json()
        assert log["page"]["total"] == 20
