"""What is said about cases, and the interactions it was part of."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from crm_api.complaints.tables import complaint_messages
from crm_api.db.repository import Repository


class MessageRepository(Repository):
    """Messages of cases; only ever appended."""

    table = complaint_messages

    async def add(self, values: Mapping[str, Any]) -> UUID | None:
        """Insert a message; returns the id of the one with its ``source_ref``, if any, and then inserts nothing."""
        statement = (
            insert(complaint_messages)
            .on_conflict_do_nothing(index_elements=["tenant_id", "complaint_id", "source_ref"])
            .returning(complaint_messages.c.id)
        )
        row = {"tenant_id": self.unit.tenant_id, **values}
        if await self.unit.fetch_value(statement, row) is not None:
            return None
        known: UUID | None = await self.unit.fetch_value(
            select(complaint_messages.c.id).where(
                self.mine(),
                complaint_messages.c.complaint_id == values["complaint_id"],
                complaint_messages.c.source_ref == values["source_ref"],
            )
        )
        return known

    async def answered(self, complaint_id: UUID, family: Sequence[UUID]) -> bool:
        """Tell whether the customer has said something to a case, or to one merged into it, since it waits for them.

        A merge that was undone does not begin the waiting anew.
        """
        found: bool = await self.unit.connection.fetchval(_ANSWERED, self.unit.tenant_id, complaint_id, family)
        return found


_ANSWERED = """
SELECT EXISTS (
  SELECT FROM complaint_messages m
  WHERE m.tenant_id = $1 AND m.complaint_id = ANY ($3::uuid[]) AND m.direction = 'in' AND m.at >= (
    SELECT max(e.at) FROM complaint_events e
    WHERE e.tenant_id = $1 AND e.complaint_id = $2 AND e.action = 'wait_customer'))
"""
