"""What a rule about customers can name: the one catalogue behind search, segments and (later) campaigns.

Kept in one place, above all domains whose tables it reads, so that it can be read as the language's dictionary.
Every entry says which scope naming it takes: that of the domain its table belongs to.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, get_args
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Date, DateTime, FromClause, Integer, Text, case, cast, exists, func, not_, true

from crm_api.attributes.models import PREFIX, Definition
from crm_api.attributes.repository import AttributeRepository, sql_field
from crm_api.classifications.repository import CLASSES, COLUMNS, TITLES, name_of
from crm_api.classifications.tables import customer_scores
from crm_api.closing.tables import complaint_ratings
from crm_api.complaints import models as complaint
from crm_api.complaints.repository import is_open
from crm_api.complaints.tables import complaints
from crm_api.consent.repository import SENDABLE, allows
from crm_api.consent.tables import consents
from crm_api.core.rules import AsOf, FieldTest, Op, Rule, RuleCollection, RuleField, RuleTree, RuleType
from crm_api.customers.models import AgeRange, ContactKind
from crm_api.customers.repository.birthdays import birthday_key, next_birthday_shown, next_birthday_test
from crm_api.customers.tables import contact_points, customer_addresses, customer_identities, customer_tags
from crm_api.db.rule_values import Predicate, bind
from crm_api.db.rules import Side, SqlCollection, SqlField, SqlRules
from crm_api.db.uow import UnitOfWork
from crm_api.events.tables import events
from crm_api.households.repository import age_months, stage_of
from crm_api.households.tables import customer_children
from crm_api.loyalty.tables import loyalty_wallets
from crm_api.orders.tables import customer_purchase_facts, order_lines, orders
from crm_api.patterns.tables import customer_favourites, customer_interests, customer_patterns
from crm_api.segments.repository import labels
from crm_api.segments.tables import segment_members

CUSTOMER_RULES = SqlRules()

CUSTOMERS, ORDERS, LOYALTY, SEGMENTS = "customers:read", "orders:read", "loyalty:read", "segments:read"
EVENTS, COMPLAINTS = "events:read", "complaints:read"


def _beside(table: Any) -> Side:
    return Side(table, lambda c, s: s.c.customer_id == c.c.id)


_NONE: Final[labels.Labels] = {}


def _labelled(choices: Iterable[str], known: labels.Labels) -> labels.Labels:
    return {each: known[each] for each in choices}


def _choice(name: str, en: str, zh: str, choices: Iterable[str], known: labels.Labels) -> RuleField:
    """Name a field of a collection's rows that is one of a few words."""
    called = _labelled(choices, known)
    return RuleField(name, RuleType.CHOICE, en, zh, choices=tuple(called), labels_zh=called)


def _classes(dimension: str) -> labels.Labels:
    return {each: name_of(dimension, each, {})["zh"] for each in CLASSES[dimension]}


def _profile(name: str, kind: RuleType, en: str, zh: str, choices: labels.Labels = _NONE) -> SqlField:
    field = RuleField(name, kind, en, zh, choices=tuple(choices), labels_zh=choices, scope=CUSTOMERS)
    return SqlField(field, lambda c: c.c[name])


CUSTOMER_RULES.register(
    SqlField(
        RuleField(
            "next_birthday", RuleType.DATE, "Next birthday, solar or lunar", "下次生日（公历或农历）", scope=CUSTOMERS
        ),
        birthday_key,
        test=next_birthday_test,
        shown=next_birthday_shown,
    ),
    _profile("age_range", RuleType.CHOICE, "Age range", "年龄段", _labelled(get_args(AgeRange), labels.AGES)),
    SqlField(
        RuleField("interests", RuleType.MULTI, "Interests", "兴趣", scope=CUSTOMERS),
        lambda c: c.c.interests,
    ),
    SqlField(
        RuleField("address_cities", RuleType.MULTI, "Cities of addresses", "地址所在城市", scope=CUSTOMERS),
        lambda a: a.c.city,
        side=_beside(customer_addresses),
    ),
    _profile("kind", RuleType.CHOICE, "Person or company", "个人或企业", labels.PARTIES),
    _profile("name", RuleType.TEXT, "Name", "姓名"),
    _profile("gender", RuleType.CHOICE, "Gender", "性别", labels.GENDERS),
    _profile("city", RuleType.TEXT, "City", "城市"),
    _profile("region", RuleType.TEXT, "Region", "地区"),
    _profile("occupation", RuleType.TEXT, "Occupation", "职业"),
    _profile("source", RuleType.TEXT, "How the customer was won", "来源"),
    _profile("price_sensitivity", RuleType.CHOICE, "Price sensitivity", "价格敏感度", labels.LEVELS),
    _profile("blacklisted", RuleType.BOOLEAN, "Blacklisted", "黑名单"),
    _profile("owner_id", RuleType.UUID, "Staff member who looks after the customer", "归属员工"),
    _profile("store_id", RuleType.UUID, "Store", "门店"),
    _profile("created_at", RuleType.INSTANT, "When the customer was entered", "建档时间"),
    _profile("birth_year", RuleType.INTEGER, "Year of birth", "出生年"),
    _profile("birth_month", RuleType.INTEGER, "Month of birth", "出生月"),
    SqlField(
        RuleField("tags", RuleType.MULTI, "Tags", "标签", scope=CUSTOMERS),
        lambda t: t.c.tag,
        side=_beside(customer_tags),
    ),
    SqlField(
        RuleField(
            "contact_kinds",
            RuleType.MULTI,
            "Kinds of contact points",
            "联系方式类型",
            labels_zh=labels.CONTACT_KINDS,
            scope=CUSTOMERS,
        ),
        lambda p: p.c.kind,
        side=_beside(contact_points),
    ),
    SqlField(
        RuleField("platforms", RuleType.MULTI, "Platforms the customer is known on", "所在平台", scope=CUSTOMERS),
        lambda i: i.c.platform,
        side=_beside(customer_identities),
    ),
)


def _fact(name: str, kind: RuleType, en: str, zh: str, column: str, **options: Any) -> SqlField:
    """Name a purchase fact; customers without a purchase have none."""
    if kind is RuleType.MONEY:
        options["currency"] = lambda f: f.c.currency
    field = RuleField(name, kind, en, zh, scope=ORDERS)
    return SqlField(field, lambda f: f.c[column], side=_beside(customer_purchase_facts), **options)


def _score(name: str, kind: RuleType, en: str, zh: str, column: str, choices: labels.Labels = _NONE) -> SqlField:
    """Name a score of the last scoring run."""
    field = RuleField(name, kind, en, zh, choices=tuple(choices), labels_zh=choices, scope=SEGMENTS)
    return SqlField(field, lambda s: s.c[column], side=_beside(customer_scores))


CUSTOMER_RULES.register(
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
            _choice("status", "Status", "状态", labels.ORDER_STATUSES, labels.ORDER_STATUSES), lambda o: o.c.status
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

CUSTOMER_RULES.register(
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

CUSTOMER_RULES.register(
    _score("lifecycle", RuleType.CHOICE, "Lifecycle stage", "生命周期", "lifecycle", _classes("lifecycle")),
    _score("rfm_recency", RuleType.INTEGER, "Recency quintile, 5 best", "RFM 近度", "r"),
    _score("rfm_frequency", RuleType.INTEGER, "Frequency quintile, 5 best", "RFM 频度", "f"),
    _score("rfm_monetary", RuleType.INTEGER, "Monetary quintile, 5 best", "RFM 额度", "m"),
    SqlField(
        RuleField("rfm_cell", RuleType.TEXT, "RFM cell", "RFM 单元格", scope=SEGMENTS),
        lambda s: cast(s.c.r, Text) + cast(s.c.f, Text) + cast(s.c.m, Text),
        side=_beside(customer_scores),
    ),
    # Tenants name the groups, so any text may be one.
    _score("rfm_group", RuleType.TEXT, "RFM group", "RFM 分组", "rfm_group"),
    _score("grade", RuleType.CHOICE, "Grade by share of turnover", "客户等级", "grade", _classes("grade")),
    *(
        _score(name, RuleType.CHOICE, TITLES[dimension]["en"], TITLES[dimension]["zh"], name, _classes(dimension))
        for dimension, name in COLUMNS.items()
        if dimension not in {"lifecycle", "grade", "rfm"}
    ),
    SqlField(
        RuleField("points", RuleType.INTEGER, "Points available", "可用积分", scope=LOYALTY),
        lambda w: w.c.available,
        side=Side(loyalty_wallets, lambda c, w: (w.c.customer_id == c.c.id) & (w.c.kind == "spendable")),
        default=0,
    ),
)


SEGMENT_FIELD = "segments"
"""The field that names other segments; see `segments_named`."""

CUSTOMER_RULES.register(
    SqlField(
        RuleField(
            SEGMENT_FIELD,
            RuleType.MULTI,
            "Segments",
            "所在分群",
            items=RuleType.UUID,
            # Not `exists`: a rule says which segments it depends on.
            operators=(Op.CONTAINS, Op.CONTAINS_ANY, Op.CONTAINS_ALL),
            scope=SEGMENTS,
        ),
        lambda member: member.c.segment_id,
        side=_beside(segment_members),
    )
)


def segments_named(rule: Rule) -> frozenset[UUID]:
    """Return the segments that a rule asks for: its dependencies; whether they exist is for its user to find out."""
    asked = [leaf.value for leaf in rule.leaves() if isinstance(leaf, FieldTest) and leaf.field.name == SEGMENT_FIELD]
    values = [value for each in asked for value in (each if isinstance(each, tuple) else (each,))]
    return frozenset(value for value in values if isinstance(value, UUID))


CUSTOMER_RULES.register(
    SqlCollection(
        RuleCollection("contact_points", "Contact points", "联系方式", time="added_at", scope=CUSTOMERS),
        contact_points,
        lambda c, p: p.c.customer_id == c.c.id,
        SqlField(RuleField("added_at", RuleType.INSTANT, "When it was entered", "录入时间"), lambda p: p.c.created_at),
        SqlField(_choice("kind", "Kind", "类型", get_args(ContactKind), labels.CONTACT_KINDS), lambda p: p.c.kind),
        SqlField(RuleField("primary", RuleType.BOOLEAN, "First of its kind", "首选"), lambda p: p.c.is_primary),
        SqlField(
            RuleField("verified", RuleType.BOOLEAN, "Whether it was verified", "是否已验证"),
            lambda p: p.c.verified_at.is_not(None),
        ),
        SqlField(
            RuleField("verified_at", RuleType.INSTANT, "When it was verified", "验证时间"), lambda p: p.c.verified_at
        ),
    ),
)


def _open_complaint(c: FromClause, op: Op, value: Any, _as_of: AsOf) -> Predicate:
    """Test whether a complaint is open: an existence, so that PostgreSQL can join; for `SqlField.test`.

    Inquiries, requests and praise are cases too, but no complaints.
    """
    if op is Op.EXISTS:
        return true()
    k = complaints.alias()
    found = exists().where(
        k.c.tenant_id == c.c.tenant_id, k.c.customer_id == c.c.id, k.c.kind == "complaint", is_open(k)
    )
    found = found.select_from(k).correlate(c)
    return found if value else not_(found)


CUSTOMER_RULES.register(
    SqlField(
        RuleField(
            "open_complaint",
            RuleType.BOOLEAN,
            "Open complaint",
            "有未解决的投诉",
            scope=COMPLAINTS,
        ),
        lambda k: k.c.id,
        side=_beside(complaints),
        test=_open_complaint,
    ),
    SqlCollection(
        RuleCollection("complaints", "Complaint cases", "投诉", time="received_at", scope=COMPLAINTS),
        complaints,
        lambda c, k: k.c.customer_id == c.c.id,
        SqlField(RuleField("received_at", RuleType.INSTANT, "When it came in", "收到时间"), lambda k: k.c.received_at),
        SqlField(
            _choice("state", "State", "状态", get_args(complaint.State), labels.COMPLAINT_STATES), lambda k: k.c.state
        ),
        SqlField(RuleField("open", RuleType.BOOLEAN, "Whether it waits for its resolution", "是否未解决"), is_open),
        SqlField(_choice("kind", "Kind", "类型", get_args(complaint.Kind), labels.COMPLAINT_KINDS), lambda k: k.c.kind),
        SqlField(
            RuleField("severity", RuleType.CHOICE, "Severity", "严重程度", choices=("S1", "S2", "S3", "S4")),
            lambda k: k.c.severity,
        ),
        SqlField(RuleField("safety", RuleType.BOOLEAN, "Safety is concerned", "涉及安全"), lambda k: k.c.safety),
        SqlField(
            _choice("channel", "Channel", "渠道", get_args(complaint.Channel), labels.COMPLAINT_CHANNELS),
            lambda k: k.c.channel,
        ),
        SqlField(RuleField("category", RuleType.TEXT, "What it is about", "投诉类别"), lambda k: k.c.category),
        SqlField(RuleField("root_cause", RuleType.TEXT, "Why it happened", "根本原因"), lambda k: k.c.root_cause),
        SqlField(RuleField("reopened", RuleType.INTEGER, "Times reopened", "重开次数"), lambda k: k.c.reopened),
        SqlField(
            RuleField("resolved_at", RuleType.INSTANT, "When it was resolved", "解决时间"), lambda k: k.c.resolved_at
        ),
        SqlField(RuleField("closed_at", RuleType.INSTANT, "When it was closed", "关闭时间"), lambda k: k.c.closed_at),
    ),
)

CUSTOMER_RULES.register(
    SqlCollection(
        RuleCollection("complaint_ratings", "Ratings after a case", "投诉评价", time="answered_at", scope=COMPLAINTS),
        complaint_ratings,
        # Questions that nobody has answered are no ratings.
        lambda c, r: (r.c.customer_id == c.c.id) & r.c.answered_at.is_not(None),
        SqlField(
            RuleField("answered_at", RuleType.INSTANT, "When it was answered", "评价时间"), lambda r: r.c.answered_at
        ),
        SqlField(RuleField("csat", RuleType.INTEGER, "Satisfaction, 1 to 5", "满意度（1–5）"), lambda r: r.c.csat),
        SqlField(RuleField("ces", RuleType.INTEGER, "Ease, 1 to 7", "轻松度（1–7）"), lambda r: r.c.ces),
        SqlField(RuleField("low", RuleType.BOOLEAN, "Whether it was low", "是否低分"), lambda r: r.c.low),
    ),
)


# -- anniversaries -----------------------------------------------------------------------------------------------------

ANNIVERSARIES = "anniversaries."


def _next_anniversary(day: ColumnElement[Any], as_of: AsOf) -> ColumnElement[Any]:
    """Return the first yearly return of a date from today on, at least a year after it.

    29 February is kept on 28 February in common years, like birthdays: so PostgreSQL adds years to a date.
    """
    today = as_of.today()
    years = func.greatest(bind(today.year, Integer()) - cast(func.extract("year", day), Integer), 1)
    this, following = (cast(day + func.make_interval(count), Date) for count in (years, years + 1))
    return case((this >= bind(today, Date()), this), else_=following)


def _business_day(instant: ColumnElement[Any], as_of: AsOf) -> ColumnElement[Any]:
    return cast(func.timezone(bind(as_of.zone.key, Text()), instant), Date)


def anniversary_field(base: RuleField) -> RuleField:
    """Return the field of a date's next anniversary, in words for the date's own."""
    return RuleField(
        ANNIVERSARIES + base.name,
        RuleType.DATE,
        f"Next anniversary of {base.description}",
        f"{base.description_zh or base.description}的下次周年日",
        scope=base.scope,
        archived=base.archived,
    )


def _anniversary(name: str, en: str, zh: str, column: str, scope: str, side: Side | None = None) -> SqlField:
    """Name the next anniversary of an instant: of its business day in the tenant's zone."""
    return SqlField(
        anniversary_field(RuleField(name, RuleType.DATE, en, zh, scope=scope)),
        lambda row: row.c[column],
        side=side,
        dated=lambda row, as_of, _tenant: _next_anniversary(_business_day(row.c[column], as_of), as_of),
    )


CUSTOMER_RULES.register(
    _anniversary("created", "the day the customer was entered", "建档", "created_at", CUSTOMERS),
    _anniversary(
        "first_order", "the first purchase", "首次购买", "first_order_at", ORDERS, _beside(customer_purchase_facts)
    ),
)


def _attribute_fields(definition: Definition) -> Iterator[SqlField]:
    """Yield what rules can name of an attribute: the value, and of a date its next anniversary."""
    value = sql_field(definition, CUSTOMERS)
    yield value
    if definition.type == "date":
        of = value.expr
        yield replace(
            value,
            field=anniversary_field(value.field),
            dated=lambda row, as_of, _tenant: _next_anniversary(of(row), as_of),
        )


CONSENT = "consent:read"


def _consent(purpose: str, channel: str) -> SqlField:
    """Name whether something may be sent now; never missing."""
    name = f"consents.{purpose}.{channel}"
    field = RuleField(
        name,
        RuleType.BOOLEAN,
        f"Whether {purpose} by {channel} is allowed",
        f"是否允许{labels.PURPOSES[purpose]}（{labels.SENDING[channel]}）",
        scope=CONSENT,
    )
    return SqlField(field, lambda c: allows(c, purpose, channel))


CUSTOMER_RULES.register(
    *(_consent(purpose, channel) for purpose, channel in SENDABLE),
    SqlCollection(
        RuleCollection("consents", "What was agreed to and refused", "同意与撤回记录", time="at", scope=CONSENT),
        consents,
        lambda c, e: e.c.customer_id == c.c.id,
        SqlField(RuleField("at", RuleType.INSTANT, "When it was said", "时间"), lambda e: e.c.at),
        SqlField(RuleField("purpose", RuleType.TEXT, "Purpose", "用途"), lambda e: e.c.purpose),
        SqlField(RuleField("channel", RuleType.TEXT, "Channel, or any", "渠道"), lambda e: e.c.channel),
        SqlField(
            _choice("action", "Given or taken back", "动作", tuple(labels.CONSENT_ACTIONS), labels.CONSENT_ACTIONS),
            lambda e: e.c.action,
        ),
        SqlField(RuleField("source", RuleType.TEXT, "Where it was said", "来源"), lambda e: e.c.source),
    ),
)


async def customer_rules(unit: UnitOfWork, tree: Any = None) -> SqlRules:
    """Return what rules of the unit's tenant can name: its own attributes too, as ``attributes.<key>``.

    Args:
        unit: the unit.
        tree: a rule; the definitions are only read when it names an attribute. Without one they always are.

    """
    if tree is not None and not _names_attributes(tree):
        return CUSTOMER_RULES
    definitions = await AttributeRepository(unit).definitions("customer")
    return CUSTOMER_RULES.extended(*(field for each in definitions.values() for field in _attribute_fields(each)))


def _names_attributes(tree: Any) -> bool:
    raw = tree.document if isinstance(tree, RuleTree) else tree
    # Also inside `anniversaries.attributes.<key>`.
    return PREFIX in raw if isinstance(raw, str) else PREFIX.encode() in orjson.dumps(raw)


def _age(child: FromClause, as_of: AsOf, _tenant: ColumnElement[Any]) -> ColumnElement[Any]:
    return age_months(child.c.born_on, bind(as_of.today(), Date()))


def _stage(child: FromClause, as_of: AsOf, tenant: ColumnElement[Any]) -> ColumnElement[Any]:
    return stage_of(child.c.born_on, child.c.due_date, tenant, bind(as_of.instant, DateTime(timezone=True)))


CUSTOMER_RULES.register(
    SqlField(
        RuleField("child_stages", RuleType.MULTI, "Stages of the household's children", "孩子阶段", scope=CUSTOMERS),
        lambda child: child.c.born_on,
        side=_beside(customer_children),
        dated=_stage,
    ),
    SqlCollection(
        RuleCollection("children", "Children of the household", "家中孩子", scope=CUSTOMERS),
        customer_children,
        lambda c, child: child.c.customer_id == c.c.id,
        SqlField(
            RuleField("age_months", RuleType.INTEGER, "Whole months since birth", "月龄"),
            lambda child: child.c.born_on,
            dated=_age,
        ),
        SqlField(RuleField("stage", RuleType.TEXT, "Stage", "阶段"), lambda child: child.c.born_on, dated=_stage),
        SqlField(RuleField("born_on", RuleType.DATE, "Day of birth", "出生日期"), lambda child: child.c.born_on),
        SqlField(RuleField("due_date", RuleType.DATE, "Due date", "预产期"), lambda child: child.c.due_date),
        SqlField(
            _choice("sex", "Sex", "性别", ("female", "male"), {"female": "女", "male": "男"}), lambda child: child.c.sex
        ),
    ),
)


def _pattern(name: str, kind: RuleType, en: str, zh: str, column: str, choices: labels.Labels = _NONE) -> SqlField:
    """Name a pattern of the customer's purchases; ``patterns.changed`` tells whenever one has changed."""
    field = RuleField(name, kind, en, zh, choices=tuple(choices), labels_zh=choices, scope=ORDERS)
    currency: Any = (lambda p: p.c.currency) if kind is RuleType.MONEY else None
    return SqlField(field, lambda p: p.c[column], side=_beside(customer_patterns), currency=currency)


def _interested(name: str, kind: str, en: str, zh: str) -> SqlField:
    side = Side(customer_interests, lambda c, i: (i.c.customer_id == c.c.id) & (i.c.kind == kind))
    return SqlField(RuleField(name, RuleType.MULTI, en, zh, scope=EVENTS), lambda i: i.c.item, side=side)


CUSTOMER_RULES.register(
    SqlField(
        RuleField("favourite_categories", RuleType.MULTI, "Favourite categories", "偏好品类", scope=ORDERS),
        lambda f: f.c.category,
        side=_beside(customer_favourites),
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
    _interested("interested_products", "product", "SKUs looked at and not bought since", "浏览未购商品（SKU）"),
    _interested("interested_categories", "category", "Categories looked at and not bought since", "浏览未购品类"),
)
