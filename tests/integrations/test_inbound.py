"""Inbound webhooks from the wire to the order."""

import asyncio
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from crm_api import admin
from crm_api.integrations.jobs import SUBSCRIBERS
from crm_api.integrations.signatures import BadSignature, verify
from crm_api.worker.relay import Relay
from tests.integrations import payloads
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

VECTORS = Path(__file__).parents[3] / "shared/webhooks/vectors.json"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def add_source(client, platform="shopify", secret=payloads.SECRET):
    response = await client.post("/v1/sources", json={"name": "shop", "platform": platform, "secret": secret})
    assert response.status_code == 201, response.text
    return response.json()


async def post(client, source, payload, topic="orders/paid", webhook_id=None, **kwargs):
    body, headers = payloads.shopify(payload, topic, webhook_id or str(uuid4()), **kwargs)
    return await client.post(source["inbound_path"], content=body, headers={**headers, "authorization": ""})


async def processed(client, database, count):
    """Relay until that many deliveries have been looked at; return them oldest first."""
    relay = Relay(database, SUBSCRIBERS[0])
    for _ in range(1500):
        await relay.step()
        page = (await client.get("/v1/inbound-deliveries?limit=200")).json()["data"]
        if sum(each["state"] != "received" for each in page) >= count:
            return page[::-1]
        await asyncio.sleep(0.02)
    raise AssertionError("not processed")


async def shopify_orders(client):
    return (await client.get("/v1/orders?platform=shopify")).json()["data"]


class TestSources:
    async def test_platform_and_secret_are_enough(self, client):
        response = await client.post("/v1/sources", json={"platform": "shopify", "secret": payloads.SECRET})
        assert (response.status_code, response.json()["name"]) == (201, "Shopify")


class TestSignatures:
    @pytest.mark.skipif(not VECTORS.exists(), reason="the shared vectors are not here")
    async def test_known_vectors(self):
        tried = 0
        for vector in json.loads(VECTORS.read_text()):
            if vector["platform"] != "shopify":
                continue
            body = (
                (VECTORS.parent / vector["body_file"]).read_bytes()
                if "body_file" in vector
                else vector["body"].encode()
            )
            headers = {"x-shopify-hmac-sha256": vector["signature"]}
            verify("shopify", vector["secret"], headers, body)
            with pytest.raises(BadSignature):
                verify("shopify", vector["secret"], headers, body + b" ")
            tried += 1
        assert tried >= 2

    async def test_standard_webhooks(self):
        body = b'{"type":"x"}'
        now = datetime.now(UTC)
        signature = Webhook(STANDARD_SECRET).sign("msg_1", now, body.decode())
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        verify("standard", STANDARD_SECRET, headers, body)
        for changed in (
            {**headers, "webhook-id": "msg_2"},
            {**headers, "webhook-timestamp": str(int(now.timestamp()) - 3600)},
            {**headers, "webhook-signature": "v1,AAAA"},
            {},
        ):
            with pytest.raises(BadSignature):
                verify("standard", STANDARD_SECRET, changed, body)


class TestReceive:
    async def test_what_the_database_cannot_hold_is_noted_and_stops_nothing(self, client, database):
        source = await add_source(client)
        await post(client, source, {"id": "9\0"}, "customers/create")
        await post(client, source, {"id": "9", "first_name": "Li"}, "customers/create")
        states = [each["state"] for each in await processed(client, database, 2)]
        assert states == ["failed", "processed"]

    async def test_an_order_becomes_an_order(self, client, database):
        source = await add_source(client)
        response = await post(client, source, payloads.order())
        assert response.status_code == 200
        assert response.json()["duplicate"] is False
        [delivery] = await processed(client, database, 1)
        assert (delivery["state"], delivery["topic"], delivery["result"]["verdict"]) == (
            "processed",
            "orders/paid",
            "created",
        )
        [order] = await shopify_orders(client)
        assert (order["external_id"], order["status"]) == ("5001", "paid")
        assert order["total"] == {"amount": 25900, "currency": "CNY"}
        assert [(line["title"], line["quantity"], line["amount"]["amount"]) for line in order["lines"]] == [
            ("青岛大虾 500g", 2, 19900),
            ("礼盒", 1, 5000),
        ]
        customer = (await client.get(f"/v1/customers/{order['customer_id']}")).json()
        assert customer["name"] == "雷 李"
        assert {point["value"] for point in customer["contact_points"]} == {"li@example.com", "+8613912345678"}

    async def test_repeats_are_one(self, client, database):
        source = await add_source(client)
        answers = [(await post(client, source, payloads.order(), webhook_id="w1")).json() for _ in range(3)]
        assert [each["duplicate"] for each in answers] == [False, True, True]
        [delivery] = await processed(client, database, 1)
        assert delivery["repeats"] == 2
        assert len(await shopify_orders(client)) == 1

    @pytest.mark.parametrize("how", ["wrong secret", "no signature", "another body"])
    async def test_bad_signature_changes_nothing(self, client, how):
        source = await add_source(client)
        body, headers = payloads.shopify(payloads.order(), "orders/paid", "w1")
        if how == "wrong secret":
            body, headers = payloads.shopify(payloads.order(), "orders/paid", "w1", secret="another secret")
        elif how == "no signature":
            del headers["x-shopify-hmac-sha256"]
        else:
            body += b"\n"
        response = await client.post(source["inbound_path"], content=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "bad_signature")
        assert (await client.get("/v1/inbound-deliveries")).json()["data"] == []

    async def test_unknown_and_inactive_sources_look_the_same(self, client):
        source = await add_source(client)
        await client.patch(f"/v1/sources/{source['id']}", json={"active": False})
        inactive = await post(client, source, payloads.order())
        unknown = await post(client, {"inbound_path": f"/v1/inbound/{uuid4()}"}, payloads.order())
        assert inactive.status_code == unknown.status_code == 404
        assert inactive.json()["code"] == unknown.json()["code"]

    async def test_the_secret_is_never_shown(self, client):
        source = await add_source(client)
        await client.patch(f"/v1/sources/{source['id']}", json={"secret": "shpss_rotated_once"})
        shown = json.dumps(
            [source, (await client.get("/v1/sources")).json(), (await client.get("/v1/audit-log")).json()]
        )
        assert payloads.SECRET not in shown
        assert "shpss_rotated_once" not in shown
        assert (await post(client, source, payloads.order())).status_code == 401
        assert (await post(client, source, payloads.order(), secret="shpss_rotated_once")).status_code == 200

    async def test_needs_a_scope_to_see(self, app, settings, tenant, client):
        key = await admin.create_key(settings, tenant.id, frozenset({"customers:read"}))
        async with client_of(app, key.api_key) as weak:
            assert (await weak.get("/v1/sources")).status_code == 403
            response = await weak.post("/v1/sources", json={"name": "s", "platform": "shopify", "secret": "12345678"})
            assert response.status_code == 403


class TestConvergence:
    @pytest.mark.parametrize("seed", range(6))
    async def test_any_order_of_messages_ends_the_same(self, client, database, seed):
        """Placed, paid, shipped, refunded; shuffled, some twice: the order is as Shopify has it last."""
        source = await add_source(client)
        messages = [
            (payloads.order(financial_status="pending", updated_at="2026-11-01T10:01:00+08:00"), "orders/create"),
            (payloads.order(updated_at="2026-11-01T10:05:00+08:00"), "orders/paid"),
            (payloads.order(fulfillment_status="fulfilled", updated_at="2026-11-01T12:00:00+08:00"), "orders/updated"),
            (
                payloads.order(
                    fulfillment_status="fulfilled",
                    financial_status="partially_refunded",
                    refunds=[payloads.refund()],
                    updated_at="2026-11-02T10:00:01+08:00",
                ),
                "orders/updated",
            ),
        ]
        shuffled = messages + messages[:2]
        random.Random(seed).shuffle(shuffled)
        for payload, topic in shuffled:
            assert (await post(client, source, payload, topic)).status_code == 200
        await processed(client, database, len(shuffled))
        [order] = await shopify_orders(client)
        assert (order["status"], order["paid"]["amount"], order["refunded"]["amount"]) == ("shipped", 25900, 6000)
        assert order["platform_updated_at"] == "2026-11-02T02:00:01+00:00"
        assert [line["refunded_quantity"] for line in order["lines"]] == [0, 1]

    async def test_a_refund_before_its_order_waits(self, client, database):
        source = await add_source(client)
        await post(client, source, payloads.refund(), "refunds/create")
        [delivery] = await processed(client, database, 1)
        assert (delivery["state"], delivery["error"]) == ("failed", "order 5001 has not arrived yet")
        await post(client, source, payloads.order())
        await processed(client, database, 2)
        replayed = await client.post(f"/v1/inbound-deliveries/{delivery['id']}/replay")
        assert replayed.json()["state"] == "received"
        deliveries = await processed(client, database, 2)
        assert [each["state"] for each in deliveries] == ["processed", "processed"]
        [order] = await shopify_orders(client)
        assert order["refunded"] == {"amount": 6000, "currency": "CNY"}


class TestCustomers:
    async def test_a_known_customer_learns(self, client, database):
        source = await add_source(client)
        await post(client, source, {"id": 9001}, "customers/create")
        await post(client, source, {"id": 9001, "first_name": "雷", "email": "li@example.com"}, "customers/update")
        await post(client, source, {"id": 9001, "first_name": "Lei", "email": "li@example.com"}, "customers/update")
        results = [each["result"]["verdict"] for each in await processed(client, database, 3)]
        assert results == ["created", "updated", "unchanged"]
        [customer] = (await client.get("/v1/customers")).json()["data"]
        assert customer["name"] == "雷"
        assert [each["value"] for each in customer["contact_points"]] == ["li@example.com"]


class TestFailures:
    @pytest.mark.parametrize(
        ("payload", "error"),
        [
            ([1, 2], "the body is not a JSON object"),
            ({"id": 1}, "/currency: Field required"),
            (payloads.order(total_price="many"), "'many' is not a number"),
            (payloads.order(currency="ZZZ"), "ZZZ"),
            (payloads.order(updated_at="yesterday"), "/updated_at"),
        ],
    )
    async def test_are_visible_and_change_nothing(self, client, database, payload, error):
        source = await add_source(client)
        assert (await post(client, source, payload)).status_code == 200
        [delivery] = await processed(client, database, 1)
        assert delivery["state"] == "failed"
        assert error in delivery["error"]
        assert await shopify_orders(client) == []
        assert (await client.get("/v1/customers")).json()["data"] == []

    async def test_unused_topics_are_ignored(self, client, database):
        source = await add_source(client)
        await post(client, source, {"id": 1}, "products/create")
        [delivery] = await processed(client, database, 1)
        assert delivery["state"] == "ignored"

    async def test_one_bad_delivery_does_not_stop_the_next(self, client, database):
        source = await add_source(client)
        await post(client, source, {"id": 1})
        await post(client, source, payloads.order())
        assert [each["state"] for each in await processed(client, database, 2)] == ["failed", "processed"]


class TestStandard:
    async def test_the_generic_bridge(self, client, database):
        source = await add_source(client, "standard", STANDARD_SECRET)
        order = {
            "customer": {"external_id": "tb_1", "name": "张三"},
            "status": "paid",
            "total": {"amount": 1999, "currency": "CNY"},
            "placed_at": "2026-11-11T00:00:01+08:00",
        }
        await send(client, source, "order.upserted", {"platform": "taobao", "external_id": "T1", "order": order})
        [delivery] = await processed(client, database, 1)
        assert delivery["state"] == "processed", delivery["error"]
        stored = (await client.get("/v1/orders/taobao/T1")).json()
        assert (stored["status"], stored["total"]["amount"]) == ("paid", 1999)

    async def test_a_line_break_in_a_name_costs_no_order(self, client, database):
        order = {
            "customer": {"external_id": "tb_1", "name": "张\n三"},
            "status": "paid",
            "total": {"amount": 1999, "currency": "CNY"},
            "placed_at": "2026-11-11T00:00:01+08:00",
            "lines": [{"title": "大虾\r\n500g", "quantity": 1, "unit_price": {"amount": 1999, "currency": "CNY"}}],
            "buyer_note": "送货前\n请来电",
        }
        data = {"platform": "taobao", "external_id": "T1", "order": order}
        refused = await client.put("/v1/orders/taobao/T1", json=order)
        assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
            ("/customer/name", "bad_format"),
            ("/lines/0/title", "bad_format"),
        ]
        await send(client, await add_source(client, "standard", STANDARD_SECRET), "order.upserted", data)
        bought = payloads.order(email="a\tb@example.com")
        bought["customer"] |= {"first_name": "雷\u2028", "phone": "139\n1234 5678"}
        bought["line_items"][1]["title"] = "礼\t盒"
        await post(client, await add_source(client), bought)
        assert [(each["state"], each["error"]) for each in await processed(client, database, 2)] == [
            ("processed", None)
        ] * 2
        stored = (await client.get("/v1/orders/taobao/T1")).json()
        assert (stored["lines"][0]["title"], stored["buyer_note"]) == ("大虾 500g", "送货前\n请来电")
        (shopify,) = await shopify_orders(client)
        assert [each["title"] for each in shopify["lines"]] == ["青岛大虾 500g", "礼 盒"]
        known = {each["name"]: each for each in (await client.get("/v1/customers")).json()["data"]}
        assert known.keys() == {"张 三", "雷 李"}
        assert "+8613912345678" in [each["value"] for each in known["雷 李"]["contact_points"]]

    async def test_a_masked_buyer_costs_no_order_and_is_no_customer(self, client, database):
        source = await add_source(client, "standard", STANDARD_SECRET)
        masked = {"external_id": "t***b", "name": "张三"}
        order = {
            "customer": masked,
            "status": "paid",
            "total": {"amount": 1999, "currency": "CNY"},
            "placed_at": "2026-11-11T00:00:01+08:00",
        }
        for number in (1, 2):
            data = {"platform": "taobao", "external_id": f"T{number}", "order": order}
            await send(client, source, "order.upserted", data)
        await send(client, source, "customer.seen", {"platform": "taobao", "customer": masked})
        states = [each["state"] for each in await processed(client, database, 3)]
        assert sorted(states) == ["ignored", "processed", "processed"]
        customers = (await client.get("/v1/customers")).json()["data"]
        assert [(each["name"], each["identities"]) for each in customers] == [("张三", [])] * 2


async def send(client, source, kind, data):
    """Send a message signed as Standard Webhooks has it."""
    body, now, message_id = json.dumps({"type": kind, "data": data}), datetime.now(UTC), str(uuid4())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(STANDARD_SECRET).sign(message_id, now, body),
        "content-type": "application/json",
    }
    assert (await client.post(source["inbound_path"], content=body, headers=headers)).status_code == 200
