"""Decisions in words, English and Chinese: for shop staff who ask why an order earned what it did."""

from collections.abc import Mapping
from typing import Any, Final

_OWN: Final = ("The programme's own formula", "计划基础规则")
_CONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "customer_not_matched": ("the customer does not meet its condition", "客户不符合条件"),
    "order_not_matched": ("the order does not meet its condition", "订单不符合条件"),
    "no_line_matched": ("no line of the order meets its condition", "没有符合条件的商品"),
    "event_not_matched": ("the event does not meet its condition", "事件不符合条件"),
    "rule_invalid": (
        "a condition names something that is no more: change the rule",
        "条件引用了已不存在的内容：请修改规则",
    ),
    "other_currency": ("the order is not in the programme's currency", "订单货币与积分计划不同"),
    "gives_nothing": ("nothing of the order counts", "没有可计积分的金额或数量"),
    "rounds_to_nothing": ("less than one point, rounded", "不足 1 积分"),
    "exclusive_rule": ("an exclusive rule stands before it", "已适用独享规则"),
    "better_rule": ("another rule of its group gives as much or more", "同组其他规则更优"),
}
_CAPS: Final[Mapping[str, tuple[str, str]]] = {
    "per_order": ("per order", "每单上限"),
    "per_day": ("per customer and day", "每人每日上限"),
    "per_week": ("per customer and week", "每人每周上限"),
    "per_month": ("per customer and month", "每人每月上限"),
    "per_life": ("per customer", "每人累计上限"),
    "budget": ("budget", "预算"),
}
_SCOPES: Final[Mapping[str, tuple[str, str]]] = {
    "rule": ("its cap", "规则"),
    "programme": ("the programme's cap", "计划"),
}


def in_words(decision: Mapping[str, Any]) -> tuple[str, str]:
    """Return a decision (`engine.told`) as a sentence, in English and Chinese."""
    name_en, name_zh = (decision["name"], decision["name"]) if decision["rule_id"] else _OWN
    given = max(decision["points"], decision["qualifying"])
    why = _CONDITIONS.get(decision["reason"] or "")
    if why is not None:
        return f"{name_en}: 0 points, {why[0]}", f"{name_zh}：0 积分，{why[1]}"
    english, chinese = f"{name_en}: {given} points", f"{name_zh}：{given} 积分"
    for cap in decision["capped_by"]:
        (scope_en, scope_zh), (cap_en, cap_zh) = _SCOPES[cap["scope"]], _CAPS[cap["by"]]
        english += f", limited by {scope_en} {cap_en} ({cap['used']} of {cap['limit']} used)"
        chinese += f"，受{scope_zh}{cap_zh}限制（已用 {cap['used']}/{cap['limit']}）"
    return english, chinese
