"""From what the indicators show to a score, a level and reasons: pure.

Peers damp an indicator's own strength: a fall that nearly everybody shares is the season's rather than the customer's.
With the share q (``peer_share``) and the percentile p, the share of peers who show it less,

    strength = own strength × (1 − q + q·p)            contribution = weight × strength

The score is the sum of contributions, at most 100. An indicator without data adds nothing, and takes nothing away
either: the score of a shop that records only purchases is not diluted by what it does not record.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crm_api.churn.models import LEVELS, Indicator, Level
from crm_api.churn.peers import Peers
from crm_api.churn.rules import Finding, Measures, Settings, find

RANK: Final[Mapping[str, int]] = {level: rank for rank, level in enumerate(LEVELS)}


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
