"""When birthdays are celebrated: solar and lunar, the days that not every year has, and the numbers rules compare."""

from datetime import date, timedelta

import pytest
from borax.calendars.lunardate import LCalendars, LunarDate
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_api.core import lunar
from crm_api.core.lunar import LunarDay
from crm_api.customers import rules
from crm_api.customers.birthdays import HORIZON, birthdays_between, key_of, keys_with_next, next_birthday
from crm_api.customers.models import Birthday

DAYS = st.dates(date(1950, 1, 1), date(2099, 12, 31))


@st.composite
def birthdays(draw):
    """Draw any birthday there can be, solar or lunar, with and without its year."""
    if draw(st.booleans()):
        born = draw(DAYS)
        return Birthday(year=draw(st.sampled_from([None, born.year])), month=born.month, day=born.day)
    if draw(st.booleans()):
        born = lunar.lunar_of(draw(DAYS))
        return Birthday(calendar="lunar", year=born.year, month=born.month, day=born.day, leap_month=born.leap)
    return Birthday(
        calendar="lunar",
        month=draw(st.integers(1, 12)),
        day=draw(st.integers(1, 30)),
        leap_month=draw(st.booleans()),
    )


def test_a_solar_birthday_counts_from_today_on():
    birthday = Birthday(month=11, day=22, year=1990)
    assert next_birthday(birthday, date(2026, 11, 22)) == date(2026, 11, 22)
    assert next_birthday(birthday, date(2026, 11, 23)) == date(2027, 11, 22)


def test_the_29th_of_february_is_the_28th_in_common_years():
    birthday = Birthday(month=2, day=29)
    assert next_birthday(birthday, date(2026, 1, 1)) == date(2026, 2, 28)
    assert next_birthday(birthday, date(2028, 1, 1)) == date(2028, 2, 29)
    assert next_birthday(birthday, date(2100, 1, 1)) == date(2100, 2, 28)


def test_mid_autumn():
    birthday = Birthday(calendar="lunar", month=8, day=15)
    assert [each.isoformat() for each in birthdays_between(birthday, date(2024, 1, 1), date(2026, 12, 31))] == [
        "2024-09-17",
        "2025-10-06",
        "2026-09-25",
    ]


def test_a_leap_month_birthday_without_its_leap_month_is_in_the_ordinary_one():
    birthday = Birthday(calendar="lunar", month=6, day=1, leap_month=True)
    assert next_birthday(birthday, date(2025, 1, 1)) == date(2025, 7, 25)  # 2025 has a leap sixth month
    assert next_birthday(birthday, date(2026, 1, 1)) == LunarDate(2026, 6, 1, 0).to_solar_date()


def test_an_ordinary_birthday_is_not_celebrated_again_in_the_leap_month():
    birthday = Birthday(calendar="lunar", month=6, day=1)
    assert birthdays_between(birthday, date(2025, 3, 1), date(2025, 12, 31)) == [date(2025, 6, 25)]


def test_the_30th_of_a_short_month_is_its_29th():
    birthday = Birthday(calendar="lunar", month=12, day=30)  # New Year's Eve of a long month
    for year in range(2020, 2030):
        days = LCalendars.ndays(year, 12, 0)
        after_new_year = LunarDate(year, 1, 1, 0).to_solar_date()
        assert next_birthday(birthday, after_new_year) == LunarDate(year, 12, days, 0).to_solar_date()


def test_who_is_a_child():
    today = date(2026, 2, 28)
    for born, child in ((date(2012, 2, 28), False), (date(2012, 2, 29), True), (date(2030, 1, 1), True)):
        assert rules.is_child(born, today) is child
    leap = Birthday(calendar="lunar", year=2012, month=4, day=1, leap_month=True)
    assert rules.born_on(leap) == date(2012, 5, 21)
    for unknown in (Birthday(month=4, day=1), Birthday(calendar="lunar", year=1890, month=4, day=1)):
        assert rules.born_on(unknown) is None


def test_beyond_the_calendar_nothing_is_told():
    birthday = Birthday(calendar="lunar", month=1, day=1)
    assert next_birthday(birthday, date(2101, 6, 1)) is None


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"year": 2026, "month": 6, "day": 1, "leap_month": True}, "no_leap_month"),
        ({"year": 2025, "month": 6, "day": 30, "leap_month": True}, "no_such_day"),
        ({"year": 2024, "month": 12, "day": 30}, "no_such_day"),
    ],
)
def test_impossible_lunar_birthdays_are_refused(given, code):
    with pytest.raises(ValidationError) as refused:
        Birthday(calendar="lunar", **given)
    assert refused.value.errors()[0]["type"] == code


@pytest.mark.parametrize("year", [None, 1890])
def test_what_cannot_be_checked_is_taken(year):
    assert Birthday(calendar="lunar", year=year, month=6, day=30, leap_month=True).day == 30


@given(birthdays(), DAYS)
@settings(max_examples=300, deadline=None)
def test_the_next_birthday_is_on_its_day_or_on_the_last_of_a_shorter_month(birthday, today):
    found = next_birthday(birthday, today)
    assert today <= found <= today + timedelta(days=HORIZON)
    if birthday.calendar == "solar":
        last = found + timedelta(days=1)
        assert found.month == birthday.month
        assert found.day == birthday.day or (birthday.day, found.day, last.month) == (29, 28, 3)
        return
    kept = LunarDate.from_solar_date(found.year, found.month, found.day)
    assert kept.month == birthday.month
    assert kept.day == birthday.day or (kept.day == LCalendars.ndays(kept.year, kept.month, kept.leap) == 29)
    assert bool(kept.leap) == (birthday.leap_month and LCalendars.leap_month(kept.year) == birthday.month)


@given(birthdays(), DAYS)
@settings(max_examples=200, deadline=None)
def test_a_lunar_birthday_comes_once_in_every_lunar_year(birthday, today):
    if birthday.calendar == "solar":
        days = birthdays_between(birthday, date(today.year, 1, 1), date(today.year, 12, 31))
        assert len(days) == 1
        return
    year = lunar.lunar_of(today).year
    first = lunar.solar_of(LunarDay(year, 1, 1, leap=False))
    following = lunar.solar_of(LunarDay(year + 1, 1, 1, leap=False)) if year < lunar.LAST_YEAR else date(2101, 1, 29)
    assert len(birthdays_between(birthday, first, following - timedelta(days=1))) == 1


@given(birthdays(), DAYS, st.integers(-5, 60), st.integers(0, 90))
@settings(max_examples=200, deadline=None)
def test_numbers_say_the_same_as_days(birthday, today, start, length):
    first = today + timedelta(days=start)
    last = first + timedelta(days=length)
    named = key_of(birthday) in keys_with_next(first, last, today)
    assert named == (first <= next_birthday(birthday, today) <= last)


@given(DAYS)
@settings(max_examples=20, deadline=None)
def test_every_birthday_has_its_next_within_the_horizon(today):
    everyone = {100 * month + day for month in range(1, 13) for day in range(1, 31)} - {230}
    lunar_ones = {10_000 + 100 * month + day for month in range(1, 13) for day in range(1, 31)}
    leap_ones = {key + 5_000 for key in lunar_ones}
    assert everyone | lunar_ones | leap_ones <= {*keys_with_next(date.min, date.max, today)}


@given(DAYS)
@settings(max_examples=200, deadline=None)
def test_lunar_days_are_the_librarys(day):
    found = lunar.lunar_of(day)
    assert lunar.solar_of(found) == day
    theirs = LunarDate.from_solar_date(day.year, day.month, day.day)
    assert found == (theirs.year, theirs.month, theirs.day, bool(theirs.leap))
