"""Putting a background job into the queue (pgqueuer) with the caller's own transaction."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
import orjson

# What pgqueuer's own `enqueue` writes. Its client is not used here because it encodes jsonb itself, which on our
# connections (whose codec does that) would encode it twice.
_ENQUEUE = """
WITH queued AS (
  INSERT INTO pgqueuer (priority, status, entrypoint, payload, execute_after)
  VALUES (0, 'queued', $1, $2, now() + make_interval(secs => $3))
  RETURNING id, status, entrypoint, priority
)
INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
SELECT id, status, entrypoint, priority FROM queued
"""


async def enqueue(
    connection: "asyncpg.Connection[asyncpg.Record]",
    job: str,
    tenant_id: UUID,
    payload: Mapping[str, Any],
    delay_seconds: float = 0,
) -> None:
    """Queue ``job``; workers see it when the transaction has committed and the delay is over."""
    body = orjson.dumps({"tenant_id": str(tenant_id), **payload})
    await connection.execute(_ENQUEUE, job, body, delay_seconds)
