"""From an order over REST through the outbox to points, with two relays at once."""

import asyncio
from itertools import count

import pytest
import pytest_asyncio

from crm_api.db.pool import Database
from crm_api.earning.jobs import SUBSCRIBERS
from crm_api.worker.relay import Relay

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

VERSION = count(1)


async def put(client, number, **changes):
    body = {
        "customer": {"external_id": "tb_1", "name": "王小明"},
        "status": "paid",
        "total": {"amount": 25_800, "currency": "CNY"},
        "placed_at": "2025-11-11T00:01:00+08:00",
        "platform_version": next(VERSION),
    }
    response = await client.put(f"/v1/orders/taobao/T-{number}", json={**body, **changes})
    assert response.status_code in {200, 201}, response.text
    return response.json()


@pytest_asyncio.fixture
async def relays(database, settings):
    """Two workers' relays for the subscriber that hears orders."""
    other = await Database.open(settings)
    subscriber = SUBSCRIBERS[0]
    yield [Relay(database, subscriber), Relay(other, subscriber)]
    await other.close()


async def account_of(client, customer, relays, **wanted):
    """Carry messages until the account is as wanted: other tests' transactions may hold the feed back."""
    shown = None
    for _ in range(500):
        await asyncio.gather(*(relay.step() for relay in relays))
        shown = (await client.get(f"/v1/loyalty/accounts/{customer}?fields={','.join(wanted)}")).json()
        if shown == wanted:
            return
        await asyncio.sleep(0.02)
    assert shown == wanted


async def test_paid_refunded_and_cancelled_orders(client, relays):
    order = await put(client, 1)
    customer = order["customer_id"]
    await account_of(client, customer, relays, available=258, debt=0)

    spent = await client.post(f"/v1/loyalty/accounts/{customer}/redemptions", json={"points": 200, "reason": "coupon"})
    assert spent.status_code == 201
    refund = {
        "external_id": "R-1",
        "amount": {"amount": 12_900, "currency": "CNY"},
        "refunded_at": "2025-11-12T00:00:00Z",
    }
    response = await client.post(f"/v1/orders/{order['id']}/refunds", json=refund)
    assert response.status_code == 201, response.text
    await account_of(client, customer, relays, available=0, debt=71)

    await put(client, 2, total={"amount": 10_000, "currency": "CNY"})
    await account_of(client, customer, relays, available=29, debt=0)
    await put(client, 2, status="cancelled", total={"amount": 10_000, "currency": "CNY"})
    await account_of(client, customer, relays, available=0, debt=71)

    entries = (await client.get(f"/v1/loyalty/accounts/{customer}/entries")).json()["data"]
    assert [(each["type"], each["points"]) for each in entries] == [
        ("reverse", -100),
        ("earn", 100),
        ("reverse", -129),
        ("redeem", -200),
        ("earn", 258),
    ]
    assert entries[-1]["order_id"] == order["id"]
