"""What a customer has bought, and the patterns in it."""

from typing import Any, Final

from crm_api.core.rules import RuleCollection, RuleField, RuleType
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.orders.tables import customer_purchase_facts, order_lines, orders
from crm_api.patterns.tables import customer_favourites, customer_patterns
from crm_api.segments.repository import labels
from crm_api.segments.repository.catalogue.parts import ORDERS, Entries, beside, choice


def _fact(name: str, kind: RuleType, en: str, zh: str, column: str, **options: Any) -> SqlField:
    """Name a purchase fact; customers without a purchase have none."""
    if kind is RuleType.MONEY:
        options["currency"] = lambda f: f.c.currency
    field = RuleField(name, kind, en, zh, scope=ORDERS)
    return SqlField(field, lambda f: f.c[column], side=beside(customer_purchase_facts), **options)


PURCHASES: Final[Entries] = (
    _fact("order_count", RuleType.INTEGER, "Purchases so far", "累计购买次数", "paid_order_count", default=0),
    _fact("net_spend", RuleType.MONEY, "Paid less refunded", "累计净消费", "net_spend_amount"),
    _fact("average_order_value", RuleType.MONEY, "Average order value", "客单价", "average_order_amount"),
    _fact("first_order_at", RuleType.INSTANT, "First purchase", "首次购买", "first_order_at"),
    _fact("last_order_at", RuleType.INSTANT, "Latest purchase", "最近购买", "last_order_at"),
    _fact("next_expected_at", RuleType.INSTANT, "Next purchase expected", "预计下次购买", "next_expected_at"),
    SqlCollection(
        RuleCollection("orders", "Orders", "订单", time="placed_at", scope=ORDERS),
        orders,
        lambda c, o: o.c.customer_id == c.c.id,
        SqlField(RuleField("placed_at", RuleType.INSTANT, "When it was placed", "下单时间"), lambda o: o.c.placed_at),
        SqlField(
            choice("status", "Status", "状态", labels.ORDER_STATUSES, labels.ORDER_STATUSES), lambda o: o.c.status
        ),
        SqlField(RuleField("platform", RuleType.TEXT, "Platform", "平台"), lambda o: o.c.platform),
        SqlField(RuleField("channel", RuleType.TEXT, "Channel", "渠道"), lambda o: o.c.channel),
        SqlField(RuleField("store_id", RuleType.UUID, "Store", "门店"), lambda o: o.c.store_id),
        SqlField(
            RuleField("total", RuleType.MONEY, "Total", "总额"),
            lambda o: o.c.total_amount,
            currency=lambda o: o.c.currency,
        ),
        SqlField(
            RuleField("paid", RuleType.MONEY, "Paid", "实付"),
            lambda o: o.c.paid_amount,
            currency=lambda o: o.c.currency,
        ),
        SqlField(
            RuleField("refunded", RuleType.MONEY, "Refunded", "已退款"),
            lambda o: o.c.refunded_amount,
            currency=lambda o: o.c.currency,
        ),
        SqlField(RuleField("categories", RuleType.MULTI, "Categories bought", "品类"), lambda o: o.c.categories),
        SqlCollection(
            RuleCollection("lines", "Order lines", "订单明细"),
            order_lines,
            lambda o, line: line.c.order_id == o.c.id,
            SqlField(RuleField("sku", RuleType.TEXT, "Product code", "商品编码"), lambda line: line.c.sku),
            SqlField(RuleField("title", RuleType.TEXT, "Product as sold", "商品名称"), lambda line: line.c.title),
            SqlField(RuleField("category", RuleType.TEXT, "Category", "品类"), lambda line: line.c.category),
            SqlField(RuleField("product_id", RuleType.UUID, "Product", "商品"), lambda line: line.c.product_id),
            SqlField(RuleField("quantity", RuleType.INTEGER, "Quantity", "数量"), lambda line: line.c.quantity),
            SqlField(
                RuleField("amount", RuleType.MONEY, "Amount", "金额"),
                lambda line: line.c.amount,
                currency=lambda line: line.c.currency,
            ),
        ),
    ),
)


def _pattern(
    name: str, kind: RuleType, en: str, zh: str, column: str, choices: labels.Labels = labels.NONE
) -> SqlField:
    """Name a pattern of the customer's purchases; ``patterns.changed`` tells whenever one has changed."""
    field = RuleField(name, kind, en, zh, choices=tuple(choices), labels_zh=choices, scope=ORDERS)
    currency: Any = (lambda p: p.c.currency) if kind is RuleType.MONEY else None
    return SqlField(field, lambda p: p.c[column], side=beside(customer_patterns), currency=currency)


PATTERNS: Final[Entries] = (
    SqlField(
        RuleField("favourite_categories", RuleType.MULTI, "Favourite categories", "偏好品类", scope=ORDERS),
        lambda f: f.c.category,
        side=beside(customer_favourites),
    ),
    _pattern(
        "next_purchase_expected", RuleType.DATE, "Day of the next purchase", "预计下次购买日", "next_purchase_expected"
    ),
    _pattern(
        "next_purchase_to", RuleType.DATE, "Latest day of the next purchase", "预计最晚购买日", "next_purchase_to"
    ),
    _pattern("cycle_days", RuleType.NUMBER, "Days between purchases", "购买周期（天）", "cycle_days"),
    _pattern("usual_order_value", RuleType.MONEY, "Usual order value", "常见订单金额", "median_value_amount"),
    _pattern(
        "discount_share",
        RuleType.NUMBER,
        "Share of spend on discount, 0 to 1",
        "折扣消费占比（0–1）",
        "discounted_spend_share",
    ),
    _pattern(
        "measured_price_sensitivity",
        RuleType.CHOICE,
        "Price sensitivity as measured",
        "价格敏感度（按消费测得）",
        "price_sensitivity",
        labels.LEVELS,
    ),
)
