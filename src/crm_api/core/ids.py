"""Identifiers: UUIDv7 (RFC 9562), time-ordered so that the newest rows share index pages."""

from uuid import UUID

import uuid_utils.compat as _uuid


def new_id() -> UUID:
    """Return a new UUIDv7."""
    return _uuid.uuid7()


def parse_id(text: str) -> UUID | None:
    """Return the UUID written in the canonical 36-character form, or None."""
    # UUID() also takes braces, urn: forms and the digits of every script.
    if len(text) != 36 or not text.isascii():  # noqa: PLR2004 - the canonical length
        return None
    try:
        return UUID(text)
    except ValueError:
        return None
