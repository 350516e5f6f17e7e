"""Complaints over REST."""

import asyncio
from uuid import uuid4

import pytest

from crm_api import admin
from crm_api.complaints import repository, rules
from crm_api.complaints.service import ComplaintService
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

WAY = ("acknowledged", "assessed", "in_progress", "proposed", "resolved")


async def customer(client, name="王小明"):
    response = await client.post("/v1/customers", json={"name": name})
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def complain(client, customer_id=None, expect=201, **fields):
    customer_id = customer_id or await customer(client)
    body = {"customer_id": customer_id, "channel": "wechat", "subject": "收到的虾已变质", **fields}
    response = await client.post("/v1/complaints", json=body)
    assert response.status_code == expect, response.text
    return response.json()


async def move(client, case, expect=200, if_match=None, **goal):
    headers = {} if if_match is None else {"if-match": f'"{if_match}"'}
    response = await client.post(f"/v1/complaints/{case['id']}/transitions", json=goal, headers=headers)
    assert response.status_code == expect, response.text
    return response.json()


async def walk(client, case, *states):
    for state in states:
        case = await move(client, case, to=state)
    return case


async def events(client, case, query=""):
    response = await client.get(f"/v1/complaints/{case['id']}/events?{query}")
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def unchanged(client, case):
    assert (await client.get(f"/v1/complaints/{case['id']}")).json() == case
    assert len(await events(client, case)) == case["version"]


async def messages(database, tenant, case):
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT type, payload FROM outbox WHERE subject_id = $1 ORDER BY id", case["id"]
        )
    return [(row["type"], row["payload"]) for row in rows]


class TestOpen:
    async def test_answers_with_what_was_stored(self, client):
        who = await customer(client)
        staff = (await client.post("/v1/staff", json={"name": "李娜"})).json()["id"]
        response = await client.post(
            "/v1/complaints",
            json={
                "customer_id": who,
                "channel": "platform",
                "source_ref": "taobao:refund:1",
                "severity": "S1",
                "safety": True,
                "category": "quality/cold_chain",
                "subject": "收到的虾已变质",
                "description": "有异味",
                "remedy_sought": "退款",
                "assignee_id": staff,
                "received_at": "2026-01-01T08:00:00+08:00",
            },
        )
        body = response.json()
        assert response.status_code == 201
        assert response.headers["etag"] == '"1"'
        assert response.headers["location"] == f"/v1/complaints/{body['id']}"
        assert (body["state"], body["kind"], body["open"], body["reopened"]) == ("received", "complaint", True, 0)
        assert body["received_at"] == "2026-01-01T00:00:00+00:00"
        assert {"action": "acknowledge", "to": "acknowledged"} in body["steps"]
        assert (await client.get(response.headers["location"])).json() == body

    async def test_leaves_an_event_a_message_and_an_audit_row(self, client, database, tenant):
        case = await complain(client)
        (event,) = await events(client, case)
        assert (event["number"], event["action"], event["from_state"], event["to_state"]) == (
            1,
            "open",
            None,
            "received",
        )
        assert event["data"]["subject"] == case["subject"]
        ((kind, payload),) = await messages(database, tenant, case)
        assert kind == "complaint.opened"
        assert (payload["customer_id"], payload["severity"]) == (case["customer_id"], "S3")
        audit = (await client.get(f"/v1/audit-log?subject_id={case['id']}")).json()["data"]
        assert [row["operation"] for row in audit] == ["complaint.open"]

    async def test_the_same_platform_case_is_one_case(self, client):
        case = await complain(client, source_ref="taobao:1")
        body = {"customer_id": case["customer_id"], "channel": "platform", "subject": "again", "source_ref": "taobao:1"}
        response = await client.post("/v1/complaints", json=body)
        assert response.status_code == 409
        assert (response.json()["code"], response.json()["complaint_id"]) == ("duplicate", case["id"])
        assert response.json()["errors"][0]["pointer"] == "/source_ref"
        await unchanged(client, case)
        listed = (await client.get("/v1/complaints?count=exact&source_ref=taobao:1")).json()
        assert listed["page"]["total"] == 1

    async def test_the_same_platform_case_at_once_is_one_case(self, client):
        who = await customer(client)
        body = {"customer_id": who, "channel": "platform", "subject": "x", "source_ref": "taobao:2"}
        answers = await asyncio.gather(*(client.post("/v1/complaints", json=body) for _ in range(8)))
        (made,) = [answer.json() for answer in answers if answer.status_code == 201]
        others = [answer for answer in answers if answer.status_code != 201]
        assert {(answer.status_code, answer.json()["complaint_id"]) for answer in others} == {(409, made["id"])}
        assert len(await events(client, made)) == 1

    async def test_another_merchant_may_use_the_same_reference(self, app, client, other_tenant):
        await complain(client, source_ref="taobao:3")
        async with client_of(app, other_tenant.key) as stranger:
            await complain(stranger, source_ref="taobao:3")

    @pytest.mark.parametrize(
        ("fields", "pointer", "code"),
        [
            ({"severity": "S5"}, "/severity", "unknown_choice"),
            ({"kind": "rant"}, "/kind", "unknown_choice"),
            ({"channel": "dream"}, "/channel", "unknown_choice"),
            ({"state": "closed"}, "/state", "unknown_field"),
            ({"subject": " "}, "/subject", "too_short"),
            ({"source_ref": "a b"}, "/source_ref", "bad_format"),
            ({"category": "a//b"}, "/category", "bad_format"),
            ({"safety": "perhaps"}, "/safety", "wrong_type"),
            ({"received_at": "2999-01-01T00:00:00Z"}, "/received_at", "in_the_future"),
            ({"received_at": "2026-01-01T00:00:00"}, "/received_at", "invalid_time"),
            ({"assignee_id": str(uuid4())}, "/assignee_id", "unknown_reference"),
            ({"order_id": str(uuid4())}, "/order_id", "unknown_reference"),
            ({"description": "\ud800"}, "/description", None),
        ],
    )
    async def test_bad_input_changes_nothing(self, client, fields, pointer, code):
        body = {"customer_id": await customer(client), "channel": "call", "subject": "x", **fields}
        if code is None:
            raw = '{"customer_id": "%s", "channel": "call", "subject": "x", "description": "\\ud800"}'
            response = await client.post(
                "/v1/complaints",
                content=raw % body["customer_id"],
                headers={"content-type": "application/json"},
            )
            assert response.status_code in (400, 422)
        else:
            response = await client.post("/v1/complaints", json=body)
            assert response.status_code == 422, response.text
            assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [(pointer, code)]
        assert (await client.get("/v1/complaints?count=exact")).json()["page"]["total"] == 0

    async def test_an_unknown_customer_is_named(self, client):
        body = {"customer_id": str(uuid4()), "channel": "call", "subject": "x"}
        response = await client.post("/v1/complaints", json=body)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (404, "/customer_id")


class TestTransitions:
    async def test_a_closed_case_is_merged_and_closed_again_when_that_is_undone(self, client, database, tenant):
        first, second = await complain(client), await complain(client)
        closed = await move(client, await walk(client, first, *WAY), to="closed", decision_told=True)
        merged = await move(client, closed, to="duplicate", merged_into=second["id"])
        assert (merged["merged_from"], merged["steps"]) == ("closed", [{"action": "unmerge", "to": "closed"}])
        back = await move(client, merged, action="unmerge")
        times = ("acknowledged_at", "resolved_at", "closed_at", "decision_told_at")
        assert [back[name] for name in ("state", *times)] == [closed[name] for name in ("state", *times)]
        gone = await move(client, back, to="withdrawn", reason="已与买家和解")
        assert (gone["steps"], gone["resolved_at"]) == ([], closed["resolved_at"])
        other = await complain(client)
        assert await move(client, other, to="duplicate", merged_into=gone["id"], expect=422)

    async def test_the_whole_way(self, client, database, tenant):
        case = await complain(client, severity="S2")
        case = await walk(client, case, *WAY)
        assert (case["state"], case["open"]) == ("resolved", False)
        case = await move(client, case, to="closed", decision_told=True, root_cause="quality/cold_chain", note="已告知")
        assert (case["state"], case["version"], case["steps"]) == (
            "closed",
            7,
            [
                {"action": "reopen", "to": "in_progress"},
                {"action": "mark_duplicate", "to": "duplicate"},
                {"action": "withdraw", "to": "withdrawn"},
                {"action": "reject", "to": "rejected"},
            ],
        )
        assert None not in (case["closed_at"], case["decision_told_at"], case["resolved_at"])
        log = await events(client, case)
        assert [event["to_state"] for event in log] == ["received", *WAY, "closed"]
        assert [event["number"] for event in log] == list(range(1, 8))
        assert log[-1]["note"] == "已告知"
        assert log[-1]["data"]["root_cause"] == "quality/cold_chain"
        told = await messages(database, tenant, case)
        assert [kind for kind, _ in told] == [
            "complaint.opened",
            *(f"complaint.{state}" for state in WAY),
            "complaint.closed",
        ]
        assert (told[-1][1]["from"], told[-1][1]["number"]) == ("resolved", 7)
        audit = (await client.get(f"/v1/audit-log?subject_id={case['id']}")).json()["data"]
        assert audit[0]["operation"] == "complaint.close"
        assert (audit[0]["before"]["state"], audit[0]["after"]["state"]) == ("resolved", "closed")

    async def test_what_is_not_possible_names_what_is_and_changes_nothing(self, client):
        case = await complain(client)
        problem = await move(client, case, 409, to="closed")
        assert problem["code"] == "transition_not_allowed"
        assert problem["state"] == "received"
        assert problem["allowed"] == case["steps"]
        await unchanged(client, case)

    async def test_a_guard_says_what_is_missing(self, client):
        case = await walk(client, await complain(client, severity="S1"), *WAY)
        problem = await move(client, case, 409, to="closed")
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("transition_guard", "/decision_told")
        problem = await move(client, case, 409, to="closed", decision_told=True)
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("transition_guard", "/root_cause")
        await unchanged(client, case)

    async def test_reopening(self, client):
        case = await walk(client, await complain(client), *WAY)
        case = await move(client, case, action="close", decision_told=True)
        case = await move(client, case, action="reopen", reason="又发生")
        assert (case["state"], case["reopened"], case["resolved_at"]) == ("in_progress", 1, None)

    async def test_a_duplicate_points_at_its_original(self, client):
        original, repeat = await complain(client), await complain(client)
        moved = await move(client, repeat, to="duplicate", merged_into=original["id"])
        assert (moved["merged_into_id"], moved["open"]) == (original["id"], False)
        assert moved["steps"] == [{"action": "unmerge", "to": "received"}]
        third = await complain(client)
        for wrong in (third["id"], repeat["id"], str(uuid4())):
            problem = await move(client, third, 422, to="duplicate", merged_into=wrong)
            assert problem["errors"][0]["pointer"] == "/merged_into"
        await unchanged(client, third)

    async def test_two_cases_cannot_be_each_others_duplicate(self, client):
        one, two = await complain(client), await complain(client)
        paths = [(one, two), (two, one)]
        answers = await asyncio.gather(
            *(
                client.post(
                    f"/v1/complaints/{case['id']}/transitions", json={"to": "duplicate", "merged_into": other["id"]}
                )
                for case, other in paths
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 422]

    @pytest.mark.parametrize(
        "goal",
        [
            {},
            {"to": "acknowledged", "action": "acknowledge"},
            {"to": "heaven"},
            {"action": "pray"},
            {"to": "acknowledged", "merged_into": str(uuid4())},
            {"to": "acknowledged", "decision_told": True},
            {"to": "acknowledged", "severity": "S1"},
            {"to": "rejected"},
            {"to": "duplicate"},
            {"to": "acknowledged", "note": "x" * 20_001},
            {"to": ["acknowledged"]},
        ],
    )
    async def test_bad_input_changes_nothing(self, client, goal):
        case = await complain(client)
        await move(client, case, 422, **goal)
        await unchanged(client, case)

    async def test_an_older_version_is_refused(self, client):
        case = await complain(client)
        await move(client, case, if_match=1, to="acknowledged")
        await move(client, case, 412, if_match=1, to="assessed")
        assert len(await events(client, case)) == 2

    async def test_nobody_elses_case(self, app, client, other_tenant):
        case = await complain(client)
        async with client_of(app, other_tenant.key) as stranger:
            await move(stranger, case, 404, to="acknowledged")
            assert (await stranger.get(f"/v1/complaints/{case['id']}")).status_code == 404
            assert (await stranger.get(f"/v1/complaints/{case['id']}/events")).status_code == 404
            own = await complain(stranger)
            problem = await move(stranger, own, 422, to="duplicate", merged_into=case["id"])
            assert problem["errors"][0]["code"] == "unknown_reference"
        await unchanged(client, case)

    async def test_scopes(self, app, client, settings, tenant):
        case = await complain(client)
        key = await admin.create_key(settings, tenant.id, frozenset({"complaints:read"}))
        async with client_of(app, key.api_key) as reader:
            await move(reader, case, 403, to="acknowledged")
            assert (await reader.get(f"/v1/complaints/{case['id']}")).json() == case

    async def test_an_idempotency_key_moves_once(self, client):
        case = await complain(client)
        headers = {"idempotency-key": "move-1"}
        path, goal = f"/v1/complaints/{case['id']}/transitions", {"to": "acknowledged"}
        first = await client.post(path, json=goal, headers=headers)
        again = await client.post(path, json=goal, headers=headers)
        assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
        assert len(await events(client, case)) == 2


class TestAtOnce:
    @pytest.mark.parametrize("if_match", [None, 1])
    async def test_one_wins(self, client, if_match):
        case = await complain(client)
        headers = {} if if_match is None else {"if-match": '"1"'}
        path = f"/v1/complaints/{case['id']}/transitions"
        answers = await asyncio.gather(
            *(client.post(path, json={"to": "acknowledged"}, headers=headers) for _ in range(8))
        )
        loser = 412 if if_match else 409
        assert sorted(answer.status_code for answer in answers) == [200] + [loser] * 7
        log = await events(client, case)
        assert [event["to_state"] for event in log] == ["received", "acknowledged"]

    async def test_different_ends_do_not_mix(self, client, database, tenant):
        case = await complain(client)
        path = f"/v1/complaints/{case['id']}/transitions"
        goals = [
            {"to": "withdrawn"},
            {"to": "rejected", "reason": "无据", "notice": "无据"},
            {"to": "acknowledged"},
        ] * 3
        answers = await asyncio.gather(*(client.post(path, json=goal) for goal in goals))
        won = [answer for answer in answers if answer.status_code == 200]
        assert {answer.status_code for answer in answers} == {200, 409}
        log = await events(client, case)
        assert len(log) == len(won) + 1
        async with database.read(tenant.actor) as unit:
            stored = await repository.ComplaintRepository(unit).case(case["id"])
            assert await ComplaintService(unit).replayed(case["id"]) == stored


class TestUpdate:
    async def test_is_an_event_too(self, client):
        case = await complain(client)
        path = f"/v1/complaints/{case['id']}"
        response = await client.patch(path, json={"severity": "S1", "category": "logistics", "safety": False})
        body = response.json()
        assert (response.status_code, body["severity"], body["version"]) == (200, "S1", 2)
        last = (await events(client, case, "order=newest"))[0]
        assert (last["action"], last["from_state"], last["to_state"]) == ("update", "received", "received")
        assert last["data"] == {"severity": "S1", "category": "logistics"}

    async def test_no_difference_changes_nothing(self, client):
        case = await complain(client)
        response = await client.patch(f"/v1/complaints/{case['id']}", json={"severity": "S3"})
        assert response.json() == case

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": "closed"},
            {"source_ref": "x"},
            {"customer_id": str(uuid4())},
            {"severity": None},
            {"subject": None},
            {"assignee_id": str(uuid4())},
            {"order_id": str(uuid4())},
        ],
    )
    async def test_bad_input_changes_nothing(self, client, fields):
        case = await complain(client)
        response = await client.patch(f"/v1/complaints/{case['id']}", json=fields)
        assert response.status_code == 422, response.text
        await unchanged(client, case)

    async def test_a_closed_grave_case_keeps_its_cause(self, client):
        case = await walk(client, await complain(client, severity="S1", root_cause="logistics"), *WAY)
        case = await move(client, case, to="closed", decision_told=True)
        response = await client.patch(f"/v1/complaints/{case['id']}", json={"root_cause": None})
        assert (response.status_code, response.json()["code"]) == (409, "transition_guard")
        await unchanged(client, case)


class TestList:
    async def test_filters(self, client):
        who = await customer(client)
        staff = (await client.post("/v1/staff", json={"name": "李娜"})).json()["id"]
        grave = await complain(client, who, severity="S1", assignee_id=staff)
        praise = await complain(client, kind="praise")
        gone = await move(client, await complain(client, who), to="withdrawn")

        async def ids(query):
            response = await client.get(f"/v1/complaints?{query}")
            assert response.status_code == 200, response.text
            return [row["id"] for row in response.json()["data"]]

        assert await ids("") == [gone["id"], praise["id"], grave["id"]]
        assert await ids(f"customer_id={who}") == [gone["id"], grave["id"]]
        assert await ids("state=withdrawn") == [gone["id"]]
        assert await ids("severity=S1") == [grave["id"]]
        assert await ids(f"assignee_id={staff}") == [grave["id"]]
        assert await ids("open=true") == [praise["id"], grave["id"]]
        assert await ids("open=false") == [gone["id"]]
        assert await ids("kind=praise") == [praise["id"]]
        assert await ids("order=last_moved&limit=1") == [gone["id"]]
        below = await client.get(f"/v1/customers/{who}/complaints?open=true")
        assert [row["id"] for row in below.json()["data"]] == [grave["id"]]
        assert (await client.get("/v1/complaints?state=lost")).status_code == 422


class TestInteractions:
    async def test_are_linked_and_unlinked(self, client):
        case = await complain(client)
        body = {"customer_id": case["customer_id"], "channel": "call", "direction": "inbound"}
        talk = (await client.post("/v1/interactions", json=body)).json()
        await client.post("/v1/interactions", json=body)
        path = f"/v1/complaints/{case['id']}/interactions/{talk['id']}"
        assert [(await client.put(path)).status_code for _ in range(2)] == [204, 204]
        about = await client.get(f"/v1/complaints?interaction_id={talk['id']}")
        assert [each["id"] for each in about.json()["data"]] == [case["id"]]
        listed = await client.get(f"/v1/interactions?complaint_id={case['id']}")
        assert [row["id"] for row in listed.json()["data"]] == [talk["id"]]
        assert [(await client.delete(path)).status_code for _ in range(2)] == [204, 204]
        assert (await client.get(f"/v1/interactions?complaint_id={case['id']}")).json()["data"] == []
        audit = (await client.get(f"/v1/audit-log?subject_id={case['id']}")).json()["data"]
        assert [row["operation"] for row in audit][:2] == ["complaint.unlink_interaction", "complaint.link_interaction"]

    async def test_both_must_exist(self, client):
        case = await complain(client)
        assert (await client.put(f"/v1/complaints/{case['id']}/interactions/{uuid4()}")).status_code == 404
        assert (await client.put(f"/v1/complaints/{uuid4()}/interactions/{uuid4()}")).status_code == 404


class TestLog:
    async def test_cannot_be_changed(self, client, database, tenant):
        case = await complain(client)
        for statement in ("UPDATE complaint_events SET note = 'x'", "DELETE FROM complaint_events"):
            with pytest.raises(Exception, match="permission denied"):
                async with database.write(tenant.actor) as unit:
                    await unit.connection.execute(statement)
        await unchanged(client, case)

    async def test_every_step_is_known_to_the_database(self):
        constraint = next(c for c in repository.complaints.constraints if c.name == "ck_complaints_state")
        assert all(f"'{state}'" in str(constraint.sqltext) for state in rules.STATES)
