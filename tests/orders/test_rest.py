"""Orders over REST."""

import pytest

from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

ORDER = {
    "customer": {"external_id": "tb_1", "name": "王小明"},
    "status": "paid",
    "total": {"amount": 25_800, "currency": "CNY"},
    "shipping": {"amount": 800, "currency": "CNY"},
    "placed_at": "2025-11-11T00:01:00+08:00",
    "platform_version": 1,
    "lines": [{"title": "青岛大虾 500g", "quantity": 2, "unit_price": {"amount": 12_500, "currency": "CNY"}}],
}
PATH = "/v1/orders/taobao/T-1"


class TestPut:
    async def test_creates(self, client):
        response = await client.put(PATH, json=ORDER)
        assert response.status_code == 201, response.text
        body = response.json()
        assert response.headers["location"] == f"/v1/orders/{body['id']}"
        assert (response.headers["etag"], response.headers["crm-verdict"]) == ('"1"', "created")
        assert body["placed_at"] == "2025-11-10T16:01:00+00:00"
        assert body["paid"] == body["total"] == ORDER["total"]
        assert body["refunds"] == []
        assert [(line["title"], line["amount"]["amount"]) for line in body["lines"]] == [("青岛大虾 500g", 25_000)]
        for path in (response.headers["location"], PATH):
            again = await client.get(path)
            assert (again.status_code, again.json()) == (200, body)
            assert again.headers["etag"] == '"1"'

    async def test_tells_what_became_of_the_message(self, client):
        await client.put(PATH, json=ORDER)
        newer = await client.put(PATH, json={**ORDER, "platform_version": 2, "status": "shipped"})
        assert (newer.status_code, newer.headers["crm-verdict"], newer.headers["etag"]) == (200, "updated", '"2"')
        older = await client.put(PATH, json=ORDER)
        assert (older.status_code, older.headers["crm-verdict"]) == (200, "stale")
        assert older.json() == newer.json()
        same = await client.put(PATH, json={**ORDER, "platform_version": 2, "status": "shipped"})
        assert same.headers["crm-verdict"] == "unchanged"

    async def test_if_match(self, client):
        await client.put(PATH, json=ORDER)
        newer = {**ORDER, "platform_version": 2}
        assert (await client.put(PATH, json=newer, headers={"if-match": '"7"'})).status_code == 412
        assert (await client.put(PATH, json=newer, headers={"if-match": '"1"'})).status_code == 200

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"total": {"amount": -1, "currency": "CNY"}}, "/total/amount"),
            ({"total": {"amount": 1, "currency": "XXQ"}}, "/total/currency"),
            ({"total": {"amount": 1.5, "currency": "CNY"}}, "/total/amount"),
            ({"placed_at": "2025-02-30T00:00:00Z"}, "/placed_at"),
            ({"placed_at": "2025-02-03T00:00:00"}, "/placed_at"),
            ({"placed_at": "2999-01-01T00:00:00Z"}, "/placed_at"),
            ({"status": "lost"}, "/status"),
            ({"surprise": 1}, "/surprise"),
            ({"customer": {"external_id": "\u0000"}}, "/customer/external_id"),
            ({"customer": None}, "/customer_id"),
            ({"paid": {"amount": 1, "currency": "USD"}}, "/paid/currency"),
            ({"platform_version": -1}, "/platform_version"),
            ({"platform_version": 2**63}, "/platform_version"),
            ({"store_id": "019a0000-0000-7000-8000-000000000000"}, "/store_id"),
            ({"lines": [{"title": "x", "quantity": 0, "unit_price": ORDER["total"]}]}, "/lines/0/quantity"),
            ({"lines": [{"title": "", "unit_price": ORDER["total"]}]}, "/lines/0/title"),
        ],
    )
    async def test_names_the_wrong_field(self, client, changes, pointer):
        response = await client.put(PATH, json={**ORDER, **changes})
        assert response.status_code == 422, response.text
        assert [each["pointer"] for each in response.json()["errors"]] == [pointer]
        assert (await client.get("/v1/orders?count=exact")).json()["page"]["total"] == 0
        assert (await client.get("/v1/customers?count=exact")).json()["page"]["total"] == 0

    @pytest.mark.parametrize(
        "path", ["/v1/orders/TAOBAO/1", "/v1/orders/taobao/a%20b", f"/v1/orders/taobao/{'x' * 201}"]
    )
    async def test_refuses_bad_names(self, client, path):
        assert (await client.put(path, json=ORDER)).status_code == 422

    async def test_orders_below_refunds_are_orders(self, client):
        assert (await client.put("/v1/orders/taobao/refunds", json=ORDER)).status_code == 201
        assert (await client.get("/v1/orders/taobao/refunds")).json()["external_id"] == "refunds"


class TestMaskedBuyer:
    """Since 2022 a platform may say no more of a buyer than ``t***b``, which is what it says of many others too."""

    MASKED = ORDER | {"customer": {"external_id": "t***b"}}

    async def buyer(self, client, number):
        return (await client.get(f"/v1/orders/taobao/T-{number}")).json()["customer_id"]

    async def test_each_order_has_a_buyer_of_its_own(self, client):
        items = [{**self.MASKED, "platform": "taobao", "external_id": f"T-{number}"} for number in (1, 2)]
        assert (await client.post("/v1/orders/batch", json={"items": items})).status_code == 200
        assert (await client.put("/v1/orders/jd/J-1", json=self.MASKED)).status_code == 201
        customers = (await client.get("/v1/customers")).json()["data"]
        assert [(each["name"], each["identities"]) for each in customers] == [("t***b", [])] * 3
        assert await self.buyer(client, 1) != await self.buyer(client, 2)

    async def test_a_known_order_keeps_its_buyer_until_the_platform_tells_who_it_is(self, client):
        first = (await client.put(PATH, json=self.MASKED)).json()
        later = await client.put(PATH, json={**self.MASKED, "status": "shipped", "platform_version": 2})
        assert (later.headers["crm-verdict"], later.json()["customer_id"]) == ("updated", first["customer_id"])
        told = (await client.put(PATH, json={**ORDER, "status": "shipped", "platform_version": 3})).json()
        assert told["customer_id"] != first["customer_id"]
        masked = await client.put(PATH, json={**self.MASKED, "status": "completed", "platform_version": 4})
        assert (masked.headers["crm-verdict"], masked.json()["customer_id"]) == ("updated", told["customer_id"])
        assert (await client.get("/v1/customers?count=exact")).json()["page"]["total"] == 2


async def test_buyers_need_none_of_the_required_attributes(client):
    size = {"entity": "customer", "key": "size", "type": "number", "label": {"en": "Size"}, "required": True}
    assert (await client.post("/v1/attribute-definitions", json=size)).status_code == 201
    assert (await client.post("/v1/customers", json={"name": "x"})).status_code == 422
    for number, buyer in enumerate(("tb_1", "t***b")):
        order = ORDER | {"customer": {"external_id": buyer}}
        assert (await client.put(f"/v1/orders/taobao/{number}", json=order)).status_code == 201


class TestList:
    async def make(self, client):
        for number in range(6):
            body = {
                **ORDER,
                "placed_at": f"2025-01-0{number + 1}T00:00:00Z",
                "customer": {"external_id": f"c{number % 2}"},
                "status": "cancelled" if number == 5 else "paid",
            }
            platform = "jd" if number == 4 else "taobao"
            assert (await client.put(f"/v1/orders/{platform}/{number}", json=body)).status_code == 201

    async def names(self, client, query):
        response = await client.get(query)
        assert response.status_code == 200, response.text
        return [each["external_id"] for each in response.json()["data"]]

    async def test_latest_placed_first_with_filters(self, client):
        await self.make(client)
        assert await self.names(client, "/v1/orders") == ["5", "4", "3", "2", "1", "0"]
        assert await self.names(client, "/v1/orders?order=placed_at_asc&limit=2") == ["0", "1"]
        assert await self.names(client, "/v1/orders?status=cancelled") == ["5"]
        assert await self.names(client, "/v1/orders?platform=jd") == ["4"]
        span = "placed_from=2025-01-02T00:00:00Z&placed_to=2025-01-04T00:00:00Z"
        assert await self.names(client, f"/v1/orders?{span}") == ["2", "1"]
        customer = (await client.get("/v1/orders/taobao/1")).json()["customer_id"]
        assert await self.names(client, f"/v1/orders?customer_id={customer}") == ["5", "3", "1"]
        assert await self.names(client, f"/v1/customers/{customer}/orders") == ["5", "3", "1"]
        assert await self.names(client, f"/v1/customers/{customer}/orders?status=paid") == ["3", "1"]

    async def test_pages(self, client):
        await self.make(client)
        page = (await client.get("/v1/orders?limit=4")).json()
        rest = await self.names(client, f"/v1/orders?limit=4&after={page['page']['next']}")
        assert [each["external_id"] for each in page["data"]] + rest == ["5", "4", "3", "2", "1", "0"]

    async def test_customer_shows_what_purchases_add_up_to(self, client):
        await self.make(client)
        customer = (await client.get("/v1/orders/taobao/1")).json()["customer_id"]
        purchases = (await client.get(f"/v1/customers/{customer}")).json()["purchases"]
        assert (purchases["order_count"], purchases["paid_order_count"]) == (2, 2)
        assert purchases["net_spend"] == {"amount": 51_600, "currency": "CNY"}
        assert (purchases["median_gap_days"], purchases["next_expected_at"]) == (2, "2025-01-06T00:00:00+00:00")
        fresh = (await client.post("/v1/customers", json={"name": "x"})).json()
        assert fresh["purchases"] is None


class TestRefunds:
    async def test_refund(self, client):
        order = (await client.put(PATH, json=ORDER)).json()
        path = f"/v1/orders/{order['id']}/refunds"
        body = {"external_id": "R-1", "amount": {"amount": 800, "currency": "CNY"}, "reason": "破损"}
        first = await client.post(path, json=body)
        assert first.status_code == 201, first.text
        assert first.json()["order_id"] == order["id"]
        again = await client.post(path, json=body)
        assert (again.status_code, again.json()) == (200, first.json())
        assert (await client.get(path)).json()["data"] == [first.json()]
        shown = (await client.get(PATH)).json()
        assert (shown["refunded"]["amount"], shown["status"], shown["version"]) == (800, "paid", 2)
        assert shown["refunds"] == [first.json()]
        too_much = await client.post(path, json={"amount": {"amount": 25_001, "currency": "CNY"}})
        assert (too_much.status_code, too_much.json()["code"]) == (409, "refund_exceeds_paid")

    async def test_unknown_order(self, client):
        path = "/v1/orders/019a0000-0000-7000-8000-000000000000/refunds"
        assert (await client.post(path, json={"amount": {"amount": 1, "currency": "CNY"}})).status_code == 404


class TestTenants:
    async def test_do_not_see_each_other(self, app, client, other_tenant):
        order = (await client.put(PATH, json=ORDER)).json()
        async with client_of(app, other_tenant.key) as stranger:
            for path in (PATH, f"/v1/orders/{order['id']}"):
                assert (await stranger.get(path)).status_code == 404
            assert (await stranger.get("/v1/orders")).json()["data"] == []
            assert (await stranger.put(PATH, json=ORDER)).status_code == 201
