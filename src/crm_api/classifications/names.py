"""What dimensions and classes are called, and the definitions a tenant starts with."""

from collections.abc import Mapping
from typing import Any, Final

from crm_api.classifications import groups
from crm_api.classifications.definitions import CELLS, checked, checked_limits

Words = Mapping[str, str]


def _words(en: str, zh: str) -> Words:
    return {"en": en, "zh": zh}


TITLES: Final[Mapping[str, Words]] = {
    "frequency": _words("Purchase frequency", "购买频率"),
    "amount": _words("Amount spent", "消费金额"),
    "loyalty": _words("Loyalty", "忠诚度"),
    "value": _words("Value: frequency × order value", "价值（频率 × 客单价）"),
    "activity": _words("Activity", "活跃度"),
    "value_potential": _words("Value × potential", "价值 × 潜力"),
    "grade": _words("Grade by share of turnover (four-diamond)", "四级客户（按累计销售额占比）"),
    "rfm": _words("RFM group", "RFM 分组"),
    "lifecycle": _words("Lifecycle", "生命周期"),
}

_LEVEL: Final = {"high": _words("High", "高"), "mid": _words("Middle", "中"), "low": _words("Low", "低")}


def _cell(key: str) -> Words:
    value, potential = (_LEVEL[part] for part in key.split("_"))
    return _words(
        f"{value['en']} value, {potential['en'].lower()} potential", f"{value['zh']}价值 · {potential['zh']}潜力"
    )


_NAMES: Final[Mapping[str, Mapping[str, Words]]] = {
    "frequency": {
        "high": _words("High frequency", "高频"),
        "mid": _words("Middle frequency", "中频"),
        "low": _words("Low frequency", "低频"),
    },
    "amount": {
        "large": _words("Large", "大额"),
        "mid": _words("Middle", "中额"),
        "small": _words("Small", "小额"),
    },
    "loyalty": {
        "loyal": _words("Loyal", "忠诚客户"),
        "regular": _words("Regular", "普通客户"),
        "lost": _words("Lost", "流失客户"),
    },
    "value": {
        "high": _words("High value", "高价值"),
        "mid": _words("Middle value", "中价值"),
        "low": _words("Low value", "低价值"),
    },
    "activity": {
        "active": _words("Active", "活跃"),
        "dormant": _words("Dormant", "沉睡"),
        "lost": _words("Lost", "流失"),
    },
    "value_potential": {cell: _cell(cell) for cell in CELLS},
    "grade": {each: _words(f"Grade {each}", f"{each} 类客户") for each in "ABCD"},
    "lifecycle": {
        "prospect": _words("Prospect", "潜在客户"),
        "first_purchase": _words("First purchase", "首购客户"),
        "repeat": _words("Repeat", "复购客户"),
        "loyal": _words("Loyal", "忠诚客户"),
        "dormant": _words("Dormant", "沉睡客户"),
        "lost": _words("Lost", "流失客户"),
    },
}


def name_of(dimension: str, key: str, definition: Mapping[str, Any]) -> Words:
    """Return what a class is called; a group that the definition has no more keeps its key."""
    if dimension == "rfm":
        return next((each["name"] for each in definition["groups"] if each["key"] == key), _words(key, key))
    return _NAMES[dimension][key]


_POLICIES: Final = {
    "high_high": _words("Serve personally, offer first, visit regularly", "专人服务，新品优先，定期拜访"),
    "high_mid": _words("Keep close: regular contact and loyalty benefits", "保持密切联系，给予会员权益"),
    "high_low": _words("Keep what there is at little cost", "以较低成本维持现有业务"),
    "mid_high": _words("Invest: learn their needs, offer more of the range", "重点投入：了解需求，扩大品类"),
    "mid_mid": _words("Standard service with occasional offers", "标准服务，适时推荐"),
    "mid_low": _words("Standard service", "标准服务"),
    "low_high": _words("Develop: trial offers, follow up on intent", "重点培育：试用优惠，跟进意向"),
    "low_mid": _words("Self-service with invitations", "以自助服务为主，适时邀约"),
    "low_low": _words("Self-service; no cost for contact", "自助服务，不主动投入"),
}
_CELL_CLASSES: Final = {
    "high_high": "high",
    "high_mid": "high",
    "high_low": "mid",
    "mid_high": "high",
    "mid_mid": "mid",
    "mid_low": "low",
    "low_high": "mid",
    "low_mid": "low",
    "low_low": "low",
}

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "frequency": {"window_days": 365, "high": 12, "mid": 4},
    "amount": {"window_days": 365, "large": 500_000, "mid": 100_000},
    "loyalty": {"window_days": 365, "purchases": 5, "lost_days": 365},
    "value": {
        "window_days": 365,
        "frequency": {"high": 12, "mid": 4},
        "order_value": {"high": 50_000, "mid": 20_000},
        "cells": _CELL_CLASSES,
    },
    "activity": {"active_days": 90, "lost_days": 365},
    "value_potential": {
        "industry_position": {"leading": 3, "strong": 2, "average": 1, "weak": 0},
        "outlook": {"growing": 3, "stable": 1, "shrinking": 0},
        "purchase_intent": {"high": 3, "mid": 1, "low": 0},
        "high": 6,
        "mid": 3,
        "policies": _POLICIES,
    },
    "grade": {"window_days": None, "shares": [0.5, 0.8, 0.95]},
    "rfm": {"scheme": "quantile", "window_days": None, "edges": None, "groups": "eight"},
    "lifecycle": {"active_days": 90, "lost_days": 365, "loyal_purchases": 5},
}
"""Dimension → the definition of a tenant whose preset says nothing else."""

LIMITS: Final[Mapping[str, Mapping[str, Any]]] = {
    "grade": {
        "A": {"contacts": 4, "per": "month"},
        "B": {"contacts": 2, "per": "month"},
        "C": {"contacts": 1, "per": "month"},
        "D": {"contacts": 1, "per": "quarter"},
    }
}
"""Dimension → contacts allowed by class; none where nothing stands."""

READY_GROUPS: Final = tuple(groups.READY)


def starting(dimension: str, preset: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the definition and the contact limits a new tenant starts with.

    Args:
        dimension: which.
        preset: what the industry's preset says of it; ``contact_limits`` beside the definition's own parts.

    """
    own = dict(preset)
    limits = own.pop("contact_limits", LIMITS.get(dimension, {}))
    definition = checked(dimension, {**DEFAULTS[dimension], **own})
    return definition, checked_limits(definition, dimension, limits)
