"""REST resources from projections: one way to declare a list, a get, and the answer to a write.

``add_list`` and ``add_get`` derive query parameters, OpenAPI and the SQL from the projection, so a field or filter
that a domain declares once is there on REST and GraphQL alike.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from crm_api.core.errors import Invalid, NotFound
from crm_api.core.ids import parse_id
from crm_api.core.models import Instant
from crm_api.core.paging import DEFAULT_LIMIT, MAX_LIMIT, PageRequest
from crm_api.db.failures import RETRYABLE
from crm_api.db.plans import is_empty, read_list, read_one, require
from crm_api.db.projections import Projection
from crm_api.db.projections import projection as projection_of
from crm_api.db.uow import UnitOfWork
from crm_api.web.auth import authenticate
from crm_api.web.units import CrmRoute, ReadUnit
from crm_api.web.wording import filter_text

JSON = "application/json"
MAX_CURSOR = 2000


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of error answers."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANING[status], "content": content} for status in statuses}


_MEANING = {
    400: "The request cannot be read.",
    401: "No valid API key.",
    403: "The key lacks the needed scope.",
    404: "Not found.",
    405: "The path does not take this method.",
    409: "The current state does not allow it.",
    412: "It was changed since you read it.",
    413: "The body is too large.",
    415: "Unsupported content type.",
    422: "Some values are not valid; `errors` names each.",
    429: "Too many requests; see Retry-After.",
    503: "Temporarily unavailable; see Retry-After.",
}
READ_PROBLEMS = problem_responses(400, 401, 403, 404, 422, 503)
WRITE_PROBLEMS = problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503)


def crm_router(tag: str) -> APIRouter:
    """Return a router whose routes run in units of work."""
    return APIRouter(prefix="/v1", tags=[tag], route_class=CrmRoute)


def shown(name: str, status: int = 200, description: str = "") -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of a write that answers with a resource."""
    headers = {"ETag": {"description": "Version of the resource, for If-Match.", "schema": {"type": "string"}}}
    if status == 201:  # noqa: PLR2004
        headers["Location"] = {"description": "Where the resource is.", "schema": {"type": "string"}}
    return {
        status: {
            "description": description or f"The {name}.",
            "headers": headers,
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}},
        },
        **WRITE_PROBLEMS,
    }


def _listed(name: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "description": f"One page of {name}.",
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{name}Page"}}},
        },
        **READ_PROBLEMS,
    }


def nothing() -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of a write that answers 204."""
    return {204: {"description": "Done."}, **WRITE_PROBLEMS}


# -- answers -----------------------------------------------------------------------------------------------------------


def etag(version: int | None) -> dict[str, str]:
    """Return the ETag header for a version, if there is one."""
    return {} if version is None else {"etag": f'"{version}"'}


async def resource(
    unit: UnitOfWork,
    projection: Projection,
    resource_id: UUID,
    *,
    status: int = 200,
    location: str | None = None,
    fields: tuple[str, ...] | None = None,
) -> Response:
    """Read a resource and answer with it.

    Args:
        unit: where to read; after a write the same unit, so that the caller sees what it wrote.
        projection: what to show.
        resource_id: which.
        status: of the answer.
        location: path of the collection; the id is appended for the Location header.
        fields: only these.

    Raises:
        NotFound: there is none.

    """
    found = await read_one(unit, projection, resource_id, fields=fields)
    if found is None:
        raise NotFound
    headers = etag(found.version)
    if location is not None:
        headers["location"] = f"{location}/{resource_id}"
    return Response(found.json, status, headers, JSON)


def parse_fields(text: str | None) -> tuple[str, ...] | None:
    """Return the names in a ``fields`` parameter, or None for all."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise Invalid.field("/query/fields", "required", "Name at least one field", "请至少指定一个字段")
    return names


# -- parameters --------------------------------------------------------------------------------------------------------

Fields = Annotated[
    str | None,
    Query(description="Only these fields, separated by commas.", max_length=2000),
]
"""Which of a resource's fields to answer; `crm_api.web.openapi` gives each operation an example of its own."""
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows of the page.")]
After = Annotated[str | None, Query(max_length=MAX_CURSOR, description="`page.next` of the page before this one.")]
Before = Annotated[str | None, Query(max_length=MAX_CURSOR, description="`page.previous` of the page after this one.")]
Count = Annotated[
    str | None, Query(pattern="^exact$", description="`exact` adds `page.total`; it costs a scan of all that match.")
]


def page_request(limit: int, after: str | None, before: str | None, count: str | None) -> PageRequest:
    """Return the page a caller asks for."""
    if after is not None and before is not None:
        raise Invalid.field("/query/before", "conflict", "Send either after or before", "after 和 before 只能使用其一")
    return PageRequest(limit, after, before, count == "exact")


_PAGING: Mapping[str, tuple[Any, Any]] = {
    "limit": (Limit, DEFAULT_LIMIT),
    "after": (After, None),
    "before": (Before, None),
    "count": (Count, None),
    "fields": (Fields, None),
}


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _written_day(value: object) -> object:
    """Refuse bare numbers: Pydantic would take them for seconds since 1970."""
    if isinstance(value, str) and "-" not in value:
        raise PydanticCustomError("date_parsing", "Write the day as 2026-11-11")
    return value


_KINDS: Mapping[Any, Any] = {
    str: Annotated[str, Query(max_length=200)],
    datetime: Instant,
    date: Annotated[date, BeforeValidator(_written_day)],
}
"""How a filter's type is read from a query string, where that needs saying."""


ListCheck = Callable[[UnitOfWork, Mapping[str, Any], str | None], Awaitable[None]]
"""Looks at the filters and the order of one request; raises Invalid."""


def _order_names(projection: Projection) -> Any:
    """Return the type of the ``order`` parameter."""
    names: Any = Literal[tuple(projection.orders)]
    if projection.more_orders is None:
        return names

    def known(name: str) -> str:
        if projection.order(name) is None:
            raise PydanticCustomError("literal_error", "There is no order '{name}'", {"name": name[:60]})
        return name

    pattern = {"type": "string", "pattern": r"^-?attributes\.[a-z][a-z0-9_]*$"}
    schema = {"anyOf": [{"enum": list(projection.orders), "type": "string"}, pattern]}
    return Annotated[str, AfterValidator(known), WithJsonSchema(schema)]


def _order_text(projection: Projection) -> str:
    text = f"`{projection.default_order}` if left out."
    if projection.more_orders is None:
        return text
    return f"{text} `attributes.<key>` sorts by one of the shop's own attributes, `-attributes.<key>` largest first."


def _filter_parameters(projection: Projection) -> list[inspect.Parameter]:
    parameters = []
    for name, each in projection.filters.items():
        kind: Any = _KINDS.get(each.type, each.type)
        text = filter_text(projection, name, each) or None
        parameters.append(_parameter(name, Annotated[kind | None, Query(description=text)], None))
    return parameters


def add_list(
    router: APIRouter,
    path: str,
    projection: Projection,
    *,
    summary: str,
    parent: tuple[str, str] | None = None,
    check: ListCheck | None = None,
) -> None:
    """Add ``GET path``: filters, orders, paging and field selection as the projection declares.

    Args:
        router: of the domain.
        path: below /v1.
        projection: what is listed.
        summary: for OpenAPI.
        parent: path parameter and the filter it feeds, for lists below a resource; 404 when that is not there.
        check: refuses filters and orders whose sense only the tenant's own data tells.

    """
    names: Any = _order_names(projection)
    order = Annotated[names | None, Query(description=_order_text(projection))]
    parent_name, parent_filter = parent or ("", "")
    above = projection.filters[parent_filter].ref if parent else None
    # What the path names already is no parameter beside it, whichever filter it feeds.
    filters = [each for each in _filter_parameters(projection) if each.name not in {parent_filter, parent_name}]

    async def endpoint(*, unit: UnitOfWork, **given: Any) -> Response:
        page = page_request(given.pop("limit"), given.pop("after"), given.pop("before"), given.pop("count"))
        fields, order_name = parse_fields(given.pop("fields")), given.pop("order")
        if parent is not None:
            given[parent_filter] = given.pop(parent_name)
        values = {name: value for name, value in given.items() if value is not None}
        if check is not None:
            await check(unit, values, order_name)
        body = await read_list(unit, projection, page, order=order_name, filters=values, fields=fields)
        # Looked for only then: a page with rows in it has a parent.
        if above is not None and is_empty(body):
            await require(unit, projection_of(above), values[parent_filter])
        return Response(body, 200, media_type=JSON)

    parameters = [
        _parameter("unit", ReadUnit),
        *([_parameter(parent_name, Annotated[UUID, Path()])] if parent else []),
        *(_parameter(name, *declared) for name, declared in _PAGING.items()),
        _parameter("order", order, None),
        *filters,
    ]
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__name__ = f"list_{path.strip('/').replace('/', '_').replace('{', '').replace('}', '')}"
    endpoint.__doc__ = projection.description
    router.add_api_route(
        path, endpoint, methods=["GET"], summary=summary, responses=_listed(projection.name), response_model=None
    )


class _GetRoute(CrmRoute):
    """``GET path/{id}`` with a short way for the plain request, which is nearly all of them.

    An id in its usual form and no query need none of FastAPI's machinery, which costs more than the read itself.
    Everything else, and whatever is out of the ordinary, goes the long way: it answers the same.
    """

    projection: Projection

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, by the short way if it will do."""
        row_id = parse_id(scope["path_params"].get("id", ""))
        if row_id is None or scope["query_string"] or scope["method"] != "GET":
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        actor = await authenticate(request)
        try:
            async with request.app.state.db.read(actor) as unit:
                response = await resource(unit, self.projection, row_id)
        except (*RETRYABLE, NotFound):
            await super().handle(scope, receive, send)
            return
        await response(scope, receive, send)


def add_get(router: APIRouter, path: str, projection: Projection, *, summary: str) -> None:
    """Add ``GET path/{id}``."""

    async def endpoint(unit: ReadUnit, id: UUID, fields: Fields = None) -> Response:
        return await resource(unit, projection, id, fields=parse_fields(fields))

    endpoint.__name__ = f"get_{path.strip('/').replace('/', '_')}"
    endpoint.__doc__ = projection.description
    responses = {**shown(projection.name), **READ_PROBLEMS}
    for status in (409, 412, 413, 415):
        responses.pop(status, None)
    router.add_api_route(
        f"{path}/{{id}}",
        endpoint,
        methods=["GET"],
        summary=summary,
        responses=responses,
        response_model=None,
        route_class_override=type("GetRoute", (_GetRoute,), {"projection": projection}),
    )
