"""The relay: hands outbox messages to subscribers, each exactly one effect, in the order of their transactions' ids.

A reader may not go by the id of the last message it saw: ids are given before commits, so a slow transaction's
messages would be jumped over (measured: 525 of 1,500 lost). Messages carry their transaction's id, and a reader only
takes those below ``pg_snapshot_xmin``, the oldest transaction still running: nothing can appear before them any more.

That is not the order of commits. A transaction takes its id with its first write, and one that then waited for a lock
is delivered before the one it waited for. Two messages about one thing may so arrive the wrong way round: subscribers
must come to the same end in either order, by looking at the rows themselves or at totals that the messages carry.

Each subscriber has a cursor ``(xid, message id)``. A batch is handled tenant by tenant, each in one write unit that
also inserts a receipt per message; a worker killed between that commit and the cursor's finds the receipts and skips.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from crm_api.core.actor import Actor
from crm_api.core.errors import Unavailable
from crm_api.core.messages import Message
from crm_api.core.work import Subscriber
from crm_api.db.failures import translate
from crm_api.db.outbox import BATCH, message_of
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.web.telemetry import span

log = structlog.get_logger(__name__)

HANDLED = Counter("crm_outbox_handled", "Outbox messages handled.", ["subscriber"])
FAILED = Counter("crm_outbox_failed", "Attempts to handle an outbox message that failed.", ["subscriber"])
WAITING = Gauge("crm_outbox_dead", "Outbox messages given up on.", ["subscriber"])

ATTEMPTS = 10
"""After this many failures a message waits for a person."""

_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('crm relay ' || $1, 0))"
_ENSURE = "INSERT INTO outbox_cursors (subscriber) VALUES ($1) ON CONFLICT DO NOTHING"
_CURSOR = "SELECT xid::text AS position, message_id FROM outbox_cursors WHERE subscriber = $1"
_ADVANCE = """
UPDATE outbox_cursors SET xid = $2::text::xid8, message_id = $3, updated_at = now() WHERE subscriber = $1
"""
_RECEIVE = """
INSERT INTO outbox_receipts (tenant_id, subscriber, message_id)
SELECT $1, $2, unnest($3::uuid[])
ON CONFLICT DO NOTHING
RETURNING message_id
"""
_FAIL = """
INSERT INTO outbox_failures (tenant_id, subscriber, message_id, error, next_attempt_at)
VALUES ($1, $2, $3, $4, now() + interval '1 second')
ON CONFLICT (tenant_id, subscriber, message_id) DO UPDATE SET
  attempts = outbox_failures.attempts + 1,
  error = excluded.error,
  next_attempt_at = CASE WHEN outbox_failures.attempts + 1 >= $5 THEN NULL
    ELSE now() + make_interval(secs => least(3600, 2 ^ outbox_failures.attempts)) END
"""
_DUE = """
SELECT o.tenant_id, o.id, o.type, o.subject_id, o.payload, o.occurred_at
FROM outbox_failures f JOIN outbox o ON o.tenant_id = f.tenant_id AND o.id = f.message_id
WHERE f.subscriber = $1 AND f.next_attempt_at <= now()
ORDER BY o.xid, o.id
LIMIT $2
"""
_DEAD = "SELECT count(*) FROM outbox_failures WHERE subscriber = $1 AND next_attempt_at IS NULL"
_MENDED = "DELETE FROM outbox_failures WHERE tenant_id = $1 AND subscriber = $2 AND message_id = any($3::uuid[])"


@dataclass(frozen=True, slots=True)
class Relay:
    """Carries messages to one subscriber."""

    database: Database
    subscriber: Subscriber
    batch: int = 500

    async def run(self, stop: asyncio.Event, poll_seconds: float) -> None:
        """Carry messages until told to stop; a database that goes away is waited for."""
        pause = 0.0
        while not stop.is_set():
            try:
                moved = await self.step() or await self.retry_failures()
                pause = 0.0 if moved else poll_seconds
            except Exception as error:  # noqa: BLE001 - a relay outlives whatever happens to it
                known = translate(error)
                log.warning("relay_waits", subscriber=self.subscriber.name, error=repr(known or error))
                pause = min(max(pause * 2, 0.5), 10)
            if pause:
                await _wait(stop, pause)

    async def step(self) -> int:
        """Handle one batch; returns how many messages were passed (0 when there was nothing, or a rival reads)."""
        name = self.subscriber.name
        async with self.database.system() as connection:
            if not await connection.fetchval(_TRY_LOCK, name):
                return 0
            cursor = await connection.fetchrow(_CURSOR, name)
            if cursor is None:
                await connection.execute(_ENSURE, name)
                return 0
            rows = await connection.fetch(BATCH, cursor["position"], cursor["message_id"], self.batch)
            if not rows:
                return 0
            await self._handle([message_of(row) for row in rows if row["type"] in self.subscriber.types])
            await connection.execute(_ADVANCE, name, rows[-1]["position"], rows[-1]["id"])
        return len(rows)

    async def retry_failures(self) -> int:
        """Try again what failed before and is due; returns how many were tried."""
        async with self.database.system() as connection:
            if not await connection.fetchval(_TRY_LOCK, f"{self.subscriber.name} retry"):
                return 0
            rows = await connection.fetch(_DUE, self.subscriber.name, self.batch)
            for row in rows:
                await self._one_by_one([message_of(row)])
            if rows:
                WAITING.labels(self.subscriber.name).set(await connection.fetchval(_DEAD, self.subscriber.name))
        return len(rows)

    async def _handle(self, messages: Sequence[Message]) -> None:
        by_tenant: dict[UUID, list[Message]] = defaultdict(list)
        for message in messages:
            by_tenant[message.tenant_id].append(message)
        for group in by_tenant.values():
            try:
                await self._in_unit(group)
            except Exception as error:
                if _database_is_away(error):
                    raise
                await self._one_by_one(group)

    async def _one_by_one(self, messages: Sequence[Message]) -> None:
        """Find the culprit of a batch that failed: all others get their effect."""
        for message in messages:
            try:
                await self._in_unit([message])
            except Exception as error:
                if _database_is_away(error):
                    raise
                await self._note_failure(message, error)

    async def _in_unit(self, messages: Sequence[Message]) -> None:
        name = self.subscriber.name
        ids = [message.id for message in messages]

        async def work(unit: UnitOfWork) -> None:
            rows = await unit.connection.fetch(_RECEIVE, unit.tenant_id, name, ids)
            fresh = {row["message_id"] for row in rows}
            await unit.connection.execute(_MENDED, unit.tenant_id, name, ids)
            if fresh:
                await self.subscriber.handle(unit, [each for each in messages if each.id in fresh])

        tenant_id = messages[0].tenant_id
        with span(f"relay {name}", subscriber=name, tenant_id=str(tenant_id), messages=len(messages)):
            await self.database.run(Actor.system(tenant_id, f"relay:{name}"), work)
        HANDLED.labels(name).inc(len(messages))

    async def _note_failure(self, message: Message, error: Exception) -> None:
        name = self.subscriber.name
        FAILED.labels(name).inc()
        log.error("message_failed", subscriber=name, message_id=str(message.id), type=message.type, exc_info=error)
        text = f"{type(error).__name__}: {error}"[:2000].replace("\x00", "")

        async def work(unit: UnitOfWork) -> None:
            await unit.connection.execute(_FAIL, unit.tenant_id, name, message.id, text, ATTEMPTS)

        await self.database.run(Actor.system(message.tenant_id), work)


def _database_is_away(error: Exception) -> bool:
    return isinstance(translate(error), Unavailable)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
