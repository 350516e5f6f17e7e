"""What tier somebody has: a pure function of history, rules and overrides. No I/O, no clock, no chance.

`stand` walks from one moment at which anything can change to the next: purchases and visits, points, ends of terms and
of grace, new rules, overrides. Between two such moments nothing changes, so a replay gives the same whenever it is made
and however the facts came in.

A refund is no moment of its own: what was refunded never counted. So a tier that was reached by a purchase ends when
the purchase is undone, and purchases that are entered late count from their own time on.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from crm_api.tiers.meter import Meter
from crm_api.tiers.models import Cause
from crm_api.tiers.periods import day_of, midnight
from crm_api.tiers.rules import Drop, History, Override, Rules, Standing, Step, Version

FORESEEN: Final = 400
"""Moments looked ahead for a fall. Behind as many purchases that leave a window one by one it is seen when nearer."""


@dataclass(slots=True)
class Walk:
    """The state while walking through time."""

    history: History
    versions: Sequence[Version]
    overrides: Sequence[Override]
    meter: Meter
    version: int = 0
    earned: int = 0
    earned_since: datetime | None = None
    until: datetime | None = None
    grace: datetime | None = None
    level: int = 0
    code: str | None = None
    since: datetime | None = None
    by: Override | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def rules(self) -> Rules:
        """Return the rules of the moment."""
        return self.meter.rules

    # -- one moment ------------------------------------------------------------------------------------------------

    def step(self, at: datetime) -> None:
        """Let everything happen that happens at a moment."""
        switched = self._switch(at)
        before, reached = self.earned, self.meter.level(at)
        if reached > self.earned:
            self._enter(reached, at)
        elif self.rules.at_expiry == "real_time":
            self._follow(reached, at)
        elif self.grace is not None:
            self._in_grace(reached, at)
        elif self.until is not None and at >= self.until:
            self._expire(reached, at)
        cause: Cause = "rules" if switched else "activity" if self.earned > before else "time"
        self._note(at, cause)

    def _switch(self, at: datetime) -> bool:
        """Go over to the rules of the moment; a tier is known by its code."""
        version = self.version
        while version + 1 < len(self.versions) and (self.versions[version + 1].since or at) <= at:
            version += 1
        if version == self.version:
            return False
        held = self.rules.tier(self.earned)
        self.version, self.meter = version, Meter(self.history, self.versions[version].rules)
        same = held and self.rules.named(held.code)
        self.earned = same.level if same else min(self.earned, len(self.rules.tiers))
        if not self.rules.ends or self.earned <= self.rules.floor:
            self.until = None
            self.grace = None
        elif self.until is None:
            self.until = self.meter.term(at)
        return True

    def _enter(self, level: int, at: datetime) -> None:
        self.earned, self.grace = level, None
        self.until = self.meter.term(at) if self.rules.ends and level > self.rules.floor else None

    def _follow(self, reached: int, at: datetime) -> None:
        """Follow the metric down, after the grace."""
        if reached == self.earned:
            self.grace = None
        elif not self.rules.grace_days or (self.grace is not None and at >= self.grace):
            self.earned, self.grace = reached, None
        elif self.grace is None:
            self.grace = self._grace_from(at)

    def _in_grace(self, reached: int, at: datetime) -> None:
        if reached == self.earned:
            self._enter(reached, at)
        elif self.grace is not None and at >= self.grace:
            self._fall(reached, at)

    def _expire(self, reached: int, at: datetime) -> None:
        end = self.until or at
        if max(reached, self.meter.completed(end)) >= self.earned:
            self.until = self._renewed(end, at)
        elif self.rules.grace_days:
            self.grace = self._grace_from(end)
        else:
            self._fall(reached, at)

    def _fall(self, reached: int, at: datetime) -> None:
        end = self.until or at
        kept = max(reached, self.meter.completed(end))
        self.earned = kept if self.rules.at_expiry == "to_qualified" else max(self.earned - 1, kept)
        self.grace = None
        start = at if self.meter.periods is None else end
        self.until = self._renewed(start, at) if self.earned > self.rules.floor else None

    def _renewed(self, start: datetime, at: datetime) -> datetime:
        """Return the end of a term that follows on another; of the one of the moment if grace has outlasted that."""
        end = self.meter.renewal(start)
        return end if end > at else self.meter.renewal(at)

    def _grace_from(self, at: datetime) -> datetime:
        zone = self.rules.zone
        return midnight(day_of(at, zone) + timedelta(days=self.rules.grace_days), zone)

    # -- overrides -------------------------------------------------------------------------------------------------

    def _note(self, at: datetime, cause: Cause) -> None:
        """Lay the override of the moment over the earned tier; the newest one decides."""
        level, by = self.earned, None
        holding = [each for each in self.overrides if each.holds(at)]
        if holding:
            newest = max(holding, key=lambda each: each.id)
            given = self.rules.named(newest.code)
            if given is not None and (newest.mode == "exactly" or given.level > level):
                level, by = given.level, newest
        tier = self.rules.tier(level)
        code = tier.code if tier else None
        if (level, code) != (self.level, self.code):
            why: Cause = "override" if by is not self.by else cause
            self.steps.append(Step(at, self.level, level, self.code, code, why))
            self.level, self.code, self.since = level, code, at
        self.by = by

    # -- from moment to moment -------------------------------------------------------------------------------------

    def next(self, at: datetime) -> datetime | None:
        """Return the next moment at which anything can change."""
        return min((each for each in self._moments(at) if each is not None and each > at), default=None)

    def _moments(self, at: datetime) -> Iterator[datetime | None]:
        index = bisect_right(self.meter.times, at)
        yield self.meter.times[index] if index < len(self.meter.times) else None
        yield from self.timers(at)

    def timers(self, at: datetime) -> Iterator[datetime | None]:
        """Yield moments that come by themselves."""
        if self.version + 1 < len(self.versions):
            yield self.versions[self.version + 1].since
        for each in self.overrides:
            yield from (each.starts_at, each.ends_at)
        yield self.grace
        # In grace the term is over: only its end is waited for.
        yield self.until if self.grace is None else None
        if self.rules.at_expiry == "real_time" and self.earned > self.rules.floor:
            yield self.meter.next_fall(at)


def walk(
    history: History, versions: Sequence[Version], overrides: Sequence[Override], now: datetime
) -> tuple[Walk, datetime | None]:
    """Walk through history up to a moment; returns the state then, and the next moment."""
    state = Walk(history, versions, overrides, Meter(history, versions[0].rules))
    at: datetime | None = history.joined_at
    while at is not None and at <= now:
        state.step(at)
        at = state.next(at)
    return state, at


def stand(history: History, versions: Sequence[Version], overrides: Sequence[Override], now: datetime) -> Standing:
    """Return where somebody stands.

    Args:
        history: all that counts.
        versions: rules, oldest first; those of the first hold for everything before it too.
        overrides: tiers given by hand.
        now: the moment; facts after it do not count yet.

    """
    state, coming = walk(history, versions, overrides, now)
    drop = _foresee(state, coming)
    standing = Standing(
        rules=state.rules,
        level=state.level,
        earned=state.earned,
        value=state.meter.value(now),
        since=state.since,
        until=state.by.ends_at if state.by else state.until,
        grace_until=None if state.by else state.grace,
        override_id=state.by.id if state.by else None,
        steps=tuple(state.steps),
        drop=drop,
        next_at=None,
    )
    notice = standing.notice_at
    moments = [each for each in (coming, notice) if each is not None and each > now]
    return replace(standing, next_at=min(moments, default=None))


def _foresee(state: Walk, coming: datetime | None) -> Drop | None:
    """Return the first fall to come should nothing happen any more."""
    ahead = copy(state)
    ahead.steps = []
    for _ in range(FORESEEN):
        if coming is None or ahead.level < state.level:
            break
        ahead.step(coming)
        if ahead.level < state.level:
            return Drop(coming, ahead.level, ahead.code)
        coming = ahead.next(coming)
    return None
