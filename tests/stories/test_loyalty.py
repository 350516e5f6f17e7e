"""Issue D's shop: a tier doubles what its members earn, refunds take back exactly that, rewards and vouchers come back
or are used once, friends are rewarded or looked at.

Everything goes through the public API, with the real worker beside it and a clock that the story moves.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from crm_api.core.clock import FixedClock
from crm_api.referrals.jobs import settle_due
from tests.stories.shop import Shop, open_shop

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
"""Noon in Shanghai."""
GOLD = 1_000_00
"""Fen of net spend that make a gold member."""
WINDOW = 7
"""Days in which a friend may send things back."""


class Club:
    """What the people of the shop do."""

    def __init__(self, shop: Shop, clock: FixedClock) -> None:
        self.shop = shop
        self.clock = clock
        self.ids: dict[str, str] = {}
        self.orders = 0

    async def join(self, name: str, **fields: object) -> str:
        self.ids[name] = (await self.shop.send("/customers", {"name": name, **fields}, 201))["id"]
        return self.ids[name]

    async def buy(self, name: str, fen: int) -> str:
        """Enter a paid order; returns its id."""
        self.orders += 1
        order = {
            "customer_id": self.ids[name],
            "status": "paid",
            "total": {"amount": fen, "currency": "CNY"},
            "placed_at": self.clock.now().isoformat(),
        }
        return (await self.shop.send(f"/orders/till/{self.orders}", order, 201, "PUT"))["id"]

    async def refund(self, order_id: str, fen: int) -> None:
        await self.shop.send(f"/orders/{order_id}/refunds", {"amount": {"amount": fen, "currency": "CNY"}}, 201)

    async def points(self, name: str) -> tuple[int, int]:
        """Return available and held points."""
        account = await self.shop.get(f"/loyalty/accounts/{self.ids[name]}")
        assert account["debt"] == 0
        return account["available"], account["held"]

    async def has(self, name: str, available: int) -> None:
        """Wait until somebody has just so many points to spend."""
        await self.shop.wait(lambda: self.points(name), lambda found: found == (available, 0))

    async def adds_up(self, name: str) -> None:
        """Look whether what happened to the points adds up to what there is."""
        entries = await self.shop.all(f"/loyalty/accounts/{self.ids[name]}/entries")
        assert sum(each["available_change"] for each in entries) == (await self.points(name))[0]

    async def state(self, referral_id: str, state: str) -> dict:
        """Wait until a referral has come to a state."""
        return await self.shop.wait(
            lambda: self.shop.get(f"/referrals/{referral_id}"), lambda found: found["state"] == state
        )

    async def weeks_pass(self) -> None:
        """Let the return window pass, and do what the worker does every five minutes."""
        self.clock.advance(timedelta(days=WINDOW))
        await settle_due(self.shop.workers)


async def test_a_gold_member_spends_sends_back_and_brings_friends(own_database_url):
    clock = FixedClock(NOON)
    async with open_shop(own_database_url, "retail", clock) as shop:
        club = Club(shop, clock)
        await the_club_opens(club)
        await gold_members_earn_twice(club)
        await refunds_in_splits_take_back_exactly_that(club)
        await a_cancelled_reward_gives_all_back(club)
        await a_voucher_is_used_once(club)
        await friends_are_rewarded_or_looked_at(club)
        for name in club.ids:
            await club.adds_up(name)


async def the_club_opens(club):
    """Gold from 1,000 yuan on; her first order makes her gold."""
    gold = {"code": "gold", "name": {"en": "Gold", "zh": "金卡"}, "threshold": GOLD}
    rules = {"metric": "net_spend", "currency": "CNY", "window": "lifetime", "tiers": [gold]}
    (scheme,) = await club.shop.all("/loyalty/tiers/schemes")  # the preset's
    await club.shop.send(f"/loyalty/tiers/schemes/{scheme['id']}", {"rules": rules}, method="PATCH")
    await club.join("王", addresses=[{"city": "上海", "street": "漕溪北路 88 号"}])
    await club.buy("王", GOLD)
    await club.has("王", 1000)
    members = {"field": "tier", "op": "eq", "value": "gold"}
    await club.shop.wait(lambda: club.shop.found(members), lambda found: found == {club.ids["王"]})


async def gold_members_earn_twice(club):
    """From now on gold members earn as much again as everybody: a simulation says so, and changes nothing."""
    double = {
        "name": "金卡双倍",
        "trigger": "order_paid",
        "customer": {"field": "tier", "op": "eq", "value": "gold"},
        "formula": {"kind": "percent", "percent": 100},
        "keeps_base": True,
        "draft": False,
    }
    await club.shop.send("/loyalty/earning-rules", double, 201)
    order = {
        "customer_id": club.ids["王"],
        "status": "paid",
        "total": {"amount": 300_00, "currency": "CNY"},
        "placed_at": club.clock.now().isoformat(),
    }
    would = await club.shop.send("/loyalty/simulate", {"order": order})
    assert would["points"] == 600
    assert await club.points("王") == (1000, 0)


async def refunds_in_splits_take_back_exactly_that(club):
    """300 yuan bring 600 points; sent back in three unequal parts they are gone to the last one."""
    order = await club.buy("王", 300_00)
    await club.has("王", 1600)
    for part in (100_01, 99_98, 100_01):
        await club.refund(order, part)
    await club.has("王", 1000)


async def a_cancelled_reward_gives_all_back(club):
    """Points are held, spent, and back; the mug is in stock again."""
    mug = {"name": "马克杯", "kind": "product", "sku": "MUG-1", "points": 400, "stock": 1}
    reward = await club.shop.send("/loyalty/rewards", mug, 201)
    wish = {"customer_id": club.ids["王"]}
    asked = await club.shop.send(f"/loyalty/rewards/{reward['id']}/redemptions", wish, 201)
    assert await club.points("王") == (600, 400)
    await club.shop.send(f"/loyalty/rewards/{reward['id']}/redemptions", wish, 409)
    step = f"/loyalty/reward-redemptions/{asked['id']}"
    assert (await club.shop.send(f"{step}/confirm"))["state"] == "confirmed"
    assert await club.points("王") == (600, 0)
    assert (await club.shop.send(f"{step}/cancel", {"reason": "缺货"}))["state"] == "cancelled"
    await club.has("王", 1000)
    again = await club.shop.send(f"/loyalty/rewards/{reward['id']}/redemptions", wish, 201)
    await club.shop.send(f"/loyalty/reward-redemptions/{again['id']}/cancel")
    await club.has("王", 1000)


async def a_voucher_is_used_once(club):
    """Eight tills redeem the same voucher at once: one order gets it."""
    worth = {"name": "感谢券", "kind": "amount", "amount_off": {"amount": 10_00, "currency": "CNY"}}
    campaign = await club.shop.send("/voucher-campaigns", worth, 201)
    whose = {"customer_id": club.ids["王"]}
    voucher = await club.shop.send(f"/voucher-campaigns/{campaign['id']}/vouchers", whose, 201)
    cart = {"currency": "CNY", "items": [{"sku": "MUG-1", "unit_price": 30_00}]}

    async def till(number):
        use = {"codes": [voucher["code"]], **whose, "order_ref": f"till-{number}", "cart": cart}
        return (await club.shop.client.post("/v1/vouchers/redemptions", json=use)).status_code

    answers = sorted(await asyncio.gather(*(till(number) for number in range(8))))
    assert answers == [201] + 7 * [409]


async def friends_are_rewarded_or_looked_at(club):
    """One friend is a friend; one lives at the referrer's address; one sends everything back."""
    programme = await club.shop.send(
        "/referral-programmes",
        {
            "name": "老带新",
            "minimum_order": {"amount": 100_00, "currency": "CNY"},
            "window_days": WINDOW,
            "referrer_reward": {"points": 200},
            "friend_reward": {"points": 100},
        },
        201,
    )
    whose = {"customer_id": club.ids["王"]}
    code = (await club.shop.send(f"/referral-programmes/{programme['id']}/codes", whose, 201))["code"]
    await club.join("李")
    await club.join("赵", addresses=[{"city": "上海", "street": "漕溪北路88号"}])
    referrals, orders = {}, {}
    for name in ("李", "赵"):
        sign_up = {"code": code, "customer_id": club.ids[name]}
        referrals[name] = (await club.shop.send("/referrals", sign_up, 201))["id"]
        orders[name] = await club.buy(name, 150_00)
        await club.state(referrals[name], "pending")
    await club.weeks_pass()
    await club.state(referrals["李"], "rewarded")
    flagged = await club.state(referrals["赵"], "flagged")
    assert [(each["code"], each["zh"]) for each in flagged["findings"]] == [
        ("shared_address", "与另一位客户收货地址相同")
    ]
    await club.has("王", 1200)
    await club.has("李", 150 + 100)
    await club.has("赵", 150)

    decided = await club.shop.ask(
        """mutation ($input: ReferralTransitionInput!) { referralTransition(input: $input) {
          referral { state } userErrors { code } } }""",
        input={"id": f"Referral:{referrals['赵']}", "action": "APPROVE", "reason": "室友，已核实"},
    )
    assert decided["referralTransition"] == {"referral": {"state": "APPROVED"}, "userErrors": []}
    await club.state(referrals["赵"], "rewarded")  # the worker's job, at once
    await club.has("王", 1400)

    await club.refund(orders["李"], 150_00)
    voided = await club.state(referrals["李"], "voided")
    assert voided["void_reason"] == "order_refunded"
    await club.has("王", 1200)
    await club.has("李", 0)
    await club.has("赵", 150 + 100)
