"""Vouchers at a checkout, over REST: verdicts, locks, redemptions, rollbacks, and limits under parallel use."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from crm_api.core.clock import SystemClock
from tests.vouchers.shop import Shop, cart, money, reasons

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest_asyncio.fixture
async def shop(client, database, tenant):
    """A shop at a time that stands still."""
    return Shop(client, database, tenant)


class TestValidate:
    async def test_each_voucher_is_told_why_and_nothing_changes(self, shop):
        ann, bob = await shop.customer("ann", city="上海"), await shop.customer("bob")
        five = await shop.campaign("five", shared_code="FIVE", uses_per_voucher=None)
        for name, more in {
            "PAUSED": {"state": "paused"},
            "LATER": {"starts_at": "2026-06-01T00:00:00Z"},
            "OVER": {"ends_at": "2026-05-01T04:00:00Z"},
            "SHANGHAI": {"rule": {"field": "city", "op": "eq", "value": "上海"}},
            "TEN": {"min_amount": money(10_001)},
            "THREE": {"min_quantity": 3},
            "SHRIMP": {"categories": ["海鲜"]},
            "ONCE": {"uses_per_customer": 1},
            "YEN": {"amount_off": {"amount": 5, "currency": "JPY"}},
        }.items():
            await shop.campaign(name.lower(), shared_code=name, uses_per_voucher=None, **more)
        mine = (await shop.issue(await shop.campaign("own"), ann))["code"]
        wanted = ["f-I v.E", "paused", "later", "over", "shanghai", "ten", "three", "shrimp", "once", "yen", mine]
        before = await shop.fetch("SELECT sum(version) FROM vouchers")
        assert await shop.verdicts(*wanted, "NOPE", "8XQ7BZWQ9FN3E", "five", customer_id=bob) == [
            500,
            "campaign_paused",
            "not_started",
            "ended",
            "customer_not_eligible",
            "below_minimum_amount",
            "below_minimum_quantity",
            "no_matching_items",
            500,
            "wrong_currency",
            "not_yours",
            "not_found",
            "malformed",
            "repeated",
        ]
        found = await shop.validate("shanghai", mine, "once", on=cart(10_000, shipping=300), customer_id=ann)
        assert (found["subtotal"], found["shipping"], found["discount"], found["total"]) == (10_000, 300, 1500, 8800)
        nobody = await shop.validate("shanghai", mine, "once")
        assert {each["reason"]["code"] for each in nobody["vouchers"]} == {"customer_required"}
        assert nobody["vouchers"][0]["reason"]["zh"] == "该优惠与客户相关：请提供 customer_id"
        assert await shop.fetch("SELECT 1 FROM voucher_redemptions") == []
        assert await shop.fetch("SELECT sum(version) FROM vouchers") == before
        assert found["vouchers"][0]["campaign_id"] != five["id"]

    async def test_order_and_exclusivity_do_not_depend_on_how_they_are_sent(self, shop):
        await shop.campaign("ten", kind="percent", percent=10, shared_code="TEN")
        await shop.campaign("five", shared_code="FIVE")
        await shop.campaign("cake", kind="gift", gift_sku="CAKE", shared_code="CAKE")
        await shop.campaign("post", kind="free_shipping", shared_code="POST", max_discount=money(800))
        await shop.campaign("alone", kind="percent", percent=50, shared_code="ALONE", exclusive=True, priority=200)
        await shop.campaign("g1", shared_code="GRP1", stacking_group="g", priority=300)
        await shop.campaign("g2", shared_code="GRP2", stacking_group="g", priority=301)
        on = cart(10_000, 2000, CAKE=1, shipping=1000)
        codes = ["TEN", "POST", "CAKE", "FIVE", "ALONE", "GRP2", "GRP1"]
        found = await shop.validate(*codes, on=on)
        told = {each["code"]: each for each in found["vouchers"]}
        # The cake is free, 5.00 comes off 120.00, 10 % off the rest, 8.00 off the freight, then 5.00 again.
        assert [told[each]["position"] for each in ("CAKE", "FIVE", "TEN", "POST", "GRP1")] == [1, 2, 3, 4, 5]
        assert [told[each]["discount"] for each in ("CAKE", "FIVE", "TEN", "POST", "GRP1")] == [
            1000,
            500,
            1150,
            800,
            500,
        ]
        assert told["CAKE"]["gift"] == {"sku": "CAKE", "quantity": 1}
        assert told["FIVE"]["line_discounts"] == [416, 84, 0]
        assert (told["ALONE"]["verdict"], told["ALONE"]["reason"]["code"]) == ("skipped", "must_be_alone")
        assert (told["GRP2"]["verdict"], told["GRP2"]["reason"]["code"]) == ("skipped", "group_taken")
        assert found["total"] == 14_000 - 3950
        turned = await shop.validate(*reversed(codes), on=on)
        assert turned["vouchers"] == list(reversed(found["vouchers"]))

    async def test_categories_are_those_of_the_catalogue_when_the_cart_says_none(self, shop):
        await shop.client.post("/v1/products", json={"sku": "P0", "name": "虾", "category": "海鲜/虾"})
        await shop.campaign(
            "sea", categories=["海鲜"], excluded_skus=["P2"], shared_code="SEA", kind="percent", percent=50
        )
        found = await shop.validate("SEA", on=cart(1000, 1000, 1000))
        assert found["vouchers"][0]["line_discounts"] == [500, 0, 0]

    async def test_a_segment_and_a_hash_bucket_make_an_offer_exclusive(self, shop):
        ann, bob = await shop.customer("ann"), await shop.customer("bob")
        segment = (await shop.client.post("/v1/segments", json={"name": "vip", "kind": "static"})).json()["id"]
        await shop.client.post(f"/v1/segments/{segment}/members", json={"customer_ids": [ann]})
        await shop.campaign("vip", shared_code="VIP", rule=f"segment:{segment}")
        assert await shop.verdicts("VIP", customer_id=ann) == [500]
        assert await shop.verdicts("VIP", customer_id=bob) == ["customer_not_eligible"]

    async def test_a_tier_makes_an_offer_exclusive(self, shop):
        shop.database.clock = SystemClock()  # tiers begin with the shop
        ann, bob = await shop.customer("ann"), await shop.customer("bob")
        given = {"tier": "gold", "ends_at": "2030-01-01T00:00:00Z", "reason": "x"}
        answer = await shop.client.post(f"/v1/loyalty/accounts/{ann}/tier/overrides", json=given)
        assert answer.status_code == 201, answer.text
        await shop.campaign("gold", shared_code="GOLD", rule="tier = gold")
        assert await shop.verdicts("GOLD", customer_id=ann) == [500]
        assert await shop.verdicts("GOLD", customer_id=bob) == ["customer_not_eligible"]


class TestLock:
    async def test_a_lock_keeps_others_out_until_its_time_is_over(self, shop):
        campaign = await shop.campaign()
        [code] = await shop.codes(campaign, 1)
        first = await shop.lock("s1", code, seconds=600)
        assert first.status_code == 201, first.text
        [use] = first.json()["data"]
        assert (use["state"], use["discount"], use["session_id"]) == ("locked", money(500), "s1")
        assert await shop.verdicts(code) == ["locked"]
        assert await shop.verdicts(code, session_id="s1") == [500]
        assert reasons(await shop.lock("s2", code)) == [("/codes/0", "locked")]
        assert reasons(await shop.redeem("o1", code)) == [("/codes/0", "locked")]
        shop.clock.advance(timedelta(seconds=300))
        again = (await shop.lock("s1", code, seconds=600)).json()["data"]
        assert [each["id"] for each in again] == [use["id"]]
        shop.clock.advance(timedelta(seconds=599))
        assert await shop.verdicts(code) == ["locked"]
        shop.clock.advance(timedelta(seconds=1))
        assert (await shop.lock("s2", code)).status_code == 201
        assert reasons(await shop.redeem("o1", code, session_id="s1")) == [("/codes/0", "locked")]

    async def test_a_session_holds_what_it_named_last_and_frees_it(self, shop):
        codes = await shop.codes(await shop.campaign(), 3)
        assert (await shop.lock("s1", *codes[:2])).status_code == 201
        assert (await shop.lock("s1", *codes[1:])).status_code == 201
        assert await shop.verdicts(*codes) == [500, "locked", "locked"]
        freed = await shop.client.post("/v1/vouchers/locks/release", json={"session_id": "s1"})
        assert freed.json() == {"released": 2}
        again = await shop.client.post("/v1/vouchers/locks/release", json={"session_id": "s1"})
        assert again.json() == {"released": 0}
        assert await shop.verdicts(*codes) == [500, 500, 500]
        assert len(await shop.told("voucher.released")) == 3

    async def test_all_or_none(self, shop):
        code, other = await shop.codes(await shop.campaign(), 2)
        assert reasons(await shop.lock("s1", code, "NOPE")) == [("/codes/1", "not_found")]
        assert await shop.fetch("SELECT 1 FROM voucher_redemptions") == []
        assert await shop.verdicts(code, other) == [500, 500]

    async def test_what_was_locked_is_redeemed_as_it_was_whatever_has_changed(self, shop):
        campaign = await shop.campaign(ends_at="2026-05-01T04:10:00Z")
        [code] = await shop.codes(campaign, 1)
        await shop.lock("s1", code, seconds=900)
        shop.clock.advance(timedelta(seconds=700))
        assert await shop.verdicts(code, session_id="s1") == ["ended"]
        body = {"codes": [code.lower()], "session_id": "s1", "order_ref": "o1"}
        done = await shop.client.post("/v1/vouchers/redemptions", json=body)
        assert done.status_code == 201, done.text
        assert [(each["state"], each["discount"]["amount"]) for each in done.json()["data"]] == [("redeemed", 500)]
        assert await shop.counted() == 1
        late = await shop.client.post("/v1/vouchers/redemptions", json={**body, "order_ref": "o2"})
        assert (late.status_code, late.json()["errors"][0]["pointer"]) == (422, "/cart")


class TestRedeem:
    async def test_what_was_taken_back_is_not_redeemed_from_a_lock_either(self, shop):
        ann, campaign = await shop.customer("ann"), await shop.campaign()
        kept, gone = [await shop.issue(campaign, ann) for _ in range(2)]
        named = {"codes": [kept["code"], gone["code"]], "customer_id": ann, "session_id": "s"}
        assert (await shop.lock("s", *named["codes"], customer_id=ann)).status_code == 201
        await shop.client.patch(f"/v1/vouchers/{gone['id']}", json={"state": "void"})
        answer = await shop.client.post("/v1/vouchers/redemptions", json={**named, "order_ref": "o1"})
        assert (reasons(answer), await shop.counted()) == ([("/codes/1", "void")], 0)

    async def test_an_order_redeems_once_and_gives_back(self, shop):
        campaign = await shop.campaign(uses_total=1)
        code, other = await shop.codes(campaign, 2)
        done = await shop.redeem("o1", code, on=cart(300))
        assert done.status_code == 201, done.text
        [use] = done.json()["data"]
        assert (use["state"], use["order_ref"], use["discount"]["amount"]) == ("redeemed", "o1", 300)
        assert (await shop.redeem("o1", code)).json()["data"] == [use]
        differs = await shop.redeem("o1", other)
        assert (differs.status_code, differs.json()["code"]) == (409, "order_redeemed")
        assert await shop.verdicts(code, other) == ["used", "campaign_used_up"]
        back = await shop.roll_back("o1")
        assert [each["state"] for each in back.json()["data"]] == ["rolled_back"]
        assert (await shop.roll_back("o1")).json() == back.json()
        assert await shop.counted() == 0
        assert (await shop.redeem("o1", other)).status_code == 201
        assert await shop.counted() == 1
        kinds = ("voucher.redeemed", "voucher.rolled_back")
        told = [await shop.told(kind) for kind in kinds]
        assert [len(each) for each in told] == [2, 1]
        assert code not in str(told), "codes are as good as money"

    async def test_one_of_an_orders_vouchers_goes_back_alone(self, shop):
        campaign = await shop.campaign()
        codes = await shop.codes(campaign, 2)
        first, second = (await shop.redeem("o1", *codes)).json()["data"]
        path = f"/v1/vouchers/redemptions/{first['id']}/rollback"
        for _ in range(2):
            answer = await shop.client.post(path, json={"reason": "退货"})
            assert (answer.json()["state"], answer.json()["reason"]) == ("rolled_back", "退货")
        assert await shop.counted() == 1
        free = (await shop.client.get(f"/v1/vouchers/{first['voucher_id']}")).json()["code"]
        [locked] = (await shop.lock("s1", free)).json()["data"]
        refused = await shop.client.post(f"/v1/vouchers/redemptions/{locked['id']}/rollback")
        assert (refused.status_code, refused.json()["code"]) == (409, "not_redeemed")
        assert (await shop.roll_back("none")).status_code == 404
        assert second["position"] == 2

    async def test_a_customer_uses_a_campaign_as_often_as_allowed(self, shop):
        ann, bob = await shop.customer("ann"), await shop.customer("bob")
        campaign = await shop.campaign(uses_per_customer=2)
        codes = await shop.codes(campaign, 5)
        assert (await shop.redeem("o1", codes[0], customer_id=ann)).status_code == 201
        # Of two vouchers at the same priority the one whose code sorts first applies.
        assert reasons(await shop.redeem("o2", *sorted(codes[1:3]), customer_id=ann)) == [
            ("/codes/1", "customer_used_up")
        ]
        assert (await shop.lock("s1", codes[1], customer_id=ann)).status_code == 201
        assert reasons(await shop.redeem("o3", codes[2], customer_id=ann)) == [("/codes/0", "customer_used_up")]
        assert (await shop.redeem("o4", codes[2], customer_id=bob)).status_code == 201

    async def test_a_merge_keeps_vouchers_and_limits(self, shop):
        winner, loser = await shop.customer("ann"), await shop.customer("ann")
        campaign = await shop.campaign(uses_per_customer=1, uses_per_voucher=None)
        code = (await shop.issue(campaign, loser))["code"]
        assert (await shop.redeem("o1", code, customer_id=loser)).status_code == 201
        other = (await shop.issue(await shop.campaign("other"), loser))["code"]
        body = {"winner_id": winner, "loser_ids": [loser]}
        assert (await shop.client.post("/v1/customers/merge", json=body)).status_code < 300
        assert await shop.verdicts(code, other, customer_id=winner) == ["customer_used_up", 500]
        assert await shop.verdicts(other, customer_id=loser) == [500], "the old id answers for the new one"


class TestParallel:
    """Each request has a connection of its own; the clock is the machine's."""

    @pytest.fixture(autouse=True)
    def _real_time(self, shop):
        shop.database.clock = SystemClock()

    async def test_a_voucher_of_k_uses_is_used_k_times(self, shop):
        campaign = await shop.campaign(uses_per_voucher=5)
        [code] = await shop.codes(campaign, 1)
        answers = await asyncio.gather(*(shop.redeem(f"o{number}", code) for number in range(24)))
        assert sorted(each.status_code for each in answers) == [201] * 5 + [409] * 19
        assert {reasons(each)[0][1] for each in answers if each.status_code == 409} == {"used"}
        assert await shop.counted() == 5
        await asyncio.gather(*(shop.roll_back(f"o{number}") for number in range(24)))
        assert await shop.counted() == 0

    async def test_total_and_customer_limits_hold_with_locks_and_redemptions(self, shop):
        customers = [await shop.customer(f"c{number}") for number in range(6)]
        await shop.campaign(shared_code="SALE", uses_per_voucher=None, uses_total=7, uses_per_customer=2)
        works = [
            shop.redeem(f"o{number}", "SALE", customer_id=customers[number % 6])
            if number % 2
            else shop.lock(f"s{number}", "SALE", customer_id=customers[number % 6])
            for number in range(30)
        ]
        answers = await asyncio.gather(*works)
        assert {each.status_code for each in answers} <= {201, 409}
        assert sum(each.status_code == 201 for each in answers) == 7
        rows = await shop.fetch("SELECT customer_id, count(*) FROM voucher_redemptions GROUP BY 1")
        assert max(row[1] for row in rows) <= 2

    async def test_the_same_order_sent_at_once_redeems_once(self, shop):
        codes = await shop.codes(await shop.campaign(uses_per_voucher=9), 2)
        answers = await asyncio.gather(*(shop.redeem("o1", *(codes if n % 2 else codes[::-1])) for n in range(10)))
        assert {each.status_code for each in answers} == {201}
        assert len({each.text for each in answers}) == 1
        assert await shop.counted() == 2

    async def test_a_random_crowd_leaves_no_use_behind(self, shop):
        """Locks, releases, redemptions and rollbacks of 8 sessions over 3 campaigns at once: counters are the rows."""
        codes = [
            code
            for name in "abc"
            for code in await shop.codes(await shop.campaign(name, uses_per_voucher=2, uses_total=5), 3)
        ]

        async def session(number: int) -> None:
            for turn in range(4):
                mine = [codes[(number * 5 + turn * 3 + step * 4) % 9] for step in range(3)]
                await shop.lock(f"s{number}", *mine)
                await shop.redeem(f"o{number}-{turn}", *mine[: 1 + turn % 3], session_id=f"s{number}")
                if (number + turn) % 2:
                    await shop.roll_back(f"o{number}-{turn}")

        await asyncio.gather(*(session(number) for number in range(8)))
        await shop.counted()
        worst = await shop.fetch(
            "SELECT max(redeemed) FROM vouchers UNION ALL SELECT max(redeemed) FROM voucher_campaigns"
        )
        assert (worst[0][0] <= 2, worst[1][0] <= 5) == (True, True)


async def test_nobody_elses_customer_and_no_customer(shop):
    await shop.campaign(shared_code="FIVE")
    nobody = str(uuid4())
    body = {"codes": ["FIVE"], "cart": cart(1000), "customer_id": nobody}
    for path, more in (("validate", {}), ("locks", {"session_id": "s"}), ("redemptions", {"order_ref": "o"})):
        answer = await shop.client.post(f"/v1/vouchers/{path}", json={**body, **more})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (404, "/customer_id")
