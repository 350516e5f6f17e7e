"""Days so far off that none can be added or taken away are refused, wherever days are reckoned with."""

import pytest

from tests.followups.shop import customer, plan, post

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
