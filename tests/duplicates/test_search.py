"""Searches for duplicates and what people decide about what they find."""

from uuid import UUID

import pytest
import pytest_asyncio

from crm_api import admin
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.customers.models import CustomerCreate, CustomerUpdate
from crm_api.customers.service import CustomerService
from crm_api.duplicates import finder, jobs, rules
from crm_api.duplicates.finder import Finder, run_search
from crm_api.duplicates.models import RunStart
from crm_api.duplicates.service import DuplicateRunService
from crm_api.merges.service import MergeService
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

MOBILE = {"kind": "mobile", "value": "13812345678"}
BORN = {"month": 10, "day": 3, "year": 1990}


class Shop:
    """A shop and its searches."""

    def __init__(self, database, tenant):
        self.database, self.tenant = database, tenant

    async def do(self, work):
        return await self.database.run(self.tenant.actor, work)

    async def customer(self, name="王小明", **fields):
        async def work(unit):
            return await CustomerService(unit).create(CustomerCreate(name=name, **fields), allow_duplicate=True)

        return await self.do(work)

    async def update(self, customer_id, **fields):
        await self.do(lambda unit: CustomerService(unit).update(customer_id, CustomerUpdate(**fields)))

    async def start(self, kind="incremental"):
        return await self.do(lambda unit: DuplicateRunService(unit).start(RunStart(kind=kind)))

    async def search(self, kind="incremental"):
        run_id = await self.start(kind)
        await run_search(self.database, self.tenant.id, run_id)
        return await self.run(run_id)

    async def run(self, run_id):
        rows = await self._fetch("SELECT * FROM duplicate_runs WHERE tenant_id = $1 AND id = $2", run_id)
        return dict(rows[0])

    async def pairs(self, state="open"):
        rows = await self._fetch(
            "SELECT * FROM duplicate_candidates WHERE tenant_id = $1 AND state = $2 ORDER BY score DESC", state
        )
        return [dict(row) for row in rows]

    async def _fetch(self, statement, *values):
        async with self.database.read(self.tenant.actor) as unit:
            return await unit.connection.fetch(statement, self.tenant.id, *values)

    async def two(self):
        """Two records of one person, the longer known first."""
        return [
            await self.customer(contact_points=[MOBILE], city="上海"),
            await self.customer("王晓明", contact_points=[MOBILE], birthday=BORN),
        ]


@pytest_asyncio.fixture
async def shop(database, tenant):
    return Shop(database, tenant)


class TestFinding:
    async def test_a_pair_with_score_and_reasons(self, shop):
        first, second = await shop.two()
        await shop.customer("李雷", contact_points=[{"kind": "mobile", "value": "13900000000"}])
        run = await shop.search("full")
        (pair,) = await shop.pairs()
        assert (pair["first_id"], pair["second_id"]) == (first, second)
        assert pair["score"] >= 95
        assert [each["code"] for each in pair["reasons"]] == ["same_mobile", "same_sound"]
        assert pair["reasons"][0]["message_zh"] == "手机号相同"
        shown = ("state", "phase", "total", "processed", "changed", "compared", "found")
        assert tuple(run[each] for each in shown) == ("completed", "done", 3, 3, 3, 1, 1)

    async def test_only_news_are_compared(self, shop):
        await shop.two()
        await shop.search()
        assert (await shop.search())["compared"] == 0
        third = await shop.customer("王小明", contact_points=[MOBILE], city="上海")
        run = await shop.search()
        assert (run["changed"], run["compared"], run["found"]) == (1, 2, 2)
        assert sum(third in {each["first_id"], each["second_id"]} for each in await shop.pairs()) == 2
        assert (await shop.search("full"))["compared"] == 3

    async def test_a_change_of_something_else_is_no_news(self, shop):
        first, _ = await shop.two()
        await shop.search()
        await shop.update(first, notes="calls on Sundays")
        run = await shop.search()
        assert (run["changed"], run["compared"]) == (0, 0)
        assert len(await shop.pairs()) == 1

    async def test_who_is_alike_no_more_leaves_the_queue(self, shop):
        _, second = await shop.two()
        await shop.search()
        await shop.update(second, name="李雷", gender="female")
        await shop.update(_, gender="male")
        await shop.search()
        assert await shop.pairs() == []

    async def test_the_deleted_leave_the_queue(self, shop):
        _, second = await shop.two()
        await shop.search()
        await shop.do(lambda unit: CustomerService(unit).delete(second))
        message = Message(second, shop.tenant.id, "customer.deleted", second, {}, None)
        await shop.do(lambda unit: jobs.forget(unit, [message]))
        assert await shop.pairs() == []
        assert (await shop.search("full"))["compared"] == 0

    async def test_what_too_many_share_is_left_out_and_said(self, shop, monkeypatch):
        monkeypatch.setattr(rules, "MAX_BLOCK", 3)
        for _ in range(4):
            await shop.customer(contact_points=[MOBILE])
        run = await shop.search("full")
        assert run["compared"] == 0
        assert run["skipped"] == {
            "blocks": {"mobile": 1, "initials_and_phone": 1, "name_and_phone": 1},
            "customers": 4,
        }

    async def test_other_merchants_are_not_looked_at(self, shop, database, other_tenant):
        theirs = Shop(database, other_tenant)
        await theirs.two()
        await shop.customer(contact_points=[MOBILE])
        await shop.search("full")
        assert await shop.pairs() == await theirs.pairs() == []

    async def test_a_search_that_was_left_goes_on(self, shop, monkeypatch):
        """Whatever step a worker dies at, the next one goes on there, and nothing is counted twice."""
        monkeypatch.setattr(finder, "CUSTOMERS", 2)
        monkeypatch.setattr(finder, "BLOCKS", 2)
        for number in range(4):
            phone = {"kind": "mobile", "value": f"1381234567{number}"}
            for name in ("王小明", "王晓明"):
                await shop.customer(name, contact_points=[phone], birthday=BORN)
        run_id = await shop.start("full")
        actor, steps = Actor.system(shop.tenant.id), 0

        async def dies(unit):
            await Finder(unit, run_id).step()
            raise RuntimeError

        while await shop.database.run(actor, lambda unit: Finder(unit, run_id).begin()):
            steps += 1
            with pytest.raises(RuntimeError):
                await shop.database.run(actor, dies)
            if not await shop.database.run(actor, lambda unit: Finder(unit, run_id).step()):
                break
        run = await shop.run(run_id)
        assert steps > 5
        assert (run["state"], run["processed"], run["found"]) == ("completed", 8, len(await shop.pairs()))

    async def test_one_search_at_a_time(self, client, shop):
        first = await client.post("/v1/duplicate-runs")
        assert (first.status_code, first.json()["state"]) == (202, "queued")
        second = await client.post("/v1/duplicate-runs", json={"kind": "full"})
        assert (second.status_code, second.json()["code"]) == (409, "search_running")
        assert second.json()["run_id"] == first.json()["id"]
        await run_search(shop.database, shop.tenant.id, UUID(first.json()["id"]))
        assert (await client.get(f"/v1/duplicate-runs/{first.json()['id']}")).json()["state"] == "completed"
        assert (await client.post("/v1/duplicate-runs")).status_code == 202

    async def test_given_up(self, shop):
        run_id = await shop.start()
        await jobs.give_up(shop.database, {"tenant_id": str(shop.tenant.id), "run_id": str(run_id)}, "no luck")
        run = await shop.run(run_id)
        assert (run["state"], run["error"]) == ("failed", "no luck")
        await shop.start()


class TestDeciding:
    async def test_the_queue(self, client, shop):
        await shop.two()
        await shop.customer("王小明", contact_points=[MOBILE], city="上海")
        await shop.search()
        body = (await client.get("/v1/duplicate-candidates?state=open")).json()
        scores = [each["score"] for each in body["data"]]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert set(body["data"][0]["reasons"][0]) == {"code", "weight", "message", "message_zh"}
        one = body["data"][0]
        only = (await client.get("/v1/duplicate-candidates", params={"customer_id": one["first_id"]})).json()["data"]
        assert {one["first_id"] in (each["first_id"], each["second_id"]) for each in only} == {True}

    async def test_accepting_merges(self, client, shop):
        first, second = await shop.two()
        await shop.search()
        (pair,) = await shop.pairs()
        response = await client.post(f"/v1/duplicate-candidates/{pair['id']}/accept", json={"winner_id": str(second)})
        assert response.status_code == 200, response.text
        assert (response.json()["state"], response.json()["version"]) == ("accepted", 3)
        merge = (await client.get(f"/v1/merges/{response.json()['merge_id']}")).json()
        assert (merge["winner_id"], merge["loser_ids"]) == (str(second), [str(first)])
        assert (await client.get(f"/v1/customers/{first}")).json()["id"] == str(second)
        again = await client.post(f"/v1/duplicate-candidates/{pair['id']}/accept")
        assert (again.status_code, again.json()["code"]) == (409, "already_decided")

    async def test_the_other_pairs_of_the_loser_go(self, client, shop):
        first, second = await shop.two()
        await shop.customer("王小明", contact_points=[MOBILE], city="上海")
        await shop.search()
        pair = next(each for each in await shop.pairs() if each["second_id"] == second and each["first_id"] == first)
        assert (await client.post(f"/v1/duplicate-candidates/{pair['id']}/accept")).status_code == 200
        assert {second} & {each[side] for each in await shop.pairs() for side in ("first_id", "second_id")} == set()
        await shop.search()
        assert len(await shop.pairs()) == 1

    async def test_the_winner_is_one_of_the_two(self, client, shop):
        await shop.two()
        stranger = await shop.customer("李雷")
        await shop.search()
        (pair,) = await shop.pairs()
        response = await client.post(f"/v1/duplicate-candidates/{pair['id']}/accept", json={"winner_id": str(stranger)})
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/winner_id")

    async def test_a_key_that_may_not_merge_accepts_nothing(self, app, settings, shop):
        await shop.two()
        await shop.search()
        (pair,) = await shop.pairs()
        scopes = frozenset({"duplicates:read", "duplicates:write", "customers:read", "customers:write"})
        key = (await admin.create_key(settings, shop.tenant.id, scopes)).api_key
        async with client_of(app, key) as client:
            response = await client.post(f"/v1/duplicate-candidates/{pair['id']}/accept")
        assert (response.status_code, response.json()["required_scope"]) == (403, "merges:write")
        assert len(await shop.pairs()) == 1

    async def test_a_merge_that_was_undone_is_a_rejection(self, client, shop):
        await shop.two()
        await shop.search()
        (pair,) = await shop.pairs()
        merge_id = (await client.post(f"/v1/duplicate-candidates/{pair['id']}/accept")).json()["merge_id"]
        await shop.do(lambda unit: MergeService(unit).undo(UUID(merge_id)))
        await shop.search("full")
        assert await shop.pairs() == []
        assert [each["id"] for each in await shop.pairs("rejected")] == [pair["id"]]

    async def test_rejected_is_remembered_until_the_data_speak_louder(self, client, shop):
        first, second = await shop.two()
        await shop.search()
        (pair,) = await shop.pairs()
        path = f"/v1/duplicate-candidates/{pair['id']}/reject"
        for _ in range(2):
            response = await client.post(path, json={"note": "brothers"})
            assert (response.status_code, response.json()["state"], response.json()["note"]) == (
                200,
                "rejected",
                "brothers",
            )
        await shop.search("full")
        assert await shop.pairs() == []
        await shop.update(first, city="北京")  # another city says nothing new for it
        await shop.search("full")
        assert await shop.pairs() == []
        await shop.update(first, birthday=BORN, name="王晓明")
        await shop.search()
        (again,) = await shop.pairs()
        assert (again["id"], again["note"]) == (pair["id"], None)
        assert second == again["second_id"]

    async def test_versions_are_heeded(self, client, shop):
        await shop.two()
        await shop.search()
        (pair,) = await shop.pairs()
        path = f"/v1/duplicate-candidates/{pair['id']}/reject"
        assert (await client.post(path, headers={"if-match": '"7"'})).status_code == 412
        assert (await client.post(path, headers={"if-match": '"1"'})).status_code == 200

    async def test_graphql(self, client, shop):
        await shop.two()
        await shop.search()
        (pair,) = await shop.pairs()
        query = """
        { duplicateCandidates(state: OPEN) {
            nodes { id score reasons { code messageZh } first { name }
              second { name duplicateCandidates { totalCount } } }
        } duplicateRuns { nodes { state found } } }
        """
        data = (await client.post("/graphql", json={"query": query})).json()["data"]
        (node,) = data["duplicateCandidates"]["nodes"]
        assert (node["first"]["name"], node["second"]["name"]) == ("王小明", "王晓明")
        assert node["second"]["duplicateCandidates"]["totalCount"] == 1
        assert node["reasons"][0] == {"code": "same_mobile", "messageZh": "手机号相同"}
        assert data["duplicateRuns"]["nodes"] == [{"state": "COMPLETED", "found": 1}]
        mutation = """
        mutation ($id: ID!) {
          duplicateCandidateReject(input: {id: $id, note: "no"}) { duplicateCandidate { state } userErrors { code } }
          duplicateCandidateAccept(input: {id: $id}) { merge { id } userErrors { code } }
          duplicateRunStart(input: {kind: FULL}) { duplicateRun { state } }
        }
        """
        variables = {"id": f"DuplicateCandidate:{pair['id']}"}
        data = (await client.post("/graphql", json={"query": mutation, "variables": variables})).json()["data"]
        assert data == {
            "duplicateCandidateReject": {"duplicateCandidate": {"state": "REJECTED"}, "userErrors": []},
            "duplicateCandidateAccept": {"merge": None, "userErrors": [{"code": "already_decided"}]},
            "duplicateRunStart": {"duplicateRun": {"state": "QUEUED"}},
        }


async def test_every_night_each_tenant_once(shop):
    await jobs.every_night(shop.database)
    await jobs.every_night(shop.database)
    async with shop.database.read(shop.tenant.actor) as unit:
        count = await unit.connection.fetchval(
            "SELECT count(*) FROM duplicate_runs WHERE tenant_id = $1", shop.tenant.id
        )
    assert count == 1
