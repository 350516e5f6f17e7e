"""Events per second through HTTP, against COPY of the same rows into the same table.

python -m benchmarks events

One server process as production runs it, on a database of its own with production settings (it waits for the disk),
batches of 1,000 events, every event new. A third of the devices belong to somebody, so customers are looked up and
given. COPY writes, as the table's owner and for another tenant, exactly the rows that were stored over HTTP, with the
same partitions and indexes; it checks nothing, looks nothing up and writes no audit row and no message.
"""

import asyncio
import io
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.data import Shop
from benchmarks.measure import drive, family, ours, post, postgres_family, spent, verdict
from crm_api import admin
from crm_api.core.ids import new_id
from crm_api.db import migrate
from crm_api.db.embedded import EmbeddedServer
from crm_api.settings import Settings

BATCH = 1_000
BATCHES = 150
ROUNDS = 3
DEVICES = 20_000
AT_A_TIME = 200
"""Devices in one batch: what a collector hears of in a few seconds."""

TYPES = ("page_view",) * 6 + ("search", "cart_add", "cart_remove", "like")
WANTED = 10_000.0


@contextmanager
def empty_shop() -> Iterator[Shop]:
    """Have an embedded server with production settings and an empty shop for the length of the block."""
    home = Path(os.environ.get("BENCH_HOME", tempfile.gettempdir())) / f"crm-bench-events-{os.getpid()}"
    server = EmbeddedServer(home)
    with server.lease():
        url = server.ensure_database("events")
        migrate.upgrade(url)
        created = asyncio.run(_tenant(Settings(database_url=url)))
        yield Shop(server, url, created.tenant_id, created.api_key, created.tenant_id, created.api_key, 0)
    for folder in {server.layout.base, home}:
        shutil.rmtree(folder, ignore_errors=True)


async def _tenant(settings: Settings) -> Any:
    return await admin.create_tenant(settings, "benchmark events")


def batches(pick: random.Random, number: int) -> Iterator[dict[str, Any]]:
    """Yield batches of new events of the last hours."""
    now = datetime.now(UTC)
    for _ in range(number):
        devices = [f"d-{pick.randrange(DEVICES)}" for _ in range(AT_A_TIME)]
        yield {"events": [_event(pick, now, devices) for _ in range(BATCH)]}


def _event(pick: random.Random, now: datetime, devices: list[str]) -> dict[str, Any]:
    sku = f"SKU-{pick.randrange(2_000)}"
    return {
        "id": str(new_id()),
        "type": pick.choice(TYPES),
        "occurred_at": (now - timedelta(milliseconds=pick.randrange(7_200_000))).isoformat(),
        "device_id": pick.choice(devices),
        "session_id": f"s-{pick.randrange(100_000)}",
        "sku": sku,
        "url": f"/p/{sku}",
        "dwell_ms": pick.randrange(60_000),
        "properties": {"referrer": "wechat", "position": pick.randrange(50)},
    }


async def identify(url: str, tenant_id: Any) -> None:
    """Give every third device to a customer."""
    owner = await asyncpg.connect(url)
    await owner.execute(
        "WITH made AS (INSERT INTO customers (tenant_id, id, name)"
        " SELECT $1, gen_random_uuid(), 'x' FROM generate_series(1, $2 / 3) RETURNING id)"
        " INSERT INTO identifications (tenant_id, id, device_id, at, customer_id)"
        " SELECT $1, gen_random_uuid(), 'd-' || 3 * row_number() OVER (), now() - interval '1 hour', id FROM made",
        tenant_id,
        DEVICES,
    )
    await owner.execute("ANALYZE")
    await owner.close()


async def copy_back(shop: Shop) -> tuple[int, float, float]:
    """Write the tenant's events again for a new tenant by COPY; returns rows, seconds and PostgreSQL's CPU seconds."""
    owner = await asyncpg.connect(shop.url)
    twin = new_id()
    found = await owner.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'events'"
    )
    names = [row[0] for row in found if row[0] != "tenant_id"]
    dump = io.BytesIO()
    shown = ", ".join(f'"{name}"' for name in names)
    await owner.copy_from_query(
        f"SELECT '{twin}'::uuid, {shown} FROM events WHERE tenant_id = '{shop.tenant_id}'",  # noqa: S608
        output=dump,
    )
    dump.seek(0)
    before, began = postgres_family(_postmaster(shop)), time.perf_counter()
    tag = await owner.copy_to_table("events", source=dump, columns=["tenant_id", *names])
    seconds = time.perf_counter() - began
    cpu = spent(before, postgres_family(_postmaster(shop)))
    await owner.close()
    return int(tag.rpartition(" ")[2]), seconds, cpu


def _postmaster(shop: Shop) -> int:
    found = shop.server.status().pid
    assert found is not None
    return found


def run(_customers: int = 0, _requests: int = 0) -> None:
    """Run; the shop's size and the number of requests are other benchmarks' business."""
    pick = random.Random(1)
    with empty_shop() as shop, ours(shop) as server:
        asyncio.run(identify(shop.url, shop.tenant_id))

        def prepared(number: int) -> list[str]:
            return [post("/v1/events/batch", each, shop.api_key) for each in batches(pick, number)]

        drive(server, warm := prepared(10), len(warm), connections=2)
        rates = []
        for _ in range(ROUNDS):
            requests = prepared(BATCHES)
            before = family(server.pid), postgres_family(_postmaster(shop))
            result = drive(server, requests, len(requests), connections=4)
            after = family(server.pid), postgres_family(_postmaster(shop))
            if set(result["statuses"]) != {"200"} or '"duplicates":0' not in result["sample"]:
                raise RuntimeError(f"not every batch was stored: {result['statuses']} {result['sample'][:500]}")
            events = len(requests) * BATCH
            rates.append(events / result["seconds"])
            times = sorted(result["times"])
            _show(
                "HTTP, 4 connections", events, result["seconds"], spent(before[0], after[0]), spent(before[1], after[1])
            )
            print(
                f"  a batch of {BATCH:,}: p50 {times[len(times) // 2] * 1e3:.0f} ms, slowest {times[-1] * 1e3:.0f} ms"
            )
        rows, seconds, cpu = asyncio.run(copy_back(shop))
        _show("COPY of the same rows", rows, seconds, 0.0, cpu)
        best = max(rates)
        print(f"HTTP / COPY: {best / (rows / seconds):.2f} of its speed by wall time\n")
        print(verdict("events/s through HTTP (best round)", best, WANTED, at_most=False))
        print(verdict("events/s through HTTP (worst round)", min(rates), WANTED, at_most=False), flush=True)


def _show(name: str, events: int, seconds: float, server: float, postgres: float) -> None:
    print(
        f"{name:<24} {events:>9,} events {seconds:7.2f} s  {events / seconds:9,.0f} events/s   "
        f"CPU µs/event: server {server / events * 1e6:5.1f}  postgres {postgres / events * 1e6:5.1f}",
        flush=True,
    )
