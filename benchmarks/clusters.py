"""A clustering of a whole shop: time and memory by phase, and how long the worker's event loop stands still.

    python -m benchmarks clusters --customers 200000

Customers of four known kinds with three orders each on average, in a database of its own (CRM_TEST_DATABASE_URL, or an
embedded server without fsync). The job's own handler runs in this process; beside it a task that wants to wake every 5
ms stands for the worker's heartbeat.
"""

import asyncio
import os
import resource
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import psutil

from benchmarks.imports import _postgres_cpu
from crm_api import admin
from crm_api.clusters.models import ClusteringCreate
from crm_api.clusters.runner import ClusteringRun
from crm_api.clusters.service import ClusteringService
from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.orders.statements import LOCK_FACTS, REFRESH_FACTS
from crm_api.settings import Settings
from tests.support.database import test_server

FEATURES = (
    "recency_days",
    "order_count",
    "net_spend",
    "average_order_value",
    "tenure_days",
    "discount_share",
    "points",
)
LONGEST_PAUSE = 5.0
"""Seconds: a job is given to another worker after twice CRM_JOB_HEARTBEAT_SECONDS without a sign of life."""

_PEOPLE = """
INSERT INTO customers (tenant_id, id, name)
SELECT $1, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'c' || n FROM generate_series(1, $2::int) n
"""
# Four kinds: gone, steady, new and the few who buy much; amounts vary by half around those of the kind.
_ORDERS = """
INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency,
  total_amount, discount_amount, paid_amount, placed_at)
SELECT $1, gen_random_uuid(), c.id, 'x', c.name || '-' || o, 'completed', 'completed', 'CNY',
  a.amount, CASE WHEN c.n % 7 = 0 THEN a.amount / 5 ELSE 0 END, a.amount,
  now() - interval '1 day' * (kind.since + kind.gap * o + random() * 9)
FROM (SELECT id, name, substr(name, 2)::int AS n FROM customers WHERE tenant_id = $1) c
JOIN (VALUES (0, 1, 400, 60, 9000), (1, 4, 20, 30, 12000), (2, 1, 5, 10, 8000), (3, 9, 4, 12, 60000))
  AS kind (kind, orders, since, gap, about) ON kind.kind = CASE WHEN c.n % 20 = 0 THEN 3 ELSE c.n % 3 END
CROSS JOIN LATERAL generate_series(1, kind.orders) AS o
CROSS JOIN LATERAL (SELECT (kind.about * (0.5 + random()) + 0 * o)::bigint AS amount) AS a
"""


@dataclass
class Watch:
    """What the run did to this process."""

    began: float = field(default_factory=time.monotonic)
    longest: float = 0.0
    peak: int = 0
    phases: dict[str, float] = field(default_factory=dict)


@asynccontextmanager
async def watched() -> AsyncIterator[Watch]:
    """Watch the event loop from inside it, and memory from a thread."""
    watch, stop = Watch(), threading.Event()

    async def beat() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            watch.longest, last = max(watch.longest, now - last - 0.005), now

    def weigh() -> None:
        process = psutil.Process()
        while not stop.wait(0.05):
            watch.peak = max(watch.peak, process.memory_info().rss)

    heart, scales = asyncio.create_task(beat()), threading.Thread(target=weigh)
    scales.start()
    try:
        yield watch
    finally:
        heart.cancel()
        stop.set()
        scales.join()


async def _shop(database: Database, actor: Actor, customers: int) -> None:
    async with database.write(actor) as unit:
        await unit.connection.execute("SELECT setseed(0.5)")
        await unit.connection.execute(_PEOPLE, actor.tenant_id, customers)
        await unit.connection.execute(_ORDERS, actor.tenant_id)
    async with database.read(actor) as unit:
        rows = await unit.connection.fetch("SELECT id FROM customers WHERE tenant_id = $1 ORDER BY id", actor.tenant_id)
    ids = [row["id"] for row in rows]
    for start in range(0, len(ids), 20_000):
        async with database.write(actor) as unit:
            for sql in (LOCK_FACTS, REFRESH_FACTS):
                await unit.connection.execute(sql, actor.tenant_id, ids[start : start + 20_000])


class TimedRun(ClusteringRun):
    """A run that notes when its phases begin."""

    watch: Watch

    async def _note(self, **values: Any) -> None:
        if "phase" in values:
            self.watch.phases[values["phase"]] = time.monotonic()
        await super()._note(**values)

    async def _store(self, unit: Any, outcome: Any) -> None:
        self.watch.phases["storing"] = time.monotonic()
        await super()._store(unit, outcome)

    async def _add_members(self, unit: Any) -> bool:
        self.watch.phases.setdefault("segmenting", time.monotonic())
        return await super()._add_members(unit)


async def _measure(url: str, customers: int) -> None:
    settings = Settings(database_url=url)
    made = await admin.create_tenant(settings, "benchmark", "retail")
    actor = Actor.system(made.tenant_id)
    database = await Database.open(settings, worker=True)
    owner = await asyncpg.connect(url)
    await _shop(database, actor, customers)
    await owner.execute("VACUUM ANALYZE")
    asked = ClusteringCreate.model_validate({"name": "x", "features": [{"name": name} for name in FEATURES], "seed": 1})
    async with database.write(actor) as unit:
        clustering_id: UUID = await ClusteringService(unit).start(asked)
    run = TimedRun(database, made.tenant_id, clustering_id)
    before, cpu, postgres = psutil.Process().memory_info().rss, time.process_time(), await _postgres_cpu(owner)
    async with watched() as watch:
        run.watch = watch
        await run.run()
        ended = time.monotonic()
    row = await owner.fetchrow(
        "SELECT customers, clusters_found, silhouette, tried FROM clusterings WHERE id = $1", clustering_id
    )
    members = await owner.fetchval("SELECT count(*) FROM segment_members WHERE tenant_id = $1", made.tenant_id)
    assert row is not None
    assert members == row["customers"] == customers
    print(
        f"{customers:,} customers, {len(FEATURES)} features, k 2-8: {row['clusters_found']} clusters, "
        f"silhouette {row['silhouette']:.3f}, {members:,} members"
    )
    moments = [*watch.phases.items(), ("end", ended)]
    for (phase, at), (_, until) in pairwise(moments):
        print(f"  {phase:<12} {until - at:7.2f} s")
    print(
        f"  {'in all':<12} {ended - watch.began:7.2f} s; CPU {time.process_time() - cpu:.2f} s here, "
        f"{await _postgres_cpu(owner) - postgres:.2f} s PostgreSQL"
    )
    print(
        f"  memory: {before / 2**20:.0f} MiB before, {watch.peak / 2**20:.0f} MiB at most "
        f"(ru_maxrss {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f})"
    )
    print(f"  the event loop's longest pause: {watch.longest * 1000:.0f} ms (load {os.getloadavg()[0]:.1f})")
    met = "met   " if watch.longest < LONGEST_PAUSE else "MISSED"
    print(f"- {met} longest pause in seconds: {watch.longest:.2f} (wanted < {LONGEST_PAUSE})")
    await owner.close()
    await database.close()


def run(customers: int, _requests: int) -> None:
    """Run it."""
    with test_server() as server, server.migrated() as url:
        asyncio.run(_measure(url, customers))
