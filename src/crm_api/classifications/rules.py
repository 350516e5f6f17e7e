"""Cut points: pure rules.

Quintiles: the 20 %, 40 %, 60 % and 80 % quantiles by linear interpolation (type 7 of Hyndman & Fan, 1996; what
``percentile_cont`` gives); a value's quintile is 1 plus the number of cut points strictly below it, so that equal
values share a quintile. Recency counts the other way round: the fewest days are 5.

Grades: customers by falling turnover; a customer's grade follows from the share of the whole turnover that comes
before theirs: below the first share A, below the second B, below the third C, the rest D. Equal turnover, equal grade.

Lifecycle: nobody without a purchase is more than a prospect; silence of more than ``dormant_days`` is lost, of more
than ``active_days`` dormant; the active are by their number of purchases first_purchase, repeat or loyal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

QUANTILES = (0.2, 0.4, 0.6, 0.8)
GRADES = ("A", "B", "C", "D")
DEFAULT_SHARES = (0.5, 0.8, 0.95)


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """A tenant's thresholds."""

    active_days: int
    dormant_days: int
    loyal_purchases: int
    grade_shares: tuple[float, float, float] = DEFAULT_SHARES

    @classmethod
    def of(cls, preset: Mapping[str, Any]) -> "ScoringSettings":
        """Return the settings of a preset's ``[scoring]`` table."""
        return cls(
            preset["active_days"],
            preset["dormant_days"],
            preset["loyal_purchases"],
            tuple(preset.get("grade_shares", DEFAULT_SHARES)),
        )


def quintile(value: float, cuts: tuple[float, ...]) -> int:
    """Return 1 to 5: more is higher."""
    return 1 + sum(cut < value for cut in cuts)


def lifecycle(purchases: int, silent_days: int | None, settings: ScoringSettings) -> str:
    """Return the stage of a customer with so many purchases, the last so many days ago."""
    if purchases == 0 or silent_days is None:
        return "prospect"
    if silent_days > settings.dormant_days:
        return "lost"
    if silent_days > settings.active_days:
        return "dormant"
    if purchases >= settings.loyal_purchases:
        return "loyal"
    return "repeat" if purchases > 1 else "first_purchase"
