"""What operators look at: liveness, readiness and metrics. No key is needed and nothing about tenants is told."""

import asyncio

import asyncpg
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def livez(_request: Request) -> Response:
    """Answer while the process can."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Answer 200 when the database answers within two seconds, else 503."""
    try:
        async with asyncio.timeout(2), request.app.state.db.system() as connection:
            await connection.fetchval("SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return JSONResponse({"status": "database unavailable"}, 503, {"retry-after": "2"})
    return JSONResponse({"status": "ready"})


async def metrics(_request: Request) -> Response:
    """Return the process's metrics for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def operations_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/livez", livez, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
