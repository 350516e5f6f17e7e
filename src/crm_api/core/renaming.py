"""Ids inside JSON: finding them, and putting others in their place."""

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

UUID_TEXT: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_ID: Final = re.compile(rf"((?:[A-Za-z]+:)?)({UUID_TEXT.pattern})")
MAX_IDS: Final = 2_000

NEVER: Final = frozenset({"external_id", "externalId", "key"})
"""Members whose values are not ours to understand, whatever they look like."""

Names = Mapping[UUID, UUID]
"""Old id → the one that answers for it now."""


def ids_in(value: Any) -> set[UUID]:
    """Return the ids in JSON: texts that are a UUID, or a global id of GraphQL."""
    found: set[UUID] = set()
    stack = [value]
    while stack and len(found) < MAX_IDS:
        each = stack.pop()
        if isinstance(each, str):
            match = _ID.fullmatch(each)
            if match:
                found.add(UUID(match[2]))
        elif isinstance(each, UUID):
            found.add(each)
        elif isinstance(each, Mapping):
            stack.extend(item for name, item in each.items() if name not in NEVER)
        elif isinstance(each, (list, tuple)):
            stack.extend(each)
    return found


def renamed(value: Any, names: Names) -> Any:
    """Return JSON with old ids replaced."""
    if isinstance(value, str):
        match = _ID.fullmatch(value)
        heir = names.get(UUID(match[2])) if match else None
        return f"{match[1]}{heir}" if match and heir else value
    if isinstance(value, UUID):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {name: item if name in NEVER else renamed(item, names) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [renamed(each, names) for each in value]
    return value
