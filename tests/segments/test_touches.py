"""Everything a rule can name says which messages touch it, and those messages are really sent."""

import re
from pathlib import Path
from uuid import uuid4

import crm_api
from crm_api import registry
from crm_api.segments.repository.catalogue import CUSTOMER_RULES
from crm_api.segments.touches import EVERYBODY, PRESENCE, SUBJECT, TOUCHED_BY, TYPES, customers_of, messages_of

assert registry.routers()  # importing them registers the rule fields of every domain

SOURCE = Path(crm_api.__file__).parent
# Domains whose messages are put together from parts: {subject}.{what}.
COMPOSED = ("complaint.", "compensation.", "consent.", "company_contact.")


def named():
    catalogue = CUSTOMER_RULES.catalogue
    return [*catalogue.fields, *catalogue.collections, "attributes.size"]


def test_every_entry_says_what_touches_it():
    """A new field or collection is mapped in `segments.touches`, or segments would not follow it."""
    assert [each for each in named() if messages_of(each) is None] == []


def test_what_is_mapped_is_there():
    known = {*named(), *(f"{each.partition('.')[0]}.*" for each in named() if "." in each)}
    planned = {"interactions", "companies"}
    assert set(TOUCHED_BY) - known - planned == set()


def test_every_message_is_sent_by_somebody():
    texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path.name != "touches.py"]
    awaited = {kind.partition(".")[0] + "." if kind.startswith(COMPOSED) else kind for kind in TYPES}
    unsent = {kind for kind in awaited if not any(re.search(rf'"{re.escape(kind)}', text) for text in texts)}
    assert unsent == set()


def test_every_message_names_its_customers_in_one_way():
    one, many = uuid4(), [uuid4(), uuid4()]
    for kind in TYPES - SUBJECT - EVERYBODY.keys():
        assert list(customers_of(kind, uuid4(), {"customer_id": str(one)})) == [one]
        assert list(customers_of(kind, uuid4(), {"customer_id": str(one), "previous_customer_id": str(many[0])})) == [
            one,
            many[0],
        ]
        assert list(customers_of(kind, uuid4(), {"customer_ids": [str(each) for each in many]})) == many
    for kind in SUBJECT:
        assert list(customers_of(kind, one, {})) == [one]
    for kind in EVERYBODY:
        assert list(customers_of(kind, one, {"customer_id": str(one)})) == []
    assert PRESENCE <= TYPES
