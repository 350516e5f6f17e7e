"""What all inputs have in common."""

import types
from typing import Annotated, Union, get_args, get_origin

import pytest

from crm_api import registry
from crm_api.core.models import Input

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
