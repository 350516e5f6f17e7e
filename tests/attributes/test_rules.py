"""Attribute values: what each type takes, what is stored of it, and how cells of files are read."""

from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api.attributes import rules
from crm_api.attributes.models import Choice, Definition
from crm_api.core.errors import Invalid

CHOICES = (Choice("dry", "Dry", "干性"), Choice("oily", "Oily", "油性"), Choice("old", "Old", "旧", archived=True))
STORE = "0198a0c0-0000-7000-8000-000000000001"


def define(kind, **more):
    choices = CHOICES if kind in rules.CHOOSING else ()
    refers_to = "store" if kind == "reference" else None
    return Definition(UUID(int=1), "customer", "x", kind, "X", "某", choices=choices, refers_to=refers_to, **more)


def read(kind, raw, **more):
    return rules.read_values({"x": define(kind, **more)}, {"x": raw})["x"]


def refused(kind, raw, **more):
    with pytest.raises(Invalid) as error:
        read(kind, raw, **more)
    (only,) = error.value.errors
    assert only.message_zh
    return only.pointer, only.code


@pytest.mark.parametrize(
    ("kind", "raw", "stored"),
    [
        ("text", "  红色  ", "红色"),
        ("text", "   ", None),
        ("number", 40, 40),
        ("number", 40.0, 40),
        ("number", 40.5, 40.5),
        ("number", -(2**53) + 1, -(2**53) + 1),
        ("money", {"amount": 1999, "currency": "CNY"}, {"amount": 1999, "currency": "CNY"}),
        ("date", "2024-02-29", "2024-02-29"),
        ("boolean", False, False),
        ("choice", "oily", "oily"),
        ("multi_choice", ["oily", "dry", "oily"], ["dry", "oily"]),
        ("multi_choice", [], None),
        ("reference", STORE.upper(), STORE),
        ("number", None, None),
    ],
)
def test_what_is_stored(kind, raw, stored):
    assert read(kind, raw) == stored
    assert type(read(kind, raw)) is type(stored)


@pytest.mark.parametrize(
    ("kind", "raw", "pointer", "code"),
    [
        ("text", 1, "/attributes/x", "wrong_type"),
        ("text", "x" * 501, "/attributes/x", "too_long"),
        ("text", "\ud800", "/attributes/x", "invalid_text"),
        ("number", "40", "/attributes/x", "wrong_type"),
        ("number", True, "/attributes/x", "wrong_type"),
        ("number", float("nan"), "/attributes/x", "wrong_type"),
        ("number", 2**53, "/attributes/x", "out_of_range"),
        ("money", 1999, "/attributes/x", "wrong_type"),
        ("money", {"amount": 19.99, "currency": "CNY"}, "/attributes/x/amount", "wrong_type"),
        ("money", {"amount": 1, "currency": "XXX"}, "/attributes/x/currency", "unknown_currency"),
        ("date", "2026-02-29", "/attributes/x", "invalid_date"),
        ("date", "2026-1-1", "/attributes/x", "wrong_type"),
        ("date", "0001-01-01", "/attributes/x", "out_of_range"),
        ("boolean", 1, "/attributes/x", "wrong_type"),
        ("choice", "wet", "/attributes/x", "unknown_choice"),
        ("choice", "old", "/attributes/x", "unknown_choice"),
        ("choice", ["dry"], "/attributes/x", "unknown_choice"),
        ("multi_choice", "dry", "/attributes/x", "wrong_type"),
        ("multi_choice", ["dry", {}], "/attributes/x", "unknown_choice"),
        ("reference", "12", "/attributes/x", "invalid_id"),
    ],
)
def test_what_is_refused(kind, raw, pointer, code):
    assert refused(kind, raw) == (pointer, code)


def test_limits():
    assert refused("number", 61, minimum=20, maximum=60) == ("/attributes/x", "out_of_range")
    assert refused("money", {"amount": 1, "currency": "CNY"}, minimum=100) == ("/attributes/x", "out_of_range")
    assert refused("text", "abc", max_length=2) == ("/attributes/x", "too_long")
    assert read("number", 60, minimum=20, maximum=60) == 60


def test_what_is_required_cannot_be_cleared_or_left_out():
    definition = define("number", required=True)
    assert refused("number", None, required=True) == ("/attributes/x", "required")
    assert [error.pointer for error in rules.missing({"x": definition}, {})] == ["/attributes/x"]
    assert rules.missing({"x": definition}, {"x": 1}) == []


def test_archived_attributes_can_only_be_cleared():
    assert refused("number", 1, archived=True) == ("/attributes/x", "attribute_archived")
    assert read("number", None, archived=True) is None
    assert rules.missing({"x": define("number", archived=True, required=True)}, {}) == []


def test_all_faults_are_told_at_once():
    with pytest.raises(Invalid) as error:
        rules.read_values({"x": define("number")}, {"x": "a", "no/such": 1})
    assert [(each.pointer, each.code) for each in error.value.errors] == [
        ("/attributes/x", "wrong_type"),
        ("/attributes/no~1such", "unknown_attribute"),
    ]


def test_changes_are_merged():
    assert rules.merged({"a": 1, "b": 2}, {"b": None, "c": False}) == {"a": 1, "c": False}


@pytest.mark.parametrize(
    ("kind", "cell", "stored"),
    [
        ("text", " 红 ", "红"),
        ("number", "1,234.50", 1234.5),
        ("number", "40.0", 40),
        ("money", "¥1,999.00", {"amount": 199900, "currency": "CNY"}),
        ("money", "19.99 USD", {"amount": 1999, "currency": "USD"}),
        ("money", "5元", {"amount": 500, "currency": "CNY"}),
        ("date", "2026/1/31", "2026-01-31"),
        ("date", "2026年1月31日", "2026-01-31"),
        ("date", "20260131", "2026-01-31"),
        ("date", "2026-01-31 00:00:00", "2026-01-31"),
        ("boolean", "是", True),
        ("boolean", "No", False),
        ("choice", "油性", "oily"),
        ("choice", "DRY", "dry"),
        ("multi_choice", "油性、dry", ["dry", "oily"]),
        ("reference", STORE, STORE),
    ],
)
def test_cells(kind, cell, stored):
    definition = define(kind)
    assert rules.read_values({"x": definition}, {"x": rules.parse_cell(definition, cell, "CNY")})["x"] == stored


@given(st.sampled_from([*rules._READ]), st.text(max_size=20))
def test_any_cell_is_read_or_refused(kind, cell):
    definition = define(kind)
    with suppress(Invalid):
        rules.read_values({"x": definition}, {"x": rules.parse_cell(definition, cell, "CNY")})


@given(
    st.sampled_from([*rules._READ]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(str(uuid4())),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_what_was_stored_is_taken_again(kind, raw):
    try:
        stored = read(kind, raw)
    except Invalid:
        return
    assert read(kind, stored) == stored
