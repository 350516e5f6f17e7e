"""A shop with cases, clocks and somebody who handles them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from crm_api.complaints.clocks import CaseClocks
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from tests.staff.shop import customers, post

SHANGHAI = ZoneInfo("Asia/Shanghai")
MONDAY = datetime(2026, 11, 23, 2, tzinfo=UTC)
"""Ten in the morning in Shanghai; office hours are 9–12 and 13:30–18."""
MINUTE = timedelta(minutes=1)
ALERTS = ("complaint.warned", "complaint.breached", "complaint.escalated")


def at(text):
    """Return a moment in Shanghai."""
    return datetime.fromisoformat(f"{text}:00+08:00").astimezone(UTC)


def limits(clock, minutes, **more):
    return {"clock": clock, "targets": [{"minutes": minutes}], **more}


async def policy(client, *clocks, **more):
    """Add a policy that is asked before the presets."""
    body = {"name": "甲", "position": 1, "clocks": list(clocks) or [limits("resolution", 120)], **more}
    return await post(client, "/v1/clock-policies", body)


async def only(client, *clocks, **more):
    """Let this policy be the only one."""
    for each in (await client.get("/v1/clock-policies")).json()["data"]:
        await post(client, f"/v1/clock-policies/{each['id']}", {"active": False}, 200, "PATCH")
    return await policy(client, *clocks, **more)


async def case(client, **more):
    if "customer_id" not in more:
        (more["customer_id"],) = await customers(client, 1)
    return await post(client, "/v1/complaints", {"channel": "call", "subject": "甲", **more})


async def shown(client, complaint):
    return (await client.get(f"/v1/complaints/{complaint['id']}")).json()


async def runs(client, complaint, **wanted):
    """Return the clocks of a case by name."""
    answer = await client.get(f"/v1/complaints/{complaint['id']}/clocks", params=wanted)
    return {(each["clock"], each["cycle"]): each for each in answer.json()["data"]}


async def move(client, complaint, *states):
    for state in states:
        await post(client, f"/v1/complaints/{complaint['id']}/transitions", {"to": state}, 200)


async def say(client, complaint, direction="out", **more):
    body = {"direction": direction, "body": "好的", **more}
    return await post(client, f"/v1/complaints/{complaint['id']}/messages", body)


async def sweep(database, tenant, **more):
    """Let a worker look."""

    async def work(unit):
        return await CaseClocks(unit).sweep(**more)

    return await database.run(Actor.system(tenant.id), work)


async def messages(database, tenant, *types):
    """Return what was told, in order."""
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT id, type, subject_id, payload, occurred_at FROM outbox WHERE type = ANY ($1) ORDER BY id",
            list(types or ALERTS),
        )
    return [
        Message(row["id"], tenant.id, row["type"], row["subject_id"], row["payload"], row["occurred_at"])
        for row in rows
    ]


async def follow(database, tenant, handler, *types):
    """Let a subscriber handle all messages of these types, as the relay does."""
    found = await messages(database, tenant, *types)

    async def work(unit):
        await handler(unit, found)

    await database.run(Actor.system(tenant.id), work)


def brief(found):
    """Return announcements in short: case, what, clock, and the moment in Shanghai."""
    return [
        (
            str(each.subject_id),
            each.type.removeprefix("complaint."),
            each.payload["clock"],
            f"{datetime.fromisoformat(each.payload['at']).astimezone(SHANGHAI):%m-%d %H:%M}",
        )
        for each in found
    ]


async def assignee(client, complaint):
    return (await shown(client, complaint))["assignee_id"]
