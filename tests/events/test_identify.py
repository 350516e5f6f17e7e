"""Whose events are whose: on one device, told apart by time, in whatever order everything arrives."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest

from crm_api.core.actor import Actor
from crm_api.core.ids import new_id
from crm_api.db.ownership import Merged
from crm_api.events import jobs
from crm_api.events import service as events_service
from crm_api.events.models import EventBatch, Mark
from crm_api.events.repository import hold_still
from crm_api.events.rules import owner_at
from crm_api.events.service import EventService, IdentificationService
from tests.events.shop import customer, event, identify, send

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)


def at(minute):
    return START + timedelta(minutes=minute)


async def owners(client, device_id):
    """Return minute → customer for the device's events."""
    page = (await client.get("/v1/events", params={"device_id": device_id, "limit": 200})).json()["data"]
    return {
        round((datetime.fromisoformat(each["occurred_at"]) - START).total_seconds() / 60): each["customer_id"]
        for each in page
    }


def looks(device_id, *minutes):
    return [event(device_id=device_id, occurred_at=at(minute).isoformat()) for minute in minutes]


class TestAttribution:
    async def test_past_and_future_are_theirs(self, client):
        mine = await customer(client)
        await send(client, *looks("d", 1, 2))
        answer = await identify(client, "d", at(10), customer_id=mine)
        assert (answer.status_code, answer.json()["attributed"], answer.json()["state"]) == (201, 2, "done")
        await send(client, *looks("d", 20, 5))  # one more, and a late one
        assert await owners(client, "d") == dict.fromkeys((1, 2, 5, 20), mine)

    async def test_two_customers_are_told_apart_by_time(self, client):
        ann, bob = await customer(client), await customer(client)
        await send(client, *looks("d", 1, 15, 25))
        await identify(client, "d", at(20), customer_id=bob)
        assert await owners(client, "d") == dict.fromkeys((1, 15, 25), bob)
        answer = await identify(client, "d", at(10), customer_id=ann)  # arrives late
        assert answer.json()["attributed"] == 2
        await send(client, *looks("d", 12, 22))
        assert await owners(client, "d") == {1: ann, 12: ann, 15: ann, 22: bob, 25: bob}

    async def test_sign_out_lets_the_next_reach_back_to_it(self, client):
        ann, bob = await customer(client), await customer(client)
        await send(client, *looks("d", 1, 15, 25, 35))
        await identify(client, "d", at(10), customer_id=ann)
        await identify(client, "d", at(20), signed_out=True)
        assert await owners(client, "d") == {1: ann, 15: ann, 25: None, 35: None}
        await identify(client, "d", at(30), customer_id=bob)
        assert await owners(client, "d") == {1: ann, 15: ann, 25: bob, 35: bob}

    async def test_event_that_names_somebody_stays_theirs(self, client):
        ann, bob = await customer(client), await customer(client)
        await send(client, event(device_id="d", occurred_at=at(1).isoformat(), customer={"customer_id": ann}))
        await identify(client, "d", at(2), customer_id=bob)
        assert await owners(client, "d") == {1: ann}

    async def test_other_devices_are_left_alone(self, client):
        mine = await customer(client)
        await send(client, *looks("d", 1), *looks("e", 1))
        await identify(client, "d", at(2), customer_id=mine)
        assert await owners(client, "e") == {1: None}

    async def test_saying_it_again_changes_nothing(self, client):
        mine, other = await customer(client), await customer(client)
        first = await identify(client, "d", at(1), customer_id=mine)
        again = await identify(client, "d", at(1), customer_id=mine)
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        taken = await identify(client, "d", at(1), customer_id=other)
        assert (taken.status_code, taken.json()["code"]) == (409, "identified_as_another")

    async def test_ways_to_name_somebody(self, client):
        contacts = [{"kind": "mobile", "value": "13800138000"}]
        identities = [{"platform": "taobao", "external_id": "tb_1"}]
        mine = await customer(client, contact_points=contacts, identities=identities)
        by_identity = await identify(client, "d", platform="taobao", external_id="tb_1")
        by_contact = await identify(client, "e", contact_point={"kind": "mobile", "value": "+86 138 0013 8000"})
        assert by_identity.json()["customer_id"] == by_contact.json()["customer_id"] == mine
        body = {
            "query": "query($c: ID!) { customer(id: $c) { identifications { nodes { deviceId state } } } }",
            "variables": {"c": f"Customer:{mine}"},
        }
        nodes = (await client.post("/graphql", json=body)).json()["data"]["customer"]["identifications"]["nodes"]
        assert nodes == [{"deviceId": "e", "state": "DONE"}, {"deviceId": "d", "state": "DONE"}]

    async def test_shared_contact_point_names_nobody(self, client):
        allow = {"x-allow-duplicate": "true"}
        made = []
        for name in ("A", "B"):
            body = {"name": name, "contact_points": [{"kind": "email", "value": "we@example.com"}]}
            made.append((await client.post("/v1/customers", json=body, headers=allow)).json()["id"])
        answer = await identify(client, "d", contact_point={"kind": "email", "value": "we@example.com"})
        assert (answer.status_code, answer.json()["code"]) == (409, "contact_point_shared")
        assert sorted(each["customer_id"] for each in answer.json()["matches"]) == sorted(made)


class TestLongHistories:
    async def test_they_are_given_in_the_background(self, client, tenant, database, monkeypatch):
        monkeypatch.setattr(events_service, "AT_ONCE", 10)
        monkeypatch.setattr(IdentificationService.go_on, "__defaults__", (10,))
        ann, bob = await customer(client), await customer(client)
        await send(client, *looks("d", *range(35)))
        answer = (await identify(client, "d", at(20), customer_id=ann)).json()
        assert (answer["state"], answer["attributed"]) == ("running", 10)
        # Before the job has come to it, somebody else turns out to have been there.
        other = (await identify(client, "d", at(30), customer_id=bob)).json()
        for each in (other, answer):
            payload = {"tenant_id": str(tenant.id), "identification_id": each["id"]}
            await jobs.attribute(database, payload)
            await jobs.attribute(database, payload)  # a job may come twice
        done = (await client.get(f"/v1/identifications/{answer['id']}")).json()
        assert done["state"] == "done"
        assert await owners(client, "d") == {minute: ann if minute < 30 else bob for minute in range(35)}


class TestRaces:
    async def test_no_event_slips_between_batches_and_identifications(self, client, database, tenant):
        people = [await customer(client) for _ in range(2)]

        async def look(number):
            await send(client, *looks("d", *range(number * 10, number * 10 + 10)))

        async def say(number):
            answer = await identify(client, "d", at(number * 20 + 5), customer_id=people[number % 2])
            assert answer.status_code == 201, answer.text

        await asyncio.gather(*(look(number) for number in range(8)), *(say(number) for number in range(4)))
        marks = [Mark(at(number * 20 + 5), people[number % 2]) for number in range(4)]
        assert await owners(client, "d") == {minute: owner_at(marks, at(minute)) for minute in range(80)}

    async def test_a_merge_waits_for_batches_and_holds_later_ones(self, client, database, tenant):
        """What H6's merge does: hold still, then move rows; a batch that looked up the loser is stored before that."""
        loser, winner = await customer(client), await customer(client)
        await identify(client, "d", at(0), customer_id=loser)
        actor = Actor.system(tenant.id)
        held = asyncio.Event()

        async def merge():
            async with database.write(actor) as unit:
                await hold_still(unit, Merged(new_id(), UUID(winner), (UUID(loser),)))
                held.set()
                for table in ("identifications", "events"):
                    await unit.connection.execute(
                        f"UPDATE {table} SET customer_id = $1 WHERE tenant_id = $2 AND customer_id = $3",
                        UUID(winner),
                        tenant.id,
                        UUID(loser),
                    )
                await asyncio.sleep(0.3)

        async with database.write(actor) as unit:
            await EventService(unit).ingest(EventBatch(events=looks("d", 1)))
            merging = asyncio.create_task(merge())
            await asyncio.sleep(0.2)
            assert not held.is_set()  # this batch is not committed yet
        await held.wait()
        await send(client, *looks("d", 2))
        await merging
        assert await owners(client, "d") == {1: winner, 2: winner}


class TestMerges:
    async def test_undoing_gives_devices_back_with_what_happened_there_meanwhile(self, client, tenant, database):
        winner, loser = await customer(client), await customer(client)
        await send(client, *looks("d", 1), *looks("e", 1))
        await identify(client, "d", at(0), customer_id=winner)
        await identify(client, "e", at(0), customer_id=loser)
        body = {"winner_id": winner, "loser_ids": [loser]}
        merge = await client.post("/v1/customers/merge", json=body)
        assert merge.status_code == 201, merge.text
        await send(
            client, *looks("e", 2), event(occurred_at=at(3).isoformat(), device_id="e", customer={"customer_id": loser})
        )
        assert await owners(client, "e") == {1: winner, 2: winner, 3: winner}
        assert (await client.post(f"/v1/merges/{merge.json()['id']}/undo")).status_code == 200
        async with database.system() as connection:
            queued = await connection.fetch(
                "SELECT payload FROM pgqueuer WHERE entrypoint = 'events.attribute' AND status = 'queued'"
            )
        for each in (orjson.loads(row["payload"]) for row in queued):
            if each["tenant_id"] == str(tenant.id):
                await jobs.attribute(database, each)
        # Who an event names itself stays: it was said of the merged customer.
        assert await owners(client, "e") == {1: loser, 2: loser, 3: winner}
        assert await owners(client, "d") == {1: winner}
