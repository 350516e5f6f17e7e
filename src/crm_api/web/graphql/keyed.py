"""Mutations with an ``Idempotency-Key``: the same key and request give the same answer and one effect.

A mutation's field is a transaction of its own, and its answer is ready only when the executor is done. So here the
executor runs inside the transaction: the key is claimed, the document executed, the answer stored, and all of it
committed together. That takes a request with one mutation: of several, each would commit alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import orjson
from graphql import SelectionSetNode
from pydantic import TypeAdapter, ValidationError

from crm_api.core.errors import BadRequest, Invalid
from crm_api.db import idempotency
from crm_api.db.uow import UnitOfWork
from crm_api.web.graphql.planner import Planner
from crm_api.web.validation import field_errors

T = TypeVar("T")
_KEY: Final[TypeAdapter[str]] = TypeAdapter(idempotency.Key)


@dataclass(slots=True)
class Attempt:
    """One run of a keyed mutation: the unit to work in, and what went wrong.

    With an error to begin with nothing is done: that is how a transaction that did not commit gets its answer.
    """

    unit: UnitOfWork | None = None
    error: Exception | None = None

    async def run(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Do the mutation's work; an error is kept too, for the executor makes it part of the answer."""
        if self.error is not None:
            raise self.error
        assert self.unit is not None  # noqa: S101 - one of the two is there
        try:
            return await work(self.unit)
        except Exception as error:
            self.error = error
            raise


def checked(key: str) -> str:
    """Return the key.

    Raises:
        Invalid: it is not one.

    """
    try:
        return _KEY.validate_python(key)
    except ValidationError as error:
        found = [{**each, "loc": ("header", "idempotency-key")} for each in error.errors(include_url=False)]
        raise Invalid(errors=field_errors(found)) from None


def one_mutation(planner: Planner, selections: SelectionSetNode) -> None:
    """Let only one mutation pass.

    Raises:
        BadRequest: there are more.

    """
    fields = planner.collect("Mutation", [selections])
    if sum(each.name != "__typename" for each in fields) > 1:
        raise BadRequest(
            "With an Idempotency-Key a request has one mutation: send the others with keys of their own",
            zh="带 Idempotency-Key 的请求只能包含一个变更：请用各自的键分别发送",
            code="idempotency_one_mutation",
        )


def fingerprint(text: str, operation_name: str | None, variables: object) -> bytes:
    """Return what makes two requests the same; the order of variables does not count."""
    body = orjson.dumps([text, operation_name, variables], option=orjson.OPT_SORT_KEYS)
    return idempotency.fingerprint("POST", "/graphql", body)
