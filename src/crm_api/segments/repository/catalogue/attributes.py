"""What the tenant knows of customers besides: its own attributes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from crm_api.attributes.models import PREFIX, Definition
from crm_api.attributes.repository import sql_field
from crm_api.core.rules import RuleTree
from crm_api.db.rules import SqlField
from crm_api.segments.repository.catalogue.anniversaries import anniversary_field, next_anniversary
from crm_api.segments.repository.catalogue.parts import CUSTOMERS


def attribute_fields(definition: Definition) -> Iterator[SqlField]:
    """Yield what rules can name of an attribute: the value, and of a date its next anniversary."""
    value = sql_field(definition, CUSTOMERS)
    yield value
    if definition.type == "date":
        of = value.expr
        yield replace(
            value,
            field=anniversary_field(value.field),
            dated=lambda row, as_of, _tenant: next_anniversary(of(row), as_of),
        )


def names_attributes(tree: Any) -> bool:
    """Tell whether a rule names any."""
    raw = tree.document if isinstance(tree, RuleTree) else tree
    # Also inside `anniversaries.attributes.<key>`.
    return PREFIX in raw if isinstance(raw, str) else PREFIX.encode() in orjson.dumps(raw)
