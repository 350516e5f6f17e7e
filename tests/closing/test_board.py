"""The board of a complaint desk: changes of a queue, by GraphQL's subscription `complaintBoard`."""

import asyncio
import contextlib
from uuid import uuid4

import orjson
import pytest

from crm_api.core.errors import Forbidden, Invalid
from crm_api.registry import parts
from crm_api.web.graphql.app import compose
from crm_api.web.graphql.engine import Engine, Request
from crm_api.web.graphql.hub import Hub
from crm_api.web.graphql.limits import Limits
from crm_api.web.graphql.streams import open_stream

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

BOARD = """subscription($a: ID, $t: ID, $u: Boolean, $s: [ComplaintBoardStates!], $c: Boolean) {
  complaintBoard(assigneeId: $a, teamId: $t, unassigned: $u, states: $s, current: $c) {
    id state assigneeId customer { name } } }"""
PATIENCE = 20


@pytest.fixture(scope="module")
def engine():
    return Engine(compose([module.GRAPHQL for module in parts("graphql")]), Limits())


@contextlib.asynccontextmanager
async def following(engine, desk, actor=None, **variables):
    """Follow a queue; yields what waits for a result, and all results so far."""
    hub = Hub(desk.database, poll_seconds=0.02, per_key=1)

    async def who():
        return actor or desk.tenant.actor

    stream = await open_stream(
        engine=engine, request=Request(BOARD, variables), database=desk.database, hub=hub, who=who, room=100
    )
    told = asyncio.Queue()

    async def read():
        async for each in stream.results():
            found = orjson.loads(each)["data"]["complaintBoard"]
            await told.put((found["id"].partition(":")[2], found["state"], found["assigneeId"]))

    task, seen = asyncio.create_task(read()), []

    async def until(*wanted):
        """Wait for a result; what happened just before somebody listens may be told again before it."""
        async with asyncio.timeout(PATIENCE):
            while wanted not in seen:
                seen.append(await told.get())

    async with asyncio.timeout(PATIENCE):
        while not hub._listeners and not task.done():  # noqa: ASYNC110 - the hub has no event for it
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # the queue before has been read
    try:
        yield until, seen
    finally:
        hub.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_changes_of_somebodys_queue_and_the_case_that_leaves_it(engine, desk):
    mine, other = await desk.staff(), await desk.staff("陈静")
    who = await desk.customer()
    old = await desk.open(who, assignee_id=mine)
    async with following(engine, desk, a=f"Staff:{mine}") as (until, seen):
        await desk.open(who, assignee_id=other)
        case = await desk.open(who, assignee_id=mine)
        await until(case, "RECEIVED", f"Staff:{mine}")
        await desk.move(old, "acknowledged")
        await until(old, "ACKNOWLEDGED", f"Staff:{mine}")
        await desk.send(f"/complaints/{old}", {"assignee_id": other}, method="PATCH")
        await until(old, "ACKNOWLEDGED", f"Staff:{other}")
        await desk.move(old, "assessed")  # is another's now
        await desk.move(case, "withdrawn", reason="已协商解决")
        await until(case, "WITHDRAWN", f"Staff:{mine}")
    assert {each[0] for each in seen} == {old, case}
    assert (old, "ASSESSED", f"Staff:{other}") not in seen


async def test_by_team_by_state_and_what_nobody_has(engine, desk):
    mine, other = await desk.staff(), await desk.staff("陈静")
    team = (await desk.send("/teams", {"name": "客服", "member_ids": [mine]}))["id"]
    who = await desk.customer()
    there = await desk.open(who, assignee_id=mine)
    async with following(engine, desk, t=f"Team:{team}", s=["RECEIVED", "RESOLVED"], c=True) as (until, seen):
        await until(there, "RECEIVED", f"Staff:{mine}")
        await desk.open(who, assignee_id=other)
        await desk.move(there, "acknowledged")
        await until(there, "ACKNOWLEDGED", f"Staff:{mine}")
        await desk.move(there, "assessed")
        case = await desk.open(who, assignee_id=mine)
        await until(case, "RECEIVED", f"Staff:{mine}")
    assert {each[0] for each in seen} == {there, case}
    assert (there, "ASSESSED", f"Staff:{mine}") not in seen
    async with following(engine, desk, u=True) as (until, seen):
        free = await desk.open(who)
        await until(free, "RECEIVED", None)
        await desk.send(f"/complaints/{free}", {"assignee_id": other}, method="PATCH")
        await until(free, "RECEIVED", f"Staff:{other}")
    assert {each[0] for each in seen} == {free}


async def test_only_who_may_read_cases_and_only_their_shops(engine, desk, other_tenant):
    who = await desk.customer()
    with pytest.raises(Forbidden):
        async with following(engine, desk, desk.tenant.actor_with("customers:read")):
            pass
    with pytest.raises(Invalid):
        async with following(engine, desk, a=f"Customer:{uuid4()}"):
            pass
    async with following(engine, desk, other_tenant.actor, c=True) as (_, seen):
        await desk.open(who)
        await asyncio.sleep(0.3)
    assert seen == []


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"a": f"Staff:{uuid4()}"}, "/assignee_id"),
        ({"t": f"Team:{uuid4()}"}, "/team_id"),
        ({"s": []}, "/states"),
    ],
)
async def test_a_queue_that_would_stay_empty_for_ever_is_refused(engine, desk, asked, pointer):
    with pytest.raises(Invalid) as refused:
        async with following(engine, desk, **asked):
            pass
    assert [each.pointer for each in refused.value.errors] == [pointer]


async def test_nobodys_cases_are_in_nobodys_queue(engine, desk):
    with pytest.raises(Invalid) as refused:
        async with following(engine, desk, u=True, a=f"Staff:{await desk.staff()}"):
            pass
    assert [each.code for each in refused.value.errors] == ["contradiction"]
