"""Access to how a shop closes its cases."""

from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.closing.tables import closing_settings
from crm_api.core.errors import NotFound, PreconditionFailed
from crm_api.db.repository import Repository


class ClosingSettingsRepository(Repository):
    """The tenant's settings."""

    table = closing_settings

    async def settings(self, *, lock: bool = False) -> asyncpg.Record:
        """Return the settings; every tenant has them."""
        statement = select(closing_settings).where(self.mine())
        row = await self.unit.fetch_one(statement.with_for_update(key_share=True) if lock else statement)
        if row is None:
            raise NotFound
        return row

    async def begin(self) -> None:
        """Give a new tenant the defaults."""
        await self.unit.execute(insert(closing_settings).values(tenant_id=self.unit.tenant_id).on_conflict_do_nothing())

    async def store(self, changes: Mapping[str, Any], expected_version: int | None) -> asyncpg.Record:
        """Store changes; returns the settings as they were.

        Raises:
            PreconditionFailed: their version is not the expected one.

        """
        before = await self.settings(lock=True)
        if expected_version is not None and expected_version != before["version"]:
            raise PreconditionFailed
        if any(before[name] != value for name, value in changes.items()):
            await self.unit.execute(
                update(closing_settings)
                .where(self.mine())
                .values(**changes, version=closing_settings.c.version + 1, updated_at=func.now())
            )
        return before
