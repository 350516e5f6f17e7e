"""What happens to every request before and after its route: id, limits, log line, metrics, last-resort answer."""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers

from crm_api.core.errors import BadRequest, CrmError, FieldError, TooLarge
from crm_api.core.ids import new_id
from crm_api.db.failures import translate
from crm_api.web.problems import locale_of, problem
from crm_api.web.telemetry import note_request

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger(__name__)

REQUESTS: Final = Counter("crm_http_requests", "HTTP requests.", ["method", "route", "status"])
SECONDS: Final = Histogram(
    "crm_http_request_seconds",
    "Time to answer an HTTP request.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._:-]{1,64}$")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PLAIN_PATHS = frozenset({"/graphql", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"})
UPLOAD_PATHS: Final = ("/v1/imports", "/v1/uploads")
"""Paths whose body may be as large as an upload."""


class BodyTooLarge(TooLarge):
    """Raised into whoever reads a body beyond the limit."""


class Edge:
    """The outermost layer; plain ASGI because the framework's middleware class costs more than our routes."""

    def __init__(self, app: App, *, max_body: int, max_upload: int) -> None:
        """Wrap an app; limits are bytes."""
        self.app = app
        self._max_body = max_body
        self._max_upload = max_upload
        self._meters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else str(new_id())
        scope["crm.request_id"] = request_id
        started = time.perf_counter()
        status = 500
        begun = False

        async def reply(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            self._refuse(scope, headers)
            await self.app(scope, self._limited(scope, receive), reply)
        except Exception as error:
            if begun:  # too late for an answer; the server closes the connection
                raise
            known = translate(error)
            if known is None:
                log.exception("unhandled_error", request_id=request_id)
            response = problem(
                known or CrmError(),
                locale=locale_of(headers.get("accept-language", "")),
                request_id=request_id,
                instance=scope["path"],
            )
            await response(scope, receive, reply)
        finally:
            self._note(scope, status, time.perf_counter() - started, request_id)

    def _limit(self, scope: Scope) -> int:
        return self._max_upload if scope["path"] in UPLOAD_PATHS else self._max_body

    def _refuse(self, scope: Scope, headers: Headers) -> None:
        length = headers.get("content-length")
        if length is not None:
            self._check_length(scope, length)
        _check_address(scope)

    def _check_length(self, scope: Scope, length: str) -> None:
        if not (length.isascii() and length.isdecimal()):
            raise BadRequest(
                "Content-Length must be a number of bytes",
                zh="Content-Length 必须是字节数",
                code="bad_content_length",
                errors=[
                    FieldError(
                        "/header/content-length", "bad_content_length", "It must be a number of bytes", "必须是字节数"
                    )
                ],
            )
        # So many digits are too many bytes in any case, and more than Python wants to read.
        if len(length) > 18 or int(length) > self._limit(scope):  # noqa: PLR2004
            raise _too_large(self._limit(scope))

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        limit, seen = self._limit(scope), 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise _too_large(limit)
            return message

        return counted

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = scope.get("route")
        path = getattr(route, "path", None) or (scope["path"] if scope["path"] in _PLAIN_PATHS else "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        # Looked up once for each label set, of which there are few: finding a child costs more than counting.
        meters = self._meters.get((method, path, status))
        if meters is None:
            meters = self._meters[method, path, status] = (
                REQUESTS.labels(method, path, status),
                SECONDS.labels(method, path),
            )
        meters[0].inc()
        meters[1].observe(seconds)
        actor = scope.get("crm.actor")
        tenant_id = str(actor.tenant_id) if actor else None
        note_request(scope["headers"], method, path, status, seconds, tenant_id=tenant_id, request_id=request_id)
        # The route's template, never the real path or query: those may hold personal data.
        log.info(
            "request",
            method=method,
            route=path,
            status=status,
            ms=round(seconds * 1000, 2),
            request_id=request_id,
            tenant_id=tenant_id,
        )


def _check_address(scope: Scope) -> None:
    query = scope.get("query_string", b"")
    if "\x00" in scope["path"] or b"%00" in query or b"\x00" in query:
        raise BadRequest("The address contains a NUL character", zh="地址中包含 NUL 字符", code="nul_character")
    # Whoever decodes later replaces what is no UTF-8, and would store what nobody sent.
    if "\ufffd" in scope["path"] or not (_utf8(scope.get("raw_path") or b"") and _utf8(query)):
        raise BadRequest("The address is not valid UTF-8", zh="地址不是有效的 UTF-8", code="invalid_utf8")


def _utf8(quoted: bytes) -> bool:
    if quoted.isascii() and b"%" not in quoted:
        return True
    try:
        unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError:
        return False
    return True


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body may have at most {limit:,} bytes", zh=f"请求正文最多 {limit:,} 字节")
