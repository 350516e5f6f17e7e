"""Days so far off that none can be added or taken away are refused, wherever days are reckoned with."""

import pytest

from tests.followups.shop import customer, plan, post, staff

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def test_no_day_is_too_far_for_us(client):
    made = await plan(client)
    effect = f"/follow-up-plans/{made['id']}/effect"
    for path, query in (
        ("/analytics/complaints", {"to": "0001-01-05"}),
        ("/analytics/complaints", {"from": "0001-01-01", "to": "9999-12-31"}),
        ("/analytics/complaints", {"from": "0001-01-01T00:00:00+14:00"}),
        ("/staff-performance", {"until": "0001-01-05T00:00:00Z"}),
        (effect, {"until": "0001-01-01"}),
        (effect, {"until": "9999-12-31"}),
    ):
        answer = await client.get(f"/v1{path}", params=query)
        assert answer.status_code == 422, f"{path} {query}: {answer.text}"
        assert answer.json()["errors"]
    who = await customer(client)
    for day in ("9999-12-31", "0001-01-01"):
        await post(client, "/follow-ups", {"customer_id": who, "due_on": day}, 422)
    for day in ("2999-12-31", "1900-01-01"):
        task = await post(client, "/follow-ups", {"customer_id": who, "due_on": day})
        await post(client, f"/follow-ups/{task['id']}", {"due_on": "9999-12-31"}, 422, "PATCH")
        assert (await client.get(f"/v1{effect}", params={"until": day})).status_code == 200
        answer = await client.get("/v1/analytics/complaints", params={"to": day})
        assert answer.status_code == 200, answer.text


async def test_graphql_says_so_too(client):
    said = '{ staffPerformance(input: {until: "0001-01-05T00:00:00Z"}) { report { since } } }'
    answer = (await client.post("/graphql", json={"query": said})).json()
    assert "1900 and 2999" in str(answer["errors"]), answer


async def test_nor_what_is_planned_and_noted(client):
    (who,) = await staff(client, "李娜")
    skill = (await post(client, "/skills", {"name": "英语"}))["id"]
    course = (await post(client, "/courses", {"name": "冷链", "skill_id": skill, "valid_days": 365}))["id"]
    shift = {"staff_id": who, "starts_at": "2026-11-23T09:00:00+08:00", "ends_at": "2026-11-23T18:00:00+08:00"}
    action = {"title": "改用双层冰袋", "cause": "quality/cold_chain", "owner_id": who, "due_on": "2026-11-30"}
    done = {"channel": "call", "result": "reached"}
    task = (await post(client, "/follow-ups", {"customer_id": await customer(client), "due_on": "2026-11-30"}))["id"]
    for method, path, body, name in (
        ("POST", "/corrective-actions", action, "due_on"),
        ("PATCH", f"/corrective-actions/{task}", {}, "due_on"),
        ("POST", "/shifts", shift, "starts_at"),
        ("POST", "/shifts", shift, "ends_at"),
        ("PATCH", f"/shifts/{task}", {}, "ends_at"),
        ("PUT", f"/staff/{who}/skills/{skill}", {}, "expires_on"),
        ("POST", f"/courses/{course}/completions", {"staff_id": who, "score": 92}, "completed_at"),
        ("POST", f"/follow-ups/{task}/complete", done, "occurred_at"),
        ("POST", f"/follow-ups/{task}/snooze", {}, "until"),
    ):
        for day in ("0001-01-05", "9999-12-30"):
            value = day if name.endswith("_on") else f"{day}T00:00:00Z"
            refused = await post(client, path, {**body, name: value}, 422, method)
            assert [each["pointer"] for each in refused["errors"] if each["code"] == "out_of_range"] == [f"/{name}"]
