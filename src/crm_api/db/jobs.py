"""Putting a background job into the queue (pgqueuer) with the caller's own transaction."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries


async def enqueue(
    connection: "asyncpg.Connection[asyncpg.Record]", job: str, tenant_id: UUID, payload: Mapping[str, Any]
) -> None:
    """Queue ``job``; it becomes visible to workers when the transaction commits."""
    body = orjson.dumps({"tenant_id": tenant_id, **payload})
    await Queries(AsyncpgDriver(connection)).enqueue([job], [body], [0])
