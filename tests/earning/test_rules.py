"""The arithmetic: formulae, stacking, caps, calendar."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api.earning import rules
from crm_api.earning.rules import Base, Counts, Decision, Formula, Matched, Occasion, Terms, Version
from crm_api.earning.subjects import birthday_year

NOON = datetime(2026, 11, 11, 4, tzinfo=UTC)
CHINA = ZoneInfo("Asia/Shanghai")
OWN = Base("CNY", Fraction(1), "floor", CHINA)
BUYER = uuid4()


def terms(kind="fixed", number=1, **more):
    formula = Formula(kind, **{name: more.pop(name) for name in list(more) if name in Formula.__slots__})
    return Terms(UUID(int=number), 1, f"rule {number}", "order_paid", formula, **more)


def sale(paid=10_000, **more):
    return Occasion(BUYER, NOON, "CNY", paid, **more)


def decided(*pairs, occasion=None, limits=None, used=None):
    listed = [pair if isinstance(pair, tuple) else (pair, Matched(quantity=1)) for pair in pairs]
    return rules.decide(listed, occasion or sale(), OWN, {} if used is None else used, limits or {})


@pytest.mark.parametrize(
    ("rule", "matched", "points"),
    [
        (terms("fixed", points=7), Matched(), 7),
        (terms("per_unit", points=1, per=3), Matched(), 33),
        (terms("per_unit", points=10, per=30, whole_steps=True), Matched(), 30),
        (terms("per_item", points=4), Matched(amount=1, quantity=3), 12),
        (terms("percent", percent=50), Matched(), 50),
        (terms("tier_multiplier", share="extra"), Matched(), 50),
        (terms("tier_multiplier", share="whole"), Matched(), 150),
        (terms("per_unit", points=2), Matched(amount=2_500, quantity=1), 50),  # a quarter of the lines
    ],
)
def test_formulae(rule, matched, points):
    occasion = sale(lines_amount=10_000, multiplier=Fraction(3, 2))
    [decision] = decided((rule, matched), occasion=occasion)
    assert (decision.outcome, decision.points) == ("earned", points)


def test_large_orders_earn_as_without_rules():
    base = Base("CNY", Fraction(10**4), "floor", CHINA)  # a programme of scale 4
    own = rules.weigh(rules.base_terms("order_paid"), sale(200_000_00), Matched(), base)
    assert (own.outcome, own.points) == ("earned", 2 * 10**9)
    assert base.rounded(Fraction(10**13)) == 10**12


def test_what_counts_is_switchable():
    occasion = sale(10_000, shipping=1_000, tax=500, by_points=2_000, by_vouchers=300)
    plain = {"shipping": False, "tax": True, "points": False, "vouchers": False}
    counted = {name: occasion.counted(Counts(**{**plain, name: not plain[name]})) for name in plain}
    assert occasion.counted(Counts()) == 6_700
    assert counted == {"shipping": 7_700, "tax": 6_200, "points": 8_700, "vouchers": 7_000}


def test_delivery_belongs_to_no_line():
    counts = Counts(shipping=True)
    occasion = sale(10_000, shipping=2_000, lines_amount=8_000)
    assert rules.eligible(terms(counts=counts), occasion, Matched()) == 100
    assert rules.eligible(terms(counts=counts), occasion, Matched(amount=4_000, quantity=1)) == 40


def test_money_of_another_currency_counts_not_and_fixed_points_do():
    occasion = replace(sale(), currency="USD")
    by_money, fixed = decided(terms("per_unit", points=1), terms("fixed", 2, points=5), occasion=occasion)
    assert (by_money.outcome, by_money.reason) == ("not_matched", "other_currency")
    assert fixed.points == 5


def test_an_exclusive_rule_stands_alone():
    first, second, third = decided(
        terms("fixed", 1, points=50),
        terms("fixed", 2, points=5, stacking="exclusive", priority=1),
        terms("fixed", 3, points=9, stacking="exclusive"),
    )
    assert [each.terms.rule_id.int for each in (first, second, third)] == [2, 1, 3]
    assert [each.points for each in (first, second, third)] == [5, 0, 0]
    assert second.beaten_by == third.beaten_by == UUID(int=2)


def test_the_best_of_a_group_counts_beside_additive_ones():
    low = terms("fixed", 1, points=5, stacking="best_of")
    high = terms("fixed", 2, points=8, stacking="best_of")
    equal = terms("fixed", 3, points=8, stacking="best_of")
    other = terms("fixed", 4, points=1, stacking="best_of", stacking_group="other")
    beside = terms("fixed", 5, points=2)
    assert {each.terms.rule_id.int: each.points for each in decided(low, high, equal, other, beside)} == {
        1: 0,
        2: 8,
        3: 0,
        4: 1,
        5: 2,
    }


def test_a_rule_that_gives_nothing_excludes_nobody():
    nothing, other = decided(
        (terms("per_item", 1, points=1, stacking="exclusive", priority=1), Matched()), terms("fixed", 2, points=5)
    )
    assert (nothing.outcome, nothing.reason, other.points) == ("nothing", "gives_nothing", 5)


def test_caps_of_the_rule_then_of_the_programme():
    used = {}
    rule = terms("fixed", points=100, caps={"per_day": 80})
    both = [decided(rule, limits={"per_order": 70}, used=used)[0] for _ in range(2)]
    assert [each.points for each in both] == [70, 10]
    assert [(cap.by, cap.scope, cap.used) for cap in both[0].capped] == [
        ("per_day", "rule", 0),
        ("per_order", "programme", 0),
    ]
    assert decided(rule, used=used)[0].outcome == "capped"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 500),
            st.sampled_from(["additive", "exclusive", "best_of"]),
            st.integers(0, 3),
            st.dictionaries(st.sampled_from(["per_order", "per_day", "per_life", "budget"]), st.integers(0, 300)),
        ),
        max_size=5,
    ),
    st.dictionaries(st.sampled_from(["per_order", "per_week", "budget"]), st.integers(0, 400)),
    st.integers(1, 4),
)
def test_no_cap_is_ever_passed_and_nobody_gets_more_than_the_formula(drawn, limits, times):
    made = [
        terms("fixed", number, points=points, stacking=stacking, priority=priority, caps=caps)
        for number, (points, stacking, priority, caps) in enumerate(drawn, 1)
        if points
    ]
    used, total = {}, 0
    for _ in range(times):
        decisions = decided(*made, limits=limits, used=used)
        given_now = sum(each.points for each in decisions)
        total += given_now
        assert all(0 <= each.points <= each.before_caps for each in decisions)
        assert given_now <= limits.get("per_order", given_now)
        for each in decisions:
            assert each.points <= each.terms.caps.get("per_order", each.points)
    assert total <= min((limits[name] for name in ("per_week", "budget") if name in limits), default=total)
    caps = {each.rule_id: each.caps for each in made}
    for allowance, points in used.items():
        assert points <= (caps[allowance.rule_id] if allowance.rule_id else limits)[allowance.cap]


def test_days_weeks_and_months_are_the_programmes():
    late = datetime(2026, 11, 29, 16, 30, tzinfo=UTC)  # half past midnight on Monday 30 November in China
    day, week, month = (rules.period_of(name, late, CHINA) for name in ("day", "week", "month"))
    monday = datetime(2026, 11, 29, 16, tzinfo=UTC)
    assert day == (monday, monday + timedelta(days=1))
    assert week == (monday, monday + timedelta(days=7))
    assert month == (datetime(2026, 10, 31, 16, tzinfo=UTC), datetime(2026, 11, 30, 16, tzinfo=UTC))


def test_what_happened_earns_by_the_version_of_its_moment():
    first, second = terms("fixed", points=1), replace(terms("fixed", points=2), revision=2)
    gone = replace(second, revision=3)
    hour = timedelta(hours=1)
    versions = [
        Version(gone, "archived", NOON + 2 * hour),
        Version(first, "active", NOON),
        Version(second, "active", NOON + hour),
    ]
    found = [
        [each.formula.points for each in rules.in_force(versions, NOON + hours * hour)] for hours in (-0.5, 0, 1, 2)
    ]
    assert found == [[], [1], [2], []]


def test_validity_ends_before_its_end():
    valid = replace(terms("fixed", points=1), starts_at=NOON, ends_at=NOON + timedelta(days=1))
    moments = (NOON - timedelta(seconds=1), NOON, NOON + timedelta(days=1))
    assert [valid.holds_at(each) for each in moments] == [False, True, False]


@given(st.integers(0, 10_000), st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_any_split_of_a_refund_takes_back_all(granted, parts):
    paid, refunded, back = sum(parts), 0, 0
    for part in parts:
        refunded += part
        total = rules.share_taken_back(granted, paid, refunded, cancelled=False)
        assert back <= total <= granted
        back = total
    assert back == granted


def test_a_free_order_keeps_its_points_until_it_is_cancelled():
    assert rules.share_taken_back(5, 0, 0, cancelled=False) == 0
    assert rules.share_taken_back(5, 0, 0, cancelled=True) == 5


def test_a_lunar_birthday_belongs_to_its_lunar_year():
    day = datetime(2026, 1, 13, tzinfo=UTC).date()  # 25th of the 11th month of the lunar year 2025
    assert (birthday_year(day, lunar=True), birthday_year(day, lunar=False)) == ("2025", "2026")


def test_qualifying_points_are_their_own():
    both, tiers, spend = (
        Decision(terms("fixed", gives=gives), "earned", points=3) for gives in ("both", "qualifying", "spendable")
    )
    assert rules.totals([both, tiers, spend]) == (6, 6)
