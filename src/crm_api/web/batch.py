"""Batches on the surfaces: reading items one by one, so that a wrong one can fail alone, and answering for each."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

import orjson
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.responses import Response

from crm_api.core.batch import BatchAnswer, BatchItemError, BatchItemResult, BatchMode, Item, Ref, Result
from crm_api.core.errors import FieldError, Locale
from crm_api.web.resources import JSON, WRITE_PROBLEMS
from crm_api.web.validation import field_errors

T = TypeVar("T", bound=BaseModel)

_REF: Final[TypeAdapter[str | None]] = TypeAdapter(Ref)
MULTI_STATUS: Final = 207

ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "All items are written (mode `all_or_none`).",
        "model": BatchAnswer,
    },
    207: {
        "description": "A result for each item (mode `per_item`), whether it failed or not.",
        "model": BatchAnswer,
    },
    **WRITE_PROBLEMS,
}


def read_items(given: Sequence[Any], model: type[T]) -> list[Item[T]]:
    """Return each item checked against the model; what is wrong with one is kept beside it."""
    return [_read(raw, model) for raw in given]


def _read(raw: Any, model: type[T]) -> Item[T]:
    if not isinstance(raw, dict):
        return Item(None, None, (FieldError("", "wrong_type", "Must be an object", "应为对象"),))
    errors: list[FieldError] = []
    ref, data = None, None
    try:
        ref = _REF.validate_python(raw.get("ref"))
    except ValidationError as error:
        errors += field_errors({**each, "loc": ("body", "ref")} for each in error.errors(include_url=False))
    try:
        data = model.model_validate({name: value for name, value in raw.items() if name != "ref"})
    except ValidationError as error:
        errors += field_errors({**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False))
    return Item(ref, None if errors else data, tuple(errors))


_STATUS: Final = {"created": 201}


def answer_of(results: Sequence[Result], mode: BatchMode, locale: Locale) -> BatchAnswer:
    """Return what a batch is answered with."""
    shown = [_shown(place, each, locale) for place, each in enumerate(results)]
    failed = sum(each.verdict == "failed" for each in shown)
    return BatchAnswer(mode=mode, succeeded=len(shown) - failed, failed=failed, results=shown)


def _shown(place: int, result: Result, locale: Locale) -> BatchItemResult:
    if result.done is not None:
        verdict = result.done.verdict
        return BatchItemResult(
            index=place,
            ref=result.ref,
            status=_STATUS.get(verdict, 200),
            verdict=verdict,
            id=result.done.id,
            code=None,
            errors=[],
        )
    error = result.error
    assert error is not None  # noqa: S101 - one of the two is there
    return BatchItemResult(
        index=place,
        ref=result.ref,
        status=error.status,
        verdict="failed",
        id=None,
        code=error.code,
        errors=[BatchItemError(**each.localized(locale)) for each in error.errors],
    )


def batch_response(results: Sequence[Result], mode: BatchMode, locale: Locale) -> Response:
    """Return the REST answer: 207 in mode ``per_item``, 200 otherwise."""
    body = answer_of(results, mode, locale).model_dump(mode="json")
    return Response(orjson.dumps(body), MULTI_STATUS if mode == "per_item" else 200, media_type=JSON)


def batch_payload(results: Sequence[Result], mode: BatchMode, locale: Locale) -> dict[str, Any]:
    """Return the values of a GraphQL payload declared with ``BATCH_PAYLOAD``."""
    answer = answer_of(results, mode, locale)
    return {"succeeded": answer.succeeded, "failed": answer.failed, "results": answer.results}


BATCH_PAYLOAD: Final[dict[str, Any]] = {
    "succeeded": Annotated[int, Field(description="Items that were written or needed no writing.")],
    "failed": Annotated[int, Field(description="Items that were refused; only in mode PER_ITEM.")],
    "results": Annotated[list[BatchItemResult], Field(description="One for each item, in their order.")],
}
