"""Business time: how much working time lies between two instants, and when so much of it has passed.

**The one definition.** Time counts while the clock on the wall, in the calendar's zone, shows working time. So where
clocks are put forward, the hour that no clock shows is lost; where they are put back, an hour that is shown twice
counts twice. An interval belongs to the day on which it begins, also when it runs through midnight: a night shift
before a holiday is worked to its end.

Everything is reckoned in whole microseconds from a Monday, week by week. A week without exceptions and without a change
of offset is like every other with that offset, so it is worked out once; a hundred years are some five thousand
additions. There is no loop over minutes or days of normal weeks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

Interval = tuple[int, int]
"""Minutes of the wall clock from the day's midnight, the end excluded; beyond 1440 it is the next day's."""
Pause = tuple[datetime, datetime | None]
"""From, to; without an end it lasts."""

MINUTES_A_DAY: Final = 1440
HORIZON: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Working time after this is not looked for."""

_MINUTE: Final = 60_000_000
_DAY: Final = MINUTES_A_DAY * _MINUTE
_WEEK: Final = 7 * _DAY
_ORIGIN: Final = datetime(1970, 1, 5, tzinfo=UTC)
"""A Monday: instants are microseconds from it, days and weeks are counted from it."""
_FIRST_DAY: Final = _ORIGIN.date().toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)

_Span = tuple[int, int]
_Run = tuple[int, int, int]


class _Week(NamedTuple):
    """Working spans of a week, from its beginning, and their sum."""

    spans: tuple[_Span, ...]
    total: int


def minutes_of(text: str) -> int:
    """Return the minutes from midnight of ``HH:MM``; ``24:00`` is 1440."""
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def interval_of(begin: str, end: str) -> Interval:
    """Return ``("22:00", "06:00")`` as minutes: an end that is not later than the beginning is the next day's."""
    first, last = minutes_of(begin), minutes_of(end)
    return first, last if last > first else last + MINUTES_A_DAY


class BusinessHours:
    """Working hours of a zone: by day of the week, with dates that differ.

    Immutable as seen from outside; safe to share between tasks.
    """

    def __init__(
        self,
        zone: ZoneInfo,
        weekly: Mapping[int, Sequence[Interval]],
        exceptions: Mapping[date, Sequence[Interval]] | None = None,
    ) -> None:
        """Take the hours.

        Args:
            zone: whose wall clock they are told by.
            weekly: 1 (Monday) to 7 → intervals; a day left out is free.
            exceptions: date → its intervals instead of the week's; none for a day off.

        """
        self.zone = zone
        self._weekly = tuple(tuple(weekly.get(day, ())) for day in range(1, 8))
        self._exceptions = {day.toordinal() - _FIRST_DAY: tuple(each) for day, each in (exceptions or {}).items()}
        self._uneven = {(day + shift) // 7 for day in self._exceptions for shift in (-1, 0, 1, 2)}
        self._even: dict[int, _Week] = {}
        self._made: dict[int, _Week] = {}

    # -- asked in instants ---------------------------------------------------------------------------------------------

    def worked(self, start: datetime, end: datetime, pauses: Iterable[Pause] = ()) -> timedelta:
        """Return the working time in ``[start, end)`` outside the pauses; zero when ``end`` is not later."""
        total = sum(self._between(first, last) for first, last in _active(_at(start), _at(end), pauses))
        return total * _MICROSECOND

    def due(self, start: datetime, amount: timedelta, pauses: Iterable[Pause] = ()) -> datetime | None:
        """Return the earliest instant from ``start`` on by which so much working time has passed outside the pauses.

        None when that is not before `HORIZON`: too few hours, or a pause that lasts.
        """
        left = amount // _MICROSECOND
        if left <= 0:
            return start.astimezone(UTC)
        for first, last in _active(_at(start), _at(HORIZON), pauses):
            there = self._between(first, last) if last < _at(HORIZON) else left
            if there >= left:
                found = self._after(first, left)
                return None if found is None else _instant(found)
            left -= there
        return None

    def due_days(self, start: datetime, days: int, pauses: Iterable[Pause] = ()) -> datetime | None:
        """Return when work ends on the ``days``-th working day after the local day of ``start``.

        The day of ``start`` itself is not counted, and the last day ends with its business hours, as in Articles 201
        and 203 of China's Civil Code. A day whose working time a pause touches does not count. None when that is not
        before `HORIZON`.
        """
        held = _united(pauses)
        day = start.astimezone(self.zone).date().toordinal() - _FIRST_DAY
        if days <= 0:
            return start.astimezone(UTC)
        for candidate in range(day + 1, HORIZON.date().toordinal() - _FIRST_DAY):
            spans = self._day(candidate)
            if spans and not _touches(spans, held):
                days -= 1
                if days == 0:
                    return _instant(spans[-1][1])
        return None

    def is_working(self, at: datetime) -> bool:
        """Tell whether work is done at an instant."""
        number, into = divmod(_at(at), _WEEK)
        return any(first <= into < last for first, last in self._week(number).spans)

    def is_working_day(self, day: date) -> bool:
        """Tell whether work begins on a day."""
        return bool(self._hours(day.toordinal() - _FIRST_DAY))

    # -- reckoned in microseconds --------------------------------------------------------------------------------------

    def _between(self, first: int, last: int) -> int:
        total = 0
        for number in range(first // _WEEK, -(-last // _WEEK)):
            base, week = number * _WEEK, self._week(number)
            if first <= base and base + _WEEK <= last:
                total += week.total
            else:
                total += sum(max(0, min(last, base + b) - max(first, base + a)) for a, b in week.spans)
        return total

    def _after(self, first: int, left: int) -> int | None:
        """Return the first moment with ``left`` of working time between ``first`` and it."""
        for number in range(first // _WEEK, _at(HORIZON) // _WEEK):
            base, week = number * _WEEK, self._week(number)
            if base >= first and week.total < left:
                left -= week.total
                continue
            for a, b in week.spans:
                begin, end = max(first, base + a), base + b
                if end - begin >= left:
                    return begin + left
                left -= max(0, end - begin)
        return None

    def _week(self, number: int) -> _Week:
        runs = _runs(self.zone, number)
        if len(runs) > 1 or number in self._uneven:
            known, key = self._made, number
        else:
            known, key = self._even, runs[0][2]
        if key not in known:
            known[key] = self._make(number, runs)
        return known[key]

    def _make(self, number: int, runs: Sequence[_Run]) -> _Week:
        base = number * _WEEK
        # Wall clocks are up to a day off, and the day before may run through midnight.
        days = range(number * 7 - 2, number * 7 + 9)
        spans = _merged((a - base, b - base) for day in days for a, b in self._on(day, runs))
        return _Week(spans, sum(b - a for a, b in spans))

    def _on(self, day: int, runs: Sequence[_Run]) -> Iterator[_Span]:
        """Yield when the wall clock shows this day's working time, as far as the runs of constant offset go."""
        for begin, end in self._hours(day):
            first, last = day * _DAY + begin * _MINUTE, day * _DAY + end * _MINUTE
            for since, until, offset in runs:
                a, b = max(first - offset, since), min(last - offset, until)
                if a < b:
                    yield a, b

    def _hours(self, day: int) -> tuple[Interval, ...]:
        return self._exceptions.get(day, self._weekly[day % 7])

    def _day(self, day: int) -> tuple[_Span, ...]:
        if not self._hours(day):
            return ()
        weeks = range((day - 1) // 7, (day + 2) // 7 + 1)
        return _merged(self._on(day, [run for number in weeks for run in _runs(self.zone, number)]))


def _at(instant: datetime) -> int:
    return (instant - _ORIGIN) // _MICROSECOND


def _instant(at: int) -> datetime:
    return _ORIGIN + timedelta(microseconds=at)


def _merged(spans: Iterable[_Span]) -> tuple[_Span, ...]:
    """Return the spans in order, none touching another."""
    made: list[_Span] = []
    for first, last in sorted(spans):
        if made and first <= made[-1][1]:
            made[-1] = (made[-1][0], max(last, made[-1][1]))
        else:
            made.append((first, last))
    return tuple(made)


def _united(pauses: Iterable[Pause]) -> tuple[_Span, ...]:
    never = _at(HORIZON)
    ends = ((_at(since), never if until is None else _at(until)) for since, until in pauses)
    return _merged((first, last) for first, last in ends if first < last)


def _active(first: int, last: int, pauses: Iterable[Pause]) -> Iterator[_Span]:
    """Yield what is left of ``[first, last)`` outside the pauses."""
    for since, until in _united(pauses):
        if first < min(since, last):
            yield first, min(since, last)
        first = max(first, until)
    if first < last:
        yield first, last


def _touches(spans: Sequence[_Span], held: Sequence[_Span]) -> bool:
    return any(a < until and since < b for a, b in spans for since, until in held)


@lru_cache(maxsize=65_536)
def _runs(zone: ZoneInfo, number: int) -> tuple[_Run, ...]:
    """Return the parts of a week between changes of the zone's offset: from, to, offset.

    Offsets are looked at once a day and a change is searched between two looks: no zone has changed there and back
    within a day.
    """
    base = number * _WEEK
    made: list[_Run] = []
    since, offset = base, _offset(zone, base)
    for day in range(1, 8):
        look = base + day * _DAY
        if _offset(zone, look) != offset:
            change = _change(zone, look - _DAY, look)
            made.append((since, change, offset))
            since, offset = change, _offset(zone, look)
    if since < base + _WEEK:
        made.append((since, base + _WEEK, offset))
    return tuple(made)


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """Return the first moment in ``(low, high]`` with another offset than at ``low``."""
    before = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return high


def _offset(zone: ZoneInfo, at: int) -> int:
    shift = _instant(at).astimezone(zone).utcoffset()
    return 0 if shift is None else shift // _MICROSECOND
