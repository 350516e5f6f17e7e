"""A shop as its people see it: the public API on one side, the real worker on the other."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from crm_api.core.clock import Clock
from crm_api.db.pool import Database
from crm_api.segments.jobs import follow_time
from crm_api.settings import Settings
from crm_api.worker.run import work
from tests.support.api import application, client_of, make_tenant

PATIENCE = 120
"""Seconds the worker is given for what a step waits for."""
VOLATILE = ("version", "updated_at", "scores")
"""What every write changes, and the scores, which the worker makes anew after orders and merges."""


@dataclass
class Shop:
    """A merchant's key to the API; everything a story does goes through it."""

    client: httpx.AsyncClient
    workers: Database

    async def get(self, path: str, **query: Any) -> Any:
        """Return what stands at a path."""
        answer = await self.client.get(f"/v1{path}", params=query)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.json()

    async def send(self, path: str, body: Any = None, status: int | None = None, method: str = "POST") -> Any:
        """Send a body; the answer must be a success, or just this status."""
        answer = await self.client.request(method, f"/v1{path}", json=body)
        assert answer.is_success if status is None else answer.status_code == status, f"{path}: {answer.text}"
        return answer.json() if answer.content else None

    async def ask(self, query: str, **variables: Any) -> Any:
        """Ask GraphQL."""
        answer = (await self.client.post("/graphql", json={"query": query, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def all(self, path: str, **query: Any) -> list[Any]:
        """Return the rows of every page of a list."""
        page = await self.get(path, limit=200, **query)
        rows: list[Any] = page["data"]
        while page["page"]["has_more"]:
            page = await self.get(path, limit=200, after=page["page"]["next"], **query)
            rows += page["data"]
        return rows

    async def count(self, path: str, **query: Any) -> int:
        """Return how many rows a list has."""
        total: int = (await self.get(path, limit=1, count="exact", **query))["page"]["total"]
        return total

    async def found(self, rule: Any) -> set[str]:
        """Return the ids of the customers a rule selects."""
        ids: set[str] = set()
        after = None
        while True:
            body = {"rule": rule, "limit": 200, "fields": ["id"], **({"after": after} if after else {})}
            page = await self.send("/customers/search", body)
            ids |= {each["id"] for each in page["data"]}
            after = page["page"]["next"]
            if not page["page"]["has_more"]:
                return ids

    async def known(self, platform: str, external_id: str) -> str:
        """Return the customer with an outside identity."""
        (found,) = (await self.get("/customers", identity=f"{platform}:{external_id}"))["data"]
        customer_id: str = found["id"]
        return customer_id

    # -- what takes the worker -------------------------------------------------------------------------------------

    async def wait(self, look: Callable[[], Awaitable[Any]], done: Callable[[Any], bool]) -> Any:
        """Look again and again until the worker has done what is waited for."""
        async with asyncio.timeout(PATIENCE):
            while not done(seen := await look()):  # noqa: ASYNC110 - the worker's doings are seen by looking
                await asyncio.sleep(0.05)
        return seen

    async def start_import(self, file: bytes, kind: str, **how: str) -> Any:
        """Upload a file to be imported."""
        form = {"kind": kind, **how}
        answer = await self.client.post("/v1/imports", data=form, files={"file": (f"{kind}.csv", file)})
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def imported(self, file: bytes, kind: str, **how: str) -> Any:
        """Import a file and wait for the end."""
        made = await self.start_import(file, kind, **how)
        seen = await self.wait(
            lambda: self.get(f"/imports/{made['id']}"), lambda each: each["state"] in {"completed", "failed"}
        )
        assert seen["state"] == "completed", seen
        return seen

    async def searched(self, kind: str = "full") -> Any:
        """Search for duplicates and wait for the end."""
        run = await self.send("/duplicate-runs", {"kind": kind})
        seen = await self.wait(
            lambda: self.get(f"/duplicate-runs/{run['id']}"), lambda each: each["state"] in {"completed", "failed"}
        )
        assert seen["state"] == "completed", seen
        return seen

    async def time_passes(self) -> None:
        """Do what the worker does every minute: look at segments that change by time alone."""
        await follow_time(self.workers)

    async def pair(self, one: str, other: str) -> Any:
        """Return the proposal that two customers are one."""
        (found,) = [
            each
            for each in await self.all("/duplicate-candidates", state="open")
            if {each["first_id"], each["second_id"]} == {one, other}
        ]
        return found

    # -- what a customer is ----------------------------------------------------------------------------------------

    async def picture(self, customer_id: str) -> dict[str, Any]:
        """Return all that is known of a customer, but for what every write changes."""
        shown = await self.get(f"/customers/{customer_id}")
        if shown["purchases"]:
            shown["purchases"].pop("updated_at")
        orders = await self.all(f"/customers/{customer_id}/orders")
        points = await self.get(f"/loyalty/accounts/{customer_id}")
        return {
            "customer": {name: value for name, value in shown.items() if name not in VOLATILE},
            "orders": sorted(
                (each["platform"], each["external_id"], each["paid"]["amount"], each["refunded"]["amount"])
                for each in orders
            ),
            "points": {name: points[name] for name in ("available", "pending", "held", "debt")},
            "children": sorted(each["id"] for each in await self.all(f"/customers/{customer_id}/children")),
            "households": sorted(each["id"] for each in await self.all(f"/customers/{customer_id}/households")),
        }


@asynccontextmanager
async def open_shop(database_url: str, preset: str, clock: Clock | None = None) -> AsyncIterator[Shop]:
    """Open a shop on a database of its own, with the API and the worker running."""
    settings = Settings(database_url=database_url)
    tenant = await make_tenant(settings, preset)
    stop = asyncio.Event()
    database, workers = (
        await Database.open(settings, clock),
        await Database.open(settings, clock, worker=True),
    )
    working = asyncio.create_task(work(workers, stop))
    try:
        async with application(settings, database) as app, client_of(app, tenant.key) as client:
            yield Shop(client, workers)
    finally:
        stop.set()
        await working
        await workers.close()
        await database.close()


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], encoding: str = "utf-8") -> bytes:
    """Return a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode(encoding)
