"""The search box over the whole shop: how long the database takes for what people type, and how many rows it reads.

    python -m benchmarks search --customers 300000

Fails when a table is read from end to end, or a query needs more than ``BOUND``.
"""

import asyncio
import time
from dataclasses import dataclass

import asyncpg
import psutil

from benchmarks.data import Shop, shop
from benchmarks.measure import Case, compare, get, ours, table
from crm_api.core.clock import SystemClock
from crm_api.core.paging import PageRequest
from crm_api.customers.repository import CUSTOMER
from crm_api.db.plans import NOW_KEY, rest_list

QUERIES = (
    *("王", "伟", "伟华", "王伟华", "山", "wang", "wwh", "ww", "weihua", "wang wei hua", "li", "ing"),
    *(
        "0001",
        "138",
        "861",
        "13000007919",
        "user1234",
        "example.com",
        "tb_15",
        "12",
        "老客户",
        "客户",
        "nobody@nowhere",
    ),
)
BOUND = 50.0
"""Milliseconds of database time that no query may need."""
RUNS = 25

_READ = """
SELECT sum(seq_scan) AS whole, sum(seq_tup_read + idx_tup_fetch) AS rows FROM pg_stat_xact_user_tables
WHERE relname IN ('customers', 'customer_search_keys')
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one query cost.

    Attributes:
        cpu: milliseconds of the backend's CPU, which other work on the machine does not change.
        median: milliseconds until the answer.
        worst: the same of the slowest run.
        rows: read by it.
        whole: tables it read from end to end.

    """

    cpu: float
    median: float
    worst: float
    rows: int
    whole: int


async def cost(data: Shop, query: str) -> Cost:
    """Run the request's own statement, prepared, as the application role; the later runs may go by a generic plan."""
    connection = await asyncpg.connect(data.url, server_settings={"role": "crm_app", "jit": "off"})
    try:
        await connection.execute(f"SET app.tenant = '{data.tenant_id}'")
        bound = rest_list(CUSTOMER, frozenset({"admin"}), PageRequest(), filters={"q": query})
        values = bound.plan.bind(data.tenant_id, {**bound.variables, NOW_KEY: SystemClock().now()})
        times = []
        backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
        for _ in range(6):  # plans are made and caches warm
            await connection.fetch(bound.plan.sql, *values)
        spent = sum(backend.cpu_times()[:2])
        for _ in range(RUNS):
            started = time.perf_counter()
            await connection.fetch(bound.plan.sql, *values)
            times.append((time.perf_counter() - started) * 1000)
        spent = sum(backend.cpu_times()[:2]) - spent
        before = await connection.fetchrow(_READ)  # what this session has done and not yet reported
        await connection.fetch(bound.plan.sql, *values)
        after = await connection.fetchrow(_READ)
        return Cost(
            spent / RUNS * 1000,
            sorted(times)[RUNS // 2],
            max(times),
            after["rows"] - before["rows"],
            after["whole"] - before["whole"],
        )
    finally:
        await connection.close()


def run(customers: int, total: int) -> None:
    """Run."""
    with shop(customers) as data:
        print(f"\n### Search box, {customers:,} customers\n")
        print("| q | CPU ms of PostgreSQL | median ms | worst | rows read |\n|---|---|---|---|---|")
        for query in QUERIES:
            found = asyncio.run(cost(data, query))
            print(f"| {query} | **{found.cpu:.1f}** | {found.median:.2f} | {found.worst:.2f} | {found.rows:,} |")
            assert not found.whole, f"the search for {query!r} reads a whole table"
            assert found.cpu <= BOUND, f"the search for {query!r} takes {found.cpu:.0f} ms"
        with ours(data) as mine:
            cases = [
                Case(mine, [get(f"/v1/customers?limit=20&q={_quoted(query)}", data.api_key)], name=f"q={query}")
                for query in QUERIES
            ]
            table("Search box over HTTP", compare(data, cases, max(total // 10, 80)), ratios=False)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
