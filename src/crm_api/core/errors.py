"""Every error the product raises on purpose.

The tree (HTTP status in brackets)::

    CrmError
    ├── BadRequest [400]            the request itself cannot be read
    │   └── MalformedBody [400]
    ├── Unauthenticated [401]
    ├── Forbidden [403]             a valid key without the scope
    ├── NotFound [404]              missing, or another tenant's: the two look the same
    ├── Conflict [409]              the state of things does not allow it
    │   ├── Duplicate [409]         something with this unique value exists
    │   └── InsufficientBalance [409]
    ├── PreconditionFailed [412]    If-Match does not match
    ├── TooLarge [413]
    ├── UnsupportedMedia [415]
    ├── Invalid [422]               well-formed but wrong; names each field in ``errors``
    │   └── IdempotencyKeyReused [422]
    ├── TooManyRequests [429]
    └── Unavailable [503]           try again after ``retry_after`` seconds

Each carries a stable ``code`` that clients may switch on, a message in English and Chinese, and optional
field errors. One handler turns them into RFC 9457 problem details (REST) or ``extensions.code`` (GraphQL).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

Locale = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text that was sent.

    Attributes:
        offset: characters (Unicode code points) before it.
        length: characters of the part that is meant; 0 at the end of the text.
        line: from 1.
        column: from 1, in characters.

    """

    offset: int
    length: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one part of the input.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the body, or ``/query/limit``-like for parameters and headers.
        code: stable machine-readable reason.
        message: English text for people.
        message_zh: the same in Chinese.
        position: which characters, where the value is a text with a grammar (a rule in words).

    """

    pointer: str
    code: str
    message: str
    message_zh: str = ""
    position: Position | None = None

    def localized(self, locale: Locale) -> dict[str, Any]:
        """Return the wire form in one language."""
        text = self.message_zh if locale == "zh" and self.message_zh else self.message
        shown: dict[str, Any] = {"pointer": self.pointer, "code": self.code, "message": text}
        return shown if self.position is None else {**shown, "position": asdict(self.position)}


class CrmError(Exception):
    """Root of the tree; never raised itself."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Internal error", "zh": "内部错误"}
    keeps_work: ClassVar[bool] = False
    """Whether the transaction it is raised in commits all the same: a wrong guess must be refused, and counted."""

    def __init__(
        self,
        message: str | None = None,
        *,
        zh: str | None = None,
        code: str | None = None,
        errors: Iterable[FieldError] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Say what happened, in English and (``zh``) Chinese; ``code`` refines the class's own."""
        self.message = message or self.title["en"]
        self.message_zh = zh or (self.message if message else self.title["zh"])
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        if code is not None:
            self.code = code
        super().__init__(self.message)

    def localized(self, locale: Locale) -> str:
        """Return the message in one language."""
        return self.message_zh if locale == "zh" else self.message


class BadRequest(CrmError):
    """The request cannot be read."""

    status = 400
    code = "bad_request"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Bad request", "zh": "请求有误"}


class MalformedBody(BadRequest):
    """The body is not what its content type says."""

    code = "malformed_body"
    title: ClassVar[Mapping[Locale, str]] = {"en": "The body could not be read", "zh": "无法读取请求正文"}


class Unauthenticated(CrmError):
    """No valid credentials."""

    status = 401
    code = "unauthenticated"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "Send a valid API key as 'Authorization: Bearer crm_…'",
        "zh": "请在 Authorization 请求头中提供有效的 API 密钥（Bearer crm_…）",
    }


class Forbidden(CrmError):
    """Valid credentials without the needed scope."""

    status = 403
    code = "forbidden"
    title: ClassVar[Mapping[Locale, str]] = {"en": "This key may not do that", "zh": "此密钥没有相应权限"}


class NotFound(CrmError):
    """Missing, or belongs to another tenant."""

    status = 404
    code = "not_found"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Not found", "zh": "未找到"}


class Conflict(CrmError):
    """The current state does not allow it."""

    status = 409
    code = "conflict"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Conflict with the current state", "zh": "与当前状态冲突"}


class Duplicate(Conflict):
    """A unique value is taken."""

    code = "duplicate"
    title: ClassVar[Mapping[Locale, str]] = {"en": "It already exists", "zh": "已存在"}


class InsufficientBalance(Conflict):
    """Not enough points."""

    code = "insufficient_balance"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Not enough points available", "zh": "可用积分不足"}


class PreconditionFailed(CrmError):
    """``If-Match`` names an older version."""

    status = 412
    code = "precondition_failed"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "It was changed since you read it: read it again and retry with the new ETag",
        "zh": "内容已被修改：请重新读取并使用新的 ETag 重试",
    }


class TooLarge(CrmError):
    """The body exceeds the limit."""

    status = 413
    code = "body_too_large"
    title: ClassVar[Mapping[Locale, str]] = {"en": "The body is too large", "zh": "请求正文过大"}


class UnsupportedMedia(CrmError):
    """Wrong content type."""

    status = 415
    code = "unsupported_media_type"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Unsupported content type", "zh": "不支持的内容类型"}


class Invalid(CrmError):
    """Well-formed but wrong; ``errors`` names each field."""

    status = 422
    code = "invalid"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Some values are not valid", "zh": "部分内容无效"}

    @classmethod
    def field(cls, pointer: str, code: str, message: str, zh: str = "") -> "Invalid":
        """Make the error for a single field."""
        return cls(errors=[FieldError(pointer, code, message, zh)])


class IdempotencyKeyReused(Invalid):
    """The same key came with another request."""

    code = "idempotency_key_reused"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "This Idempotency-Key was used with a different request: use a new key",
        "zh": "此 Idempotency-Key 已用于不同的请求：请使用新的键",
    }


class TooManyRequests(CrmError):
    """Slow down."""

    status = 429
    code = "too_many_requests"
    title: ClassVar[Mapping[Locale, str]] = {"en": "Too many requests", "zh": "请求过于频繁"}

    def __init__(self, message: str | None = None, *, retry_after: int | None = None, **more: Any) -> None:
        """Say when to come back: seconds, in the header ``Retry-After`` and in the body."""
        extra = {**more.pop("extra", {}), **({} if retry_after is None else {"retry_after": retry_after})}
        super().__init__(message, extra=extra, **more)
        self.retry_after = retry_after


class Unavailable(CrmError):
    """A part we need is away for the moment."""

    status = 503
    code = "unavailable"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "Temporarily unavailable: try again shortly",
        "zh": "服务暂时不可用：请稍后重试",
    }
    retry_after: int = 2
