"""Who a customer is, and how one is reached."""

from typing import Final, get_args

from crm_api.core.rules import RuleCollection, RuleField, RuleType
from crm_api.customers.models import AgeRange, ContactKind
from crm_api.customers.repository.birthdays import birthday_key, next_birthday_shown, next_birthday_test
from crm_api.customers.tables import contact_points, customer_addresses, customer_identities, customer_tags
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.segments.repository import labels
from crm_api.segments.repository.catalogue.parts import CUSTOMERS, Entries, beside, choice, labelled


def _profile(name: str, kind: RuleType, en: str, zh: str, choices: labels.Labels = labels.NONE) -> SqlField:
    field = RuleField(name, kind, en, zh, choices=tuple(choices), labels_zh=choices, scope=CUSTOMERS)
    return SqlField(field, lambda c: c.c[name])


PROFILE: Final[Entries] = (
    SqlField(
        RuleField(
            "next_birthday", RuleType.DATE, "Next birthday, solar or lunar", "下次生日（公历或农历）", scope=CUSTOMERS
        ),
        birthday_key,
        test=next_birthday_test,
        shown=next_birthday_shown,
    ),
    _profile("age_range", RuleType.CHOICE, "Age range", "年龄段", labelled(get_args(AgeRange), labels.AGES)),
    SqlField(
        RuleField("interests", RuleType.MULTI, "Interests", "兴趣", scope=CUSTOMERS),
        lambda c: c.c.interests,
    ),
    SqlField(
        RuleField("address_cities", RuleType.MULTI, "Cities of addresses", "地址所在城市", scope=CUSTOMERS),
        lambda a: a.c.city,
        side=beside(customer_addresses),
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
        side=beside(customer_tags),
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
        side=beside(contact_points),
    ),
    SqlField(
        RuleField("platforms", RuleType.MULTI, "Platforms the customer is known on", "所在平台", scope=CUSTOMERS),
        lambda i: i.c.platform,
        side=beside(customer_identities),
    ),
)

CONTACT_POINTS: Final = SqlCollection(
    RuleCollection("contact_points", "Contact points", "联系方式", time="added_at", scope=CUSTOMERS),
    contact_points,
    lambda c, p: p.c.customer_id == c.c.id,
    SqlField(RuleField("added_at", RuleType.INSTANT, "When it was entered", "录入时间"), lambda p: p.c.created_at),
    SqlField(choice("kind", "Kind", "类型", get_args(ContactKind), labels.CONTACT_KINDS), lambda p: p.c.kind),
    SqlField(RuleField("primary", RuleType.BOOLEAN, "First of its kind", "首选"), lambda p: p.c.is_primary),
    SqlField(
        RuleField("verified", RuleType.BOOLEAN, "Whether it was verified", "是否已验证"),
        lambda p: p.c.verified_at.is_not(None),
    ),
    SqlField(RuleField("verified_at", RuleType.INSTANT, "When it was verified", "验证时间"), lambda p: p.c.verified_at),
)
