"""How often a request goes to the database: every further time costs CPU on both sides and makes the caller wait."""

from uuid import UUID

import pytest

from crm_api.db.pool import Database
from crm_api.loyalty.models import RedemptionCreate
from crm_api.loyalty.service import LoyaltyService

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest.fixture
def sent(monkeypatch):
    """The statements that requests have sent, each a round trip."""
    statements: list[str] = []
    acquire, release = Database.acquire, Database.release

    def note(record):
        statements.append(record.query)

    async def acquired(self, pool):
        connection = await acquire(self, pool)
        connection.add_query_logger(note)
        return connection

    async def released(self, pool, connection):
        connection.remove_query_logger(note)
        await release(self, pool, connection)

    monkeypatch.setattr(Database, "acquire", acquired)
    monkeypatch.setattr(Database, "release", released)
    return statements


NEW = {"name": "王小明", "contact_points": [{"kind": "mobile", "value": "13812345678", "is_primary": True}]}


async def test_a_customer(client, sent):
    made = await client.post("/v1/customers", json=NEW)
    assert made.status_code == 201
    assert len(sent) == 4  # begin; look and add; read, audit and tell; commit

    path = f"/v1/customers/{made.json()['id']}"
    await client.get(path)
    sent.clear()
    assert (await client.get(path)).status_code == 200
    assert len(sent) == 1

    sent.clear()
    assert (await client.patch(path, json={"city": "上海"})).status_code == 200
    assert len(sent) == 5  # begin; lock; change; read, audit and tell; commit


async def test_a_key_costs_two_more(client, sent):
    made = await client.post("/v1/customers", json=NEW, headers={"idempotency-key": "once"})
    assert made.status_code == 201
    assert len(sent) == 6
    sent.clear()
    again = await client.post("/v1/customers", json=NEW, headers={"idempotency-key": "once"})
    assert again.headers["idempotency-replayed"] == "true"
    assert len(sent) == 4  # begin; claim; find; roll back


async def test_points(client, database, tenant, sent):
    customer = (await client.post("/v1/customers", json=NEW)).json()["id"]
    account = f"/v1/loyalty/accounts/{customer}"
    given = await client.post(f"{account}/adjustments", json={"points": 100, "reason": "test"})
    assert given.status_code == 201
    sent.clear()
    spent = await client.post(f"{account}/redemptions", json={"points": 40, "reason": "test"})
    assert spent.status_code == 201
    assert len(sent) == 7  # begin; lock; lots; book, audit and tell; read the transaction; the account; commit

    sent.clear()
    data = RedemptionCreate(points=40, reason="test")
    await database.run(tenant.actor, lambda unit: LoyaltyService(unit).redeem(UUID(customer), data))
    assert len(sent) == 5
    again = await client.get(account)
    assert again.json()["available"] == 20


async def test_an_order(client, sent):
    order = {
        "customer": {"external_id": "tb_1", "name": "王小明"},
        "status": "paid",
        "total": {"amount": 25_000, "currency": "CNY"},
        "placed_at": "2025-11-11T00:01:00+08:00",
        "lines": [{"title": "青岛大虾", "quantity": 2, "unit_price": {"amount": 12_500, "currency": "CNY"}}],
    }
    assert (await client.put("/v1/orders/taobao/T-1", json=order)).status_code == 201
    sent.clear()
    assert (await client.put("/v1/orders/taobao/T-2", json=order)).status_code == 201
    # Begin; find the buyer; lock; add; lines; lock and add up the facts; read, audit and tell; commit.
    assert len(sent) == 9
    sent.clear()
    changed = {**order, "status": "shipped"}
    assert (await client.put("/v1/orders/taobao/T-2", json=changed)).status_code == 200
    assert len(sent) == 9  # the lines are compared instead of written
