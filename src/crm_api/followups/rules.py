"""When a contact is due, for whom it is left out, and what its effect was: pure functions.

**The slot.** A plan asks for a customer's first contact at a day that follows from when they joined, and for each next
one ``every_days`` after the last contact. The day depends on what happened only, never on when somebody looked: looking
once or a hundred times, late or early, on one machine or on several, makes the same tasks. A task's identity is its
plan, its customer and its slot.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import sqrt
from typing import Final
from uuid import UUID

from crm_api.core.business_hours import BusinessHours
from crm_api.followups.models import HolidayRule

DAY: Final = timedelta(days=1)
FAR: Final = 92
"""Days within which a working day is looked for; a calendar with none moves nothing."""
Z_95: Final = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""

REACHED_BY: Final[Mapping[str, frozenset[str]]] = {
    "sms": frozenset({"mobile"}),
    "call": frozenset({"mobile", "landline"}),
    "email": frozenset({"email"}),
    "wechat": frozenset({"wechat_openid", "wechat_unionid", "wecom_external_userid"}),
    "social": frozenset({"weibo", "douyin_open_id", "taobao_buyer"}),
}
"""Which kinds of contact points a channel reaches; other channels need none."""


# -- slots -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class History:
    """What there was between a plan and a customer.

    Attributes:
        every_days: the strictest cadence that the customer meets.
        begins_on: the first day the plan and the customer had in common.
        last_slot: the latest slot there is a task for; None before the first.
        closed_on: when that task was done, skipped or cancelled.
        contacted_on: the last contact that counts, if any.

    """

    every_days: int
    begins_on: date
    last_slot: date | None = None
    closed_on: date | None = None
    contacted_on: date | None = None


def next_slot(history: History, first_after_days: int, offset: int) -> date:
    """Return the day the next contact is asked for.

    Args:
        history: whose last task is closed.
        first_after_days: from joining to the first contact.
        offset: days by which the customer's first contact is put off so that not all come at once.

    """
    every = history.every_days * DAY
    spoken = history.contacted_on
    if history.last_slot is None:
        first = history.begins_on + (first_after_days + offset) * DAY
        return first if spoken is None else max(first, spoken + every)
    closed = history.closed_on or history.last_slot
    last = closed if spoken is None else max(closed, spoken)
    # Done ahead of its day, a task would ask for the same slot again.
    return max(last + every, history.last_slot + DAY)


def spread_offset(plan_id: UUID, customer_id: UUID, every_days: int) -> int:
    """Return a number of days below ``every_days``: evenly spread, and the same each time."""
    return _lot(b"spread", plan_id, customer_id) % every_days


def held_out(plan_id: UUID, customer_id: UUID, percent: int) -> bool:
    """Tell whether a customer was drawn to be left out; a higher percentage keeps who was out."""
    return _lot(b"holdout", plan_id, customer_id) % 10_000 < percent * 100


def _lot(salt: bytes, plan_id: UUID, customer_id: UUID) -> int:
    return int.from_bytes(hashlib.sha256(salt + plan_id.bytes + customer_id.bytes).digest()[:8])


# -- days off ----------------------------------------------------------------------------------------------------------


def moved(day: date, rule: HolidayRule, works: Callable[[date], bool]) -> date:
    """Return the working day that a day is moved to, itself if work is done.

    Args:
        day: the day asked for.
        rule: which way; of two days equally near the earlier one.
        works: whether work is done on a day.

    """
    if rule == "none" or works(day):
        return day
    ways = {"next": (1,), "previous": (-1,), "nearest": (-1, 1)}[rule]
    for distance in range(1, FAR + 1):
        for way in ways:
            candidate = day + way * distance * DAY
            if works(candidate):
                return candidate
    return day


@dataclass(frozen=True, slots=True)
class Due:
    """When a task is due.

    Attributes:
        on: the day, in the calendar's zone.
        begins: the day's beginning.
        ends: when work ends on that day; the day's end where none is done.

    """

    on: date
    begins: datetime
    ends: datetime


def due_on(day: date, hours: BusinessHours) -> Due:
    """Return when a task of that day is due."""
    begins = _midnight(day, hours)
    ends = hours.due_days(begins - DAY / 2, 1) if hours.is_working_day(day) else None
    return Due(day, begins, ends or _midnight(day + DAY, hours))


def due_in(start: datetime, working_days: int, hours: BusinessHours) -> date:
    """Return the working day that many working days after the local day of an instant; 0: that day, or the next."""
    day = moved(start.astimezone(hours.zone).date(), "next", hours.is_working_day)
    for _ in range(working_days):
        day = moved(day + DAY, "next", hours.is_working_day)
    return day


def due_after_snooze(until: datetime, hours: BusinessHours) -> datetime:
    """Return when what was put off is overdue: when work ends on that day, if it has not ended by then."""
    ends = due_on(until.astimezone(hours.zone).date(), hours).ends
    return max(ends, until)


def _midnight(day: date, hours: BusinessHours) -> datetime:
    return datetime.combine(day, time(), hours.zone).astimezone(UTC)


# -- the effect --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two shares and its 95 % confidence interval."""

    value: float
    low: float
    high: float


def difference(hits: int, total: int, other_hits: int, other_total: int) -> Difference | None:
    """Return the difference of two independent shares; None when one has no cases.

    Newcombe (1998), Statistics in Medicine 17, 873-890, method 10: from the Wilson intervals of both shares, without
    continuity correction. It keeps its level with few cases and with shares of 0 and 1.
    """
    if not total or not other_total:
        return None
    p, q = hits / total, other_hits / other_total
    low, high = wilson(hits, total)
    other_low, other_high = wilson(other_hits, other_total)
    below = sqrt((p - low) ** 2 + (other_high - q) ** 2)
    above = sqrt((high - p) ** 2 + (q - other_low) ** 2)
    return Difference(p - q, p - q - below, p - q + above)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    share, square = hits / total, Z_95**2
    centre = share + square / (2 * total)
    reach = Z_95 * sqrt(share * (1 - share) / total + square / (4 * total**2))
    scale = 1 + square / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)
