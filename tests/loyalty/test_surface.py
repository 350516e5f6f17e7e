"""Programmes, holds and reviews over REST, and the subscription to a balance."""

import pytest

from crm_api.loyalty.following import BALANCE_CHANGED
from crm_api.web.graphql.parts import Call

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
PROGRAMMES = "/v1/loyalty/programmes"


async def customer_with(client, points):
    customer = (await client.post("/v1/customers", json={"name": "王小明"})).json()["id"]
    given = {"points": points, "reason": "welcome"}
    answer = await client.post(f"/v1/loyalty/accounts/{customer}/adjustments", json=given)
    assert answer.status_code == 201, answer.text
    return customer


class TestProgrammes:
    async def test_another_becomes_the_default_one(self, client):
        customer = await customer_with(client, 5)
        [first] = (await client.get(PROGRAMMES)).json()["data"]
        made = await client.post(PROGRAMMES, json={"name": "金币", "currency_name": "金币", "scale": 2})
        second = made.json()
        assert (made.status_code, second["is_default"], second["time_zone"]) == (201, False, "Asia/Shanghai")
        path = f"{PROGRAMMES}/{second['id']}"
        outdated = await client.patch(path, json={"is_default": True}, headers={"if-match": '"9"'})
        assert outdated.status_code == 412
        changed = await client.patch(path, json={"is_default": True}, headers={"if-match": '"1"'})
        assert (changed.status_code, changed.json()["version"]) == (200, 2)
        told = {each["id"]: each["is_default"] for each in (await client.get(PROGRAMMES)).json()["data"]}
        assert told == {first["id"]: False, second["id"]: True}
        account = (await client.get(f"/v1/loyalty/accounts/{customer}")).json()
        assert (account["available"], account["currency_name"], account["scale"]) == (0, "金币", 2)
        spent = {"points": 5, "reason": "mug", "programme_id": first["id"]}
        assert (await client.post(f"/v1/loyalty/accounts/{customer}/redemptions", json=spent)).status_code == 201
        wallets = (await client.get(f"/v1/loyalty/wallets?customer_id={customer}")).json()["data"]
        assert [(each["programme_id"], each["available"]) for each in wallets] == [(first["id"], 0)]
        path = f"/v1/loyalty/wallets/{wallets[0]['id']}/entries"
        assert [each["type"] for each in (await client.get(path)).json()["data"]] == ["redeem", "adjust"]
        assert [each["type"] for each in (await client.get(f"{path}?type=adjust&limit=1")).json()["data"]] == ["adjust"]
        assert (await client.get(f"/v1/loyalty/wallets/{customer}/entries")).status_code == 404


class TestHolds:
    async def test_hold_post_and_look(self, client):
        customer = await customer_with(client, 30)
        held = await client.post(
            f"/v1/loyalty/accounts/{customer}/holds",
            json={"points": 20, "reason": "下单抵扣"},
            headers={"idempotency-key": "checkout-1"},
        )
        hold = held.json()
        assert (held.status_code, hold["state"], hold["customer_id"]) == (201, "open", customer)
        assert held.headers["location"] == f"/v1/loyalty/holds/{hold['id']}"
        posted = await client.post(f"/v1/loyalty/holds/{hold['id']}/post", json={"points": 12})
        assert (posted.status_code, posted.json()["state"], posted.json()["posted"]) == (200, "posted", 12)
        given_back = await client.post(f"/v1/loyalty/holds/{hold['id']}/reverse", json={"points": 2})
        assert given_back.json()["state"] == "partly_reversed"
        listed = (await client.get(f"/v1/loyalty/holds?customer_id={customer}&state=partly_reversed")).json()["data"]
        assert [each["id"] for each in listed] == [hold["id"]]
        balance = (await client.get(f"/v1/loyalty/accounts/{customer}/balance")).json()
        assert (balance["available"], balance["held"]) == (20, 0)
        [lot] = (await client.get(f"/v1/loyalty/lots?customer_id={customer}&state=available")).json()["data"]
        assert (lot["granted"], lot["remaining"]) == (30, 20)


async def test_a_review_is_listed_and_waived(shop, client):
    await shop.programme(refund_policy="review")
    customer = await shop.customer()
    order = await shop.pay(customer, 1000)
    await shop.redeem(customer, 10)
    await shop.refund(customer, order, 1000)
    [review] = (await client.get("/v1/loyalty/reviews?state=open")).json()["data"]
    assert (review["customer_id"], review["points"]) == (str(customer), 10)
    waived = await client.post(f"/v1/loyalty/reviews/{review['id']}/waive", json={"note": "老客户"})
    assert (waived.json()["state"], waived.json()["note"]) == ("waived", "老客户")
    again = await client.post(f"/v1/loyalty/reviews/{review['id']}/approve", json={})
    assert (again.status_code, again.json()["code"]) == (409, "review_decided")


async def test_the_subscription_tells_each_balance_once(shop):
    customer = await shop.customer(points=10)
    follower = BALANCE_CHANGED.follower()

    async def told(look):
        async with shop.database.read(shop.tenant.actor) as unit:
            return list(await look(Call(unit, customer)))

    async def news(call):
        return await follower.next(call, [])

    assert await told(follower.first) == [customer]
    assert await told(news) == []
    await shop.hold(customer, 4)
    assert await told(news) == [customer]
    assert await told(news) == []
