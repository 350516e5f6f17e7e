"""Running a batch in one transaction: all items or none, or each in a savepoint of its own."""

import copy
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from crm_api.core.batch import BatchMode, Done, Item, Result
from crm_api.core.errors import CrmError, FieldError, Forbidden, Invalid, Unavailable
from crm_api.core.renaming import ids_in, renamed
from crm_api.db.failures import RETRYABLE, translate
from crm_api.db.plans.aliases import successors
from crm_api.db.uow import UnitOfWork

T = TypeVar("T", bound=BaseModel)
Work = Callable[[T], Awaitable[Done]]
"""Writes one item; raises what the single operation raises."""

MAX_ERRORS = 100


async def run_batch(unit: UnitOfWork, items: Sequence[Item[T]], mode: BatchMode, work: Work[T]) -> list[Result]:
    """Write items in their order; returns a result for each.

    Args:
        unit: the unit all of them are written in.
        items: read already.
        mode: ``per_item`` keeps what succeeds; ``all_or_none`` raises instead.
        work: writes one.

    Raises:
        CrmError: in mode ``all_or_none``, the first failure (of invalid items, all of them), its pointers beginning
            with ``/items/<index>``.

    """
    if mode == "all_or_none":
        return await _all(items, work)
    done = await _hopefully(unit, items, work)
    if done is not None:
        return done
    items = await _under_new_ids(unit, items)
    return [await _one(unit, place, item, work) for place, item in enumerate(items)]


async def _under_new_ids(unit: UnitOfWork, items: Sequence[Item[T]]) -> list[Item[T]]:
    """Return the items with the ids that answer for old ones in them: something may not have been found for that."""
    given = [None if item.data is None else item.data.model_dump(exclude_unset=True) for item in items]
    names = await successors(unit, ids_in(given))
    return [
        item
        if item.data is None or ids_in(data).isdisjoint(names)
        else replace(item, data=type(item.data).model_validate(renamed(data, names)))
        for item, data in zip(items, given, strict=True)
    ]


async def _all(items: Sequence[Item[T]], work: Work[T]) -> list[Result]:
    faults = [error for place, item in enumerate(items) for error in _placed(item.errors, place)]
    if faults:
        raise Invalid(errors=faults[:MAX_ERRORS])
    results = []
    for place, item in enumerate(items):
        assert item.data is not None  # noqa: S101 - it has no errors
        try:
            results.append(Result(item.ref, await work(item.data)))
        except RETRYABLE:
            raise
        except Exception as error:
            known = translate(error)
            if known is None:
                raise
            raise _pointing(known, place) from error
    return results


async def _hopefully(unit: UnitOfWork, items: Sequence[Item[T]], work: Work[T]) -> list[Result] | None:
    """Write all items in one savepoint; None, and nothing written, when one fails.

    As a rule none does, and a savepoint for each would cost two round trips an item.
    """
    if any(item.data is None for item in items):
        return None
    try:
        async with unit.savepoint():
            return await _all(items, work)
    except (*RETRYABLE, Unavailable, Forbidden):
        raise
    except CrmError:
        return None


async def _one(unit: UnitOfWork, place: int, item: Item[T], work: Work[T]) -> Result:
    if item.data is None:
        return Result(item.ref, error=Invalid(errors=_placed(item.errors, place)))
    try:
        async with unit.savepoint():
            return Result(item.ref, await work(item.data))
    except RETRYABLE:
        raise
    except Exception as error:
        known = translate(error)
        if known is None or isinstance(known, (Unavailable, Forbidden)):
            raise
        return Result(item.ref, error=_pointing(known, place))


def _pointing(error: CrmError, place: int) -> CrmError:
    """Return a copy of the error that points at the item: errors may be constants that many share."""
    pointed = copy.copy(error)
    known = error.errors or (FieldError("", error.code, error.localized("en"), error.localized("zh")),)
    pointed.errors = tuple(_placed(known, place))
    return pointed


def _placed(errors: Sequence[FieldError], place: int) -> list[FieldError]:
    return [replace(each, pointer=f"/items/{place}{each.pointer}") for each in errors]
