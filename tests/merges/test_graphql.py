"""Merging in GraphQL, and old ids there."""

import pytest

from tests.merges.shop import Shop

pytestmark = pytest.mark.asyncio

MERGE = """
mutation ($winner: ID!, $losers: [ID!]!, $choices: JSON, $dry: Boolean) {
  customerMerge(input: {winnerId: $winner, loserIds: $losers, fieldChoices: $choices, dryRun: $dry}) {
    merge {
      id winner { id name } loserIds state
      fields { field before after } tables { table moves } undo { points { available } }
    }
    preview { conflicts fields { field result reason } tables { table moves unites stays } }
    userErrors { code message }
  }
}
"""

UNDO = """
mutation ($id: ID!) {
  mergeUndo(input: {id: $id}) { merge { state undo { tables { returned } } } userErrors { code } }
}
"""
CHANGE = """
mutation ($id: ID!) {
  customerUpdate(input: {id: $id, city: "杭州"}) { customer { id city } userErrors { code } }
}
"""


@pytest.fixture
def shop(client):
    return Shop(client)


async def ask(shop, query, headers=None, **variables):
    answer = await shop.client.post("/graphql", json={"query": query, "variables": variables}, headers=headers or {})
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


async def test_dry_run_merge_and_undo(shop):
    winner, loser = await shop.customer("王小明"), await shop.customer("小明", city="上海")
    winner, loser = f"Customer:{winner}", f"Customer:{loser}"
    said = (await ask(shop, MERGE, winner=winner, losers=[loser], dry=True))["customerMerge"]
    assert said["merge"] is None
    assert {"field": "city", "result": "上海", "reason": "FILLED"} in said["preview"]["fields"]
    said = (await ask(shop, MERGE, winner=winner, losers=[loser], dry=False, choices={"city": loser}))["customerMerge"]
    assert said["userErrors"] == []
    assert said["merge"]["winner"] == {"id": winner, "name": "王小明"}
    said = (await ask(shop, UNDO, id=said["merge"]["id"]))["mergeUndo"]
    assert said["merge"]["state"] == "UNDONE"
    said = (await ask(shop, MERGE, winner=winner, losers=[winner], dry=False))["customerMerge"]
    assert said["merge"] is None
    assert [each["code"] for each in said["userErrors"]] == ["merge_with_itself"]


async def test_old_ids(shop):
    winner, loser = await shop.customer("王小明"), await shop.customer("小明")
    order = await shop.order(loser, "o1")
    await shop.merge(winner, loser)
    old, new = f"Customer:{loser}", f"Customer:{winner}"
    query = """
      query ($id: ID!) {
        customer(id: $id) { id name }
        node(id: $id) { id }
        nodes(ids: [$id]) { id }
        orders(customerId: $id) { nodes { id } }
        loyaltyAccount(customerId: $id) { customerId }
      }
    """
    said = await ask(shop, query, id=old)
    assert said == {
        "customer": {"id": new, "name": "王小明"},
        "node": {"id": new},
        "nodes": [{"id": new}],
        "orders": {"nodes": [{"id": f"Order:{order}"}]},
        "loyaltyAccount": {"customerId": new},
    }


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "once"}])
async def test_mutations_by_the_old_id(shop, headers):
    winner, loser = await shop.customer("王小明"), await shop.customer("小明")
    await shop.merge(winner, loser)
    said = (await ask(shop, CHANGE, headers, id=f"Customer:{loser}"))["customerUpdate"]
    assert said == {"customer": {"id": f"Customer:{winner}", "city": "杭州"}, "userErrors": []}
    if headers:
        assert (await ask(shop, CHANGE, headers, id=f"Customer:{loser}"))["customerUpdate"] == said
    unknown = f"Customer:{loser[:-4]}0000"
    said = (await ask(shop, CHANGE, {name: f"{key}2" for name, key in headers.items()}, id=unknown))["customerUpdate"]
    assert [each["code"] for each in said["userErrors"]] == ["not_found"]
