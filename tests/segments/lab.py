"""A shop whose clock, messages and upkeep the test drives by hand."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from crm_api.core.clock import FixedClock
from crm_api.db.outbox import message_of
from crm_api.db.pool import Database
from crm_api.segments import jobs
from crm_api.segments.repository.upkeep import EVERYBODY, UpkeepRepository
from crm_api.segments.touches import TYPES
from crm_api.segments.upkeep import SUBSCRIBER, Upkeep
from tests.support.api import TestTenant, application, client_of, make_tenant

NOON = datetime(2026, 11, 1, 4, tzinfo=UTC)
"""Noon in Shanghai."""


@dataclass
class Lab:
    """One tenant's segments."""

    database: Database
    clock: FixedClock
    tenant: TestTenant
    client: httpx.AsyncClient | None = None

    def run(self, work):
        """Run work in a write unit of the tenant; returns an awaitable."""
        return self.database.run(self.tenant.actor, work)

    async def rows(self, query, *values):
        """Return rows of a query whose $1 is the tenant."""
        async with self.database.write(self.tenant.actor) as unit:
            return await unit.connection.fetch(query, self.tenant.id, *values)

    # -- over the API ----------------------------------------------------------------------------------------------

    async def call(self, method, path, body=None, status=None):
        answer = await self.client.request(method, f"/v1{path}", json=body)
        assert answer.is_success if status is None else answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def customer(self, name, **fields):
        return (await self.call("POST", "/customers", {"name": name, **fields}))["id"]

    async def order(self, customer_id, number, placed_at=None, amount=1000, status="paid"):
        total = {"amount": amount, "currency": "CNY"}
        at = (placed_at or self.clock.instant - timedelta(minutes=1)).isoformat()
        body = {"customer_id": customer_id, "status": status, "total": total, "placed_at": at}
        return await self.call("PUT", f"/orders/till/{number}", body)

    async def segment(self, name, rule=None, **more):
        """Make a segment and have it evaluated; returns its id."""
        made = await self.call("POST", "/segments", {"name": name, "rule": rule, **more})
        await self.evaluate(made["id"])
        return made["id"]

    async def members(self, segment_id):
        page = await self.call("GET", f"/segments/{segment_id}/members?limit=200")
        return sorted(each["name"] for each in page["data"])

    async def log(self, segment_id):
        page = await self.call("GET", f"/segments/{segment_id}/log?order=sequence&limit=200")
        return [(each["sequence"], each["change"], each["cause"]) for each in page["data"]]

    # -- upkeep ----------------------------------------------------------------------------------------------------

    async def evaluate(self, segment_id):
        await jobs.evaluate(self.database, {"tenant_id": str(self.tenant.id), "segment_id": str(segment_id)})

    async def waiting(self):
        """Return messages that upkeep has not seen yet, oldest first."""
        rows = await self.rows(
            "SELECT * FROM outbox o WHERE tenant_id = $1 AND NOT EXISTS (SELECT FROM outbox_receipts r"
            " WHERE r.tenant_id = $1 AND r.subscriber = $2 AND r.message_id = o.id) ORDER BY xid, id",
            SUBSCRIBER,
        )
        return [message_of(row) for row in rows if row["type"] in TYPES]

    async def deliver(self):
        """Hand what waits to upkeep, in one batch as the relay does."""
        messages = await self.waiting()

        async def work(unit):
            receipts = [(unit.tenant_id, SUBSCRIBER, each.id) for each in messages]
            await unit.connection.executemany(
                "INSERT INTO outbox_receipts (tenant_id, subscriber, message_id) VALUES ($1, $2, $3)", receipts
            )
            await jobs.keep(unit, messages)

        if messages:
            await self.run(work)

    async def pass_time(self, delta=timedelta()):
        """Let time go by and upkeep follow it."""
        self.clock.advance(delta)
        await jobs.follow_time_of(self.database, self.tenant.id)

    # -- what must always hold -------------------------------------------------------------------------------------

    async def drift(self):
        """Return segment → who would enter and leave in a full evaluation now: nobody."""

        async def work(unit):
            repository, upkeep, found = UpkeepRepository(unit), Upkeep(unit), {}
            for row in await repository.active():
                moves = await repository.compare(row["id"], await upkeep._chosen(row), EVERYBODY)
                if moves:
                    found[row["name"]] = (list(moves.entered), list(moves.left))
            return found

        return await self.run(work)

    async def check_books(self):
        """Log, size, members and messages tell the same story; sequences have no gap."""
        rows = await self.rows(
            """
            SELECT s.name, s.size, s.last_sequence, count(g.*) AS entries, coalesce(max(g.sequence), 0) AS top,
                   count(DISTINCT g.sequence) AS distinct_entries,
                   count(*) FILTER (WHERE g.change = 'enter') - count(*) FILTER (WHERE g.change = 'leave') AS net,
                   (SELECT count(*) FROM segment_members m WHERE m.tenant_id = $1 AND m.segment_id = s.id) AS members,
                   (SELECT count(*) FROM outbox o WHERE o.tenant_id = $1 AND o.type LIKE 'segment.%'
                      AND o.payload ->> 'segment_id' = s.id::text) AS told
            FROM segments s LEFT JOIN segment_log g ON g.tenant_id = $1 AND g.segment_id = s.id
            WHERE s.tenant_id = $1 GROUP BY s.tenant_id, s.id
            """
        )
        for row in rows:
            assert row["size"] == row["members"] == row["net"], dict(row)
            assert row["entries"] == row["distinct_entries"] == row["top"] == row["last_sequence"] == row["told"], row


@asynccontextmanager
async def open_lab(settings, pools, at=NOON, *, api=True, preset="retail"):
    """Open a shop of one's own, its clock standing still."""
    clock = FixedClock(at)
    tenant = await make_tenant(settings, preset)
    async with pools.lend(settings, clock, worker=True) as database:
        lab = Lab(database, clock, tenant)
        if not api:
            yield lab
            return
        async with application(settings, database) as app, client_of(app, tenant.key) as client:
            lab.client = client
            yield lab
