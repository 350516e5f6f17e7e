"""A shop whose staff follow up on customers."""

from datetime import datetime, timedelta
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.clock import FixedClock
from crm_api.core.messages import Message
from crm_api.followups.planner import make

NOW = datetime.fromisoformat("2026-09-14T02:00:00+00:00")
"""Monday, ten in the morning in Shanghai; a bit more than two weeks before National Day."""
DAY = timedelta(days=1)
ALL = [{"dimension": "all", "every_days": 14}]


async def post(client, path, body=None, status=201, method="POST"):
    answer = await client.request(method, f"/v1{path}", **({} if body is None else {"json": body}))
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def get(client, path, **query):
    answer = await client.get(f"/v1{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def listed(client, path="/follow-ups", **query):
    return (await get(client, path, limit=200, **query))["data"]


async def customer(client, **more):
    return (await post(client, "/customers", {"name": "客户", **more}))["id"]


async def staff(client, *names):
    return [(await post(client, "/staff", {"name": name}))["id"] for name in names]


async def plan(client, **more):
    """Add a plan; its tasks are not made yet, because no worker runs."""
    return await post(client, "/follow-up-plans", {"name": "定期回访", "cadences": ALL, **more})


async def made(database, tenant, plan, at=None):
    """Have a plan's tasks made, as the worker does."""
    if at is not None:
        clocked(database, at)
    await make(database, tenant.id, UUID(plan["id"]))


def clocked(database, instant=NOW):
    """Stop the time of the application."""
    database.clock = FixedClock(instant)


async def heard(database, tenant, handler, kind, *subjects, payload=None):
    """Let a subscriber handle messages about these."""
    messages = [Message(UUID(each), tenant.id, kind, UUID(each), payload or {}, NOW) for each in subjects]

    async def work(unit):
        await handler(unit, messages)

    await database.run(Actor.system(tenant.id), work)


async def told(database, tenant, prefix="follow_up."):
    """Return the types of messages about follow-ups, oldest first."""
    async with database.write(tenant.actor) as unit:
        sql = "SELECT type FROM outbox WHERE tenant_id = $1 AND type LIKE $2 || '%' ORDER BY occurred_at, id"
        return [row["type"] for row in await unit.connection.fetch(sql, tenant.id, prefix)]
