"""The edge of a transaction: one request, one unit of work, committed before the answer is sent.

``CrmRoute`` wraps FastAPI's handler. A handler that asks for ``WriteUnit`` gets a unit whose transaction this module
commits after the handler has made its response and before anything is sent; a lost race (deadlock, serialization
failure) runs the whole handler again, and an ``Idempotency-Key`` is claimed first and answered last in that same
transaction. (A plain ``yield`` dependency would commit after the response; see ADR 0002.)
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from crm_api.core.actor import Actor
from crm_api.core.errors import FieldError, Invalid, MalformedBody, UnsupportedMedia
from crm_api.db import idempotency
from crm_api.db.failures import RETRYABLE
from crm_api.db.idempotency import StoredAnswer
from crm_api.db.pool import ATTEMPTS, Database
from crm_api.db.retry import backoff
from crm_api.db.uow import UnitOfWork
from crm_api.web.auth import authenticate

MAX_DEPTH: Final = 64
"""Deepest nesting of a JSON body."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _Replay(Exception):
    def __init__(self, answer: StoredAnswer) -> None:
        self.answer = answer


class _Edge:
    """The unit of one request, opened on demand."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.key: Any = None
        self._context: Any = None
        self.unit: UnitOfWork | None = None

    async def open(self, actor: Actor, *, write: bool) -> UnitOfWork:
        self._context = self.database.write(actor) if write else self.database.read(actor)
        self.unit = await self._context.__aenter__()
        return self.unit

    async def close(self, error: BaseException | None = None) -> None:
        context, self._context = self._context, None
        if context is not None:
            await context.__aexit__(type(error) if error else None, error, None)


class CrmRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """Return the body's value.

        Raises:
            MalformedBody: not JSON, nested too deeply, or text that no JSON parser should have let through.

        """
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


def parse_json(raw: bytes) -> Any:
    """Parse JSON strictly: UTF-8, no NaN, no lone surrogates, bounded depth, no NUL in text.

    Of a repeated name the last value counts, as RFC 8259 leaves it open.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "ecursion" in str(error):
            raise _TOO_DEEP from None
        raise MalformedBody(f"The body is not valid JSON: {error}", zh="请求正文不是有效的 JSON") from None
    # An ordinary body has fewer brackets than that, and counting them costs nothing.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise _TOO_DEEP
    if b"\\u0000" in raw:
        _refuse_nul(value, "")
    return value


_TOO_DEEP = MalformedBody(
    f"The JSON is nested more than {MAX_DEPTH} levels deep", zh=f"JSON 嵌套超过 {MAX_DEPTH} 层", code="too_deep"
)


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
            if inner and isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _refuse_nul(value: Any, pointer: str) -> None:
    if isinstance(value, str) and "\x00" in value:
        raise Invalid(
            errors=[
                FieldError(
                    pointer,
                    "nul_character",
                    "Text must not contain the NUL character",
                    "文本不能包含 NUL 字符",
                )
            ]
        )
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_nul(key, pointer)
            _refuse_nul(item, f"{pointer}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_nul(item, f"{pointer}/{index}")


def _check_media(request: Request, accepted: str | None) -> None:
    if accepted is None or request.method not in {"POST", "PUT", "PATCH"}:
        return
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given and given != accepted and not (accepted == "application/json" and given.endswith("+json")):
        raise UnsupportedMedia(f"Send the body as {accepted}", zh=f"请以 {accepted} 发送正文")


class CrmRoute(APIRoute):
    """A route whose unit of work is committed before the response is sent."""

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler inside the edge."""
        original = super().get_route_handler()
        accepted = _accepted_media(self)

        async def handler(request: Request) -> Response:
            _check_media(request, accepted)
            inner = CrmRequest(request.scope, request.receive)
            for attempt in range(ATTEMPTS):
                try:
                    return await _once(inner, original)
                except RETRYABLE:
                    if attempt == ATTEMPTS - 1:
                        raise
                    await backoff(attempt)
            raise AssertionError  # pragma: no cover - the loop returns or raises

        return handler


def _accepted_media(route: APIRoute) -> str | None:
    field = route.body_field
    if field is None:
        return None
    media = getattr(field.field_info, "media_type", "application/json")
    return str(media)


async def _once(request: Request, original: Handler) -> Response:
    edge = request.scope["crm.edge"] = _Edge(request.app.state.db)
    try:
        response = await original(request)
        if edge.key is not None and edge.unit is not None:
            await idempotency.store(edge.unit, edge.key, _stored(response))
    except _Replay as replay:
        await edge.close(replay)
        return _answer(replay.answer)
    except BaseException as error:
        await edge.close(error)
        raise
    await edge.close()
    return response


_KEPT_HEADERS = ("content-type", "etag", "location", "content-location")


def _stored(response: Response) -> StoredAnswer:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return StoredAnswer(response.status_code, headers, bytes(response.body))


def _answer(answer: StoredAnswer) -> Response:
    return Response(answer.body, answer.status, {**answer.headers, "idempotency-replayed": "true"})


# -- what handlers ask for ---------------------------------------------------------------------------------------------


async def _actor(request: Request) -> Actor:
    return await authenticate(request)


CurrentActor = Annotated[Actor, Depends(_actor)]
"""Who calls."""


async def _read_unit(request: Request) -> UnitOfWork:
    actor = await authenticate(request)
    edge: _Edge = request.scope["crm.edge"]
    return await edge.open(actor, write=False)


async def _write_unit(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="Any text of yours that is unique to this request: sending it again within 24 hours returns "
            "the first answer and does nothing more.",
        ),
    ] = None,
) -> UnitOfWork:
    actor = await authenticate(request)
    # The body is read before the transaction begins: a slow client must not hold one open.
    body = await _body_for_fingerprint(request) if idempotency_key else b""
    edge: _Edge = request.scope["crm.edge"]
    unit = await edge.open(actor, write=True)
    if idempotency_key:
        key = idempotency.key_id(actor.id, idempotency_key)
        print_ = idempotency.fingerprint(request.method, request.url.path, body)
        answer = await idempotency.claim(unit, key, print_)
        if answer is not None:
            raise _Replay(answer)
        edge.key = key
    return unit


async def _body_for_fingerprint(request: Request) -> bytes:
    # A multipart body has been parsed into files already; its route gives its own fingerprint in the scope.
    known = request.scope.get("crm.fingerprint")
    return known if known is not None else await request.body()


ReadUnit = Annotated[UnitOfWork, Depends(_read_unit)]
"""A read-only unit of the caller's tenant."""

WriteUnit = Annotated[UnitOfWork, Depends(_write_unit)]
"""A unit that commits before the response is sent."""


async def _if_match(
    if_match: Annotated[
        str | None,
        Header(max_length=100, description='The ETag you last read, such as "3"; 412 when it has changed since.'),
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or not text.isascii() or len(text) > 9:  # noqa: PLR2004 - versions are 32-bit
        raise Invalid.field(
            "/header/if-match", "bad_format", 'Send the ETag as you got it, such as "3"', "请原样发送 ETag"
        )
    return int(text)


ExpectedVersion = Annotated[int | None, Depends(_if_match)]
"""The version in If-Match, or None."""
