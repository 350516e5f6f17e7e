"""What customers can be told apart by: the catalogue of features, with the words that profiles are made of. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

FeatureKind = Literal["count", "money", "days", "share", "years", "number"]
Transform = Literal["none", "log1p"]

CUSTOMERS, ORDERS, EVENTS = "customers:read", "orders:read", "events:read"
INTERACTIONS, COMPLAINTS, LOYALTY = "interactions:read", "complaints:read", "loyalty:read"

RECENT_DAYS: Final = 90
"""How far features of late go back."""


@dataclass(frozen=True, slots=True)
class Words:
    """The same in both languages."""

    en: str
    zh: str

    def shown(self) -> dict[str, str]:
        """Return it as it is stored and shown."""
        return {"en": self.en, "zh": self.zh}

    def filled(self, **values: str) -> "Words":
        """Put values into the places of both."""
        return Words(self.en.format(**values), self.zh.format(**values))


@dataclass(frozen=True, slots=True)
class Feature:
    """One number about a customer.

    Attributes:
        name: in requests, such as ``net_spend`` or ``attributes.shoe_size``.
        kind: unit and manner: ``money`` is in major units of the clustering's currency, ``share`` from 0 to 1.
        label: for people.
        scope: what a key needs to choose it: that of the domain it comes from.
        missing: who has none; None when everybody has one.
        transform: what ``auto`` means: ``log1p`` for amounts and counts, which are skewed.
        typical: the figure a profile tells: ``mean`` of amounts and counts, ``median`` of times.
        phrase: what a profile says, with the places ``ratio``, or ``value`` and ``all``.
        nothing: what it says when the figure is 0, for phrases of ratios.
        high: what customers with much of it are called.
        low: with little.

    """

    name: str
    kind: FeatureKind
    label: Words
    scope: str
    missing: Words | None
    transform: Transform
    typical: Literal["mean", "median"]
    phrase: Words
    high: Words
    low: Words
    nothing: Words | None = None

    def shown(self) -> dict[str, Any]:
        """Return it as the list of features shows it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "label": self.label.shown(),
            "scope": self.scope,
            "missing": None if self.missing is None else self.missing.shown(),
            "transform": self.transform,
        }


_NO_PURCHASE = Words("customers without a purchase", "没有购买记录的客户")


def _much(
    name: str,
    label: Words,
    scope: str,
    phrase: Words,
    nothing: Words,
    called: tuple[Words, Words],
    *,
    kind: FeatureKind = "count",
    missing: Words | None = None,
) -> Feature:
    """Declare an amount or a count: never negative, skewed, told as a multiple of the average."""
    return Feature(name, kind, label, scope, missing, "log1p", "mean", phrase, *called, nothing)


def _when(name: str, label: Words, scope: str, phrase: Words, called: tuple[Words, Words], missing: Words) -> Feature:
    """Declare a number of days: told as a median."""
    told = Words(f"{phrase.en} (median; all: {{all}})", f"{phrase.zh}（中位数；全体：{{all}}）")
    return Feature(name, "days", label, scope, missing, "none", "median", told, *called)


def _part(name: str, label: Words, phrase: Words, called: tuple[Words, Words]) -> Feature:
    """Declare a share of what was bought."""
    told = Words(f"{phrase.en} (all: {{all}})", f"{phrase.zh}（全体：{{all}}）")
    return Feature(name, "share", label, ORDERS, _NO_PURCHASE, "none", "mean", told, *called)


_FEATURES: Final = (
    _when(
        "recency_days",
        Words("Days since the last purchase", "距上次购买天数"),
        ORDERS,
        Words("last purchase {value} ago", "最近一次购买在 {value}前"),
        (Words("long away", "久未购买"), Words("bought lately", "近期购买")),
        _NO_PURCHASE,
    ),
    _much(
        "order_count",
        Words("Purchases so far", "累计购买次数"),
        ORDERS,
        Words("buys {ratio} as often as the average", "购买次数为平均的 {ratio}"),
        Words("no purchases", "没有购买"),
        (Words("frequent buyers", "高频"), Words("seldom buy", "低频")),
    ),
    _much(
        "orders_90d",
        Words("Purchases in the last 90 days", "近 90 天购买次数"),
        ORDERS,
        Words("{ratio} the average purchases in 90 days", "近 90 天购买次数为平均的 {ratio}"),
        Words("no purchases in 90 days", "近 90 天没有购买"),
        (Words("busy of late", "近期高频"), Words("quiet of late", "近期少购")),
    ),
    _much(
        "net_spend",
        Words("Paid less refunded", "累计净消费"),
        ORDERS,
        Words("spends {ratio} the average", "消费金额为平均的 {ratio}"),
        Words("spends nothing", "没有消费"),
        (Words("big spenders", "高消费"), Words("small spenders", "低消费")),
        kind="money",
        missing=Words("customers whose purchases are in another currency", "以其他货币购买的客户"),
    ),
    _much(
        "average_order_value",
        Words("Average order value", "客单价"),
        ORDERS,
        Words("orders worth {ratio} the average", "客单价为平均的 {ratio}"),
        Words("orders worth nothing", "客单价为零"),
        (Words("large orders", "大额订单"), Words("small orders", "小额订单")),
        kind="money",
        missing=Words(
            "customers without a purchase, or with purchases in another currency", "没有购买或以其他货币购买的客户"
        ),
    ),
    _when(
        "tenure_days",
        Words("Days since the first purchase", "距首次购买天数"),
        ORDERS,
        Words("first purchase {value} ago", "首次购买在 {value}前"),
        (Words("old customers", "老客"), Words("new customers", "新客")),
        _NO_PURCHASE,
    ),
    _when(
        "gap_days",
        Words("Days between purchases (median)", "购买间隔天数（中位数）"),
        ORDERS,
        Words("{value} between purchases", "购买间隔 {value}"),
        (Words("long cycles", "购买周期长"), Words("short cycles", "购买周期短")),
        Words("customers who bought on fewer than two days", "购买不足两天的客户"),
    ),
    _much(
        "category_count",
        Words("Categories bought from", "购买品类数"),
        ORDERS,
        Words("buys from {ratio} the average number of categories", "购买品类数为平均的 {ratio}"),
        Words("no categories", "没有品类"),
        (Words("many categories", "多品类"), Words("few categories", "少品类")),
    ),
    _part(
        "discount_share",
        Words("Discount as a share of the price", "优惠占原价比例"),
        Words("{value} off the price", "优惠占原价 {value}"),
        (Words("bargain hunters", "爱优惠"), Words("pay the full price", "原价购买")),
    ),
    _part(
        "refund_share",
        Words("Refunded share of what was paid", "退款占实付比例"),
        Words("{value} refunded", "退款占 {value}"),
        (Words("many refunds", "退款多"), Words("few refunds", "退款少")),
    ),
    _much(
        "events_90d",
        Words("Behaviour events in the last 90 days", "近 90 天行为事件数"),
        EVENTS,
        Words("{ratio} the average events in 90 days", "近 90 天行为事件为平均的 {ratio}"),
        Words("no events in 90 days", "近 90 天没有行为事件"),
        (Words("active online", "线上活跃"), Words("quiet online", "线上安静")),
    ),
    _much(
        "interaction_count",
        Words("Interactions", "互动次数"),
        INTERACTIONS,
        Words("in touch {ratio} as often as the average", "互动次数为平均的 {ratio}"),
        Words("never in touch", "没有互动"),
        (Words("much in touch", "互动多"), Words("seldom in touch", "互动少")),
    ),
    _much(
        "complaint_count",
        Words("Complaints", "投诉次数"),
        COMPLAINTS,
        Words("complains {ratio} as often as the average", "投诉次数为平均的 {ratio}"),
        Words("no complaints", "没有投诉"),
        (Words("many complaints", "投诉多"), Words("few complaints", "投诉少")),
    ),
    _much(
        "points",
        Words("Points available", "可用积分"),
        LOYALTY,
        Words("{ratio} the average points", "可用积分为平均的 {ratio}"),
        Words("no points", "没有积分"),
        (Words("many points", "积分多"), Words("few points", "积分少")),
    ),
    Feature(
        "age_years",
        "years",
        Words("Age by year of birth", "年龄（按出生年）"),
        CUSTOMERS,
        Words("customers without a year of birth", "没有出生年的客户"),
        "none",
        "median",
        Words("{value} old (median; all: {all})", "年龄 {value}（中位数；全体：{all}）"),
        Words("older", "年长"),
        Words("younger", "年轻"),
    ),
    Feature(
        "known_days",
        "days",
        Words("Days since the customer was entered", "建档天数"),
        CUSTOMERS,
        None,
        "none",
        "median",
        Words("known for {value} (median; all: {all})", "建档 {value}（中位数；全体：{all}）"),
        Words("long known", "建档久"),
        Words("lately entered", "新建档"),
    ),
)
FEATURES: Final[Mapping[str, Feature]] = {each.name: each for each in _FEATURES}
"""By name; a tenant's own attributes come beside them (`attribute_feature`)."""


def attribute_feature(name: str, kind: FeatureKind, label: Words) -> Feature:
    """Return the feature that an attribute of numbers or money is; it may be negative, so ``auto`` leaves it as it is.

    Args:
        name: with its prefix, ``attributes.shoe_size``.
        kind: ``number`` or ``money``.
        label: what the shop calls it.

    """
    # A label is the shop's text: braces in it are no places.
    safe = Words(*(text.replace("{", "{{").replace("}", "}}") for text in (label.en, label.zh)))
    return Feature(
        name,
        kind,
        label,
        CUSTOMERS,
        Words("customers without a value", "没有该值的客户"),
        "none",
        "mean",
        Words(f"{safe.en} {{value}} (mean; all: {{all}})", f"{safe.zh} {{value}}（平均；全体：{{all}}）"),
        Words(f"high {label.en}", f"{label.zh}高"),
        Words(f"low {label.en}", f"{label.zh}低"),
    )
