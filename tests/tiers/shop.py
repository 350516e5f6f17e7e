"""A shop with tiers: short ways to say what happens in it, and to hear what it tells."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from crm_api.core.clock import FixedClock
from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from crm_api.db.pool import Database
from crm_api.tiers import jobs
from crm_api.tiers.following import Following
from crm_api.tiers.service import TierService
from tests.support.api import TestTenant

START = datetime(2026, 1, 10, 4, 0, tzinfo=UTC)
"""Noon in Shanghai."""


def tier(code, threshold, **more):
    return {"code": code, "name": {"en": code.title(), "zh": f"{code}卡"}, "threshold": threshold, **more}


SILVER, GOLD = tier("silver", 10_000), tier("gold", 50_000, multiplier=1.5)
RULES = {"metric": "net_spend", "currency": "CNY", "window": "rolling", "grace_days": 0, "tiers": [SILVER, GOLD]}


@dataclass
class Shop:
    """A tenant, its database, its clock, and the scheme it has."""

    client: httpx.AsyncClient
    database: Database
    tenant: TestTenant
    clock: FixedClock = field(default_factory=lambda: FixedClock(START))
    scheme: dict[str, Any] = field(default_factory=dict)
    heard: int = 0

    def __post_init__(self):
        self.database.clock = self.clock

    async def run(self, work):
        return await self.database.run(self.tenant.actor, work)

    async def rows(self, sql, *values):
        return await self.run(lambda unit: unit.connection.fetch(sql, *values))

    async def rules(self, apply="from_the_start", **changes):
        """Change the rules of the preset's scheme, and wait for the replay."""
        [self.scheme] = (await self.client.get("/v1/loyalty/tiers/schemes")).json()["data"]
        path = f"/v1/loyalty/tiers/schemes/{self.scheme['id']}"
        answer = await self.client.patch(path, json={"rules": changes, "apply": apply})
        assert answer.status_code == 200, answer.text
        self.scheme = answer.json()
        return await self.replayed()

    async def replayed(self):
        """Do the newest replay."""
        newest = (await self.client.get("/v1/loyalty/tiers/replays")).json()["data"][0]
        await jobs.replay(self.database, {"tenant_id": str(self.tenant.id), "replay_id": newest["id"]})
        return (await self.client.get(f"/v1/loyalty/tiers/replays/{newest['id']}")).json()

    async def customer(self):
        customer_id, now = new_id(), self.clock.now()
        sql = "INSERT INTO customers (tenant_id, id, name, created_at) VALUES ($1, $2, 'somebody', $3)"
        await self.run(lambda unit: unit.connection.execute(sql, self.tenant.id, customer_id, now))
        return str(customer_id)

    async def order(self, customer_id, amount, *, refunded=0, key=None, at=None):
        """Enter an order as it is now; returns its key."""
        key, at = key or str(new_id()), at or self.clock.now()
        body = {
            "customer_id": customer_id,
            "status": "completed",
            "total": {"amount": amount, "currency": "CNY"},
            "paid": {"amount": amount, "currency": "CNY"},
            "refunded": {"amount": refunded, "currency": "CNY"},
            "placed_at": at.isoformat(),
        }
        answer = await self.client.put(f"/v1/orders/till/{key}", json=body)
        assert answer.status_code in {200, 201}, answer.text
        return key

    async def hear(self, times=1):
        """Hand over what was told since the last time, so many times over."""
        sql = """SELECT id, type, subject_id, payload, occurred_at FROM outbox
            WHERE tenant_id = $1 AND type = ANY ($2) ORDER BY xid, id OFFSET $3"""
        rows = await self.rows(sql, self.tenant.id, sorted(jobs.TYPES), self.heard)
        self.heard += len(rows)
        news = [
            Message(r["id"], self.tenant.id, r["type"], r["subject_id"], r["payload"], r["occurred_at"]) for r in rows
        ]
        for _ in range(times):
            await self.run(lambda unit: jobs.follow(unit, news))

    async def wait(self, **lapse):
        """Let time go by, and the schedule run."""
        self.clock.advance(timedelta(**lapse))
        while await self.run(lambda unit: Following(unit).follow_time()):
            pass

    async def progress(self, customer_id):
        answer = await self.client.get(f"/v1/loyalty/accounts/{customer_id}/tier")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def stored(self, customer_id):
        """Return the code that rules, lists and other domains see."""
        found = await self.run(lambda unit: TierService(unit).current([UUID(customer_id)]))
        return (tier := found[UUID(customer_id)]) and tier.code

    async def told(self, customer_id, *types):
        """Return (type, payload) of what was told of a customer."""
        sql = """SELECT type, payload FROM outbox
            WHERE tenant_id = $1 AND subject_id = $2 AND type LIKE 'tier.%' ORDER BY xid, id"""
        rows = await self.rows(sql, self.tenant.id, UUID(customer_id))
        return [(row["type"], row["payload"]) for row in rows if not types or row["type"] in types]

    async def log(self, customer_id):
        """Return (from, to, cause), oldest first."""
        page = await self.client.get("/v1/loyalty/tiers/transitions", params={"customer_id": customer_id})
        return [(each["from_code"], each["to_code"], each["cause"]) for each in reversed(page.json()["data"])]
