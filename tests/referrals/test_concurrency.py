"""Many workers, clients and merges at once, over real connections: each side is rewarded exactly once."""

import asyncio

import pytest
import pytest_asyncio

from crm_api.core.errors import Conflict
from crm_api.db.pool import Database
from crm_api.referrals.jobs import settle_tenant
from crm_api.referrals.service import ReferralService

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest_asyncio.fixture
async def others(shop, settings):
    """Workers of their own, on pools of their own."""
    opened = [await Database.open(settings) for _ in range(3)]
    for each in opened:
        each.clock = shop.clock
    yield opened
    for each in opened:
        await each.close()


async def test_parallel_workers_reward_once_and_keep_the_cap(shop, others):
    programme = await shop.programme(window_days=0, cap_count=3, velocity_limit=100)
    referrer = await shop.customer()
    code = await shop.code(programme, referrer)
    friends = [await shop.customer() for _ in range(8)]
    referrals = [await shop.sign_up(code, each) for each in friends]
    for each in friends:
        await shop.order(each)
    await shop.hear()
    await asyncio.gather(*(settle_tenant(each, shop.tenant.id) for each in [shop.database, *others]))
    states = [await shop.state(each) for each in referrals]
    assert (states.count("rewarded"), states.count("flagged")) == (3, 5)
    assert await shop.points(referrer) == 3 * 200
    assert sum([await shop.points(each) for each in friends]) == 3 * 100


async def test_the_same_pair_both_ways_meets_no_deadlock(shop, others):
    """Rewards of A for B and of B for A, while both are voided and settled by four workers."""
    programmes = [await shop.programme(name=name, window_days=0, checks={"cycle": "off"}) for name in ("a", "b")]
    one, other = await shop.customer(), await shop.customer()
    referrals = [
        await shop.sign_up(await shop.code(programmes[0], one), other),
        await shop.sign_up(await shop.code(programmes[1], other), one),
    ]
    orders = [await shop.order(each) for each in (one, other)]
    await shop.hear()
    workers = [shop.database, *others]
    await asyncio.gather(*(settle_tenant(each, shop.tenant.id) for each in workers))
    assert [await shop.points(each) for each in (one, other)] == [300, 300]
    for each in orders:
        await shop.refund(each, 150_00)
    told = await shop.messages()
    await asyncio.gather(
        *(settle_tenant(each, shop.tenant.id) for each in workers), *(shop.hear(told) for _ in range(2))
    )
    await shop.settle()
    assert [await shop.state(each) for each in referrals] == ["voided: order_refunded"] * 2
    assert [await shop.points(each) for each in (one, other)] == [0, 0]


async def test_a_friend_comes_once(shop, others):
    programme = await shop.programme()
    codes = [await shop.code(programme, await shop.customer()) for _ in range(4)]
    friend = await shop.customer()
    done = await asyncio.gather(*(shop.sign_up(code, friend) for code in codes), return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in done) == 3
    rows = await shop.rows("SELECT FROM referrals WHERE tenant_id = $1", shop.tenant.id)
    assert len(rows) == 1


async def test_settled_while_the_two_are_merged(shop, others):
    """Whoever is first: a referral of one person with themselves ends without points."""
    for _ in range(2):
        programme = await shop.programme(name=str(len(shop.heard)), window_days=0)
        referrer, friend, referral = await shop.pair(programme)
        await shop.order(friend)
        await shop.hear()

        async def settle(unit, referral=referral):
            await ReferralService(unit).settle(referral)

        settling = [each.run(shop.tenant.actor, settle) for each in others[:2]]
        await asyncio.gather(shop.merge(referrer, friend), *settling)
        await shop.settle()
        assert (await shop.state(referral), await shop.points(referrer)) == ("voided: self", 0)
