"""Rows given to a statement: one as a parameter for each column, more as an array for each column.

Most writes are of one row, and an array of one costs PostgreSQL and us twice as much as its element (measured, of an
audit row and a message: 29 and 27 µs instead of 14 and 18).
"""

from collections.abc import Mapping, Sequence
from typing import Any

Columns = Mapping[str, str]
"""Names of columns with their types; both are ours, never a caller's."""


def rows_sql(columns: Columns, first: int, *, one: bool) -> str:
    """Return rows as an item of FROM, called ``given``.

    Args:
        columns: in the order of the values.
        first: number of the first parameter; each column has one.
        one: whether it is one row.

    """
    kinds = columns.values() if one else (f"{kind}[]" for kind in columns.values())
    places = ", ".join(f"${number}::{kind}" for number, kind in enumerate(kinds, first))
    rows = f"(VALUES ({places}))" if one else f"unnest({places})"
    return f"{rows} AS given ({', '.join(columns)})"


def rows_values(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the parameters of one or more rows."""
    if len(rows) == 1:
        return list(rows[0])
    return [list(column) for column in zip(*rows, strict=True)]
