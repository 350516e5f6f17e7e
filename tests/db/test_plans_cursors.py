"""Cursors that are not ours: refused by name, never an error of the server."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Date, DateTime, Double, Integer, Numeric, SmallInteger, Text, Uuid

from crm_api.core.errors import Invalid
from crm_api.db.plans.cursors import Keyset, decode
from crm_api.db.projections import asc, desc

UUID_TEXT = "0a000000-0000-7000-8000-000000000000"


def pack(*values):
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


BEST = Keyset("Keeper.best", (desc("rating", nulls="last"), desc("id")))
BEST_TYPES = (Integer(), Uuid())


def refused(text, keyset=BEST, types=BEST_TYPES):
    with pytest.raises(Invalid) as raised:
        decode(keyset, types, text, "after")
    (error,) = raised.value.errors
    assert (error.pointer, error.code) == ("/after", "bad_cursor")


def accepted(value, kind):
    (found,) = decode(Keyset("K.o", (asc("x"),)), (kind,), pack("K.o", value), "before")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "!!!!",
        "ÄÖ",
        "\ud800",
        "\x00",
        "a" * 3000,
        base64.urlsafe_b64encode(b"[1, 2").decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        pack(),
        pack("Keeper.best"),
        pack("Keeper.best", 1),
        pack("Keeper.best", 1, UUID_TEXT, 2),
        pack("Keeper.name", 1, UUID_TEXT),
        pack("Animal.best", 1, UUID_TEXT),
        pack(["Keeper.best"], 1, UUID_TEXT),
        pack("Keeper.best", "1", UUID_TEXT),
        pack("Keeper.best", 1.5, UUID_TEXT),
        pack("Keeper.best", True, UUID_TEXT),
        pack("Keeper.best", 2**31, UUID_TEXT),
        pack("Keeper.best", {"a": 1}, UUID_TEXT),
        pack("Keeper.best", 1, "not-a-uuid"),
        pack("Keeper.best", 1, None),
        pack("Keeper.best", 1, 7),
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
        base64.urlsafe_b64encode(b"null").decode(),
        base64.urlsafe_b64encode(b"[" * 1000).decode(),
    ],
)
def test_foreign_and_broken_cursors_are_refused_by_name(text):
    refused(text)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("2026-01-01T00:00:00", DateTime(timezone=True)),
        ("yesterday", DateTime(timezone=True)),
        ("infinity", DateTime(timezone=True)),
        ("2026-13-01", Date()),
        (20260101, Date()),
        ("NaN", Numeric()),
        ("a number", Numeric()),
        (1, Numeric()),
        ("1", Double()),
        (1, Boolean()),
        (1, Text()),
        ("nul\x00", Text()),
        (2**15, SmallInteger()),
        (2**63, BigInteger()),
        (-(2**63) - 1, BigInteger()),
    ],
)
def test_values_of_the_wrong_type_are_refused(value, kind):
    refused(pack("Keeper.best", value), Keyset("Keeper.best", (asc("x"),)), (kind,))


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        ("2026-01-01T00:00:00.12+00:00", DateTime(timezone=True), "2026-01-01 00:00:00.120000+00:00"),
        ("2026-01-31", Date(), "2026-01-31"),
        ("12345678901234567890.5", Numeric(), "12345678901234567890.5"),
        (1.5, Double(), "1.5"),
        (True, Boolean(), "True"),
        ("王", Text(), "王"),
        (2**63 - 1, BigInteger(), str(2**63 - 1)),
        (UUID_TEXT, Uuid(), UUID_TEXT),
    ],
)
def test_values_come_back_typed(value, kind, shown):
    assert str(accepted(value, kind)) == shown


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_no_text_whatever_gets_past(text):
    refused(text)
