"""Batches: many writes of one kind in one call, all or none, or each by itself."""

from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field

from crm_api.core.errors import CrmError, FieldError
from crm_api.core.models import Wire
from crm_api.core.text import Line

MAX_ITEMS = 1000

BatchMode = Literal["all_or_none", "per_item"]
BatchVerdict = Literal["created", "updated", "unchanged", "stale", "failed"]

Mode = Annotated[
    BatchMode,
    Field(
        description="`all_or_none`: one wrong item and nothing is written. `per_item`: wrong items fail alone, and the "
        "answer is 207."
    ),
]
Ref = Annotated[
    Line | None,
    Field(examples=["row-17"], description="Your own name for the item; it comes back with its result."),
]

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """One item as it came.

    Attributes:
        ref: the caller's name for it.
        data: what is to be written, None when it is not valid.
        errors: why it is not; pointers are relative to the item.

    """

    ref: str | None
    data: T | None
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one item that was written."""

    id: UUID
    verdict: BatchVerdict = "created"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item; exactly one of ``done`` and ``error`` is there."""

    ref: str | None
    done: Done | None = None
    error: CrmError | None = None


# -- as it is answered -------------------------------------------------------------------------------------------------


class BatchItemError(Wire):
    """One thing wrong with one part of an item."""

    pointer: str = Field(
        examples=["/items/3/name"], description="JSON pointer into the request's body, the item's place in it."
    )
    code: str = Field(examples=["required"], description="Stable; switch on this.")
    message: str = Field(examples=["Field required"], description="For people, in the language of Accept-Language.")


class BatchItemResult(Wire):
    """What became of one item."""

    index: int = Field(examples=[3], description="Its place in `items`, from 0.")
    ref: str | None = Field(examples=["row-17"], description="The caller's own name for it; null when it has none.")
    status: int = Field(examples=[201], description="What a call for this item alone would have been answered with.")
    verdict: BatchVerdict = Field(description="What was done; `stale` is older than what is known, and harmless.")
    id: UUID | None = Field(description="What was written; null when nothing was.")
    code: str | None = Field(examples=["invalid"], description="Why it failed, stable; null when it did not.")
    errors: list[BatchItemError] = Field(description="Each thing that is wrong with it; empty when it was written.")


class BatchAnswer(Wire):
    """What became of a batch."""

    mode: BatchMode = Field(description="As it was asked for.")
    succeeded: int = Field(examples=[999], description="Items that were written or needed no writing.")
    failed: int = Field(examples=[1], description="Items that were refused; only in mode `per_item`.")
    results: list[BatchItemResult] = Field(description="One for each item, in their order.")
