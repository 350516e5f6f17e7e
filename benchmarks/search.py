"""The search box over the whole shop: which index serves one, two, three and more characters, and how long it takes.

    python -m benchmarks search

Fails when a plan reads a whole table.
"""

import asyncio
import re
import time
from typing import Any

import asyncpg

from benchmarks.data import Shop, shop
from benchmarks.measure import Case, compare, get, ours, table
from crm_api.core.paging import PageRequest
from crm_api.customers.repository import CUSTOMER
from crm_api.db.plans.rest import rest_list

QUERIES = ("王", "伟华", "王伟华", "0001", "user1234", "tb_15", "nobody@nowhere")
GIN = ("ix_customer_search_keys_grams", "ix_customer_search_keys_haystack")


async def explain(data: Shop, query: str) -> dict[str, Any]:
    """Return which indexes the request's own statement uses, as the application role, and its times."""
    connection = await asyncpg.connect(data.url, server_settings={"role": "crm_app", "jit": "off"})
    try:
        await connection.execute(f"SET app.tenant = '{data.tenant_id}'")
        bound = rest_list(CUSTOMER, frozenset({"admin"}), PageRequest(), filters={"q": query})
        values = bound.plan.bind(data.tenant_id, bound.variables)
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {bound.plan.sql}", *values)
        text = "\n".join(row[0] for row in rows)
        times = []
        for _ in range(9):
            started = time.perf_counter()
            await connection.fetch(bound.plan.sql, *values)
            times.append(time.perf_counter() - started)
        # The statement is prepared: the later runs may go by a generic plan.
        return {"plan": text, "ms": sorted(times)[4] * 1000, "worst": max(times) * 1000}
    finally:
        await connection.close()


def check(query: str, found: dict[str, Any]) -> str:
    """Return the names of the search's indexes; refuse a plan that reads a table from end to end."""
    plan = found["plan"]
    whole = re.findall(r"Seq Scan on (customers|customer_search_keys)\b", plan)
    assert not whole, f"the search for {query!r} reads all of {whole}:\n{plan}"
    used = sorted(set(re.findall(r"(?:on|using) ((?:ix|pk|uq)_customer(?:s|_search_keys)\w*)", plan)))
    assert any(name in used for name in (*GIN, "pk_customer_search_keys")), plan
    return ", ".join(used)


def run(customers: int, total: int) -> None:
    """Run."""
    with shop(customers) as data:
        print(f"\n### Search box, {customers:,} customers\n")
        print("| q | ms (median, prepared) | worst of 9 | indexes |\n|---|---|---|---|")
        for query in QUERIES:
            found = asyncio.run(explain(data, query))
            print(f"| {query} | {found['ms']:.2f} | {found['worst']:.2f} | {check(query, found)} |")
        with ours(data) as mine:
            cases = [
                Case(mine, [get(f"/v1/customers?limit=20&q={_quoted(query)}", data.api_key)], name=f"q={query}")
                for query in QUERIES
            ]
            table("Search box over HTTP", compare(data, cases, max(total // 10, 80)), ratios=False)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
