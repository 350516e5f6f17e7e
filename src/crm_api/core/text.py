"""Text a shop may send: what can be stored, and how long it may be."""

import re
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError


def storable(text: str) -> str:
    """Refuse what PostgreSQL or JSON cannot carry: NUL and lone surrogates."""
    if "\x00" in text:
        raise PydanticCustomError("nul_character", "Text must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("lone_surrogate", "Text must be valid Unicode (no lone surrogates)") from None
    return text


_MASK = re.compile(r"[*\uff0a]{2}")


def is_masked_id(text: str) -> bool:
    """Tell whether a platform has hidden most of an id (``t***b``), so that many people share what is left."""
    return _MASK.search(text) is not None


def _of_one(text: str) -> str:
    if is_masked_id(text):
        raise PydanticCustomError(
            "masked_id", "Many people share a masked id such as t***b: send the whole id or an OAID, or leave it out"
        )
    return text


ONE_LINE: Final = r"^[^\x01-\x1f\x7f-\x9f\u2028\u2029]*$"
"""No line breaks, tabs or other control characters; of NUL, `storable` tells."""

_CONTROLS = re.compile(r"[\x01-\x1f\x7f-\x9f\u2028\u2029]")

FROM_OUTSIDE: Final = "from outside"
"""Validation context of what platforms send: a line break in a name must not cost an order, so it becomes a space."""


def as_line(text: str) -> str:
    """Return a text as one line: white space and control characters become single spaces, if there are any breaks."""
    return " ".join(_CONTROLS.sub(" ", text).split()) if _CONTROLS.search(text) else text


def _received(value: Any, info: ValidationInfo) -> Any:
    return as_line(value) if info.context == FROM_OUTSIDE and isinstance(value, str) else value


Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True, pattern=ONE_LINE),
    AfterValidator(storable),
    BeforeValidator(_received),
]
"""One short line, 1–200 characters after trimming."""

Caption = Annotated[
    str,
    StringConstraints(min_length=1, max_length=50, strip_whitespace=True, pattern=ONE_LINE),
    AfterValidator(storable),
    BeforeValidator(_received),
]
"""A short line, 1–50 characters after trimming."""

Prose = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(storable)]
"""Longer text, up to 20,000 characters."""

Token = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\s\x00]+$"), AfterValidator(storable)
]
"""An outside identifier: no white space, 1–200 characters."""

AccountId = Annotated[Token, AfterValidator(_of_one)]
"""An outside identifier of one person: masked ones are refused."""

Slug = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
"""A name of ours or of a platform: lower case, digits, underscore."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError("unknown_time_zone", "'{zone}' is not an IANA time zone", {"zone": name}) from None
    return name


TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)]
"""The IANA name of a zone, such as Asia/Shanghai."""
