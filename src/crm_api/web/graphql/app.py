"""Puts GraphQL together.

In ``create_app``::

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
    return graphql_routes(GraphQLEndpoint(Engine(schema, limits, settings.graphql_cache_size)))


__all__ = ["compose", "graphql_app"]
