"""What is said about cases, cases that are merged, and what those who follow are told."""

import asyncio
from uuid import uuid4

import pytest

from crm_api.complaints import hooks
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.service import ComplaintService, obstacle
from tests.complaints.test_rest import complain, customer, events, messages, move, unchanged, walk

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def say(client, case, expect=201, **body):
    body = {"direction": "in", "body": "有异味", **body}
    response = await client.post(f"/v1/complaints/{case['id']}/messages", json=body)
    assert response.status_code == expect, response.text
    return response.json()


async def said(client, case, query=""):
    response = await client.get(f"/v1/complaints/{case['id']}/messages?{query}")
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def fresh(client, case):
    return (await client.get(f"/v1/complaints/{case['id']}")).json()


class TestMessages:
    async def test_answers_with_what_was_stored(self, client, database, tenant):
        case = await complain(client)
        staff = (await client.post("/v1/staff", json={"name": "李娜"})).json()["id"]
        body = {
            "direction": "out",
            "channel": "call",
            "body": "已致电道歉",
            "attachments": [
                {"url": "https://f.example.com/a.mp3", "name": "录音", "media_type": "audio/mpeg", "bytes": 9}
            ],
            "staff_id": staff,
            "source_ref": "call:1",
            "at": "2026-01-01T08:00:00+08:00",
        }
        response = await client.post(f"/v1/complaints/{case['id']}/messages", json=body)
        made = response.json()
        assert response.status_code == 201, made
        assert response.headers["location"] == f"/v1/complaint-messages/{made['id']}"
        assert (await client.get(response.headers["location"])).json() == made
        assert {name: made[name] for name in ("direction", "channel", "body", "attachments", "staff_id")} == {
            name: body[name] for name in ("direction", "channel", "body", "attachments", "staff_id")
        }
        assert (made["kind"], made["tells"], made["at"]) == ("message", False, "2026-01-01T00:00:00+00:00")
        kind, payload = (await messages(database, tenant, case))[-1]
        assert (kind, payload["message_id"], payload["staff_id"]) == ("complaint.message_out", made["id"], staff)
        assert (payload["at"], payload["state"]) == ("2026-01-01T00:00:00+00:00", "received")
        audit = (await client.get(f"/v1/audit-log?subject_id={case['id']}")).json()["data"]
        assert (audit[0]["operation"], audit[0]["after"]["body"]) == ("complaint.message", "已致电道歉")
        # What is said changes nothing of the case.
        assert await fresh(client, case) == case

    async def test_kinds_and_channels_follow_the_direction(self, client):
        case = await complain(client)
        note = await say(client, case, direction="internal", body="老客户")
        step = await say(client, case, direction="internal", kind="step", body="已调取温度记录")
        word = await say(client, case)
        assert [(each["kind"], each["channel"]) for each in (note, step, word)] == [
            ("note", None),
            ("step", None),
            ("message", "wechat"),
        ]
        assert [each["id"] for each in await said(client, case)] == [word["id"], step["id"], note["id"]]
        assert [each["id"] for each in await said(client, case, "kind=step")] == [step["id"]]
        assert [each["id"] for each in await said(client, case, "direction=in&order=oldest")] == [word["id"]]
        everywhere = (await client.get("/v1/complaint-messages?direction=internal")).json()["data"]
        assert [each["id"] for each in everywhere] == [step["id"], note["id"]]
        feed = (await client.get(f"/v1/customers/{case['customer_id']}/timeline?kind=complaint_message")).json()["data"]
        assert [(each["id"], each["data"]["direction"]) for each in feed] == [(word["id"], "in")]

    async def test_the_same_delivery_is_one_message(self, client):
        case, other = await complain(client), await complain(client)
        path, body = f"/v1/complaints/{case['id']}/messages", {"direction": "in", "body": "x", "source_ref": "wx:1"}
        answers = await asyncio.gather(*(client.post(path, json=body) for _ in range(5)))
        (made,) = [answer.json() for answer in answers if answer.status_code == 201]
        others = [answer for answer in answers if answer.status_code != 201]
        assert {(answer.status_code, answer.json()["message_id"]) for answer in others} == {(409, made["id"])}
        assert len(await said(client, case)) == 1
        await say(client, other, source_ref="wx:1")

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({"body": None}, "", "nothing_said"),
            ({"direction": "up"}, "/direction", "unknown_choice"),
            ({"kind": "note"}, "/kind", "contradiction"),
            ({"direction": "internal", "kind": "message"}, "/kind", "contradiction"),
            ({"direction": "internal", "channel": "call"}, "/channel", "not_expected"),
            ({"tells": True}, "/tells", "not_expected"),
            ({"staff_id": str(uuid4())}, "/staff_id", "not_expected"),
            ({"direction": "out", "staff_id": str(uuid4())}, "/staff_id", "unknown_reference"),
            ({"at": "2999-01-01T00:00:00Z"}, "/at", "in_the_future"),
            ({"attachments": [{"url": "http://x.example.com/a"}]}, "/attachments/0/url", "invalid_url"),
            (
                {"attachments": [{"url": "https://x.example.com/a", "bytes": -1}]},
                "/attachments/0/bytes",
                "out_of_range",
            ),
            ({"attachments": [{"url": "https://x.example.com/a", "media_type": "x"}]}, None, "bad_format"),
        ],
    )
    async def test_bad_input_changes_nothing(self, client, body, pointer, code):
        case = await complain(client)
        problem = await say(client, case, 422, **body)
        found = [(each["pointer"], each["code"]) for each in problem["errors"]]
        assert found == [(pointer if pointer is not None else "/attachments/0/media_type", code)]
        assert await said(client, case) == []
        await unchanged(client, case)

    async def test_links_the_interaction_it_was_part_of(self, client):
        case = await complain(client)
        call = {"customer_id": case["customer_id"], "channel": "call", "direction": "inbound"}
        talk = (await client.post("/v1/interactions", json=call)).json()
        await say(client, case, channel="call", interaction_id=talk["id"])
        linked = (await client.get(f"/v1/interactions?complaint_id={case['id']}")).json()["data"]
        assert [each["id"] for each in linked] == [talk["id"]]
        await say(client, case, 422, interaction_id=str(uuid4()))
        assert len(await said(client, case)) == 1


class TestWaiting:
    async def test_a_word_of_the_customer_ends_it(self, client, database, tenant):
        case = await walk(client, await complain(client), "acknowledged", "assessed", "in_progress", "waiting_customer")
        await say(client, case, direction="out", body="请提供照片")
        assert (await fresh(client, case))["state"] == "waiting_customer"
        await say(client, case)
        now = await fresh(client, case)
        assert (now["state"], now["version"]) == ("in_progress", 6)
        assert (await events(client, case))[-1]["action"] == "resume"
        kinds = [kind for kind, _ in await messages(database, tenant, case)]
        assert kinds[-3:] == ["complaint.message_out", "complaint.message_in", "complaint.in_progress"]

    async def test_unless_the_shop_says_otherwise(self, client):
        await client.patch("/v1/complaint-settings", json={"resume_on_message": False})
        case = await walk(client, await complain(client), "acknowledged", "assessed", "in_progress", "waiting_customer")
        await say(client, case)
        assert await fresh(client, case) == case


class TestTelling:
    async def test_is_an_event_once(self, client):
        case = await complain(client)
        assert (await say(client, case, 409, direction="out", tells=True))["code"] == "nothing_to_tell"
        assert await said(client, case) == []
        case = await walk(client, case, "acknowledged", "assessed", "in_progress", "proposed", "resolved")
        at = "2026-01-01T00:00:00+00:00"
        await say(client, case, direction="out", body="已退款", tells=True, at=at)
        await say(client, case, direction="out", body="再次告知", tells=True)
        told = await fresh(client, case)
        assert (told["decision_told_at"], told["version"]) == (at, case["version"] + 1)
        event = (await events(client, case))[-1]
        assert (event["action"], event["to_state"], event["data"]) == ("tell", "resolved", {"decision_told_at": at})
        assert (await move(client, case, action="close"))["state"] == "closed"

    async def test_rejecting_keeps_the_notice(self, client, database, tenant):
        case = await complain(client)
        goal = {"action": "reject", "reason": "超过保质期后食用", "notice": "很抱歉，无法支持", "notice_channel": "sms"}
        rejected = await move(client, case, **goal)
        assert (rejected["state"], rejected["version"]) == ("rejected", 2)
        assert rejected["decision_told_at"] == rejected["state_changed_at"]
        (notice,) = await said(client, case)
        assert (notice["direction"], notice["channel"], notice["body"], notice["tells"]) == (
            "out",
            "sms",
            "很抱歉，无法支持",
            True,
        )
        kinds = [kind for kind, _ in await messages(database, tenant, case)]
        assert kinds == ["complaint.opened", "complaint.message_out", "complaint.rejected"]


class TestFamilies:
    async def test_the_parent_shows_what_its_children_were_told(self, client):
        grand, parent, child = [await complain(client) for _ in range(3)]
        own, first = await say(client, grand, body="一"), await say(client, child, body="二")
        merged = await move(client, child, to="duplicate", merged_into=parent["id"])
        assert merged["merged_from"] == "received"
        await move(client, parent, to="duplicate", merged_into=grand["id"])
        late = await say(client, child, body="三")
        assert [each["id"] for each in await said(client, grand, "order=oldest")] == [
            own["id"],
            first["id"],
            late["id"],
        ]
        assert [each["id"] for each in await said(client, parent, "order=oldest")] == [first["id"], late["id"]]
        listed = (await client.get(f"/v1/complaints?merged_into_id={parent['id']}")).json()["data"]
        assert [each["id"] for each in listed] == [child["id"]]

        back = await move(client, child, action="unmerge")
        assert (back["state"], back["merged_into_id"], back["merged_from"]) == ("received", None, None)
        assert [each["id"] for each in await said(client, grand)] == [own["id"]]
        assert [each["id"] for each in await said(client, child, "order=oldest")] == [first["id"], late["id"]]
        assert [event["action"] for event in await events(client, child)] == ["open", "mark_duplicate", "unmerge"]

    async def test_what_a_child_hears_is_for_its_parent(self, client):
        parent, child = await complain(client), await complain(client)
        await move(client, child, to="duplicate", merged_into=parent["id"])
        parent = await walk(client, parent, "acknowledged", "assessed", "in_progress", "waiting_customer")
        await say(client, child)
        assert (await fresh(client, parent))["state"] == "in_progress"
        assert (await fresh(client, child))["version"] == 2
        parent = await walk(client, parent, "proposed")
        await say(client, child, direction="out", body="为您退款", tells=True)
        assert (await fresh(client, parent))["decision_told_at"] is not None
        assert (await fresh(client, child))["decision_told_at"] is None


class TestHooks:
    async def test_an_obstacle_stops_its_step_alone(self, client, monkeypatch):
        monkeypatch.setattr(hooks, "_OBSTACLES", {})
        asked = []

        async def owed(unit, complaint_id, case):
            asked.append((str(complaint_id), case.state))
            if case.severity == "S2":
                raise obstacle("/compensations", "not_settled", "Settle it first", "请先结清")

        hooks.register_obstacle("acknowledge", owed)
        hooks.register_obstacle("acknowledge", owed)
        case, grave = await complain(client), await complain(client, severity="S2")
        await move(client, case, to="acknowledged")
        problem = await move(client, grave, 409, to="acknowledged")
        assert (problem["code"], problem["errors"][0]["code"]) == ("transition_guard", "not_settled")
        await unchanged(client, grave)
        await move(client, grave, to="withdrawn")
        assert asked == [(case["id"], "received"), (grave["id"], "received")]

    async def test_followers_hear_of_every_write(self, client, monkeypatch):
        heard = []

        async def follow(unit, complaint_id, what):
            heard.append((str(complaint_id), what))

        monkeypatch.setattr(hooks, "_FOLLOWERS", [follow])
        who = await customer(client)
        parent, child = await complain(client, who), await complain(client, who)
        await client.patch(f"/v1/complaints/{child['id']}", json={"safety": True})
        await move(client, child, to="duplicate", merged_into=parent["id"])
        await say(client, child)
        await move(client, child, action="unmerge")
        one, two = parent["id"], child["id"]
        assert heard == [
            (one, "open"),
            (two, "open"),
            (two, "update"),
            (two, "mark_duplicate"),
            (one, "family"),
            (two, "message"),
            (one, "family"),
            (two, "unmerge"),
            (one, "family"),
        ]


class TestAtOnce:
    async def test_words_and_merges_do_not_get_in_each_others_way(self, client, database, tenant):
        parent, child = await complain(client), await complain(client)
        parent = await walk(client, parent, "acknowledged", "assessed", "in_progress", "waiting_customer")
        path = f"/v1/complaints/{child['id']}/transitions"
        merge = {"action": "mark_duplicate", "merged_into": parent["id"]}
        asked = [
            client.post(f"/v1/complaints/{case['id']}/messages", json={"direction": "in", "body": str(number)})
            for number in range(6)
            for case in (parent, child)
        ]
        asked += [client.post(path, json=goal) for _ in range(4) for goal in (merge, {"action": "unmerge"})]
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers[:12]} == {201}
        assert {answer.status_code for answer in answers[12:]} <= {200, 409}
        moved = sum(answer.status_code == 200 for answer in answers[12:])
        log = await events(client, child)
        assert [event["action"] for event in log[1:]] == ["mark_duplicate", "unmerge"] * (moved // 2) + [
            "mark_duplicate"
        ] * (moved % 2)
        # Whoever came first ended the waiting, nobody else did.
        assert [event["action"] for event in await events(client, parent)][-1] == "resume"
        assert (await fresh(client, parent))["version"] == parent["version"] + 1
        heard = len(await said(client, parent)) + (0 if moved % 2 else len(await said(client, child)))
        assert heard == 12
        async with database.read(tenant.actor) as unit:
            for case in (parent, child):
                stored = await ComplaintRepository(unit).case(case["id"])
                assert await ComplaintService(unit).replayed(case["id"]) == stored
