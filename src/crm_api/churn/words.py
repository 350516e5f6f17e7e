"""Reasons in plain words, English and Chinese; made when they are shown, so that better words reach old reasons too."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

Reason = Mapping[str, Any]
Words = tuple[str, str]
"""English and Chinese."""


def in_words(reasons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return stored reasons as they are shown: each with ``en`` and ``zh``."""
    return [{**reason, **dict(zip(("en", "zh"), said(reason), strict=True))} for reason in reasons]


def shown(row: Mapping[str, Any], _now: datetime) -> list[dict[str, Any]]:
    """Complete a projection's field: the reasons of a row."""
    return in_words(row["reasons"])


def said(reason: Reason) -> Words:
    """Return a reason in both languages."""
    if not reason["measured"]:
        return _nothing(reason)
    en, zh = _SAID[reason["indicator"]](reason)
    if reason["peers"] is None or not reason["strength"]:
        return en, zh
    percent = f"{reason['peer_percentile']:.0f}"
    whom_en, whom_zh = _peers(reason["peer_group"])
    crowd, middle = f"{reason['peers']:,}", _number(reason["peer_median"])
    return (
        f"{en}. Stronger than in {percent} % of {crowd} {whom_en} (median there: {middle})",
        f"{zh}。强于 {crowd} 位{whom_zh}中的 {percent}%（其中位数：{middle}）",
    )


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _times(number: float, en: str) -> str:
    return f"{_number(number)} {en}" + ("" if number == 1 else "s")


def _purchases(reason: Reason) -> Words:
    silence, cycle = reason["value"], reason["baseline"]
    own = reason["basis"] == "own"
    whose_en = "own median" if own else "median of other customers: too few purchases of their own"
    whose_zh = "本人中位数" if own else "其他客户的中位数：本人购买次数过少"
    usual_en, usual_zh = f"every {_times(cycle, 'day')} ({whose_en})", f"每 {_number(cycle)} 天来一次（{whose_zh}）"
    times = _number(silence / cycle)
    return (
        f"Last purchase {_times(silence, 'day')} ago; usually comes {usual_en}: {times} times that",
        f"上次购买距今 {_number(silence)} 天；通常{usual_zh}，已达 {times} 倍",
    )


def _counted(en: str, zh: str) -> Callable[[Reason], Words]:
    def words(reason: Reason) -> Words:
        value, usual, days = reason["value"], reason["baseline"], reason["period_days"]
        return (
            f"{_times(value, en)} in the last {days} days; usually {_number(usual)} in such a time (own average)",
            f"最近 {days} 天{zh} {_number(value)} 次；通常同样时长内 {_number(usual)} 次（本人平均）",
        )

    return words


def _browsing(reason: Reason) -> Words:
    value, usual, days = reason["value"], reason["baseline"], reason["period_days"]
    return (
        f"Looked around on {_times(value, 'day')} of the last {days}; usually on {_number(usual)} (own average)",
        f"最近 {days} 天内有 {_number(value)} 天浏览；通常为 {_number(usual)} 天（本人平均）",
    )


def _satisfaction(reason: Reason) -> Words:
    value, usual, days = reason["value"], reason["baseline"], reason["period_days"]
    own = reason["basis"] == "own"
    whose_en, whose_zh = ("before", "此前") if own else ("is what other customers give", "其他客户的平均分")
    return (
        f"Rated {_number(value)} of 5 on average in the last {days} days; {_number(usual)} {whose_en}",
        f"最近 {days} 天平均评分 {_number(value)} 分（满分 5 分）；{whose_zh} {_number(usual)} 分",
    )


_SAID: Final[Mapping[str, Callable[[Reason], Words]]] = {
    "purchases": _purchases,
    "interactions": _counted("contact", "客户主动联系"),
    "satisfaction": _satisfaction,
    "complaints": _counted("complaint", "投诉"),
    "browsing": _browsing,
}


def _peers(group: str) -> Words:
    kind, _, name = group.partition(":")
    if kind == "grade":
        return f"customers of grade {name}", f" {name} 类客户"
    if kind == "purchases":
        return f"customers with {name} days of purchases", f"购买天数为 {name} 的客户"
    return "customers", "客户"


_KINDS: Final[Mapping[str, Words]] = {
    "purchases": ("Purchases", "购买"),
    "interactions": ("Contacts by the customer", "客户主动联系"),
    "satisfaction": ("Ratings", "评分"),
    "complaints": ("Complaints", "投诉"),
    "browsing": ("Browsing", "浏览"),
}
_WHY: Final[Mapping[str, Words]] = {
    "none_recorded": ("none recorded", "没有记录"),
    "too_seldom": ("too seldom before for a fall to mean anything", "此前次数过少，下降没有意义"),
    "too_new": ("no past to compare with yet", "尚无可比较的过往"),
    "no_cycle": (
        "too few purchases, here and of other customers, to know a cycle",
        "本人与其他客户的购买均过少，无法得知周期",
    ),
}


def _nothing(reason: Reason) -> Words:
    (what_en, what_zh), (why_en, why_zh) = _KINDS[reason["indicator"]], _WHY[reason["missing"]]
    return f"{what_en}: no data ({why_en}), so it does not count", f"{what_zh}：无数据（{why_zh}），不计入"
