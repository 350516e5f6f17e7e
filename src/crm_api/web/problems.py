"""RFC 9457 problem details: the one shape of every error over REST."""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from crm_api.core.errors import (
    BadRequest,
    CrmError,
    FieldError,
    Invalid,
    Locale,
    MalformedBody,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from crm_api.db.failures import translate
from crm_api.web.validation import field_errors

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:crm-api:problem:"


class MethodNotAllowed(BadRequest):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "This path does not take that method",
        "zh": "此路径不支持该请求方法",
    }


class NotAcceptable(BadRequest):
    """No representation the client accepts."""

    status = 406
    code = "not_acceptable"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Not acceptable", "zh": "无法提供所需的格式"}


_BY_STATUS: dict[int, type[CrmError]] = {
    400: MalformedBody,
    401: Unauthenticated,
    404: NotFound,
    405: MethodNotAllowed,
    406: NotAcceptable,
    413: TooLarge,
    415: UnsupportedMedia,
    503: Unavailable,
}


def locale_of(header: str) -> Locale:
    """Return the better of the two languages an Accept-Language header asks for; English when it names neither."""
    best: tuple[float, Locale] = (0.0, "en")
    for part in header.split(",")[:20]:
        tag, _, weight = part.strip().partition(";")
        language = tag.strip().lower()[:2]
        try:
            quality = float(weight.partition(";")[0].partition("=")[2]) if weight else 1.0
        except ValueError:
            quality = 0.0
        if language in {"en", "zh"} and quality > best[0]:
            best = (quality, "zh" if language == "zh" else "en")
    return best[1]


def problem(error: CrmError, *, locale: Locale, request_id: str, instance: str) -> Response:
    """Return the problem document for an error."""
    body: dict[str, Any] = {
        "type": TYPE + error.code,
        "title": error.title[locale],
        "status": error.status,
        "detail": error.localized(locale),
        "code": error.code,
        "instance": instance,
        "request_id": request_id,
        "errors": [each.localized(locale) for each in error.errors],
        **error.extra,
    }
    headers: dict[str, str] = {"content-language": locale}
    if isinstance(error, (Unavailable, TooManyRequests)) and error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="crm-api"'
    # A lone surrogate that a client sent and we echo would not encode.
    text = orjson.dumps(_encodable(body))
    return Response(text, status_code=error.status, media_type=MEDIA_TYPE, headers=headers)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value


def problem_for(request: Request, error: CrmError) -> Response:
    """Return the problem document in the request's language."""
    return problem(
        error,
        locale=locale_of(request.headers.get("accept-language", "")),
        request_id=request.scope.get("crm.request_id", ""),
        instance=request.url.path,
    )


def to_error(error: BaseException) -> CrmError | None:
    """Return the product's error for anything that was raised, or None for a fault of ours."""
    if isinstance(error, RequestValidationError):
        return Invalid(errors=field_errors(error.errors()))
    if isinstance(error, HTTPException):
        cause = error.__cause__
        if isinstance(cause, CrmError):  # FastAPI wraps what reading the body raised
            return cause
        kind = _BY_STATUS.get(error.status_code, BadRequest)
        return kind()
    return translate(error)


async def handle(request: Request, error: Exception) -> Response:
    """Answer any expected error; an unexpected one is logged and told as little about as possible."""
    known = to_error(error)
    if known is None:
        log.error("unhandled_error", exc_info=error)
        known = CrmError()
    elif known.status >= 500:  # noqa: PLR2004
        log.warning("unavailable", code=known.code, error=type(error).__name__)
    response = problem_for(request, known)
    if response.status_code == MethodNotAllowed.status:
        response.headers["allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """Return all methods of a path; the router tells only those of the first route that has it."""
    asked = {name: request.scope.get(name, "") for name in ("type", "path", "root_path")} | {"headers": []}
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if any(each.matches({**asked, "method": method})[0] is Match.FULL for each in request.app.router.routes)
    ]


__all__ = ["FieldError", "handle", "locale_of", "problem", "problem_for", "to_error"]
