"""Puts GraphQL together.

As in ``create_app``::

    schema = compose(module.GRAPHQL for module in registry.parts("graphql"))
    app.router.routes[:0] = [*graphql_app(schema, settings), *page_routes()]  # page_routes: crm_api.web.pages
"""

from collections.abc import Iterable

from starlette.routing import BaseRoute

from crm_api.settings import Settings
from crm_api.web.graphql.endpoint import GraphQLEndpoint, graphql_routes
from crm_api.web.graphql.engine import Engine
from crm_api.web.graphql.limits import Limits
from crm_api.web.graphql.notes import ApiSchema
from crm_api.web.graphql.parts import GraphQLParts
from crm_api.web.graphql.resolvers import attach
from crm_api.web.graphql.schema import build_schema
from crm_api.web.graphql.socket import StreamLimits


def compose(parts: Iterable[GraphQLParts], only: Iterable[str] | None = None) -> ApiSchema:
    """Return the schema of all domains, ready to execute; ``sdl()`` prints it. ``only`` is for tests."""
    schema = build_schema(parts, only)
    attach(schema)
    return schema


def graphql_app(schema: ApiSchema, settings: Settings) -> list[BaseRoute]:
    """Return the routes of ``/graphql``; put them before all others."""
    limits = Limits(
        depth=settings.graphql_max_depth,
        aliases=settings.graphql_max_aliases,
        fields=settings.graphql_max_fields,
        cost=settings.graphql_max_cost,
        tokens=settings.graphql_max_tokens,
    )
    check_seconds = max(settings.key_cache_seconds / 2, 0.1)
    streams = StreamLimits(
        subscriptions=settings.graphql_subscriptions,
        message_bytes=settings.graphql_message_bytes,
        init_seconds=settings.graphql_init_seconds,
        ping_seconds=settings.graphql_ping_seconds,
        send_seconds=settings.graphql_send_seconds,
        check_seconds=check_seconds,
        queue=settings.graphql_queue,
    )
    return graphql_routes(GraphQLEndpoint(Engine(schema, limits, settings.graphql_cache_size), streams))


__all__ = ["compose", "graphql_app"]
