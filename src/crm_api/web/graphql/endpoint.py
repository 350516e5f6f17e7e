"""``/graphql`` over HTTP: what comes in, what goes out, and the page for people.

Follows the GraphQL-over-HTTP draft: ``application/graphql-response+json`` with meaningful status codes for clients
that ask for it, ``application/json`` (200 whenever the request was well formed) for all others.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final

import orjson
import structlog
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from crm_api.core.actor import Actor
from crm_api.core.errors import CrmError, Locale, MalformedBody, TooManyRequests, Unauthenticated
from crm_api.db import idempotency
from crm_api.db.failures import translate
from crm_api.web.auth import authenticate, caller_of
from crm_api.web.graphql.engine import Answer, Engine, Request, failure
from crm_api.web.graphql.socket import Connection, StreamLimits
from crm_api.web.graphql.sse import EVENTS, EventStream
from crm_api.web.graphql.streams import is_subscription, open_stream
from crm_api.web.pages import graphiql_page
from crm_api.web.problems import locale_of
from crm_api.web.units import parse_json

log = structlog.get_logger(__name__)

MODERN: Final = "application/graphql-response+json"
LEGACY: Final = "application/json"
HTML: Final = "text/html"

_OFFERED: Final[Mapping[str, str]] = {
    MODERN: MODERN,
    LEGACY: LEGACY,
    "application/*": LEGACY,
    "*/*": LEGACY,
    HTML: HTML,
    EVENTS: EVENTS,
}


_CHINESE: Final[Mapping[str, str]] = {
    "bad_request": "这不是有效的 GraphQL 请求",
    "malformed_body": "无法读取请求正文",
    "too_deep": "JSON 嵌套过深",
    "duplicate_key": "JSON 中有重复的字段",
    "unsupported_media_type": "请以 UTF-8 编码的 application/json 发送请求",
    "not_acceptable": "无法提供所需的格式",
}
"""What a call can be refused for. (What is wrong inside a document is told by graphql-core, in English.)"""


class BadCall(Exception):
    """The HTTP request is not a GraphQL request."""

    def __init__(self, status: int, message: str, code: str = "bad_request") -> None:
        """Carry the answer."""
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self, locale: Locale) -> bytes:
        """Return the response in the caller's language."""
        message = _CHINESE.get(self.code, str(self)) if locale == "zh" else str(self)
        return orjson.dumps({"errors": [{"message": message, "extensions": {"code": self.code}}]})


@lru_cache(maxsize=200)
def accepted(header: str) -> str | None:
    """Return the media type to answer with, or None when none will do."""
    if not header.strip():
        return LEGACY
    best: tuple[float, str | None] = (0.0, None)
    for part in header.split(",")[:30]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        offered = _OFFERED.get(name)
        quality = _quality(parameters)
        if offered is not None and quality > best[0] and _utf8(parameters):
            best = (quality, offered)
    return best[1]


def _quality(parameters: list[str]) -> float:
    for each in parameters:
        if each.startswith("q="):
            try:
                return float(each[2:])
            except ValueError:
                return 0.0
    return 1.0


def _utf8(parameters: list[str]) -> bool:
    return all(not each.startswith("charset=") or each[8:].strip('"') in ("utf-8", "utf8") for each in parameters)


async def _from_body(request: HttpRequest) -> Request:
    name, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    if name != LEGACY or not _utf8(parameters):
        raise BadCall(415, "Send the request as application/json in UTF-8.", "unsupported_media_type")
    try:
        given = parse_json(await request.body())
    except MalformedBody as error:
        raise BadCall(400, error.message, error.code) from None
    if not isinstance(given, dict):
        raise BadCall(400, "The body must be one JSON object.", "malformed_body")
    return _request(given, read_only=False, key=request.headers.get("idempotency-key"))


def _from_query(request: HttpRequest) -> Request:
    given: dict[str, Any] = dict(request.query_params)
    for name in ("variables", "extensions"):
        if given.get(name):
            try:
                given[name] = parse_json(given[name].encode("utf-8", "surrogatepass"))
            except MalformedBody:
                raise BadCall(400, f"'{name}' is not JSON.") from None
        else:
            given.pop(name, None)
    return _request(given, read_only=True)


def _request(given: Mapping[str, Any], *, read_only: bool, key: str | None = None) -> Request:
    query = given.get("query")
    if not isinstance(query, str):
        raise BadCall(400, "'query' must be the text of a GraphQL document.")
    for name, kind, text in (
        ("variables", dict, "an object"),
        ("extensions", dict, "an object"),
        ("operationName", str, "a string"),
    ):
        if given.get(name) is not None and not isinstance(given[name], kind):
            raise BadCall(400, f"'{name}' must be {text}.")
    return Request(query, given.get("variables") or {}, given.get("operationName") or None, read_only, key)


class GraphQLEndpoint:
    """Serves ``/graphql``."""

    def __init__(self, engine: Engine, streams: StreamLimits | None = None) -> None:
        """Serve one schema."""
        self.engine = engine
        self.streams = streams or StreamLimits()

    async def __call__(self, request: HttpRequest) -> Response:
        """Answer one HTTP request."""
        media_type = accepted(request.headers.get("accept", ""))
        locale = locale_of(request.headers.get("accept-language", ""))
        if request.method == "GET" and media_type == HTML and "query" not in request.query_params:
            return graphiql_page()
        if media_type is None:
            refused = BadCall(406, f"This can answer as {MODERN} or {LEGACY}.", "not_acceptable")
            return Response(refused.body(locale), refused.status, None, _typed(None))
        try:
            actor = await authenticate(request)
            asked = await _from_body(request) if request.method == "POST" else _from_query(request)
        except BadCall as error:
            return Response(error.body(locale), error.status, None, _typed(media_type))
        except Exception as error:
            known = translate(error)
            if known is None:
                raise
            return _failed(known, locale, media_type)
        if media_type == EVENTS:
            return self._events(request, asked, actor)
        return _response(await self._run(request, asked, actor), media_type)

    def _events(self, request: HttpRequest, asked: Request, actor: Actor) -> Response:
        hub, limits = request.app.state.hub, self.streams
        admitted = hub.admitted(actor.id)
        try:
            admitted.__enter__()
        except TooManyRequests as error:
            return _failed(error, actor.locale, LEGACY)
        caller = caller_of(request, request.app.state.stream_keys)
        return EventStream(
            self._results(request, asked, actor, caller.now),
            locale=actor.locale,
            check=caller.now,
            check_seconds=limits.check_seconds,
            ping_seconds=limits.ping_seconds,
            send_seconds=limits.send_seconds,
            over=lambda: admitted.__exit__(None, None, None),
        )

    async def _results(
        self, request: HttpRequest, asked: Request, actor: Actor, who: Callable[[], Awaitable[Actor]]
    ) -> AsyncGenerator[bytes]:
        if not is_subscription(self.engine, asked):
            yield (await self._run(request, asked, actor)).body
            return
        state = request.app.state
        stream = await open_stream(
            engine=self.engine, request=asked, database=state.db, hub=state.hub, who=who, room=self.streams.queue
        )
        async with aclosing(stream.results()) as results:
            async for result in results:
                yield result

    async def socket(self, socket: WebSocket) -> None:
        """Serve one WebSocket."""
        await Connection(socket, self.engine, socket.app.state.hub, self.streams).serve()

    async def _run(self, request: HttpRequest, asked: Request, actor: Any) -> Answer:
        try:
            return await self.engine.run(asked, actor, request.app.state.db)
        except Exception as error:
            known = translate(error)
            if known is None:
                log.exception("unhandled_error", request_id=request.scope.get("crm.request_id"))
            return failure(known or CrmError(), actor.locale)


def _failed(error: CrmError, locale: Locale, media_type: str) -> Response:
    answer = failure(error, locale)
    response = Response(answer.body, answer.status, None, _typed(media_type))
    if isinstance(error, Unauthenticated):
        response.headers["www-authenticate"] = 'Bearer realm="crm-api"'
    if answer.retry_after is not None:
        response.headers["retry-after"] = str(answer.retry_after)
    return response


def _typed(media_type: str | None) -> str:
    return f"{MODERN if media_type == MODERN else LEGACY}; charset=utf-8"


def _response(answer: Answer, media_type: str) -> Response:
    status = answer.status
    if media_type != MODERN and status == 400:  # noqa: PLR2004 - older clients read errors from a 200 only
        status = 200
    headers = {} if answer.retry_after is None else {"retry-after": str(answer.retry_after)}
    if answer.replayed:
        headers |= idempotency.REPLAYED
    if status == 405:  # noqa: PLR2004
        headers["allow"] = "POST"
    return Response(answer.body, status, headers, _typed(media_type))


def graphql_routes(endpoint: GraphQLEndpoint) -> list[BaseRoute]:
    """Return the routes to put before all others: a plain route costs less than the framework's."""

    async def serve(request: HttpRequest) -> Response:
        return await endpoint(request)

    async def listen(socket: WebSocket) -> None:
        await endpoint.socket(socket)

    return [
        Route("/graphql", serve, methods=["GET", "POST"], include_in_schema=False),
        WebSocketRoute("/graphql", listen),
    ]
