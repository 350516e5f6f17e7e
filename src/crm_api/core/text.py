"""Text a shop may send: what can be stored, and how long it may be."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints
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


Line = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), AfterValidator(storable)]
"""One short line, 1–200 characters after trimming."""

Caption = Annotated[
    str, StringConstraints(min_length=1, max_length=50, strip_whitespace=True), AfterValidator(storable)
]
"""A short line, 1–50 characters after trimming."""

Prose = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(storable)]
"""Longer text, up to 20,000 characters."""

Token = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\s\x00]+$"), AfterValidator(storable)
]
"""An outside identifier: no white space, 1–200 characters."""

Slug = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
"""A name of ours or of a platform: lower case, digits, underscore."""
