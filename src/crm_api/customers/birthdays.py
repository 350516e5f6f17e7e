"""When birthdays are celebrated: pure rules.

Solar: on the day; 29 February in common years on 28 February. Lunar: on the lunar day; the 30th of a month that has 29
days that year on its 29th; in a leap month (闰月) in years that have it, otherwise in the month of that number.
The year of birth plays no part. Lunar birthdays can be told for the lunar years 1900–2100.

Nothing derived is stored, so nothing can be stale: a rule such as "birthday within 7 days" is turned into the keys
(`key_of`) of all birthdays it means, at most a few hundred numbers, which SQL compares with a customer's own.
"""

from calendar import isleap
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache

from crm_api.core import lunar
from crm_api.core.lunar import LunarDay
from crm_api.customers.models import Birthday, BirthdayShown

HORIZON = 400
"""Days within which every birthday is celebrated: a lunar year with a leap month has up to 385."""

FEBRUARY, LEAP_DAY = 2, 29
SHORT_MONTH, LONG_MONTH = 29, 30
LUNAR_KEY, LEAP_KEY = 10_000, 5_000


def next_birthday(birthday: Birthday | BirthdayShown, today: date) -> date | None:
    """Return the first day from ``today`` on that the birthday is celebrated; None beyond what can be converted."""
    return next(_from(birthday, today), None)


def birthdays_between(birthday: Birthday | BirthdayShown, first: date, last: date) -> list[date]:
    """Return all days of ``[first, last]`` on which the birthday is celebrated."""
    found = []
    for day in _from(birthday, first):
        if day > last:
            break
        found.append(day)
    return found


def _from(birthday: Birthday | BirthdayShown, first: date) -> Iterator[date]:
    """Yield the days from ``first`` on, as far as they can be told."""
    days = _lunar_days(birthday, first) if birthday.calendar == "lunar" else _solar_days(birthday, first)
    return (day for day in days if day >= first)


def _solar_days(birthday: Birthday | BirthdayShown, first: date) -> Iterator[date]:
    for year in range(first.year, date.max.year + 1):
        day = birthday.day
        if (birthday.month, day) == (FEBRUARY, LEAP_DAY) and not isleap(year):
            day -= 1
        yield date(year, birthday.month, day)


def _lunar_days(birthday: Birthday | BirthdayShown, first: date) -> Iterator[date]:
    # The lunar year begins after the solar one, so the first that may hold the day is the one before.
    for year in range(max(first.year - 1, lunar.FIRST_YEAR), lunar.LAST_YEAR + 1):
        yield lunar.solar_of(lunar.kept_in(year, birthday.month, birthday.day, leap=birthday.leap_month))


# -- birthdays as numbers ----------------------------------------------------------------------------------------------


def key_of(birthday: Birthday | BirthdayShown) -> int:
    """Return the number that stands for calendar, month and day; `repository.birthdays` has the same in SQL."""
    key = birthday.month * 100 + birthday.day
    if birthday.calendar == "lunar":
        key += LUNAR_KEY + LEAP_KEY * birthday.leap_month
    return key


def keys_with_next(first: date, last: date, today: date) -> list[int]:
    """Return the keys of birthdays whose next celebration, seen from ``today``, lies in ``[first, last]``."""
    first, last = max(first, today), min(last, today + timedelta(days=HORIZON))
    earlier: set[int] = set()
    for day in _days(today, first - timedelta(days=1)):
        earlier |= _celebrated_on(day)
    wanted: set[int] = set()
    for day in _days(first, last):
        wanted |= _celebrated_on(day)
    return sorted(wanted - earlier)


def next_with_key(key: int, today: date) -> date | None:
    """Return the first day from ``today`` on that birthdays of the key are celebrated; None beyond the calendars."""
    return next((day for day in _days(today, today + timedelta(days=HORIZON)) if key in _celebrated_on(day)), None)


def _days(first: date, last: date) -> Iterator[date]:
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


@lru_cache(maxsize=4096)
def _celebrated_on(day: date) -> frozenset[int]:
    """Return the keys of all birthdays celebrated on a day."""
    keys = {day.month * 100 + day.day}
    if (day.month, day.day) == (FEBRUARY, LEAP_DAY - 1) and not isleap(day.year):
        keys.add(FEBRUARY * 100 + LEAP_DAY)
    found = lunar.lunar_of(day)
    return frozenset(keys if found is None else keys | _lunar_keys(found))


def _lunar_keys(day: LunarDay) -> set[int]:
    days = {day.day}
    if day.day == SHORT_MONTH == lunar.days_in_month(day.year, day.month, leap=day.leap):
        days.add(LONG_MONTH)
    months = {day.leap}
    if lunar.days_in_month(day.year, day.month, leap=True) is None:
        months.add(True)
    return {LUNAR_KEY + LEAP_KEY * leap + day.month * 100 + each for each in days for leap in months}
