"""Reading the outbox in an order in which nothing is lost: the relay's, and that of everybody who listens.

Messages carry their transaction's id, and a reader only takes those below ``pg_snapshot_xmin``, the oldest transaction
still running: nothing can appear before them any more. `crm_api.worker.relay` tells why ids alone will not do.
"""

from typing import Any, Final
from uuid import UUID

from crm_api.core.messages import Message

BATCH: Final = """
SELECT o.tenant_id, o.id, o.type, o.subject_id, o.payload, o.occurred_at, o.xid::text AS position
FROM outbox o
WHERE (o.xid, o.id) > ($1::text::xid8, $2) AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY o.xid, o.id
LIMIT $3
"""
"""What follows a position: its transaction, its message, how many at most."""

_NOW: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"

Position = tuple[str, UUID]
"""A transaction's id and a message's."""


async def current_position(connection: Any) -> Position:
    """Return a position before everything that is not over yet: what commits from now on comes after it."""
    return await connection.fetchval(_NOW), UUID(int=0)


async def read_after(connection: Any, position: Position, limit: int) -> tuple[list[Message], Position]:
    """Return what follows a position, and the position after it."""
    rows = await connection.fetch(BATCH, *position, limit)
    if not rows:
        return [], position
    return [message_of(row) for row in rows], (rows[-1]["position"], rows[-1]["id"])


def message_of(row: Any) -> Message:
    """Return a row of the outbox as a message."""
    return Message(row["id"], row["tenant_id"], row["type"], row["subject_id"], row["payload"], row["occurred_at"])
