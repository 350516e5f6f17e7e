"""What our own models refuse is told in both languages."""

import ast
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

import crm_api
from crm_api.calendars.models import TimeOfDay
from crm_api.complaints.models import CauseText, ComplaintTransition
from crm_api.core.models import Input
from crm_api.core.text import Line, Slug, Token
from crm_api.web.graphql.errors import invalid_input
from crm_api.web.units import parse_json
from crm_api.web.validation import _KNOWN, field_errors


def refusals():
    """Return the types of the PydanticCustomErrors that our models raise, with the file of each."""
    for path in Path(crm_api.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PydanticCustomError":
                kind = node.args[0]
                if isinstance(kind, ast.Constant):
                    yield path.name, kind.value


def test_every_refusal_has_a_chinese_text():
    found = set(refusals())
    assert len(found) > 5
    assert {(file, kind) for file, kind in found if kind not in _KNOWN} == set()


class Inner(Input):
    """An object inside another."""


class Outer(Input):
    """What somebody sends."""

    label: Inner
    labels: list[int]
    pair: tuple[int, int]


def test_english_texts_speak_of_json_not_of_our_code():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"label": "x", "labels": "x", "pair": {}, "lable": {}})
    told = {error.pointer: (error.code, error.message) for error in field_errors(_in_body(caught.value))}
    assert told == {
        "/label": ("wrong_type", "Must be an object"),
        "/labels": ("wrong_type", "Must be a list"),
        "/pair": ("wrong_type", "Must be a list"),
        "/lable": ("unknown_field", "There is no such field"),
    }


def _in_body(error):
    return [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Token, "a b"), (CauseText, "quality//cold_chain"), (TimeOfDay, "25:00"), (Slug, "A-1"), (Line, "a\nb")],
)
def test_a_format_is_told_in_words(kind, value):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    (error,) = field_errors(_in_body(caught.value))
    assert error.code == "bad_format"
    assert error.message.startswith("Must ")
    assert "格式不正确" not in error.message_zh
    assert "^" not in error.message + error.message_zh


@pytest.mark.parametrize(
    "sent",
    [b"18446744073709551616", b"-9223372036854775809", b"1" + b"0" * 300, b'"' + b"9" * 5000 + b'"'],
    ids=["2^64", "-2^63-1", "10^300", "text"],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_whole_number_beyond_64_bits_says_which_are_not(sent, strict):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[int, Field(strict=strict)]).validate_python(parse_json(sent))
    (error,) = field_errors(_in_body(caught.value))
    if strict and sent.startswith(b'"'):
        assert (error.code, error.message_zh) == ("wrong_type", "应为整数")
        return
    assert error.code == "out_of_range"
    for text in (error.message, error.message_zh):
        assert "-9223372036854775808" in text
        assert " 9223372036854775807" in text


def test_what_is_no_whole_number_stays_told_as_such():
    for value in (0.5, 1e18 + 0.5, float("inf"), "x"):
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(Annotated[int, Field(strict=True)]).validate_python(value)
        assert [each.code for each in field_errors(_in_body(caught.value))] == ["wrong_type"]


def test_which_of_two_is_told_in_both_languages():
    with pytest.raises(ValidationError) as caught:
        ComplaintTransition.model_validate({})
    (error,) = field_errors(_in_body(caught.value))
    assert error.message == "Give either 'to' or 'action'"
    assert "'to'、'action'" in error.message_zh


def test_graphql_says_as_much_as_rest():
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Token).validate_python("x" * 201)
    assert list(invalid_input(caught.value).errors) == field_errors(_in_body(caught.value))
    assert "200" in invalid_input(caught.value).errors[0].message_zh
