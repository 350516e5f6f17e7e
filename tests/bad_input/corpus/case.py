"""The form in which a bad request is written down."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Bad:
    """A request that must be refused.

    Attributes:
        name: unique; what is wrong.
        method: of the request.
        path: below the server, with ``{customer}``-like places for what the tests' shop has.
        status: of the answer.
        code: of the problem document.
        pointer: of one of its errors; None when no part of the request can be named.
        headers: beside the key and the content type.
        body: raw bytes; ``{customer}``-like places are filled too. None sends none.
        error: the error's own code, when it says more than the problem's.
        key: whether the shop's key is sent.

    """

    name: str
    method: str
    path: str
    status: int
    code: str
    pointer: str | None = None
    headers: Mapping[str, str | bytes] = field(default_factory=dict)
    body: bytes | None = None
    error: str | None = None
    key: bool = True


def raw(body: Any) -> bytes:
    """Return a body as it is when it is bytes, as JSON otherwise."""
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


def short(text: str) -> str:
    """Return a text that is fit to be part of a test's name, and still unique."""
    limit = 80
    return text if len(text) <= limit else f"{text[:limit]}… {zlib.crc32(text.encode()):08x}"


def invalid(method: str, path: str, entries: Mapping[str, tuple[Any, str, str]], **more: Any) -> list[Bad]:
    """Return cases with a JSON body that are answered 422: name → (body, pointer, error code)."""
    return [
        Bad(
            f"{method} {path}: {name}",
            method,
            path,
            422,
            more.get("code", "invalid"),
            pointer,
            {**JSON, **more.get("headers", {})},
            raw(body),
            error,
        )
        for name, (body, pointer, error) in entries.items()
    ]


def fields(method: str, path: str, good: Mapping[str, Any], entries: list[tuple[str, Any, str, str]]) -> list[Bad]:
    """Return cases that spoil one field of a good body: (field, value, pointer, error code)."""
    return [
        Bad(
            f"{method} {path}: {name} = {short(json.dumps(value, ensure_ascii=False))}",
            method,
            path,
            422,
            "invalid",
            pointer,
            JSON,
            raw({**good, name: value}),
            error,
        )
        for name, value, pointer, error in entries
    ]


def query(path: str, entries: list[tuple[str, str, str]], code: str = "invalid") -> list[Bad]:
    """Return GET cases answered 422: (query string, pointer, error code)."""
    return [
        Bad(f"GET {path}?{short(text)}", "GET", f"{path}?{text}", 422, code, pointer, error=error)
        for text, pointer, error in entries
    ]
