"""How the shop sees a customer: classes and scores, points, and the segments they are in."""

from typing import Final
from uuid import UUID

from sqlalchemy import Text, cast

from crm_api.classifications.repository import CLASSES, COLUMNS, TITLES, name_of
from crm_api.classifications.tables import customer_scores
from crm_api.core.rules import FieldTest, Op, Rule, RuleField, RuleType
from crm_api.db.rules import Side, SqlField
from crm_api.loyalty.tables import loyalty_wallets
from crm_api.segments.repository import labels
from crm_api.segments.repository.catalogue.parts import LOYALTY, SEGMENTS, Entries, beside
from crm_api.segments.tables import segment_members

SEGMENT_FIELD = "segments"
"""The field that names other segments; see `segments_named`."""


def _classes(dimension: str) -> labels.Labels:
    return {each: name_of(dimension, each, {})["zh"] for each in CLASSES[dimension]}


def _score(name: str, kind: RuleType, en: str, zh: str, column: str, choices: labels.Labels = labels.NONE) -> SqlField:
    """Name a score of the last scoring run."""
    field = RuleField(name, kind, en, zh, choices=tuple(choices), labels_zh=choices, scope=SEGMENTS)
    return SqlField(field, lambda s: s.c[column], side=beside(customer_scores))


STANDING: Final[Entries] = (
    _score("lifecycle", RuleType.CHOICE, "Lifecycle stage", "生命周期", "lifecycle", _classes("lifecycle")),
    _score("rfm_recency", RuleType.INTEGER, "Recency quintile, 5 best", "RFM 近度", "r"),
    _score("rfm_frequency", RuleType.INTEGER, "Frequency quintile, 5 best", "RFM 频度", "f"),
    _score("rfm_monetary", RuleType.INTEGER, "Monetary quintile, 5 best", "RFM 额度", "m"),
    SqlField(
        RuleField("rfm_cell", RuleType.TEXT, "RFM cell", "RFM 单元格", scope=SEGMENTS),
        lambda s: cast(s.c.r, Text) + cast(s.c.f, Text) + cast(s.c.m, Text),
        side=beside(customer_scores),
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
        side=beside(segment_members),
    ),
)


def segments_named(rule: Rule) -> frozenset[UUID]:
    """Return the segments that a rule asks for: its dependencies; whether they exist is for its user to find out."""
    asked = [leaf.value for leaf in rule.leaves() if isinstance(leaf, FieldTest) and leaf.field.name == SEGMENT_FIELD]
    values = [value for each in asked for value in (each if isinstance(each, tuple) else (each,))]
    return frozenset(value for value in values if isinstance(value, UUID))
