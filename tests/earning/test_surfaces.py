"""Earning rules over REST and GraphQL."""

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

RULES = "/v1/loyalty/earning-rules"
RULE = {"name": "双倍", "trigger": "order_paid", "formula": {"kind": "per_unit", "points": 2}, "caps": {"per_day": 500}}


async def test_a_rule_from_draft_to_archive_over_rest(client):
    made = (await client.post(RULES, json=RULE)).json()
    assert (made["state"], made["revision"], made["budget_used"]) == ("draft", 0, 0)
    path = f"{RULES}/{made['id']}"
    active = await client.post(f"{path}/activate", headers={"if-match": '"1"'})
    assert (active.json()["state"], active.json()["revision"], active.headers["etag"]) == ("active", 1, '"2"')
    changed = (await client.patch(path, json={"caps": {"per_order": 90}, "priority": 5})).json()
    assert changed["caps"] | {"per_day": 500, "per_order": 90} == changed["caps"]
    assert (await client.patch(path, json={"priority": 5})).json()["revision"] == 2  # nothing new is no version
    archived = (await client.post(f"{path}/archive")).json()
    assert (archived["state"], archived["revision"]) == ("archived", 3)
    refused = await client.patch(path, json={"priority": 6})
    assert (refused.status_code, refused.json()["code"]) == (409, "archived")
    versions = (await client.get(f"{path}/versions")).json()["data"]
    assert [(each["revision"], each["state"], each["definition"]["priority"]) for each in versions] == [
        (3, "archived", 5),
        (2, "active", 5),
        (1, "active", 100),
    ]


async def test_limits_and_a_simulation_over_graphql(client):
    async def ask(document, **variables):
        answer = (await client.post("/graphql", json={"query": document, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]

    customer = (await client.post("/v1/customers", json={"name": "王小明"})).json()
    made = await ask(
        "mutation($input: EarningRuleCreateInput!) { earningRuleCreate(input: $input) { "
        "earningRule { id state formula { kind points } } userErrors { code } } }",
        input={"name": "双倍", "trigger": "ORDER_PAID", "formula": {"kind": "PER_UNIT", "points": 2}, "draft": False},
    )
    assert made["earningRuleCreate"]["earningRule"]["state"] == "ACTIVE"
    await ask(
        "mutation { earningLimitsUpdate(input: {perOrder: 150}) { earningLimits { perOrder } userErrors { code } } }"
    )
    order = {
        "customerId": customer["id"],
        "status": "PAID",
        "total": {"amount": 10_000, "currency": "CNY"},
        "placedAt": "2026-11-11T00:03:20+08:00",
    }
    shown = await ask(
        "mutation($input: LoyaltySimulateInput!) { loyaltySimulate(input: $input) { points booked "
        "decisions { name points cappedBy { by scope limit } zh } userErrors { code message } } }",
        input={"order": order},
    )
    [decision] = shown["loyaltySimulate"]["decisions"]
    # The rule holds from now on; this order was placed long before it.
    assert (decision["name"], decision["points"], shown["loyaltySimulate"]["points"]) == ("", 100, 100)
