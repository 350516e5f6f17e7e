"""Classes of a large shop: everybody in one statement, one customer who ordered, the matrix of transitions.

    python -m benchmarks classes --customers 200000

Five orders a customer. The floor is adding up the same orders by customer once.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import asyncpg

from crm_api import admin
from crm_api.classifications.models import ScoringRunCreate, TransitionsAsked
from crm_api.classifications.scoring import ScoringService
from crm_api.classifications.service import ClassificationService
from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.settings import Settings
from tests.support.database import test_server

LOAD = (
    "SELECT setseed(0.5)",
    """INSERT INTO customers (tenant_id, id, name)
       SELECT $1, md5('c' || n)::uuid, 'x' FROM generate_series(1, $2::int) AS n""",
    """INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency,
                           total_amount, paid_amount, placed_at)
       SELECT $1, md5('o' || n)::uuid, md5('c' || 1 + floor($2::int * random() ^ 2))::uuid, 'shop', n::text,
              'completed', 'completed', 'CNY', made.amount, made.amount,
              now() - random() * interval '700 days' - interval '1 day'
       FROM (SELECT n, (1000 + 100000 * random() ^ 3)::bigint AS amount
             FROM generate_series(1, $2::int * 5) AS n) made""",
)
FLOOR = """
SELECT count(*) FROM (
  SELECT customer_id, count(*), max(placed_at), sum(paid_amount - refunded_amount) FROM orders
  WHERE tenant_id = $1 AND status IN ('paid', 'shipped', 'completed') GROUP BY customer_id) AS measured
"""


async def _load(url: str, tenant_id: object, customers: int) -> None:
    owner = await asyncpg.connect(url)
    for statement in LOAD:
        await owner.execute(statement, *((tenant_id, customers) if "$1" in statement else ()))
    await owner.execute("VACUUM ANALYZE")
    await owner.close()


async def _timed(name: str, work: object) -> object:
    began = time.perf_counter()
    found = await work  # type: ignore[misc]
    print(f"| {name} | {time.perf_counter() - began:,.2f} s |", flush=True)
    return found


async def _score(database: Database, actor: Actor, name: str, **asked: object) -> None:
    run_id = await database.run(actor, lambda unit: ScoringService(unit).start(ScoringRunCreate(**asked)))
    assert await database.run(actor, lambda unit: ScoringService(unit).prepare(run_id))
    await _timed(name, database.run(actor, lambda unit: ScoringService(unit).score(run_id)))


async def _measure(settings: Settings, url: str, customers: int) -> None:
    tenant_id = (await admin.create_tenant(settings, "large shop", "taobao")).tenant_id
    await _load(url, tenant_id, customers)
    actor = Actor.system(tenant_id)
    database = await Database.open(settings, worker=True)
    print(f"| {customers:,} customers, {customers * 5:,} orders | |\n|---|---|")
    async with database.read(actor) as unit:
        await _timed("the floor: orders added up by customer", unit.connection.fetchval(FLOOR, tenant_id))
    began = datetime.now(UTC)
    await _score(database, actor, "everybody in nine dimensions, the first time: all rows and all of the log are new")
    await _score(database, actor, "everybody again, a moment later")
    month = f"{(began.replace(day=1) - timedelta(days=1)):%Y-%m}"
    await _score(database, actor, "a month that is over, kept beside", period=month)
    async with database.read(actor) as unit:
        ids = await unit.connection.fetch("SELECT id FROM customers WHERE tenant_id = $1 LIMIT 1", tenant_id)
    for name in ("one customer who ordered", "another time"):
        await _timed(name, database.run(actor, lambda unit: ScoringService(unit).assess([ids[0][0]], "event")))
    asked = TransitionsAsked(dimension="rfm", from_at=began.isoformat(), to_at=datetime.now(UTC).isoformat())
    async with database.read(actor) as unit:
        await _timed("the matrix of transitions", ClassificationService(unit).transitions(asked))
    await database.close()


def run(customers: int, _total: int) -> None:
    """Run on an embedded server of the tests' kind."""
    with test_server() as server, server.migrated() as url:
        asyncio.run(_measure(Settings(database_url=url), url, customers))
