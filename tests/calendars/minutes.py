"""The oracle: business time by looking at the wall clock of every single minute. Slow, and plain to see through."""

from datetime import timedelta

MINUTE = timedelta(minutes=1)


class MinuteCalendar:
    """Counts minutes.

    Args:
        zone: of the wall clock.
        weekly: 1 (Monday) to 7 → [("HH:MM", "HH:MM"), …].
        exceptions: date → such a list.

    """

    def __init__(self, zone, weekly, exceptions):
        self.zone, self.weekly, self.exceptions = zone, weekly, exceptions

    def hours(self, day):
        """Return a date's intervals."""
        if day in self.exceptions:
            return self.exceptions[day]
        return self.weekly.get(day.isoweekday(), [])

    def works(self, at):
        """Tell whether the minute that begins at ``at`` is worked."""
        return self.working_date(at) is not None

    def working_date(self, at):
        """Return the date whose interval the minute belongs to, or None; the earlier of two."""
        local = at.astimezone(self.zone)
        clock, today = f"{local:%H:%M}", local.date()
        yesterday = today - timedelta(days=1)
        if any(end <= begin and clock < end for begin, end in self.hours(yesterday)):
            return yesterday
        within = any(begin <= clock and (clock < end or end <= begin) for begin, end in self.hours(today))
        return today if within else None

    def due(self, start, minutes, pauses=(), *, patience=60 * 24 * 60):
        """Return when so many minutes have passed; None when they have not after ``patience`` minutes."""
        at = start
        for _ in range(patience):
            if minutes == 0:
                return at
            if self.works(at) and not paused(at, pauses):
                minutes -= 1
            at += MINUTE
        return None

    def worked(self, start, end, pauses=()):
        """Return the minutes worked."""
        count, at = 0, start
        while at < end:
            count += self.works(at) and not paused(at, pauses)
            at += MINUTE
        return count

    def due_days(self, start, days, pauses=(), *, patience=60 * 24 * 60):
        """Return the end of the ``days``-th date after that of ``start`` none of whose minutes is paused."""
        ends, broken, first = {}, set(), start.astimezone(self.zone).date()
        at = start
        for _ in range(patience):
            local = at.astimezone(self.zone)
            clock, today = f"{local:%H:%M}", local.date()
            for day in (today - timedelta(days=1), today):
                if day > first and self.belongs(day, today, clock):
                    ends[day] = at + MINUTE
                    if paused(at, pauses):
                        broken.add(day)
            at += MINUTE
        whole = [ends[day] for day in sorted(ends) if day not in broken]
        return whole[days - 1] if len(whole) >= days else None

    def belongs(self, day, today, clock):
        """Tell whether a minute of ``today`` lies in an interval that began on ``day``."""
        if day == today:
            return any(begin <= clock and (clock < end or end <= begin) for begin, end in self.hours(day))
        return any(end <= begin and clock < end for begin, end in self.hours(day))


def paused(at, pauses):
    """Tell whether a minute is paused."""
    return any(since <= at and (until is None or at < until) for since, until in pauses)
