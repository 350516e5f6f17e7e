"""Whatever arrives in whatever order, every event ends up where a look at all of it would put it."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.events import jobs
from crm_api.events import service as events_service
from crm_api.events.models import EventBatch, IdentifyInput, Mark
from crm_api.events.service import EventService, IdentificationService
from tests.events.shop import event
from tests.support.api import make_tenant

pytestmark = pytest.mark.database
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)

MOMENTS = st.integers(0, 30)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("look"), st.integers(0, 1), MOMENTS),
        st.tuples(st.just("own"), st.integers(0, 1), MOMENTS, st.integers(0, 1)),
        st.tuples(st.just("identify"), st.integers(0, 1), MOMENTS, st.sampled_from([0, 1, 2, None])),
    ),
    max_size=25,
)
"""What happens, on which of two devices, at which minute, and by whom."""


def at(minute):
    return START + timedelta(minutes=minute)


@pytest.fixture(scope="module")
def world(settings):
    """One loop and one database for all examples."""
    with asyncio.Runner() as runner:
        database = runner.run(Database.open(settings))
        yield runner, database, settings
        runner.run(database.close())


@given(steps=STEPS, order=st.randoms(use_true_random=False), later=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_what_an_oracle_says(world, steps, order, later):
    """``later`` leaves all attribution but one event to the background job, which then runs last."""
    runner, database, configuration = world
    arriving = list(steps)
    order.shuffle(arriving)
    runner.run(compare(database, configuration, arriving, later=later))


async def compare(database, configuration, steps, *, later):
    await _run(database, await make_tenant(configuration), steps, later=later)


async def _run(database, tenant, steps, *, later):
    people = [new_id() for _ in range(3)]
    async with database.write(tenant.actor) as unit:
        for person in people:
            await unit.connection.execute(
                "INSERT INTO customers (tenant_id, id, name) VALUES ($1, $2, 'x')", tenant.id, person
            )
    marks, looked, queued = {}, {}, []
    for kind, device, minute, *who in steps:
        if kind == "identify":
            if (device, minute) in marks:
                continue  # refused: see test_saying_it_again_changes_nothing
            marks[device, minute] = None if who[0] is None else people[who[0]]
            queued += await _identify(database, tenant, device, minute, marks[device, minute], limit=1 if later else 99)
        else:
            sent = event(device_id=f"d{device}", occurred_at=at(minute).isoformat())
            if kind == "own":
                sent["customer"] = {"customer_id": str(people[who[0]])}
            looked[UUID(sent["id"])] = (device, minute, people[who[0]] if kind == "own" else None)
            async with database.write(tenant.actor) as unit:
                await EventService(unit).ingest(EventBatch(events=[sent]))
    for identification_id in queued:
        await jobs.attribute(database, {"tenant_id": str(tenant.id), "identification_id": str(identification_id)})
    by_device = {
        device: [Mark(at(minute), owner) for (where, minute), owner in sorted(marks.items()) if where == device]
        for device in (0, 1)
    }
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch("SELECT id, customer_id FROM events WHERE tenant_id = $1", tenant.id)
    assert {row["id"]: row["customer_id"] for row in rows} == {
        event_id: own or _oracle(by_device[device], at(minute)) for event_id, (device, minute, own) in looked.items()
    }


async def _identify(database, tenant, device, minute, person, *, limit):
    """Identify and return what is left for the background."""
    who = {"signed_out": True} if person is None else {"customer_id": person}
    said = IdentifyInput(device_id=f"d{device}", at=at(minute), **who)
    before, events_service.AT_ONCE = events_service.AT_ONCE, limit
    try:
        async with database.write(tenant.actor) as unit:
            identification_id, _ = await IdentificationService(unit).identify(said)
    finally:
        events_service.AT_ONCE = before
    return [identification_id]


def _oracle(marks, moment):
    """Walk all marks of a device, as the documentation words the rule."""
    before = [mark for mark in marks if mark.at <= moment]
    after = [mark for mark in marks if mark.at > moment]
    if before and before[-1].customer_id is not None:
        return before[-1].customer_id
    return after[0].customer_id if after else None
