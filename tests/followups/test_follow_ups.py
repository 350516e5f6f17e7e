"""Single tasks: planned, put off, done, skipped; they go with their customers; what staff did; the effect."""

from datetime import timedelta
from uuid import uuid4

import pytest

from crm_api.followups import jobs
from tests.followups.shop import DAY, NOW, clocked, customer, get, heard, listed, made, plan, post, staff, told

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
HOUR = timedelta(hours=1)


async def task(client, customer_id, day="2026-09-15", **more):
    return await post(client, "/follow-ups", {"customer_id": customer_id, "due_on": day, **more})


async def statuses(client, database, moments):
    """Return what the only task shows at each moment, by itself and by the filter of its status."""
    found = []
    for at in moments:
        clocked(database, at)
        (shown,) = await listed(client)
        (filtered,) = await listed(client, status=shown["status"])
        assert filtered["id"] == shown["id"]
        found.append(shown["status"])
    return found


class TestTasks:
    async def test_time_makes_a_task_due_and_overdue(self, client, database):
        clocked(database)
        await task(client, await customer(client))
        tomorrow = NOW + DAY
        moments = (NOW, tomorrow - 10 * HOUR, tomorrow, tomorrow + 8 * HOUR, tomorrow + 9 * HOUR)
        assert await statuses(client, database, moments) == ["planned", "due", "due", "due", "overdue"]

    async def test_a_day_off_is_moved_unless_somebody_means_it(self, client, database):
        clocked(database)
        who = await customer(client)
        assert (await task(client, who, "2026-10-03"))["due_on"] == "2026-10-08"
        meant = await task(client, who, "2026-10-03", holiday_rule="none")
        assert (meant["due_on"], meant["due_at"]) == ("2026-10-03", "2026-10-03T16:00:00+00:00")

    async def test_put_off_it_is_hidden_until_its_time_and_overdue_when_work_ends(self, client, database, tenant):
        clocked(database, NOW + 2 * DAY)
        made_task = await task(client, await customer(client))
        await jobs.sweep(database)
        body = {"until": (NOW + 3 * DAY).isoformat(), "reason": "开会"}
        shown = await post(client, f"/follow-ups/{made_task['id']}/snooze", body, 200)
        assert (shown["status"], shown["snoozes"], shown["due_on"]) == ("snoozed", 1, "2026-09-17")
        assert await statuses(client, database, (NOW + 3 * DAY, NOW + 3 * DAY + 9 * HOUR)) == ["due", "overdue"]
        await jobs.sweep(database)
        await jobs.sweep(database)
        assert [each for each in await told(database, tenant) if each != "follow_up.created"] == [
            "follow_up.overdue",
            "follow_up.snoozed",
            "follow_up.overdue",
        ]
        again = await post(client, f"/follow-ups/{made_task['id']}/snooze", {"until": (NOW + 9 * DAY).isoformat()}, 200)
        earlier = await post(client, f"/follow-ups/{again['id']}", {"due_on": "2026-09-21"}, 200, "PATCH")
        assert (again["status"], earlier["status"], earlier["snoozed_until"]) == ("snoozed", "planned", None)
        for until in (NOW, NOW + 900 * DAY):
            path = f"/v1/follow-ups/{made_task['id']}/snooze"
            assert (await client.post(path, json={"until": until.isoformat()})).status_code == 422

    async def test_done_it_becomes_an_interaction_and_the_next_is_planned(self, client, database, tenant):
        clocked(database)
        (who_does,) = await staff(client, "李娜")
        who = await customer(client, owner_id=who_does)
        made_task = await task(client, who, channel="call", subject="护理后")
        body = {
            "result": "reached",
            "satisfaction": 4,
            "feedback": "满意",
            "problem": "无",
            "next": {"due_on": "2026-10-14"},
        }
        done = await post(client, f"/follow-ups/{made_task['id']}/complete", body, 200)
        assert (done["state"], done["result"], done["satisfaction"]) == ("done", "reached", 4)
        (said,) = await listed(client, "/interactions", follow_up_id=done["id"])
        assert said["id"] == done["interaction_id"]
        assert [
            said[name] for name in ("channel", "direction", "staff_id", "subject", "body", "problem", "outcome")
        ] == [
            "call",
            "outbound",
            who_does,
            "护理后",
            "满意",
            "无",
            "reached",
        ]
        (further,) = await listed(client, state="open")
        assert [further[name] for name in ("due_on", "channel", "subject", "assignee_id")] == [
            "2026-10-14",
            "call",
            "护理后",
            who_does,
        ]
        again = await client.post(f"/v1/follow-ups/{made_task['id']}/complete", json={"result": "reached"})
        assert (again.status_code, again.json()["code"], again.json()["state"]) == (409, "follow_up_closed", "done")
        assert len(await listed(client, "/interactions")) == 1
        asked = (
            "query($id: ID!) { customer(id: $id) { followUps { nodes { state interaction { followUp { id } } } } } }"
        )
        answer = await client.post("/graphql", json={"query": asked, "variables": {"id": f"Customer:{who}"}})
        nodes = answer.json()["data"]["customer"]["followUps"]["nodes"]
        assert sorted(each["state"] for each in nodes) == ["DONE", "OPEN"]

    async def test_done_without_a_channel_is_refused_and_nothing_is_written(self, client, database):
        clocked(database)
        made_task = await task(client, await customer(client))
        refused = await client.post(f"/v1/follow-ups/{made_task['id']}/complete", json={"result": "reached"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/channel")
        assert (await listed(client))[0]["version"] == 1
        assert await listed(client, "/interactions") == []

    async def test_given_to_somebody_to_the_queue_and_back_to_the_owner(self, client, database, tenant):
        clocked(database)
        owner, other = await staff(client, "李娜", "陈静")
        made_task = await task(client, await customer(client, owner_id=owner))
        path = f"/follow-ups/{made_task['id']}"
        given = await post(client, path, {"assignee_id": other}, 200, "PATCH")
        assert (given["assignee_id"], given["follows_owner"]) == (other, False)
        queued = await post(client, path, {"assignee_id": None}, 200, "PATCH")
        assert [each["id"] for each in await listed(client, unassigned=True)] == [queued["id"]]
        back = await post(client, path, {"follows_owner": True, "due_on": "2026-09-16"}, 200, "PATCH")
        assert (back["assignee_id"], back["follows_owner"], back["due_on"]) == (owner, True, "2026-09-16")
        skipped = await post(client, f"{path}/skip", {"reason": "刚到店"}, 200)
        assert (skipped["state"], skipped["reason"]) == ("skipped", "刚到店")
        assert (await client.patch(f"/v1{path}", json={"channel": "call"})).json()["code"] == "follow_up_closed"
        assert await listed(client, unassigned=True) == []

    async def test_another_customers_order_or_case_is_refused(self, client, database):
        who, other = await customer(client), await customer(client)
        case = await post(client, "/complaints", {"customer_id": other, "channel": "call", "subject": "x"})
        body = {"customer_id": who, "due_on": "2026-12-01", "complaint_id": case["id"]}
        refused = await client.post("/v1/follow-ups", json=body)
        assert refused.json()["errors"][0] == {
            "pointer": "/complaint_id",
            "code": "other_customer",
            "message": "This case is another customer's",
        }
        assert await listed(client) == []


class TestHandover:
    async def test_open_tasks_go_to_the_new_owner_and_others_stay(self, client, database, tenant):
        clocked(database)
        old, new, named = await staff(client, "李娜", "陈静", "王芳")
        who = await customer(client, owner_id=old)
        follows, stays = await task(client, who), await task(client, who, assignee_id=named)
        done = await task(client, who, channel="call")
        await post(client, f"/follow-ups/{done['id']}/complete", {"result": "reached"}, 200)
        await post(client, f"/customers/{who}/owners", {"owner_id": new, "note": "对芒果过敏"})
        for _ in range(2):
            await heard(database, tenant, jobs.follow, "customer.updated", who)
        found = {each["id"]: each["assignee_id"] for each in await listed(client)}
        assert found == {follows["id"]: new, stays["id"]: named, done["id"]: old}
        assert (await told(database, tenant)).count("follow_up.assigned") == 1

    async def test_who_has_left_keeps_nothing_and_who_is_back_has_it_again(self, client, database, tenant):
        clocked(database)
        owner, gone = await staff(client, "李娜", "陈静")
        theirs, hers = await customer(client, owner_id=owner), await customer(client, owner_id=gone)
        by_name, follows = await task(client, theirs, assignee_id=gone), await task(client, hers)

        async def has(*, active):
            await post(client, f"/staff/{gone}", {"active": active}, 200, "PATCH")
            await heard(database, tenant, jobs.release, "staff.updated", gone)
            found = {each["id"]: each["assignee_id"] for each in await listed(client)}
            return found[by_name["id"]], found[follows["id"]]

        assert await has(active=False) == (None, None)
        refused = await client.patch(f"/v1/follow-ups/{by_name['id']}", json={"assignee_id": gone})
        assert refused.json()["errors"][0]["message"] == "There is no such active staff member"
        assert await has(active=True) == (None, gone)

    async def test_tasks_of_who_is_gone_are_cancelled(self, client, database, tenant):
        clocked(database)
        who = await customer(client)
        await task(client, who)
        assert (await client.delete(f"/v1/customers/{who}")).status_code == 204
        await heard(database, tenant, jobs.follow, "customer.deleted", who)
        (left,) = await listed(client)
        assert (left["state"], left["reason"]) == ("cancelled", "customer_gone")

    async def test_merged_customers_have_one_task_of_each_slot(self, client, database, tenant):
        clocked(database)
        winner, loser = await customer(client), await customer(client)
        made_plan = await plan(client)
        await made(database, tenant, made_plan)
        by_hand = await task(client, loser)
        await post(client, "/customers/merge", {"winner_id": winner, "loser_ids": [loser]}, 201)
        payload = {"customer_ids": [winner, loser]}
        await heard(database, tenant, jobs.follow, "customer.merged", winner, payload=payload)
        opened = await listed(client, state="open")
        assert {each["customer_id"] for each in opened} == {winner}
        assert sorted(each["source"] for each in opened) == ["manual", "plan"]
        assert by_hand["id"] in {each["id"] for each in opened}
        assert len(await listed(client, state="cancelled")) == 1


class TestFigures:
    async def test_staff_are_measured_by_their_tasks(self, client, database):
        clocked(database)
        (who_does,) = await staff(client, "李娜")
        who = await customer(client, owner_id=who_does)
        first, second, third = [await task(client, who, "2026-09-14", channel="call") for _ in range(3)]
        await task(client, who, "2026-09-14")
        await post(client, f"/follow-ups/{first['id']}/complete", {"result": "reached", "satisfaction": 5}, 200)
        clocked(database, NOW + DAY)
        await post(client, f"/follow-ups/{second['id']}/complete", {"result": "no_answer", "satisfaction": 4}, 200)
        await post(client, f"/follow-ups/{third['id']}/skip", {"reason": "x"}, 200)
        clocked(database, NOW + DAY + HOUR)
        (found,) = (await get(client, "/staff-performance"))["staff"]
        assert found["more"]["follow_ups"] == {
            "done": 2,
            "on_time": 1,
            "contacted": 1,
            "skipped": 1,
            "overdue": 1,
            "satisfaction": 4.5,
        }

    async def test_errors_say_where(self, client):
        (somebody,) = await staff(client, "李娜")
        nobody = str(uuid4())
        made = await task(client, await customer(client), channel="call")
        path = f"/follow-ups/{made['id']}"
        for way, where, body, status, pointer in (
            ("POST", "/follow-ups", {"customer_id": nobody, "due_on": "2026-09-30"}, 404, "/customer_id"),
            ("PATCH", path, {"assignee_id": somebody, "follows_owner": True}, 422, "/assignee_id"),
            (
                "POST",
                f"{path}/complete",
                {"result": "reached", "next": {"due_on": "2026-09-30", "assignee_id": nobody}},
                422,
                "/next/assignee_id",
            ),
        ):
            refused = await post(client, where, body, status, way)
            assert [each["pointer"] for each in refused["errors"]] == [pointer]
        assert await listed(client) == [made]

    async def test_what_a_colleague_does_is_the_colleagues_work(self, client, database):
        clocked(database)
        whose, colleague = await staff(client, "李娜", "王芳")
        mine = await task(client, await customer(client, owner_id=whose), "2026-09-14", channel="call")
        queued = await task(client, await customer(client), "2026-09-14", channel="call")
        for each in (mine, queued):
            path = f"/follow-ups/{each['id']}/complete"
            done = await post(client, path, {"result": "reached", "staff_id": colleague}, 200)
            assert done["assignee_id"] == colleague
        clocked(database, NOW + DAY)
        report = (await get(client, "/staff-performance"))["staff"]
        assert {each["staff_id"]: each["more"].get("follow_ups", {}).get("done", 0) for each in report} == {
            whose: 0,
            colleague: 2,
        }

    async def test_segments_can_ask_for_open_overdue_and_done_tasks(self, client, database):
        clocked(database)
        late, ahead, done = [await customer(client) for _ in range(3)]
        await task(client, late, "2026-09-11")
        await task(client, ahead, "2026-09-18")
        closed = await task(client, done, "2026-09-11", channel="call")
        await post(client, f"/follow-ups/{closed['id']}/complete", {"result": "refused"}, 200)

        async def found(rule):
            page = await post(client, "/customers/search", {"rule": rule, "fields": ["id"]}, 200)
            return {each["id"] for each in page["data"]}

        assert await found("follow_ups.count(where state = open) >= 1") == {late, ahead}
        assert await found("follow_ups.count(where state = open and due_at before now) >= 1") == {late}
        assert await found("follow_ups.count(where state = done and result = refused) >= 1") == {done}

    async def test_the_effect_is_told_with_its_uncertainty_and_its_bias(self, client, database, tenant):
        clocked(database)
        people = [await customer(client) for _ in range(8)]
        made_plan = await plan(client, channels=["visit"], first_after_days=0)
        await made(database, tenant, made_plan)
        tasks = {each["customer_id"]: each["id"] for each in await listed(client)}
        for who in people[:4]:
            await post(client, f"/follow-ups/{tasks[who]}/complete", {"result": "reached"}, 200)
        for who in people[4:7]:
            await post(client, f"/follow-ups/{tasks[who]}/skip", {"reason": "太忙"}, 200)
        await post(client, f"/follow-ups/{tasks[people[7]]}/complete", {"result": "no_answer"}, 200)
        path = f"/follow-up-plans/{made_plan['id']}/effect"
        early = await get(client, path, since="2026-09-01")
        assert [(each["customers"], each["waiting"]) for each in early["groups"]] == [(0, 4), (0, 1), (0, 3), (0, 0)]
        assert early["comparisons"][0]["difference"] is None
        clocked(database, NOW + 60 * DAY)
        for number, (who, days) in enumerate(
            [(people[0], 5), (people[1], 29), (people[2], 31), (people[4], 3), (people[4], -3), (people[0], -10)]
        ):
            order = {
                "customer_id": who,
                "status": "completed",
                "total": {"amount": 100, "currency": "CNY"},
                "placed_at": (NOW + days * DAY).isoformat(),
            }
            await post(client, f"/orders/till/{number}", order, 201, "PUT")
        report = await get(client, path, since="2026-09-01")
        shown = [
            (each["group"], each["customers"], each["bought"], each["share"], each["bought_before"])
            for each in report["groups"]
        ]
        assert shown == [
            ("contacted", 4, 2, 0.5, 1),
            ("tried", 1, 0, 0.0, 0),
            ("not_contacted", 3, 1, 0.3333, 1),
            ("held_out", 0, 0, None, 0),
        ]
        chosen, drawn = report["comparisons"]
        assert (chosen["difference"], chosen["low"], chosen["high"]) == (0.1667, -0.4105, 0.6098)
        assert (chosen["randomised"], chosen["difference_before"]) == (False, -0.0833)
        assert "Nobody drew lots" in chosen["caution"]
        assert (drawn["randomised"], drawn["difference"]) == (True, None)
        asked = "query($id: ID!) { followUpEffect(input: {id: $id}) { report { groups { group customers } } } }"
        answer = await client.post(
            "/graphql", json={"query": asked, "variables": {"id": f"FollowUpPlan:{made_plan['id']}"}}
        )
        assert answer.json()["data"]["followUpEffect"]["report"]["groups"][0]["customers"] == 4
