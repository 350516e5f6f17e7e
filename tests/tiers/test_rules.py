"""The tier as a pure function: against an oracle that goes day by day, and examples that say what is meant."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.tiers.rules import Fact, History, Override, Rules, Tier, Version
from crm_api.tiers.walking import stand
from tests.tiers.oracle import Oracle, at_end_of

CODES = ("bronze", "silver", "gold", "jade")
BERLIN = ZoneInfo("Europe/Berlin")
"""A zone whose clocks change."""
BEGIN = date(2024, 1, 31)


def scheme(*thresholds, **values):
    """Return rules over orders' money."""
    tiers = tuple(
        Tier(level, code, threshold, Decimal(1), {"en": code, "zh": code})
        for level, (code, threshold) in enumerate(zip(CODES, thresholds, strict=False), start=1)
    )
    given = {"metric": "net_spend", "currency": "EUR", "time_zone": "Europe/Berlin", **values}
    return Rules(tiers=tiers, **{"window": "rolling", "at_expiry": "to_qualified", **given})


def noon(day):
    """Return noon in Berlin."""
    return datetime.combine(day, time(12), BERLIN).astimezone(UTC)


def spent(*purchases, known_since=BEGIN):
    """Return a history of (day, amount)."""
    return History(noon(known_since), tuple(Fact("order", noon(day), value, "EUR") for day, value in purchases))


def by_hand(number, code, mode, first, end):
    """Return an override of whole days."""
    starts, ends = (datetime.combine(each, time(), BERLIN).astimezone(UTC) for each in (first, end))
    return Override(UUID(int=number), code, mode, starts, ends)


DAYS = st.integers(0, 1300).map(lambda days: BEGIN + timedelta(days=days))
PURCHASES = st.lists(st.tuples(DAYS, st.integers(1, 120)), max_size=12).map(sorted)
RULES = st.builds(
    lambda window, steps, values: scheme(*[sum(steps[: n + 1]) for n in range(len(steps))], window=window, **values),
    st.sampled_from(["rolling", "calendar", "anniversary", "lifetime"]),
    st.lists(st.integers(1, 80), min_size=1, max_size=4).flatmap(
        lambda steps: st.sampled_from([steps, [0, *steps[:3]]])
    ),
    st.fixed_dictionaries(
        {
            "at_expiry": st.sampled_from(["one_down", "to_qualified", "real_time"]),
            "window_months": st.sampled_from([1, 3, 6, 12]),
            "start_month": st.integers(1, 12),
            "valid_months": st.sampled_from([1, 5, 12]),
            "valid_periods": st.integers(1, 2),
            "grace_days": st.sampled_from([0, 0, 1, 20, 45]),
        }
    ),
)
OVERRIDES = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["at_least", "exactly"]), DAYS, st.integers(1, 300)), max_size=2
)


def compare(rules, purchases, overrides):
    """Hold the function against the oracle on every day, and every prefix against the whole."""
    count = len(rules.tiers)
    given_by_hand = [
        (min(level, count), mode, first, first + timedelta(days=days)) for level, mode, first, days in overrides
    ]
    history, versions = spent(*purchases), (Version(None, rules),)
    layers = [by_hand(n, CODES[level - 1], *rest) for n, (level, *rest) in enumerate(given_by_hand)]
    end = BEGIN + timedelta(days=1700)
    truth = Oracle(rules, purchases, BEGIN, given_by_hand).run(end)
    whole = stand(history, versions, layers, at_end_of(end, BERLIN))
    moves = {}
    for step in whole.steps:
        moves[step.at.astimezone(BERLIN).date()] = step.to_level
    level = 0
    for day in sorted(truth):
        level = moves.get(day, level)
        assert level == truth[day], (day, whole.steps)
    # What is foreseen on a day comes true if nothing happens; what has not happened yet changes nothing.
    last = max((day for day, _ in purchases), default=BEGIN)
    for day in (last, last + timedelta(days=40)):
        now = at_end_of(day, BERLIN)
        standing = stand(history, versions, layers, now)
        assert standing.steps == tuple(step for step in whole.steps if step.at <= now)
        assert standing.next_at is None or standing.next_at > now
        later = [step for step in whole.steps if step.at > now]
        falls = [step for step in later if step.to_level < standing.level]
        if falls and all(step.to_level >= standing.level for step in later[: later.index(falls[0])]):
            drop = standing.drop
            assert drop is not None
            assert (drop.at, drop.level) == (falls[0].at, falls[0].to_level)


@settings(max_examples=60, deadline=None)
@given(RULES, PURCHASES, OVERRIDES)
def test_like_going_day_by_day(rules, purchases, overrides):
    compare(rules, purchases, overrides)


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(RULES, PURCHASES, OVERRIDES)
def test_like_going_day_by_day_at_length(rules, purchases, overrides):
    compare(rules, purchases, overrides)


def moves_of(standing):
    """Return (day in Berlin, from, to, cause)."""
    return [
        (step.at.astimezone(BERLIN).date().isoformat(), step.from_code, step.to_code, step.cause)
        for step in standing.steps
    ]


def test_a_grace_longer_than_a_term_does_not_keep_the_next_tier_for_ever():
    """Silver by a month's spending, 45 days of grace: the month that bronze is for is over before silver ends."""
    rules = scheme(1, 2, window="calendar", at_expiry="one_down", window_months=1, grace_days=45)
    standing = stand(spent((BEGIN, 2)), (Version(None, rules),), [], at_end_of(date(2024, 12, 31), BERLIN))
    assert moves_of(standing) == [
        ("2024-01-31", None, "silver", "activity"),
        ("2024-04-15", "silver", "bronze", "time"),
        ("2024-06-15", "bronze", None, "time"),
    ]
