"""Days, months and periods in the programme's zone: pure.

Everything that time alone decides happens at the beginning of a day of the zone: a day lasts until the next midnight
of the wall clock, also where clocks change.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo


def add_months(day: date, months: int) -> date:
    """Return the same day some months on, or that month's last day when it is shorter (31 Jan + 1 = 28 Feb)."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """Return the day of the zone on which a moment lies."""
    return moment.astimezone(zone).date()


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return when a day of the zone begins, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def through(moment: datetime, months: int, zone: ZoneInfo) -> datetime:
    """Return the end of the day some months after a moment: one month from 25 January ends with 25 February."""
    return midnight(add_months(day_of(moment, zone), months) + timedelta(days=1), zone)


class Periods(Protocol):
    """Consecutive periods, numbered; each begins where the one before it ends."""

    def index(self, moment: datetime) -> int:
        """Return the number of the period that holds a moment."""
        ...

    def start(self, index: int) -> datetime:
        """Return when a period begins."""
        ...


@dataclass(frozen=True, slots=True)
class CalendarPeriods:
    """Periods of so many months (a divisor of 12) that begin with a month of the year."""

    months: int
    start_month: int
    zone: ZoneInfo

    def index(self, moment: datetime) -> int:
        """Return the number of the period that holds a moment."""
        day = day_of(moment, self.zone)
        return (day.year * 12 + day.month - self.start_month) // self.months

    def start(self, index: int) -> datetime:
        """Return when a period begins."""
        year, month = divmod(index * self.months + self.start_month - 1, 12)
        return midnight(date(year, month + 1, 1), self.zone)


@dataclass(frozen=True, slots=True)
class AnniversaryPeriods:
    """Periods of so many months from the day a customer joined; from 31 January also on 28 February."""

    months: int
    joined: date
    zone: ZoneInfo

    def index(self, moment: datetime) -> int:
        """Return the number of the period that holds a moment; the first is 0."""
        day = day_of(moment, self.zone)
        elapsed = (day.year - self.joined.year) * 12 + day.month - self.joined.month
        index = elapsed // self.months
        return index - 1 if add_months(self.joined, index * self.months) > day else index

    def start(self, index: int) -> datetime:
        """Return when a period begins."""
        return midnight(add_months(self.joined, index * self.months), self.zone)
