"""Old ids in requests: when something is not found, it may have another id by now.

A customer that was merged into another is found nowhere, so whatever a request wants of it ends in "not found". Only
then is it worth asking whether an id in the request is an old one; if so, the request runs again with the id that
answers for it now. One rule for every route, and nothing to pay for requests about living customers.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import orjson

from crm_api.core.actor import Actor
from crm_api.db.plans.aliases import successors
from crm_api.db.pool import Database

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_ID: Final = re.compile(rf"((?:[A-Za-z]+:)?)({_UUID.pattern})")
MAX_IDS: Final = 2_000

NEVER: Final = frozenset({"external_id", "key"})
"""Members whose values are not ours to understand, whatever they look like."""

Renamed = Mapping[UUID, UUID]


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


def renamed(value: Any, names: Renamed) -> Any:
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


async def look_up(database: Database, actor: Actor, ids: set[UUID]) -> Renamed:
    """Return old id → id that answers now, for those that are old."""
    if not ids:
        return {}
    # Where one writes one reads: a replica may not know of a merge yet.
    async with database.write(actor) as unit:
        return await successors(unit, sorted(ids))


# -- requests ----------------------------------------------------------------------------------------------------------


def ids_of_request(path_params: Mapping[str, Any], query: bytes, body: bytes) -> set[UUID]:
    """Return the ids that a REST request names."""
    found = ids_in([str(each) for each in path_params.values()])
    found |= {UUID(each) for each in _UUID.findall(query.decode("latin-1"))}
    return found | ids_in(_json(body))


def renamed_text(text: str, names: Renamed) -> str:
    """Return a path or query string with old ids replaced."""
    return _UUID.sub(lambda match: str(names.get(UUID(match[0]), match[0])), text)


def renamed_scope(scope: Mapping[str, Any], names: Renamed) -> dict[str, Any]:
    """Return the ASGI scope of the same request about the new ids."""
    path, query = renamed_text(scope["path"], names), renamed_text(scope["query_string"].decode("latin-1"), names)
    parameters = {
        name: str(renamed(str(each), names)) if isinstance(each, (str, UUID)) else each
        for name, each in scope["path_params"].items()
    }
    return {
        **scope,
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": query.encode("latin-1"),
        "path_params": parameters,
    }


def renamed_body(body: bytes, names: Renamed) -> bytes:
    """Return a JSON body with old ids replaced; anything else stays as it is."""
    value = _json(body)
    return body if value is None else orjson.dumps(renamed(value, names))


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None
