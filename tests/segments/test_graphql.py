"""Segments in GraphQL: the same service as over REST."""

import pytest

from crm_api.segments import jobs

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

VIP = {"field": "tags", "op": "contains", "value": "vip"}


async def ask(client, query, **variables):
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    body = response.json()
    assert "errors" not in body, body
    return body["data"]


async def test_preview_search_create_members(client, database, tenant):
    for name, tags in (("one", ["vip"]), ("two", []), ("three", ["vip"])):
        await client.post("/v1/customers", json={"name": name, "tags": tags})
    data = await ask(
        client,
        """query($rule: RuleTree!) {
             segmentPreview(input: {rule: $rule}) { count sample { name tags } }
             customerSearch(input: {rule: $rule, limit: 1, count: EXACT}) { customers { name } hasMore total next }
           }""".replace("RuleTree!", "JSON!"),
        rule=VIP,
    )
    assert data["segmentPreview"] == {
        "count": 2,
        "sample": [{"name": "three", "tags": ["vip"]}, {"name": "one", "tags": ["vip"]}],
    }
    assert data["customerSearch"]["customers"] == [{"name": "three"}]
    assert (data["customerSearch"]["hasMore"], data["customerSearch"]["total"]) == (True, 2)
    made = await ask(
        client,
        """mutation($rule: JSON!) { segmentCreate(input: {name: "VIPs", rule: $rule}) {
             segment { id state } userErrors { code } } }""",
        rule=VIP,
    )
    segment_id = made["segmentCreate"]["segment"]["id"]
    plain = segment_id.partition(":")[2]
    await jobs.evaluate(database, {"tenant_id": str(tenant.id), "segment_id": plain})
    data = await ask(
        client,
        """query($id: ID!) { segment(id: $id) { size state members(first: 1) {
             totalCount nodes { name segments { nodes { name } } } } } }""",
        id=segment_id,
    )
    assert data["segment"] == {
        "size": 2,
        "state": "ACTIVE",
        "members": {"totalCount": 2, "nodes": [{"name": "three", "segments": {"nodes": [{"name": "VIPs"}]}}]},
    }


async def test_a_bad_rule_is_a_user_error(client):
    made = await ask(
        client,
        """mutation { segmentCreate(input: {name: "x", rule: {field: "nope", op: "eq", value: 1}}) {
             segment { id } userErrors { code path message } } }""",
    )
    assert made["segmentCreate"]["segment"] is None
    assert made["segmentCreate"]["userErrors"][0]["code"]
