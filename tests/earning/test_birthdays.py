"""Birthdays, solar and lunar, once a year; customers who become one."""

from datetime import UTC, datetime, timedelta

import pytest

from crm_api.earning.jobs import birthdays_of
from crm_api.merges.service import MergeService
from tests.earning.shop import fixed

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

DAY = timedelta(days=1)


async def born(shop, month, day, calendar="solar", *, leap=False):
    customer = await shop.customer()
    await shop.rows(
        "UPDATE customers SET birth_calendar = $2, birth_month = $3, birth_day = $4, birth_leap_month = $5 "
        "WHERE id = $1",
        customer,
        calendar,
        month,
        day,
        leap if calendar == "lunar" else None,
    )
    return customer


async def night(shop, moment):
    """Let the schedule run at a moment, twice."""
    shop.clock.instant = moment
    for _ in range(2):
        await birthdays_of(shop.database, shop.tenant.id)


async def test_solar_and_lunar_birthdays_earn_once_a_year(shop):
    await shop.rule(fixed(88), "birthday")
    solar, leap_day = await born(shop, 2, 28), await born(shop, 2, 29)
    lunar = await born(shop, 1, 12, "lunar")  # 28 February 2026
    other = await born(shop, 3, 1)
    await night(shop, datetime(2026, 2, 27, 17, tzinfo=UTC))  # one o'clock on the 28th in China
    assert [await shop.points(each) for each in (solar, leap_day, lunar, other)] == [88, 88, 88, 0]
    await night(shop, datetime(2026, 3, 1, 2, tzinfo=UTC))
    assert [await shop.points(each) for each in (solar, leap_day, lunar, other)] == [88, 88, 88, 88]
    # A year on: the lunar one comes on 17 February.
    await night(shop, datetime(2027, 2, 18, 2, tzinfo=UTC))
    assert [await shop.points(each) for each in (solar, lunar)] == [88, 176]


async def test_days_a_worker_was_away_are_made_up_for(shop):
    await shop.rule(fixed(10), "birthday")
    missed = await born(shop, 1, 5)
    await night(shop, datetime(2026, 1, 3, 4, tzinfo=UTC))
    await night(shop, datetime(2026, 1, 7, 4, tzinfo=UTC))
    assert await shop.points(missed) == 10
    days = await shop.rows("SELECT day FROM earning_days WHERE tenant_id = $1 ORDER BY day", shop.tenant.id)
    assert [row["day"].day for row in days] == [3, 4, 5, 6, 7]


async def test_without_a_rule_nothing_is_looked_at(shop):
    await born(shop, 1, 1)
    await night(shop, datetime(2026, 1, 1, 4, tzinfo=UTC))
    assert await shop.rows("SELECT day FROM earning_days WHERE tenant_id = $1", shop.tenant.id) == []
    assert await shop.earnings() == []


async def test_who_was_merged_has_had_it(shop):
    await shop.rule(fixed(10), "birthday", caps={"per_life": 15})
    first, second = await born(shop, 1, 5), await born(shop, 1, 6)
    await night(shop, datetime(2026, 1, 5, 4, tzinfo=UTC))
    await shop.run(lambda unit: MergeService(unit).merge(second, [first]))
    await night(shop, datetime(2026, 1, 6, 4, tzinfo=UTC))
    assert await shop.points(second) == 10
    # Next year the cap counts what the other one had.
    await night(shop, datetime(2027, 1, 6, 4, tzinfo=UTC))
    assert await shop.points(second) == 15
