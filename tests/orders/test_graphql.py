"""Orders and products in GraphQL."""

import orjson
import pytest
import pytest_asyncio

from crm_api.registry import parts
from crm_api.web.graphql.app import compose
from crm_api.web.graphql.engine import Engine, Request
from crm_api.web.graphql.limits import Limits

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest.fixture(scope="module")
def engine():
    return Engine(compose([module.GRAPHQL for module in parts("graphql")]), Limits())


@pytest_asyncio.fixture
async def ask(engine, database, tenant):
    async def asked(text, **variables):
        answer = await engine.run(Request(text, variables), tenant.actor, database)
        body = orjson.loads(answer.body)
        assert "errors" not in body, body
        return body["data"]

    return asked


UPSERT = """mutation ($input: OrderUpsertInput!) {
  orderUpsert(input: $input) {
    verdict
    order { id status version total { amount currency } lines { title product { name } } customer { name } }
    userErrors { code path }
  }
}"""
REFUND = """mutation ($input: OrderRefundInput!) {
  orderRefund(input: $input) {
    refund { externalId amount { amount } } order { status refunded { amount } } userErrors { code path }
  }
}"""
PRODUCT = """mutation { productCreate(input: {sku: "S-1", name: "大虾", category: "海鲜"}) {
  product { id sku category } userErrors { code } } }"""


def order(number=1, **fields):
    money = {"amount": 5_000, "currency": "CNY"}
    return {
        "platform": "taobao",
        "externalId": f"T-{number}",
        "customer": {"externalId": "tb_1", "name": "王小明"},
        "status": "PAID",
        "total": money,
        "placedAt": f"2025-01-0{number}T00:00:00Z",
        "lines": [{"title": "大虾", "sku": "S-1", "unitPrice": money}],
        **fields,
    }


async def test_upsert_reads_back_the_order(ask):
    product = (await ask(PRODUCT))["productCreate"]["product"]
    done = (await ask(UPSERT, input=order()))["orderUpsert"]
    assert (done["verdict"], done["userErrors"]) == ("created", [])
    assert done["order"]["lines"] == [{"title": "大虾", "product": {"name": "大虾"}}]
    assert done["order"]["customer"] == {"name": "王小明"}
    again = (await ask(UPSERT, input=order(status="SHIPPED")))["orderUpsert"]
    assert (again["verdict"], again["order"]["version"]) == ("updated", 2)
    change = 'mutation ($id: ID!) { productUpdate(input: {id: $id, name: "虾"}) { product { name version } } }'
    assert (await ask(change, id=product["id"]))["productUpdate"]["product"] == {"name": "虾", "version": 2}


async def test_what_cannot_be_is_a_user_error(ask):
    done = (await ask(UPSERT, input=order(placedAt="2999-01-01T00:00:00Z")))["orderUpsert"]
    assert done["order"] is None
    assert [each["code"] for each in done["userErrors"]] == ["impossible_date"]


async def test_refund(ask):
    placed = (await ask(UPSERT, input=order()))["orderUpsert"]["order"]
    amount = {"amount": 5_000, "currency": "CNY"}
    done = (await ask(REFUND, input={"id": placed["id"], "externalId": "R", "amount": amount}))["orderRefund"]
    assert done["order"] == {"status": "REFUNDED", "refunded": {"amount": 5_000}}
    more = (await ask(REFUND, input={"id": placed["id"], "externalId": "S", "amount": amount}))["orderRefund"]
    assert [each["code"] for each in more["userErrors"]] == ["exceeds_paid"]


async def test_a_customers_orders_and_purchases(ask):
    for number in (1, 2, 3):
        await ask(UPSERT, input=order(number))
    body = await ask(
        """{ customers(first: 5) { nodes {
               purchases { paidOrderCount netSpend { amount currency } favouriteCategories }
               orders(first: 2) { nodes { externalId } pageInfo { hasNextPage } } } }
             orders(status: PAID, first: 1) { nodes { externalId } }
             orderByExternalId(platform: "taobao", externalId: "T-2") { placedAt } }"""
    )
    (customer,) = body["customers"]["nodes"]
    assert customer["purchases"] == {
        "paidOrderCount": 3,
        "netSpend": {"amount": 15_000, "currency": "CNY"},
        "favouriteCategories": [],
    }
    assert [each["externalId"] for each in customer["orders"]["nodes"]] == ["T-3", "T-2"]
    assert customer["orders"]["pageInfo"]["hasNextPage"] is True
    assert body["orders"]["nodes"] == [{"externalId": "T-3"}]
    assert body["orderByExternalId"] == {"placedAt": "2025-01-02T00:00:00+00:00"}
