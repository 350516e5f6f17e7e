"""Corrective actions: owned, due, done, and verified by another."""

from uuid import uuid4

import pytest
import pytest_asyncio

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest_asyncio.fixture
async def crew(desk):
    return [await desk.staff(name) for name in ("李娜", "陈静", "赵敏")]


async def plan(desk, owner, status=201, **more):
    body = {"title": "改用双层冰袋", "cause": "quality/cold_chain", "owner_id": owner, "due_on": "2026-11-30"} | more
    return await desk.send("/corrective-actions", body, status)


async def step(desk, made, status=200, **body):
    return await desk.send(f"/corrective-actions/{made['id']}/transitions", body, status)


async def test_from_plan_to_proof(desk, crew):
    owner, other, _ = crew
    cases = [await desk.open(await desk.customer()) for _ in range(2)]
    made = await plan(desk, owner, complaint_ids=[*cases, cases[0]])
    assert (made["state"], made["complaint_count"], made["overdue"]) == ("open", 2, False)
    assert (await step(desk, made, action="start"))["state"] == "in_progress"
    done = await step(desk, made, action="finish", note="抽检 20 单均低于 4 ℃")
    assert (done["state"], done["done_by"], done["outcome"]) == ("done", owner, "抽检 20 单均低于 4 ℃")
    back = await step(desk, made, action="return", staff_id=other, note="夏季数据不足")
    assert (back["state"], back["done_at"], back["verification"]) == ("in_progress", None, "夏季数据不足")
    await step(desk, made, action="finish", staff_id=other)
    kept = await step(desk, made, action="verify", staff_id=crew[2], note="两个月无同类投诉")
    assert (kept["state"], kept["verified_by"], kept["verified_at"]) == (
        "verified",
        crew[2],
        "2026-11-23T04:00:00+00:00",
    )
    told = [each.type for each in await desk.messages() if each.type.startswith("corrective_action.")]
    assert [each.partition(".")[2] for each in told] == ["created", "started", "done", "returned", "done", "verified"]


async def test_nobody_verifies_their_own_work(desk, crew):
    owner, doer, _ = crew
    made = await plan(desk, owner)
    done = await step(desk, made, action="finish", staff_id=doer)
    for own in (owner, doer):
        assert (await step(desk, made, 409, action="verify", staff_id=own))["code"] == "own_work"
    assert (await step(desk, made, 422, action="verify"))["errors"][0]["pointer"] == "/staff_id"
    assert await desk.get(f"/corrective-actions/{made['id']}") == done
    # Nor by way of another owner: the row itself refuses it.
    verified = await step(desk, made, action="verify", staff_id=crew[2])
    body = {"owner_id": crew[2]}
    ended = await desk.send(f"/corrective-actions/{made['id']}", body, 409, method="PATCH")
    assert ended["code"] == "action_ended"
    assert await desk.get(f"/corrective-actions/{made['id']}") == verified


async def test_what_is_overdue_is_told_once_for_each_day_set(desk, crew):
    made = await plan(desk, crew[0])
    quiet = await plan(desk, crew[0], title="培训", due_on="2026-12-31")
    await desk.later(days=7)  # the last day itself, in Shanghai
    assert await desk.told("corrective_action.overdue") == []
    await desk.later(hours=12)
    for _ in range(2):
        await desk.sweep()
    (told,) = await desk.told("corrective_action.overdue")
    assert told == {"cause": "quality/cold_chain", "owner_id": crew[0], "due_on": "2026-11-30"}
    assert [each["id"] for each in await desk.get("/corrective-actions", overdue="true")] == [made["id"]]
    assert [each["id"] for each in await desk.get("/corrective-actions", overdue="false")] == [quiet["id"]]
    await desk.send(f"/corrective-actions/{made['id']}", {"due_on": "2026-12-02"}, method="PATCH")
    await desk.later(days=3)
    assert [each["due_on"] for each in await desk.told("corrective_action.overdue")] == ["2026-11-30", "2026-12-02"]
    await step(desk, made, action="finish")
    assert await desk.get("/corrective-actions", overdue="true") == []


async def test_lists_by_cause_owner_and_case(desk, crew):
    case = await desk.open(await desk.customer())
    causes = ("quality", "quality/cold_chain", "logistics/cold_chain", "logistics")
    made = {cause: await plan(desk, owner, cause=cause) for cause, owner in zip(causes, [*crew, crew[0]], strict=True)}
    found = await desk.get("/corrective-actions", cause="quality")
    assert {each["id"] for each in found} == {made["quality"]["id"], made["quality/cold_chain"]["id"]}
    assert {each["id"] for each in await desk.get("/corrective-actions", owner_id=crew[0])} == {
        made["quality"]["id"],
        made["logistics"]["id"],
    }
    path = f"/corrective-actions/{made['logistics']['id']}/complaints/{case}"
    for _ in range(2):
        await desk.send(path, status=204, method="PUT")
    assert [each["id"] for each in await desk.get("/corrective-actions", complaint_id=case)] == [
        made["logistics"]["id"]
    ]
    linked = [each for each in await desk.get("/audit-log") if each["operation"].endswith("link_complaint")]
    assert len(linked) == 1
    for _ in range(2):
        await desk.send(path, status=204, method="DELETE")
    assert await desk.get("/corrective-actions", complaint_id=case) == []


async def test_what_is_wrong_is_named_and_changes_nothing(desk, crew):
    await desk.send(f"/staff/{crew[1]}", {"active": False}, method="PATCH")
    await desk.send("/complaint-settings", {"known_causes_only": True}, method="PATCH")
    for body, pointer in (
        ({"owner_id": str(uuid4())}, "/owner_id"),
        ({"owner_id": crew[1]}, "/owner_id"),
        ({"complaint_ids": [str(uuid4())]}, "/complaint_ids/0"),
        ({"cause": "weather"}, "/cause"),
    ):
        refused = await plan(desk, **{"owner": crew[0], "status": 422, **body})
        assert refused["errors"][0]["pointer"] == pointer
    assert await desk.get("/corrective-actions") == []
    made = await plan(desk, crew[0])
    for action in ("verify", "return"):
        refused = await step(desk, made, 409, action=action, note="x", staff_id=crew[2])
        assert (refused["code"], refused["allowed"]) == ("transition_not_allowed", ["start", "finish", "cancel"])
    assert (await step(desk, made, 422, action="cancel"))["errors"][0]["code"] == "note_required"
    assert (await step(desk, made, action="cancel", note="供应商已更换"))["reason"] == "供应商已更换"


async def test_all_of_it_over_graphql(desk, crew):
    case = await desk.resolved(await desk.customer(), assignee_id=crew[0])
    await desk.work()

    async def ask(query, **variables):
        answer = (await desk.client.post("/graphql", json={"query": query, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]

    made = await ask(
        """mutation ($i: CorrectiveActionCreateInput!) { correctiveActionCreate(input: $i) {
          correctiveAction { id state owner { name } complaints { nodes { id } } } userErrors { code } } }""",
        i={
            "title": "x",
            "cause": "quality",
            "ownerId": f"Staff:{crew[0]}",
            "dueOn": "2026-11-30",
            "complaintIds": [f"Complaint:{case}"],
        },
    )
    action = made["correctiveActionCreate"]["correctiveAction"]
    assert (action["state"], action["owner"]["name"], len(action["complaints"]["nodes"])) == ("OPEN", "李娜", 1)
    moved = await ask(
        """mutation ($i: CorrectiveActionTransitionInput!) { correctiveActionTransition(input: $i) {
          correctiveAction { state } userErrors { code } } }""",
        i={"id": action["id"], "action": "FINISH", "note": "y"},
    )
    assert moved["correctiveActionTransition"] == {"correctiveAction": {"state": "DONE"}, "userErrors": []}
    asked = await ask(
        """mutation ($c: ID!) { complaintRatingAsk(input: {id: $c}) { rating { id state channel reason }
          userErrors { code } } }""",
        c=f"Complaint:{case}",
    )
    rating = asked["complaintRatingAsk"]["rating"]
    assert (rating["state"], rating["channel"], rating["reason"]) == ("ASKED", "SHOP", "NO_PAGE")
    linked = await ask(
        "mutation ($r: ID!) { complaintRatingLink(input: {id: $r}) { link { token path url } userErrors { code } } }",
        r=rating["id"],
    )
    link = linked["complaintRatingLink"]["link"]
    assert (link["url"], len(link["token"])) == (None, 43)
    await ask(
        "mutation ($r: ID!) { complaintRatingAnswer(input: {id: $r, csat: 1}) { rating { low suggestion } } }",
        r=rating["id"],
    )
    waiting = (await desk.get("/complaint-tellings", complaint_id=case))[0]
    await ask(
        """mutation ($t: ID!) { complaintTellingConfirm(input: {id: $t, note: "x"}) { telling { state }
          userErrors { code } } }""",
        t=f"ComplaintTelling:{waiting['id']}",
    )
    again = await ask(
        """mutation ($c: ID!) { complaintTell(input: {id: $c, what: RESULT}) { telling { id }
          userErrors { code } } }""",
        c=f"Complaint:{case}",
    )
    assert again["complaintTell"] == {"telling": None, "userErrors": [{"code": "already_told"}]}
    await ask("mutation { closingSettingsUpdate(input: {askAfterHours: 1}) { settings { askAfterHours } } }")
    seen = await ask(
        """query ($c: ID!) { complaint(id: $c) { rating { csat suggestion state } tellings { nodes { what state } }
          correctiveActions { nodes { title state overdue } } } closingSettings { askAfterHours version } }""",
        c=f"Complaint:{case}",
    )
    assert seen == {
        "complaint": {
            "rating": {"csat": 1, "suggestion": "REOPEN", "state": "ANSWERED"},
            "tellings": {"nodes": [{"what": "RESULT", "state": "TOLD"}]},
            "correctiveActions": {"nodes": [{"title": "x", "state": "DONE", "overdue": False}]},
        },
        "closingSettings": {"askAfterHours": 1, "version": 2},
    }
