# ruff: noqa: E501 - tables of names and SQL read better on one line
"""GraphQL against PostGraphile 5 on the same data: a nested list, and all there is to know of one customer.

    python -m benchmarks graphql

Needs npm; PostGraphile, and the Node.js 22 it wants, are installed from peers/postgraphile/package-lock.json when it is not there yet. It runs
with its production settings and prepared statements, without authentication, limits and row-level security; ours with
all of them. Both answer the same rows and, names apart, the same fields.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.data import Shop, shop
from benchmarks.measure import (
    Case,
    Result,
    Server,
    body_of,
    compare,
    drive,
    free_port,
    ours,
    post,
    started,
    table,
    verdict,
)
from benchmarks.rest import some_ids

PEER = Path(__file__).parent / "peers" / "postgraphile"

NESTED = """
query Nested($first: Int!) {
  customers(first: $first) {
    nodes {
      id name gender city createdAt
      orders(first: 5) { nodes { id externalId status total { amount currency } placedAt } }
      interactions(first: 5) { nodes { id channel direction subject occurredAt } }
      loyalty { available pending }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
PEER_NESTED = """
query Nested($first: Int!, $tenant: UUID!) {
  allCustomers(first: $first, condition: {tenantId: $tenant}, orderBy: [PRIMARY_KEY_DESC]) {
    nodes {
      rowId name gender city createdAt
      ordersByTenantIdAndCustomerId(first: 5, orderBy: [PLACED_AT_DESC, ROW_ID_DESC]) {
        nodes { rowId externalId status totalAmount currency placedAt }
      }
      interactionsByTenantIdAndCustomerId(first: 5, orderBy: [OCCURRED_AT_DESC, ROW_ID_DESC]) {
        nodes { rowId channel direction subject occurredAt }
      }
      loyaltyWalletsByTenantIdAndCustomerId(first: 1) { nodes { available pending } }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
WHOLE = """
query Whole($id: ID!) {
  customer(id: $id) {
    id name kind gender birthday { calendar year month day } city region address occupation notes source
    createdAt updatedAt version
    contactPoints { kind value isPrimary }
    identities { platform externalId }
    tags
    purchases { orderCount lastOrderAt netSpend { amount currency } }
    orders(first: 10) {
      nodes {
        id externalId status total { amount currency } placedAt
        lines { position sku title quantity amount { amount currency } }
      }
    }
    interactions(first: 10) { nodes { id channel direction subject body occurredAt } }
    loyalty { available pending held }
    complaints(open: true) { totalCount }
  }
}
"""
PEER_WHOLE = """
query Whole($id: UUID!, $tenant: UUID!) {
  customerByTenantIdAndRowId(tenantId: $tenant, rowId: $id) {
    rowId name kind gender birthCalendar birthYear birthMonth birthDay city region address occupation notes source
    createdAt updatedAt version
    contactPointsByTenantIdAndCustomerId { nodes { kind value isPrimary } }
    customerIdentitiesByTenantIdAndCustomerId { nodes { platform externalId } }
    customerTagsByTenantIdAndCustomerId { nodes { tag } }
    customerPurchaseFactByTenantIdAndCustomerId { orderCount lastOrderAt netSpendAmount currency }
    ordersByTenantIdAndCustomerId(first: 10, orderBy: [PLACED_AT_DESC, ROW_ID_DESC]) {
      nodes {
        rowId externalId status totalAmount currency placedAt
        orderLinesByTenantIdAndOrderId { nodes { position sku title quantity amount currency } }
      }
    }
    interactionsByTenantIdAndCustomerId(first: 10, orderBy: [OCCURRED_AT_DESC, ROW_ID_DESC]) {
      nodes { rowId channel direction subject body occurredAt }
    }
    loyaltyWalletsByTenantIdAndCustomerId(first: 1) { nodes { available pending held } }
    complaintsByTenantIdAndCustomerId(condition: {state: "received"}) { totalCount }
  }
}
"""


@contextmanager
def postgraphile(data: Shop) -> Iterator[Server]:
    """Run the peer."""
    if not (PEER / "node_modules" / "postgraphile").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error"], cwd=PEER, check=True)
    port = free_port()
    env = {
        "BENCH_SOCKETS": str(data.server.layout.sockets),
        "BENCH_DATABASE": data.url.partition("@/")[2].partition("?")[0],
        "NODE_ENV": "production",
        "GRAPHILE_ENV": "production",
    }
    with started(
        "PostGraphile 5", [str(PEER / "node_modules" / ".bin" / "node"), "server.mjs", str(port)], port, env, PEER, "/"
    ) as server:
        yield server


def ask(query: str, variables: dict[str, Any], key: str = "") -> str:
    """Return the text of a GraphQL request."""
    return post("/graphql", {"query": " ".join(query.split()), "variables": variables}, key)


def leaves(value: Any) -> list[str]:
    """Return all values of an answer, sorted: names and nesting differ between the peers, values must not."""
    if isinstance(value, dict):
        return sorted(leaf for key, each in value.items() if key != "pageInfo" for leaf in leaves(each))
    if isinstance(value, list):
        return sorted(leaf for each in value for leaf in leaves(each))
    if value is None:
        return []
    text = str(value)
    if text.startswith(("Customer:", "Order:", "Interaction:")):
        return [text.partition(":")[2]]
    if text.endswith("+00:00"):
        return [datetime.fromisoformat(text).isoformat()]
    return [text.lower()]  # enum values are upper case with us


def same(mine: Server, peer: Server, asked: tuple[str, str]) -> None:
    """Refuse to compare servers that answer differently."""
    one, other = (body_of(drive(server, [text], 1)["sample"]) for server, text in zip((mine, peer), asked, strict=True))
    for each in (one, other):
        assert "errors" not in each, json.dumps(each, ensure_ascii=False)[:2000]
    left, right = set(leaves(one)), set(leaves(other))
    assert left == right, f"only ours: {sorted(left - right)[:9]}, only theirs: {sorted(right - left)[:9]}"


def run(customers: int, total: int) -> None:
    """Run."""
    if shutil.which("npm") is None:
        print("npm is missing: this benchmark is left out")
        return
    with shop(customers) as data, ours(data) as mine, postgraphile(data) as peer:
        tenant = str(data.tenant_id)
        nested = (
            ask(NESTED, {"first": 20}, data.api_key),
            ask(PEER_NESTED, {"first": 20, "tenant": tenant}),
        )
        ids = asyncio.run(some_ids(data, 2000))
        whole = [
            (
                ask(WHOLE, {"id": f"Customer:{each}"}, data.api_key),
                ask(PEER_WHOLE, {"id": str(each), "tenant": tenant}),
            )
            for each in ids
        ]
        same(mine, peer, nested)
        same(mine, peer, whole[0])
        results = compare(data, [Case(mine, nested[:1]), Case(peer, nested[1:])], total // 4)
        table("GraphQL: 20 customers, 5 orders and 5 interactions of each, loyalty", results, targets(results, 0.6, 2))
        cases = [Case(mine, [each[0] for each in whole]), Case(peer, [each[1] for each in whole])]
        results = compare(data, cases, total // 2)
        table("GraphQL: one customer, all there is to know", results, targets(results, 0.8, 1.3))


def targets(results: list[Result], cpu: float, rate: float) -> list[str]:
    """Compare with what was wanted."""
    mine, peer = results
    return [
        verdict("CPU against PostGraphile", mine.cpu / peer.cpu, cpu),
        verdict("throughput against PostGraphile", mine.rate / peer.rate, rate, at_most=False),
        verdict("p99 / p50", mine.p99 / mine.p50, 4),
    ]
