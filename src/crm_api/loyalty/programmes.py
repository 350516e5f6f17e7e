"""Programmes: how points are earned, when they become usable, how long they live and what undoing them does. Pure."""

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision

Kind = Literal["spendable", "qualifying"]
Rounding = Literal["floor", "half_up", "ceiling"]
ExpiryEnd = Literal["day", "month", "quarter", "half_year", "year"]
PendingFrom = Literal["paid", "completed"]
RefundPolicy = Literal["negative", "clamp", "review"]
RestorePolicy = Literal["expire", "grace"]

MAX_GRANT: Final = 10**12
"""Most points one grant can give: no sum of them ever leaves a 64-bit integer."""

_ROUNDING: Final = {"floor": ROUND_FLOOR, "half_up": ROUND_HALF_UP, "ceiling": ROUND_CEILING}
_MONTHS: Final = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}


@dataclass(frozen=True, slots=True)
class Programme:
    """How points are earned and how long they live.

    Attributes:
        scale: decimal digits of a point. All amounts are whole numbers of the smallest part: with 2, 1234 is 12.34.
        pending_from: whether the days of waiting begin with an order's payment or with its completion.
        expiry_end: points live on to the end of this, counted from the day the months and days lead to.
        refund_policy: what becomes of points to take back that are not there any more: ``negative`` (debt), ``clamp``
            (let go) or ``review`` (somebody decides).
        restore_policy: what becomes of points given back after their end: ``expire`` at once or ``grace``.
        grace_days: how many more days the latter live.
        hold_minutes: how long points are held if nothing else was said.

    """

    id: UUID
    currency: str | None
    points_per_unit: Decimal
    rounding: str
    pending_days: int
    expiry_months: int | None
    expiry_days: int | None
    time_zone: str
    scale: int = 0
    pending_from: str = "paid"
    expiry_end: str = "day"
    refund_policy: str = "negative"
    restore_policy: str = "expire"
    grace_days: int = 0
    hold_minutes: int = 60
    is_default: bool = True

    def points_for(self, amount: int, currency: str) -> int:
        """Return the points for an amount in minor units, in the smallest parts of a point.

        amount / 10^digits x points_per_unit x 10^scale, rounded.
        """
        if amount <= 0 or (self.currency is not None and self.currency != currency):
            return 0
        major = Decimal(amount).scaleb(-get_currency_precision(currency))
        points = (major * self.points_per_unit).scaleb(self.scale).to_integral_value(rounding=_ROUNDING[self.rounding])
        return min(int(points), MAX_GRANT)

    def available_at(self, earned_at: datetime) -> datetime:
        """Return when points whose waiting begins then become usable."""
        return earned_at + timedelta(days=self.pending_days)

    def expires_at(self, start: datetime) -> datetime | None:
        """Return the end of the last day on which points usable from ``start`` can be spent; None is never."""
        if self.expiry_months is None and self.expiry_days is None:
            return None
        last = add_months(self._day(start), self.expiry_months or 0) + timedelta(days=self.expiry_days or 0)
        return self.end_of(round_up(last, self.expiry_end))

    def grace_until(self, now: datetime) -> datetime:
        """Return how long points live that were given back after their end."""
        return self.end_of(self._day(now) + timedelta(days=self.grace_days))

    def _day(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.time_zone)).date()

    def end_of(self, day: date) -> datetime:
        """Return the end of a day in the programme's zone."""
        return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(self.time_zone)).astimezone(UTC)


def add_months(day: date, months: int) -> date:
    """Return the same day some months on, or that month's last day when it is shorter (31 Jan + 1 = 28 Feb)."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def round_up(day: date, end: str) -> date:
    """Return the last day of the month, quarter, half-year or year that a day lies in; ``day`` is the day itself."""
    if end == "day":
        return day
    months = _MONTHS[end]
    last = (day.month - 1) // months * months + months
    return date(day.year, last, calendar.monthrange(day.year, last)[1])
