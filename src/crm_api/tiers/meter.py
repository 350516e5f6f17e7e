"""The metric of one customer at any moment: pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime
from itertools import accumulate

from crm_api.tiers.periods import AnniversaryPeriods, CalendarPeriods, Periods, add_months, day_of, midnight, through
from crm_api.tiers.rules import FactKind, History, Rules


def measured(history: History, rules: Rules) -> Iterator[tuple[datetime, int]]:
    """Yield time and value of everything that the metric counts, oldest first."""
    facts = sorted(history.facts, key=lambda each: each.at)
    if rules.metric == "visits":
        days: set[date] = set()
        for each in facts:
            day = day_of(each.at, rules.zone)
            if each.kind in {"order", "visit"} and day not in days:
                days.add(day)
                yield each.at, 1
        return
    wanted: FactKind = "points" if rules.metric == "qualifying_points" else "order"
    for each in facts:
        if each.kind != wanted or (rules.metric == "net_spend" and each.currency != rules.currency):
            continue
        yield each.at, 1 if rules.metric == "paid_orders" else each.value


class Meter:
    """The metric of one customer by one set of rules, at any moment."""

    def __init__(self, history: History, rules: Rules) -> None:
        """Sum up what counts."""
        self.rules = rules
        counted = list(measured(history, rules))
        self.times = [at for at, _ in counted]
        self.sums = [0, *accumulate(value for _, value in counted)]
        self.leaves = (
            [through(at, rules.window_months, rules.zone) for at in self.times] if rules.window == "rolling" else []
        )
        self.periods: Periods | None = None
        if rules.window == "calendar":
            self.periods = CalendarPeriods(rules.window_months, rules.start_month, rules.zone)
        elif rules.window == "anniversary":
            joined = day_of(history.joined_at, rules.zone)
            self.periods = AnniversaryPeriods(rules.window_months, joined, rules.zone)

    def value(self, moment: datetime) -> int:
        """Return the metric in the window of a moment, that moment included."""
        low = 0
        if self.periods is not None:
            low = bisect_left(self.times, self.periods.start(self.periods.index(moment)))
        elif self.rules.window == "rolling":
            low = bisect_right(self.leaves, moment)
        return self.sums[bisect_right(self.times, moment)] - self.sums[low]

    def level(self, moment: datetime) -> int:
        """Return the level that the metric reaches at a moment."""
        return self.rules.level_of(self.value(moment))

    def completed(self, end: datetime) -> int:
        """Return the level that the period before an end reached; of a rolling window nothing is ever completed."""
        if self.periods is None:
            return 0
        begin = self.periods.start(self.periods.index(end) - 1)
        low, high = bisect_left(self.times, begin), bisect_left(self.times, end)
        return self.rules.level_of(self.sums[high] - self.sums[low])

    def term(self, moment: datetime) -> datetime:
        """Return when a tier reached at a moment ends."""
        if self.periods is None:
            return through(moment, self.rules.valid_months, self.rules.zone)
        return self.periods.start(self.periods.index(moment) + 1 + self.rules.valid_periods)

    def renewal(self, end: datetime) -> datetime:
        """Return when a tier ends whose term ended then and was renewed: without a gap, without a day more."""
        if self.periods is not None:
            return self.periods.start(self.periods.index(end) + self.rules.valid_periods)
        zone = self.rules.zone
        return midnight(add_months(day_of(end, zone), self.rules.valid_months), zone)

    def next_fall(self, moment: datetime) -> datetime | None:
        """Return when the metric can next become less."""
        if self.periods is not None:
            return self.periods.start(self.periods.index(moment) + 1)
        index = bisect_right(self.leaves, moment)
        return self.leaves[index] if index < len(self.leaves) else None
