"""Rules as rows, as published definitions (JSON), and as terms to reckon with."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from crm_api.earning.rules import Counts, Formula, Terms

DEFINING: Final = (
    "name",
    "trigger",
    "event_type",
    "customer_rule",
    "order_rule",
    "lines_rule",
    "event_rule",
    "formula",
    "gives",
    "stacking",
    "stacking_group",
    "priority",
    "keeps_base",
    "counts",
    "caps",
    "starts_at",
    "ends_at",
    "reason",
)
"""The columns of a rule that say what it earns."""


def definition_of(row: Any) -> dict[str, Any]:
    """Return what a version keeps of a rule's row."""
    return {name: plain(row[name]) for name in DEFINING}


def plain(value: Any) -> Any:
    """Return a column's value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def terms_of(rule_id: UUID, revision: int, definition: Mapping[str, Any]) -> Terms:
    """Return a published definition as terms."""
    given = dict(definition)
    for name in ("starts_at", "ends_at"):
        given[name] = None if given[name] is None else datetime.fromisoformat(given[name])
    formula = {name: value for name, value in given.pop("formula").items() if value is not None}
    caps = {name: value for name, value in given.pop("caps").items() if value is not None}
    return Terms(
        rule_id=rule_id,
        revision=revision,
        formula=Formula(**formula),
        counts=Counts(**given.pop("counts")),
        caps=caps,
        **given,
    )
