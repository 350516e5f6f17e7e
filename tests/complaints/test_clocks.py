"""Clocks of cases: policies, what is stored, what is announced, over the surfaces and under many workers."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from crm_api.complaints.clocks import CaseClocks
from crm_api.core.actor import Actor
from tests.staff.shop import clocked, customers, listed, post

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

MONDAY = datetime.fromisoformat("2026-11-23T02:00:00+00:00")
"""Ten in the morning in Shanghai; office hours are 9–12 and 13:30–18."""
HOUR = timedelta(hours=1)


def at(text):
    """Return a moment in Shanghai."""
    return datetime.fromisoformat(f"{text}:00+08:00")


async def policy(client, name="甲", **more):
    body = {"name": name, "position": 1, "clocks": [limits("resolution", 120)], **more}
    return await post(client, "/v1/clock-policies", body)


def limits(clock, minutes, **more):
    return {"clock": clock, "targets": [{"minutes": minutes}], **more}


async def case(client, **more):
    (customer,) = await customers(client, 1)
    return await post(client, "/v1/complaints", {"customer_id": customer, "channel": "call", "subject": "甲", **more})


async def sweep(database, tenant, **more):
    async def work(unit):
        return await CaseClocks(unit).sweep(**more)

    return await database.run(Actor.system(tenant.id), work)


async def told(database, tenant, complaint_id, *types):
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT type, payload FROM outbox WHERE subject_id = $1 AND type = ANY ($2) ORDER BY id",
            UUID(complaint_id),
            list(types or ("complaint.warned", "complaint.breached", "complaint.escalated")),
        )
    return [(row["type"].removeprefix("complaint."), row["payload"]["clock"], row["payload"]["at"]) for row in rows]


class TestStored:
    async def test_a_case_is_clocked_by_the_presets_of_a_new_shop(self, client, database):
        clocked(database, MONDAY)
        opened = await case(client)
        runs = await listed(client, f"/v1/complaints/{opened['id']}/clocks")
        due = {each["clock"]: each["due_at"] for each in runs}
        assert due["acknowledge"] == "2026-11-23T07:30:00+00:00"
        assert opened["due_at"] == due["acknowledge"]
        assert opened["breached"] is False
