"""What a narrow key can learn: rules, filters and fields that look into another domain take that domain's scope."""

from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import Table, bindparam
from sqlalchemy.sql import visitors

from crm_api import admin
from crm_api.accounts.rules import SCOPES
from crm_api.accounts.tables import tenants
from crm_api.consent.tables import consent_states
from crm_api.core.actor import ADMIN, Actor
from crm_api.core.errors import Forbidden
from crm_api.core.rules import Op
from crm_api.customers.tables import customers
from crm_api.db.fields import FilterValue
from crm_api.db.plans.values import sql_type_of
from crm_api.db.pool import Database
from crm_api.db.projections import projections
from crm_api.events.tables import events
from crm_api.patterns.tables import customer_interests
from crm_api.registry import parts, routers
from crm_api.segments import jobs
from crm_api.segments.repository.catalogue import CUSTOMER_RULES
from crm_api.settings import Settings
from tests.support.api import application, client_of, make_tenant

pytestmark = pytest.mark.edge

assert routers()  # importing them declares every projection

OWN = "customers:read"


VALUES = {
    "attribute": (["skin:dry"], ["size>=1", "size<3"]),
    "consent": ("marketing.sms", "personalization.sms"),
}
"""What filters whose plans depend on more than a word are given."""


def leaf(name):
    field = CUSTOMER_RULES.catalogue.fields.get(name)
    if field is None or Op.EXISTS in field.operators:
        return {"field": name, "op": "exists"}
    return {"field": name, "op": "contains", "value": str(uuid4())}


def count(collection, **more):
    return {"aggregate": "count", "of": collection, "op": "gte", "value": 1, **more}


def named():
    """Yield everything a rule can name: what it is, a rule that names it, where, and the scope it declares."""
    for name, entry in CUSTOMER_RULES.catalogue.fields.items():
        yield name, leaf(name), "/rule/field", entry.scope
    for name, entry in CUSTOMER_RULES.catalogue.collections.items():
        yield name, count(name), "/rule/of", entry.scope
        for inside, field in entry.inside.fields.items():
            if field.scope not in {None, entry.scope}:  # the others are as open as their collection
                yield f"{name}.{inside}", count(name, where={"field": inside, "op": "exists"}), "/rule/of", field.scope


NAMED = [pytest.param(*case[1:], id=case[0]) for case in named()]
FOREIGN = [case for case in NAMED if case.values[-1] != OWN]


def domain_scope(table):
    """Return the scope that reads the domain a table belongs to."""
    if table is customer_interests:  # what is kept of events
        table = events
    for tables in parts("tables"):
        domain = tables.__name__.split(".")[1]
        if any(table is each for each in vars(tables).values()):
            return {
                "catalogue": "orders",
                "exchange": "imports",
                "households": "customers",
                "companies": "customers",
                "patterns": "orders",
                "classifications": "segments",
                "lifetime": "churn",
                "tiers": "loyalty",
                "rewards": "loyalty",
                "closing": "complaints",
            }.get(domain, domain) + ":read"
    raise LookupError(table.name)


def looked_into(name, field, table):
    """Return the table a field's value lies in; what somebody agreed to is worked out from several rows at once."""
    if name.startswith("consents."):
        return consent_states
    return field.side.table if field.side else table


def registered(rules, table, scope=None, prefix=""):
    """Yield every entry's name, table and scope, nested ones too."""
    for name, field in rules.fields.items():
        yield prefix + name, looked_into(name, field, table), field.field.scope or scope
    for name, collection in rules.collections.items():
        own = collection.collection.scope or scope
        yield prefix + name, collection.table, own
        yield from registered(collection.rules, collection.table, own, f"{prefix}{name}.")


BY_OLD_IDS = {("SegmentLogEntry", "customer_id")}
"""Filters that also find rows under ids that were merged: the log itself names both in its entries of the merge."""


class TestDeclarations:
    """Whoever adds a field or a filter is told here that it needs a scope."""

    @pytest.mark.parametrize(
        ("table", "scope"), [pytest.param(*case[1:], id=case[0]) for case in registered(CUSTOMER_RULES, customers)]
    )
    def test_what_rules_name_takes_the_scope_of_its_table(self, table, scope):
        assert scope == domain_scope(table)

    @pytest.mark.parametrize(
        ("of", "name"), [pytest.param(of, name, id=f"{of.name}.{name}") for of in projections() for name in of.filters]
    )
    def test_a_filter_takes_the_scope_of_the_tables_it_looks_into(self, of, name):
        known = of.filters[name]
        t = of.table.alias("t")
        for value in VALUES.get(name, ("李", "ab", "abcd", "13800000000")):
            said = None if known.variant is None else known.variant(value)
            bind = FilterValue(lambda _, sql_type: _bound(sql_type, known), said)
            tables = {each for each in visitors.iterate(known.build(t, bind)) if isinstance(each, Table)}
            # The tenant's own time zone is no secret of another domain.
            open_to_all = {tenants, customers} if (of.name, name) in BY_OLD_IDS else {tenants}
            foreign = {domain_scope(each) for each in tables - {of.table, *open_to_all}} - {of.scope}
            assert foreign == ({known.scope} if known.scope else set())


def _bound(sql_type, known):
    return bindparam("v", type_=sql_type or known.sql_type or sql_type_of(known.type))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(database_server):
    """A shop with one customer who bought, complained and is in a segment; keys of any scopes."""
    with database_server.migrated() as url:
        settings = Settings(database_url=url)
        tenant = await make_tenant(settings)
        database = await Database.open(settings)
        async with AsyncExitStack() as stack:
            yield await Shop(stack, settings, tenant, database).open()
        await database.close()


class Shop:
    def __init__(self, stack, settings, tenant, database):
        self.stack, self.settings, self.tenant, self.database = stack, settings, tenant, database
        self.clients = {}

    async def open(self):
        self.app = await self.stack.enter_async_context(application(self.settings, self.database))
        owner = await self.key(ADMIN)
        self.customer = (await owner.post("/v1/customers", json={"name": "buyer"})).json()["id"]
        paid = {"amount": 1000, "currency": "CNY"}
        order = {"customer_id": self.customer, "status": "paid", "total": paid, "placed_at": "2026-05-01T00:00:00Z"}
        assert (await owner.put("/v1/orders/till/1", json=order)).status_code == 201
        case = {"customer_id": self.customer, "channel": "call", "subject": "broken"}
        self.complaint = (await owner.post("/v1/complaints", json=case)).json()["id"]
        rule = {"name": "buyers", "rule": count("orders")}
        self.segment = (await owner.post("/v1/segments", json=rule)).json()["id"]
        await jobs.evaluate(self.database, {"tenant_id": str(self.tenant.id), "segment_id": self.segment})
        return self

    async def key(self, *scopes):
        """Return a client whose key has these scopes."""
        wanted = frozenset(scopes)
        if wanted not in self.clients:
            key = (await admin.create_key(self.settings, self.tenant.id, wanted)).api_key
            self.clients[wanted] = await self.stack.enter_async_context(client_of(self.app, key))
        return self.clients[wanted]


async def ask(client, query, **variables):
    return (await client.post("/graphql", json={"query": query, "variables": variables})).json()


def refused(response, scope, pointer=None):
    body = response.json()
    assert (response.status_code, body["code"], body["required_scope"]) == (403, "forbidden", scope), body
    assert pointer is None or pointer in {each["pointer"] for each in body["errors"]}


def refused_by_graphql(body, scope, pointer=None):
    (error,) = body["errors"]
    assert (error["extensions"]["code"], error["extensions"]["required_scope"]) == ("forbidden", scope), body
    assert pointer is None or pointer in {each["pointer"] for each in error["extensions"]["errors"]}


SEARCH = "query($rule: JSON!) { customerSearch(input: {rule: $rule}) { customers { id } } }"
PREVIEW = "query($rule: JSON!) { segmentPreview(input: {rule: $rule}) { count } }"
CREATE = """mutation($rule: JSON!) { segmentCreate(input: {name: "x", rule: $rule}) {
  segment { id } userErrors { code } } }"""
UPDATE = """mutation($id: ID!, $rule: JSON!) { segmentUpdate(input: {id: $id, rule: $rule}) {
  segment { id } userErrors { code } } }"""


@pytest.mark.database
@pytest.mark.asyncio(loop_scope="session")
class TestRules:
    @pytest.mark.parametrize(("rule", "pointer", "scope"), NAMED)
    async def test_a_key_with_customers_read_alone(self, shop, rule, pointer, scope):
        client = await shop.key(OWN)
        over_rest = await client.post("/v1/customers/search", json={"rule": rule})
        over_graphql = await ask(client, SEARCH, rule=rule)
        if scope == OWN:
            assert over_rest.status_code == 200
            assert "errors" not in over_graphql
        else:
            refused(over_rest, scope, pointer)
            refused_by_graphql(over_graphql, scope, pointer)

    @pytest.mark.parametrize(("rule", "pointer", "scope"), NAMED)
    async def test_its_scope_is_what_opens_it(self, shop, rule, pointer, scope):
        most = await shop.key(*(SCOPES - {ADMIN, scope}))
        wanted = await most.post("/v1/segments", json={"name": "x", "rule": rule})
        refused(wanted, scope, pointer)
        just = await shop.key(OWN, scope)
        assert (await just.post("/v1/customers/search", json={"rule": rule})).status_code == 200

    @pytest.mark.parametrize(
        ("rule", "pointer"),
        [
            ({"not": {"all": [{"field": "city", "op": "exists"}, leaf("points")]}}, "/rule/not/all/1/field"),
            ({"version": 1, "where": {"any": [leaf("points")]}}, "/rule/where/any/0/field"),
        ],
    )
    async def test_every_way_in_is_closed(self, shop, rule, pointer):
        client = await shop.key(OWN, "segments:read", "segments:write")
        scope = "loyalty:read"
        refused(await client.post("/v1/customers/search", json={"rule": rule}), scope, pointer)
        refused(await client.post("/v1/segments/preview", json={"rule": rule}), scope, pointer)
        refused(await client.post("/v1/segments", json={"name": "x", "rule": rule}), scope, pointer)
        refused(await client.patch(f"/v1/segments/{shop.segment}", json={"rule": rule}), scope, pointer)
        for query in (SEARCH, PREVIEW, CREATE):
            refused_by_graphql(await ask(client, query, rule=rule), scope, pointer)
        refused_by_graphql(await ask(client, UPDATE, id=f"Segment:{shop.segment}", rule=rule), scope, pointer)
        names = [each["name"] for each in (await client.get("/v1/segments")).json()["data"]]
        assert names == ["buyers"]

    async def test_a_segment_is_kept_whoever_asks_for_it(self, shop):
        client = await shop.key(OWN, "segments:read", "segments:write")
        members = (await client.get(f"/v1/segments/{shop.segment}/members?fields=name")).json()["data"]
        assert members == [{"name": "buyer"}]
        renamed = await client.patch(f"/v1/segments/{shop.segment}", json={"description": "by orders"})
        assert renamed.status_code == 200
        assert (await client.post(f"/v1/segments/{shop.segment}/evaluate")).status_code == 202
        await jobs.evaluate(shop.database, {"tenant_id": str(shop.tenant.id), "segment_id": shop.segment})
        again = (await client.get(f"/v1/segments/{shop.segment}")).json()
        assert (again["state"], again["size"]) == ("active", 1)

    async def test_the_list_of_rule_fields_says_what_each_takes(self, shop):
        shown = (await (await shop.key("segments:read")).get("/v1/rule-fields")).json()
        scopes = {each["name"]: each["scope"] for each in shown["fields"]}
        assert (scopes["city"], scopes["points"], scopes["grade"]) == (OWN, "loyalty:read", "segments:read")
        orders = next(each for each in shown["collections"] if each["name"] == "orders")
        assert {orders["scope"], *(each["scope"] for each in orders["fields"])} == {"orders:read"}


@pytest.mark.database
@pytest.mark.asyncio(loop_scope="session")
class TestFilters:
    async def test_customers_by_segment(self, shop):
        path = f"/v1/customers?segment_id={shop.segment}"
        query = "query($id: ID!) { customers(segmentId: $id) { nodes { name } } }"
        narrow, just = await shop.key(OWN), await shop.key(OWN, "segments:read")
        refused(await narrow.get(path), "segments:read")
        refused_by_graphql(await ask(narrow, query, id=f"Segment:{shop.segment}"), "segments:read")
        assert [each["name"] for each in (await just.get(path)).json()["data"]] == ["buyer"]
        found = await ask(just, query, id=f"Segment:{shop.segment}")
        assert found["data"]["customers"]["nodes"] == [{"name": "buyer"}]
        # A plan made for the one key is not lent to the other.
        refused(await narrow.get(path), "segments:read")

    async def test_interactions_by_complaint(self, shop):
        path = f"/v1/interactions?complaint_id={shop.complaint}"
        query = "query($id: ID) { interactions(complaintId: $id) { nodes { id } } }"
        narrow, just = await shop.key("interactions:read"), await shop.key("interactions:read", "complaints:read")
        refused(await narrow.get(path), "complaints:read")
        refused_by_graphql(await ask(narrow, query, id=f"Complaint:{shop.complaint}"), "complaints:read")
        assert "errors" not in await ask(narrow, query, id=None)
        assert (await just.get(path)).status_code == 200
        assert "errors" not in await ask(just, query, id=f"Complaint:{shop.complaint}")


@pytest.mark.database
@pytest.mark.asyncio(loop_scope="session")
class TestFields:
    @pytest.mark.parametrize(
        ("field", "selection", "scope"),
        [("purchases", "{ orderCount }", "orders:read"), ("scores", "{ grade }", "segments:read")],
    )
    async def test_what_others_know_of_a_customer(self, shop, field, selection, scope):
        path = f"/v1/customers/{shop.customer}"
        query = f"query($id: ID!) {{ customer(id: $id) {{ name {field} {selection} }} }}"
        narrow, just = await shop.key(OWN), await shop.key(OWN, scope)
        assert field not in (await narrow.get(path)).json()
        assert field not in (await narrow.get("/v1/customers")).json()["data"][0]
        refused(await narrow.get(f"{path}?fields=name,{field}"), scope)
        refused(await narrow.get(f"/v1/customers?fields={field}"), scope)
        refused(await narrow.post("/v1/customers/search", json={"rule": {"all": []}, "fields": [field]}), scope)
        refused_by_graphql(await ask(narrow, query, id=f"Customer:{shop.customer}"), scope)
        assert field in (await just.get(path)).json()
        assert field in (await just.get(f"{path}?fields={field}")).json()
        found = await ask(just, query, id=f"Customer:{shop.customer}")
        assert found["data"]["customer"]["name"] == "buyer"

    async def test_the_document_says_that_they_need_not_be_there(self, shop):
        document = (await (await shop.key(OWN)).get("/openapi.json")).json()
        customer = document["components"]["schemas"]["Customer"]
        assert {"purchases", "scores"} <= set(customer["properties"])
        assert not {"purchases", "scores"} & set(customer["required"])
        assert "contact_points" in customer["required"]


class TestActors:
    def test_the_system_may_name_everything(self):
        for case in NAMED:
            CUSTOMER_RULES.check(case.values[0], "/rule", Actor.system(uuid4()))

    @pytest.mark.parametrize(("rule", "pointer", "scope"), FOREIGN)
    def test_nobody_else_without_scopes(self, rule, pointer, scope):
        nobody = Actor(uuid4(), "key", uuid4(), frozenset())
        with pytest.raises(Forbidden) as raised:
            CUSTOMER_RULES.check(rule, "/rule", nobody)
        assert raised.value.extra == {"required_scope": scope}
        assert {each.pointer for each in raised.value.errors} >= {pointer}
