"""The arithmetic of vouchers, their codes, and the states of a use: no database."""

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.vouchers import codes
from crm_api.vouchers.reasons import REASONS
from crm_api.vouchers.rules import (
    KINDS,
    STEPS,
    Candidate,
    Cart,
    CartLine,
    Offer,
    next_state,
    room,
    settle,
    spread,
)

SKUS = ("a", "b", "c")
CATEGORIES = (None, "sea", "sea/shrimp", "land")
few = st.sampled_from(SKUS)
some_skus = st.frozensets(few, max_size=2)
some_categories = st.frozensets(st.sampled_from(CATEGORIES[1:]), max_size=2)
lines = st.builds(CartLine, few, st.integers(1, 5), st.integers(0, 10_000), st.sampled_from(CATEGORIES))
carts = st.builds(
    Cart, st.just("CNY"), st.lists(lines, min_size=1, max_size=5).map(tuple), st.none() | st.integers(0, 3000)
)
offers = st.builds(
    Offer,
    campaign=st.sampled_from("xyz"),
    kind=st.sampled_from(KINDS),
    currency=st.sampled_from((None, "CNY")),
    amount_off=st.integers(1, 20_000),
    basis_points=st.integers(1, 10_000),
    max_discount=st.none() | st.integers(1, 5000),
    gift_sku=few,
    gift_quantity=st.integers(1, 3),
    skus=some_skus,
    categories=some_categories,
    excluded_skus=some_skus,
    excluded_categories=some_categories,
    min_amount=st.none() | st.integers(0, 20_000),
    min_quantity=st.none() | st.integers(1, 6),
    priority=st.integers(0, 2),
    exclusive=st.booleans(),
    group=st.sampled_from((None, None, "g")),
)
candidates = st.lists(
    st.builds(
        Candidate,
        st.sampled_from("ABCDEF"),
        offers,
        st.sampled_from((None, None, None, "expired")),
        st.none() | st.integers(0, 2),
        st.none() | st.integers(0, 2),
    ),
    max_size=5,
    unique_by=lambda each: each.code,
)


@settings(max_examples=150, deadline=None)
@given(carts, candidates)
def test_no_line_and_no_freight_falls_below_nothing(cart, wanted):
    found = settle(cart, wanted)
    for index, line in enumerate(cart.lines):
        off = [each.line_discounts[index] for each in found if each.verdict == "applicable"]
        assert min(off, default=0) >= 0
        assert sum(off) <= line.amount
    assert 0 <= sum(each.shipping_discount for each in found) <= (cart.shipping or 0)
    assert sum(each.discount for each in found) <= cart.total
    for each, candidate in zip(found, wanted, strict=True):
        limit = candidate.offer.max_discount
        assert limit is None or each.discount <= limit
        assert (each.reason is None) == (each.verdict == "applicable") == (each.position > 0)
        assert each.reason is None or each.reason in REASONS


@settings(max_examples=60, deadline=None)
@given(carts, candidates, st.randoms(use_true_random=False))
def test_the_order_of_the_request_plays_no_part(cart, wanted, random):
    found = dict(zip((each.code for each in wanted), settle(cart, wanted), strict=True))
    turned = random.sample(wanted, len(wanted))
    assert dict(zip((each.code for each in turned), settle(cart, turned), strict=True)) == found


@settings(max_examples=60, deadline=None)
@given(carts, candidates)
def test_exclusive_groups_and_limits_hold(cart, wanted):
    pairs = zip(wanted, settle(cart, wanted), strict=True)
    applied = [each for each, outcome in pairs if outcome.verdict == "applicable"]
    assert len(applied) <= 1 or not any(each.offer.exclusive for each in applied)
    groups = [each.offer.group for each in applied if each.offer.group]
    assert len(groups) == len(set(groups))
    for each in applied:
        same = sum(other.offer.campaign == each.offer.campaign for other in applied)
        rooms = [room for room in (each.total_room, each.customer_room) if room is not None]
        assert not rooms or min(rooms) > 0
        assert len({other.total_room for other in applied}) > 1 or each.total_room is None or same <= each.total_room


@given(st.lists(st.integers(0, 10**15), max_size=8), st.integers(0, 100))
def test_a_spread_sums_to_the_whole(bases, percent):
    amount = sum(bases) * percent // 100
    parts = spread(amount, bases)
    assert sum(parts) == amount
    assert all(0 <= part <= base for part, base in zip(parts, bases, strict=True))


def test_the_order_of_kinds_and_rounding():
    cart = Cart("CNY", (CartLine("a", 1, 999), CartLine("b", 3, 333)), 500)
    wanted = [
        Candidate("P", Offer("p", "percent", basis_points=1500)),
        Candidate("S", Offer("s", "free_shipping")),
        Candidate("A", Offer("a", "amount", "CNY", amount_off=100)),
        Candidate("G", Offer("g", "gift", gift_sku="b", gift_quantity=2)),
    ]
    expected = {
        "G": (1, (0, 666), 0),
        "A": (2, (75, 25), 0),  # 100 over 999 and 333
        "P": (3, (138, 46), 0),  # 15 % of 924 + 308, rounded down, over the two
        "S": (4, (0, 0), 500),
    }
    for turned in permutations(wanted):
        found = settle(cart, turned)
        assert {
            each.code: (outcome.position, outcome.line_discounts, outcome.shipping_discount)
            for each, outcome in zip(turned, found, strict=True)
        } == expected


def test_a_gift_that_is_not_in_the_cart_applies_and_one_that_is_free_already_does_not():
    absent = settle(Cart("CNY", (CartLine("a", 1, 100),)), [Candidate("G", Offer("g", "gift", gift_sku="z"))])
    assert (absent[0].verdict, absent[0].discount) == ("applicable", 0)
    twice = [Candidate(code, Offer(code, "gift", gift_sku="a")) for code in "GH"]
    found = settle(Cart("CNY", (CartLine("a", 1, 100),)), twice)
    assert [each.reason for each in found] == [None, "nothing_left"]


class TestStates:
    def test_only_the_listed_steps_are_possible(self):
        states = (None, "locked", "redeemed", "rolled_back", "released", "lapsed")
        steps = ("lock", "redeem", "release", "lapse", "roll_back")
        possible = {(state, step) for state, step in product(states, steps) if next_state(state, step) is not None}
        assert possible == STEPS.keys()
        over = {"rolled_back", "released", "lapsed"}
        assert all(state not in over for state, _ in possible), "what is over stays over"

    @pytest.mark.parametrize(("limit", "taken", "left"), [(None, 9, None), (3, 1, 2), (3, 5, 0)])
    def test_room(self, limit, taken, left):
        assert room(limit, taken) == left


class TestCodes:
    def test_they_are_sound_and_differ(self):
        made = {codes.generate("SPRNG", 13) for _ in range(2000)}
        assert len(made) == 2000
        assert all(codes.is_sound(code) and code.startswith("SPRNG") and len(code) == 18 for code in made)
        assert set("".join(made)) == set(codes.ALPHABET)
        assert not set("01ILO") & set(codes.ALPHABET)

    @settings(max_examples=30)
    @given(st.text(codes.ALPHABET, min_size=11, max_size=29))
    def test_every_slip_is_noticed(self, text):
        code = codes.with_check(text)
        assert codes.is_sound(code)
        for place, character in enumerate(code):
            others = [code[:place] + other + code[place + 1 :] for other in codes.ALPHABET if other != character]
            assert not any(codes.is_sound(other) for other in others)
        for first, second in product(range(len(code)), repeat=2):
            if code[first] != code[second]:
                swapped = list(code)
                swapped[first], swapped[second] = swapped[second], swapped[first]
                assert not codes.is_sound("".join(swapped))

    @pytest.mark.parametrize(
        "written",
        ["8XQ7BZWQ9FN3D", "8xq7-bzwq-9fn3-d", " 8xq7 bzwq 9fn3 d ", "８ＸＱ７–bzwq·9fn3_d", "8xq7bzwq9fn3d\u3000"],
    )
    def test_however_it_is_typed(self, written):
        assert codes.canonical(written) == "8XQ7BZWQ9FN3D"
        assert codes.is_possible(codes.canonical(written))

    @pytest.mark.parametrize(
        "code", ["", "AB", "8XQ7BZWQ9FN3E", "8XQ7BZWQ9FN0D", "A?C", "A" * 31, "双十一双十一双十一双十一"]
    )
    def test_what_cannot_be_a_code(self, code):
        assert not codes.is_possible(code)

    @pytest.mark.parametrize("code", ["SPRING10", "双十一", "0OIL"])
    def test_what_may_be_a_shared_code(self, code):
        assert codes.is_possible(code)
