"""Public holidays and the workdays that make up for them, by the chinesecalendar library (ADR 0040)."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from crm_api.core.errors import Invalid


class Holiday(NamedTuple):
    """A day that is no usual day of its week.

    Attributes:
        day: the date.
        name: what it is, in the shop's language.
        working: True for a workday that makes up for a holiday (调休上班).

    """

    day: date
    name: str
    working: bool


def known_years() -> range:
    """Return the years whose days are known: the State Council announces those of a year in the November before it."""
    from chinese_calendar.constants import holidays  # noqa: PLC0415 - needed only when a calendar is filled

    return range(min(holidays).year, max(holidays).year + 1)


def holidays_of(years: Iterable[int], locale: str) -> list[Holiday]:
    """Return China's public holidays of some years and their make-up workdays, by date.

    Weekends within a holiday are among them: shops that are open then are closed by it too.

    Args:
        years: each one of `known_years`.
        locale: ``zh`` for Chinese names, English ones otherwise.

    """
    from chinese_calendar import constants  # noqa: PLC0415 - needed only when a calendar is filled

    wanted, chinese = set(years), locale == "zh"
    names = {each.value: each.chinese if chinese else each.value for each in constants.Holiday}
    suffix = "调休上班" if chinese else " (make-up workday)"
    off = [Holiday(day, names[name], working=False) for day, name in constants.holidays.items() if day.year in wanted]
    on = [
        Holiday(day, names[name] + suffix, working=True)
        for day, name in constants.workdays.items()
        if day.year in wanted
    ]
    return sorted(off + on)


def check_known(years: Iterable[int], at: str) -> None:
    """Raise Invalid when the days of a year are not known.

    Args:
        years: which are asked for.
        at: JSON pointer of what asks, for the error.

    """
    known = known_years()
    for index, year in enumerate(years):
        if year not in known:
            raise Invalid.field(
                f"{at}/years/{index}",
                "holidays_unknown",
                f"Holidays are known of {known[0]} to {known[-1]}: enter those of {year} as exceptions, "
                "or update crm-api once they are announced",
                f"目前只有 {known[0]} 至 {known[-1]} 年的节假日：请将 {year} 年的日期填写为例外日，"
                "或在公布后升级 crm-api",
            )
