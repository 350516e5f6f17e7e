"""Groups of RFM scores by name: an ordered map, the first match wins; and the sets that are ready to use."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final

BANDS: Final = 5
"""Scores are 1–5."""
_ALL: Final = (1, BANDS)
_LOW, _HIGH = (1, 3), (4, BANDS)


def _group(key: str, en: str, zh: str, *ranges: tuple[int, int]) -> dict[str, Any]:
    r, f, m = (list(each) for each in ranges)
    return {"key": key, "name": {"en": en, "zh": zh}, "r": r, "f": f, "m": m}


READY: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    # The scheme taught in Chinese marketing: each of R, F and M is high (4–5) or low (1–3).
    "eight": (
        _group("key_value", "Champions", "重要价值客户", _HIGH, _HIGH, _HIGH),
        _group("key_develop", "Big spenders to develop", "重要发展客户", _HIGH, _LOW, _HIGH),
        _group("key_keep", "Big customers to win back", "重要保持客户", _LOW, _HIGH, _HIGH),
        _group("key_retain", "Big spenders to hold", "重要挽留客户", _LOW, _LOW, _HIGH),
        _group("value", "Regulars of small orders", "一般价值客户", _HIGH, _HIGH, _LOW),
        _group("develop", "Newcomers", "一般发展客户", _HIGH, _LOW, _LOW),
        _group("keep", "Regulars gone quiet", "一般保持客户", _LOW, _HIGH, _LOW),
        _group("retain", "Small and gone quiet", "一般挽留客户", _LOW, _LOW, _LOW),
    ),
    # The names common in English-language tools, by R and F with M for the best.
    "classic": (
        _group("champions", "Champions", "冠军客户", _HIGH, _HIGH, _HIGH),
        _group("loyal", "Loyal customers", "忠诚客户", (3, 5), (4, 5), _ALL),
        _group("potential_loyal", "Potential loyalists", "潜在忠诚客户", (4, 5), (2, 3), _ALL),
        _group("new", "New customers", "新客户", (5, 5), (1, 1), _ALL),
        _group("promising", "Promising", "有希望客户", (4, 4), (1, 1), _ALL),
        _group("need_attention", "Need attention", "需要关注", (3, 3), (2, 3), _ALL),
        _group("about_to_sleep", "About to sleep", "即将沉睡", (3, 3), (1, 1), _ALL),
        _group("cannot_lose", "Cannot lose them", "不能流失", (1, 2), (5, 5), _ALL),
        _group("at_risk", "At risk", "有流失风险", (1, 2), (3, 4), _ALL),
        _group("hibernating", "Hibernating", "沉睡客户", (2, 2), (1, 2), _ALL),
        _group("lost", "Lost", "流失客户", (1, 1), (1, 2), _ALL),
    ),
}
"""Name of a set → its groups; a definition may name one instead of spelling it out."""


def cells(groups: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Return the group of each of the 125 cells, r outermost and m innermost; None where no group matches."""
    scores = range(1, BANDS + 1)
    return [_first(groups, cell) for cell in product(scores, scores, scores)]


def _first(groups: Sequence[Mapping[str, Any]], cell: tuple[int, int, int]) -> str | None:
    for group in groups:
        if all(low <= score <= high for score, (low, high) in zip(cell, (group[axis] for axis in "rfm"), strict=True)):
            key: str = group["key"]
            return key
    return None


def cell_at(index: int) -> tuple[int, int, int]:
    """Return (r, f, m) of a place in `cells`."""
    return 1 + index // BANDS**2, 1 + index // BANDS % BANDS, 1 + index % BANDS
