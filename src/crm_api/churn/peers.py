"""With whom customers are compared: groups of a sample, and how strongly each indicator shows in them. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Self

from crm_api.churn.models import INDICATORS, Indicator, PeerGroup
from crm_api.churn.rules import MIN_GAPS, Measures, Settings, find

MIN_PEERS: Final = 20
"""Fewer are no crowd to be compared with; a smaller group is compared with everybody."""

CUTS: Final = 100
"""Steps in which the peers' distribution is kept."""

EVERYBODY: Final = "all"


@dataclass(frozen=True, slots=True)
class Crowd:
    """A peer group.

    Attributes:
        customers: how many.
        cycle: median of their own cycles, None when nobody has one.
        rating: mean of their ratings before the last period, 0–1 of the scale, None without any.
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
