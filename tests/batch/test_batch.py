"""Batches: all or none, or each by itself, with results that name the caller's items."""

from uuid import uuid4

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

CUSTOMERS, ORDERS, INTERACTIONS = "/v1/customers/batch", "/v1/orders/batch", "/v1/interactions/batch"


def order(external_id, **more):
    return {
        "platform": "taobao",
        "external_id": external_id,
        "customer": {"external_id": "tb_1", "name": "王"},
        "status": "paid",
        "total": {"amount": 100, "currency": "CNY"},
        "placed_at": "2026-05-01T00:00:00Z",
        **more,
    }


async def send(client, path, items, status, mode="per_item", **headers):
    answer = await client.post(path, json={"mode": mode, "items": items}, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def count(client, path):
    return (await client.get(f"{path}?count=exact&limit=1")).json()["page"]["total"]


def told(body):
    return [(each["ref"], each["status"], each["verdict"], each["code"]) for each in body["results"]]


class TestPerItem:
    async def test_wrong_items_fail_alone(self, client):
        taken = {"platform": "taobao", "external_id": "taken"}
        await client.post("/v1/customers", json={"name": "first", "identities": [taken]})
        items = [
            {"ref": "a", "name": "王小明", "tags": ["vip"]},
            {"ref": "b", "name": "", "gender": "x"},
            {"ref": "c", "name": "李雷", "identities": [taken]},
            {"ref": "d", "name": "韩梅梅", "owner_id": str(uuid4())},
            {"ref": "e", "name": "赵", "attributes": {"nope": 1}},
            "f",
            {"name": "钱"},
        ]
        body = await send(client, CUSTOMERS, items, 207)
        assert told(body) == [
            ("a", 201, "created", None),
            ("b", 422, "failed", "invalid"),
            ("c", 409, "failed", "duplicate"),
            ("d", 422, "failed", "invalid"),
            ("e", 422, "failed", "invalid"),
            (None, 422, "failed", "invalid"),
            (None, 201, "created", None),
        ]
        pointers = [[error["pointer"] for error in each["errors"]] for each in body["results"]]
        assert pointers[1] == ["/items/1/name", "/items/1/gender"] or pointers[1] == [
            "/items/1/gender",
            "/items/1/name",
        ]
        assert pointers[2][0].startswith("/items/2/identities")
        assert pointers[3:6] == [["/items/3/owner_id"], ["/items/4/attributes/nope"], ["/items/5"]]
        assert (body["succeeded"], body["failed"]) == (2, 5)
        shown = (await client.get(f"/v1/customers/{body['results'][0]['id']}")).json()
        assert (shown["name"], shown["tags"]) == ("王小明", ["vip"])
        assert await count(client, "/v1/customers") == 3

    async def test_what_failed_leaves_no_trace(self, client):
        items = [{"name": "x", "owner_id": str(uuid4())}, {"name": "y"}]
        await send(client, CUSTOMERS, items, 207)
        log = (await client.get("/v1/audit-log")).json()["data"]
        assert [each["operation"] for each in log].count("customer.created") == 1

    async def test_orders_tell_their_verdicts(self, client):
        versions = [order("T1", platform_version=2), order("T1", platform_version=1), order("T2", status="eaten")]
        body = await send(client, ORDERS, versions, 207)
        assert [each["verdict"] for each in body["results"]] == ["created", "stale", "failed"]
        assert body["results"][2]["errors"][0]["pointer"] == "/items/2/status"
        again = await send(client, ORDERS, versions[:1], 207)
        assert told(again) == [(None, 200, "unchanged", None)]

    async def test_interactions(self, client):
        customer = (await client.post("/v1/customers", json={"name": "x"})).json()["id"]
        call = {"customer_id": customer, "channel": "call", "direction": "inbound"}
        body = await send(client, INTERACTIONS, [call, {**call, "customer_id": str(uuid4())}], 207)
        assert [each["status"] for each in body["results"]] == [201, 404]
        assert body["results"][1]["errors"][0] == {
            "pointer": "/items/1/customer_id",
            "code": "unknown_customer",
            "message": "There is no such customer",
        }

    async def test_chinese_callers_read_chinese(self, client):
        body = await send(client, CUSTOMERS, [{}], 207, **{"accept-language": "zh"})
        assert body["results"][0]["errors"][0]["message"] == "缺少必填字段"


class TestAllOrNone:
    async def test_all_are_written(self, client):
        body = await send(client, CUSTOMERS, [{"name": str(n), "ref": str(n)} for n in range(3)], 200, "all_or_none")
        assert [each["ref"] for each in body["results"]] == ["0", "1", "2"]

    async def test_every_invalid_item_is_named_and_nothing_is_written(self, client):
        items = [{"name": "good"}, {"name": ""}, {"nmae": "x"}]
        body = await send(client, CUSTOMERS, items, 422, "all_or_none")
        assert {each["pointer"] for each in body["errors"]} == {"/items/1/name", "/items/2/name", "/items/2/nmae"}
        assert await count(client, "/v1/customers") == 0

    async def test_what_the_single_call_refuses_refuses_all(self, client):
        taken = {"platform": "taobao", "external_id": "taken"}
        items = [{"name": "a", "identities": [taken]}, {"name": "b", "identities": [taken]}]
        body = await send(client, CUSTOMERS, items, 409, "all_or_none")
        assert body["errors"][0]["pointer"].startswith("/items/1/identities")
        assert await count(client, "/v1/customers") == 0
        # The error is a constant that single calls share: it must not have learned the item's place.
        await client.post("/v1/customers", json=items[0])
        single = await client.post("/v1/customers", json=items[0])
        assert single.json()["errors"][0]["pointer"].startswith("/identities")


async def test_a_batch_sent_again_does_nothing_more(client):
    items = [{"name": "a"}, {"name": ""}]
    first = await send(client, CUSTOMERS, items, 207, **{"idempotency-key": "k"})
    assert await send(client, CUSTOMERS, items, 207, **{"idempotency-key": "k"}) == first
    assert await count(client, "/v1/customers") == 1


async def test_sizes(client):
    body = await send(client, CUSTOMERS, [{"name": str(n)} for n in range(1000)], 207)
    assert body["succeeded"] == 1000
    assert await count(client, "/v1/customers") == 1000
    for items in ([], [{"name": "x"}] * 1001):
        refused = await send(client, CUSTOMERS, items, 422)
        assert refused["errors"][0]["pointer"] == "/items"


async def test_graphql(client):
    query = """
    mutation ($items: [CustomerBatchItemInput!]!) {
      customerBatch(input: {mode: PER_ITEM, items: $items}) {
        succeeded failed results { index ref status verdict id errors { pointer code } } userErrors { code path }
      }
    }
    """
    items = [{"name": "王", "ref": "a", "gender": "FEMALE"}, {"name": "", "ref": "b"}]
    answer = (await client.post("/graphql", json={"query": query, "variables": {"items": items}})).json()
    assert "errors" not in answer, answer
    body = answer["data"]["customerBatch"]
    assert (body["succeeded"], body["failed"], body["userErrors"]) == (1, 1, [])
    assert [(each["ref"], each["verdict"]) for each in body["results"]] == [("a", "CREATED"), ("b", "FAILED")]
    assert body["results"][1]["errors"] == [{"pointer": "/items/1/name", "code": "too_short"}]
    strict = query.replace("PER_ITEM", "ALL_OR_NONE")
    refused = (await client.post("/graphql", json={"query": strict, "variables": {"items": items}})).json()
    assert refused["data"]["customerBatch"]["userErrors"] == [
        {"code": "too_short", "path": ["input", "items", "1", "name"]}
    ]
    for name, kind in (("orderBatch", "OrderBatchItemInput"), ("interactionBatch", "InteractionBatchItemInput")):
        other = query.replace("customerBatch", name).replace("CustomerBatchItemInput", kind)
        empty = (await client.post("/graphql", json={"query": other, "variables": {"items": []}})).json()
        assert empty["data"][name]["userErrors"][0]["code"] == "too_few"
