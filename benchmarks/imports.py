"""Rows per second of an import, against COPY of the same rows into the same tables.

    python -m benchmarks imports
    python benchmarks/imports.py [--rows 100000] [--customers 20000]

Runs the job's own handler in this process on a database of its own (CRM_TEST_DATABASE_URL, or an embedded server
without fsync) and reports, beside wall time, the CPU time of this process and of PostgreSQL: on a busy machine that is
the steadier figure. COPY writes, as the tables' owner and for another tenant, exactly the rows that the import left
behind: orders, customers, identities, search keys, purchase facts, audit log, outbox and row verdicts.
"""

import argparse
import asyncio
import io
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crm_api import admin
from crm_api.core.actor import Actor
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.exchange.models import ImportKind
from crm_api.exchange.runner import ImportRun
from crm_api.exchange.service import How, ImportService, ReceivedFile
from crm_api.exchange.sniff import examine
from crm_api.exchange.undo import UndoRun
from crm_api.settings import Settings
from crm_api.worker.run import settle
from tests.support.database import test_server

TABLES = (
    "customers",
    "contact_points",
    "customer_identities",
    "customer_tags",
    "customer_search_keys",
    "orders",
    "customer_purchase_facts",
    "audit_log",
    "outbox",
    "imports",
    "import_rows",
)
GENERATED = ("seq", "xid")


@dataclass
class Cost:
    """Seconds of wall time and of CPU, here and in PostgreSQL."""

    wall: float
    python: float
    postgres: float


def orders_file(rows: int, customers: int) -> bytes:
    """Return an orders file."""
    pick = random.Random(1)
    lines = ["platform,order_id,customer_id,placed_at,status,total,currency"]
    for number in range(rows):
        day = f"{pick.randrange(2023, 2026)}-{pick.randrange(1, 13):02}-{pick.randrange(1, 29):02}"
        total = pick.randrange(100, 99_999) / 100
        lines.append(f"taobao,T{number:09},b{pick.randrange(customers)},{day},completed,{total:.2f},CNY")
    return "\n".join([*lines, ""]).encode()


def customers_file(rows: int) -> bytes:
    """Return a customers file."""
    lines = ["name,mobile,email,gender,birthday,city,tags,platform,external_id"]
    lines += [
        f"客户{number},138{number:08},user{number}@example.com,女,1990-05-{number % 28 + 1:02},"
        f"上海,vip;新客,taobao,c{number}"
        for number in range(rows)
    ]
    return "\n".join([*lines, ""]).encode()


async def _postgres_cpu(connection: asyncpg.Connection) -> float:
    pids = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    used = 0.0
    for row in pids:
        try:
            times = psutil.Process(row[0]).cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return used


async def measured(connection: asyncpg.Connection, work: Callable[[], Awaitable[object]]) -> Cost:
    """Run and time."""
    postgres, python, wall = await _postgres_cpu(connection), time.process_time(), time.perf_counter()
    await work()
    wall, python = time.perf_counter() - wall, time.process_time() - python
    return Cost(wall, python, await _postgres_cpu(connection) - postgres)


async def run_import(
    database: Database, actor: Actor, how: How, data: bytes, owner: asyncpg.Connection
) -> tuple[UUID, Cost]:
    """Import a file and time the job."""
    file = io.BytesIO(data)
    async with database.write(actor) as unit:
        import_id = await ImportService(unit).create(ReceivedFile("benchmark.csv", file, examine(file)), how)
    return import_id, await measured(owner, ImportRun(database, actor.tenant_id, import_id).run)


async def run_undo(database: Database, actor: Actor, import_id: UUID, owner: asyncpg.Connection) -> Cost:
    """Take an import back and time the job."""
    async with database.write(actor) as unit:
        await ImportService(unit).undo(import_id)
    return await measured(owner, UndoRun(database, actor.tenant_id, import_id).run)


async def copy_back(owner: asyncpg.Connection, tenant_id: object) -> Cost:
    """Write the tenant's rows again for a new tenant, by COPY, and time only the writing."""
    twin = new_id()
    await owner.execute(
        "INSERT INTO tenants (tenant_id, name, preset) SELECT $2, name, preset FROM tenants WHERE tenant_id = $1",
        tenant_id,
        twin,
    )
    dumps: list[tuple[str, list[str], io.BytesIO]] = []
    for table in TABLES:
        found = await owner.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1",
            table,
        )
        names = [row[0] for row in found if row[0] not in {"tenant_id", *GENERATED}]
        shown = ", ".join(f'"{name}"' for name in names)
        dump = io.BytesIO()
        await owner.copy_from_query(
            f"SELECT '{twin}'::uuid AS tenant_id, {shown} FROM {table} WHERE tenant_id = '{tenant_id}'",  # noqa: S608
            output=dump,
        )
        dump.seek(0)
        dumps.append((table, ["tenant_id", *names], dump))

    async def write() -> None:
        async with owner.transaction():
            for table, names, dump in dumps:
                await owner.copy_to_table(table, source=dump, columns=names)

    return await measured(owner, write)


def show(name: str, rows: int, cost: Cost) -> None:
    """Print one line."""
    print(
        f"{name:<34} {cost.wall:7.2f} s  {rows / cost.wall:10,.0f} rows/s   "
        f"CPU µs/row: python {cost.python / rows * 1e6:6.1f}  postgres {cost.postgres / rows * 1e6:6.1f}  "
        f"sum {(cost.python + cost.postgres) / rows * 1e6:6.1f}"
    )


async def compare(settings: Settings, kind: ImportKind, data: bytes, rows: int) -> None:
    """Import, import again, and COPY; print the three and the ratio."""
    tenant = await admin.create_tenant(settings, f"benchmark {kind}")
    actor = Actor.system(tenant.tenant_id)
    database = await Database.open(settings, worker=True)
    owner = await asyncpg.connect(settings.database_url)
    try:
        _, rehearsed = await run_import(database, actor, How(kind, dry_run=True), data, owner)
        show(f"dry run of {rows:,} {kind}", rows, rehearsed)
        import_id, first = await run_import(database, actor, How(kind), data, owner)
        show(f"import of {rows:,} {kind}", rows, first)
        copied = await copy_back(owner, tenant.tenant_id)
        show("COPY of the same rows", rows, copied)
        _, again = await run_import(database, actor, How(kind), data, owner)
        show("import of the same file again", rows, again)
        show("undo of the import", rows, await run_undo(database, actor, import_id, owner))
        cpu = (copied.python + copied.postgres) / (first.python + first.postgres)
        print(f"import / COPY: {copied.wall / first.wall:.2f} of its speed by wall time, {cpu:.2f} by CPU time")
    finally:
        await owner.close()
        await database.close()
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB\n")


def run(_customers: int = 0, _requests: int = 0, rows: int = 100_000, customers: int = 20_000) -> None:
    """Run; the shop's size and the number of requests are other benchmarks' business."""
    settle()
    with test_server() as server, server.migrated() as url:
        settings = Settings(database_url=url)
        asyncio.run(compare(settings, "orders", orders_file(rows, customers), rows))
        asyncio.run(compare(settings, "customers", customers_file(rows), rows))


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--customers", type=int, default=20_000)
    given = parser.parse_args()
    run(rows=given.rows, customers=given.customers)


if __name__ == "__main__":
    main()
