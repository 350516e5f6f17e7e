"""Rules in words beside the segments that are kept by them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, FromClause, Text, Uuid, any_, cast, func, literal, select

from crm_api.attributes.models import PREFIX, RULE_TYPES
from crm_api.attributes.tables import attribute_definitions
from crm_api.core.rules import Rule, RuleCatalogue, RuleField, RuleType, rule_sentence, rule_text
from crm_api.db.projections import TENANT, Field, column, python, sql
from crm_api.db.uow import UnitOfWork
from crm_api.segments.repository.catalogue import CUSTOMER_RULES
from crm_api.segments.repository.catalogue.anniversaries import anniversary_field
from crm_api.segments.repository.catalogue.standing import SEGMENT_FIELD, segments_named
from crm_api.segments.tables import segments


def _attributes(_segment: FromClause) -> ColumnElement[Any]:
    """Select what the tenant calls its own attributes: ``[key, type, en, zh]`` each."""
    a = attribute_definitions.alias()
    each = func.jsonb_build_array(a.c.key, a.c.type, a.c.label_en, a.c.label_zh)
    return select(func.jsonb_agg(each)).where(a.c.tenant_id == TENANT, a.c.entity == "customer").scalar_subquery()


def _named(segment: FromClause) -> ColumnElement[Any]:
    """Select the names of the segments that a segment's rule asks for: ``{id: name}``."""
    s = segments.alias()
    written = func.lower(cast(segment.c.rule, Text))
    found = select(func.jsonb_object_agg(cast(s.c.id, Text), s.c.name)).where(
        s.c.tenant_id == TENANT,
        # Most rules ask for none: then no name is looked at.
        func.strpos(written, f'"{SEGMENT_FIELD}"') > 0,
        func.strpos(written, cast(s.c.id, Text)) > 0,
    )
    return found.scalar_subquery()


NEEDS: Mapping[str, Field] = {"rule": column("rule"), "attributes": sql(_attributes)}


async def segment_names(unit: UnitOfWork, rule: Rule) -> dict[str, str]:
    """Return what the segments that a rule asks for are called, by id in lower case."""
    asked = segments_named(rule)
    if not asked:
        return {}
    wanted = any_(literal(sorted(asked), ARRAY(Uuid)))
    statement = select(segments.c.id, segments.c.name).where(
        segments.c.tenant_id == unit.tenant_id, segments.c.id == wanted
    )
    return {str(row["id"]): row["name"] for row in await unit.fetch_all(statement)}


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
    return None if row["rule"] is None else rule_sentence(row["rule"], _catalogue(row), row["named"])


IN_WORDS: Mapping[str, Field] = {
    "rule_text": python(_text, needs=NEEDS, on_request=True),
    "sentence": python(_sentence, needs={**NEEDS, "named": sql(_named)}, on_request=True),
}
"""The projection's fields; a rule written long ago is put into words as it stands, sound or not."""
