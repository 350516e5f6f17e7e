"""A cluster in words and figures: what is typical of it against everybody. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from crm_api.clusters.features import Feature, Words
from crm_api.clusters.kmeans import Clustered, Floats

TOLD: Final = 3
"""Differences a profile tells."""
NAMED: Final = 2
"""Of which the first name the cluster."""
NOTABLE: Final = 0.5
"""Standard deviations; half of one is a medium difference by J. Cohen (Statistical Power Analysis, 1988)."""
DIGITS: Final = 6
"""Decimals of a centre: what lies behind them is rounding."""
_MANY: Final = 10

_PLAIN: Final = Words("much like everybody", "与整体相近")
_AVERAGE: Final = Words("average", "普通")


@dataclass(frozen=True, slots=True)
class Difference:
    """How one feature of a cluster compares with everybody.

    Attributes:
        feature: which.
        standardised: the centre, in standard deviations from the mean of everybody (after the transform).
        mean: of the cluster's customers who have a value, in original units; None when none has.
        median: likewise.
        all_mean: of everybody who has a value.
        all_median: likewise.

    """

    feature: Feature
    standardised: float
    mean: float | None
    median: float | None
    all_mean: float
    all_median: float

    @property
    def typical(self) -> float | None:
        """The cluster's figure that words tell."""
        return self.mean if self.feature.typical == "mean" else self.median

    @property
    def typical_of_all(self) -> float:
        """Everybody's."""
        return self.all_mean if self.feature.typical == "mean" else self.all_median

    @property
    def tellable(self) -> bool:
        """Whether it is large and its typical figure shows that: under a logarithm a mean may point elsewhere."""
        typical = self.typical
        if abs(self.standardised) < NOTABLE or typical is None:
            return False
        return (typical - self.typical_of_all) * self.standardised > 0


@dataclass(frozen=True, slots=True)
class Profile:
    """One cluster.

    Attributes:
        size: customers.
        share: of all that were clustered.
        silhouette: mean over its part of the sample; None when it has none.
        centroid: feature → the centre in original units; of a logged feature exp(mean of logs) - 1.
        differences: by feature that varies, the largest first.
        name: a few words.
        words: what is typical.

    """

    size: int
    share: float
    silhouette: float | None
    centroid: Mapping[str, float]
    differences: Sequence[Difference]
    name: Words
    words: Words


def profiles(matrix: Floats, features: Sequence[Feature], logged: Sequence[bool], found: Clustered) -> list[Profile]:
    """Describe each cluster.

    Args:
        matrix: (customers, features) in original units as they were read; NaN is missing.
        features: of its columns.
        logged: which columns were taken as log(1 + x).
        found: what was made of it.

    """
    rows, used = matrix[found.prepared.kept], found.prepared.used
    whole = [_figures(rows[:, column]) for column in used]
    made = []
    for place, centre in enumerate(found.centres):
        mine = found.labels == place
        parts = [_figures(rows[mine, column]) for column in used]
        differences = [
            Difference(features[column], float(centre[at]), *parts[at], *whole[at])  # type: ignore[arg-type]
            for at, column in enumerate(used)
        ]
        # Stable: of equals (up to rounding) the one that was chosen first.
        differences.sort(key=lambda each: -round(abs(each.standardised), 9))
        name, words = told(differences)
        size = int(mine.sum())
        made.append(
            Profile(
                size=size,
                share=size / len(found.labels),
                silhouette=found.silhouettes[place],
                centroid=_originals(centre, features, logged, found),
                differences=differences,
                name=name,
                words=words,
            )
        )
    return made


def _figures(values: Floats) -> tuple[float | None, float | None]:
    """Return mean and median of those who have a value."""
    known = values[~np.isnan(values)]
    return (float(known.mean()), float(np.median(known))) if len(known) else (None, None)


def _originals(
    centre: Floats, features: Sequence[Feature], logged: Sequence[bool], found: Clustered
) -> dict[str, float]:
    prepared = found.prepared
    transformed = centre * prepared.deviation + prepared.mean
    return {
        features[column].name: round(float(np.expm1(value) if logged[column] else value), DIGITS)
        for column, value in zip(prepared.used, transformed, strict=True)
    }


def told(differences: Sequence[Difference]) -> tuple[Words, Words]:
    """Return a cluster's name and its profile in words.

    Args:
        differences: the largest first.

    """
    telling = [each for each in differences if each.tellable][:TOLD]
    if not telling:
        return _AVERAGE, _PLAIN
    called = [each.feature.high if each.standardised > 0 else each.feature.low for each in telling[:NAMED]]
    phrases = [_phrase(each) for each in telling]
    return _joined(called, "、"), _joined(phrases, "，")


def _joined(parts: Sequence[Words], between_zh: str) -> Words:
    return Words(", ".join(each.en for each in parts), between_zh.join(each.zh for each in parts))


def _phrase(each: Difference) -> Words:
    feature, typical, whole = each.feature, each.typical or 0.0, each.typical_of_all
    if feature.nothing is None:
        value, everybody = _VALUE[feature.kind](typical), _VALUE[feature.kind](whole)
        # Times tell their unit once: "12 days ago (median; all: 64)".
        bare = Words(_number(whole), _number(whole)) if feature.kind in {"days", "years"} else everybody
        return Words(
            feature.phrase.en.format(value=value.en, all=bare.en), feature.phrase.zh.format(value=value.zh, all=bare.zh)
        )
    if typical == 0:
        return feature.nothing
    times = _number(typical / whole)
    return Words(feature.phrase.en.format(ratio=f"{times}×"), feature.phrase.zh.format(ratio=f"{times} 倍"))


def _number(value: float) -> str:
    """Return a figure as people say it: two digits below ten, whole above."""
    if abs(value) >= _MANY or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def _plain(value: float) -> Words:
    return Words(_number(value), _number(value))


def _counted(one: str, many: str, zh: str) -> Callable[[float], Words]:
    def said(value: float) -> Words:
        number = _number(value)
        return Words(f"{number} {one if number == '1' else many}", f"{number} {zh}")

    return said


_VALUE: Final[Mapping[str, Callable[[float], Words]]] = {
    "days": _counted("day", "days", "天"),
    "years": _counted("year", "years", "岁"),
    "share": lambda value: Words(f"{value:.0%}", f"{value:.0%}"),
    "money": _plain,
    "count": _plain,
    "number": _plain,
}


def shown(difference: Difference, money: Callable[[float], Any]) -> dict[str, Any]:
    """Return a difference as it is stored and shown; ``money`` makes an amount of major units."""
    feature = difference.feature
    made: Callable[[float], Any] = money if feature.kind == "money" else float
    figures = ("mean", "median", "all_mean", "all_median")
    values = {name: getattr(difference, name) for name in figures}
    return {
        "feature": feature.name,
        "label": feature.label.shown(),
        "standardised": difference.standardised,
        **{name: None if value is None else made(value) for name, value in values.items()},
    }
