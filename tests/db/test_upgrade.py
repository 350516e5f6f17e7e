"""From the release before, with data in place: nothing is lost, and the shop works on.

``released/0.1.0.json`` is every table of two shops as 0.1.0 left them: `tests/bad_input/world.py` built one with
everything through the API of that version, and its worker ran until nothing was left to do.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from crm_api import admin
from crm_api.core.actor import ADMIN
from crm_api.db.migrate import run, upgrade
from crm_api.db.schema import metadata
from crm_api.settings import Settings
from tests.support.api import application, client_of

pytestmark = pytest.mark.database

RELEASES = {"0.1.0": "0009"}
"""Release → its newest migration."""
FOLDER = Path(__file__).with_name("released")


def rows_of(release):
    return json.loads((FOLDER / f"{release}.json").read_text(encoding="utf-8"))


async def load(url, rows):
    """Put the rows in as they were, with all foreign keys."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SET CONSTRAINTS ALL DEFERRED")
            for table in metadata.sorted_tables:
                if table.name in rows:
                    columns = ", ".join(rows[table.name][0])
                    await connection.execute(
                        f"INSERT INTO {table.name} ({columns}) OVERRIDING SYSTEM VALUE "
                        f"SELECT {columns} FROM jsonb_populate_recordset(NULL::{table.name}, $1::text::jsonb)",
                        json.dumps(rows[table.name]),
                    )
    finally:
        await connection.close()


async def stored(url, rows):
    """Return what now stands in the columns that the release had."""
    connection = await asyncpg.connect(url)
    try:
        found = {}
        for name, given in rows.items():
            columns = ", ".join(given[0])
            text = await connection.fetchval(
                f"SELECT jsonb_agg(to_jsonb(t))::text FROM (SELECT {columns} FROM {name}) t"
            )
            found[name] = json.loads(text)
        return found
    finally:
        await connection.close()


def in_any_order(rows):
    return {name: sorted(json.dumps(row, sort_keys=True) for row in given) for name, given in rows.items()}


@pytest.mark.parametrize(("release", "revision"), RELEASES.items())
def test_rows_outlive_the_upgrade_and_the_shop_works_on(empty_database_url, release, revision):
    url, rows = empty_database_url, rows_of(release)
    upgrade(url, revision)
    run(load(url, rows))
    assert in_any_order(run(stored(url, rows))) == in_any_order(rows)
    upgrade(url)
    assert in_any_order(run(stored(url, rows))) == in_any_order(rows)
    run(works_on(Settings(database_url=url), rows))


async def works_on(settings, rows):
    """Read and write what the release left."""
    customer = next(row for row in rows["customers"] if row["name"] == "王小明")
    tenant_id = UUID(customer["tenant_id"])
    key = (await admin.create_key(settings, tenant_id, frozenset({ADMIN}), "after the upgrade")).api_key
    async with application(settings) as app, client_of(app, key) as client:
        path = f"/v1/customers/{customer['id']}"
        shown = (await client.get(path)).json()
        assert (shown["name"], shown["tags"], shown["version"]) == ("王小明", ["vip"], customer["version"])
        assert [each["id"] for each in (await client.get("/v1/customers?q=王小明")).json()["data"]] == [customer["id"]]
        changed = await client.patch(path, json={"city": "杭州"}, headers={"if-match": f'"{customer["version"]}"'})
        assert (changed.status_code, changed.json()["city"]) == (200, "杭州")
        timeline = (await client.get(f"{path}/timeline")).json()["data"]
        assert {"order", "interaction", "complaint", "points"} <= {entry["kind"] for entry in timeline}
        account = f"/v1/loyalty/accounts/{customer['id']}"
        before = (await client.get(account)).json()["available"]
        spent = await client.post(f"{account}/redemptions", json={"points": 5, "reason": "after the upgrade"})
        assert (spent.status_code, (await client.get(account)).json()["available"]) == (201, before - 5)
        order = {
            "customer_id": customer["id"],
            "status": "paid",
            "total": {"amount": 1000, "currency": "CNY"},
            "placed_at": datetime.now(UTC).isoformat(),
        }
        assert (await client.put("/v1/orders/taobao/after", json=order)).status_code == 201
        assert (await client.get(path)).json()["purchases"]["order_count"] >= 2
        # Its customers are told decisions by nobody else than before.
        closing = (await client.get("/v1/closing-settings")).json()
        assert (closing["tell_decision"], closing["tell_by"]) == (False, ["email"])
