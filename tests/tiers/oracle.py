"""What tier somebody has, worked out the slow way: day by day, with sums made anew each time and no cleverness."""

import calendar as months
from datetime import date, datetime, time, timedelta
from functools import lru_cache


@lru_cache(10_000)
def shifted(day, count):
    """Return a day so many months later, the month's last when it is shorter."""
    month = day.month - 1 + count
    year, month = day.year + month // 12, month % 12 + 1
    return date(year, month, min(day.day, months.monthrange(year, month)[1]))


class Oracle:
    """Levels of one customer, by the end of each day."""

    def __init__(self, rules, purchases, joined, overrides=()):
        """Take purchases as (day, value); overrides as (level, mode, first day, day after the last), oldest first."""
        self.rules, self.purchases, self.overrides = rules, purchases, overrides
        self.joined = min([joined, *(day for day, _ in purchases)])
        self.level, self.last_day, self.grace_ends = 0, None, None

    def period(self, day):
        """Return first day of the period of a day, and first day of the next one."""
        size = self.rules.window_months
        yearly = self.rules.window == "calendar"
        first = date(day.year - 1, self.rules.start_month, 1) if yearly else self.joined
        count = 0
        while shifted(first, (count + 1) * size) <= day:
            count += 1
        return shifted(first, count * size), shifted(first, (count + 1) * size)

    def reached(self, total):
        """Return how many tiers a total reaches."""
        return len([tier for tier in self.rules.tiers if total >= tier.threshold])

    def qualified(self, day, seen):
        """Return the level of the window that ends with a day, of the purchases seen so far."""
        window = self.rules.window
        if window == "rolling":
            counted = [value for bought, value in seen if shifted(bought, self.rules.window_months) >= day]
        elif window == "lifetime":
            counted = [value for _, value in seen]
        else:
            begin, end = self.period(day)
            counted = [value for bought, value in seen if begin <= bought < end]
        return self.reached(sum(counted))

    def ended_period(self, end):
        """Return the level of the period that ended before a day."""
        if self.rules.window in {"rolling", "lifetime"}:
            return 0
        begin, _ = self.period(end - timedelta(days=1))
        return self.reached(sum(value for bought, value in self.purchases if begin <= bought < end))

    def good_through(self, day):
        """Return the last day of a tier entered on a day."""
        if self.rules.window == "rolling":
            return shifted(day, self.rules.valid_months)
        _, end = self.period(day)
        for _ in range(self.rules.valid_periods):
            _, end = self.period(end)
        return end - timedelta(days=1)

    def renewed_through(self, following):
        """Return the last day of a tier whose term ended before a day and that goes on."""
        if self.rules.window == "rolling":
            return shifted(following, self.rules.valid_months) - timedelta(days=1)
        _, end = self.period(following)
        for _ in range(self.rules.valid_periods - 1):
            _, end = self.period(end)
        return end - timedelta(days=1)

    def morning(self, day, seen):
        """Let a day begin."""
        qualified = self.qualified(day, seen)
        if self.rules.at_expiry == "real_time":
            self.fade(day, qualified)
        elif self.grace_ends is not None:
            if qualified >= self.level:
                self.enter(qualified, day)
            elif day >= self.grace_ends:
                self.fall(day, qualified)
        elif self.last_day is not None and day > self.last_day:
            if max(qualified, self.ended_period(day)) >= self.level:
                self.last_day = self.renewed_through(day)
            elif self.rules.grace_days:
                self.grace_ends = day + timedelta(days=self.rules.grace_days)
            else:
                self.fall(day, qualified)

    def fade(self, day, qualified):
        """Follow the metric down."""
        if qualified >= self.level:
            self.grace_ends = None
        elif not self.rules.grace_days or (self.grace_ends is not None and day >= self.grace_ends):
            self.level, self.grace_ends = qualified, None
        elif self.grace_ends is None:
            self.grace_ends = day + timedelta(days=self.rules.grace_days)

    def fall(self, day, qualified):
        """End a tier."""
        following = self.last_day + timedelta(days=1)
        target = max(qualified, self.ended_period(following))
        if self.rules.at_expiry == "one_down":
            target = max(target, self.level - 1)
        self.level, self.grace_ends = target, None
        start = day if self.rules.window == "rolling" else following
        self.last_day = self.renewed_through(start) if target > self.reached(0) else None
        if self.last_day is not None and self.last_day < day:
            self.last_day = self.renewed_through(day)

    def enter(self, level, day):
        """Begin a tier."""
        self.level, self.grace_ends = level, None
        lasting = self.rules.at_expiry == "real_time" or self.rules.window == "lifetime" or level <= self.reached(0)
        self.last_day = None if lasting else self.good_through(day)

    def bought(self, day, seen):
        """Look at somebody who has just bought."""
        qualified = self.qualified(day, seen)
        if qualified > self.level or (self.grace_ends is not None and qualified == self.level):
            self.enter(qualified, day)

    def shown(self, day):
        """Return the level with overrides."""
        for level, mode, first, end in reversed(self.overrides):
            if first <= day < end:
                return level if mode == "exactly" else max(level, self.level)
        return self.level

    def run(self, until):
        """Return day → level by its end."""
        found, seen, day = {}, [], self.joined
        self.enter(self.qualified(day, []), day)
        while day <= until:
            self.morning(day, seen)
            for bought, value in self.purchases:
                if bought == day:
                    seen.append((bought, value))
                    self.bought(day, seen)
            found[day] = self.shown(day)
            day += timedelta(days=1)
        return found


def at_end_of(day, zone):
    """Return the last instant of a day that a microsecond clock shows."""
    return datetime.combine(day + timedelta(days=1), time(), zone) - timedelta(microseconds=1)
