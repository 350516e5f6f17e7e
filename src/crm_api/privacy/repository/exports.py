"""Access to subject exports and their archives."""

from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import delete, func, select, update

from crm_api.db.repository import Repository
from crm_api.db.runs import UNFINISHED
from crm_api.privacy.tables import subject_export_blocks, subject_exports

BLOCK = 1024 * 1024
"""Bytes of a stored block."""


class ExportRepository(Repository):
    """Subject exports of the tenant."""

    table = subject_exports

    async def progress(self, export_id: UUID, **values: Any) -> bool:
        """Note how far an unfinished export has come; False when it has ended meanwhile."""
        e = subject_exports
        statement = (
            update(e)
            .where(self.by_id(export_id), e.c.state.in_(UNFINISHED))
            .values(
                state="running", started_at=func.coalesce(e.c.started_at, func.now()), updated_at=func.now(), **values
            )
        )
        return bool(await self.unit.execute(statement))

    async def finish(self, export_id: UUID, values: dict[str, Any]) -> bool:
        """End an unfinished export; False when it has ended already."""
        e = subject_exports
        statement = (
            update(e)
            .where(self.by_id(export_id), e.c.state.in_(UNFINISHED))
            .values(finished_at=func.now(), updated_at=func.now(), version=e.c.version + 1, **values)
        )
        return bool(await self.unit.execute(statement))

    async def store(self, export_id: UUID, archive: BinaryIO) -> None:
        """Store the archive block by block."""
        position = 0
        while data := archive.read(BLOCK):
            await self.insert({"export_id": export_id, "position": position, "data": data}, subject_export_blocks)
            position += len(data)

    async def archive(self, export_id: UUID) -> bytes:
        """Return the stored archive."""
        b = subject_export_blocks
        rows = await self.unit.fetch_all(
            select(b.c.data).where(self.mine(b), b.c.export_id == export_id).order_by(b.c.position)
        )
        return b"".join(row["data"] for row in rows)

    async def expire(self, now: datetime) -> list[UUID]:
        """Delete archives whose time is over; returns whose."""
        e, b = subject_exports, subject_export_blocks
        rows = await self.unit.fetch_all(
            update(e)
            .where(self.mine(), e.c.state == "completed", e.c.expires_at <= now)
            .values(state="expired", updated_at=func.now(), version=e.c.version + 1)
            .returning(e.c.id)
        )
        ids = [row["id"] for row in rows]
        for export_id in ids:
            await self.unit.execute(delete(b).where(self.mine(b), b.c.export_id == export_id))
        return ids


_EXPIRED = "SELECT DISTINCT tenant_id FROM subject_exports WHERE state = 'completed' AND expires_at <= $1"


async def tenants_with_expired(connection: Any, now: datetime) -> list[UUID]:
    """Return the tenants of archives whose time is over."""
    return [row[0] for row in await connection.fetch(_EXPIRED, now)]
