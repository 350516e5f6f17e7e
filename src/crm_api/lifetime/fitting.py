"""From what customers bought to a fitted model, its test on what was held out, and an outlook for each: pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final
from uuid import UUID

import numpy as np

from crm_api.lifetime import btyd
from crm_api.lifetime.btyd import WEEK, Floats

MIN_CUSTOMERS: Final = 100
MIN_REPEATERS: Final = 30
MAX_CORRELATION: Final = 0.3
"""Above it, what is spent depends on how often: the spend model would be wrong (CDNOW, the textbook case, has 0.11)."""
MAX_CURVE_WEEKS: Final = 520
_GROUPS: Final = 7
"""The last group of the hold-out table: this many repeat purchases or more."""


@dataclass(frozen=True, slots=True)
class Buyers:
    """What customers bought, one element of each array per customer.

    Attributes:
        ids: the customers, in order.
        first: day of the first purchase, as a number of days.
        last: day of the last purchase in the calibration.
        days: days with a purchase in the calibration, at least 1.
        repeat_value: what the purchases after the first day came to, in major units of one currency.
        valued_days: those of these days whose purchases were in that currency.
        later: days with a purchase after the calibration.
        end: last day of the calibration.
        data_end: last day with any purchase at all.

    """

    ids: Sequence[UUID]
    first: Floats
    last: Floats
    days: Floats
    repeat_value: Floats
    valued_days: Floats
    later: Floats
    end: int
    data_end: int

    @property
    def x(self) -> Floats:
        """Repeat purchases."""
        return self.days - 1

    @property
    def t_x(self) -> Floats:
        """Weeks from the first to the last purchase."""
        return (self.last - self.first) / WEEK

    @property
    def age(self) -> Floats:
        """Weeks from the first purchase to the end of the calibration."""
        return (self.end - self.first) / WEEK


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no model.

    Attributes:
        code: stable.
        en: for people.
        zh: likewise.

    """

    code: str
    en: str
    zh: str

    def shown(self) -> dict[str, str]:
        """Return it as it is stored and shown."""
        return {"code": self.code, "en": self.en, "zh": self.zh}


@dataclass(slots=True)
class Fitted:
    """What came out.

    Attributes:
        purchases: the BG/NBD model, None when it was refused.
        spend: the Gamma-Gamma model, None when it was refused.
        refused: why there is no BG/NBD model.
        spend_refused: why there is no Gamma-Gamma model.
        correlation: between frequency and mean value of repeat customers, None with fewer than three.
        holdout: the test on what was held out.
        cumulative: repeat purchases by week.

    """

    purchases: btyd.Purchases | None = None
    spend: btyd.Spend | None = None
    refused: Refusal | None = None
    spend_refused: Refusal | None = None
    correlation: float | None = None
    holdout: dict[str, Any] | None = None
    cumulative: dict[str, Any] | None = field(default=None)


def _too_few(what: str, wanted: int, found: int) -> Refusal:
    names = {"customers": "位有购买的客户", "repeat customers": "位重复购买的客户"}
    return Refusal(
        "too_few_customers",
        f"{found} {what} are too few to tell the parameters apart: at least {wanted} are needed",
        f"仅有 {found} {names[what]}，不足以估计参数：至少需要 {wanted} 位",
    )


def fit(buyers: Buyers, repeat_days: Sequence[tuple[int, int]]) -> Fitted:
    """Fit both models and test them.

    Args:
        buyers: what customers bought.
        repeat_days: (day, repeat purchases on it) of these customers, to the end of the data.

    """
    repeaters = int(np.sum(buyers.x > 0))
    if len(buyers.ids) < MIN_CUSTOMERS:
        return Fitted(refused=_too_few("customers", MIN_CUSTOMERS, len(buyers.ids)))
    if repeaters < MIN_REPEATERS:
        return Fitted(refused=_too_few("repeat customers", MIN_REPEATERS, repeaters))
    histories = btyd.Histories.of(buyers.x, buyers.last - buyers.first, buyers.end - buyers.first)
    try:
        purchases = btyd.fit_purchases(histories)
    except btyd.NoFitError as error:
        return Fitted(
            refused=Refusal("no_fit", f"No model fits these purchases: {error}", "没有模型能拟合这些购买记录")
        )
    fitted = Fitted(purchases)
    _fit_spend(fitted, buyers)
    fitted.holdout = _holdout(purchases, buyers)
    fitted.cumulative = _cumulative(purchases, buyers, repeat_days)
    return fitted


def _means(buyers: Buyers) -> Floats:
    """Return the mean value of each customer's repeat purchases; 0 where there is none."""
    return buyers.repeat_value / np.maximum(buyers.valued_days, 1)


def _fit_spend(fitted: Fitted, buyers: Buyers) -> None:
    mean = _means(buyers)
    known = (buyers.valued_days > 0) & (mean > 0)
    x, mean = buyers.valued_days[known], mean[known]
    if len(x) > 2 and np.std(x) > 0 and np.std(mean) > 0:  # noqa: PLR2004 - a correlation of two points is always 1
        fitted.correlation = float(np.corrcoef(x, mean)[0, 1])
    if len(x) < MIN_REPEATERS:
        fitted.spend_refused = _too_few("repeat customers", MIN_REPEATERS, len(x))
    elif fitted.correlation is not None and abs(fitted.correlation) > MAX_CORRELATION:
        fitted.spend_refused = Refusal(
            "spend_depends_on_frequency",
            f"What customers spend depends on how often they buy (correlation {fitted.correlation:.2f}, at most "
            f"{MAX_CORRELATION} is allowed): the spend model assumes that it does not",
            f"客单价与购买频率相关（相关系数 {fitted.correlation:.2f}，上限 {MAX_CORRELATION}），不满足消费模型的假设",
        )
    else:
        try:
            fitted.spend = btyd.fit_spend(x, mean)
        except btyd.NoFitError as error:
            fitted.spend_refused = Refusal("no_fit", f"No spend model fits: {error}", "没有消费模型能拟合这些购买记录")


def _holdout(model: btyd.Purchases, buyers: Buyers) -> dict[str, Any] | None:
    days = buyers.data_end - buyers.end
    if days <= 0:
        return None
    expected = btyd.expected_purchases(model, buyers.x, buyers.t_x, buyers.age, days / WEEK)
    total, actual = float(np.sum(expected)), int(np.sum(buyers.later))
    groups = []
    for x in range(_GROUPS + 1):
        inside = buyers.x >= x if x == _GROUPS else buyers.x == x
        if np.any(inside):
            groups.append(
                {
                    "repeat_purchases": x,
                    "customers": int(np.sum(inside)),
                    "expected": round(float(np.mean(expected[inside])), 4),
                    "actual": round(float(np.mean(buyers.later[inside])), 4),
                }
            )
    return {
        "days": days,
        "expected": round(total, 2),
        "actual": actual,
        "error": round(total / actual - 1, 4) if actual else None,
        "mean_absolute_error": round(float(np.mean(np.abs(expected - buyers.later))), 4),
        "by_frequency": groups,
    }


def _cumulative(model: btyd.Purchases, buyers: Buyers, repeat_days: Sequence[tuple[int, int]]) -> dict[str, Any]:
    start = int(np.min(buyers.first))
    weeks = min(MAX_CURVE_WEEKS, -(-(max(buyers.data_end, buyers.end) - start) // WEEK))
    ends = start + WEEK * np.arange(1, weeks + 1)
    days = np.array([day for day, _ in repeat_days], dtype=np.int64)
    counts = np.array([count for _, count in repeat_days], dtype=np.int64)
    order = np.argsort(days)
    total = np.concatenate([[0], np.cumsum(counts[order])])
    actual = total[np.searchsorted(days[order], ends, side="right")]
    # Customers who began on the same day are expected to do the same.
    cohorts, sizes = np.unique(buyers.first, return_counts=True)
    since = np.maximum(ends[:, None] - cohorts[None, :], 0) / WEEK
    expected = btyd.expected_repeats(model, since) @ sizes
    return {
        "start": _day(start).isoformat(),
        "weeks": list(range(1, weeks + 1)),
        "actual": [int(each) for each in actual],
        "expected": [round(float(each), 2) for each in expected],
        "calibration_weeks": round((buyers.end - start) / WEEK, 2),
    }


def outlooks(fitted: Fitted, buyers: Buyers, horizon_days: int, minor: int) -> list[tuple[Any, ...]]:
    """Return (repeat purchases, recency, age, alive, expected purchases, expected value) of each customer.

    Args:
        fitted: with a BG/NBD model.
        buyers: the customers.
        horizon_days: how far to look.
        minor: minor units in a major one.

    """
    model = fitted.purchases
    assert model is not None  # noqa: S101 - refused models have no outlooks
    alive = btyd.probability_alive(model, buyers.x, buyers.t_x, buyers.age)
    expected = btyd.expected_purchases(model, buyers.x, buyers.t_x, buyers.age, horizon_days / WEEK)
    if fitted.spend is None:
        values: list[int | None] = [None] * len(buyers.ids)
    else:
        mean = _means(buyers)
        counted = np.where(mean > 0, buyers.valued_days, 0)
        value = btyd.expected_value(fitted.spend, counted, mean) * expected * minor
        values = [int(each) for each in np.rint(value)]
    return list(
        zip(
            buyers.x.astype(int).tolist(),
            (buyers.last - buyers.first).astype(int).tolist(),
            (buyers.end - buyers.first).astype(int).tolist(),
            alive.tolist(),
            expected.tolist(),
            values,
            strict=True,
        )
    )


def _day(number: int) -> date:
    return date.fromordinal(number)
