"""Nobody is written down twice: who has a contact point or identity is told, to those who come at once as well."""

import asyncio
from contextlib import suppress

import pytest
import pytest_asyncio

from crm_api.core.errors import Conflict
from crm_api.customers.matching import DuplicateCustomer
from crm_api.customers.models import ContactPointInput, CustomerCreate, CustomerRow
from crm_api.customers.service import ContactPointService, CustomerBulkService, CustomerService
from crm_api.db.pool import Database

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

MOBILE = {"kind": "mobile", "value": "138 1234 5678"}
EMAIL = {"kind": "email", "value": "Ming@Example.com"}
ALLOW = {"x-allow-duplicate": "true"}


async def create(client, *points, status=201, headers=None, **fields):
    body = {"name": "王小明", "contact_points": list(points), **fields}
    response = await client.post("/v1/customers", json=body, headers=headers or {})
    assert response.status_code == status, response.text
    return response.json()


async def total(client):
    return (await client.get("/v1/customers?count=exact&fields=id")).json()["page"]["total"]


class TestCreate:
    async def test_the_matches_are_told_and_nothing_is_stored(self, client):
        known = await create(client, MOBILE, EMAIL)
        problem = await create(client, {"kind": "landline", "value": "010 8888 8888"}, EMAIL, MOBILE, status=409)
        assert problem["code"] == "duplicate_customer"
        assert sorted(problem["matches"], key=lambda each: each["on"]) == [
            {"customer_id": known["id"], "on": "email", "value": "m***@example.com", "verified": False},
            {"customer_id": known["id"], "on": "mobile", "value": "+86138****5678", "verified": False},
        ]
        assert sorted(each["pointer"] for each in problem["errors"]) == [
            "/contact_points/1/value",
            "/contact_points/2/value",
        ]
        assert await total(client) == 1

    async def test_one_statement_locks_looks_and_adds(self, database, tenant):
        sent = []

        async def add(unit, number):
            points = [ContactPointInput(kind="mobile", value=number)]
            await CustomerService(unit).create(CustomerCreate(name="王小明", contact_points=points, tags=["vip"]))

        async with database.write(tenant.actor) as unit:
            await add(unit, "13812345678")  # the driver asks for types when it sees them first
            with unit.connection.query_logger(sent.append):
                await add(unit, "13812345679")
        assert len(sent) == 1

    async def test_what_the_shop_requires_is_asked_for_and_nothing_is_stored(self, client):
        required = {"entity": "customer", "key": "shoe_size", "type": "number", "required": True}
        response = await client.post("/v1/attribute-definitions", json={**required, "label": {"en": "Shoe size"}})
        assert response.status_code == 201, response.text
        problem = await create(client, MOBILE, status=422)
        assert [each["pointer"] for each in problem["errors"]] == ["/attributes/shoe_size"]
        assert await total(client) == 0
        await create(client, MOBILE, attributes={"shoe_size": 42})

    async def test_who_knows_better_says_so(self, client):
        await create(client, MOBILE)
        await create(client, MOBILE, headers=ALLOW)
        assert await total(client) == 2

    async def test_says_it_in_chinese(self, client):
        known = await create(client, MOBILE)
        problem = await create(client, MOBILE, status=409, headers={"accept-language": "zh"})
        assert problem["errors"][0]["message"] == f"客户 {known['id']} 已有此联系方式"

    @pytest.mark.parametrize(
        "point", [{"kind": "landline", "value": "010 8888 8888"}, {"kind": "taobao_buyer", "value": "t**1"}]
    )
    async def test_what_people_share_tells_nothing(self, client, point):
        await create(client, point)
        await create(client, point)

    async def test_the_deleted_block_nobody(self, client):
        gone = await create(client, MOBILE)
        await client.delete(f"/v1/customers/{gone['id']}")
        await create(client, MOBILE)

    async def test_an_identity_is_never_given_twice(self, client):
        identity = {"platform": "taobao", "external_id": "tb_1"}
        known = await create(client, identities=[identity])
        problem = await create(client, identities=[identity], status=409, headers=ALLOW)
        assert problem["code"] == "duplicate"
        assert problem["matches"] == [
            {"customer_id": known["id"], "on": "identity", "value": "taobao:tb_1", "verified": True}
        ]

    async def test_a_refused_request_may_be_sent_again_with_the_same_key(self, client):
        await create(client, MOBILE)
        key = {"idempotency-key": "k"}
        await create(client, MOBILE, status=409, headers=key)
        await create(client, MOBILE, headers=key | ALLOW)

    async def test_another_merchants_customers_are_not_told(self, client, database, other_tenant):
        async def work(unit):
            await CustomerService(unit).create(CustomerCreate(name="x", contact_points=[ContactPointInput(**MOBILE)]))

        await database.run(other_tenant.actor, work)
        await create(client, MOBILE)

    async def test_graphql(self, client):
        known = await create(client, MOBILE)
        mutation = """
        mutation ($allow: Boolean) {
          customerCreate(input: {
            name: "x", contactPoints: [{kind: MOBILE, value: "13812345678"}], allowDuplicate: $allow
          }) { customer { name } userErrors { code path matches { customerId on value verified } } }
        }
        """
        answers = []
        for allow in (None, True):
            response = await client.post("/graphql", json={"query": mutation, "variables": {"allow": allow}})
            answers.append(response.json()["data"]["customerCreate"])
        assert answers == [
            {
                "customer": None,
                "userErrors": [
                    {
                        "code": "duplicate_customer",
                        "path": ["input", "contactPoints", "0", "value"],
                        "matches": [
                            {
                                "customerId": f"Customer:{known['id']}",
                                "on": "mobile",
                                "value": "+86138****5678",
                                "verified": False,
                            }
                        ],
                    },
                ],
            },
            {"customer": {"name": "x"}, "userErrors": []},
        ]


class TestAdd:
    async def test_a_contact_point(self, client):
        known, other = await create(client, MOBILE), await create(client)
        path = f"/v1/customers/{other['id']}/contact-points"
        response = await client.post(path, json=MOBILE)
        assert (response.status_code, response.json()["code"]) == (409, "duplicate_customer")
        assert [each["customer_id"] for each in response.json()["matches"]] == [known["id"]]
        assert response.json()["errors"][0]["pointer"] == "/value"
        assert (await client.post(path, json=MOBILE, headers=ALLOW)).status_code == 201

    async def test_its_own_again(self, client):
        known = await create(client, MOBILE)
        response = await client.post(f"/v1/customers/{known['id']}/contact-points", json=MOBILE)
        assert (response.status_code, response.json()["code"]) == (409, "duplicate")

    async def test_an_identity(self, client):
        identity = {"platform": "taobao", "external_id": "tb_1"}
        known, other = await create(client, identities=[identity]), await create(client)
        response = await client.post(f"/v1/customers/{other['id']}/identities", json=identity)
        assert (response.status_code, response.json()["matches"][0]["customer_id"]) == (409, known["id"])


WRITERS = 8


@pytest_asyncio.fixture
async def writers(settings):
    """As many connections as there are writers."""
    opened = [await Database.open(settings) for _ in range(WRITERS)]
    yield opened
    for each in opened:
        await each.close()


class TestAtOnce:
    """Real connections, started together."""

    async def _count(self, database, tenant):
        async with database.read(tenant.actor) as unit:
            return await unit.connection.fetchval("SELECT count(*) FROM customers WHERE tenant_id = $1", tenant.id)

    async def test_of_those_who_create_one_customer_one_wins(self, writers, tenant):
        async def work(unit):
            data = CustomerCreate(name="王小明", contact_points=[MOBILE, EMAIL])
            return await CustomerService(unit).create(data)

        for _round in range(5):
            outcomes = await asyncio.gather(*(each.run(tenant.actor, work) for each in writers), return_exceptions=True)
            refused = [each for each in outcomes if isinstance(each, DuplicateCustomer)]
            won = [each for each in outcomes if not isinstance(each, BaseException)]
            assert len(won) + len(refused) == WRITERS, outcomes
            assert len(won) == (1 if _round == 0 else 0)
        assert await self._count(writers[0], tenant) == 1

    async def test_opposite_orders_do_not_lock_each_other_out(self, writers, tenant):
        async def create_both(database, points):
            async def work(unit):
                await CustomerService(unit).create(CustomerCreate(name="x", contact_points=points))

            with suppress(Conflict):
                await database.run(tenant.actor, work)

        points = [MOBILE, EMAIL]
        await asyncio.gather(
            *(create_both(each, points if place % 2 else points[::-1]) for place, each in enumerate(writers))
        )
        assert await self._count(writers[0], tenant) == 1

    async def test_adding_and_creating(self, writers, tenant):
        async def make(unit):
            return await CustomerService(unit).create(CustomerCreate(name="x"))

        ids = [await writers[0].run(tenant.actor, make) for _ in range(WRITERS - 1)]

        async def add(database, customer_id):
            async def work(unit):
                await ContactPointService(unit).add(customer_id, ContactPointInput(**MOBILE))

            with suppress(DuplicateCustomer):
                await database.run(tenant.actor, work)
                return 1
            return 0

        async def create_one(database):
            async def work(unit):
                await CustomerService(unit).create(CustomerCreate(name="y", contact_points=[MOBILE]))

            with suppress(DuplicateCustomer):
                await database.run(tenant.actor, work)
                return 1
            return 0

        won = await asyncio.gather(
            create_one(writers[0]), *(add(each, own) for each, own in zip(writers[1:], ids, strict=True))
        )
        assert sum(won) == 1

    async def test_imports_and_single_writes_see_each_other(self, writers, tenant):
        """A bulk write holds the tenant's lock: whoever creates waits for it, and finds its customers."""

        async def bulk(unit):
            rows = [CustomerRow({"name": f"客户{n}"}, mobile=f"138000000{n:02}") for n in range(20)]
            return [each.verdict for each in await CustomerBulkService(unit).import_many(rows)]

        async def single(database, number):
            async def work(unit):
                point = {"kind": "mobile", "value": f"138000000{number:02}"}
                await CustomerService(unit).create(CustomerCreate(name="x", contact_points=[point]))

            with suppress(DuplicateCustomer):
                await database.run(tenant.actor, work)

        await asyncio.gather(
            writers[0].run(tenant.actor, bulk),
            *(single(each, number) for number, each in enumerate(writers[1:])),
            writers[1].run(tenant.actor, bulk),
        )
        assert await self._count(writers[0], tenant) == 20
