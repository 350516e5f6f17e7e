"""Scalars. Results are wire values already (plans and services make JSON), so only input is checked here."""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, NewType
from uuid import UUID

import strawberry
from graphql import GraphQLError, IntValueNode
from graphql.language import ValueNode
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)
JSON = NewType("JSON", object)

MAX_SAFE: Final = 2**53 - 1
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _text(value: Any, kind: str) -> str:
    if not isinstance(value, str):
        raise GraphQLError(f"{kind} must be a string.")
    return value


def _parsed(kind: str, parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def parse_value(value: Any) -> Any:
        try:
            return parse(_text(value, kind))
        except (ValueError, ArithmeticError):
            raise GraphQLError(f"This is not a {kind}.") from None

    return parse_value


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)


def _date(text: str) -> date:
    if _DATE.fullmatch(text) is None:
        raise ValueError(text)
    return date.fromisoformat(text)


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _big_int(value: Any) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value != int(value)
    ):
        raise GraphQLError("BigInt must be a whole number.")
    if abs(value) > MAX_SAFE:
        raise GraphQLError("BigInt must be within ±(2^53 - 1).")
    return int(value)


def _big_int_literal(node: ValueNode, _variables: Any = None) -> int:
    if not isinstance(node, IntValueNode):
        raise GraphQLError("BigInt must be a whole number.", node)
    return _big_int(int(node.value))


SCALARS: Final[dict[object, ScalarDefinition]] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment, RFC 3339 with its offset; answers are in UTC.",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
        parse_value=_parsed("DateTime with an offset", _instant),
    ),
    date: strawberry.scalar(
        name="Date", description="A day of the calendar, ISO 8601: 2026-01-31.", parse_value=_parsed("Date", _date)
    ),
    UUID: strawberry.scalar(name="UUID", description="A UUID (RFC 9562).", parse_value=_parsed("UUID", UUID)),
    Decimal: strawberry.scalar(
        name="Decimal", description="A decimal number, as text.", parse_value=_parsed("Decimal", _decimal)
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number up to 2^53, as a JSON number: amounts in minor units, counts.",
        parse_value=_big_int,
        parse_literal=_big_int_literal,
    ),
    JSON: strawberry.scalar(name="JSON", description="Any JSON value.", parse_value=lambda value: value),
}
