"""The words of tiers: rules, what counts, and where somebody stands. Pure; `walking` puts them together."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.tiers.models import AtExpiry, Cause, Metric, Mode, Window

FactKind = Literal["order", "points", "visit"]


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier of a scheme.

    Attributes:
        level: 1 is the lowest; 0 stands for no tier.
        threshold: what the metric must reach: points, minor units, orders or days.
        multiplier: of points, for earning.
        name: ``en`` and ``zh``.
        benefits: for front ends: ``code``, ``name``, ``description``.

    """

    level: int
    code: str
    threshold: int
    multiplier: Decimal
    name: dict[str, str]
    benefits: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Rules:
    """The rules of a scheme; `crm_api.tiers.models.TierRules` says what each means."""

    metric: Metric
    window: Window
    at_expiry: AtExpiry
    tiers: tuple[Tier, ...]
    time_zone: str
    currency: str | None = None
    window_months: int = 12
    start_month: int = 1
    valid_months: int = 12
    valid_periods: int = 1
    grace_days: int = 0
    notice_days: int = 30

    @classmethod
    def of(cls, document: Mapping[str, Any], time_zone: str) -> Self:
        """Read stored rules."""
        tiers = tuple(
            Tier(
                level,
                each["code"],
                each["threshold"],
                Decimal(str(each["multiplier"])),
                each["name"],
                tuple(each["benefits"]),
            )
            for level, each in enumerate(document["tiers"], start=1)
        )
        given = {name: value for name, value in document.items() if value is not None}
        return cls(**{**given, "tiers": tiers, "time_zone": time_zone})

    @cached_property
    def zone(self) -> ZoneInfo:
        """Return the programme's zone."""
        return ZoneInfo(self.time_zone)

    @cached_property
    def thresholds(self) -> tuple[int, ...]:
        """Return the thresholds, lowest first."""
        return tuple(each.threshold for each in self.tiers)

    @property
    def floor(self) -> int:
        """Return the level of somebody who never did anything: no tier ends there."""
        return self.level_of(0)

    @property
    def ends(self) -> bool:
        """Tell whether tiers have a term."""
        return self.at_expiry != "real_time" and self.window != "lifetime"

    def level_of(self, value: int) -> int:
        """Return the level that a value of the metric reaches; 0 for none."""
        return bisect_right(self.thresholds, value)

    def tier(self, level: int) -> Tier | None:
        """Return the tier of a level, None of level 0."""
        return self.tiers[level - 1] if level else None

    def named(self, code: str) -> Tier | None:
        """Return the tier with a code."""
        return next((each for each in self.tiers if each.code == code), None)


@dataclass(frozen=True, slots=True)
class Version:
    """Rules and since when they hold; None is from the beginning of all history."""

    since: datetime | None
    rules: Rules


@dataclass(frozen=True, slots=True)
class Override:
    """A tier given by hand, from ``starts_at`` until before ``ends_at``.

    Attributes:
        mode: ``at_least`` never takes a better tier away, ``exactly`` does.

    """

    id: UUID
    code: str
    mode: Mode
    starts_at: datetime
    ends_at: datetime

    def holds(self, moment: datetime) -> bool:
        """Tell whether it holds at a moment."""
        return self.starts_at <= moment < self.ends_at


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that counts: an order (less what was refunded of it, minor units), qualifying points, a visit."""

    kind: FactKind
    at: datetime
    value: int = 1
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All facts of one customer.

    Attributes:
        known_since: when the customer was entered.
        facts: in any order.

    """

    known_since: datetime
    facts: tuple[Fact, ...] = ()

    @property
    def joined_at(self) -> datetime:
        """Return when the customer joined: when first heard of, or what happened before that."""
        return min((self.known_since, *(each.at for each in self.facts)))


@dataclass(frozen=True, slots=True)
class Step:
    """A change of tier."""

    at: datetime
    from_level: int
    to_level: int
    from_code: str | None
    to_code: str | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class Drop:
    """A fall to come, should nothing happen until then."""

    at: datetime
    level: int
    code: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands at a moment.

    Attributes:
        level: of the tier held; 0 without one.
        earned: the level without any override.
        value: of the metric in the window of the moment.
        since: when the tier was entered; None before the first.
        until: the end of its term, or of the override that gives it; None if it has none.
        grace_until: the end of the grace it is kept by.
        override_id: the override that decides.
        steps: how it came about, oldest first.
        drop: when it will fall.
        next_at: the next moment at which time alone may change any of this.

    """

    rules: Rules
    level: int
    earned: int
    value: int
    since: datetime | None
    until: datetime | None
    grace_until: datetime | None
    override_id: UUID | None
    steps: tuple[Step, ...]
    drop: Drop | None
    next_at: datetime | None

    @property
    def tier(self) -> Tier | None:
        """Return the tier held."""
        return self.rules.tier(self.level)

    @property
    def notice_at(self) -> datetime | None:
        """Return when the fall to come is to be told."""
        if self.drop is None or not self.rules.notice_days:
            return None
        return self.drop.at - timedelta(days=self.rules.notice_days)
