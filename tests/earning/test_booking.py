"""What happened is decided once and given to the ledger."""

import asyncio
from datetime import timedelta

import pytest

from crm_api.core.errors import Conflict
from crm_api.core.ids import new_id
from tests.earning.shop import fixed, per_unit, yuan

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

DAY = timedelta(days=1)


async def test_without_rules_the_own_formula_counts_and_nothing_is_kept(shop):
    customer = await shop.customer()
    await shop.order(customer, 258)
    assert await shop.points(customer) == 258
    assert await shop.earnings() == []


async def test_rules_take_its_place_or_come_beside_it(shop):
    customer = await shop.customer()
    double = await shop.rule(per_unit(2))
    await shop.order(customer, 100)
    assert await shop.points(customer) == 200
    await shop.change(double, keeps_base=True)
    await shop.order(customer, 100)
    assert await shop.points(customer) == 500
    [first, second] = await shop.earnings()
    assert [each["name"] for each in first["decisions"]] == ["rule 1"]
    assert [each["rule_id"] for each in second["decisions"]] == [str(double), None]
    assert await shop.points(customer, "qualifying") == 400  # the own formula makes no tiers
    assert await shop.drift() == []


async def test_heard_again_nothing_more_is_given(shop):
    customer = await shop.customer()
    await shop.rule(per_unit(2))
    await shop.rule(fixed(5), "order_completed", keeps_base=True)
    await shop.order(customer, 100, "completed")
    await shop.listen(again=True)
    assert await shop.points(customer) == 205
    assert len(await shop.earnings()) == 2


async def test_a_change_never_rewrites_the_past(shop):
    customer = await shop.customer()
    rule = await shop.rule(per_unit(1))
    before = shop.clock.now()
    shop.clock.advance(DAY)
    await shop.change(rule, formula=per_unit(10))
    # Paid before the change, heard of after it.
    await shop.order(customer, 100, placed_at=before)
    assert await shop.points(customer) == 100
    await shop.order(customer, 100)
    assert await shop.points(customer) == 1100
    shop.clock.advance(DAY)
    await shop.archive(rule)
    await shop.order(customer, 100)
    assert await shop.points(customer) == 1200  # the own formula again


async def test_refunds_take_back_exactly_what_rules_gave(shop):
    customer = await shop.customer()
    await shop.rule(per_unit(3, per=7))
    order = await shop.order(customer, 100)
    assert await shop.points(customer) == 42
    for amount in (33, 33, 34):
        await shop.pay_back(order, amount)
    assert await shop.points(customer) == 0
    assert await shop.points(customer, "qualifying") == 0
    assert await shop.drift() == []


async def test_completed_orders_earn_when_they_are_and_lose_by_refunds(shop):
    customer = await shop.customer()
    await shop.rule(fixed(100), "order_completed", keeps_base=True)
    order = await shop.order(customer, 50, number=1)
    assert await shop.points(customer) == 50
    await shop.order(customer, 50, "completed", number=1)
    assert await shop.points(customer) == 150
    await shop.pay_back(order, 20)
    assert await shop.points(customer) == 90  # 60 % of 50 and of 100
    await shop.pay_back(order, 30)
    assert await shop.points(customer) == 0
    [earning] = [each for each in await shop.earnings() if each["trigger"] == "order_completed"]
    assert (earning["points"], earning["taken_back"], earning["qualifying_taken_back"]) == (100, 100, 100)


async def test_conditions_look_at_customer_order_and_lines(shop):
    here, there = await shop.customer(), await shop.customer()
    await shop.rows("UPDATE customers SET city = '上海' WHERE id = $1", here)
    await shop.rule(
        per_unit(2),
        customer={"field": "city", "op": "eq", "value": "上海"},
        order={"field": "total", "op": "gte", "value": yuan(100)},
        lines={"field": "category", "op": "starts_with", "value": "海鲜"},
    )
    lines = [("海鲜/虾", 60, 2), ("水果", 60, 1)]
    await shop.order(here, 120, lines=lines)
    assert await shop.points(here) == 120  # half of what was paid, twice
    await shop.order(here, 90, lines=lines)
    await shop.order(there, 120, lines=lines)
    await shop.order(here, 100, lines=[("水果", 100, 1)])
    assert (await shop.points(here), await shop.points(there)) == (120, 0)
    reasons = [each["decisions"][0]["reason"] for each in await shop.earnings()]
    assert sorted(filter(None, reasons)) == ["customer_not_matched", "no_line_matched", "order_not_matched"]


@pytest.mark.parametrize(("caps", "given"), [({"per_day": 150}, 150), ({"per_order": 60}, 240), ({"budget": 130}, 130)])
async def test_caps_hold_over_many_orders(shop, caps, given):
    customer = await shop.customer()
    await shop.rule(per_unit(1), caps=caps)
    for _ in range(4):
        await shop.order(customer, 100)
    assert await shop.points(customer) == given


async def test_limits_are_over_all_rules_and_a_new_day_frees_them(shop):
    customer = await shop.customer()
    await shop.limit(per_day=120)
    await shop.rule(fixed(70), priority=1, keeps_base=True)
    await shop.order(customer, 100)
    assert await shop.points(customer) == 120
    [earning] = await shop.earnings()
    assert earning["decisions"][1]["points"] == 50
    assert earning["decisions"][1]["capped_by"] == [{"by": "per_day", "scope": "programme", "limit": 120, "used": 70}]
    shop.clock.advance(DAY)
    await shop.order(customer, 100)
    assert await shop.points(customer) == 240


async def test_caps_are_exact_under_parallel_use(shop):
    customers = [await shop.customer() for _ in range(3)]
    rule = await shop.rule(fixed(10), "survey", caps={"per_life": 35, "budget": 77})

    async def tell(number):
        await shop.tell(customers[number % 3], reference=f"answer-{number}")

    await asyncio.gather(*(tell(number) for number in range(18)))
    points = [await shop.points(each) for each in customers]
    assert sum(points) == 77
    assert max(points) <= 35
    [budget] = await shop.rows("SELECT used FROM earning_budgets WHERE scope_id = $1", rule)
    assert budget["used"] == 77
    assert await shop.drift() == []


async def test_the_same_occasion_told_at_once_earns_once(shop):
    customer = await shop.customer()
    await shop.rule(fixed(10), "referral")
    ids = await asyncio.gather(*(shop.tell(customer, "referral") for _ in range(6)))
    assert len(set(ids)) == 1
    assert await shop.points(customer) == 10
    with pytest.raises(Conflict, match="another customer"):
        await shop.tell(await shop.customer(), "referral")


async def test_nobody_listens(shop):
    customer = await shop.customer()
    with pytest.raises(Conflict) as refused:
        await shop.tell(customer)
    assert refused.value.code == "no_rule"
    assert await shop.earnings() == []


async def test_a_compensation_counts_its_amount(shop):
    customer = await shop.customer()
    await shop.rule(per_unit(5), "compensation")
    await shop.tell(customer, "compensation", amount=yuan(12))
    assert await shop.points(customer) == 60


async def test_new_customers_and_events_earn(shop):
    await shop.rule(fixed(20), "sign_up")
    await shop.rule(fixed(3), "event", event_type="share", event={"field": "sku", "op": "eq", "value": "A"})
    customer = await shop.customer()
    shop.clock.advance(timedelta(minutes=5))
    event = (
        "INSERT INTO events (tenant_id, id, type, occurred_at, customer_id, stated, sku) "
        "VALUES ($1, $2, $3, $4, $5, true, $6)"
    )
    for kind, sku in (("share", "A"), ("share", "B"), ("like", "A")):
        await shop.rows(event, shop.tenant.id, new_id(), kind, shop.clock.now(), customer, sku)

    async def told(unit):
        unit.emit("customer.created", customer, {})
        unit.emit("events.recorded", new_id(), {"customer_ids": [str(customer)]})

    await shop.run(told)
    await shop.listen()
    await shop.listen(again=True)
    assert await shop.points(customer) == 23
    assert sorted((each["trigger"], each["points"]) for each in await shop.earnings()) == [
        ("event", 0),
        ("event", 3),
        ("sign_up", 20),
    ]


async def test_parts_of_a_payment_count_as_the_rule_says(shop):
    customer = await shop.customer()
    parts = {"shipping": yuan(10), "tax": yuan(13), "paid_by_points": yuan(20), "paid_by_vouchers": yuan(30)}
    rule = await shop.rule(per_unit(1))
    await shop.order(customer, 200, **parts)
    assert await shop.points(customer) == 140  # without delivery and what points and vouchers paid
    await shop.change(rule, counts={"tax": False, "points": True})
    await shop.order(customer, 200, **parts)
    assert await shop.points(customer) == 140 + 147


async def test_tiers_multiply(shop):
    """The retail preset's silver begins with the third paid order and earns 1.1 times."""
    customer = await shop.customer()
    await shop.rule({"kind": "tier_multiplier", "share": "extra"}, keeps_base=True)
    earned = []
    for _ in range(5):
        before = await shop.points(customer)
        await shop.order(customer, 100)
        earned.append(await shop.points(customer) - before)
        shop.clock.advance(timedelta(hours=1))
    # Nobody has told the tiers; the third order makes silver and does not yet earn with it.
    assert earned == [100, 100, 100, 110, 110]
    await shop.listen(again=True)
    assert await shop.points(customer) == 520


async def test_paid_in_parts(shop):
    """Of a deposit and the rest it earns what the whole does: fixed points once, and caps count it once."""
    customer = await shop.customer()
    rule = await shop.rule(per_unit(1), caps={"per_day": 150})
    await shop.rule(fixed(7))
    first = await shop.order(customer, 100, number=1)
    assert await shop.points(customer) == 107
    await shop.order(customer, 130, number=1)
    assert await shop.points(customer) == 137
    await shop.pay_back(first, 13)
    assert await shop.points(customer) == 137 - 137 * 13 // 130
    await shop.order(customer, 1000, number=1)
    await shop.order(customer, 50, number=2)
    assert await shop.points(customer) == 157 - 157 * 13 // 1000 + 7
    await shop.listen(again=True)
    [one, two] = await shop.earnings()
    assert (one["points"], two["points"]) == (157, 7)
    used = await shop.rows("SELECT sum(points) FROM earning_awards WHERE rule_id = $1", rule)
    assert used[0][0] == 150
    assert await shop.drift() == []


async def test_an_order_that_turns_out_to_be_somebody_elses(shop):
    """A guest's order is a member's: what is left of its points goes along, whether or not the guest has spent them."""
    guest, member = await shop.customer(), await shop.customer()
    await shop.rule(per_unit(1), gives="both", caps={"per_life": 500})
    await shop.rule(fixed(20), "order_completed", keeps_base=True)
    order = await shop.order(guest, 300, "completed", number=1)
    await shop.redeem(guest, 250)
    await shop.pay_back(order, 100)
    await shop.order(member, 300, "completed", number=1, refunded=yuan(100))
    await shop.listen(again=True)
    left = 300 - 100 + 20 - 6
    assert [await shop.points(each) for each in (guest, member)] == [-250, left]
    assert [await shop.points(each, "qualifying") for each in (guest, member)] == [0, left]
    assert {each["customer_id"] for each in await shop.earnings()} == {member}
    # The refunds that follow are the member's.
    await shop.pay_back(order, 200)
    assert [await shop.points(each) for each in (guest, member)] == [-250, 0]
    await shop.order(member, 600)
    assert await shop.points(member) == 200  # the first order used 300 of the cap
    assert await shop.drift() == []


async def test_an_order_that_cost_nothing_keeps_its_points_until_it_is_cancelled(shop):
    customer = await shop.customer()
    await shop.rule(fixed(5))
    await shop.order(customer, 0, number=9)
    assert await shop.points(customer) == 5
    await shop.order(customer, 0, "cancelled", number=9)
    assert await shop.points(customer) == 0
    assert await shop.drift() == []


async def test_wallets_are_locked_in_the_order_everybody_keeps(shop):
    """Whoever waits for the first of a customer's wallets holds no other of them."""
    customer = await shop.customer()
    await shop.grant(customer, 1, kind="qualifying")  # has the smaller id
    await shop.rule(fixed(5), "survey", gives="both")
    await shop.tell(customer, reference="before")
    lock = (
        "SELECT id FROM loyalty_wallets WHERE customer_id = $1 ORDER BY id LIMIT 1 OFFSET {} FOR NO KEY UPDATE NOWAIT"
    )
    async with shop.database.write(shop.tenant.actor) as unit:
        await unit.connection.fetch(lock.format(0), customer)
        other = asyncio.create_task(shop.tell(customer, reference="now"))
        await asyncio.sleep(0.5)
        assert not other.done()
        assert len(await unit.connection.fetch(lock.format(1), customer)) == 1
    await other
    assert await shop.points(customer) == 10
