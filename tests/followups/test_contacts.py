"""The one call: an interaction, the task it closes, the case it opens, the next contact: all of it, or nothing."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from crm_api.accounts.service import KeyService
from tests.bad_input.world import digest
from tests.followups.shop import clocked, customer, get, listed, post, staff, told
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
PLUMBING = {"idempotency_keys", "api_keys"}


class Talk:
    """A customer with a task, and a talk with them that has every part."""

    def __init__(self, client):
        self.client = client

    async def begin(self):
        (self.owner,) = await staff(self.client, "李娜")
        self.who = await customer(self.client, owner_id=self.owner)
        self.task = await post(self.client, "/follow-ups", {"customer_id": self.who, "due_on": "2026-09-14"})
        return self

    def body(self, **changes):
        parts = {
            "interaction": {
                "customer_id": self.who,
                "channel": "call",
                "direction": "outbound",
                "staff_id": self.owner,
                "problem": "收到的虾已变质",
            },
            "follow_up": {"id": self.task["id"], "result": "reached", "satisfaction": 2},
            "complaint": {"subject": "收到的虾已变质", "severity": "S2"},
            "next": {"due_on": "2026-09-16", "subject": "告知结果", "channel": "call"},
        }
        return {name: part for name, part in {**parts, **changes}.items() if part is not None}


@pytest_asyncio.fixture
async def talk(client, database):
    clocked(database)
    return await Talk(client).begin()


@pytest_asyncio.fixture
async def owner(settings):
    """A connection that sees every row of every tenant."""
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


async def everything(owner):
    return {name: rows for name, rows in (await digest(owner)).items() if name not in PLUMBING}


async def test_one_call_writes_all_of_it(client, talk, database, tenant):
    made = await post(client, "/contacts", talk.body())
    interaction, task, case, following = (made[each] for each in ("interaction", "follow_up", "complaint", "next"))
    assert (task["state"], task["interaction_id"], task["satisfaction"]) == ("done", interaction["id"], 2)
    assert (case["customer_id"], case["channel"], case["severity"]) == (talk.who, "call", "S2")
    assert (following["complaint_id"], following["assignee_id"], following["due_on"]) == (
        case["id"],
        talk.owner,
        "2026-09-16",
    )
    assert [each["id"] for each in await listed(client, "/interactions", complaint_id=case["id"])] == [
        interaction["id"]
    ]
    assert made["interaction"] == await get(client, f"/interactions/{interaction['id']}")
    assert made["complaint"] == await get(client, f"/complaints/{case['id']}")
    assert await told(database, tenant, "interaction.") == ["interaction.logged"]
    assert await told(database, tenant, "complaint.opened") == ["complaint.opened"]


async def test_parts_may_be_left_out_and_a_case_be_named(client, talk):
    alone = await post(client, "/contacts", talk.body(follow_up=None, complaint=None, next=None))
    assert [alone[each] for each in ("follow_up", "complaint", "next")] == [None, None, None]
    case = await post(client, "/complaints", {"customer_id": talk.who, "channel": "call", "subject": "x"})
    linked = await post(client, "/contacts", talk.body(complaint=None, complaint_id=case["id"], follow_up=None))
    assert (linked["complaint"]["id"], linked["next"]["complaint_id"]) == (case["id"], case["id"])
    found = await listed(client, "/interactions", complaint_id=case["id"])
    assert [each["id"] for each in found] == [linked["interaction"]["id"]]


async def test_it_is_one_mutation_too(client, talk):
    asked = """mutation($input: ContactLogInput!) { contactLog(input: $input) {
      interaction { problem } followUp { state result } complaint { subject followUps { nodes { dueOn } } }
      next { dueOn assignee { name } } userErrors { code path } } }"""
    given = {
        "interaction": {
            "customerId": f"Customer:{talk.who}",
            "channel": "CALL",
            "direction": "OUTBOUND",
            "problem": "x",
        },
        "followUp": {"id": f"FollowUp:{talk.task['id']}", "result": "REACHED"},
        "complaint": {"subject": "变质"},
        "next": {"dueOn": "2026-09-16"},
    }
    answer = await client.post("/graphql", json={"query": asked, "variables": {"input": given}})
    assert answer.json()["data"]["contactLog"] == {
        "interaction": {"problem": "x"},
        "followUp": {"state": "DONE", "result": "REACHED"},
        "complaint": {"subject": "变质", "followUps": {"nodes": [{"dueOn": "2026-09-16"}]}},
        "next": {"dueOn": "2026-09-16", "assignee": {"name": "李娜"}},
        "userErrors": [],
    }
    again = await client.post("/graphql", json={"query": asked, "variables": {"input": given}})
    assert again.json()["data"]["contactLog"]["userErrors"][0]["code"] == "follow_up_closed"
    assert len(await listed(client, "/interactions")) == 1


BROKEN = {
    "nobody": ({"interaction": {"customer_id": str(uuid4())}}, 404, "/interaction/customer_id"),
    "no such staff": ({"interaction": {"staff_id": str(uuid4())}}, 422, "/interaction/staff_id"),
    "no such order": ({"interaction": {"order_id": str(uuid4())}}, 422, "/interaction/order_id"),
    "no such task": ({"follow_up": {"id": str(uuid4())}}, 404, "/follow_up/id"),
    "a closed task": ({"follow_up": {"id": "closed"}}, 409, None),
    "another's task": ({"follow_up": {"id": "other"}}, 422, "/follow_up/id"),
    "another's case": ({"complaint": None, "complaint_id": "other_case"}, 422, "/complaint_id"),
    "no such case": ({"complaint": None, "complaint_id": str(uuid4())}, 422, "/complaint_id"),
    "two cases": ({"complaint_id": str(uuid4())}, 422, ""),
    "a case of another": ({"complaint": {"customer_id": str(uuid4())}}, 422, "/complaint/customer_id"),
    "a case that is known": ({"complaint": {"source_ref": "T1"}}, 409, None),
    "no such assignee of the case": ({"complaint": {"assignee_id": str(uuid4())}}, 422, "/complaint/assignee_id"),
    "the next by nobody": ({"next": {"assignee_id": str(uuid4())}}, 422, "/next/assignee_id"),
    "the next by no calendar": ({"next": {"calendar_id": str(uuid4())}}, 422, "/next/calendar_id"),
    "the next about another's case": ({"next": {"complaint_id": "other_case"}}, 422, "/next/complaint_id"),
    "a word unknown": ({"follow_up": {"result": "maybe"}}, 422, "/follow_up/result"),
}


async def test_whichever_part_fails_nothing_is_written(client, talk, owner):
    places = await others(client, talk)
    before = await everything(owner)
    for name, (changes, status, pointer) in BROKEN.items():
        # One test for all: nothing is written, so each finds what the one before it found.
        headers = {"idempotency-key": name.replace(" ", "-")}
        answer = await client.post("/v1/contacts", json=spoiled(talk.body(), changes, places), headers=headers)
        assert answer.status_code == status, f"{name}: {answer.text}"
        if pointer is not None:
            assert [each["pointer"] for each in answer.json()["errors"]] == [pointer], name
        assert await everything(owner) == before, name
    await post(client, "/contacts", talk.body())
    assert await everything(owner) != before


def spoiled(body, changes, places):
    """Return a good body with some of its parts changed, and the names of places filled in."""
    for name, part in changes.items():
        body[name] = {**body.get(name, {}), **part} if isinstance(part, dict) else places.get(part, part)
    for part in body.values():
        if isinstance(part, dict):
            part.update({name: places[value] for name, value in part.items() if value in places})
    return {name: part for name, part in body.items() if part is not None}


async def others(client, talk):
    """Make what a broken part points at."""
    stranger = await customer(client)
    closed = await post(client, "/follow-ups", {"customer_id": talk.who, "due_on": "2026-09-14"})
    await post(client, f"/follow-ups/{closed['id']}/skip", {"reason": "x"}, 200)
    other = await post(client, "/follow-ups", {"customer_id": stranger, "due_on": "2026-09-14"})
    said = {"customer_id": stranger, "channel": "call", "subject": "x"}
    case = await post(client, "/complaints", {**said, "source_ref": "T1"})
    return {"closed": closed["id"], "other": other["id"], "other_case": case["id"]}


async def test_every_part_takes_its_own_scope_and_without_one_nothing_is_written(
    client, talk, owner, app, database, tenant
):
    wanted = {f"{area}:{right}" for area in ("interactions", "followups", "complaints") for right in ("read", "write")}
    for lacking in ("interactions:write", "followups:write", "complaints:write"):
        async with database.write(tenant.actor) as unit:
            _, key = await KeyService(unit).create(lacking, frozenset(wanted - {lacking}))
        before = await everything(owner)
        async with client_of(app, key) as poor:
            answer = await poor.post("/v1/contacts", json=talk.body())
        assert (answer.status_code, answer.json()["required_scope"]) == (403, lacking)
        assert await everything(owner) == before


async def test_the_same_key_writes_once_also_at_the_same_time(client, talk):
    body, headers = talk.body(), {"idempotency-key": "talk-1"}
    answers = await asyncio.gather(*(client.post("/v1/contacts", json=body, headers=headers) for _ in range(4)))
    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    assert len(await listed(client, "/interactions")) == 1
    assert len(await listed(client, "/complaints")) == 1
    assert len(await listed(client, state="open")) == 1


async def test_two_who_close_the_same_task_at_once_one_wins_and_the_other_leaves_nothing(client, talk):
    bodies = [talk.body(complaint=None, next=None) for _ in range(3)]
    answers = await asyncio.gather(*(client.post("/v1/contacts", json=each) for each in bodies))
    assert sorted(each.status_code for each in answers) == [201, 409, 409]
    assert len(await listed(client, "/interactions")) == 1
