"""What keeping tenants apart costs: the same requests with and without row-level security, pinned and per transaction.

python -m benchmarks isolation
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.data import Shop, shop
from benchmarks.measure import (
    Case,
    Result,
    Server,
    compare,
    free_port,
    get,
    ours,
    post,
    python,
    started,
    table,
    verdict,
)
from benchmarks.rest import new_customers, remove_new, some_ids


@contextmanager
def unprotected(data: Shop) -> Iterator[Server]:
    """Run our server as the tables' owner."""
    port = free_port()
    command = [python(), "-m", "benchmarks.peers.unprotected", str(port)]
    env = {"CRM_DATABASE_URL": data.url, "CRM_LOG_FORMAT": "json"}
    with started("unprotected: tables' owner", command, port, env) as server:
        yield server


def run(customers: int, total: int) -> None:
    """Run."""
    with (
        shop(customers) as data,
        ours(data, "row-level security, tenant pinned to the session") as pinned,
        ours(data, "row-level security, SET LOCAL in each read", CRM_TENANT_PINNING="transaction") as transaction,
        unprotected(data) as without,
    ):
        servers = (pinned, without, transaction)
        ids = asyncio.run(some_ids(data, 2000))
        key = data.api_key
        # Two tenants in turn: the worst case of pinning, where nearly every read finds another tenant's connection.
        both = [get("/v1/customers?limit=1", each) for each in (key, data.other_key)]
        asked = {
            "get": ([get(f"/v1/customers/{each}", key) for each in ids], total),
            "list of 50": ([get("/v1/customers?limit=50", key)], total // 2),
            "list of 1, two tenants in turn": (both, total),
        }
        for name, (requests, count) in asked.items():
            results = compare(data, [Case(server, requests) for server in servers], count, rounds=6)
            table(f"Isolation: {name}", results, _price(results))
        bodies = [post("/v1/customers", each, key) for each in new_customers(total // 2)]
        results = compare(data, [Case(server, bodies, 201) for server in (pinned, without)], total, rounds=6)
        table("Isolation: create (SET LOCAL travels with BEGIN)", results, _price(results))
        asyncio.run(remove_new(data))


def _price(results: Sequence[Result]) -> list[str]:
    return [verdict("CPU added by isolation", results[0].cpu / results[1].cpu - 1, 0.15)]
