"""Many rows in one statement.

Columns travel as arrays and are unnested by PostgreSQL: several times the speed of a statement per row, and unlike
COPY (which PostgreSQL refuses on tables with row-level security) every row is still checked by the tenant's policy.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table

from crm_api.db.compile import DIALECT
from crm_api.db.uow import UnitOfWork

Rows = Sequence[Sequence[Any]]


def _arrays(table: Table, columns: Sequence[str], first: int) -> str:
    types = [table.c[name].type.compile(DIALECT) for name in columns]
    return ", ".join(f"${position}::{kind}[]" for position, kind in enumerate(types, first))


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


@cache
def _insert(table: Table, columns: tuple[str, ...]) -> str:
    # Table and column names are ours, from the metadata.
    return (
        f'INSERT INTO "{table.name}" (tenant_id, {_names(columns)}) '  # noqa: S608
        f"SELECT $1, * FROM unnest({_arrays(table, columns, 2)})"
    )


@cache
def _update(table: Table, columns: tuple[str, ...]) -> str:
    changes = ", ".join(f'"{name}" = given."{name}"' for name in columns)
    return (
        f'UPDATE "{table.name}" AS target SET {changes}, version = target.version + 1, updated_at = now() '  # noqa: S608
        f'FROM unnest($2::uuid[], {_arrays(table, columns, 3)}) AS given ("id", {_names(columns)}) '
        "WHERE target.tenant_id = $1 AND target.id = given.id"
    )


def _columns(rows: Rows) -> list[list[Any]]:
    return [list(values) for values in zip(*rows, strict=True)]


async def insert_rows(unit: UnitOfWork, table: Table, columns: tuple[str, ...], rows: Rows) -> None:
    """Insert rows of the unit's tenant; ``rows`` hold the values of ``columns`` in order."""
    if rows:
        await unit.connection.execute(_insert(table, columns), unit.tenant_id, *_columns(rows))


async def update_rows(unit: UnitOfWork, table: Table, columns: tuple[str, ...], rows: Rows) -> None:
    """Set ``columns`` of resources and bump their versions; each row is the id and then the values."""
    if rows:
        await unit.connection.execute(_update(table, columns), unit.tenant_id, *_columns(rows))
