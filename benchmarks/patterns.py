"""Purchase patterns over a large shop: pairs of all baskets, everybody's patterns, and those of a few who ordered.

    python -m benchmarks patterns --customers 200000

Five orders and twelve lines a customer, 2,000 products in 60 categories whose popularity falls like 1/rank, and two
looks a customer. The floor of the pairs is reading the same lines once (orders joined with their lines, each thing of a
basket once); the cost of a few customers must not depend on the size of the shop.
"""

import asyncio
import time
from datetime import UTC, datetime

import asyncpg

from crm_api import admin
from crm_api.core.actor import Actor
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.patterns.models import PatternRunCreate
from crm_api.patterns.service import PatternService
from crm_api.settings import Settings
from tests.support.database import test_server

ORDERS, LINES, PRODUCTS, CATEGORIES = 5, 2.4, 2_000, 60

LOAD = (
    "SELECT setseed(0.5)",
    """INSERT INTO products (tenant_id, id, sku, name, category)
       SELECT $1, md5('p' || n)::uuid, 'SKU-' || n, 'x', 'c/' || n % $3 FROM generate_series(1, $4::int) AS n
       WHERE $2::int > 0""",
    """INSERT INTO customers (tenant_id, id, name)
       SELECT $1, md5('c' || n)::uuid, 'x' FROM generate_series(1, $2::int) AS n WHERE $3::int + $4::int > 0""",
    """INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency,
                           total_amount, paid_amount, discount_amount, placed_at)
       SELECT $1, md5('o' || n)::uuid, md5('c' || 1 + n % $2::int)::uuid, 'shop', n::text, 'completed', 'completed',
              'CNY', 9000, 9000, CASE WHEN n % 3 = 0 THEN 500 ELSE 0 END,
              now() - random() * interval '360 days' - interval '1 day'
       FROM generate_series(1, $2::int * 5) AS n WHERE $3::int + $4::int > 0""",
    """INSERT INTO order_lines (tenant_id, id, order_id, position, sku, title, quantity, unit_price_amount, amount,
                                currency, product_id, category)
       SELECT $1, gen_random_uuid(), md5('o' || n)::uuid, place, 'SKU-' || item, 'x', 1, 3500, 3500, 'CNY',
              md5('p' || item)::uuid, 'c/' || item % $3
       FROM (SELECT n, place, ceil(exp(random() * ln($4::int)))::int AS item
             FROM generate_series(1, $2::int * 5) AS n, generate_series(1, 2 + (n % 5 < 2)::int) AS place) AS made""",
    """INSERT INTO events (tenant_id, id, type, occurred_at, customer_id, sku)
       SELECT $1, gen_random_uuid(), 'page_view', now() - random() * interval '80 days',
              md5('c' || 1 + n % $2::int)::uuid, 'SKU-' || ceil(exp(random() * ln($4::int)))::int
       FROM generate_series(1, $2::int * 2) AS n WHERE $3::int > 0""",
    """INSERT INTO customer_purchase_facts (tenant_id, customer_id, paid_order_count, currency)
       SELECT $1, id, 5, 'CNY' FROM customers WHERE tenant_id = $1 AND $2::int + $3::int + $4::int > 0""",
)
FLOOR = """
SELECT count(*) FROM (SELECT DISTINCT o.id, l.product_id FROM orders o
JOIN order_lines l ON l.tenant_id = o.tenant_id AND l.order_id = o.id WHERE o.tenant_id = $1) AS baskets
"""


async def _load(url: str, tenant_id: object, customers: int) -> None:
    owner = await asyncpg.connect(url)
    for statement in LOAD:
        values = (tenant_id, customers, CATEGORIES, PRODUCTS) if "$1" in statement else ()
        await owner.execute(statement, *values)
    await owner.execute("VACUUM ANALYZE")
    await owner.close()


async def _timed(name: str, work: object) -> object:
    began = time.perf_counter()
    found = await work  # type: ignore[misc]
    print(f"| {name} | {time.perf_counter() - began:,.2f} s |", flush=True)
    return found


async def _run(database: Database, tenant_id: object, kind: str) -> None:
    """Do a run, telling the time of each pass over the baskets."""
    actor = Actor.system(tenant_id)  # type: ignore[arg-type]
    run_id = await database.run(actor, lambda unit: PatternService(unit).start(PatternRunCreate(kind=kind)))
    await database.run(actor, lambda unit: PatternService(unit).step(run_id))
    began, more, passes = time.perf_counter(), True, 0
    while more:
        at = time.perf_counter()
        more = await database.run(actor, lambda unit: PatternService(unit).step(run_id))
        if kind == "bought_together" and more:
            passes += 1
            print(f"| pass {passes} | {time.perf_counter() - at:,.2f} s |", flush=True)
    async with database.read(actor) as unit:
        run = await unit.connection.fetchrow(
            "SELECT * FROM pattern_runs WHERE tenant_id = $1 AND id = $2", tenant_id, run_id
        )
    print(f"| {kind}, all | {time.perf_counter() - began:,.2f} s: {run['processed']:,} {run['figures']} |", flush=True)


async def _measure(url: str, customers: int) -> None:
    settings = Settings(database_url=url, worker_statement_timeout_ms=600_000)
    made = await admin.create_tenant(settings, f"patterns {new_id()}")
    began = time.perf_counter()
    await _load(url, made.tenant_id, customers)
    print(f"{datetime.now(UTC):%F %T} UTC; {customers:,} customers, {customers * ORDERS:,} orders", end=", ")
    print(f"loaded in {time.perf_counter() - began:,.0f} s\n\n| work | time |\n|---|---|", flush=True)
    database = await Database.open(settings, worker=True)
    try:
        await _few(database, made.tenant_id, "before")
        async with database.read(Actor.system(made.tenant_id)) as unit:
            await _timed(
                "floor of a pass: each product of a basket, once", unit.connection.fetchval(FLOOR, made.tenant_id)
            )
        await _run(database, made.tenant_id, "bought_together")
        await _run(database, made.tenant_id, "customers")
        await _few(database, made.tenant_id, "after")
    finally:
        await database.close()


async def _few(database: Database, tenant_id: object, when: str) -> None:
    actor = Actor.system(tenant_id)  # type: ignore[arg-type]
    async with database.read(actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT id FROM customers WHERE tenant_id = $1 ORDER BY id LIMIT 501", tenant_id
        )
    ids = [row["id"] for row in rows]
    for some in (ids[:1], ids[1:]):
        work = database.run(actor, lambda unit, some=some: PatternService(unit).refresh(some))
        await _timed(f"patterns of {len(some)} who ordered, {when} everybody's were made", work)


def run(customers: int, _total: int) -> None:
    """Run on an embedded server of the tests' kind."""
    with test_server() as server, server.migrated() as url:
        asyncio.run(_measure(url, customers))
