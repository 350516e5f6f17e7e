"""Putting a background job into the queue (pgqueuer) with the caller's own transaction."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries


async def enqueue(
    connection: "asyncpg.Connection[asyncpg.Record]",
    job: str,
    tenant_id: UUID,
    payload: Mapping[str, Any],
    delay_seconds: float = 0,
) -> None:
    """Queue ``job``; workers see it when the transaction has committed and the delay is over."""
    body = orjson.dumps({"tenant_id": str(tenant_id), **payload})
    await Queries(AsyncpgDriver(connection)).enqueue([job], [body], [0], [timedelta(seconds=delay_seconds)])
