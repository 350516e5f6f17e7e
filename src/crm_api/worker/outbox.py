"""What an operator sees of the outbox and the queue: positions, lag, messages given up, jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

COUNTED = 10_000
"""Lag is counted no further than this, so that looking stays cheap however far behind a subscriber is."""

_STATUS = f"""
SELECT s.subscriber, c.updated_at, coalesce(behind.n, 0) AS behind, behind.oldest,
  (SELECT count(*) FROM outbox_failures f WHERE f.subscriber = s.subscriber AND f.next_attempt_at IS NOT NULL)
    AS retrying,
  (SELECT count(*) FROM outbox_failures f WHERE f.subscriber = s.subscriber AND f.next_attempt_at IS NULL) AS dead
FROM unnest($1::text[]) AS s (subscriber)
LEFT JOIN outbox_cursors c USING (subscriber)
LEFT JOIN LATERAL (
  SELECT count(*) AS n, min(w.occurred_at) AS oldest FROM (
    SELECT o.occurred_at FROM outbox o
    WHERE (o.xid, o.id) > (coalesce(c.xid, '0'), coalesce(c.message_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY o.xid, o.id LIMIT {COUNTED}
  ) AS w
) AS behind ON true
ORDER BY s.subscriber
"""  # noqa: S608 - a constant of this module
_FAILURES = """
SELECT f.tenant_id, f.subscriber, f.message_id, o.type, f.attempts, f.error, f.next_attempt_at, f.created_at
FROM outbox_failures f LEFT JOIN outbox o ON o.tenant_id = f.tenant_id AND o.id = f.message_id
WHERE ($1::text IS NULL OR f.subscriber = $1)
ORDER BY f.created_at DESC
LIMIT $2
"""
_TENANTS = "SELECT DISTINCT tenant_id FROM outbox_failures WHERE ($1::text IS NULL OR subscriber = $1)"
_RETRY = """
UPDATE outbox_failures SET next_attempt_at = now(), attempts = 0
WHERE tenant_id = $1 AND ($2::text IS NULL OR subscriber = $2) AND ($3::uuid IS NULL OR message_id = $3)
"""
_JOBS = "SELECT entrypoint AS job, status::text AS status, count(*) AS jobs FROM pgqueuer GROUP BY 1, 2 ORDER BY 1, 2"

_FOREIGN = """
SELECT EXISTS (SELECT FROM outbox_cursors WHERE xid > pg_snapshot_xmax(pg_current_snapshot()))
  OR EXISTS (SELECT FROM outbox WHERE xid > pg_snapshot_xmax(pg_current_snapshot()))
"""
_BEGIN_AGAIN = """
UPDATE outbox_cursors SET xid = '0', message_id = '00000000-0000-0000-0000-000000000000', updated_at = now()
"""


@dataclass(frozen=True, slots=True)
class SubscriberStatus:
    """How far a subscriber is.

    Attributes:
        subscriber: its name.
        behind: messages it has not passed yet, counted up to ``COUNTED``.
        oldest: when the first of those happened.
        retrying: messages that failed and will be tried again.
        dead: messages given up on, which wait for `crm-api outbox retry`.
        moved_at: when it last moved.

    """

    subscriber: str
    behind: int
    oldest: datetime | None
    retrying: int
    dead: int
    moved_at: datetime | None


async def status(connection: Any, names: Sequence[str]) -> list[SubscriberStatus]:
    """Return the state of these subscribers."""
    return [
        SubscriberStatus(
            row["subscriber"], row["behind"], row["oldest"], row["retrying"], row["dead"], row["updated_at"]
        )
        for row in await connection.fetch(_STATUS, list(names))
    ]


async def failures(connection: Any, subscriber: str | None, limit: int) -> list[dict[str, Any]]:
    """Return messages that failed, newest first."""
    return [dict(row) for row in await connection.fetch(_FAILURES, subscriber, limit)]


async def retry(database: Database, subscriber: str | None, message_id: UUID | None) -> int:
    """Have failed messages tried again at once; returns how many."""
    async with database.system() as connection:
        tenants = [row[0] for row in await connection.fetch(_TENANTS, subscriber)]

    async def work(unit: UnitOfWork) -> int:
        tag = await unit.connection.execute(_RETRY, unit.tenant_id, subscriber, message_id)
        return int(tag.rpartition(" ")[2])

    return sum([await database.run(Actor.system(tenant, "outbox retry"), work) for tenant in tenants])


async def rebase(database: Database, *, always: bool = False) -> bool:
    """Mend the order of messages after a backup was restored on another server; returns whether it was needed.

    Messages are ordered by the number of their transaction, and another server counts from elsewhere: subscribers
    would wait for numbers that come years later, or never look at what they have passed in the old count. So every
    message goes before all new ones, in the order of its id, and everybody reads from the start; receipts keep what
    was handled from being handled again.
    """
    async with database.system() as connection:
        if not always and not await connection.fetchval(_FOREIGN):
            return False
        tenants = [row[0] for row in await connection.fetch("SELECT DISTINCT tenant_id FROM outbox")]

    async def work(unit: UnitOfWork) -> None:
        await unit.connection.execute("UPDATE outbox SET xid = '0' WHERE tenant_id = $1", unit.tenant_id)

    for tenant in tenants:
        await database.run(Actor.system(tenant, "outbox rebase"), work)
    # Last, so that a rebase that was interrupted is found to be needed again.
    async with database.system() as connection:
        await connection.execute(_BEGIN_AGAIN)
    return True


async def jobs(connection: Any) -> list[dict[str, Any]]:
    """Return how many jobs of each kind are queued or picked."""
    return [dict(row) for row in await connection.fetch(_JOBS)]
