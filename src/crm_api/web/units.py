"""The edge of a transaction: one request, one unit of work, committed before the answer is sent.

``CrmRoute`` wraps FastAPI's handler. A handler that asks for ``WriteUnit`` gets a unit whose transaction this module
commits after the handler has made its response and before anything is sent; a lost race (deadlock, serialization
failure) runs the whole handler again, and an ``Idempotency-Key`` is claimed first and answered last in that same
transaction. (A plain ``yield`` dependency would commit after the response; see ADR 0002.)
"""

import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, get_args, get_origin

import orjson
from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from crm_api.core.actor import Actor
from crm_api.core.errors import CrmError, FieldError, Invalid, MalformedBody, NotFound, UnsupportedMedia
from crm_api.db import idempotency
from crm_api.db.failures import RETRYABLE
from crm_api.db.idempotency import REPLAYED, StoredAnswer
from crm_api.db.pool import ATTEMPTS, Database
from crm_api.db.retry import backoff
from crm_api.db.uow import UnitOfWork
from crm_api.web import aliases
from crm_api.web.auth import authenticate
from crm_api.web.validation import pointer_token

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
        self.key: str | None = None
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
        if "depth limit" in str(error):
            raise _TOO_DEEP from None
        raise MalformedBody(f"The body is not valid JSON: {error}", zh="请求正文不是有效的 JSON") from None
    # An ordinary body has fewer brackets than that, and counting them costs nothing.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise _TOO_DEEP
    if b"\\u0000" in raw:
        _refuse_nul(value, "")
    _refuse_repeated_keys(raw)
    return value


class _Pairs(list[tuple[str, Any]]):
    """The members of an object that names one twice."""


def _once_each(pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RepeatedKey
    return members


class _RepeatedKey(Exception):
    pass


# Numbers are left as text: Python refuses whole numbers of more than 4,300 digits.
_CHECK = json.JSONDecoder(object_pairs_hook=_once_each, parse_int=str, parse_float=str)
_KEEP = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=str, parse_float=str)


def _refuse_repeated_keys(raw: bytes) -> None:
    # Parsers differ in which of two values they take, so a body that names a field twice may mean something else to
    # whoever checked it before us (RFC 7493 forbids it). orjson takes the last one and cannot tell.
    if raw.count(b":") < 2:  # noqa: PLR2004 - one member cannot be there twice
        return
    text = raw.decode()
    try:
        _CHECK.decode(text)
    except _RepeatedKey:
        pointer = _find_repeated(_KEEP.decode(text), "")
        raise MalformedBody(
            "The JSON names a field twice",
            zh="JSON 中有重复的字段",
            code="duplicate_key",
            errors=[FieldError(pointer or "", "duplicate_key", "This field is there twice", "此字段重复出现")],
        ) from None


def _find_repeated(value: Any, pointer: str) -> str | None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            at = f"{pointer}/{pointer_token(key)}"
            if key in seen:
                return at
            seen.add(key)
            found = _find_repeated(item, at)
            if found is not None:
                return found
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found = _find_repeated(item, f"{pointer}/{index}")
            if found is not None:
                return found
    return None


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
            _refuse_nul(item, f"{pointer}/{pointer_token(key)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_nul(item, f"{pointer}/{index}")


def check_media(request: Request, accepted: str) -> None:
    """Refuse a body that is not of the accepted type, in UTF-8 and as it is.

    Raises:
        UnsupportedMedia: it is not.

    """
    headers = request.headers
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _unsupported("content-encoding", "Send the body without compression", "请勿压缩请求正文")
    given, *parameters = (part.strip().lower() for part in headers.get("content-type", "").split(";"))
    if not given and headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return  # no body at all: the handler says what it lacks
    if given != accepted and not (
        accepted == "application/json" and re.fullmatch(r"application/[a-z0-9.-]+\+json", given)
    ):
        raise _unsupported("content-type", f"Send the body as {accepted}", f"请以 {accepted} 发送正文")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in {"utf-8", "utf8"}:
            raise _unsupported("content-type", "Send the body in UTF-8", "请使用 UTF-8 编码")


def _unsupported(header: str, message: str, zh: str) -> UnsupportedMedia:
    return UnsupportedMedia(
        message, zh=zh, errors=[FieldError(f"/header/{header}", "unsupported_media_type", message, zh)]
    )


class CrmRoute(APIRoute):
    """A route whose unit of work is committed before the response is sent."""

    _literal: ClassVar[set[str]] = set()

    def __init__(self, path: str, endpoint: Callable[..., Any], **how: Any) -> None:
        """Remember paths without parameters: see ``matches``."""
        super().__init__(path, endpoint, **how)
        if "{" not in path:
            self._literal.add(path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match as every route does, but leave ``/customers/search`` to its own route, whatever the method."""
        match, child = super().matches(scope)
        if match is Match.FULL and scope["path"] in self._literal and "{" in self.path:
            return Match.NONE, {}
        return match, child

    def refuse_parameters(self, request: Request) -> None:
        """Refuse a parameter the route does not take, or one given twice: a typing mistake must not pass silently.

        Raises:
            Invalid: names each.

        """
        if not request.scope["query_string"]:
            return
        names = [name for name, _ in request.query_params.multi_items()]
        errors = [
            FieldError(
                f"/query/{pointer_token(name)}", "unknown_parameter", f"There is no parameter '{name}'", "未知参数"
            )
            for name in sorted({*names} - self._parameters.keys())
        ]
        errors += [
            FieldError(f"/query/{name}", "repeated_parameter", "Give it once", "只能提供一次")
            for name, repeatable in self._parameters.items()
            if not repeatable and names.count(name) > 1
        ]
        if errors:
            raise Invalid(errors=errors[:20])

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler inside the edge."""
        original = super().get_route_handler()
        accepted = _accepted_media(self)
        taken = _query_fields(self.dependant)
        self._parameters = {each.alias: _repeatable(each.field_info.annotation) for each in taken}

        async def handler(request: Request) -> Response:
            if accepted is not None:
                check_media(request, accepted)
            request.scope["crm.route"] = self
            inner = CrmRequest(request.scope, request.receive)
            try:
                return await _until_won(inner, original)
            except NotFound:
                again = await _under_new_ids(inner)
                if again is None:
                    raise
            return await _until_won(again, original)

        return handler


async def _until_won(request: Request, original: Handler) -> Response:
    """Run the handler, again while it loses races."""
    for attempt in range(ATTEMPTS):
        try:
            return await _once(request, original)
        except RETRYABLE:
            if attempt == ATTEMPTS - 1:
                raise
            await backoff(attempt)
        except Invalid as error:
            if request.method == "GET":
                _point_into_query(error)
            raise
    raise AssertionError  # pragma: no cover - the loop returns or raises


_SHOWS_RESOURCE: Final = frozenset({"GET", "HEAD", "PATCH", "PUT"})
"""Methods whose answer is the resource at the request's own path."""


async def _under_new_ids(request: CrmRequest) -> CrmRequest | None:
    """Return the request with the ids that answer for old ones in it; None when there are none. See `aliases`."""
    scope = request.scope
    actor = scope.get("crm.actor")
    if actor is None:
        return None
    body: bytes = getattr(request, "_body", b"")
    ids = aliases.ids_of_request(scope["path_params"], scope["query_string"], body)
    names = await aliases.look_up(request.app.state.db, actor, ids)
    if not names:
        return None
    fresh = aliases.renamed_scope(scope, names)
    # What makes two keyed requests the same is how they came.
    fresh["crm.path"], fresh["crm.fingerprint"] = scope["path"], scope.get("crm.fingerprint", body)
    if request.method in _SHOWS_RESOURCE and fresh["path"] != scope["path"]:
        query = fresh["query_string"].decode("latin-1")
        fresh["crm.content_location"] = fresh["raw_path"].decode() + (f"?{query}" if query else "")
    again = CrmRequest(fresh, request.receive)
    again._body = aliases.renamed_body(body, names)  # noqa: SLF001 - it was read already
    return again


def _point_into_query(error: Invalid) -> None:
    # What reads lists serves GraphQL and searches too, whose arguments are no query parameters.
    error.errors = tuple(
        each
        if each.pointer.startswith(("/query/", "/path/", "/header/"))
        else replace(each, pointer=f"/query{each.pointer}")
        for each in error.errors
    )


def _query_fields(dependant: Any) -> list[Any]:
    return [*dependant.query_params, *(each for below in dependant.dependencies for each in _query_fields(below))]


def _repeatable(annotation: Any) -> bool:
    return list in {get_origin(each) for each in (annotation, *get_args(annotation))}


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
        if "crm.content_location" in request.scope:
            response.headers["content-location"] = request.scope["crm.content_location"]
        if edge.key is not None and edge.unit is not None:
            await idempotency.store(edge.unit, edge.key, _stored(response))
    except _Replay as replay:
        await edge.close(replay)
        return _answer(replay.answer)
    except CrmError as error:
        if error.keeps_work and edge.key is not None and edge.unit is not None:
            await idempotency.release(edge.unit, edge.key)
        await edge.close(error)
        raise
    except BaseException as error:
        await edge.close(error)
        raise
    await edge.close()
    return response


def _stored(response: Response) -> StoredAnswer:
    # The length is made anew; ids and times of the single request are added further out.
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return StoredAnswer(response.status_code, headers, bytes(response.body))


def _answer(answer: StoredAnswer) -> Response:
    return Response(answer.body, answer.status, {**answer.headers, **REPLAYED})


# -- what handlers ask for ---------------------------------------------------------------------------------------------


async def _actor(request: Request) -> Actor:
    # Who calls comes first: strangers are not told what parameters there are.
    actor = await authenticate(request)
    route: CrmRoute = request.scope["crm.route"]
    route.refuse_parameters(request)
    return actor


CurrentActor = Annotated[Actor, Depends(_actor)]
"""Who calls."""


async def _read_unit(request: Request) -> UnitOfWork:
    actor = await _actor(request)
    edge: _Edge = request.scope["crm.edge"]
    return await edge.open(actor, write=False)


async def _write_unit(
    request: Request,
    idempotency_key: Annotated[
        idempotency.Key | None,
        Header(
            description="Any text of yours that is unique to this request: sending it again within 24 hours returns "
            "the first answer and does nothing more.",
        ),
    ] = None,
) -> UnitOfWork:
    actor = await _actor(request)
    # The body is read before the transaction begins: a slow client must not hold one open.
    body = await _body_for_fingerprint(request) if idempotency_key else b""
    edge: _Edge = request.scope["crm.edge"]
    unit = await edge.open(actor, write=True)
    if idempotency_key:
        path = request.scope.get("crm.path", request.url.path)
        print_ = idempotency.fingerprint(request.method, path, body)
        answer = await idempotency.claim(unit, idempotency_key, print_)
        if answer is not None:
            raise _Replay(answer)
        edge.key = idempotency_key
    return unit


async def _body_for_fingerprint(request: Request) -> bytes:
    # A multipart body has been parsed into files already; its route gives its own fingerprint in the scope.
    known = request.scope.get("crm.fingerprint")
    return known if known is not None else await request.body()


ReadUnit = Annotated[UnitOfWork, Depends(_read_unit)]
"""A read-only unit of the caller's tenant."""

WriteUnit = Annotated[UnitOfWork, Depends(_write_unit)]
"""A unit that commits before the response is sent."""


_VERSION: Final = re.compile(r'(?:W/)?"([0-9]{1,9})"|([0-9]{1,9})')
"""An ETag of ours, or its number alone; versions are 32-bit."""


async def _if_match(
    if_match: Annotated[
        str | None,
        Header(max_length=100, description='The ETag you last read, such as "3"; 412 when it has changed since.'),
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = _VERSION.fullmatch(if_match.strip())
    if found is None:
        raise Invalid.field(
            "/header/if-match", "bad_format", 'Send the ETag as you got it, such as "3"', "请原样发送 ETag"
        )
    return int(found[1] or found[2])


ExpectedVersion = Annotated[int | None, Depends(_if_match)]
"""The version in If-Match, or None."""
