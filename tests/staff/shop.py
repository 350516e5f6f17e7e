"""A shop with staff."""

from datetime import datetime, timedelta
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.clock import FixedClock
from crm_api.core.messages import Message
from crm_api.staff import jobs

NOW = datetime.fromisoformat("2026-11-23T02:00:00+00:00")
"""Monday, ten in the morning in Shanghai."""
HOUR = timedelta(hours=1)


async def post(client, path, body=None, status=201, method="POST"):
    answer = await client.request(method, path, **({} if body is None else {"json": body}))
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def staff(client, *names, **more):
    """Add staff; returns their ids, in the order of ids."""
    return [(await post(client, "/v1/staff", {"name": name, **more}))["id"] for name in names]


async def customers(client, number, **more):
    """Add customers; returns their ids."""
    return [(await post(client, "/v1/customers", {"name": f"客户{n}", **more}))["id"] for n in range(number)]


async def owners(client, ids):
    """Return the owner of each."""
    return [(await client.get(f"/v1/customers/{each}")).json()["owner_id"] for each in ids]


async def listed(client, path):
    return (await client.get(path)).json()["data"]


def clocked(database, instant=NOW):
    """Stop the time of the application."""
    database.clock = FixedClock(instant)


async def worker(database, tenant, kind, handler, *subjects):
    """Let a subscriber handle messages about these."""
    messages = [Message(each, tenant.id, kind, each, {}, NOW) for each in subjects]

    async def work(unit):
        await handler(unit, messages)

    await database.run(Actor.system(tenant.id), work)


async def assign(database, tenant, *ids):
    """Let the worker look at new customers."""
    await worker(database, tenant, "customer.created", jobs.assign, *(UUID(each) for each in ids))
