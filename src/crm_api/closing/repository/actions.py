"""Access to corrective actions and the cases they are about."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert

from crm_api.closing.tables import corrective_action_complaints, corrective_actions
from crm_api.db.repository import Repository

_OVERDUE = """
UPDATE corrective_actions a SET overdue_told_at = $2
FROM (
  SELECT id FROM corrective_actions
  WHERE tenant_id = $1 AND state IN ('open', 'in_progress') AND due_on < $3 AND overdue_told_at IS NULL
  ORDER BY due_on, id LIMIT $4 FOR UPDATE SKIP LOCKED
) late
WHERE a.tenant_id = $1 AND a.id = late.id
RETURNING a.id, a.cause, a.owner_id, a.due_on
"""


class ActionRepository(Repository):
    """Corrective actions."""

    table = corrective_actions

    async def link_all(self, action_id: UUID, complaint_ids: Sequence[UUID]) -> None:
        """Say that a new action is about these cases."""
        if complaint_ids:
            rows = [{"action_id": action_id, "complaint_id": each} for each in complaint_ids]
            await self.insert_many(rows, corrective_action_complaints)

    async def link(self, action_id: UUID, complaint_id: UUID) -> bool:
        """Say that an action is about a case; returns whether that was new."""
        row = {"tenant_id": self.unit.tenant_id, "action_id": action_id, "complaint_id": complaint_id}
        return bool(await self.unit.execute(insert(corrective_action_complaints).on_conflict_do_nothing(), row))

    async def unlink(self, action_id: UUID, complaint_id: UUID) -> bool:
        """Take that back; returns whether it was said."""
        link = corrective_action_complaints
        gone = delete(link).where(self.mine(link), link.c.action_id == action_id, link.c.complaint_id == complaint_id)
        return bool(await self.unit.execute(gone))

    async def mark_overdue(self, now: datetime, today: date, limit: int) -> list[asyncpg.Record]:
        """Note that the day of some actions has passed; returns those of which nobody was told before."""
        return await self.unit.connection.fetch(_OVERDUE, self.unit.tenant_id, now, today, limit)
