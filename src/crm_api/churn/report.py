"""A back-test's result as a table for people."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_COLUMNS: Final = (
    ("customers", "customers"),
    ("alarms", "alarms"),
    ("hits", "hits"),
    ("false alarms", "false_alarms"),
    ("misses", "misses"),
    ("recall", "recall"),
    ("precision", "precision"),
    ("false alarm rate", "false_alarm_rate"),
    ("base rate", "base_rate"),
)


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a result of `crm_api.churn.backtests.backtest_now`."""
    yield (
        f"Lost: no purchase within {result['horizon_days']} days of a cut. Alarm: level watch or high. "
        f"Settings version {result['settings_version']}."
    )
    yield ""
    yield "  ".join(["cut       ", *(name for name, _ in _COLUMNS)])
    for figures in (*result["cuts"], {"on": "all", **result["total"]}):
        yield "  ".join(
            [f"{figures['on']:10}", *(f"{_shown(figures[field]):>{len(name)}}" for name, field in _COLUMNS)]
        )
    yield ""
    for level, found in result["levels"].items():
        yield f"{level:6} {found['customers']:>9,} assessed, {_shown(found['share'])} of them lost"
    yield ""
    yield f"{result['lost']:,} lost in the end, {result['warned']:,} of them after a warning"
    yield f"Lead time, first warning to lost by silence alone: {_spread(result['lead_days'])}"
    yield f"Last purchase to first warning: {_spread(result['days_from_purchase_to_warning'])}"


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{100 * value:.1f} %"


def _spread(spread: Mapping[str, float] | None) -> str:
    if spread is None:
        return "-"
    return f"median {spread['median']:g} days (half of them {spread['quarter_below']:g}–{spread['quarter_above']:g})"
