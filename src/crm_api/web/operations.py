"""What operators look at: liveness, readiness and metrics. No key is needed and nothing about tenants is told."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crm_api.db.failures import translate
from crm_api.worker import outbox

BEHIND: Final = Gauge(
    "crm_outbox_behind", f"Messages a subscriber has not passed yet, at most {outbox.COUNTED}.", ["subscriber"]
)
AGE: Final = Gauge("crm_outbox_oldest_seconds", "Age of the first message not passed yet.", ["subscriber"])
RETRYING: Final = Gauge("crm_outbox_retrying", "Messages that failed and will be tried again.", ["subscriber"])
GIVEN_UP: Final = Gauge("crm_outbox_given_up", "Messages that wait for `crm-api outbox retry`.", ["subscriber"])
QUEUE: Final = Gauge("crm_queue_jobs", "Jobs that are not done.", ["job", "status"])
POOL: Final = Gauge("crm_pool_connections", "Connections of this process.", ["pool", "state"])
DATABASE_UP: Final = Gauge("crm_database_up", "Whether the database told about outbox and queue in time.")

LOOK_SECONDS: Final = 1.0
"""A scrape waits no longer than this for the database."""

FRESH_SECONDS: Final = 5.0
"""Scrapes closer together than this get the same figures: nobody can load the database by scraping."""


async def livez(_request: Request) -> Response:
    """Answer while the process can."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Answer 200 when a migrated database answers within two seconds, else 503."""
    try:
        async with asyncio.timeout(2), request.app.state.db.system() as connection:
            await connection.fetchval("SELECT 1 FROM outbox_cursors LIMIT 1")
    except (asyncpg.UndefinedTableError, asyncpg.InvalidParameterValueError):
        # Without its roles a session cannot even begin; PostgreSQL calls that a bad parameter.
        return JSONResponse({"status": "database not migrated: run crm-api migrate"}, 503, {"retry-after": "10"})
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return JSONResponse({"status": "database unavailable"}, 503, {"retry-after": "2"})
    return JSONResponse({"status": "ready"})


class Metrics:
    """The process's metrics, and those of outbox and queue as the database has them."""

    def __init__(self, subscribers: Sequence[str]) -> None:
        """Take the names of all subscribers."""
        self._subscribers = subscribers
        self._looked_at = float("-inf")

    async def answer(self, request: Request) -> Response:
        """Return the metrics for Prometheus."""
        database = request.app.state.db
        for pool, state, connections in database.usage():
            POOL.labels(pool, state).set(connections)
        if time.monotonic() - self._looked_at > FRESH_SECONDS:
            self._looked_at = time.monotonic()
            await self._look(database)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def _look(self, database: Any) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS), database.system() as connection:
                states = await outbox.status(connection, self._subscribers)
                jobs = await outbox.jobs(connection)
        except Exception as error:
            if translate(error) is None:
                raise
            DATABASE_UP.set(0)
            return
        DATABASE_UP.set(1)
        now = time.time()
        for each in states:
            BEHIND.labels(each.subscriber).set(each.behind)
            AGE.labels(each.subscriber).set(max(0.0, now - each.oldest.timestamp()) if each.oldest else 0)
            RETRYING.labels(each.subscriber).set(each.retrying)
            GIVEN_UP.labels(each.subscriber).set(each.dead)
        QUEUE.clear()
        for row in jobs:
            QUEUE.labels(row["job"], row["status"]).set(row["jobs"])


def operations_routes(subscribers: Sequence[str] = ()) -> list[Route]:
    """Return the routes; ``subscribers`` are those whose lag is shown."""
    return [
        Route("/livez", livez, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", Metrics(subscribers).answer, methods=["GET"]),
    ]
