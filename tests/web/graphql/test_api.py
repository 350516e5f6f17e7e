"""The product's own schema and endpoint."""

import pytest
import pytest_asyncio
from graphql import GraphQLObjectType, validate_schema

from crm_api import registry
from crm_api.db.projections import projections
from crm_api.web.graphql.app import compose
from tests.support.api import application, client_of, make_tenant

NOT_PLANNED = [
    "Query.metadata",
    "Query.calendarDue",
    "Query.calendarElapsed",
    "Query.consentSettings",
    "Query.consentState",
    "Query.consentEvaluate",
    "Query.customerViewedNotBought",
    "Query.eventSettings",
    "Query.customerTimeline",
    "Query.staffPerformance",
    "Query.clockPresets",
    "Query.clockProgress",
    "Query.loyaltyBalance",
    "Query.transitions",
    "Query.segmentPreview",
    "Query.segmentExplain",
    "Query.ruleExplain",
    "Query.ruleFields",
    "Query.ruleSchema",
    "Query.ruleParse",
    "Query.ruleDescribe",
    "Query.customerSearch",
    "Query.clusteringFeatures",
    "Query.tierProgress",
    "Query.tierHistory",
    "Query.voucherLookup",
    "Query.voucherValidate",
    "Query.rewardCheck",
    "Query.loyaltyParticipation",
    "Query.loyaltyEarnBurn",
    "Query.loyaltyLiability",
    "Query.loyaltyCohorts",
    "Query.loyaltyDeferral",
    "Query.tierMigration",
    "Query.voucherFunnel",
    "Query.referralFunnel",
    "Query.complaintStatistics",
    "Query.compensationFigures",
    "Query.followUpEffect",
    "Query.privacySettings",
    "Query.qualityReport",
    "Query.customerQuality",
    "Query.qualityCustomers",
    "Query.importPreview",
]
"""Root fields that services compute. Each costs a request of its own to the executor: keep it short."""


@pytest.fixture(scope="module")
def schema():
    parts = [module.GRAPHQL for module in registry.parts("graphql")]
    own = [each.name for each in projections() if each.model.__module__.startswith("crm_api.")]
    return compose(parts, own)  # other tests declare projections that are not the product's


def test_the_schema_is_valid(schema):
    assert validate_schema(schema.core) == []


def test_the_fallback_list(schema):
    fallback = schema.fallback_list()
    print("\n".join(["Not planned:", *fallback]))  # noqa: T201 - for whoever reads the test's output

    assert fallback == NOT_PLANNED


def test_everything_is_described_and_known_to_the_planner(schema):
    bare = []
    for each in schema.core.type_map.values():
        if each.name.startswith("__"):
            continue
        bare += [] if each.description else [each.name]
        for name, field in getattr(each, "fields", {}).items():
            bare += [] if field.description else [f"{each.name}.{name}"]
            args = getattr(field, "args", {})
            bare += [f"{each.name}.{name}({arg})" for arg in args if not args[arg].description]
            if isinstance(each, GraphQLObjectType) and name not in schema.notes.get(each.name, {}):
                bare.append(f"{each.name}.{name} (planner)")
    assert bare == []


@pytest_asyncio.fixture
async def shop(settings):
    tenant = await make_tenant(settings)
    async with application(settings) as app, client_of(app, tenant.key) as client:
        yield client


async def ask(client, query, **variables):
    answer = await client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert "errors" not in body, body
    return body["data"]


CREATE = """
mutation($input: CustomerCreateInput!) {
  customerCreate(input: $input) { customer { id name kind tags contactPoints { kind value } } userErrors { code path } }
}
"""


TYPES = ("Customer", "Complaint")


@pytest.mark.asyncio
@pytest.mark.database
class TestShop:
    async def test_a_customer_is_created_read_searched_and_paged(self, shop):
        given = {"name": "王小明", "tags": ["vip"], "contactPoints": [{"kind": "MOBILE", "value": "138 1234 5678"}]}
        created = (await ask(shop, CREATE, input=given))["customerCreate"]

        assert created["userErrors"] == []
        assert created["customer"]["contactPoints"] == [{"kind": "MOBILE", "value": "+8613812345678"}]
        found = await ask(
            shop,
            "query($id: ID!) { node(id: $id) { __typename ... on Customer { name } }"
            ' customers(q: "小明") { totalCount } }',
            id=created["customer"]["id"],
        )
        assert found == {"node": {"__typename": "Customer", "name": "王小明"}, "customers": {"totalCount": 1}}

    async def test_what_is_wrong_names_the_argument(self, shop):
        given = {"name": "x", "contactPoints": [{"kind": "MOBILE", "value": "12"}]}
        payload = (await ask(shop, CREATE, input=given))["customerCreate"]

        assert payload["customer"] is None
        assert payload["userErrors"][0]["path"][:2] == ["input", "contactPoints"]

    async def test_an_id_of_another_type_says_which_was_wanted(self, shop):
        customer = (await shop.post("/v1/customers", json={"name": "陈"})).json()["id"]
        items = [{"customerId": f"{kind}:{customer}", "channel": "CALL", "direction": "INBOUND"} for kind in TYPES]
        payload = await ask(
            shop,
            "mutation($items: [InteractionBatchItemInput!]!) {"
            " interactionBatch(input: {items: $items}) { succeeded userErrors { code message path } } }",
            items=items,
        )

        assert payload["interactionBatch"] == {
            "succeeded": None,
            "userErrors": [
                {
                    "code": "invalid_id",
                    "message": "This is an id of type Complaint; one of type Customer is wanted here",
                    "path": ["input", "items", "1", "customerId"],
                }
            ],
        }
        refused = await shop.post(
            "/graphql",
            json={
                "query": "query($id: ID!) { complaint(id: $id) { id } }",
                "variables": {"id": f"Customer:{customer}"},
            },
        )
        (error,) = refused.json()["errors"][0]["extensions"]["errors"]
        assert error["message"] == "This is an id of type Customer; one of type Complaint is wanted here"

    async def test_rest_and_graphql_show_the_same_customer(self, shop):
        created = (await shop.post("/v1/customers", json={"name": "陈", "source": "walk-in"})).json()
        data = await ask(
            shop,
            "query($id: ID!) { customer(id: $id) { name source version createdAt } }",
            id=f"Customer:{created['id']}",
        )

        assert data["customer"] == {
            "name": "陈",
            "source": "walk-in",
            "version": created["version"],
            "createdAt": created["created_at"],
        }

    async def test_another_shop_sees_nothing(self, shop, settings):
        created = (await shop.post("/v1/customers", json={"name": "mine"})).json()
        other = await make_tenant(settings)
        async with application(settings) as app, client_of(app, other.key) as client:
            data = await ask(
                client,
                "query($id: ID!) { node(id: $id) { id } customers { totalCount } }",
                id=f"Customer:{created['id']}",
            )
        assert data == {"node": None, "customers": {"totalCount": 0}}

    async def test_without_a_key(self, shop):
        answer = await shop.post("/graphql", json={"query": "{ __typename }"}, headers={"authorization": ""})

        assert answer.status_code == 401
        assert answer.json()["errors"][0]["extensions"]["code"] == "unauthenticated"
