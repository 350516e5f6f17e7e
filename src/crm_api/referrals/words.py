"""What checks found and why referrals end, in plain words; made when shown, so that better words reach old ones too."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

Words = tuple[str, str]
"""English and Chinese."""

CHECKS: Final[Mapping[str, Words]] = {
    "self": ("Referrer and friend are one person", "推荐人与被推荐人是同一人"),
    "existing_customer": (
        "The friend had bought before they signed up, or before that was told",
        "被推荐人在注册前或补报注册前已有购买记录",
    ),
    "shared_phone": ("A phone number in common", "电话号码相同"),
    "shared_account": ("An e-mail address or chat account in common", "邮箱或社交账号相同"),
    "shared_address": ("A delivery address in common", "收货地址相同"),
    "shared_device": ("A device in common", "使用过同一设备"),
    "shared_payment_account": ("A payment account in common", "使用过同一支付账户"),
    "velocity": ("Too many sign-ups of this referrer in a short time", "该推荐人短时间内注册数过多"),
    "cycle": ("The friend brought the referrer in turn", "推荐关系成环"),
    "cap": ("The referrer has had all rewards of the period", "该推荐人在本周期的奖励已达上限"),
    "blacklisted": ("One side is blacklisted", "其中一方在黑名单中"),
}
ENDS: Final[Mapping[str, Words]] = {
    **CHECKS,
    "already_referred": (
        "The friend became one customer with somebody who had been referred",
        "被推荐人与另一位已被推荐的客户合并",
    ),
    "below_minimum": ("The friend's first order did not reach the minimum", "被推荐人的首单未达到最低金额"),
    "expired": ("The friend did not order in time", "被推荐人未在期限内下单"),
    "order_refunded": ("The qualifying order was refunded", "达标订单已退款"),
    "order_cancelled": ("The qualifying order was cancelled", "达标订单已取消"),
    "order_withdrawn": ("The qualifying order is not the friend's purchase any more", "达标订单已不属于被推荐人"),
    "customer_gone": ("Referrer or friend is no customer any more", "推荐人或被推荐人的客户资料已删除"),
    "rejected": ("Voided by a person", "人工作废"),
}
"""Void reasons."""


def found(finding: Mapping[str, Any]) -> Words:
    """Return a finding in both languages."""
    en, zh = CHECKS[finding["code"]]
    if finding.get("seen") is not None:
        en, zh = f"{en} ({finding['seen']})", f"{zh}（{finding['seen']}）"
    if finding["code"] in _WITH and finding.get("customer_id") is not None:
        en, zh = f"{en} with another customer", f"与另一位客户{zh}"
    return en, zh


_WITH: Final = frozenset(
    {"shared_phone", "shared_account", "shared_address", "shared_device", "shared_payment_account"}
)


def findings(row: Mapping[str, Any], _now: datetime) -> list[dict[str, Any]]:
    """Complete a projection's field: the findings of a row with ``en`` and ``zh``."""
    return [{**each, **dict(zip(("en", "zh"), found(each), strict=True))} for each in row["findings"]]


def reason_en(row: Mapping[str, Any], _now: datetime) -> str | None:
    """Complete a projection's field: the void reason in English."""
    return None if row["void_reason"] is None else ENDS[row["void_reason"]][0]


def reason_zh(row: Mapping[str, Any], _now: datetime) -> str | None:
    """Complete a projection's field: the void reason in Chinese."""
    return None if row["void_reason"] is None else ENDS[row["void_reason"]][1]
