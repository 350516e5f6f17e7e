"""The points ledger: redemptions per second on 2 and on 50 wallets, beside the same statements sent by pgbench.

    make bench-ledger

Ours are units of work in as many processes as there are CPUs: lock the wallet, load its lots, book, audit, tell,
commit. The floor is recorded from one of these units: pgbench sends its very statements, prepared, over as many
connections, with the numbers that each wallet has then. Says whether ours reach `BOUND` of the floor's rate, and fails
when the ledger is not its replay afterwards.

In the floor's favour: role and tenant are set once per connection, and nothing is encoded or decoded.
"""

import asyncio
import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import asyncpg

from benchmarks.data import Shop, home
from benchmarks.measure import Result, verdict
from benchmarks.rest import pgbench
from crm_api import admin
from crm_api.core.actor import Actor
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.db import migrate
from crm_api.db.embedded import EmbeddedServer
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.models import AdjustmentCreate, RedemptionCreate
from crm_api.loyalty.repository import drift
from crm_api.loyalty.service import LoyaltyService
from crm_api.settings import Settings

BOUND: Final = 0.6
WALLETS: Final = (2, 50)
CONNECTIONS: Final = 8
SECONDS: Final = 8
ROUNDS: Final = 3
MARK: Final = 777_777_777
"""What the recorded wallet has: so rare a number that it can be told from all others in the statements."""

REDEEM: Final = RedemptionCreate(points=1, reason="bench")

Recorded = Sequence[tuple[str, Sequence[str]]]
"""Statements with the text of each parameter."""


def run(_customers: int, _total: int) -> None:
    """Run."""
    server = EmbeddedServer(home(), durable=True)
    with server.lease():
        name = f"bench_ledger_{migrate.head_revision()}"
        url = server.ensure_database(name)
        migrate.upgrade(url)
        asyncio.run(_fresh(url))
        for wallets in WALLETS:
            _measure(server, url, wallets)


def _measure(server: EmbeddedServer, url: str, wallets: int) -> None:
    settings = Settings(database_url=url)
    created = asyncio.run(admin.create_tenant(settings, f"bench {wallets}", "retail"))
    tenant_id = created.tenant_id
    customers = asyncio.run(_customers_of(settings, tenant_id, wallets))
    data = Shop(server, url, tenant_id, created.api_key, tenant_id, created.api_key, wallets)
    script = asyncio.run(_script(settings, tenant_id, wallets))
    ours, floor = [], []
    os.environ["PGOPTIONS"] = f"-c role=crm_app -c app.tenant={tenant_id}"
    for _ in range(ROUNDS):
        ours.append(_ours(url, tenant_id, customers))
        floor.append(pgbench(data, "floor: pgbench, our statements", script, SECONDS, connections=CONNECTIONS))
    best = [max(each, key=lambda result: result.rate) for each in (ours, floor)]
    _show(f"Ledger: redemptions on {wallets} wallets, {CONNECTIONS} connections", best)
    asyncio.run(_check(settings, tenant_id))


def _show(title: str, results: Sequence[Result]) -> None:
    """Print a table: ours first, then the floor."""
    print(f"\n### {title}\n\n| who | redemptions/s | p50 ms | p99 ms |\n|---|---|---|---|")
    for each in results:
        print(f"| {each.name} | {each.rate:,.0f} | {each.p50 * 1000:.2f} | {each.p99 * 1000:.2f} |")
    ratio = results[0].rate / results[1].rate
    print(f"\n{verdict('rate against the floor', ratio, BOUND, at_most=False)}", flush=True)


# -- ours --------------------------------------------------------------------------------------------------------------


def _ours(url: str, tenant_id: UUID, customers: Sequence[UUID]) -> Result:
    """Redeem in several processes for some seconds."""
    crew = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with context.Pool(crew) as pool:
        share = CONNECTIONS // crew
        given = [(url, tenant_id, customers, share, number) for number in range(crew)]
        pool.starmap(_redeem, [(*each, 1.0) for each in given])  # connections, plans and caches are warm then
        done = pool.starmap(_redeem, [(*each, float(SECONDS)) for each in given])
    times = sorted(each for found, _ in done for each in found)
    seconds = max(each for _, each in done)
    middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
    return Result(f"crm-api, {crew} processes", len(times), seconds, middle, late, 0, 0, 0, "")


def _redeem(
    url: str, tenant_id: UUID, customers: Sequence[UUID], tasks: int, number: int, seconds: float
) -> tuple[list[float], float]:
    """Return the seconds each redemption took, and those of all together."""
    return asyncio.run(_redeeming(url, tenant_id, customers, tasks, number, seconds))


async def _redeem_one(customer: UUID, unit: UnitOfWork) -> UUID:
    return await LoyaltyService(unit).redeem(customer, REDEEM)


async def _redeeming(
    url: str, tenant_id: UUID, customers: Sequence[UUID], tasks: int, number: int, seconds: float
) -> tuple[list[float], float]:
    database = await Database.open(Settings(database_url=url, pool_size_write=tasks))
    actor, times = _actor(tenant_id), list[float]()

    async def one(chance: random.Random, until: float) -> None:
        while (began := time.perf_counter()) < until:
            work = partial(_redeem_one, chance.choice(customers))
            await database.run(actor, work)
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for each in range(tasks):
            group.create_task(one(random.Random(number * 100 + each), began + seconds))
    took = time.perf_counter() - began
    await database.close()
    return times, took


# -- the floor ---------------------------------------------------------------------------------------------------------


async def _script(settings: Settings, tenant_id: UUID, wallets: int) -> str:
    """Return a script for pgbench that sends what one redemption sends."""
    marked = (await _customers_of(settings, tenant_id, 1, points=MARK))[0]
    connection = await asyncpg.connect(settings.database_url)
    try:
        row = await connection.fetchrow(
            "SELECT w.id, w.sequence, l.id AS lot FROM loyalty_wallets w JOIN loyalty_lots l ON l.wallet_id = w.id "
            "WHERE w.customer_id = $1",
            marked,
        )
        assert row is not None
        replace = {
            marked: ":customer::uuid",
            row["id"]: ":w_id::uuid",
            row["lot"]: ":l_id::uuid",
            MARK - 1: "(:w_available - 1)",
            row["sequence"] + 1: "(:w_sequence + 1)",
        }
        await connection.execute("UPDATE loyalty_wallets SET sequence = $1 WHERE id = $2", MARK + 1, row["id"])
        replace[MARK + 2] = replace.pop(row["sequence"] + 1)
        recorded = await _record(settings, tenant_id, marked, connection, replace)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS bench_wallets "
            "(tenant_id uuid, n int, customer_id uuid, PRIMARY KEY (tenant_id, n));"
            "GRANT SELECT ON bench_wallets TO crm_app"
        )
        await connection.execute(
            "INSERT INTO bench_wallets SELECT w.tenant_id, row_number() OVER (ORDER BY w.customer_id), w.customer_id "
            "FROM loyalty_wallets w WHERE w.tenant_id = $1 AND w.customer_id <> $2",
            tenant_id,
            marked,
        )
    finally:
        await connection.close()
    tenant = f"'{tenant_id}'::uuid"
    # The tenant is an id that this run has made.
    pick = f"SELECT customer_id AS customer FROM bench_wallets WHERE tenant_id = {tenant} AND n = :n"  # noqa: S608
    draws = "".join(f"\\set {name} random(0, 2147483647)\n" for name in "abc")
    lines = [f"{_filled(sql, given)} {take}".rstrip() for (sql, given), take in zip(recorded, _TAKES, strict=True)]
    return f"\\set n random(1, {wallets})\n{draws}{pick} \\gset\nBEGIN;\n" + "\n".join(lines) + "\nEND;\n"


_TAKES: Final = ("\\gset w_", "\\gset l_", ";")
"""What becomes of the answer of each statement: the locked wallet, its lot, the booking with what is told of it."""


async def _record(
    settings: Settings, tenant_id: UUID, customer: UUID, types: asyncpg.Connection, replace: dict[Any, str]
) -> Recorded:
    """Redeem once and return the statements that took."""
    seen: list[tuple[str, Sequence[Any]]] = []
    database = await Database.open(settings)

    def note(record: Any) -> None:
        seen.append((record.query, record.args))

    async def work(unit: Any) -> None:
        unit.connection.add_query_logger(note)
        await LoyaltyService(unit).redeem(customer, REDEEM)
        await unit.flush()
        unit.connection.remove_query_logger(note)

    await database.run(_actor(tenant_id), work)
    await database.close()
    recorded = []
    for sql, values in seen[: len(_TAKES)]:
        names = [_type_name(each) for each in (await types.prepare(sql)).get_parameters()]
        shown = [_literal(value, name, replace) for value, name in zip(values, names, strict=True)]
        recorded.append((sql, shown))
    return recorded


def _type_name(of: asyncpg.Type) -> str:
    """Return a type as SQL writes it: asyncpg calls arrays ``_uuid`` or ``uuid[]``."""
    return f"{of.name.removeprefix('_')}[]" if of.kind == "array" and not of.name.endswith("[]") else of.name


def _literal(value: Any, name: str, replace: dict[Any, str]) -> str:  # noqa: PLR0911 - one line a kind of value
    """Return a parameter as text: what belongs to the wallet is read from it, ids of new rows are drawn."""
    if isinstance(value, list):
        element = name.removesuffix("[]")
        return f"ARRAY[{', '.join(_literal(each, element, replace) for each in value)}]::{name}"
    if value is None:
        return f"NULL::{name}"
    if isinstance(value, dict):
        return "'" + json.dumps(value, ensure_ascii=False).replace("'", "''").replace(":", ": ") + f"'::{name}"
    if not isinstance(value, bool) and value in replace:
        return replace[value]
    if isinstance(value, UUID) and name == "uuid" and value not in replace and _is_new(value):
        replace[value] = _drawn(len(replace))
        return replace[value]
    if isinstance(value, datetime):
        return f"now()::{name}"
    return f"'{value}'::{name}"


_KNOWN: set[UUID] = set()


def _is_new(value: UUID) -> bool:
    """Tell whether an id was made for this unit: not the tenant's, nor the actor's."""
    return value not in _KNOWN


def _drawn(number: int) -> str:
    """Return an id that no other run of the script draws."""
    parts = "lpad(to_hex(:a::int), 8, '0') || lpad(to_hex(:b::int), 8, '0') || lpad(to_hex(:c::int), 8, '0')"
    return f"({parts} || '{number:08x}')::uuid"


def _filled(sql: str, values: Sequence[str]) -> str:
    """Put the texts in the places of the parameters, on one line."""
    for number in range(len(values), 0, -1):
        sql = sql.replace(f"${number}", values[number - 1])
    return " ".join(sql.split())


# -- the shop ----------------------------------------------------------------------------------------------------------


def _actor(tenant_id: UUID) -> Actor:
    return Actor.system(tenant_id, "bench")


async def _fresh(url: str) -> None:
    """Forget which wallets earlier runs had."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP TABLE IF EXISTS bench_wallets")
    finally:
        await connection.close()


async def _in(settings: Settings, tenant_id: UUID, work: Callable[[Any], Any]) -> Any:
    database = await Database.open(settings)
    try:
        return await database.run(_actor(tenant_id), work)
    finally:
        await database.close()


async def _customers_of(settings: Settings, tenant_id: UUID, number: int, points: int = 10**9) -> list[UUID]:
    """Make customers with points."""
    _KNOWN.update({tenant_id, _actor(tenant_id).id})

    async def work(unit: Any) -> list[UUID]:
        made = [await CustomerService(unit).create(CustomerCreate(name=f"n{each}")) for each in range(number)]
        for each in made:
            await LoyaltyService(unit).adjust(each, AdjustmentCreate(points=points, reason="bench"))
        return made

    found: list[UUID] = await _in(settings, tenant_id, work)
    return found


async def _check(settings: Settings, tenant_id: UUID) -> None:
    """Fail when the ledger is not its replay: pgbench's bookings are as good as ours."""
    if found := await _in(settings, tenant_id, drift):
        raise RuntimeError(f"the ledger drifted: {found[:3]}")
