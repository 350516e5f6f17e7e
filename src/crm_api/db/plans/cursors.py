"""Cursors: a position in a keyset order, as opaque text.

The text is base64url of compact JSON: the order's name, then the value of each key of the row. PostgreSQL writes it
(`encoded`), Python reads and checks it (`decode`). It holds nothing the caller did not already see, so it is not
signed; a cursor that was tampered with selects another position in the caller's own list, nothing more.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    and_,
    cast,
    false,
    func,
    literal_column,
    or_,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from crm_api.core.errors import Invalid
from crm_api.db.projections import Key

MAX_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Keyset:
    """A total order with a name: what a cursor is a position in."""

    name: str
    keys: tuple[Key, ...]

    @property
    def nullable(self) -> bool:
        """Whether a key may be null, so that cursors come in more than one shape."""
        return any(key.nulls is not None for key in self.keys)

    @property
    def ranked_by(self) -> str | None:
        """Return the filter whose ranking makes the order, or None."""
        return self.keys[0].filter


def expression(key: Key, t: FromClause) -> ColumnElement[Any]:
    """Return the key's SQL expression."""
    return t.c[key.by] if isinstance(key.by, str) else key.by(t)


def key_type(key: Key, t: FromClause) -> TypeEngine[Any]:
    """Return the key's SQL type."""
    return key.sql_type or expression(key, t).type


def order_by(keyset: Keyset, t: FromClause, *, backward: bool) -> list[ColumnElement[Any]]:
    """Return the ORDER BY list; backward is its exact mirror, nulls included."""
    terms: list[ColumnElement[Any]] = []
    for key in keyset.keys:
        term = expression(key, t)
        term = term.desc() if key.descending != backward else term.asc()
        if key.nulls is not None:
            term = term.nulls_last() if (key.nulls == "last") != backward else term.nulls_first()
        terms.append(term)
    return terms


def beyond(
    keyset: Keyset,
    t: FromClause,
    bind: Callable[[int, TypeEngine[Any]], ColumnElement[Any]],
    nulls: Sequence[bool],
    *,
    backward: bool,
) -> ColumnElement[bool]:
    """Return the predicate for rows after the cursor (before it when ``backward``).

    Args:
        keyset: the order.
        t: the table's alias.
        bind: position and type of a key → its bind parameter.
        nulls: which keys of the cursor are null.
        backward: the direction of travel.

    """
    directions = {key.descending != backward for key in keyset.keys}
    expressions = [expression(key, t) for key in keyset.keys]
    if not keyset.nullable and len(directions) == 1:
        return _row_comparison(keyset, t, expressions, bind, descending=directions.pop())
    values = [
        None if null else bind(i, key_type(key, t))
        for i, (key, null) in enumerate(zip(keyset.keys, nulls, strict=True))
    ]
    steps: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for key, this, value in zip(keyset.keys, expressions, values, strict=True):
        steps.append(and_(*equal, _past(key, this, value, backward=backward)))
        equal.append(this.is_(None) if value is None else this == value)
    first, value = keyset.keys[0], values[0]
    if first.nulls is None and value is not None:
        # Implied by the steps, but in a form that bounds an index scan.
        down = first.descending != backward
        return and_(expressions[0] <= value if down else expressions[0] >= value, or_(*steps))
    return or_(*steps)


def _row_comparison(
    keyset: Keyset,
    t: FromClause,
    expressions: Sequence[ColumnElement[Any]],
    bind: Callable[[int, TypeEngine[Any]], ColumnElement[Any]],
    *,
    descending: bool,
) -> ColumnElement[bool]:
    values = [bind(i, key_type(key, t)) for i, key in enumerate(keyset.keys)]
    left: Any = expressions[0] if len(expressions) == 1 else tuple_(*expressions)
    right: Any = values[0] if len(values) == 1 else tuple_(*values)
    result: ColumnElement[bool] = left < right if descending else left > right
    return result


def _past(key: Key, this: ColumnElement[Any], value: Any, *, backward: bool) -> ColumnElement[bool]:
    nulls_last = key.nulls is not None and (key.nulls == "last") != backward
    if value is None:
        # After a null come only the values that stand behind nulls.
        return false() if nulls_last else this.is_not(None)
    further: ColumnElement[bool] = this < value if key.descending != backward else this > value
    return or_(further, this.is_(None)) if nulls_last else further


def encoded(keyset: Keyset, values: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    """Return the SQL expression that writes the cursor for these key values."""
    shown = [cast(value, Text) if isinstance(value.type, Numeric) else value for value in values]
    name = literal_column(f"'{keyset.name}'", Text)
    packed = func.convert_to(cast(func.json_build_array(name, *shown), Text), literal_column("'UTF8'"))
    # base64url: PostgreSQL's base64 with two letters changed, padding and line ends dropped.
    return func.translate(
        func.encode(packed, literal_column("'base64'")), literal_column("E'+/=\\n'"), literal_column("'-_'"), type_=Text
    )


def types_of(keyset: Keyset, t: FromClause) -> tuple[TypeEngine[Any], ...]:
    """Return the types of all keys."""
    return tuple(key_type(key, t) for key in keyset.keys)


@lru_cache(maxsize=4096)
def decode(
    keyset: Keyset, types: tuple[TypeEngine[Any], ...], text: str, name: Literal["after", "before"]
) -> tuple[Any, ...]:
    """Return the key values of a cursor.

    Raises:
        Invalid: it is not one of this list's cursors; the error names the parameter.

    """
    try:
        values = _unpack(keyset, text)
        return tuple(
            None if value is None and key.nulls is not None else _typed(value, kind)
            for value, kind, key in zip(values, types, keyset.keys, strict=True)
        )
    except (ValueError, TypeError, ArithmeticError, binascii.Error):
        raise Invalid.field(
            f"/{name}", "bad_cursor", "This cursor does not belong to this list", "此游标不属于该列表"
        ) from None


def _unpack(keyset: Keyset, text: str) -> list[Any]:
    if len(text) > MAX_LENGTH:
        raise ValueError(text)
    raw = text.encode("ascii")
    packed = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    parts = orjson.loads(packed)
    if not isinstance(parts, list) or not parts or parts[0] != keyset.name:
        raise ValueError(text)
    return parts[1:]


_INTEGERS = ((SmallInteger, 15), (BigInteger, 63), (Integer, 31))


def _typed(value: Any, kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, JSONB):
        return value
    python_type = kind.python_type
    if python_type is int:
        return _integer(value, kind)
    if python_type in (bool, float):
        if not isinstance(value, (bool,) if python_type is bool else (int, float)):
            raise TypeError(value)
        return python_type(value)
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(value)
    return _from_text(value, python_type)


def _integer(value: Any, kind: TypeEngine[Any]) -> int:
    bits = next((bits for cls, bits in _INTEGERS if isinstance(kind, cls)), 63)
    if type(value) is not int or not -(2**bits) <= value < 2**bits:
        raise TypeError(value)
    return value


def _from_text(value: str, python_type: type) -> Any:
    if python_type is UUID:
        return UUID(value)
    if python_type is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(value)
        return moment.astimezone(UTC)
    if python_type is date:
        return date.fromisoformat(value)
    if python_type is Decimal:
        number = Decimal(value)
        if not number.is_finite():
            raise ValueError(value)
        return number
    return value
