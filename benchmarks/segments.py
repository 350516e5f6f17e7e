"""Segments: what a full evaluation costs, and what following changes costs against the number of changed customers.

    python -m benchmarks segments --customers 200000

Twenty segments of all sorts are made and evaluated, each with its next flips. Then customers are touched, as the relay
touches them after a message: 1, 10, 100, 1,000 at a time, in all segments. Fails when one changed customer takes
`TOUCH_BOUND` seconds, a full evaluation in which hardly anybody moves `FULL_BOUND` (the first one writes all members
besides), or a pass for one customer reads a big table from end to end.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from benchmarks.data import Shop, shop
from benchmarks.measure import postgres_family, spent
from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.segments import jobs
from crm_api.segments.models import SegmentCreate
from crm_api.segments.service import SegmentService
from crm_api.segments.touches import Why
from crm_api.segments.upkeep import Upkeep

TOUCH_BOUND = 2.0
FULL_BOUND = 3.0
SIZES = (1, 10, 100, 1_000)
RUNS = 7

_READ = """
SELECT coalesce(sum(seq_scan), 0) AS whole, coalesce(sum(seq_tup_read + idx_tup_fetch), 0) AS rows
FROM pg_stat_xact_user_tables WHERE relname IN ('customers', 'orders', 'customer_tags', 'customer_purchase_facts',
  'customer_scores', 'loyalty_wallets', 'segment_members', 'segment_flips')
"""


def rules(first: UUID | None = None) -> Sequence[tuple[str, Any]]:
    """Return twenty rules; the last three name the first segment."""

    def window(days: int, least: int) -> Any:
        return {"aggregate": "count", "of": "orders", "window": {"last_days": days}, "op": "gte", "value": least}

    spent = {"amount": 5_000_000, "currency": "CNY"}
    named = {"field": "segments", "op": "contains", "value": str(first)}
    made: list[tuple[str, Any]] = [
        ("2 orders in 90 days", window(90, 2)),
        *(
            (f"{least} orders in {days} days", window(days, least))
            for days, least in ((30, 1), (60, 3), (180, 6), (14, 1))
        ),
        ("none in 60 days", {"not": window(60, 1)}),
        ("spent", {"aggregate": "sum", "of": "orders.paid", "window": {"last_days": 90}, "op": "gt", "value": spent}),
        ("silent", {"field": "last_order_at", "op": "lt", "value": {"days_ago": 45}}),
        ("new", {"field": "created_at", "op": "within", "value": {"last_days": 30}}),
        ("birthday", {"field": "next_birthday", "op": "lte", "value": {"days_ahead": 7}}),
        ("vip", {"field": "tags", "op": "contains", "value": "vip"}),
        (
            "vip in Shanghai",
            {
                "all": [
                    {"field": "tags", "op": "contains", "value": "vip"},
                    {"field": "city", "op": "eq", "value": "上海"},
                ]
            },
        ),
        ("teachers", {"field": "occupation", "op": "eq", "value": "教师"}),
        ("many points", {"field": "points", "op": "gte", "value": 4_900}),
        ("loyal", {"field": "order_count", "op": "gte", "value": 9}),
        ("grade B", {"field": "grade", "op": "eq", "value": "B"}),
        ("first order long ago", {"field": "first_order_at", "op": "lt", "value": {"days_ago": 200}}),
    ]
    if first is None:
        return made
    return [
        ("named and vip", {"all": [named, {"field": "tags", "op": "contains", "value": "vip"}]}),
        ("not named", {"not": named}),
        ("named in Hangzhou", {"all": [named, {"field": "city", "op": "eq", "value": "杭州"}]}),
    ]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the clock, and of CPU: PostgreSQL's and ours, which other work on the machine does not change."""

    wall: float
    postgres: float
    ours: float

    def __str__(self) -> str:
        """Return the cells of a table."""
        return f"{self.wall:.2f} | {self.postgres:.2f} | {self.ours:.2f}"


async def cost(postmaster: int, work: Awaitable[Any]) -> Cost:
    """Measure some work."""
    before, ours, began = postgres_family(postmaster), time.process_time(), time.perf_counter()
    await work
    wall, used = time.perf_counter() - began, time.process_time() - ours
    return Cost(wall, spent(before, postgres_family(postmaster)), used)


async def make(database: Database, actor: Actor, name: str, rule: Any) -> UUID:
    """Make a segment; returns its id."""
    data = SegmentCreate(name=f"{name} {time.time_ns()}", rule=rule)
    return await database.run(actor, lambda unit: SegmentService(unit).create(data))


async def evaluate(database: Database, actor: Actor, segment_id: UUID) -> None:
    """Evaluate everybody."""
    await jobs.evaluate(database, {"tenant_id": str(actor.tenant_id), "segment_id": str(segment_id)})


async def touch(database: Database, actor: Actor, ids: Sequence[UUID]) -> tuple[float, int, int]:
    """Look at customers in all segments; returns seconds, rows read and tables read from end to end."""

    async def work(unit: UnitOfWork) -> tuple[int, int]:
        await Upkeep(unit).touch(dict.fromkeys(ids, Why("event")))
        row = await unit.connection.fetchrow(_READ)
        return (0, 0) if row is None else (row["rows"], row["whole"])

    began = time.perf_counter()
    rows, whole = await database.run(actor, work)
    return time.perf_counter() - began, rows, whole


async def measure(data: Shop) -> None:
    """Measure and print."""
    postmaster = data.server.status().pid
    assert postmaster is not None
    database = await Database.open(data.settings, worker=True)
    actor = Actor.system(data.tenant_id)
    try:
        await database.run(actor, lambda unit: unit.connection.execute("UPDATE segments SET state = 'archived'"))
        print("\nseconds: wall, CPU of PostgreSQL, our CPU\n")
        print(f"| segment | members | first | PG | we | again | PG | we |\n|{'---|' * 8}")
        first, worst = None, 0.0
        for name, rule in rules():
            first, again = await one(database, actor, postmaster, name, rule, first)
            worst = max(worst, again.wall)
        for name, rule in rules(first):
            _, again = await one(database, actor, postmaster, name, rule, first)
            worst = max(worst, again.wall)
        slowest = await follow(database, actor)
    finally:
        await database.close()
    if slowest > TOUCH_BOUND or worst > FULL_BOUND:
        raise SystemExit(f"too slow: {slowest:.2f} s for one customer, {worst:.2f} s for everybody")


async def one(
    database: Database, actor: Actor, postmaster: int, name: str, rule: Any, first: UUID | None
) -> tuple[UUID, Cost]:
    """Make a segment, evaluate it twice, and print; returns the first segment and the second evaluation's cost."""
    segment_id = await make(database, actor, name, rule)
    costs = [await cost(postmaster, evaluate(database, actor, segment_id)) for _ in range(2)]
    row = await database.run(actor, lambda unit: SegmentService(unit).repository.get(segment_id))
    if row["state"] != "active":
        raise SystemExit(f"{name}: {row['state']}: {row['error']}")
    print(f"| {name} | {row['size']:,} | {costs[0]} | {costs[1]} |", flush=True)
    return first or segment_id, costs[1]


async def follow(database: Database, actor: Actor) -> float:
    """Touch customers and print; returns the seconds of the slowest pass for one."""
    rows = await database.run(actor, lambda unit: unit.connection.fetch("SELECT id FROM customers"))
    ids, slowest = [row["id"] for row in rows], 0.0
    print("\n| changed customers | median, s | worst, s | rows read | tables scanned |\n|---|---|---|---|---|")
    for size in SIZES:
        found = [await touch(database, actor, random.sample(ids, size)) for _ in range(RUNS + 1)][1:]
        times = [each[0] for each in found]
        read, whole = max(each[1] for each in found), max(each[2] for each in found)
        print(f"| {size:,} | {statistics.median(times):.3f} | {max(times):.3f} | {read:,} | {whole} |", flush=True)
        if size == 1:
            slowest = max(times)
            if whole:
                raise SystemExit("a touched pass reads a whole table")
    return slowest


def run(customers: int, _requests: int) -> None:
    """Run on the shop of this size."""
    with shop(customers) as data:
        asyncio.run(measure(data))
