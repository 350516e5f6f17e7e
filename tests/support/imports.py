"""Files to import, and the way from upload to verdicts."""

import json
from typing import Any

import httpx

from crm_api.accounts import rules
from crm_api.db.pool import Database
from crm_api.exchange import jobs

COLUMNS = ("platform", "order_id", "customer_id", "placed_at", "status", "total", "currency")
HEADER = ",".join(COLUMNS).encode()


def order(number: int = 1, **cells: str) -> tuple[str, ...]:
    """Return the cells of a good order, with those given instead."""
    good = {
        "platform": "taobao",
        "order_id": f"A-{number}",
        "customer_id": f"buyer-{number % 100}",
        "placed_at": "2026-05-04",
        "status": "completed",
        "total": "29.33",
        "currency": "CNY",
    }
    return tuple({**good, **cells}.values())


def orders_csv(*rows: tuple[str, ...]) -> bytes:
    """Return an orders file."""
    return b"\n".join([HEADER, *(",".join(row).encode() for row in rows), b""])


async def start(
    client: httpx.AsyncClient,
    data: bytes,
    kind: str = "orders",
    *,
    name: str = "file.csv",
    mapping: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Upload a file."""
    form = {"kind": kind} | ({"mapping": json.dumps(mapping)} if mapping is not None else {})
    return await client.post("/v1/imports", data=form, files={"file": (name, data, "text/csv")}, headers=headers or {})


async def finished(
    client: httpx.AsyncClient, database: Database, data: bytes, kind: str = "orders", **how: Any
) -> dict[str, Any]:
    """Upload a file, do the worker's work, and return the import as it is then."""
    response = await start(client, data, kind, **how)
    assert response.status_code == 202, response.text
    import_id = response.json()["id"]
    await jobs.run(database, {"tenant_id": str(await tenant_of(client, database)), "import_id": import_id})
    body: dict[str, Any] = (await client.get(f"/v1/imports/{import_id}")).json()
    return body


async def tenant_of(client: httpx.AsyncClient, database: Database) -> Any:
    """Return the tenant whose key the client has."""
    key = client.headers["authorization"].partition(" ")[2]
    async with database.system() as connection:
        return await connection.fetchval("SELECT tenant_id FROM api_keys WHERE hash = $1", rules.hash_key(key))


async def rows_of(client: httpx.AsyncClient, of: dict[str, Any], **query: Any) -> dict[str, Any]:
    """Return a page of row verdicts."""
    response = await client.get(f"/v1/imports/{of['id']}/rows", params=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body
