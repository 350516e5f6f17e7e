"""Access to what customers are told of decisions and results."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, Uuid, any_, func, literal, select, update

from crm_api.closing.tables import complaint_tellings
from crm_api.db.repository import Repository


class TellingRepository(Repository):
    """Tellings."""

    table = complaint_tellings

    async def of(self, complaint_id: UUID, what: str, cycle: int) -> asyncpg.Record | None:
        """Return what is told of a case this time; the caller holds the case."""
        t = complaint_tellings
        return await self.unit.fetch_one(
            select(t).where(self.mine(), t.c.complaint_id == complaint_id, t.c.what == what, t.c.cycle == cycle)
        )

    async def supersede(self, complaint_id: UUID, cycle: int) -> None:
        """Take what nobody has told of a case's earlier decisions off the shop's list; the caller holds the case."""
        t = complaint_tellings
        await self.unit.execute(
            update(t)
            .where(self.mine(), t.c.complaint_id == complaint_id, t.c.cycle < cycle, t.c.state == "to_tell")
            .values(state="superseded", version=t.c.version + 1, updated_at=func.now())
        )

    async def latest(self, complaint_id: UUID) -> UUID:
        """Return the telling of the latest decision of a case that has one; the caller holds the case."""
        t = complaint_tellings
        found: UUID = await self.unit.fetch_value(
            select(t.c.id)
            .where(self.mine(), t.c.complaint_id == complaint_id)
            .order_by(t.c.cycle.desc(), t.c.id.desc())
            .limit(1)
        )
        return found

    async def waiting(self, complaint_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return the decisions of these cases that the shop has still to tell."""
        t = complaint_tellings
        return await self.unit.fetch_all(
            select(t.c.id, t.c.complaint_id, t.c.cycle)
            .where(
                self.mine(),
                t.c.complaint_id == any_(literal(list(complaint_ids), ARRAY(Uuid))),
                t.c.state == "to_tell",
                t.c.what == "decision",
            )
            .order_by(t.c.complaint_id, t.c.id)
        )

    async def sent_as(self, message_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return the tellings that left as these messages, in key order."""
        t = complaint_tellings
        return await self.unit.fetch_all(
            select(t.c.id, t.c.complaint_id, t.c.message_id)
            .where(self.mine(), t.c.message_id == any_(literal(list(message_ids), ARRAY(Uuid))))
            .order_by(t.c.complaint_id, t.c.id)
        )
