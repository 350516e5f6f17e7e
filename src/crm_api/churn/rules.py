"""From what a customer did to a level with reasons: pure.

Each indicator holds the last period against the customer's own past and gives its *own strength*, 0–1: how strongly it
speaks for leaving. Peers then damp it: a fall that nearly everybody shares is the season's rather than the customer's.
With the share q (``peer_share``) and the percentile p, the share of peers who show it less,

    strength = own strength × (1 − q + q·p)            contribution = weight × strength

The score is the sum of contributions, at most 100. An indicator without data adds nothing, and takes nothing away
either: the score of a shop that records only purchases is not diluted by what it does not record.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any, Final, Self
from uuid import UUID

from crm_api.churn.models import INDICATORS, LEVELS, Basis, Indicator, Level, Missing, PeerGroup
from crm_api.core.errors import FieldError, Invalid

MIN_GAPS: Final = 2
"""Gaps between purchases that make a cycle of one's own: one gap may be anything."""

MIN_BASELINE: Final = 2.0
"""Contacts or days of browsing in a period below which nothing can be said to have fallen: with one a period, a period
without any comes by chance in one case of three."""

MIN_PEERS: Final = 20
"""Fewer are no crowd to be compared with; a smaller group is compared with everybody."""

ORDINARY_FALL: Final = 0.3
"""A fall by less than this share is what ups and downs do."""

FULL_RISE: Final = 2.0
"""So many complaints more than usual are the strongest sign."""

STARS: Final = 5.0
"""Ratings are told out of so many, whatever scale they came on."""

FULL_DROP: Final = 2.0
"""A mean rating so many stars lower is the strongest sign."""

CUTS: Final = 100
"""Steps in which the peers' distribution is kept."""

EVERYBODY: Final = "all"
RANK: Final[Mapping[str, int]] = {level: rank for rank, level in enumerate(LEVELS)}


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


@dataclass(frozen=True, slots=True)
class Crowd:
    """A peer group.

    Attributes:
        customers: how many.
        cycle: median of their own cycles, None when none has one.
        known: for each indicator that is known of enough of them: how many, median value, and own strengths from the
            least to the greatest in at most ``CUTS`` + 1 steps.

    """

    customers: int
    cycle: float | None
    rating: float | None
    known: Mapping[str, tuple[int, float, Sequence[float]]]

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        known = {
            name: {"customers": number, "median": middle, "strengths": list(cuts)}
            for name, (number, middle, cuts) in self.known.items()
        }
        return {"customers": self.customers, "cycle": self.cycle, "rating": self.rating, "indicators": known}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Take it from JSON."""
        known = {
            name: (each["customers"], each["median"], each["strengths"]) for name, each in told["indicators"].items()
        }
        return cls(told["customers"], told["cycle"], told["rating"], known)


_NOBODY: Final = Crowd(0, None, None, {})


@dataclass(frozen=True, slots=True)
class Peers:
    """All peer groups of an assessment, by name."""

    crowds: Mapping[str, Crowd]

    @property
    def everybody(self) -> Crowd:
        """The group of all."""
        return self.crowds.get(EVERYBODY, _NOBODY)

    def of(self, group: str, indicator: Indicator) -> tuple[str, Crowd] | None:
        """Return with whom a customer is compared: their group, everybody when it is too small, or nobody."""
        for name in (group, EVERYBODY):
            crowd = self.crowds.get(name)
            if crowd is not None and indicator in crowd.known:
                return name, crowd
        return None

    def cycle(self, group: str) -> float | None:
        """Return the usual cycle of a group, or of everybody."""
        crowd = self.crowds.get(group)
        return self.everybody.cycle if crowd is None or crowd.cycle is None else crowd.cycle

    def told(self) -> dict[str, Any]:
        """Return them as JSON."""
        return {name: crowd.told() for name, crowd in self.crowds.items()}

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Self:
        """Take them from JSON."""
        return cls({name: Crowd.of(each) for name, each in told.items()})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a customer.

    Attributes:
        level: the level.
        score: 0–100.
        cycle: days between purchases that the level goes by.
        reasons: every indicator as it is stored: `ChurnReason` without the words.

    """

    level: Level
    score: float
    cycle: float | None
    reasons: list[dict[str, Any]]


# -- one customer ------------------------------------------------------------------------------------------------------


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


def judge(measures: Measures, settings: Settings, peers: Peers, before: Level = "none") -> Verdict:
    """Return score, level and reasons of a customer.

    Args:
        measures: what they did.
        settings: the tenant's.
        peers: with whom they are compared.
        before: their level so far; it is left only when the score is ``margin`` below it.

    """
    findings = find(measures, settings, peers.cycle(measures.group), peers.everybody.rating)
    reasons = [_reason(name, finding, measures, settings, peers) for name, finding in findings.items()]
    raw = sum(each["contribution"] for each in reasons)
    if raw > 100:  # noqa: PLR2004 - the top of the scale
        for each in reasons:
            each["contribution"] = round(100 * each["contribution"] / raw, 1)
    # The place in INDICATORS decides between equals: sorting is stable.
    reasons.sort(key=lambda each: (not each["measured"], -each["contribution"]))
    score = min(100.0, round(raw, 1))
    cycle = findings["purchases"].baseline
    return Verdict(_level(score, measures.silence, cycle, settings, before), score, cycle, reasons)


def _reason(name: Indicator, finding: Finding, measures: Measures, settings: Settings, peers: Peers) -> dict[str, Any]:
    percentile: float | None = None
    group = number = middle = None
    found = None if finding.missing else peers.of(measures.group, name)
    if found is not None:
        group, crowd = found
        number, middle, cuts = crowd.known[name]
        own = round(finding.own, 4)
        percentile = (bisect_left(cuts, own) + bisect_right(cuts, own)) / (2 * len(cuts))
    share = settings.peer_share
    strength = finding.own * (1.0 if percentile is None else 1 - share + share * percentile)
    weight = settings.weights[name]
    return {
        "indicator": name,
        "measured": finding.missing is None,
        "missing": finding.missing,
        "value": _rounded(finding.value),
        "baseline": _rounded(finding.baseline),
        "basis": finding.basis,
        "period_days": settings.period_days,
        "strength": round(strength, 3),
        "weight": weight,
        "contribution": round(weight * strength, 1),
        "peer_group": group,
        "peers": number,
        "peer_median": _rounded(middle),
        "peer_percentile": None if percentile is None else round(100 * percentile, 1),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def lost_after(cycle: float, settings: Settings) -> float:
    """Return the days of silence after which somebody with such a cycle is lost."""
    return max(float(settings.lost_min_days), settings.lost_cycles * cycle)


def _level(score: float, silence: int | None, cycle: float | None, settings: Settings, before: Level) -> Level:
    if silence is not None and cycle is not None and silence >= lost_after(cycle, settings):
        return "lost"
    steps: tuple[tuple[Level, int], ...] = (("high", settings.high_score), ("watch", settings.watch_score))
    for level, threshold in steps:
        held = before != "lost" and RANK[before] >= RANK[level]
        if score >= threshold - (settings.margin if held else 0):
            return level
    return "none"


def is_alert(before: Level, after: Level, settings: Settings) -> bool:
    """Tell whether a change of level is one to warn of: a rise to ``alert_from`` or higher."""
    return RANK[after] > RANK[before] and RANK[after] >= RANK[settings.alert_from]


# -- the crowd ---------------------------------------------------------------------------------------------------------


def gather(sample: Iterable[Measures], settings: Settings) -> Peers:
    """Return the peer groups of a sample of customers; groups of fewer than ``MIN_PEERS`` are left out."""
    by_group: dict[str, list[Measures]] = defaultdict(list)
    for each in sample:
        if each.silence is None:
            continue
        by_group[EVERYBODY].append(each)
        if each.group != EVERYBODY:
            by_group[each.group].append(each)
    everybody = by_group[EVERYBODY]
    cycle, rating = _usual_cycle(everybody), _usual_rating(everybody)
    return Peers(
        {
            name: _crowd(members, settings, cycle, rating)
            for name, members in by_group.items()
            if name == EVERYBODY or len(members) >= MIN_PEERS
        }
    )


def _usual_cycle(members: Sequence[Measures]) -> float | None:
    own = [each.cycle for each in members if each.cycle is not None and each.gaps >= MIN_GAPS]
    return median(own) if own else None


def _usual_rating(members: Sequence[Measures]) -> float | None:
    before = [each.rating_before for each in members if each.rating_before is not None]
    return sum(before) / len(before) if before else None


def _crowd(members: Sequence[Measures], settings: Settings, cycle: float | None, rating: float | None) -> Crowd:
    usual = _usual_cycle(members) or cycle
    found = [find(each, settings, usual, rating) for each in members]
    known: dict[str, tuple[int, float, Sequence[float]]] = {}
    for name in INDICATORS:
        shown = [each[name] for each in found if each[name].missing is None]
        if len(shown) >= MIN_PEERS:
            values = [each.value for each in shown if each.value is not None]
            known[name] = (len(shown), round(median(values), 4), _steps(sorted(each.own for each in shown)))
    return Crowd(len(members), usual, rating, known)


def _steps(ordered: Sequence[float]) -> list[float]:
    """Return a sorted list in at most ``CUTS`` + 1 evenly spaced steps, its ends included."""
    last = len(ordered) - 1
    if last <= CUTS:
        return [round(each, 4) for each in ordered]
    return [round(ordered[round(step * last / CUTS)], 4) for step in range(CUTS + 1)]


def group_of(peers: PeerGroup, purchases: int, grade: str | None) -> str:
    """Return a customer's peer group.

    Args:
        peers: how they are grouped.
        purchases: days with a purchase.
        grade: by the last scoring, None when it is not known.

    """
    makers: Mapping[str, Callable[[], str]] = {
        "all": lambda: EVERYBODY,
        "purchases": lambda: f"purchases:{next(name for most, name in _BANDS if purchases <= most)}",
        "grade": lambda: EVERYBODY if grade is None else f"grade:{grade}",
    }
    return makers[peers]()


_BANDS: Final = ((1, "1"), (2, "2"), (5, "3-5"), (11, "6-11"), (10**9, "12+"))
