"""Points over GraphQL."""

import orjson
import pytest
import pytest_asyncio

from crm_api.registry import parts
from crm_api.web.graphql.app import compose
from crm_api.web.graphql.engine import Engine, Request
from crm_api.web.graphql.limits import Limits

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

RECEIPT = "{ account { available debt } entry { id type points reason } userErrors { code path } }"
REDEEM = f"mutation ($input: LoyaltyRedeemInput!) {{ loyaltyRedeem(input: $input) {RECEIPT} }}"
ADJUST = f"mutation ($input: LoyaltyAdjustInput!) {{ loyaltyAdjust(input: $input) {RECEIPT} }}"
REVERSE = f"mutation ($input: LoyaltyReverseRedemptionInput!) {{ loyaltyReverseRedemption(input: $input) {RECEIPT} }}"


@pytest.fixture(scope="module")
def engine():
    return Engine(compose([module.GRAPHQL for module in parts("graphql")]), Limits())


@pytest_asyncio.fixture
async def ask(engine, database, tenant):
    async def asked(text, actor=None, **variables):
        answer = await engine.run(Request(text, variables), actor or tenant.actor, database)
        return orjson.loads(answer.body)

    return asked


@pytest_asyncio.fixture
async def customer(shop):
    return f"Customer:{await shop.customer(points=10)}"


async def test_redeem_adjust_and_reverse(ask, customer):
    spent = (await ask(REDEEM, input={"id": customer, "points": 4, "reason": "mug"}))["data"]["loyaltyRedeem"]
    entry = spent["entry"]
    assert spent == {
        "account": {"available": 6, "debt": 0},
        "entry": {"id": entry["id"], "type": "REDEEM", "points": -4, "reason": "mug"},
        "userErrors": [],
    }
    back = (await ask(REVERSE, input={"id": entry["id"], "reason": "broken"}))["data"]["loyaltyReverseRedemption"]
    assert (back["account"]["available"], back["entry"]["type"]) == (10, "RESTORE")
    again = (await ask(REVERSE, input={"id": entry["id"]}))["data"]["loyaltyReverseRedemption"]
    assert [error["code"] for error in again["userErrors"]] == ["already_reversed"]
    given = (await ask(ADJUST, input={"id": customer, "points": -3, "reason": "mistake"}))["data"]["loyaltyAdjust"]
    assert given["account"]["available"] == 7


async def test_refusals_change_nothing(ask, customer, shop):
    for points, code in ((11, "insufficient_balance"), (0, "out_of_range")):
        answer = await ask(REDEEM, input={"id": customer, "points": points, "reason": "mug"})
        errors = answer["data"]["loyaltyRedeem"]["userErrors"]
        assert [error["code"] for error in errors] == [code]
    foreign = await ask(REDEEM, input={"id": f"Customer:{shop.tenant.id}", "points": 1, "reason": "mug"})
    assert foreign["data"]["loyaltyRedeem"]["userErrors"]
    query = "query ($id: ID!) { loyaltyAccount(customerId: $id) { available } }"
    assert (await ask(query, id=customer))["data"] == {"loyaltyAccount": {"available": 10}}


async def test_customer_with_account_and_entries(ask, customer):
    await ask(REDEEM, input={"id": customer, "points": 4, "reason": "mug"})
    query = """query ($id: ID!) { customer(id: $id) { loyalty {
      id available pending held debt currencyName
      entries(first: 1) { nodes { points balanceAfter { available } order { id } } pageInfo { hasNextPage } } } } }"""
    account = (await ask(query, id=customer))["data"]["customer"]["loyalty"]
    assert account == {
        "id": customer.replace("Customer", "LoyaltyAccount"),
        "available": 6,
        "pending": 0,
        "held": 0,
        "debt": 0,
        "currencyName": "积分",
        "entries": {
            "nodes": [{"points": -4, "balanceAfter": {"available": 6}, "order": None}],
            "pageInfo": {"hasNextPage": True},
        },
    }
    node = "query ($id: ID!) { node(id: $id) { ... on LoyaltyAccount { available } } }"
    assert (await ask(node, id=account["id"]))["data"] == {"node": {"available": 6}}


async def test_needs_the_scope(ask, customer, tenant):
    query = "query ($id: ID!) { customer(id: $id) { loyalty { available } } }"
    answer = await ask(query, tenant.actor_with("customers:read"), id=customer)
    assert answer["errors"][0]["extensions"]["code"] == "forbidden"
