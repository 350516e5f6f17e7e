"""Testing the warnings on the past: assess as things stood at several cut dates, and compare with what came after.

Definitions (docs/domains/churn.md has them for readers). At a cut, everybody who had bought before it is assessed with
what was known then. *Lost* is who buys nothing in the ``horizon_days`` from the cut on. An *alarm* is the level `watch`
or `high`; customers at level `lost` are past warning and counted aside.

    hit          alarm, lost                  recall            hits / (hits + misses)
    false alarm  alarm, bought again          false alarm rate  false alarms / (false alarms + quiet)
    miss         no alarm, lost               precision         hits / alarms
    quiet        no alarm, bought again       base rate         lost / customers

Lead time: of a customer who is lost at the last cut and was warned of since the last purchase, the days from the first
of these warnings to the day on which the silence alone makes the level `lost`. Warnings are seen at cuts only, so it is
too short by up to ``step_days``.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from statistics import quantiles
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.churn.models import LEVELS, Level
from crm_api.churn.peers import Peers, gather
from crm_api.churn.repository import MeasuringRepository
from crm_api.churn.rules import Measures, Settings
from crm_api.churn.verdicts import Verdict, judge, lost_after
from crm_api.core.actor import Actor
from crm_api.db.pool import Database

CHUNK: Final = 2_000
SAMPLE: Final = 5_000
"""Customers that stand for all as peers: their percentiles are right to about one in a hundred."""

ALARMS: Final = frozenset({"watch", "high"})

Report = Callable[[int, Mapping[str, Any]], Awaitable[None]]
"""``async def report(cuts done, the last one's figures)``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to test.

    Attributes:
        until: last cut; customers are assessed as of its beginning.
        cuts: how many.
        step_days: days between them.
        horizon_days: days after a cut in which somebody who stays buys.

    """

    until: date
    cuts: int
    step_days: int
    horizon_days: int

    @property
    def days(self) -> list[date]:
        """The cuts, oldest first."""
        return [self.until - timedelta(days=self.step_days * back) for back in range(self.cuts - 1, -1, -1)]


@dataclass(slots=True)
class Silence:
    """What is remembered of a customer from cut to cut.

    Attributes:
        since: day of the last purchase.
        warned: first cut since then with an alarm.
        lost_on: day on which the silence alone makes them lost.
        followed: whether they were not lost yet at a cut since then.
        level: at the last cut.
        is_lost: whether they bought nothing after the last cut.

    """

    since: date
    warned: date | None = None
    lost_on: date | None = None
    followed: bool = False
    level: Level = "none"
    is_lost: bool = False


@dataclass(slots=True)
class Figures:
    """Counts of one cut, or of all."""

    levels: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, level: Level, *, is_lost: bool) -> None:
        """Count a customer."""
        self.levels[level] += 1
        self.lost[level] += is_lost

    def merge(self, other: "Figures") -> None:
        """Add another cut's counts."""
        self.levels.update(other.levels)
        self.lost.update(other.lost)

    def told(self) -> dict[str, Any]:
        """Return counts and rates as JSON."""
        alarms, hits = (sum(each[level] for level in ALARMS) for each in (self.levels, self.lost))
        calm, misses = self.levels["none"], self.lost["none"]
        false_alarms, quiet = alarms - hits, calm - misses
        return {
            "customers": alarms + calm,
            "lost_already": self.levels["lost"],
            "alarms": alarms,
            "hits": hits,
            "false_alarms": false_alarms,
            "misses": misses,
            "quiet": quiet,
            "recall": _share(hits, hits + misses),
            "false_alarm_rate": _share(false_alarms, false_alarms + quiet),
            "precision": _share(hits, alarms),
            "base_rate": _share(hits + misses, alarms + calm),
        }

    def by_level(self) -> dict[str, Any]:
        """Return how many of each level were lost."""
        return {
            level: {
                "customers": self.levels[level],
                "lost": self.lost[level],
                "share": _share(self.lost[level], self.levels[level]),
            }
            for level in LEVELS
        }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


class Backtest:
    """One test. It only reads, so whoever begins again after a crash gets the same result."""

    def __init__(self, database: Database, actor: Actor, settings: Settings, plan: Plan) -> None:
        """Test these settings."""
        self._database = database
        self._actor = actor
        self._settings = settings
        self._plan = plan
        self._silences: dict[UUID, Silence] = {}

    async def run(self, zone: ZoneInfo, report: Report) -> dict[str, Any]:
        """Return the result: see `crm_api.churn.models.ChurnBacktest`."""
        total, shown = Figures(), []
        for number, day in enumerate(self._plan.days, 1):
            figures = await self._cut(day, zone)
            total.merge(figures)
            shown.append({"on": day.isoformat(), **figures.told()})
            await report(number, shown[-1])
        return {
            "total": total.told(),
            "cuts": shown,
            "levels": total.by_level(),
            **self._lead(),
        }

    async def _cut(self, day: date, zone: ZoneInfo) -> Figures:
        as_of, end = (_beginning(each, zone) for each in (day, day + timedelta(days=self._plan.horizon_days)))
        async with self._database.read(self._actor) as unit:
            repository = MeasuringRepository(unit)
            sample = await repository.sample(as_of, SAMPLE)
            peers = gather(await repository.measure(sample, as_of, zone, self._settings, grades=False), self._settings)
        figures, cursor = Figures(), None
        while True:
            async with self._database.read(self._actor) as unit:
                repository = MeasuringRepository(unit)
                ids = await repository.after(cursor, CHUNK)
                if not ids:
                    return figures
                measured = await repository.measure(ids, as_of, zone, self._settings, grades=False)
                back = await repository.buyers(ids, as_of, end)
            cursor = ids[-1]
            for each in measured:
                if each.silence is not None:
                    self._count(figures, each, peers, day, is_lost=each.customer_id not in back)

    def _count(self, figures: Figures, measures: Measures, peers: Peers, day: date, *, is_lost: bool) -> None:
        assert measures.silence is not None  # noqa: S101 - only buyers are counted
        since = day - timedelta(days=measures.silence)
        known = self._silences.get(measures.customer_id)
        verdict = judge(measures, self._settings, peers, "none" if known is None else known.level)
        figures.add(verdict.level, is_lost=is_lost)
        if known is None or known.since != since:
            known = self._silences[measures.customer_id] = Silence(since)
        self._remember(known, verdict, day, is_lost=is_lost)

    def _remember(self, known: Silence, verdict: Verdict, day: date, *, is_lost: bool) -> None:
        known.level, known.is_lost = verdict.level, is_lost
        if verdict.cycle is not None:
            known.lost_on = known.since + timedelta(days=lost_after(verdict.cycle, self._settings))
        known.followed = known.followed or verdict.level != "lost"
        if verdict.level in ALARMS and known.warned is None:
            known.warned = day

    def _lead(self) -> dict[str, Any]:
        lost = [each for each in self._silences.values() if each.is_lost and each.followed]
        warned = [each for each in lost if each.warned is not None]
        leads = [(each.lost_on - each.warned).days for each in warned if each.lost_on and each.warned]
        waits = [(each.warned - each.since).days for each in warned if each.warned]
        return {
            "lost": len(lost),
            "warned": len(warned),
            "lead_days": _spread(leads),
            "days_from_purchase_to_warning": _spread(waits),
        }


def _spread(values: list[int]) -> dict[str, float] | None:
    """Return median and quartiles (inclusive method), None of nothing."""
    if not values:
        return None
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": round(middle, 1), "quarter_below": round(low, 1), "quarter_above": round(high, 1)}


def _beginning(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
