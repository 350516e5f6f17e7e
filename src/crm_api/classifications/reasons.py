"""Why a customer is in a class: the values that decided, the thresholds they met, and a sentence."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from crm_api.classifications.definitions import COLUMNS, DIMENSIONS
from crm_api.classifications.names import TITLES, name_of
from crm_api.classifications.rules import period_around
from crm_api.core.money import minor_per_major

Row = Mapping[str, Any]
Reason = tuple[dict[str, Any], dict[str, Any], str, str]
"""Values, thresholds, English, Chinese."""


def classes(row: Row, _now: datetime) -> list[dict[str, Any]]:
    """Return a customer's class in every dimension with its reason.

    Args:
        row: ``scores`` (the customer's row, or null before the first assessment), ``definitions`` by dimension,
            ``standing`` (thresholds of the last run), ``since`` by dimension, ``judged`` (by staff), ``currency``.

    """
    return [_class(each, row) for each in DIMENSIONS if each in (row["definitions"] or {})]


def _class(dimension: str, row: Row) -> dict[str, Any]:
    stored = row["definitions"][dimension]
    scores, definition = row["scores"] or {}, stored["definition"]
    code = scores.get(COLUMNS[dimension])
    values, thresholds, en, zh = _REASONS[dimension](scores, definition, row)
    return {
        "dimension": dimension,
        "title": TITLES[dimension],
        "code": code,
        "name": None if code is None else name_of(dimension, code, definition),
        "since": (row["since"] or {}).get(dimension),
        "version": stored["version"],
        "reason": {"values": values, "thresholds": thresholds, "en": en, "zh": zh},
        "policy": definition["policies"].get(code) if dimension == "value_potential" and code else None,
    }


def _money(minor: int, row: Row) -> str:
    return f"{minor / minor_per_major(row['currency']):,.2f} {row['currency']}"


def _within(days: int | None) -> tuple[str, str]:
    return ("so far", "累计") if days is None else (f"in {days} days", f"近 {days} 天")


def _purchases(number: int) -> str:
    return f"{number} purchase" if number == 1 else f"{number} purchases"


def _days(number: int) -> str:
    return f"{number} day" if number == 1 else f"{number} days"


_NEVER: Final = ("No purchase yet", "尚无购买")


def _bought(scores: Row) -> bool:
    return bool(scores.get("purchases"))


def _frequency(scores: Row, d: Row, _row: Row) -> Reason:
    limits = {"high": d["high"], "mid": d["mid"], "window_days": d["window_days"]}
    if not _bought(scores):
        return {}, limits, *_NEVER
    number, (en, zh) = scores["frequency_purchases"], _within(d["window_days"])
    return (
        {"purchases": number},
        limits,
        f"{_purchases(number)} {en}; high from {d['high']}, mid from {d['mid']}",
        f"{zh}购买 {number} 次；高频 ≥ {d['high']}，中频 ≥ {d['mid']}",
    )


def _amount(scores: Row, d: Row, row: Row) -> Reason:
    limits = {"large": d["large"], "mid": d["mid"], "window_days": d["window_days"], "currency": row["currency"]}
    if not _bought(scores):
        return {}, limits, *_NEVER
    spent, (en, zh) = scores["amount_spent"], _within(d["window_days"])
    large, mid = _money(d["large"], row), _money(d["mid"], row)
    return (
        {"amount": spent},
        limits,
        f"{_money(spent, row)} {en}; large from {large}, mid from {mid}",
        f"{zh}消费 {_money(spent, row)}；大额 ≥ {large}，中额 ≥ {mid}",
    )


def _loyalty(scores: Row, d: Row, _row: Row) -> Reason:
    if not _bought(scores):
        return {}, dict(d), *_NEVER
    number, silent, (en, zh) = scores["loyalty_purchases"], scores["recency_days"], _within(d["window_days"])
    return (
        {"purchases": number, "silent_days": silent},
        dict(d),
        (
            f"{_purchases(number)} {en}, silent for {_days(silent)}; "
            f"loyal from {d['purchases']}, lost after {d['lost_days']}"
        ),
        f"{zh}购买 {number} 次，已 {silent} 天未购买；忠诚 ≥ {d['purchases']} 次，超过 {d['lost_days']} 天为流失",
    )


def _value(scores: Row, d: Row, row: Row) -> Reason:
    limits = {"frequency": d["frequency"], "order_value": d["order_value"], "window_days": d["window_days"]}
    if not _bought(scores):
        return {}, limits, *_NEVER
    number, average, (en, zh) = scores["value_purchases"], scores["value_order_amount"], _within(d["window_days"])
    shown = "—" if average is None else _money(average, row)
    often, dear = d["frequency"], {name: _money(each, row) for name, each in d["order_value"].items()}
    return (
        {"purchases": number, "order_value": average},
        limits,
        (
            f"{_purchases(number)} {en} (high from {often['high']}, mid from {often['mid']}) of {shown} on average "
            f"(high from {dear['high']}, mid from {dear['mid']})"
        ),
        (
            f"{zh}购买 {number} 次（高 ≥ {often['high']}，中 ≥ {often['mid']}），平均每单 {shown}"
            f"（高 ≥ {dear['high']}，中 ≥ {dear['mid']}）"
        ),
    )


def _silence(scores: Row, d: Row, _row: Row) -> Reason:
    if not _bought(scores):
        return {}, dict(d), *_NEVER
    silent = scores["recency_days"]
    return (
        {"silent_days": silent},
        dict(d),
        f"Silent for {_days(silent)}; dormant after {d['active_days']}, lost after {d['lost_days']}",
        f"已 {silent} 天未购买；超过 {d['active_days']} 天为沉睡，超过 {d['lost_days']} 天为流失",
    )


def _potential(scores: Row, d: Row, row: Row) -> Reason:
    limits = {"high": d["high"], "mid": d["mid"]}
    points = scores.get("potential_points")
    if points is None:
        return {}, limits, "Nobody has judged the potential yet", "尚未评估潜力"
    value = scores.get("value_class")
    values = {"value": value, "points": points, **(row["judged"] or {})}
    return (
        values,
        limits,
        f"Value {value or '—'}, {points} points of potential; high from {d['high']}, mid from {d['mid']}",
        f"价值 {value or '—'}，潜力 {points} 分；高 ≥ {d['high']}，中 ≥ {d['mid']}",
    )


def _grade(scores: Row, d: Row, row: Row) -> Reason:
    cuts = dict(zip("ABC", (row["standing"] or {}).get("grade") or [], strict=False))
    limits = {"shares": d["shares"], "from_amount": cuts, "window_days": d["window_days"]}
    if not _bought(scores):
        return {}, limits, *_NEVER
    amount, currency = scores["grade_amount"], scores["currency"]
    en, zh = _within(d["window_days"])
    shares = " / ".join(f"{share:.0%}" for share in d["shares"])
    money = {"currency": currency}
    begin = [(letter, _money(cut, money)) for letter, cut in cuts.items() if cut is not None]
    from_en = "".join(f", {letter} from {cut}" for letter, cut in begin)
    from_zh = "".join(f"，{letter} ≥ {cut}" for letter, cut in begin)
    return (
        {"amount": amount, "currency": currency},
        limits,
        f"{_money(amount, money)} {en}{from_en}; A, B and C bring {shares} of all turnover, largest first",
        f"{zh}消费 {_money(amount, money)}{from_zh}；A、B、C 类从高到低累计占销售额 {shares}",
    )


def _rfm(scores: Row, d: Row, row: Row) -> Reason:
    edges = d["edges"] or (row["standing"] or {}).get("edges")
    limits = {"scheme": d["scheme"], "edges": edges, "window_days": d["window_days"]}
    if scores.get("r") is None:
        return {}, limits, "No scored purchase yet", "尚无可评分的购买"
    values = {axis: scores[axis] for axis in "rfm"}
    values |= {name: scores[name] for name in ("recency_days", "frequency")}
    values["monetary"] = scores["monetary_amount"]
    text = f"R{scores['r']} F{scores['f']} M{scores['m']}"
    spent = _money(scores["monetary_amount"] or 0, scores)
    return (
        values,
        limits,
        f"{text}: silent for {_days(scores['recency_days'])}, {_purchases(scores['frequency'])}, {spent}",
        f"{text}：已 {scores['recency_days']} 天未购买，购买 {scores['frequency']} 次，消费 {spent}",
    )


def _lifecycle(scores: Row, d: Row, _row: Row) -> Reason:
    if not _bought(scores):
        return {"purchases": 0}, dict(d), *_NEVER
    number, silent, active = scores["purchases"], scores["recency_days"], d["active_days"]
    dormant_en = "" if active is None else f"dormant after {active} days, "
    dormant_zh = "" if active is None else f"超过 {active} 天为沉睡，"
    return (
        {"purchases": number, "silent_days": silent},
        dict(d),
        (
            f"{_purchases(number)}, silent for {_days(silent)}; loyal from {d['loyal_purchases']}, {dormant_en}"
            f"lost after {d['lost_days']}"
        ),
        (
            f"购买 {number} 次，已 {silent} 天未购买；忠诚 ≥ {d['loyal_purchases']} 次，{dormant_zh}"
            f"超过 {d['lost_days']} 天为流失"
        ),
    )


_REASONS: Final[Mapping[str, Callable[[Row, Row, Row], Reason]]] = {
    "frequency": _frequency,
    "amount": _amount,
    "loyalty": _loyalty,
    "value": _value,
    "activity": _silence,
    "value_potential": _potential,
    "grade": _grade,
    "rfm": _rfm,
    "lifecycle": _lifecycle,
}


# -- contacts ----------------------------------------------------------------------------------------------------------


def contact_allowance(row: Row, now: datetime) -> dict[str, Any]:
    """Return how many more contacts a customer's classes allow, and until when that holds.

    Args:
        row: ``scores``, ``definitions`` (with ``contact_limits``), ``contacts`` (outbound interactions in the current
            calendar day, week, month, quarter and year) and ``zone``.
        now: the moment that is asked about.

    """
    limits = [each for dimension in DIMENSIONS for each in _limit(dimension, row, now)]
    if not limits:
        return {"allowed": True, "remaining": None, "until": None, "limits": []}
    remaining = min(each["remaining"] for each in limits)
    tightest = [each["until"] for each in limits if each["remaining"] == remaining]
    until = min(tightest) if remaining else max(tightest)
    return {"allowed": remaining > 0, "remaining": remaining, "until": until, "limits": limits}


def _limit(dimension: str, row: Row, now: datetime) -> Sequence[dict[str, Any]]:
    stored = (row["definitions"] or {}).get(dimension)
    code = (row["scores"] or {}).get(COLUMNS[dimension])
    limit = stored["contact_limits"].get(code) if stored and code else None
    if limit is None:
        return ()
    used = row["contacts"][limit["per"]]
    until = period_around(now, limit["per"], ZoneInfo(row["zone"])).astimezone(now.tzinfo).isoformat()
    left = max(0, limit["contacts"] - used)
    return ({"dimension": dimension, "code": code, **limit, "used": used, "remaining": left, "until": until},)
