"""The Chinese lunar calendar, by the borax library (ADR 0011), for lunar years 1900–2100."""

from datetime import date
from functools import lru_cache
from typing import NamedTuple

from borax.calendars.lunardate import InvalidLunarDateError, LCalendars, LunarDate

FIRST_YEAR, LAST_YEAR = 1900, 2100
"""Lunar years that can be converted."""


class LunarDay(NamedTuple):
    """A day of the lunar calendar; ``leap`` says that its month is the year's leap month (闰月)."""

    year: int
    month: int
    day: int
    leap: bool


@lru_cache(maxsize=16_384)
def days_in_month(year: int, month: int, *, leap: bool = False) -> int | None:
    """Return 29 or 30; None when the year has no such leap month.

    Args:
        year: lunar, ``FIRST_YEAR`` to ``LAST_YEAR``.
        month: 1–12.
        leap: whether the leap month of that number is meant.

    """
    if leap and LCalendars.leap_month(year) != month:
        return None
    days: int = LCalendars.ndays(year, month, int(leap))
    return days


@lru_cache(maxsize=16_384)
def lunar_of(day: date) -> LunarDay | None:
    """Return the lunar date of a solar day; None outside the years that can be converted."""
    try:
        found = LunarDate.from_solar_date(day.year, day.month, day.day)
    except (ValueError, OverflowError, InvalidLunarDateError):
        return None
    return LunarDay(found.year, found.month, found.day, bool(found.leap))


@lru_cache(maxsize=16_384)
def solar_of(day: LunarDay) -> date:
    """Return the solar date of a lunar day that exists."""
    found: date = LunarDate(day.year, day.month, day.day, int(day.leap)).to_solar_date()
    return found


def kept_in(year: int, month: int, day: int, *, leap: bool = False) -> LunarDay:
    """Return a lunar day as it is kept in a year that may lack it.

    A leap month the year does not have is its ordinary month; the 30th of a month of 29 days is its 29th.
    """
    days = days_in_month(year, month, leap=leap)
    if days is None:
        return kept_in(year, month, day)
    return LunarDay(year, month, min(day, days), leap)
