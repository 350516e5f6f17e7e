"""From a code to both rewards, and back: real PostgreSQL, the real ledger, messages as the relay brings them."""

import random
from dataclasses import replace

import pytest

from crm_api.core.errors import Conflict, Duplicate, Forbidden, Invalid, NotFound
from crm_api.customers.service import CustomerService
from crm_api.referrals.models import ReferralProgrammeCreate, ReferralProgrammeUpdate, ReferralSignal
from crm_api.referrals.programmes import ReferralProgrammeService
from crm_api.referrals.service import ReferralService
from crm_api.vouchers.campaigns import VoucherCampaignService
from crm_api.vouchers.models import VoucherCampaignCreate

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def rewarded(shop, **changes):
    """Return a referrer, a friend, their referral and its order, both rewarded."""
    referrer, friend, referral = await shop.pair(**changes)
    order = await shop.order(friend)
    await shop.settle()
    shop.later(days=7)
    await shop.settle()
    assert await shop.state(referral) == "rewarded"
    return referrer, friend, referral, order


class TestWay:
    async def test_both_sides_are_rewarded_once_after_the_window(self, shop):
        referrer, friend, referral = await shop.pair()
        await shop.order(friend, number="first")
        told = await shop.settle()
        assert await shop.state(referral) == "pending"
        assert [each for each in told if each.startswith("referral.")][-2:] == [
            "referral.qualified",
            "referral.pending",
        ]
        shop.later(days=7, seconds=-1)
        await shop.settle()
        assert (await shop.state(referral), await shop.points(referrer)) == ("pending", 0)
        shop.later(seconds=1)
        told = await shop.settle()
        assert [each for each in told if each.startswith("referral.")] == ["referral.approved", "referral.rewarded"]
        assert (await shop.points(referrer), await shop.points(friend)) == (200, 100)
        case = await shop.case(referral)
        assert (case.referrer_booked.points, case.friend_booked.points, case.attempt) == (200, 100, 1)
        shop.heard.clear()  # everything is told again
        await shop.settle()
        await shop.order(friend)
        await shop.settle()
        assert (await shop.points(referrer), await shop.points(friend)) == (200, 100)

    async def test_an_order_placed_before_the_sign_up_is_known_counts(self, shop):
        programme = await shop.programme(window_days=0)
        referrer, friend = await shop.customer(), await shop.customer()
        code = await shop.code(programme, referrer)
        at = shop.clock.now()
        shop.later(minutes=5)
        await shop.order(friend)
        referral = await shop.sign_up(code.lower(), friend, signed_up_at=at)
        assert await shop.state(referral) == "pending"
        await shop.settle()
        assert await shop.state(referral) == "rewarded"

    async def test_a_sign_up_told_long_after_a_purchase_is_reviewed(self, shop):
        programme = await shop.programme(window_days=0)
        code = await shop.code(programme, await shop.customer())
        at = shop.clock.now()
        shop.later(hours=1)
        friend, other = await shop.customer(), await shop.customer()
        await shop.order(friend)
        shop.later(hours=2)
        referral = await shop.sign_up(code, friend, signed_up_at=at)
        assert await shop.findings(await shop.sign_up(code, other, signed_up_at=at)) == []
        assert await shop.findings(referral) == ["existing_customer"]
        await shop.settle()
        assert await shop.state(referral) == "flagged"
        await shop.decide(referral, "approve")
        await shop.settle()
        assert await shop.state(referral) == "rewarded"
        shop.later(days=30)
        with pytest.raises(Invalid) as refused:
            await shop.sign_up(code, await shop.customer(), signed_up_at=at)
        assert refused.value.errors[0].code == "too_long_ago"

    async def test_completion_begins_the_window(self, shop):
        _, friend, referral = await shop.pair(window_from="completed", window_days=1)
        placed = shop.clock.now()
        await shop.order(friend, number="a", placed_at=placed)
        await shop.settle()
        assert await shop.state(referral) == "qualified"
        shop.later(days=5)
        await shop.order(friend, number="a", placed_at=placed, status="completed", completed_at=shop.clock.now())
        await shop.settle()
        assert await shop.state(referral) == "pending"
        shop.later(days=1)
        await shop.settle()
        assert await shop.state(referral) == "rewarded"

    async def test_only_the_first_order_counts_unless_any_may(self, shop):
        programmes = [await shop.programme(name=name, qualifying_order=name) for name in ("first", "any")]
        states = []
        for programme in programmes:
            _, friend, referral = await shop.pair(programme)
            await shop.order(friend, 50_00)
            await shop.hear()
            shop.later(hours=1)
            await shop.order(friend, 150_00)
            await shop.settle()
            states.append(await shop.state(referral))
        assert states == ["voided: below_minimum", "pending"]

    async def test_who_does_not_order_in_time_is_out(self, shop):
        _, friend, referral = await shop.pair(claim_days=30)
        shop.later(days=30)
        await shop.settle()
        assert await shop.state(referral) == "voided: expired"
        await shop.order(friend)
        await shop.settle()
        assert await shop.state(referral) == "voided: expired"

    async def test_terms_are_those_of_the_sign_up(self, shop):
        programme = await shop.programme()
        referrer, friend, _ = await shop.pair(programme)
        change = ReferralProgrammeUpdate.model_validate({"referrer_reward": {"points": 1}, "checks": {"cycle": "void"}})
        await shop.run(lambda unit: ReferralProgrammeService(unit).update(programme, change))
        [row] = await shop.rows("SELECT checks FROM referral_programmes WHERE id = $1", programme)
        assert (row["checks"]["cycle"], row["checks"]["cap"]) == ("void", "flag")
        await shop.order(friend)
        await shop.hear()
        shop.later(days=7)
        await shop.settle()
        assert await shop.points(referrer) == 200

    async def test_a_voucher_may_be_the_reward(self, shop):
        worth = {"name": "谢礼", "kind": "amount", "amount_off": {"amount": 10_00, "currency": "CNY"}}
        data = VoucherCampaignCreate.model_validate(worth)
        campaign = await shop.run(lambda unit: VoucherCampaignService(unit).create(data))
        gift = {"voucher_campaign_id": campaign}
        referrer, friend, referral, order = await rewarded(shop, referrer_reward=gift, friend_reward=gift)
        sql = "SELECT customer_id, state FROM vouchers WHERE tenant_id = $1"
        rows = await shop.rows(sql, shop.tenant.id)
        assert {tuple(row) for row in rows} == {(referrer, "active"), (friend, "active")}
        await shop.refund(order, 150_00)
        await shop.settle()
        rows = await shop.rows(sql, shop.tenant.id)
        assert {tuple(row) for row in rows} == {(referrer, "void"), (friend, "void")}
        assert (await shop.case(referral)).clawed_back_at == shop.clock.now()


class TestFalls:
    @pytest.mark.parametrize("amount", [150_00, 50_01])
    async def test_a_refund_inside_the_window_voids(self, shop, amount):
        referrer, friend, referral = await shop.pair()
        order = await shop.order(friend)
        await shop.refund(order, amount)
        await shop.settle()
        shop.later(days=7)
        await shop.settle()
        expected = "below_minimum"  # told together, the refund is seen before anything qualifies
        assert await shop.state(referral) == f"voided: {expected}"
        assert (await shop.points(referrer), await shop.points(friend)) == (0, 0)

    async def test_a_refund_after_the_window_takes_both_rewards_back(self, shop):
        referrer, friend, referral, order = await rewarded(shop)
        await shop.refund(order, 50_00)
        await shop.settle()
        assert (await shop.state(referral), await shop.points(friend)) == ("rewarded", 100)
        await shop.refund(order, 1)
        told = await shop.settle()
        assert {"referral.voided", "referral.clawed_back"} <= {*told}
        assert await shop.state(referral) == "voided: order_refunded"
        assert (await shop.points(referrer), await shop.points(friend)) == (0, 0)
        await shop.refund(order, 50_00)
        shop.heard.clear()
        await shop.settle()
        assert (await shop.points(referrer), await shop.points(friend)) == (0, 0)

    async def test_a_cancellation_voids_and_a_person_may_try(self, shop):
        referrer, friend, referral = await shop.pair()
        await shop.order(friend, number="a")
        await shop.settle()
        await shop.order(friend, number="a", status="cancelled")
        await shop.settle()
        assert await shop.state(referral) == "voided: order_cancelled"
        with pytest.raises(Conflict) as refused:
            await shop.decide(referral, "reopen")
        assert refused.value.code == "transition_guard"
        assert await shop.points(referrer) == 0

    async def test_any_order_of_news_comes_to_the_same(self, shop):
        """Payment, refund, merge and undo of it, told shuffled and twice: the same states and points."""
        dice = random.Random(7)
        for _ in range(2):
            programme = await shop.programme(name=f"p{dice.random()}", window_days=0)
            referrer, friend, referral = await shop.pair(programme)
            order = await shop.order(friend)
            await shop.undo(await shop.merge(referrer, friend))
            await shop.refund(order, 150_00)
            news = 2 * [each for each in await shop.messages() if not each.type.startswith("referral")]
            dice.shuffle(news)
            for each in news:
                await shop.hear([each])
                await shop.settle()
            assert (await shop.state(referral)).startswith("voided")
            assert (await shop.points(referrer), await shop.points(friend)) == (0, 0)

    async def test_a_reward_that_cannot_be_booked_says_why_and_is_tried_again(self, shop):
        referrer, friend, referral = await shop.pair(window_days=0)
        tenant = shop.tenant.id
        await shop.rows("UPDATE loyalty_programmes SET is_default = false WHERE tenant_id = $1", tenant)
        await shop.order(friend)
        told = await shop.settle()
        assert "referral.booking_failed" in told
        case = await shop.case(referral)
        assert (case.state, case.failure.code) == ("approved", "no_programme")
        await shop.rows("UPDATE loyalty_programmes SET is_default = true WHERE tenant_id = $1", tenant)
        shop.later(hours=1)
        await shop.settle()
        assert (await shop.state(referral), await shop.points(referrer)) == ("rewarded", 200)
        assert (await shop.case(referral)).failure is None


class TestSignUp:
    async def test_codes(self, shop):
        programme = await shop.programme()
        wang, li = await shop.customer(), await shop.customer()
        code = await shop.code(programme, wang)
        assert await shop.code(programme, wang) == code
        assert await shop.code(programme, li, code="li-88") == "LI-88"
        for who, wanted in ((li, "OTHER"), (await shop.customer(), "li-88")):
            with pytest.raises(Duplicate):
                await shop.code(programme, who, code=wanted)

    async def test_refusals_store_nothing(self, shop):
        programme = await shop.programme(name="a")
        over = await shop.programme(name="b", ends_at=shop.clock.now())
        wang, li = await shop.customer(), await shop.customer()
        code, late = await shop.code(programme, wang), await shop.code(over, wang)
        for given, error, name in (
            ((code, wang), Conflict, "self_referral"),
            ((late, li), Conflict, "programme_inactive"),
            (("NOBODYS", li), Invalid, "invalid"),
            ((code, programme), NotFound, "not_found"),
        ):
            with pytest.raises(error) as refused:
                await shop.sign_up(*given)
            assert refused.value.code == name
        assert await shop.rows("SELECT FROM referrals WHERE tenant_id = $1", shop.tenant.id) == []
        referral = await shop.sign_up(code, li)
        with pytest.raises(Conflict) as refused:
            await shop.sign_up(code, li)
        assert refused.value.extra == {"referral_id": str(referral)}


class TestChecks:
    async def test_who_has_bought_before_is_no_new_friend(self, shop):
        programme = await shop.programme()
        code = await shop.code(programme, await shop.customer())
        phone = {"contact_points": [{"kind": "mobile", "value": "13812345678"}]}
        old = await shop.customer(**phone)
        await shop.order(old)
        shop.later(days=1)
        same_phone = await shop.customer(**phone)
        for friend in (old, same_phone):
            referral = await shop.sign_up(code, friend)
            assert await shop.state(referral) == "voided: existing_customer"

    async def test_what_two_have_in_common_goes_to_review(self, shop):
        programme = await shop.programme(window_days=0)
        place = [{"province": "上海市", "city": "徐汇区", "street": "漕溪北路 88 号", "phone": "138 1234 5678"}]
        referrer = await shop.customer(addresses=place, contact_points=[{"kind": "email", "value": "a@example.com"}])
        code = await shop.code(programme, referrer, device_id="dev-1", payment_account="alipay-1")
        alike = {
            "shared_phone": {"contact_points": [{"kind": "mobile", "value": "13812345678"}]},
            "shared_account": {"contact_points": [{"kind": "email", "value": "a@example.com"}]},
            "shared_address": {"addresses": [{"city": "上海市徐汇区", "street": "漕溪北路88号"}]},
        }
        for code_found, fields in alike.items():
            friend = await shop.customer(**fields)
            referral = await shop.sign_up(code, friend)
            await shop.order(friend)
            await shop.settle()
            assert (await shop.state(referral), await shop.findings(referral)) == ("flagged", [code_found])
        friend, twin = await shop.customer(), await shop.customer()
        first = await shop.sign_up(code, friend, device_id="dev-2")
        second = await shop.sign_up(code, twin, device_id="dev-2")
        signal = ReferralSignal(customer_id=friend, kind="payment_account", value="alipay-1")
        await shop.run(lambda unit: ReferralService(unit).note_signal(signal))
        for each in (friend, twin):
            await shop.order(each)
        await shop.settle()
        assert await shop.findings(first) == ["shared_payment_account", "shared_device"]
        assert await shop.findings(second) == ["shared_device"]
        assert await shop.points(referrer) == 0

    async def test_velocity_cycles_and_caps(self, shop):
        programme = await shop.programme(window_days=0, velocity_limit=2, velocity_hours=1, cap_count=1)
        a = await shop.customer()
        code = await shop.code(programme, a)
        friends = [await shop.customer() for _ in range(3)]
        referrals = [await shop.sign_up(code, each) for each in friends]
        assert [await shop.findings(each) for each in referrals] == [[], [], ["velocity"]]
        b, c = friends[0], await shop.customer()
        shop.later(hours=1)
        await shop.sign_up(await shop.code(programme, b), c)
        closing = await shop.sign_up(await shop.code(programme, c), a)
        case = await shop.case(closing)
        assert [(each.code, each.seen) for each in case.findings] == [("cycle", 3)]
        for each in friends[1:]:
            await shop.order(each)
        await shop.settle()
        states = [await shop.state(each) for each in referrals[1:]]
        found = [await shop.findings(each) for each in referrals[1:]]
        assert (states, found) == (["rewarded", "flagged"], [[], ["velocity", "cap"]])

    async def test_people_approve_and_void_what_was_flagged(self, shop):
        programme = await shop.programme(window_days=0, velocity_limit=1)
        referrer = await shop.customer()
        code = await shop.code(programme, referrer)
        friends = [await shop.customer() for _ in range(3)]
        referrals = [await shop.sign_up(code, each) for each in friends]
        for each in friends:
            await shop.order(each)
        await shop.settle()
        assert [await shop.state(each) for each in referrals] == ["rewarded", "flagged", "flagged"]
        await shop.decide(referrals[1], "approve")
        await shop.decide(referrals[2], "void")
        await shop.settle()
        assert (await shop.points(referrer), await shop.points(friends[1]), await shop.points(friends[2])) == (
            400,
            100,
            0,
        )
        await shop.decide(referrals[1], "void")
        await shop.settle()
        assert (await shop.points(referrer), await shop.points(friends[1])) == (200, 0)
        await shop.decide(referrals[1], "reopen")
        await shop.decide(referrals[1], "approve")
        await shop.settle()
        assert (await shop.points(referrer), await shop.points(friends[1])) == (400, 100)

    async def test_who_may_not_give_it_promises_nothing(self, shop):
        campaign = VoucherCampaignCreate(name="x", kind="free_shipping")
        campaign_id = await shop.run(lambda unit: VoucherCampaignService(unit).create(campaign))
        only = replace(shop.tenant.actor, scopes=frozenset({"referrals:write"}))
        bare = ReferralProgrammeCreate(name="bare")
        made = await shop.database.run(only, lambda unit: ReferralProgrammeService(unit).create(bare))
        for reward, scope in (({"points": 1}, "loyalty"), ({"voucher_campaign_id": campaign_id}, "vouchers")):
            data = ReferralProgrammeUpdate(friend_reward=reward)
            with pytest.raises(Forbidden, match=f"{scope}:write"):
                await shop.database.run(only, lambda unit, it=data: ReferralProgrammeService(unit).update(made, it))


class TestPeopleBecomeOne:
    async def test_referrer_and_friend_are_one_person(self, shop):
        referrer, friend, referral, _ = await rewarded(shop)
        merge = await shop.merge(referrer, friend)
        await shop.settle()
        assert (await shop.state(referral), await shop.points(referrer)) == ("voided: self", 0)
        await shop.undo(merge)
        await shop.settle()
        assert await shop.state(referral) == "flagged"
        assert await shop.points(referrer) + await shop.points(friend) == 0
        await shop.decide(referral, "approve")
        await shop.settle()
        assert (await shop.points(referrer), await shop.points(friend)) == (200, 100)

    async def test_two_friends_are_one_person(self, shop):
        programme = await shop.programme()
        _, first, one = await shop.pair(programme)
        _, second, other = await shop.pair(programme)
        merge = await shop.merge(first, second)
        await shop.settle()
        assert (await shop.state(one), await shop.state(other)) == ("signed_up", "voided: already_referred")
        await shop.undo(merge)
        await shop.settle()
        assert (await shop.state(one), await shop.state(other)) == ("signed_up", "signed_up")

    async def test_a_merged_referrers_codes_lead_to_who_they_became(self, shop):
        programme = await shop.programme()
        one, other, friend = await shop.customer(), await shop.customer(), await shop.customer()
        codes = [await shop.code(programme, each) for each in (one, other)]
        await shop.merge(one, other)
        referral = await shop.sign_up(codes[1], friend)
        assert (await shop.case(referral)).referrer_id == one
        with pytest.raises(Conflict):
            await shop.sign_up(codes[1], one)

    async def test_deleted_customers_are_not_rewarded(self, shop):
        referrer, friend, referral = await shop.pair(window_days=0)
        await shop.run(lambda unit: CustomerService(unit).delete(friend))
        await shop.settle()
        assert (await shop.state(referral), await shop.points(referrer)) == ("voided: customer_gone", 0)
