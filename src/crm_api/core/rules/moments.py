"""Times in rules: absolute, or relative to the instant a rule is evaluated at, in the tenant's zone.

A shift by days keeps the wall-clock time of the zone, so ``{"days_ago": 1}`` at 09:00 is 09:00 yesterday even when
the clocks changed in between. A shift by hours is exact.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class AsOf:
    """The instant a rule is evaluated at, and the zone that days belong to."""

    instant: datetime
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if self.instant.tzinfo is None:
            raise ValueError("as_of needs an offset")

    def today(self) -> date:
        """Return the business day."""
        return self.instant.astimezone(self.zone).date()

    def back(self, *, days: int = 0, hours: int = 0) -> datetime:
        """Return the instant that many days (by the wall clock) or hours earlier, in UTC."""
        if days == 0:
            return self.instant.astimezone(UTC) - timedelta(hours=hours)
        local = self.instant.astimezone(self.zone).replace(tzinfo=None) - timedelta(days=days)
        return local.replace(tzinfo=self.zone).astimezone(UTC)

    def midnight(self, day: date) -> datetime:
        """Return the first instant of the day, in UTC."""
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Ago:
    """So many days or hours before ``as_of``; negative means after it."""

    days: int = 0
    hours: int = 0


Moment = datetime | date | Ago
"""An instant as written: a date stands for its first instant in the tenant's zone."""


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open stretch of time ``[start, end)``; an absent edge is open."""

    start: Moment | None
    end: Moment | None

    def edges(self, as_of: AsOf) -> tuple[datetime | None, datetime | None]:
        """Return both edges as instants."""
        return (
            None if self.start is None else instant_of(self.start, as_of),
            None if self.end is None else instant_of(self.end, as_of),
        )


def instant_of(moment: Moment, as_of: AsOf) -> datetime:
    """Return the instant that is meant."""
    if isinstance(moment, Ago):
        return as_of.back(days=moment.days, hours=moment.hours)
    return moment if isinstance(moment, datetime) else as_of.midnight(moment)


def day_of(moment: date | Ago, as_of: AsOf) -> date:
    """Return the business day that is meant."""
    return as_of.today() - timedelta(days=moment.days) if isinstance(moment, Ago) else moment
