"""What every repository can do."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Table, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert

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
        await self.unit.execute(insert(target), {"tenant_id": self.unit.tenant_id, **values})

    async def insert_many(self, rows: list[dict[str, Any]], table: Table | None = None) -> None:
        """Insert rows that all have the same keys, in one round trip."""
        if rows:
            target = self.table if table is None else table
            tenant = {"tenant_id": self.unit.tenant_id}
            await self.unit.execute_many(insert(target), [{**tenant, **row} for row in rows])

    async def find(self, row_id: UUID, *, lock: bool = False) -> asyncpg.Record | None:
        """Return the row or None; ``lock`` holds it against other writers until the unit ends."""
        statement = select(self.table).where(self.by_id(row_id))
        if lock:
            statement = statement.with_for_update(key_share=True)  # FOR NO KEY UPDATE
        return await self.unit.fetch_one(statement)

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
        statement = (
            update(self.table)
            .where(self.by_id(row_id))
            .values(**values, version=self.table.c.version + 1, updated_at=func.now())
            .returning(self.table)
        )
        row = await self.unit.fetch_one(statement)
        if row is None:
            raise NotFound
        return row
