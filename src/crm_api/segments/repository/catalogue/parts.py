"""What entries of the catalogue are made of."""

from collections.abc import Iterable
from typing import Any

from crm_api.core.rules import RuleField, RuleType
from crm_api.db.rules import Side, SqlCollection, SqlField
from crm_api.segments.repository import labels

CUSTOMERS, ORDERS, LOYALTY, SEGMENTS = "customers:read", "orders:read", "loyalty:read", "segments:read"
EVENTS, COMPLAINTS, CONSENT = "events:read", "complaints:read", "consent:read"
"""The scopes that naming an entry takes."""

Entries = tuple[SqlField | SqlCollection, ...]


def beside(table: Any) -> Side:
    """Return the rows of a table that are the customer's."""
    return Side(table, lambda c, s: s.c.customer_id == c.c.id)


def labelled(choices: Iterable[str], known: labels.Labels) -> labels.Labels:
    """Return what each choice is called."""
    return {each: known[each] for each in choices}


def choice(name: str, en: str, zh: str, choices: Iterable[str], known: labels.Labels) -> RuleField:
    """Name a field of a collection's rows that is one of a few words."""
    called = labelled(choices, known)
    return RuleField(name, RuleType.CHOICE, en, zh, choices=tuple(called), labels_zh=called)
