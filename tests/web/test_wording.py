"""What our own models refuse is told in both languages."""

import ast
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

import crm_api
from crm_api.calendars.models import TimeOfDay
from crm_api.complaints.models import CauseText, ComplaintTransition
from crm_api.core.models import Input
from crm_api.core.text import Slug, Token
from crm_api.web.graphql.errors import invalid_input
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
    ("kind", "value"), [(Token, "a b"), (CauseText, "quality//cold_chain"), (TimeOfDay, "25:00"), (Slug, "A-1")]
)
def test_a_format_is_told_in_words(kind, value):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    (error,) = field_errors(_in_body(caught.value))
    assert error.code == "bad_format"
    assert error.message.startswith("Must ")
    assert "格式不正确" not in error.message_zh
    assert "^" not in error.message + error.message_zh


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
