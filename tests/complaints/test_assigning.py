"""Who gets which case: rules, skills of causes, sticky, capacity, the queue, and handlers who go off."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest

from crm_api.complaints import assigning, jobs
from tests.complaints.desk import MINUTE, MONDAY, assignee, case, follow, limits, messages, move, only, sweep
from tests.staff.shop import HOUR, clocked, customers, listed, post, staff, worker

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def rule(client, **more):
    return await post(client, "/v1/assignment-rules", {"name": str(uuid4()), "target": "cases", **more})


async def off(client, database, tenant, who, **change):
    """Let somebody go off, and the worker notice."""
    await post(client, f"/v1/staff/{who}", change or {"availability": "offline"}, 200, "PATCH")
    await worker(database, tenant, "staff.offline", jobs.pass_on, who)


class TestOpening:
    async def test_without_rules_a_case_is_nobodys_and_waits_for_nothing(self, client):
        (who,) = await staff(client, "李娜")
        opened, taken = await case(client), await case(client, assignee_id=who)
        assert (opened["assignee_id"], opened["version"]) == (None, 1)
        assert await listed(client, "/v1/complaint-queue") == []
        assert [each["id"] for each in await listed(client, "/v1/complaints?unassigned=true")] == [opened["id"]]
        assert [each["id"] for each in await listed(client, "/v1/complaints?unassigned=false")] == [taken["id"]]

    async def test_whoever_is_named_gets_it(self, client):
        _, second = await staff(client, "一", "二")
        await rule(client)
        assert (await case(client, assignee_id=second))["assignee_id"] == second

    async def test_parallel_intake_is_spread_evenly(self, client):
        people = await staff(client, "一", "二", "三")
        await rule(client)
        # Half of them are one customer's, who had a handler before: a turn is a turn.
        buyers = await customers(client, 5)
        opened = await asyncio.gather(*(case(client, customer_id=each) for each in [*buyers, *buyers[:1] * 5]))
        share = Counter(each["assignee_id"] for each in opened)
        assert set(share) == set(people)
        assert max(share.values()) - min(share.values()) == 1

    async def test_a_cause_asks_for_skills_and_categories_reach_downwards(self, client, database, tenant):
        plain, able = await staff(client, "普通", "冷链专员")
        skill = (await post(client, "/v1/skills", {"name": "冷链"}))["id"]
        await post(client, f"/v1/staff/{able}/skills/{skill}", {}, 200, "PUT")
        await post(
            client,
            "/v1/complaint-causes",
            {
                "path": "cold",
                "name": {"en": "Cold chain", "zh": "冷链"},
                "required_skill_ids": [skill],
            },
        )
        await post(client, "/v1/complaint-causes", {"path": "cold/ice", "name": {"en": "Ice", "zh": "冰袋"}})
        await rule(client, conditions={"category": ["cold"]})
        assert [(await case(client, category="cold/ice"))["assignee_id"] for _ in range(2)] == [able, able]
        assert (await case(client))["assignee_id"] is None
        assert plain
        (told, _) = await messages(database, tenant, "complaint.assigned")
        assert (told.payload["cause"], told.payload["previous_assignee_id"]) == ("opened", None)

    async def test_the_customers_last_handler_keeps_them_within_their_capacity(self, client):
        first, second = await staff(client, "一", "二", case_capacity=2)
        await rule(client, sticky=True)
        (buyer,) = await customers(client, 1)
        got = [(await case(client, customer_id=buyer))["assignee_id"] for _ in range(3)]
        assert got == [first, first, second]


class TestQueue:
    async def test_who_finds_nobody_waits_until_somebody_comes(self, client, database, tenant):
        (who,) = await staff(client, "李娜", availability="offline")
        await rule(client)
        opened = await case(client)
        (entry,) = await listed(client, "/v1/complaint-queue")
        assert (entry["complaint_id"], entry["reason"]) == (opened["id"], "nobody_online")
        await post(client, f"/v1/staff/{who}", {"availability": "online"}, 200, "PATCH")
        await worker(database, tenant, "staff.online", jobs.serve, who)
        assert await assignee(client, opened) == who
        assert await listed(client, "/v1/complaint-queue") == []
        assert len(await messages(database, tenant, "complaint.queued")) == 1

    async def test_room_is_made_by_a_case_that_is_over(self, client, database, tenant):
        (who,) = await staff(client, "李娜", case_capacity=1)
        await rule(client)
        first, second = await case(client), await case(client)
        await post(client, f"/v1/complaints/{first['id']}/transitions", {"action": "withdraw"}, 200)
        await follow(database, tenant, jobs.serve, "complaint.withdrawn")
        assert await assignee(client, second) == who

    async def test_a_case_that_is_over_waits_no_more(self, client, database, tenant):
        await staff(client, "李娜", availability="offline")
        await rule(client)
        opened = await case(client)
        await post(client, f"/v1/complaints/{opened['id']}/transitions", {"action": "withdraw"}, 200)
        assert await listed(client, "/v1/complaint-queue") == []
        await jobs.sweep(database)
        async with database.read(tenant.actor) as unit:
            assert await unit.connection.fetchval("SELECT count(*) FROM complaint_queue") == 0

    async def test_a_head_that_nobody_can_serve_keeps_nobody_behind_it_waiting(
        self, client, database, tenant, monkeypatch
    ):
        monkeypatch.setattr(assigning, "BATCH", 2)
        (who,) = await staff(client, "李娜", case_capacity=0)
        skill = (await post(client, "/v1/skills", {"name": "冷链"}))["id"]
        await rule(client, position=1, conditions={"severity": ["S1"]}, required_skill_ids=[skill])
        await rule(client, position=2, conditions={"severity": ["S3"]})
        head = [await case(client, severity="S1") for _ in range(3)]
        behind = [await case(client, severity="S3") for _ in range(2)]
        await post(client, f"/v1/staff/{who}", {"case_capacity": 1}, 200, "PATCH")
        await jobs.sweep(database)
        assert [await assignee(client, each) for each in [*head, *behind]] == [None, None, None, who, None]
        waiting = [each["complaint_id"] for each in await listed(client, "/v1/complaint-queue")]
        assert waiting == [each["id"] for each in [*head, behind[1]]]


class TestHandlers:
    async def test_cases_of_who_goes_off_are_taken_over(self, client, database, tenant):
        first, second = await staff(client, "一", "二")
        await rule(client)
        opened, done = await case(client, assignee_id=first), await case(client, assignee_id=first)
        await move(client, done, "acknowledged", "assessed", "in_progress", "proposed", "resolved")
        await off(client, database, tenant, first)
        assert [await assignee(client, each) for each in (opened, done)] == [second, first]
        (*_, told) = await messages(database, tenant, "complaint.assigned")
        assert (told.payload["cause"], told.payload["previous_assignee_id"]) == ("off", first)
        # Nobody is left: the last one keeps what they have, and goes on tomorrow.
        await off(client, database, tenant, second)
        assert await assignee(client, opened) == second

    async def test_where_a_case_can_wait_for_the_morning_it_does(self, client, database, tenant):
        first, _ = await staff(client, "一", "二")
        await rule(client, online_only=False)
        opened = await case(client, assignee_id=first)
        await off(client, database, tenant, first)
        assert await assignee(client, opened) == first

    async def test_what_somebody_leaves_for_good_waits_for_the_next(self, client, database, tenant):
        (first,) = await staff(client, "一")
        await rule(client, online_only=False)
        opened = await case(client, assignee_id=first)
        await off(client, database, tenant, first, active=False)
        assert await assignee(client, opened) is None
        assert len(await listed(client, "/v1/complaint-queue")) == 1
        (second,) = await staff(client, "二")
        await worker(database, tenant, "staff.created", jobs.serve, second)
        assert await assignee(client, opened) == second

    async def test_by_hand_capacities_do_not_bind_and_the_log_says_why(self, client):
        first, gone = await staff(client, "一", "二", case_capacity=0)
        await post(client, f"/v1/staff/{gone}", {"active": False}, 200, "PATCH")
        opened = await case(client)
        path = f"/v1/complaints/{opened['id']}/assign"
        outcome = await post(client, path, {"staff_id": first, "note": "熟客"}, 200)
        assert outcome == {"staff_id": first, "rule_id": None, "reason": None}
        *_, event = await listed(client, f"/v1/complaints/{opened['id']}/events")
        assert (event["data"], event["note"]) == ({"assignee_id": first}, "熟客")
        refused = await client.post(path, json={"staff_id": gone})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/staff_id")
        assert (await client.post(path, json={}, headers={"if-match": '"1"'})).status_code == 412
        await post(client, f"/v1/complaints/{opened['id']}/transitions", {"action": "withdraw"}, 200)
        assert (await client.post(path, json={})).json()["code"] == "not_open"

    async def test_graphql_asks_the_rules_too(self, client):
        (who,) = await staff(client, "一")
        opened = await case(client)
        await rule(client)
        query = """mutation($id: ID!) { complaintAssign(input: {id: $id}) {
            complaint { assignee { id } queueEntry { id } } outcome { staffId reason } userErrors { code } } }"""
        answer = await client.post("/graphql", json={"query": query, "variables": {"id": f"Complaint:{opened['id']}"}})
        made = answer.json()["data"]["complaintAssign"]
        assert (made["complaint"]["queueEntry"], made["userErrors"]) == (None, [])
        assert made["outcome"] == {"staffId": who, "reason": None}

    async def test_a_step_of_escalation_gives_it_to_somebody_else(self, client, database, tenant):
        first, second = await staff(client, "一", "二")
        await rule(client)
        steps = [{"at": "breach", "action": "reassign"}]
        await only(client, limits("resolution", 30, warn_percent=None), escalations=steps)
        clocked(database, MONDAY)
        opened = await case(client, assignee_id=first)
        clocked(database, MONDAY + 31 * MINUTE)
        await sweep(database, tenant)
        await follow(database, tenant, jobs.escalate, "complaint.escalated")
        assert await assignee(client, opened) == second
        *_, alert = await listed(client, f"/v1/complaints/{opened['id']}/clock-alerts")
        assert (alert["what"], alert["outcome"]) == ("escalated", "done")


class TestReport:
    async def test_how_fast_staff_handle_their_cases(self, client, database):
        first, second = await staff(client, "一", "二")
        await only(client, limits("first_response", 60, warn_percent=None), limits("resolution", 120))
        clocked(database, MONDAY)
        quick, slow = await case(client, assignee_id=first), await case(client, assignee_id=first)
        await case(client, assignee_id=second)
        steps = ("acknowledged", "assessed", "in_progress", "proposed", "resolved")
        for each, minutes in ((quick, 30), (slow, 90)):
            clocked(database, MONDAY + minutes * MINUTE)
            body = {"direction": "out", "body": "好的"}
            await post(client, f"/v1/complaints/{each['id']}/messages", body)
            await move(client, each, *steps)
        clocked(database, MONDAY + 5 * HOUR)
        span = {"since": (MONDAY - timedelta(days=1)).isoformat(), "until": (MONDAY + 5 * HOUR).isoformat()}
        report = (await client.get("/v1/staff-performance", params=span)).json()["staff"]
        more = {each["staff_id"]: each["more"].get("complaints") for each in report}
        assert more[first] == {
            "resolved": 2,
            "limits_missed": 1,
            "first_response_minutes": 60.0,
            "resolution_minutes": 60.0,
        }
        # Missed, but not noticed by any worker yet: the report is of what was told.
        assert more[second] is None
