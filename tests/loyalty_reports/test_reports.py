"""Reports over histories that are drawn, and one that is known to the point."""

import random
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest

from crm_api.core.errors import CrmError
from crm_api.core.ids import new_id
from crm_api.loyalty.service import LoyaltyService
from tests.loyalty.shop import START, Shop
from tests.vouchers.shop import Shop as Checkout

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


class Life:
    """A shop in which anything happens; ``seen`` is what all customers had at each moment, as stored then."""

    def __init__(self, shop, client, seed):
        self.shop, self.client, self.chance = shop, client, random.Random(seed)
        self.orders, self.redemptions, self.holds, self.seen = [], [], [], []

    async def go(self, steps):
        await self.shop.programme(pending_days=2, expiry_days=20)
        self.customers = [await self.shop.customer() for _ in range(5)]
        acts = [self.pay, self.pay, self.pay, self.adjust, self.refund, self.refund, self.spend, self.spend]
        acts += [self.restore, self.hold, self.hold, self.unhold, self.send, self.merge]
        acts = [self.pay, self.pay, self.pay, self.adjust, self.refund, self.refund, self.spend, self.spend]
        acts += [self.restore, self.hold, self.hold, self.unhold, self.send, self.merge]
        for _ in range(steps):
            self.shop.clock.advance(timedelta(hours=self.chance.choice([1, 5, 40, 200])))
            act = self.chance.choice(acts)
            with suppress(CrmError, IndexError):  # too few points, done before, nothing there yet: nothing was booked
                await act(self.chance.choice(self.customers))
            await self.shop.settle()
            await self.look()

    async def look(self):
        """Note what everybody has, a moment after it was booked."""
        self.shop.clock.advance(timedelta(microseconds=1))
        [row] = await self.shop.rows(
            "SELECT coalesce(sum(available + pending + held - debt), 0)::bigint FROM loyalty_wallets "
            "WHERE tenant_id = $1 AND kind = 'spendable'",
            self.shop.tenant.id,
        )
        self.seen.append((self.shop.clock.now(), row[0]))

    async def pay(self, who):
        amount = self.chance.randint(100, 9_000)
        self.orders.append((who, await self.shop.pay(who, amount), amount))

    async def refund(self, _who):
        who, order, amount = self.chance.choice(self.orders)
        await self.shop.refund(who, order, self.chance.choice([amount, amount // 2]))

    async def adjust(self, who):
        await self.shop.adjust(who, self.chance.choice([-10, 30, 50]))

    async def spend(self, who):
        self.redemptions.append(await self.shop.redeem(who, self.chance.randint(1, 40)))

    async def restore(self, _who):
        await self.shop.restore(self.chance.choice(self.redemptions))

    async def hold(self, who):
        until = self.shop.clock.now() + timedelta(hours=50)
        points = self.chance.randint(1, 30)
        self.holds.append(await self.shop.run(lambda unit: LoyaltyService(unit).hold(who, points, until=until)))

    async def unhold(self, _who):
        hold = self.chance.choice(self.holds)
        if self.chance.random() < 0.5:
            await self.shop.run(lambda unit: LoyaltyService(unit).void_hold(hold))
        else:
            await self.shop.run(lambda unit: LoyaltyService(unit).post_hold(hold, 1))

    async def send(self, who):
        other = self.chance.choice([each for each in self.customers if each != who])
        await self.shop.run(lambda unit: LoyaltyService(unit).transfer(who, other, 5))

    async def merge(self, who):
        if len(self.customers) > 3:
            loser = self.chance.choice([each for each in self.customers if each != who])
            body = {"winner_id": str(who), "loser_ids": [str(loser)]}
            assert (await self.client.post("/v1/customers/merge", json=body)).status_code == 201
            self.customers.remove(loser)

    async def report(self, name, start, end, **more):
        params = {"from": start.isoformat(), "to": end.isoformat(), **more}
        answer = await self.client.get(f"/v1/loyalty/reports/{name}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


FLOWS = ("issued", "redeemed", "expired", "cancelled", "adjusted")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_roll_forward_closes_between_any_two_moments(client, database, tenant, seed):
    """Opening and closing are what the wallets said then; the flows between two moments add up from any split."""
    life = Life(Shop(database, tenant), client, seed)
    await life.go(60)
    assert await life.shop.drift() == []
    for _ in range(12):
        (start, had), (end, has) = sorted(life.chance.sample(life.seen, 2))
        found = await life.report("liability", start, end)
        assert (found["opening"], found["closing"], found["difference"]) == (had, has, 0)
        given, taken = found["issued"] + found["adjusted"], found["redeemed"] + found["expired"] + found["cancelled"]
        assert had + given - taken == has
        assert found["available"] + found["pending"] + found["held"] - found["debt"] == has
        steps = await life.report("earn-burn", start, end, by=life.chance.choice(["day", "week", "month"]))
        assert {name: sum(row[name] for row in steps["rows"]) for name in FLOWS} == {
            name: found[name] for name in FLOWS
        }
    # What became of the points by month adds up to what the books say in all.
    end = life.seen[-1][0]
    books = await life.report("liability", START - timedelta(days=1), end)
    months = (await life.report("cohorts", START - timedelta(days=1), end))["cohorts"]
    total = {name: sum(row[name] for row in months) for name in months[0] if name != "month"}
    assert (total["redeemed"], total["expired"]) == (books["redeemed"], books["expired"])
    assert total["outstanding"] == books["available"] + books["pending"] + books["held"]
    assert total["issued"] - total["taken"] == books["issued"] + books["adjusted"]
    assert total["cancelled"] == books["cancelled"] - books["debt"]
    assert all(row["cancelled"] >= 0 for row in months)


async def known(client, database, tenant):
    """Two sales of ¥100, one of which is refunded by half; 60 of 150 points redeemed, 90 lie there."""
    shop = Shop(database, tenant)
    await shop.programme(expiry_days=30)
    ann, bob = [await shop.customer() for _ in range(2)]
    for who, refunded, key in ((ann, 0, "a"), (bob, 5_000, "b")):
        order = {
            "customer_id": str(who),
            "status": "completed",
            "total": {"amount": 10_000, "currency": "CNY"},
            "refunded": {"amount": refunded, "currency": "CNY"},
            "placed_at": START.isoformat(),
        }
        made = await client.put(f"/v1/orders/till/{key}", json=order)
        assert made.status_code == 201, made.text
        await shop.pay(who, 10_000, made.json()["id"])
        if refunded:
            await shop.refund(who, made.json()["id"], refunded)
    await shop.redeem(ann, 60)
    return shop, ann, bob


PERIOD = {"from": "2026-01-01", "to": "2026-02-15"}


async def test_what_is_known_to_the_point(client, database, tenant):
    shop, _, _ = await known(client, database, tenant)
    shop.clock.advance(timedelta(days=31))

    async def report(name, **more):
        answer = await client.get(f"/v1/loyalty/reports/{name}", params={**PERIOD, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    seen = await report("participation")
    counts = ("customers", "members", "joined", "earning", "redeeming", "active", "orders", "orders_with_points")
    # The customers of this test were entered by the wall clock, long after.
    assert [seen[name] for name in counts] == [0, 2, 2, 2, 1, 2, 2, 2]
    assert (seen["participation_rate"], seen["redeeming_rate"]) == (None, 0.5)
    [row] = (await report("cohorts"))["cohorts"]
    assert (row["issued"], row["redeemed"], row["cancelled"], row["outstanding"]) == (200, 60, 50, 90)
    due = await report("liability")
    assert ((await report("liability", to="2026-01-31"))["settled"], due["settled"], due["closing"]) == (
        True,
        False,
        90,
    )
    await shop.settle()
    done = await report("liability")
    assert (done["settled"], done["closing"], done["expired"]) == (True, 0, 90)
    found = await report("cohorts")
    assert found["cohorts"] == [
        {
            "month": "2026-01-01",
            "issued": 200,
            "redeemed": 60,
            "expired": 90,
            "taken": 0,
            "cancelled": 50,
            "outstanding": 0,
            "redemption_rate": 0.3,
            "breakage_rate": 0.45,
        }
    ]
    assert found["ultimate_redemption"] == 0.4
    # IFRS 15 B42: of each price, the part of the points' stand-alone price in both. A point is worth 10 fen, and half
    # of them are expected to be redeemed: 100 points 500 fen, 10,000 x 500 / 10,500 = 476.19; and half of that for bob.
    deferral = await report("deferral", point_value=10, expected_redemption=0.5)
    [month] = deferral["cohorts"]
    assert (month["price"], month["points"], month["stand_alone"], month["allocated"]) == (15_000, 150, 750, 714)
    # All others have ended, so nothing of either is deferred any more. A period closed before that stays as it was.
    assert (month["redeemed"], month["recognised"], month["deferred"], deferral["basis"]) == (60, 714, 0, "given")
    deferral = await report("deferral", point_value=10, expected_redemption=0.5, to="2026-01-30")
    # Ann redeemed 60 of the 50 that were expected: all of hers is revenue, none of bob's.
    assert [deferral[name] for name in ("allocated", "recognised", "deferred")] == [714, 476, 238]
    measured = await report("deferral", point_value=10)
    assert (measured["basis"], measured["expected_redemption"]) == ("measured", 0.4)


async def test_points_sent_held_and_given_for_completion_are_deferred_too(client, database, tenant):
    shop, ann, bob = await known(client, database, tenant)
    [row] = await shop.rows("SELECT id FROM orders WHERE tenant_id = $1 AND customer_id = $2", tenant.id, bob)
    await shop.transfer(bob, ann, 50)
    await shop.grant(bob, 50, key="completed", order_id=row["id"])
    hold = await shop.hold(bob, 50, until=START + timedelta(days=5))
    shop.clock.advance(timedelta(days=3))
    await shop.post(hold, 25)
    shop.clock.advance(timedelta(days=40))
    await shop.settle()
    found = []
    for end in ("2026-01-03", "2026-01-06", "2026-02-15"):
        params = {"from": "2026-01-01", "to": end, "point_value": 10, "expected_redemption": 1}
        [month] = (await client.get("/v1/loyalty/reports/deferral", params=params)).json()["cohorts"]
        found.append((month["points"], month["redeemed"], month["recognised"]))
    # Ann's 60 of 100 points make 545 of 909. Bob's price of 5,000 is allocated by 100 points, 833: held ones are not
    # redeemed until they are posted, and what he sent is deferred until it ends.
    assert found == [(200, 60, 545), (200, 85, 754), (200, 85, 1742)]


async def test_how_tiers_moved(client, database, tenant):
    ann, bob, _ = [(await client.post("/v1/customers", json={"name": "x"})).json()["id"] for _ in range(3)]
    for who, tier in ((ann, "gold"), (bob, "silver")):
        path = f"/v1/loyalty/accounts/{who}/tier/overrides"
        given = await client.post(path, json={"tier": tier, "ends_at": "2999-01-01T00:00:00Z"})
        assert given.status_code == 201, given.text
    found = (await client.get("/v1/loyalty/reports/tier-migration")).json()
    assert [(each["from_tier"], each["to_tier"], each["customers"]) for each in found["cells"]] == [
        ("none", "gold", 1),
        ("none", "silver", 1),
        ("none", "none", 1),
    ]
    assert (found["customers"], found["upgrades"], found["downgrades"]) == (3, 2, 0)
    assert found["tiers"] == ["gold", "silver", "none"]
    asked = "tierMigration(input: {}) { customers cells { fromTier toTier share } }"
    asked += (
        " loyaltyLiability(input: {}) { opening difference } loyaltyEarnBurn(input: {by: WEEK}) { rows { issued } }"
    )
    answer = (await client.post("/graphql", json={"query": f"{{ {asked} }}"})).json()["data"]
    assert answer["tierMigration"]["cells"][2] == {"fromTier": "none", "toTier": "none", "share": 1 / 3}
    assert answer["loyaltyLiability"] == {"opening": 0, "difference": 0}


async def test_what_became_of_vouchers(client, database, tenant):
    shop = Checkout(client, database, tenant)
    campaign = await shop.campaign("spring")
    codes = await shop.codes(campaign, 4)
    await shop.redeem("o1", codes[0])
    await shop.redeem("o2", codes[1])
    await shop.roll_back("o2")
    await shop.lock("s3", codes[2])
    params = {"from": "2026-01-01", "to": "2999-01-01"}
    [row] = (await client.get("/v1/loyalty/reports/vouchers", params=params)).json()["campaigns"]
    counts = [row[name] for name in ("made", "given", "tried", "redeemed", "uses", "rolled_back", "expired", "void")]
    assert (row["name"], counts, row["redemption_rate"]) == ("spring", [4, 0, 3, 1, 1, 1, 0, 0], 0.25)


async def test_how_many_referrals_were_fraud(client, database, tenant):
    """Of six one was rewarded, one voided for a shared device, one by a person after review; one was not new.

    And one was approved after review, and the order sent back: that is no fraud.
    """
    shop = Shop(database, tenant)
    cases = [
        ("rewarded", None, False, []),
        ("voided", "shared_device", False, ["shared_device", "velocity"]),
        ("voided", "rejected", True, ["shared_device"]),
        ("voided", "order_refunded", True, []),
        ("voided", "existing_customer", False, ["existing_customer"]),
        ("signed_up", None, False, []),
    ]
    made = await client.post("/v1/referral-programmes", json={"name": "x"})
    assert made.status_code == 201, made.text
    programme, referrer = UUID(made.json()["id"]), await shop.customer()
    for state, reason, flagged, findings in cases:
        friend, now = await shop.customer(), shop.clock.now()
        await shop.rows(
            "INSERT INTO referrals (tenant_id, id, programme_id, referrer_id, friend_id, state, state_changed_at, "
            "signed_up_at, terms, findings, void_reason, flagged_at, rewarded_at, order_id) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $7, '{}', $8, $9, $10, $11, $12) RETURNING id",
            tenant.id,
            new_id(),
            programme,
            referrer,
            friend,
            state,
            now,
            [{"code": code} for code in findings],
            reason,
            now if flagged else None,
            now if state == "rewarded" else None,
            new_id() if state == "rewarded" else None,
        )
    found = (await client.get("/v1/loyalty/reports/referrals", params=PERIOD)).json()
    counts = ("signed_up", "rewarded", "voided", "flagged", "fraud", "clawed_back", "fraud_rate", "flagged_rate")
    assert [found[name] for name in counts] == [6, 1, 4, 2, 2, 0, 1 / 3, 1 / 3]
    assert found["findings"] == [
        {"code": "shared_device", "referrals": 2},
        {"code": "existing_customer", "referrals": 1},
        {"code": "velocity", "referrals": 1},
    ]


async def test_a_period_that_cannot_be(client, tenant):
    async def refused(**params):
        answer = await client.get("/v1/loyalty/reports/liability", params=params)
        return answer.status_code, answer.json()["errors"][0]["pointer"], answer.json()["errors"][0]["code"]

    assert await refused(**{"from": "2026-13-01"}) == (422, "/query/from", "invalid_time")
    assert await refused(**{"from": "2026-02-01", "to": "2026-01-01"}) == (422, "/query/to", "wrong_order")
    nothing = {"programme_id": "00000000-0000-7000-8000-000000000000"}
    assert (await client.get("/v1/loyalty/reports/cohorts", params=nothing)).status_code == 404
