"""What every repository can do."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Select, Table, Uuid, and_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.dml import ReturningUpdate

from crm_api.core.errors import NotFound, PreconditionFailed
from crm_api.db.uow import UnitOfWork


class Repository:
    """Access to one table of one tenant: the tenant predicate is added here and nowhere else."""

    table: Table

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    def mine(self, table: Table | None = None) -> ColumnElement[bool]:
        """Return the tenant predicate; every statement carries it."""
        return (self.table if table is None else table).c.tenant_id == self.unit.tenant_id

    def by_id(self, row_id: UUID, table: Table | None = None) -> ColumnElement[bool]:
        """Return the primary-key predicate."""
        target = self.table if table is None else table
        return and_(self.mine(target), target.c.id == row_id)

    async def insert(self, values: Mapping[str, Any], table: Table | None = None) -> None:
        """Insert one row."""
        target = self.table if table is None else table
        await self.unit.execute(_inserting(target), {"tenant_id": self.unit.tenant_id, **values})

    async def insert_many(self, rows: list[dict[str, Any]], table: Table | None = None) -> None:
        """Insert rows that all have the same keys, in one round trip."""
        if rows:
            target = self.table if table is None else table
            tenant = {"tenant_id": self.unit.tenant_id}
            await self.unit.execute_many(_inserting(target), [{**tenant, **row} for row in rows])

    async def find(self, row_id: UUID, *, lock: bool = False) -> asyncpg.Record | None:
        """Return the row or None; ``lock`` holds it against other writers until the unit ends."""
        return await self.unit.fetch_one(_finding(self.table, lock=lock), self._named(row_id))

    async def get(self, row_id: UUID, *, lock: bool = False, expected_version: int | None = None) -> asyncpg.Record:
        """Return the row.

        Raises:
            NotFound: there is none (or it is another tenant's).
            PreconditionFailed: its version is not the expected one.

        """
        row = await self.find(row_id, lock=lock)
        if row is None:
            raise NotFound
        if expected_version is not None and row["version"] != expected_version:
            raise PreconditionFailed
        return row

    async def change(self, row_id: UUID, values: Mapping[str, Any]) -> asyncpg.Record:
        """Update a resource row, bump its version and return it as it is now."""
        given = {f"new_{name}": value for name, value in values.items()}
        row = await self.unit.fetch_one(_changing(self.table, tuple(values)), {**given, **self._named(row_id)})
        if row is None:
            raise NotFound
        return row

    def _named(self, row_id: UUID) -> dict[str, UUID]:
        """Return the parameters of `_is_named`."""
        return {"named_tenant": self.unit.tenant_id, "named_id": row_id}


# What nearly every write sends. Put together once: that costs SQLAlchemy several times what running it costs us.


def _is_named(table: Table) -> ColumnElement[bool]:
    tenant, row = (bindparam(f"named_{name}", type_=Uuid()) for name in ("tenant", "id"))
    return and_(table.c.tenant_id == tenant, table.c.id == row)


@cache
def _inserting(table: Table) -> Insert:
    return insert(table)


@cache
def _finding(table: Table, *, lock: bool) -> Select[Any]:
    statement = select(table).where(_is_named(table))
    return statement.with_for_update(key_share=True) if lock else statement  # FOR NO KEY UPDATE


@cache
def _changing(table: Table, names: tuple[str, ...]) -> ReturningUpdate[Any]:
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    changed = update(table).where(_is_named(table)).values(values)
    return changed.values(version=table.c.version + 1, updated_at=func.now()).returning(table)
