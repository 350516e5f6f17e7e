"""Rewards over REST: held, confirmed, handed over or given back; stock, limits and points under parallel use."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_asyncio

from crm_api.core.clock import SystemClock
from crm_api.core.errors import Forbidden
from crm_api.loyalty.service import LoyaltyService
from crm_api.rewards import jobs, service
from crm_api.rewards.models import RewardCreate, RewardUpdate
from tests.vouchers.shop import Shop as VoucherShop

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


class Shop(VoucherShop):
    """A shop with rewards."""

    async def offer(self, name="mug", **more):
        answer = await self.client.post(
            "/v1/loyalty/rewards", json={"name": name, "kind": "service", "points": 100} | more
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def buyer(self, points, **more):
        customer = await self.customer(**more)
        body = {"points": points, "reason": "x"}
        answer = await self.client.post(f"/v1/loyalty/accounts/{customer}/adjustments", json=body)
        assert answer.status_code == 201, answer.text
        return customer

    async def want(self, reward, customer, quantity=1, **more):
        body = {"customer_id": customer, "quantity": quantity, **more}
        return await self.client.post(f"/v1/loyalty/rewards/{reward}/redemptions", json=body)

    async def step(self, what, redemption, **body):
        return await self.client.post(f"/v1/loyalty/reward-redemptions/{redemption}/{what}", json=body or None)

    async def points(self, customer):
        account = (await self.client.get(f"/v1/loyalty/accounts/{customer}")).json()
        return account["available"], account["held"]

    async def stock(self, reward):
        shown = (await self.client.get(f"/v1/loyalty/rewards/{reward}")).json()
        return shown["taken"], shown["available"]


@pytest_asyncio.fixture
async def shop(client, database, tenant):
    """A shop at a time that stands still."""
    return Shop(client, database, tenant)


async def test_points_and_stock_are_held_spent_and_given_back(shop):
    ann = await shop.buyer(1000)
    mug = await shop.offer(stock=5)
    first = (await shop.want(mug, ann, 2, note="蓝色")).json()
    assert (first["state"], first["points"], first["note"]) == ("requested", 200, "蓝色")
    assert (await shop.points(ann), await shop.stock(mug)) == ((800, 200), (2, 3))
    assert (await shop.step("confirm", first["id"])).json()["state"] == "confirmed"
    assert await shop.points(ann) == (800, 0)
    done = (await shop.step("fulfil", first["id"], reason="SF123")).json()
    assert (done["state"], done["reason"], done["voucher_ids"]) == ("fulfilled", "SF123", [])
    second, third = [(await shop.want(mug, ann)).json()["id"] for _ in range(2)]
    await shop.step("confirm", third)
    assert (await shop.points(ann), await shop.stock(mug)) == ((600, 100), (4, 1))
    for each in (second, third):
        assert (await shop.step("cancel", each)).json()["state"] == "cancelled"
        assert (await shop.step("cancel", each)).json()["code"] == "already_cancelled"
    assert (await shop.points(ann), await shop.stock(mug)) == ((800, 0), (2, 3))
    assert (await shop.client.patch(f"/v1/loyalty/rewards/{mug}", json={"points": 1})).status_code == 200
    kinds = [
        (await shop.told(f"reward_redemption.{kind}")) for kind in ("requested", "confirmed", "fulfilled", "cancelled")
    ]
    assert [len(each) for each in kinds] == [3, 2, 1, 2]
    assert {payload["customer_id"] for each in kinds for _, payload in each} == {ann}


async def test_who_can_have_what_and_why_not(shop):
    ann, bob = await shop.buyer(250, name="ann", city="上海"), await shop.buyer(250, name="bob")
    spa = await shop.offer(rule={"field": "city", "op": "eq", "value": "上海"}, per_customer=1, stock=9)

    async def check(reward, customer, quantity=1):
        body = {"customer_id": customer, "quantity": quantity}
        found = (await shop.client.post(f"/v1/loyalty/rewards/{reward}/check", json=body)).json()
        assert found["available_points"] == (await shop.points(customer))[0]
        return found["reason"] and found["reason"]["code"]

    assert [await check(spa, ann), await check(spa, bob), await check(spa, ann, 2)] == [
        None,
        "customer_not_eligible",
        "customer_used_up",
    ]
    dear = await shop.offer("dear", points=251)
    assert await check(dear, ann) == "insufficient_balance"
    later = await shop.offer("later", starts_at="2026-06-01T00:00:00Z")
    over = await shop.offer("over", ends_at="2026-05-01T04:00:00Z")
    assert [await check(later, ann), await check(over, ann)] == ["not_started", "ended"]
    for reward, customer, code in (
        (spa, bob, "customer_not_eligible"),
        (dear, ann, "insufficient_balance"),
        (over, ann, "ended"),
    ):
        answer = await shop.want(reward, customer)
        assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert (await shop.points(ann), await shop.stock(spa), await shop.stock(dear)) == ((250, 0), (0, 9), (0, None))


async def test_vouchers_are_given_at_once_and_once(shop):
    ann = await shop.buyer(1000)
    campaign = await shop.campaign("own", valid_days=30)
    reward = await shop.offer("voucher", kind="voucher", campaign_id=campaign["id"], immediate=True)
    answer = await shop.client.post(
        f"/v1/loyalty/rewards/{reward}/redemptions",
        json={"customer_id": ann, "quantity": 2},
        headers={"idempotency-key": "k1"},
    )
    again = await shop.client.post(
        f"/v1/loyalty/rewards/{reward}/redemptions",
        json={"customer_id": ann, "quantity": 2},
        headers={"idempotency-key": "k1"},
    )
    assert answer.json() == again.json()
    assert (answer.json()["state"], len(answer.json()["voucher_ids"])) == ("fulfilled", 2)
    assert await shop.points(ann) == (800, 0)
    mine = (await shop.client.get("/v1/vouchers", params={"customer_id": ann})).json()["data"]
    assert sorted(each["id"] for each in mine) == sorted(answer.json()["voucher_ids"])
    assert await shop.verdicts(*(each["code"] for each in mine), customer_id=ann) == [500, 500]
    assert (await shop.step("cancel", answer.json()["id"])).json()["code"] == "already_fulfilled"


async def test_who_may_not_give_vouchers_makes_no_reward_of_them(shop):
    voucher = {"name": "v", "kind": "voucher", "points": 1, "campaign_id": (await shop.campaign())["id"]}
    given, mug = await shop.offer(**voucher), await shop.offer("mug")
    till = replace(shop.tenant.actor, scopes=frozenset({"loyalty:write"}))

    async def change(reward):
        cheaper = RewardUpdate(points=2)
        await shop.database.run(till, lambda unit: service.RewardService(unit).change(UUID(reward), cheaper))

    await change(mug)
    with pytest.raises(Forbidden, match="vouchers:write"):
        await change(given)
    another = RewardCreate(**voucher | {"name": "w"})
    with pytest.raises(Forbidden, match="vouchers:write"):
        await shop.database.run(till, lambda unit: service.RewardService(unit).create(another))


async def test_what_nobody_confirms_is_cancelled_by_itself(shop):
    ann = await shop.buyer(500)
    mug = await shop.offer(stock=5, hold_days=2)
    kept = (await shop.want(mug, ann)).json()["id"]
    await shop.step("confirm", kept)
    lost = (await shop.want(mug, ann)).json()["id"]
    shop.clock.advance(timedelta(days=2, seconds=-1))
    await jobs.cancel_overdue(shop.database, shop.tenant.id)
    assert await shop.stock(mug) == (2, 3)
    shop.clock.advance(timedelta(minutes=10))
    for _ in range(2):
        await jobs.cancel_overdue(shop.database, shop.tenant.id)
    assert (await shop.points(ann), await shop.stock(mug)) == ((400, 0), (1, 4))
    listed = (await shop.client.get("/v1/loyalty/reward-redemptions", params={"state": "cancelled"})).json()["data"]
    assert [each["id"] for each in listed] == [lost]


async def test_one_that_cannot_be_cancelled_stops_no_other(shop, monkeypatch):
    ann = await shop.buyer(500)
    mug = await shop.offer(stock=5, hold_days=2)
    poisoned, *_ = [(await shop.want(mug, ann)).json()["id"] for _ in range(4)]
    shop.clock.advance(timedelta(days=2))
    cancel = service.RewardRedemptionService.cancel_overdue

    async def poison(self, redemption_id):
        if str(redemption_id) == poisoned:
            raise RuntimeError("poisoned")
        await cancel(self, redemption_id)

    monkeypatch.setattr(service.RewardRedemptionService, "cancel_overdue", poison)
    monkeypatch.setattr(service, "BATCH", 2)
    await jobs.cancel_overdue(shop.database, shop.tenant.id)
    assert (await shop.points(ann), await shop.stock(mug)) == ((400, 100), (1, 4))


async def test_a_hold_that_timed_out_while_no_worker_ran_gives_stock_and_points_back(shop):
    ann = await shop.buyer(500)
    mug = await shop.offer(stock=5, hold_days=2)
    lost = (await shop.want(mug, ann)).json()["id"]
    shop.clock.advance(timedelta(days=3))
    assert (await shop.step("confirm", lost)).json()["code"] == "hold_closed"
    await jobs.cancel_overdue(shop.database, shop.tenant.id)
    assert await shop.stock(mug) == (0, 5)
    await shop.database.run(shop.tenant.actor, lambda unit: LoyaltyService(unit).settle_due())
    assert await shop.points(ann) == (500, 0), "the ledger's own schedule has let them go, once"


async def test_only_its_redemption_decides_on_a_rewards_hold(shop):
    ann = await shop.buyer(300)
    mug = await shop.offer(stock=5)
    wanted, bought = [(await shop.want(mug, ann)).json() for _ in range(2)]
    await shop.step("confirm", bought["id"])
    for redemption, what in ((wanted, "post"), (wanted, "void"), (bought, "reverse")):
        answer = await shop.client.post(f"/v1/loyalty/holds/{redemption['hold_id']}/{what}")
        assert (answer.status_code, answer.json()["code"]) == (409, "hold_owned")
        assert answer.json()["owner_id"] == redemption["id"]
    assert await shop.points(ann) == (100, 100)
    for each in (wanted, bought):
        assert (await shop.step("cancel", each["id"])).status_code == 200
    assert (await shop.points(ann), await shop.stock(mug)) == ((300, 0), (0, 5))


async def test_a_merge_takes_redemptions_along(shop):
    winner, loser = await shop.buyer(100, name="ann"), await shop.buyer(300, name="ann")
    mug = await shop.offer(per_customer=1)
    wanted = (await shop.want(mug, loser)).json()["id"]
    body = {"winner_id": winner, "loser_ids": [loser]}
    assert (await shop.client.post("/v1/customers/merge", json=body)).status_code < 300
    assert (await shop.want(mug, winner)).json()["code"] == "customer_used_up"
    assert (await shop.step("cancel", wanted)).json()["customer_id"] == winner
    assert await shop.points(winner) == (400, 0)


class TestParallel:
    @pytest.fixture(autouse=True)
    def _real_time(self, shop):
        shop.database.clock = SystemClock()

    async def test_stock_never_falls_below_nothing(self, shop):
        buyers = [await shop.buyer(1000, name=f"c{number}") for number in range(4)]
        mug = await shop.offer(stock=7, per_customer=3)
        answers = await asyncio.gather(*(shop.want(mug, buyers[number % 4]) for number in range(24)))
        assert sorted(each.status_code for each in answers) == [201] * 7 + [409] * 17
        assert await shop.stock(mug) == (7, 0)
        had = [(1000 - (await shop.points(each))[0]) // 100 for each in buyers]
        assert (sum(had), max(had) <= 3) == (7, True)
        made = [each.json()["id"] for each in answers if each.status_code == 201]
        steps = [shop.step(what, each) for each in made for what in ("confirm", "cancel", "cancel")]
        assert {each.status_code for each in await asyncio.gather(*steps)} <= {200, 409}
        assert await shop.stock(mug) == (0, 7)
        assert [await shop.points(each) for each in buyers] == [(1000, 0)] * 4

    async def test_points_are_spent_once(self, shop):
        ann = await shop.buyer(250)
        mug = await shop.offer()
        answers = await asyncio.gather(*(shop.want(mug, ann) for _ in range(10)))
        assert sorted(each.status_code for each in answers) == [201, 201, *[409] * 8]
        assert await shop.points(ann) == (50, 200)
        made = next(each.json()["id"] for each in answers if each.status_code == 201)
        done = await asyncio.gather(*(shop.step("confirm", made) for _ in range(6)))
        assert sorted(each.status_code for each in done) == [200, *[409] * 5]
        assert await shop.points(ann) == (50, 100)


async def test_graphql_and_rules(shop):
    ann = await shop.buyer(500)

    async def ask(query, **variables):
        answer = await shop.client.post("/graphql", json={"query": query, "variables": variables})
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]

    who = (await ask("{ customers { nodes { id } } }"))["customers"]["nodes"][0]["id"]
    made = await ask(
        'mutation { rewardCreate(input: {name: "mug", kind: PRODUCT, sku: "M", points: 100, stock: 1}) '
        "{ reward { id available } userErrors { code } } }"
    )
    reward = made["rewardCreate"]["reward"]["id"]
    check = "query($in: RewardCheckInput!) { rewardCheck(input: $in) { canHave points reason { code } } }"
    tried = await ask(check, **{"in": {"id": reward, "customerId": who}})
    assert tried["rewardCheck"] == {"canHave": True, "points": 100, "reason": None}
    request = (
        "mutation($in: RewardRequestInput!) { rewardRequest(input: $in) "
        "{ redemption { id state reward { available } } userErrors { code } } }"
    )
    wanted = (await ask(request, **{"in": {"id": reward, "customerId": who}}))["rewardRequest"]["redemption"]
    assert (wanted["state"], wanted["reward"]["available"]) == ("REQUESTED", 0)
    refused = await ask(request, **{"in": {"id": reward, "customerId": who}})
    assert refused["rewardRequest"]["userErrors"] == [{"code": "out_of_stock"}]
    step = "mutation($id: ID!) { %s(input: {id: $id}) { redemption { state } userErrors { code } } }"
    states = [
        (await ask(step % name, id=wanted["id"]))[name]["redemption"]["state"]
        for name in ("rewardConfirm", "rewardFulfil")
    ]
    assert states == ["CONFIRMED", "FULFILLED"]
    refused = await ask(step % "rewardCancel", id=wanted["id"])
    assert refused["rewardCancel"]["userErrors"] == [{"code": "already_fulfilled"}]
    rule = "reward_redemptions.count(where state = fulfilled) >= 1"
    found = (await shop.client.post("/v1/customers/search", json={"rule": rule})).json()["data"]
    assert [each["id"] for each in found] == [ann]
