"""REST get, list of 50 and create, against a plain FastAPI + asyncpg service and against PostgreSQL alone.

    python -m benchmarks rest

Ours runs with authentication, tenancy, limits, log line and metrics; the peer (peers/bare.py) has none of these. The
floor is pgbench sending the very statement our server sends, prepared, over as many connections as our pool has.
"""

import asyncio
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg

from benchmarks.data import Shop, shop
from benchmarks.measure import (
    Case,
    Result,
    Server,
    bare,
    body_of,
    compare,
    drive,
    get,
    ours,
    post,
    postgres_family,
    spent,
    table,
    verdict,
)
from crm_api.core.paging import PageRequest
from crm_api.customers import search
from crm_api.customers.repository import CUSTOMER
from crm_api.db.plans.rest import rest_get, rest_list

POOL = 4


async def some_ids(data: Shop, count: int) -> list[UUID]:
    """Return customers' ids, spread over the whole table."""
    connection = await asyncpg.connect(data.url)
    try:
        rows = await connection.fetch(
            "SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM customers "
            "WHERE tenant_id = $1 AND deleted_at IS NULL) AS numbered WHERE n % $2 = 0 LIMIT $3",
            data.tenant_id,
            max(1, data.customers // count),
            count,
        )
    finally:
        await connection.close()
    # Neighbours in time are not neighbours on disk.
    return [row["id"] for row in sorted(rows, key=lambda row: row["id"].int * 2654435761 % 1000003)]


def literal(value: object) -> str:
    """Return a value as SQL text for pgbench's script."""
    if isinstance(value, UUID):
        return f"'{value}'::uuid"
    return str(value) if isinstance(value, int) else f"'{value}'"


def floor(data: Shop, name: str, sql: str, values: Sequence[object], ids: Sequence[UUID], seconds: int = 4) -> Result:
    """Send one statement by pgbench, prepared; ``None`` among the values is an id drawn from ``ids``.

    pgbench has no uuid variables: it draws a number and the id is looked up in a table of the run (one more index
    probe, about 5 µs, in the floor's disfavour).
    """
    shown = re.sub(r"(?<!:):(?=[a-z])", ": ", sql)  # a slice is no variable of pgbench's
    for number in range(len(values), 0, -1):
        value = values[number - 1]
        text = "(SELECT id FROM bench_ids WHERE n = :n)" if value is None else literal(value)
        shown = re.sub(rf"\${number}(::\w+)?(?!\d)", text, shown)
    asyncio.run(_draw(data, ids))
    return pgbench(data, name, f"\\set n random(1, {len(ids)})\n{shown};\n", seconds)


async def _draw(data: Shop, ids: Sequence[UUID]) -> None:
    connection = await asyncpg.connect(data.url)
    try:
        await connection.execute("DROP TABLE IF EXISTS bench_ids; CREATE TABLE bench_ids (n int PRIMARY KEY, id uuid)")
        await connection.copy_records_to_table("bench_ids", records=list(enumerate(ids, 1)))
        await connection.execute("GRANT SELECT ON bench_ids TO crm_app; ANALYZE bench_ids")
    finally:
        await connection.close()


def pgbench(data: Shop, name: str, script: str, seconds: int = 4, connections: int = POOL) -> Result:
    """Run a pgbench script and measure PostgreSQL's CPU time; pgbench's own is not counted."""
    program = data.server.layout.programs / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file, tempfile.TemporaryDirectory() as logs:
        file.write(script)
        file.flush()
        postmaster = data.server.status().pid
        assert postmaster is not None
        command = [str(program), "-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-T", str(seconds)]
        database = data.url.partition("@/")[2].partition("?")[0]
        address = ["-h", str(data.server.layout.sockets), "-p", "5432", "-U", "crm"]
        before = postgres_family(postmaster)
        process = subprocess.Popen(
            [*command, "-l", *address, "-f", file.name, database],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=logs,
        )
        # The connections end with pgbench: look just before.
        time.sleep(seconds - 0.3)
        after = postgres_family(postmaster)
        share = (seconds - 0.3) / seconds
        output, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(f"pgbench failed: {errors[-1500:]}")
        times = sorted(
            int(line.split()[2]) / 1e6 for path in Path(logs).iterdir() for line in path.read_text().splitlines()
        )
    done = int(re.search(r"actually processed: (\d+)", output)[1])  # type: ignore[index]
    used = spent(before, after) / share
    return Result(name, done, seconds, times[len(times) // 2], times[int(len(times) * 0.99)], 0, used, 0, "")


def reads(data: Shop, total: int) -> None:
    """Measure get and list."""
    ids = asyncio.run(some_ids(data, 2000))
    scopes = frozenset({"admin"})
    plan = rest_get(CUSTOMER, scopes)
    bound = rest_list(CUSTOMER, scopes, PageRequest())
    with ours(data) as mine, bare(data) as peer:
        same(mine, get(f"/v1/customers/{ids[0]}", data.api_key), peer, get(f"/customers/{ids[0]}"))
        same(mine, get("/v1/customers?limit=50", data.api_key), peer, get("/customers?limit=50"), "data")
        gets = compare(
            data,
            [
                Case(mine, [get(f"/v1/customers/{each}", data.api_key) for each in ids]),
                Case(peer, [get(f"/customers/{each}") for each in ids]),
            ],
            total,
        )
        lists = compare(
            data,
            [
                Case(mine, [get("/v1/customers?limit=50", data.api_key)]),
                Case(peer, [get("/customers?limit=50")]),
            ],
            total // 4,
        )
    values = plan.bind(data.tenant_id, {"id": None})
    gets.append(floor(data, "floor: pgbench, our statement", plan.sql, values, ids))
    listed = bound.plan.bind(data.tenant_id, bound.variables)
    lists.append(floor(data, "floor: pgbench, our statement", bound.plan.sql, listed, ids))
    for title, results in (("REST get", gets), ("REST list of 50", lists)):
        table(title, results, _targets(results, 1.0))


def _targets(results: Sequence[Result], bound: float, peer: int = 1) -> list[str]:
    first = results[0]
    return [
        verdict(f"CPU against {results[peer].name}", first.cpu / results[peer].cpu, bound),
        verdict("p99 / p50", first.p99 / first.p50, 4),
    ]


def same(mine: Server, ask_mine: str, peer: Server, ask_peer: str, part: str = "") -> None:
    """Refuse to compare servers that answer differently; instants by value: ours end in +00:00, Pydantic's in Z."""
    one, other = body_of(drive(mine, [ask_mine], 1)["sample"]), body_of(drive(peer, [ask_peer], 1)["sample"])
    if part:
        one, other = one[part], other[part]
    assert _plain(one) == _plain(other), f"the peers answer differently:\n{one}\n{other}"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", value):
        return datetime.fromisoformat(value).isoformat()  # one writes trailing zeros, the other does not
    return value


def new_customers(count: int) -> list[dict[str, object]]:
    """Return bodies of creates; each has one phone number of its own, and none of the shop's (those begin with 13)."""
    return [
        {
            "name": f"王小明{number}",
            "gender": "male",
            "city": "上海",
            "source": "store",
            "contact_points": [{"kind": "mobile", "value": f"158{number % 10**8:08}", "is_primary": True}],
        }
        for number in range(count)
    ]


def creates(data: Shop, total: int) -> None:
    """Measure create."""
    try:
        _creates(data, total)
    finally:
        asyncio.run(remove_new(data))


def _creates(data: Shop, total: int) -> None:
    # Warming up takes some as well, and none may come twice: the second would be a duplicate.
    bodies = new_customers(2 * total)
    with ours(data) as mine, bare(data) as peer:
        results = compare(
            data,
            [
                Case(mine, [post("/v1/customers", each, data.api_key) for each in bodies], 201),
                Case(peer, [post("/same-rows", each) for each in bodies], 201, "bare, the same five rows"),
                Case(peer, [post("/one-row", each) for each in bodies], 201, "bare, one row"),
            ],
            total,
        )
    results.append(pgbench(data, "floor: pgbench, five rows, one statement", _floor_script(data)))
    targets = [*_targets(results, 1.2), verdict("CPU against bare, one row", results[0].cpu / results[2].cpu, 1.2)]
    table("REST create (customer, contact point, search key, audit row, message)", results, targets)


def _floor_script(data: Shop) -> str:
    keys = search.haystack(search.Known("王小明", ["+8613800000000"]))
    return " ".join(FLOOR.replace("$KEYS", keys).replace("$TENANT", f"'{data.tenant_id}'::uuid").split()) + "\n"


FLOOR = """
    WITH new AS (
      INSERT INTO customers (tenant_id, id, name, gender, city, source)
      VALUES ($TENANT, uuidv7(), '王小明', 'male', '上海', 'store') RETURNING *
    ), contact AS (
      INSERT INTO contact_points (tenant_id, id, customer_id, kind, value, is_primary)
      SELECT $TENANT, uuidv7(), id, 'mobile', '+8613800000000', true FROM new
    ), keyed AS (
      INSERT INTO customer_search_keys (tenant_id, customer_id, name, haystack, keys_version)
      SELECT $TENANT, id, '', '$KEYS', 1 FROM new
    ), audited AS (
      INSERT INTO audit_log (tenant_id, id, at, actor_kind, actor_id, request_id, operation, subject_type, subject_id,
        after)
      SELECT $TENANT, uuidv7(), now(), 'key', id, '', 'customer.created', 'Customer', id,
        '{"name": "王小明"}' FROM new
    ), told AS (
      INSERT INTO outbox (tenant_id, id, type, subject_id, payload, occurred_at)
      SELECT $TENANT, uuidv7(), 'customer.created', id, '{}', now() FROM new
    )
    SELECT row_to_json(new) FROM new;
"""
"""What a create writes, as one statement of PostgreSQL's own."""


async def remove_new(data: Shop) -> None:
    """Take out what the creates left, so that every run finds the same data."""
    connection = await asyncpg.connect(data.url)
    try:
        at = await connection.fetchval("SELECT max(made) FROM bench_shop")
        made = "SELECT id FROM customers WHERE tenant_id = $1 AND created_at > $2"
        for name in ("contact_points", "customer_search_keys"):
            await connection.execute(
                f"DELETE FROM {name} WHERE tenant_id = $1 AND customer_id IN ({made})",  # noqa: S608
                data.tenant_id,
                at,
                timeout=120,
            )
        await connection.execute(
            "DELETE FROM customers WHERE tenant_id = $1 AND created_at > $2",
            data.tenant_id,
            at,
            timeout=300,
        )
        await connection.execute("TRUNCATE outbox, audit_log")
    finally:
        await connection.close()


def run(customers: int, total: int) -> None:
    """Run."""
    with shop(customers) as data:
        reads(data, total)
        creates(data, total // 2)
