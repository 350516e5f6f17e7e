"""What a caller is told about an error: a stable code, a message in their language, never a traceback."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from graphql import GraphQLError
from pydantic import ValidationError

from crm_api.core.errors import Conflict, CrmError, FieldError, Invalid, Locale, NotFound, PreconditionFailed
from crm_api.db.failures import translate
from crm_api.web.graphql.types import camel
from crm_api.web.validation import field_errors

log = structlog.get_logger(__name__)

USERS_OWN = (Invalid, Conflict, NotFound, PreconditionFailed)
"""Errors the caller of a mutation can mend: they become user errors of its payload."""

_SHARED = ("on", "value", "verified")

CODES = {"syntax": "graphql_parse_failed", "validation": "graphql_validation_failed", "request": "bad_request"}


def to_crm_error(error: BaseException | None) -> CrmError | None:
    """Return the product's error for what was raised, or None for a fault of ours."""
    if isinstance(error, ValidationError):
        return invalid_input(error)
    return None if error is None else translate(error)


def invalid_input(error: ValidationError) -> Invalid:
    """Return what is wrong with an input object."""
    found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
    return Invalid(errors=field_errors(found))


def shown(error: GraphQLError, locale: Locale, default_code: str) -> dict[str, Any]:
    """Return an error as the response shows it.

    Args:
        error: as graphql-core made it.
        locale: of the caller.
        default_code: for graphql-core's own errors.

    """
    made: dict[str, Any] = {"message": error.message}
    if error.locations is not None:
        made["locations"] = [{"line": each.line, "column": each.column} for each in error.locations]
    if error.path is not None:
        made["path"] = error.path
    original = error.original_error
    if original is None or isinstance(original, GraphQLError):
        made["extensions"] = {"code": default_code, **(error.extensions or {})}
        return made
    known = to_crm_error(original)
    if known is None:
        log.error("unhandled_error", exc_info=original)
        known = CrmError()
    made["message"] = known.localized(locale)
    made["extensions"] = extensions(known, locale)
    return made


def extensions(error: CrmError, locale: Locale) -> dict[str, Any]:
    """Return the extensions of a product error."""
    made: dict[str, Any] = {"code": error.code, **error.extra}
    if error.errors:
        made["errors"] = [each.localized(locale) for each in error.errors]
    return made


def user_errors(error: CrmError, locale: Locale) -> list[dict[str, Any]]:
    """Return a payload's ``userErrors``."""
    matches = _matches(error)
    if not error.errors:
        return [{"code": error.code, "message": error.localized(locale), "path": None, "matches": matches}]
    return [{**_user_error(each, locale), "matches": matches} for each in error.errors]


def _matches(error: CrmError) -> list[dict[str, Any]] | None:
    found = error.extra.get("matches")
    if found is None:
        return None
    return [
        {"customerId": f"Customer:{each['customer_id']}", **{name: each.get(name) for name in _SHARED}}
        for each in found
    ]


def _user_error(error: FieldError, locale: Locale) -> dict[str, Any]:
    shown_error: Mapping[str, str] = error.localized(locale)
    return {"code": error.code, "message": shown_error["message"], "path": _path(error.pointer)}


def _path(pointer: str) -> Sequence[str]:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/") if part]
    return ["input", *(camel(part) for part in parts)]
