"""What a case is about, its taxonomy, its settings, and how it is taken up again."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from crm_api.complaints import hooks
from crm_api.complaints.jobs import close_due
from crm_api.complaints.models import ComplaintCreate, ComplaintFollowOn, ComplaintMessageCreate, ComplaintTransition
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.service import ComplaintMessageService, ComplaintService, obstacle
from crm_api.complaints.taxonomy import COMMON
from crm_api.core.actor import Actor
from crm_api.core.clock import FixedClock
from crm_api.core.errors import Conflict
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.db.pool import Database
from tests.complaints.test_rest import WAY, complain, customer, events, move, unchanged, walk
from tests.support.api import make_tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

START = datetime(2026, 1, 1, tzinfo=UTC)


async def order(client, who, number):
    body = {
        "customer_id": who,
        "status": "paid",
        "total": {"amount": 1000, "currency": "CNY"},
        "placed_at": "2026-01-01T00:00:00Z",
    }
    return (await client.put(f"/v1/orders/taobao/{number}", json=body)).json()["id"]


async def ids(client, query):
    response = await client.get(f"/v1/complaints?{query}")
    assert response.status_code == 200, response.text
    return [row["id"] for row in response.json()["data"]]


class TestAbout:
    async def test_several_orders(self, client):
        who = await customer(client)
        one, two, three = [await order(client, who, f"T{number}") for number in range(3)]
        case = await complain(client, who, order_ids=[one, two])
        assert (case["order_id"], case["order_ids"]) == (one, [one, two])
        other = await complain(client, who, order_id=two)
        assert other["order_ids"] == [two]
        assert await ids(client, f"order_id={two}") == [other["id"], case["id"]]
        changed = (await client.patch(f"/v1/complaints/{case['id']}", json={"order_id": three})).json()
        assert (changed["order_id"], changed["order_ids"]) == (three, [three, two])
        emptied = (await client.patch(f"/v1/complaints/{case['id']}", json={"order_ids": []})).json()
        assert (emptied["order_id"], emptied["order_ids"], emptied["version"]) == (None, [], 3)
        assert (await events(client, case))[-1]["data"] == {"order_id": None, "order_ids": []}
        assert await ids(client, f"order_id={two}") == [other["id"]]

    async def test_products_and_batches(self, client, database, tenant):
        product = (await client.post("/v1/products", json={"sku": "SHRIMP", "name": "大虾"})).json()["id"]
        goods = [{"sku": "SHRIMP", "batch": "B7", "quantity": 2}, {"product_id": product}, {"sku": "GIFT"}]
        case = await complain(client, products=goods)
        assert case["products"] == [
            {"product_id": product, "sku": "SHRIMP", "batch": "B7", "quantity": 2},
            {"product_id": product, "sku": "SHRIMP", "batch": None, "quantity": None},
            {"product_id": None, "sku": "GIFT", "batch": None, "quantity": None},
        ]
        for query in (f"product_id={product}", "batch=B7", "sku=GIFT"):
            assert await ids(client, query) == [case["id"]]
        assert await ids(client, "batch=B8") == []
        same = await client.patch(f"/v1/complaints/{case['id']}", json={"products": goods})
        assert same.json()["version"] == 1
        less = await client.patch(f"/v1/complaints/{case['id']}", json={"products": goods[2:]})
        assert less.json()["products"] == case["products"][2:]
        assert await ids(client, "batch=B7") == []
        async with database.read(tenant.actor) as unit:
            assert await ComplaintService(unit).replayed(case["id"]) == await ComplaintRepository(unit).case(case["id"])

    async def test_regulator_and_causes_are_found(self, client):
        case = await complain(client, regulator_ref="12315-2026-88", category="quality/cold_chain", safety=True)
        await client.patch("/v1/complaint-settings", json={"known_causes_only": True})
        other = await complain(client, category="quality_of_service", expect=422)
        assert other["errors"][0]["code"] == "unknown_cause"
        for query in ("regulator_ref=12315-2026-88", "category=quality", "category=quality/cold_chain", "safety=true"):
            assert await ids(client, query) == [case["id"]]
        assert await ids(client, "category=qualit") == []
        assert await ids(client, "root_cause=quality") == []

    async def test_what_platforms_send_twice_is_one_case(self, database, tenant):
        async with database.write(tenant.actor) as unit:
            who = await CustomerService(unit).create(CustomerCreate(name="王小明"))
            data = ComplaintCreate(customer_id=who, channel="platform", subject="x", source_ref="douyin:1")
            first, second = [await ComplaintService(unit).open_or_get(data) for _ in range(2)]
        assert (first[1], second) == (True, (first[0], False))


class TestTaxonomy:
    async def test_grows_from_the_top(self, client):
        name = {"en": "Ice melted", "zh": "冰袋融化"}
        problem = await client.post("/v1/complaint-causes", json={"path": "ice/melted", "name": name})
        assert (problem.status_code, problem.json()["errors"][0]["pointer"]) == (422, "/path")
        await client.post("/v1/complaint-causes", json={"path": "ice", "name": {"en": "Ice", "zh": "冰"}})
        made = await client.post("/v1/complaint-causes", json={"path": "ice/melted", "name": name})
        body = made.json()
        assert (made.status_code, body["name"], body["archived"], body["version"]) == (201, name, False, 1)
        listed = (await client.get("/v1/complaint-causes?path=ice")).json()["data"]
        assert [each["path"] for each in listed] == ["ice", "ice/melted"]
        case = await complain(client, category="ice/melted")
        path = f"/v1/complaint-causes/{body['id']}"
        gone = await client.patch(path, json={"archived": True}, headers={"if-match": '"1"'})
        assert (gone.json()["archived"], gone.headers["etag"]) == (True, '"2"')
        assert (await client.patch(path, json={"archived": False}, headers={"if-match": '"1"'})).status_code == 412
        # Who has it keeps it; nobody else gets it.
        refused = await client.patch(f"/v1/complaints/{case['id']}", json={"root_cause": "ice/melted"})
        assert refused.json()["errors"][0] == {
            "pointer": "/root_cause",
            "code": "unknown_cause",
            "message": "The taxonomy has no such place, or it is archived: see GET /v1/complaint-causes",
        }
        await unchanged(client, case)

    async def test_a_shop_writes_what_it_likes_until_it_wants_its_own_words_only(self, client):
        case = await complain(client, category="我们自己的/分类")
        assert case["category"] == "我们自己的/分类"
        await client.patch("/v1/complaint-settings", json={"known_causes_only": True})
        await complain(client, category="我们自己的/分类", expect=422)
        # What is there already stays, and other fields of it can be changed.
        assert (await client.patch(f"/v1/complaints/{case['id']}", json={"safety": True})).status_code == 200

    async def test_can_be_adopted_later(self, client, database, tenant):
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute("DELETE FROM complaint_causes WHERE path <> 'quality'")
            await unit.connection.execute("UPDATE complaint_causes SET archived = true")
        path = "/v1/complaint-causes/adopt"
        assert (await client.post(path)).json() == {"preset": "retail", "added": len(COMMON) - 1}
        assert (await client.post(path)).json()["added"] == 0
        assert (await client.post(path, json={"preset": "seafood"})).json() == {"preset": "seafood", "added": 5}
        kept = (await client.get("/v1/complaint-causes?archived=true")).json()["data"]
        assert [each["path"] for each in kept] == ["quality"]

    async def test_every_trade_has_its_own(self, settings):
        shops = {preset: await make_tenant(settings, preset) for preset in ("retail", "seafood", "salon")}
        database = await Database.open(settings)
        found = {}
        for preset, shop in shops.items():
            async with database.read(shop.actor) as unit:
                rows = await unit.connection.fetch("SELECT path, name FROM complaint_causes")
                found[preset] = {row["path"]: row["name"] for row in rows}
        await database.close()
        assert set(found["retail"]) < set(found["seafood"])
        assert found["seafood"]["quality/dead_on_arrival"] == {"en": "Dead on arrival", "zh": "到货死亡"}
        assert "safety/skin" in found["salon"]
        for causes in found.values():
            assert all(path.rpartition("/")[0] in {"", *causes} for path in causes)


class TestSettings:
    async def test_hold_at_once(self, client):
        first = await client.get("/v1/complaint-settings")
        assert {name: first.json()[name] for name in ("reopen_days", "close_after_days", "resume_on_message")} == {
            "reopen_days": 30,
            "close_after_days": 14,
            "resume_on_message": True,
        }
        etag = first.headers["etag"]
        changed = await client.patch("/v1/complaint-settings", json={"reopen_days": 0}, headers={"if-match": etag})
        assert (changed.status_code, changed.json()["reopen_days"]) == (200, 0)
        again = await client.patch("/v1/complaint-settings", json={"reopen_days": 9}, headers={"if-match": etag})
        assert again.status_code == 412
        assert (await client.get("/v1/complaint-settings")).json() == changed.json()
        case = await walk(client, await complain(client), *WAY)
        problem = await move(client, case, 409, action="reopen")
        assert problem["code"] == "reopen_window_over"
        assert "/follow-on" in problem["detail"]


class TestAgain:
    async def test_takes_over_what_is_the_same(self, client):
        await client.patch("/v1/complaint-settings", json={"reopen_days": 0})
        who = await customer(client)
        number = await order(client, who, "T1")
        case = await complain(
            client,
            who,
            order_ids=[number],
            products=[{"sku": "SHRIMP", "batch": "B7"}],
            severity="S2",
            category="quality/spoilage",
            root_cause="logistics",
            source_ref="taobao:1",
        )
        case = await walk(client, case, *WAY)
        path = f"/v1/complaints/{case['id']}/follow-on"
        answers = await asyncio.gather(*(client.post(path, json={"subject": "又坏了"}) for _ in range(4)))
        (made,) = [answer for answer in answers if answer.status_code == 201]
        others = {(answer.status_code, answer.json()["complaint_id"]) for answer in answers if answer is not made}
        new = made.json()
        assert others == {(409, new["id"])}
        assert made.headers["location"] == f"/v1/complaints/{new['id']}"
        same = ("customer_id", "order_ids", "products", "severity", "category", "channel", "kind")
        assert {name: new[name] for name in same} == {name: case[name] for name in same}
        assert (new["subject"], new["state"], new["reopens_id"]) == ("又坏了", "received", case["id"])
        assert (new["root_cause"], new["source_ref"]) == (None, None)
        assert await ids(client, f"reopens_id={case['id']}") == [new["id"]]
        assert (await client.get(f"/v1/complaints/{case['id']}")).json() == case
        # When that one has ended too, it can be taken up once more.
        await move(client, new, action="withdraw")
        assert (await client.post(path)).status_code == 201

    async def test_is_refused_while_the_case_can_go_on(self, client):
        case, parent = await complain(client), await complain(client)
        for expected in ("can_be_reopened", "can_be_reopened", "is_duplicate"):
            answer = await client.post(f"/v1/complaints/{case['id']}/follow-on")
            assert (answer.status_code, answer.json()["code"]) == (409, expected)
            if expected == "is_duplicate":
                assert answer.json()["complaint_id"] == parent["id"]
            elif case["state"] == "received":
                case = await walk(client, case, *WAY)
            else:
                case = await complain(client)
                await move(client, case, to="duplicate", merged_into=parent["id"])
        assert (await client.post(f"/v1/complaints/{uuid4()}/follow-on")).status_code == 404


class Shop:
    """A shop with a clock of its own."""

    def __init__(self, database, actor, clock):
        self.database, self.actor, self.clock = database, actor, clock

    async def do(self, work):
        return await self.database.run(self.actor, work)

    async def resolved(self, told=True, **fields):
        async def work(unit):
            who = await CustomerService(unit).create(CustomerCreate(name="王小明"))
            service = ComplaintService(unit)
            case = await service.open(ComplaintCreate(customer_id=who, channel="call", subject="甲", **fields))
            for state in WAY:
                await service.transition(case, ComplaintTransition(to=state))
            if told:
                word = ComplaintMessageCreate(direction="out", body="已退款", tells=True)
                await ComplaintMessageService(unit).add(case, word)
            return case

        return await self.do(work)

    async def state(self, case):
        async def work(unit):
            return (await ComplaintRepository(unit).case(case)).state

        return await self.do(work)


@pytest_asyncio.fixture
async def shop(settings, pools, tenant):
    clock = FixedClock(START)
    async with pools.lend(settings, clock) as database:
        yield Shop(database, tenant.actor, clock)


class TestTime:
    async def test_closes_what_is_resolved_and_complete(self, shop, monkeypatch):
        done, silent = await shop.resolved(), await shop.resolved(told=False)
        grave, owing = await shop.resolved(severity="S1"), await shop.resolved(severity="S4")

        async def owes(unit, complaint_id, case):
            if case.severity == "S4":
                raise obstacle("/compensations", "not_settled", "Settle it first", "请先结清")

        monkeypatch.setattr(hooks, "_OBSTACLES", {"close": [owes]})
        system = Actor.system(shop.actor.tenant_id)
        shop.clock.advance(timedelta(days=14) - timedelta(seconds=1))
        assert await close_due(shop.database, system) == 0
        shop.clock.advance(timedelta(seconds=1))
        assert await asyncio.gather(*(close_due(shop.database, system) for _ in range(3))) in (
            [1, 0, 0],
            [0, 1, 0],
            [0, 0, 1],
        )
        assert [await shop.state(case) for case in (done, silent, grave, owing)] == ["closed", *["resolved"] * 3]

        async def log(unit):
            return await ComplaintRepository(unit).events(done)

        assert [event.action for event in (await shop.do(log))[-2:]] == ["tell", "close"]

    async def test_the_window_is_counted_from_the_resolution(self, shop):
        case = await shop.resolved()
        shop.clock.advance(timedelta(days=30, seconds=1))

        async def reopen(unit):
            await ComplaintService(unit).transition(case, ComplaintTransition(action="reopen"))

        async def follow_on(unit):
            return await ComplaintService(unit).follow_on(case, ComplaintFollowOn())

        with pytest.raises(Conflict) as caught:
            await shop.do(reopen)
        assert caught.value.code == "reopen_window_over"
        assert await shop.state(await shop.do(follow_on)) == "received"
