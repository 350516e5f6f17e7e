"""S2, the Taobao seller: all arrives by file and by webhook, in any order, from buyers behind masks.

Taobao shows a seller no names and no numbers: a buyer is an OAID and a nick of which two signs are left (``王**``). One
person who buys in two shops of the seller has two of them. What makes them one is what else comes to be known.
"""

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from tests.stories.shop import open_shop, table

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WANG, WANG_TOO, LI = "1a2b3c4d5e", "9z8y7x6w5v", "5k4j3h2g1f"
"""OAIDs: the first two are one person, buying in two shops."""

ORDERS = [
    # 订单编号, 买家, 收货人, 订单创建时间, 订单状态, 订单金额
    ["3100001", WANG, "王**", "2026-06-18 00:03:20", "已付款", "259.00"],
    ["3100002", LI, "李**", "2026-06-18 00:05:00", "已发货", "88.00"],
    ["3100003", WANG_TOO, "王**", "2026-06-19 10:00:00", "已完成", "120.50"],
    ["3100004", WANG_TOO, "王**", "2026-06-20 10:00:00", "交易关闭", "66.00"],
    ["3100005", LI, "李**", "2026-06-21 10:00:00", "moon", "1.00"],
]
ORDERS_HEADER = ["订单编号", "买家ID", "收货人", "订单创建时间", "订单状态", "订单金额"]
REFUNDS = [
    ["3100001", "R1", "59.00", "2026-06-22 09:00:00", "少件"],
    ["9999999", "R9", "1.00", "2026-06-22 09:00:00", "没有此单"],
]
REFUNDS_HEADER = ["订单编号", "退款编号", "退款金额", "退款时间", "退款原因"]


def yuan(amount):
    return {"amount": amount, "currency": "CNY"}


class Bridge:
    """What carries Taobao's message channel to the shop: signed Standard Webhooks."""

    def __init__(self, shop, source):
        self.shop = shop
        self.path = source["inbound_path"]
        self.sent = 0

    async def send(self, kind, data, *, again=0):
        """Send a message, and the same one again as often as the platform likes."""
        now, name = datetime.now(UTC), f"msg_{uuid4()}"
        body = json.dumps({"type": kind, "timestamp": now.isoformat(), "data": {"platform": "taobao", **data}})
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(name, now, body),
            "content-type": "application/json",
        }
        answers = [await self.shop.client.post(self.path, content=body, headers=headers) for _ in range(again + 1)]
        assert [each.status_code for each in answers] == [200] * (again + 1), answers[0].text
        assert [each.json()["duplicate"] for each in answers] == [False] + [True] * again
        self.sent += 1

    async def order(self, number, buyer, status, total, version, *, again=0, **more):
        """Tell how an order stands now."""
        order = {
            "customer": {"external_id": buyer, "name": "王**"},
            "status": status,
            "total": yuan(total),
            "placed_at": "2026-11-11T00:03:20+08:00",
            "platform_version": version,
            **more,
        }
        await self.send("order.upserted", {"external_id": number, "order": order}, again=again)

    async def refund(self, number, refund, amount):
        """Tell of a refund."""
        told = {"external_id": refund, "amount": yuan(amount), "refunded_at": "2026-11-20T00:00:00+08:00"}
        await self.send("refund.created", {"external_id": number, "refund": told})

    async def seen(self, buyer, **person):
        """Tell who a buyer is, as far as they let the seller know."""
        await self.send("customer.seen", {"customer": {"external_id": buyer, **person}})

    async def done(self):
        """Wait until the worker has looked at every message; return those that did not go through."""
        await self.shop.wait(
            lambda: self.shop.count("/inbound-deliveries", state="received"), lambda waiting: waiting == 0
        )
        assert await self.shop.count("/inbound-deliveries") == self.sent
        return await self.shop.all("/inbound-deliveries", state="failed")


async def test_the_story(own_database_url):
    async with open_shop(own_database_url, "taobao") as shop:
        await files_come_in(shop)
        bridge = await webhooks_come_in(shop)
        await masks_come_off(shop, bridge)


async def files_come_in(shop):
    """Orders and refunds of the seller's export, in GB18030, under Taobao's own headers."""
    defaults = json.dumps({"platform": "taobao", "currency": "CNY"})
    file = table(ORDERS_HEADER, ORDERS, "gb18030")
    rehearsed = await shop.imported(file, "orders", defaults=defaults, dry_run="true")
    assert (rehearsed["created"], rehearsed["failed"]) == (4, 1)
    assert await shop.count("/orders") == 0
    done = await shop.imported(file, "orders", defaults=defaults)
    assert (done["encoding"], done["created"], done["failed"]) == ("gb18030", 4, 1)
    (wrong,) = (await shop.get(f"/imports/{done['id']}/rows", verdict="failed"))["data"]
    assert (wrong["row"], [each["column"] for each in wrong["errors"]]) == (5, ["status"])
    again = await shop.imported(file, "orders", defaults=defaults)
    assert (again["created"], again["unchanged"]) == (0, 4)
    # Three buyers, two of them with the same mask: a mask is a name, and nobody is known by it.
    assert sorted(each["name"] for each in await shop.all("/customers")) == ["李**", "王**", "王**"]
    paid_back = await shop.imported(table(REFUNDS_HEADER, REFUNDS), "refunds", defaults=defaults)
    assert (paid_back["created"], paid_back["failed"]) == (1, 1)
    wang = await shop.known("taobao", WANG)
    facts = (await shop.get(f"/customers/{wang}"))["purchases"]
    assert (facts["gross_spend"], facts["net_spend"]) == (yuan(25900), yuan(20000))
    await points(shop, {WANG: 200, WANG_TOO: 120, LI: 88})


async def points(shop, wanted):
    for buyer, number in wanted.items():
        who = await shop.known("taobao", buyer)
        await shop.wait(
            lambda who=who: shop.get(f"/loyalty/accounts/{who}"), lambda each, n=number: each["available"] == n
        )


async def webhooks_come_in(shop):
    """11.11: messages repeat and overtake each other; the orders end as the platform has them."""
    source = await shop.send("/sources", {"name": "淘宝消息桥", "platform": "standard", "secret": SECRET}, 201)
    bridge = Bridge(shop, source)
    await bridge.order("4200001", WANG, "completed", 30000, 3)
    await bridge.order("4200001", WANG, "paid", 30000, 1, again=2)
    await bridge.order("4200001", WANG, "shipped", 30000, 2)
    await bridge.order("4200002", LI, "pending_payment", 5000, 1)
    await bridge.order("4200002", LI, "cancelled", 5000, 2)
    await bridge.order("4200003", WANG_TOO, "paid", 8000, 1)
    await bridge.done()
    await bridge.refund("4200003", "R2", 8000)
    assert await bridge.done() == []
    # A refund overtakes its order: it waits for it, and is tried again by itself.
    await bridge.refund("4200005", "R3", 1000)
    (waiting,) = await bridge.done()
    assert waiting["state"] == "failed"
    await bridge.order("4200005", LI, "paid", 9000, 1)
    await shop.wait(lambda: shop.count("/inbound-deliveries", state="processed"), lambda done: done == bridge.sent)
    shown = {each["external_id"]: each for each in await shop.all("/orders")}
    ends = {name: (shown[name]["status"], shown[name]["refunded"]["amount"]) for name in shown if name[0] == "4"}
    assert ends == {
        "4200001": ("completed", 0),
        "4200002": ("cancelled", 0),
        "4200003": ("refunded", 8000),
        "4200005": ("paid", 1000),
    }
    await points(shop, {WANG: 500, WANG_TOO: 120, LI: 168})
    return bridge


async def masks_come_off(shop, bridge):
    """Two masks turn out to be one person: found, merged, bought again under the old mask, and taken back."""
    person = {"name": "王小明", "phone": "13812345678"}
    await bridge.seen(WANG, **person)
    await bridge.seen(WANG_TOO, **person)
    assert await bridge.done() == []
    one, other = [await shop.known("taobao", buyer) for buyer in (WANG, WANG_TOO)]
    assert one != other
    li = await shop.known("taobao", LI)
    before = {who: await shop.picture(who) for who in (one, other, li)}
    await shop.searched()
    pair = await shop.pair(one, other)
    assert "same_mobile" in {each["code"] for each in pair["reasons"]}

    merged = await shop.ask(
        """mutation ($winner: ID!, $loser: ID!) {
          customerMerge(input: {winnerId: $winner, loserIds: [$loser]}) { merge { id } userErrors { code } } }""",
        winner=f"Customer:{one}",
        loser=f"Customer:{other}",
    )
    merge_id = merged["customerMerge"]["merge"]["id"].removeprefix("Merge:")
    whole = await shop.picture(one)
    assert whole["orders"] == sorted(before[one]["orders"] + before[other]["orders"])
    assert whole["points"]["available"] == 620
    assert {each["external_id"] for each in whole["customer"]["identities"]} == {WANG, WANG_TOO}
    # The platform knows nothing of it: a refund and a new order come under the second mask.
    await bridge.order("4200004", WANG_TOO, "paid", 4000, 1)
    assert await bridge.done() == []
    await shop.wait(lambda: shop.get(f"/loyalty/accounts/{one}"), lambda each: each["available"] == 660)
    assert ("taobao", "4200004", 4000, 0) in (await shop.picture(one))["orders"]

    undone = await shop.send(f"/merges/{merge_id}/undo", None, 200)
    assert undone["state"] == "undone"
    after = {who: await shop.picture(who) for who in (one, other, li)}
    assert after[li] == before[li]
    assert after[other]["customer"]["identities"] == before[other]["customer"]["identities"]
    # What was bought since stays with the winner, with its points; everything else is as it was.
    assert after[other] == before[other]
    assert after[one]["orders"] == sorted([*before[one]["orders"], ("taobao", "4200004", 4000, 0)])
    assert after[one]["points"]["available"] == 540
