"""The settings, and what each indicator shows of a customer: pure.

Each indicator holds the last period against the customer's own past and gives its *own strength*, 0–1: how strongly it
speaks for leaving. What becomes of the strengths is in `crm_api.churn.verdicts`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self
from uuid import UUID

from crm_api.churn.models import Basis, Indicator, Level, Missing, PeerGroup
from crm_api.core.errors import FieldError, Invalid

MIN_GAPS: Final = 2
"""Gaps between purchases that make a cycle of one's own: one gap may be anything."""

MIN_BASELINE: Final = 2.0
"""Contacts or days of browsing in a period below which nothing can be said to have fallen: with one a period, a period
without any comes by chance in one case of three."""

ORDINARY_FALL: Final = 0.3
"""A fall by less than this share is what ups and downs do."""

FULL_RISE: Final = 2.0
"""So many complaints more than usual are the strongest sign."""

STARS: Final = 5.0
"""Ratings are told out of so many, whatever scale they came on."""

FULL_DROP: Final = 2.0
"""A mean rating so many stars lower is the strongest sign."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes a level; `crm_api.churn.models.ChurnSettings` says what each means."""

    weights: Mapping[str, int]
    period_days: int = 60
    baseline_periods: int = 5
    quiet_days: int = 14
    overdue_from: float = 1.5
    overdue_full: float = 4.0
    lost_cycles: float = 5.0
    lost_min_days: int = 90
    watch_score: int = 30
    high_score: int = 55
    margin: int = 5
    peers: PeerGroup = "all"
    peer_share: float = 0.25
    alert_from: Level = "watch"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Take the fields out of a row or document; the others are left alone."""
        return cls(**{each.name: values[each.name] for each in fields(cls)})

    def told(self) -> dict[str, Any]:
        """Return them as JSON."""
        return {**asdict(self), "weights": dict(self.weights)}

    def changed(self, values: Mapping[str, Any]) -> "Settings":
        """Return them with some values changed; weights one by one.

        Raises:
            Invalid: they do not go together.

        """
        weights = {**self.weights, **values.get("weights", {})}
        made = Settings.of({**self.told(), **values, "weights": weights})
        made.check()
        return made

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            Invalid: names each field.

        """
        errors = []
        if self.overdue_full <= self.overdue_from:
            errors.append(
                FieldError("/overdue_full", "out_of_order", "Must be more than overdue_from", "必须大于 overdue_from")
            )
        if self.lost_cycles <= self.overdue_from:
            errors.append(
                FieldError("/lost_cycles", "out_of_order", "Must be more than overdue_from", "必须大于 overdue_from")
            )
        if self.high_score <= self.watch_score:
            errors.append(
                FieldError("/high_score", "out_of_order", "Must be more than watch_score", "必须大于 watch_score")
            )
        reachable = sum(self.weights.values())
        if reachable < self.high_score:
            errors.append(
                FieldError(
                    "/weights",
                    "unreachable",
                    f"The weights add up to {reachable}, so a score of {self.high_score} (high_score) is never "
                    "reached: raise a weight or lower high_score",
                    f"各权重合计为 {reachable}，永远达不到 high_score（{self.high_score}）："
                    "请提高权重或降低 high_score",
                )
            )
        if errors:
            raise Invalid(errors=errors)


DEFAULTS: Final = Settings({"purchases": 70, "interactions": 15, "satisfaction": 20, "complaints": 20, "browsing": 15})


@dataclass(frozen=True, slots=True)
class Measures:
    """What a customer did before a moment.

    Attributes:
        customer_id: who.
        group: peer group, such as ``grade:B``; ``all`` when there is none.
        purchases: days with a purchase.
        silence: days since the last one, None without any.
        cycle: median of the last gaps between them in days, None with fewer than ``MIN_GAPS``.
        gaps: how many gaps it is the median of.
        contacts: by the customer in the last period.
        contacts_before: in the baseline.
        complaints: in the last period.
        complaints_before: in the baseline.
        looks: days with browsing in the last period.
        looks_before: in the baseline.
        rating: mean of the last period, 0–1 of its scale.
        rating_before: mean of the baseline.
        known_days: days of the baseline in which the customer was known already.

    """

    customer_id: UUID
    group: str
    purchases: int
    silence: int | None
    cycle: float | None
    gaps: int
    contacts: int
    contacts_before: int
    complaints: int
    complaints_before: int
    looks: int
    looks_before: int
    rating: float | None
    rating_before: float | None
    known_days: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What an indicator shows, peers aside.

    Attributes:
        value: see `crm_api.churn.models.ChurnReason`.
        baseline: what is usual.
        basis: whose baseline it is.
        own: own strength, 0–1.
        missing: why there is nothing; the rest is then empty.

    """

    value: float | None = None
    baseline: float | None = None
    basis: Basis | None = None
    own: float = 0.0
    missing: Missing | None = None


def find(measures: Measures, settings: Settings, cycle: float | None, rating: float | None) -> dict[Indicator, Finding]:
    """Return what each indicator shows.

    Args:
        measures: of a customer.
        settings: the tenant's.
        cycle: of the peers, for customers without one of their own.
        rating: mean of the peers' ratings, likewise.

    """
    periods = measures.known_days / settings.period_days
    return {
        "purchases": _purchases(measures, settings, cycle),
        "interactions": _fallen(measures.contacts, measures.contacts_before, periods),
        "satisfaction": _satisfaction(measures, rating),
        "complaints": _complaints(measures.complaints, measures.complaints_before, periods),
        "browsing": _fallen(measures.looks, measures.looks_before, periods),
    }


def _purchases(measures: Measures, settings: Settings, peers_cycle: float | None) -> Finding:
    if measures.silence is None:
        return Finding(missing="none_recorded")
    own = measures.cycle if measures.gaps >= MIN_GAPS else None
    cycle = peers_cycle if own is None else own
    if cycle is None:
        return Finding(missing="no_cycle")
    cycle = max(cycle, 1.0)
    strength = _ramp(measures.silence / cycle, settings.overdue_from, settings.overdue_full)
    if measures.silence <= settings.quiet_days:
        strength = 0.0
    return Finding(measures.silence, cycle, "peers" if own is None else "own", strength)


def _fallen(value: int, before: int, periods: float) -> Finding:
    if not value and not before:
        return Finding(missing="none_recorded")
    if periods < 1:
        return Finding(missing="too_new")
    usual = before / periods
    if usual < MIN_BASELINE:
        return Finding(missing="too_seldom")
    return Finding(value, usual, "own", _ramp(1 - value / usual, ORDINARY_FALL, 1.0))


def _complaints(value: int, before: int, periods: float) -> Finding:
    if not value and not before:
        return Finding(missing="none_recorded")
    # Somebody new who complains is not too new to be unhappy: without a past, the past is taken to be quiet.
    usual = before / max(periods, 1.0)
    return Finding(value, usual, "own", _ramp(value - usual, 0.0, FULL_RISE))


def _satisfaction(measures: Measures, peers_rating: float | None) -> Finding:
    if measures.rating is None:
        return Finding(missing="none_recorded")
    own = measures.rating_before
    usual = peers_rating if own is None else own
    if usual is None:
        return Finding(missing="too_new")
    value, usual = STARS * measures.rating, STARS * usual
    return Finding(value, usual, "peers" if own is None else "own", _ramp(usual - value, 0.0, FULL_DROP))


def _ramp(value: float, start: float, full: float) -> float:
    """Return 0 up to ``start``, 1 from ``full`` on, and a straight line between them."""
    return min(1.0, max(0.0, (value - start) / (full - start)))
