"""A tenant in a database of its own whose worker processes are started, killed and waited for."""

import asyncio
import time
from dataclasses import dataclass

import asyncpg
import httpx

from crm_api.db.pool import Database
from crm_api.registry import subscribers
from tests.support.api import TestTenant
from tests.support.zygote import Command, Zygote

BEHIND = """
SELECT coalesce(sum(n), 0) FROM (
  SELECT (SELECT count(*) FROM outbox o WHERE (o.xid, o.id) > (c.xid, c.message_id)) AS n FROM outbox_cursors c
) AS each
"""
"""Messages that have not been handed over yet."""
# In one statement: a job that ends between two would leave its messages unseen by either.
_IDLE = f"""
SELECT NOT EXISTS (SELECT FROM pgqueuer) AND ({BEHIND}) = 0 AND (SELECT count(*) FROM outbox_cursors) = $1
"""


@dataclass
class Workplace:
    """The tenant, its API in this process and its workers in others."""

    url: str
    database: Database
    tenant: TestTenant
    client: httpx.AsyncClient
    zygote: Zygote

    async def value(self, sql: str, *arguments: object) -> object:
        """Return one value, read by the login itself, which owns the tables."""
        # A new connection each time, because some servers get killed.
        connection = await asyncpg.connect(self.url, server_settings={"app.tenant": str(self.tenant.id)})
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    def worker(self, **settings: object) -> Command:
        """Start a worker that soon notices what others have left."""
        quick = {"CRM_JOB_HEARTBEAT_SECONDS": 0.5, "CRM_RELAY_POLL_SECONDS": 0.05}
        return self.zygote.start("worker", **{"CRM_DATABASE_URL": self.url, **quick, **settings})

    async def until(self, condition, *, seconds: float = 60, what: str = "it", pause: float = 0.05) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + seconds
        while not await condition():
            assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
            await asyncio.sleep(pause)

    async def idle(self) -> bool:
        """Tell whether every message has been handed over and no job is left."""
        return bool(await self.value(_IDLE, len(subscribers())))
