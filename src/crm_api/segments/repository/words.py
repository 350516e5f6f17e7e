"""Rules in words beside the segments that are kept by them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, func, select

from crm_api.attributes.models import PREFIX, RULE_TYPES
from crm_api.attributes.tables import attribute_definitions
from crm_api.core.rules import RuleCatalogue, RuleField, RuleType, rule_sentence, rule_text
from crm_api.db.projections import TENANT, Field, column, python, sql
from crm_api.segments.repository.catalogue import CUSTOMER_RULES, anniversary_field


def _attributes(_segment: FromClause) -> ColumnElement[Any]:
    """Select what the tenant calls its own attributes: ``[key, type, en, zh]`` each."""
    a = attribute_definitions.alias()
    each = func.jsonb_build_array(a.c.key, a.c.type, a.c.label_en, a.c.label_zh)
    return select(func.jsonb_agg(each)).where(a.c.tenant_id == TENANT, a.c.entity == "customer").scalar_subquery()


NEEDS: Mapping[str, Field] = {"rule": column("rule"), "attributes": sql(_attributes)}


def _catalogue(row: Mapping[str, Any]) -> RuleCatalogue:
    """Return what rules name, with the tenant's attributes as far as words need them."""
    if not row["attributes"] or PREFIX not in str(row["rule"]):
        return CUSTOMER_RULES.catalogue
    fields = [_field(key, RULE_TYPES[kind], en, zh) for key, kind, en, zh in row["attributes"]]
    anniversaries = [anniversary_field(field) for field in fields if field.type is RuleType.DATE]
    return CUSTOMER_RULES.catalogue.extended(*fields, *anniversaries)


def _field(key: str, kind: RuleType, en: str, zh: str) -> RuleField:
    # Nothing is checked against it, so its choices may stay unknown.
    shown = RuleType.TEXT if kind is RuleType.CHOICE else kind
    return RuleField(PREFIX + key, shown, en, zh)


def _text(row: Mapping[str, Any], _now: datetime) -> str | None:
    return None if row["rule"] is None else rule_text(row["rule"], _catalogue(row))


def _sentence(row: Mapping[str, Any], _now: datetime) -> dict[str, str] | None:
    return None if row["rule"] is None else rule_sentence(row["rule"], _catalogue(row))


IN_WORDS: Mapping[str, Field] = {
    "rule_text": python(_text, needs=NEEDS, on_request=True),
    "sentence": python(_sentence, needs=NEEDS, on_request=True),
}
"""The projection's fields; a rule written long ago is put into words as it stands, sound or not."""
