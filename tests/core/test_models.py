"""What all inputs have in common."""

import types
from typing import Annotated, Union, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from crm_api import registry
from crm_api.core.models import Day, Input, Instant

FROM_TEXT = {"ComplaintStatisticsAsked", "DeferralAsked", "InterestQuery", "QualityQuery", "TimelineQuery"}
"""Read from query strings, where numbers are text."""


def below(model):
    for each in model.__subclasses__():
        yield each
        yield from below(each)


def guesses(annotation, strict):
    """Whether text would be taken for a number or a truth value somewhere in it."""
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        return guesses(inner, strict or any(_is_strict(note) for note in notes))
    if get_origin(annotation) in {Union, types.UnionType, list}:
        return any(guesses(each, strict) for each in get_args(annotation))
    return annotation in {bool, int, float} and not strict


def _is_strict(note):
    return getattr(note, "strict", None) is True or any(_is_strict(each) for each in getattr(note, "metadata", ()))


def test_no_input_guesses():
    registry.routers()
    found = [
        f"{model.__module__}.{model.__name__}.{name}"
        for model in below(Input)
        if model.__module__.startswith("crm_api.") and model.__name__ not in FROM_TEXT
        for name, field in model.model_fields.items()
        if guesses(field.annotation, any(_is_strict(note) for note in field.metadata))
    ]
    assert found == []


@pytest.mark.parametrize("annotation", [bool, int | None, list[float], list[Annotated[int, "x"]] | None])
def test_the_guard_sees(annotation):
    assert guesses(annotation, strict=False)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Instant, "0001-01-01T00:00:00Z"),  # the driver would write -infinity
        (Instant, "9999-12-31T23:59:59.999999Z"),
        (Instant, "0001-01-01T00:00:00+14:00"),  # before all time in UTC
        (Instant, "9999-12-31T23:59:59-12:00"),
        (Day, "0001-01-01"),
        (Day, "9999-12-31"),
    ],
)
def test_what_would_be_kept_as_something_else_is_refused(kind, text):
    with pytest.raises(ValidationError, match="too far off"):
        TypeAdapter(kind).validate_python(text)


def test_the_far_ends_of_time_are_kept():
    assert TypeAdapter(Instant).validate_python("9999-12-31T23:59:59Z").year == 9999
    assert TypeAdapter(Day).validate_python("0001-01-02").day == 2
