"""Clients who do not wait, while API and worker processes are killed: no point is lost, nobody sees a deadlock."""

import asyncio
import contextlib
import os
import random
import time
from collections import Counter

import httpx
import pytest
import pytest_asyncio

from crm_api.db.pool import Database
from crm_api.loyalty.repository import drift
from crm_api.settings import Settings
from tests.support.api import make_tenant
from tests.support.zygote import zygote

pytestmark = [pytest.mark.asyncio, pytest.mark.database, pytest.mark.slow]

SECONDS = float(os.environ.get("CRM_TEST_LEDGER_SECONDS", "5"))
CLIENTS = int(os.environ.get("CRM_TEST_LEDGER_CLIENTS", "8"))
WALLETS = 12
HOT = 2
START = 1000
REFUSED = {"insufficient_balance", "hold_closed", "already_reversed", "hold_not_posted", "exceeds_posted"}
"""What the ledger may say to somebody who came too late."""


@pytest.fixture
def forked(tmp_path):
    with zygote(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def books(own_database_url):
    database = await Database.open(Settings(database_url=own_database_url))
    tenant = await make_tenant(Settings(database_url=own_database_url))
    yield own_database_url, database, tenant
    await database.close()


class Client:
    """Sends one operation after another; what is not answered is sent again with its key."""

    def __init__(self, http, customers, told, progress, number):
        self.http, self.customers, self.told, self.progress = http, customers, told, progress
        self.chance = random.Random(number)
        self.number, self.sent = number, 0
        self.holds, self.spent = [], []

    async def run(self, until):
        while time.monotonic() < until:
            await self.once()

    async def once(self):
        # Half of all work goes to the two hot wallets.
        customers = self.customers[:HOT] if self.chance.random() < 0.5 else self.customers
        account = f"/v1/loyalty/accounts/{self.chance.choice(customers)}"
        body = {"points": self.chance.randint(1, 20), "reason": "x"}
        what = self.chance.choice(("adjust", "redeem", "hold", "post", "void", "reverse", "undo", "transfer"))
        if what == "adjust":
            await self.post("adjust", f"{account}/adjustments", body)
        elif what == "redeem" and (done := await self.post("redeem", f"{account}/redemptions", body)):
            self.spent.append(done["transaction"]["id"])
        elif what == "hold" and (done := await self.post("hold", f"{account}/holds", body)):
            self.holds.append(done["id"])
        elif what in {"post", "void", "reverse"} and self.holds:
            await self.post(what, f"/v1/loyalty/holds/{self.chance.choice(self.holds)}/{what}", {})
        elif what == "undo" and self.spent:
            await self.post("undo", f"/v1/loyalty/redemptions/{self.spent.pop()}/reversal", {})
        elif what == "transfer":
            body["to_customer_id"] = self.chance.choice(customers)
            await self.post("transfer", f"{account}/transfers", body)

    async def post(self, what, path, body):
        """Return the answer of a success, None when the ledger refused; anything else is a failure of the test."""
        self.sent += 1
        headers = {"idempotency-key": f"{self.number}-{self.sent}"}
        while True:
            try:
                answer = await self.http.post(path, json=body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code != 503:
                break
            await asyncio.sleep(0.02)
        told = answer.json()
        if answer.is_success:
            self.told[what] += 1
            self.progress.set()
            if what == "adjust":
                self.told["given"] += told["transaction"]["points"]
            return told
        same = answer.status_code == 422 and told["errors"][0]["code"] == "same_customer"
        assert same or told["code"] in REFUSED, answer.text
        return None


async def test_clients_while_everything_is_killed(books, forked):
    url, database, tenant = books
    socket = str(forked.folder / "api.sock")
    told, kills, progress = Counter(), Counter(), asyncio.Event()
    transport = httpx.AsyncHTTPTransport(uds=socket, limits=httpx.Limits(max_connections=CLIENTS))
    headers = {"authorization": f"Bearer {tenant.key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test", headers=headers, timeout=60) as http:

        def serve():
            return forked.start("serve", "--uds", socket, CRM_DATABASE_URL=url)

        def work():
            return forked.start("worker", CRM_DATABASE_URL=url, CRM_RELAY_POLL_SECONDS=0.05)

        api, worker = serve(), work()
        customers = await open_accounts(http)
        until = time.monotonic() + SECONDS
        clients = [Client(http, customers, told, progress, number) for number in range(CLIENTS)]
        async with asyncio.TaskGroup() as crowd:
            for client in clients:
                crowd.create_task(client.run(until))
            while time.monotonic() < until - 1:
                # Whoever is killed before it has done anything proves nothing.
                progress.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(progress.wait(), until - time.monotonic())
                await asyncio.sleep(random.uniform(0.2, 1.2))
                if kills["api"] <= kills["worker"]:
                    await asyncio.to_thread(api.kill)
                    kills["api"] += 1
                    api = serve()
                else:
                    await asyncio.to_thread(worker.kill)
                    kills["worker"] += 1
                    worker = work()
        for process in (api, worker):
            await asyncio.to_thread(process.kill)
    await check(database, tenant, told)
    print(dict(told), dict(kills))  # noqa: T201 - for whoever runs the long one with -s
    assert sum(kills.values()) >= 1


async def open_accounts(http):
    made = []
    for number in range(WALLETS):
        while True:
            try:
                answer = await http.post(
                    "/v1/customers", json={"name": f"n{number}"}, headers={"idempotency-key": f"c{number}"}
                )
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            break
        assert answer.status_code == 201, answer.text
        customer = answer.json()["id"]
        given = {"points": START, "reason": "start"}
        answer = await http.post(f"/v1/loyalty/accounts/{customer}/adjustments", json=given)
        assert answer.status_code == 201, answer.text
        made.append(customer)
    return made


async def check(database, tenant, told):
    """The ledger is its replay, has exactly what the clients were told, and each of their keys had one effect."""
    async with database.read(tenant.actor) as unit:
        assert await drift(unit) == []
        fetch = unit.connection.fetchval
        kinds = {"adjust": "adjust", "redeem": "redeem", "hold": "hold", "post": "post", "void": "void"}
        for what, kind in kinds.items():
            booked = await fetch("SELECT count(*) FROM loyalty_transactions WHERE type = $1", kind)
            assert booked == told[what] + (WALLETS if what == "adjust" else 0), what
        restored = await fetch("SELECT count(*) FROM loyalty_transactions WHERE type = 'restore'")
        assert restored == told["undo"] + told["reverse"]
        transferred = await fetch("SELECT count(*) FROM loyalty_transactions WHERE type = 'transfer'")
        assert transferred == 2 * told["transfer"]
        spent = await fetch("SELECT coalesce(sum(points), 0) FROM loyalty_entries WHERE account = 'redeemed'")
        there = await fetch("SELECT sum(available + held) FROM loyalty_wallets")
        assert there == WALLETS * START + told["given"] - spent
