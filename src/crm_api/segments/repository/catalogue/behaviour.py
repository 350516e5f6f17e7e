"""What a customer was seen doing, and looked at without buying it."""

from typing import Final

from crm_api.core.rules import RuleCollection, RuleField, RuleType
from crm_api.db.rules import Side, SqlCollection, SqlField
from crm_api.events.tables import events
from crm_api.patterns.tables import customer_interests
from crm_api.segments.repository.catalogue.parts import EVENTS, Entries

BEHAVIOUR: Final[Entries] = (
    SqlCollection(
        RuleCollection("events", "Behaviour events", "行为事件", time="occurred_at", scope=EVENTS),
        events,
        lambda c, e: e.c.customer_id == c.c.id,
        SqlField(RuleField("occurred_at", RuleType.INSTANT, "When it happened", "发生时间"), lambda e: e.c.occurred_at),
        SqlField(RuleField("type", RuleType.TEXT, "What was done", "事件类型"), lambda e: e.c.type),
        SqlField(RuleField("sku", RuleType.TEXT, "Product it was about", "商品编码"), lambda e: e.c.sku),
        SqlField(RuleField("url", RuleType.TEXT, "Page", "页面"), lambda e: e.c.url),
        SqlField(RuleField("session_id", RuleType.TEXT, "Visit", "会话"), lambda e: e.c.session_id),
        SqlField(RuleField("device_id", RuleType.TEXT, "Device", "设备"), lambda e: e.c.device_id),
        SqlField(RuleField("dwell_ms", RuleType.INTEGER, "Time spent, ms", "停留毫秒"), lambda e: e.c.dwell_ms),
    ),
)


def _interested(name: str, kind: str, en: str, zh: str) -> SqlField:
    side = Side(customer_interests, lambda c, i: (i.c.customer_id == c.c.id) & (i.c.kind == kind))
    return SqlField(RuleField(name, RuleType.MULTI, en, zh, scope=EVENTS), lambda i: i.c.item, side=side)


INTERESTS: Final[Entries] = (
    _interested("interested_products", "product", "SKUs looked at and not bought since", "浏览未购商品（SKU）"),
    _interested("interested_categories", "category", "Categories looked at and not bought since", "浏览未购品类"),
)
