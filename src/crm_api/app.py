"""The web application: lifespan, edge, routes."""

import contextlib
import gc
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from crm_api import __version__, registry
from crm_api.db.pool import Database
from crm_api.db.projections import check_projections
from crm_api.settings import Settings, load_settings
from crm_api.web import problems
from crm_api.web.auth import KeyCache
from crm_api.web.graphql.app import compose, graphql_app
from crm_api.web.graphql.hub import Hub, close_on_exit
from crm_api.web.graphql.notes import ApiSchema
from crm_api.web.logs import configure_logging
from crm_api.web.middleware import Edge
from crm_api.web.openapi import build_openapi
from crm_api.web.operations import operations_routes
from crm_api.web.pages import page_routes
from crm_api.web.routes import RouteTable
from crm_api.web.telemetry import start_tracing, stop_tracing

log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None, database: Database | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: from the environment when not given.
        database: an open one, for tests; otherwise the lifespan opens and closes its own.

    """
    settings = settings or load_settings()
    configure_logging(settings)
    start_tracing(settings, "crm-api")
    check_projections()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        lent: Database | None = app.state.lent
        app.state.db = lent or await Database.open(settings)
        app.state.hub = Hub(
            app.state.db, poll_seconds=settings.relay_poll_seconds, per_key=settings.graphql_connections_per_key
        )
        close_on_exit(app.state.hub)
        if lent is None:
            _settle_memory()
        log.info("started", version=__version__)
        yield
        app.state.hub.close()
        if lent is None:
            await app.state.db.close()
        stop_tracing()

    app = FastAPI(
        title="crm-api",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        # FastAPI's own spans and logs hold paths, queries and messages of errors; ours do not: `web.telemetry`.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={
            RequestValidationError: problems.handle,
            HTTPException: problems.handle,
            Exception: problems.handle,
        },
    )
    app.state.settings = settings
    app.state.lent = database
    app.state.keys = KeyCache(settings.key_cache_seconds)
    # Streams look at their key this often and remember it as long: together no longer than a request's key is good.
    app.state.stream_keys = KeyCache(settings.key_cache_seconds / 2)
    app.state.graphql = _schema()
    domains = RouteTable(route for router in registry.routers() for route in router.routes)
    app.router.routes[:0] = [*graphql_app(app.state.graphql, settings), *page_routes(), domains]
    app.router.routes.extend(operations_routes([each.name for each in registry.subscribers()]))
    app.openapi = lambda: build_openapi(app, domains.routes)  # type: ignore[method-assign]
    app.add_middleware(Edge, max_body=settings.max_body_bytes, max_upload=settings.max_upload_bytes)
    return app


@cache
def _schema() -> ApiSchema:
    """Return the GraphQL schema of all domains: one a process, it depends on the code alone and takes a second."""
    return compose(module.GRAPHQL for module in registry.parts("graphql"))


def _settle_memory() -> None:
    """Leave what is alive at start out of later collections: going through it again and again costs the tail latency.

    For a process that serves one application to its end: what is frozen here is never freed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def asgi() -> Any:
    """Return the application for servers that take a factory."""
    return create_app()
