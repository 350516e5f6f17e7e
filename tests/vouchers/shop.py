"""A shop with voucher campaigns: short ways to say what happens at its checkouts."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from crm_api.core.clock import FixedClock
from crm_api.db.pool import Database
from crm_api.vouchers import jobs
from tests.support.api import TestTenant

START = datetime(2026, 5, 1, 4, tzinfo=UTC)
"""Noon in Shanghai."""


def money(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "CNY"}


def cart(*prices: int, shipping: int | None = None, **of: int) -> dict[str, Any]:
    """Return a cart: lines at these prices, then pieces by SKU at 10.00 each."""
    lines = [{"sku": f"P{number}", "unit_price": price} for number, price in enumerate(prices)]
    lines += [{"sku": sku, "quantity": quantity, "unit_price": 1000} for sku, quantity in of.items()]
    return {"currency": "CNY", "items": lines, **({} if shipping is None else {"shipping": shipping})}


@dataclass
class Shop:
    """A tenant's client, its database and its clock."""

    client: httpx.AsyncClient
    database: Database
    tenant: TestTenant
    clock: FixedClock = field(default_factory=lambda: FixedClock(START))

    def __post_init__(self) -> None:
        self.database.clock = self.clock

    async def campaign(self, name: str = "x", **more: Any) -> dict[str, Any]:
        body = {"name": name, "kind": "amount", "amount_off": money(500), **more}
        if body["kind"] != "amount":
            del body["amount_off"]
        answer = await self.client.post("/v1/voucher-campaigns", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def customer(self, name: str = "x", **more: Any) -> str:
        answer = await self.client.post("/v1/customers", json={"name": name, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def issue(self, campaign: dict[str, Any], customer: str, **more: Any) -> dict[str, Any]:
        path = f"/v1/voucher-campaigns/{campaign['id']}/vouchers"
        answer = await self.client.post(path, json={"customer_id": customer, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def codes(self, campaign: dict[str, Any], count: int) -> list[str]:
        """Make codes and return them."""
        answer = await self.client.post(f"/v1/voucher-campaigns/{campaign['id']}/batches", json={"count": count})
        assert answer.status_code == 202, answer.text
        await jobs.generate(self.database, {"tenant_id": str(self.tenant.id), "batch_id": answer.json()["id"]})
        listed = await self.client.get("/v1/vouchers", params={"batch_id": answer.json()["id"], "limit": 100})
        return [each["code"] for each in listed.json()["data"]]

    async def validate(self, *codes: str, on: Any = None, **more: Any) -> dict[str, Any]:
        body = {"codes": codes, "cart": on or cart(10_000), **more}
        answer = await self.client.post("/v1/vouchers/validate", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def verdicts(self, *codes: str, on: Any = None, **more: Any) -> list[Any]:
        """Return the discount of each voucher, or why it does not apply."""
        found = await self.validate(*codes, on=on, **more)
        return [each["reason"]["code"] if each["reason"] else each["discount"] for each in found["vouchers"]]

    async def lock(self, session: str, *codes: str, on: Any = None, **more: Any) -> httpx.Response:
        body = {"codes": codes, "session_id": session, "cart": on or cart(10_000), **more}
        return await self.client.post("/v1/vouchers/locks", json=body)

    async def redeem(self, order: str, *codes: str, on: Any = None, **more: Any) -> httpx.Response:
        body = {"codes": codes, "order_ref": order, "cart": on or cart(10_000), **more}
        return await self.client.post("/v1/vouchers/redemptions", json=body)

    async def roll_back(self, order: str) -> httpx.Response:
        return await self.client.post("/v1/vouchers/redemptions/rollback", json={"order_ref": order})

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        async with self.database.read(self.tenant.actor) as unit:
            return await unit.connection.fetch(sql, *values)

    async def counted(self) -> int:
        """Return uses that stand by the vouchers' counters, after checking campaigns and rows against them."""
        by_row = await self.fetch("SELECT count(*) FROM voucher_redemptions WHERE state = 'redeemed'")
        by_voucher = await self.fetch("SELECT coalesce(sum(redeemed), 0) FROM vouchers")
        by_campaign = await self.fetch("SELECT coalesce(sum(redeemed), 0) FROM voucher_campaigns")
        assert by_row[0][0] == by_voucher[0][0] == by_campaign[0][0]
        return by_row[0][0]

    async def told(self, kind: str) -> list[tuple[UUID, dict[str, Any]]]:
        rows = await self.fetch("SELECT subject_id, payload FROM outbox WHERE type = $1 ORDER BY xid, id", kind)
        return [(row["subject_id"], row["payload"]) for row in rows]


def reasons(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return pointer and reason of each voucher that was refused."""
    assert (answer.status_code, answer.json()["code"]) == (409, "voucher_inapplicable"), answer.text
    return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]
