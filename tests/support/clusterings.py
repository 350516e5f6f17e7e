"""Shops whose customers fall into known groups."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from crm_api.clusters import jobs
from crm_api.core.ids import new_id
from crm_api.orders.statements import LOCK_FACTS, REFRESH_FACTS

DAY = timedelta(days=1)
_LOAD = """
WITH given AS (
  SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::bigint[]) AS g (id, buyer, at, amount)
)
INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency,
  total_amount, paid_amount, placed_at)
SELECT $1, id, buyer, 'x', id::text, 'completed', 'completed', 'CNY', amount, amount, at FROM given
"""
_PEOPLE = (
    "INSERT INTO customers (tenant_id, id, name) SELECT $1, id, name FROM unnest($2::uuid[], $3::text[]) g (id, name)"
)


async def load(database, tenant, purchases):
    """Make customers: name → (days ago, amount in fen) of each purchase."""
    now = datetime.now(UTC) - timedelta(hours=1)
    ids = {name: new_id() for name in purchases}
    rows = [(ids[name], now - days * DAY, amount) for name, bought in purchases.items() for days, amount in bought]
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(_PEOPLE, tenant.id, list(ids.values()), list(ids))
        columns = [list(column) for column in zip(*rows, strict=True)]
        await unit.connection.execute(_LOAD, tenant.id, [new_id() for _ in rows], *columns)
        for sql in (LOCK_FACTS, REFRESH_FACTS):
            await unit.connection.execute(sql, tenant.id, list(ids.values()))


async def groups(database, tenant):
    """Make thirty who are gone, twenty steady ones and ten whales; return their names by group."""
    shop = {
        "gone": {f"gone{n:02}": [(300 + n % 5, 10_000 + n * 10)] for n in range(30)},
        "steady": {f"steady{n:02}": [(30 + n % 3 + 20 * visit, 10_000) for visit in range(7)] for n in range(20)},
        "whales": {f"whale{n:02}": [(3 + 7 * visit, 50_000) for visit in range(12)] for n in range(10)},
    }
    await load(database, tenant, {name: bought for group in shop.values() for name, bought in group.items()})
    return {group: sorted(names) for group, names in shop.items()}


def payload_of(tenant, row):
    """Return the job's payload."""
    return {"tenant_id": str(tenant.id), "clustering_id": row["id"]}


async def started(client, **asked):
    """Ask for a clustering."""
    answer = await client.post("/v1/clusterings", json=asked)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def clustered(client, database, tenant, **asked):
    """Do a clustering; return it as it is then."""
    row = await started(client, **asked)
    await jobs.cluster(database, payload_of(tenant, row))
    return (await client.get(f"/v1/clusterings/{row['id']}")).json()


async def members(client, segment_id):
    """Return the names of a segment's members, in order."""
    assert UUID(segment_id)
    page = (await client.get(f"/v1/segments/{segment_id}/members?limit=200")).json()
    return sorted(each["name"] for each in page["data"])
