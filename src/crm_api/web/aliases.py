"""Old ids in requests: when something is not found, it may have another id by now.

A customer that was merged into another is found nowhere, so whatever a request wants of it ends in "not found". Only
then is it worth asking whether an id in the request is an old one; if so, the request runs again with the id that
answers for it now. One rule for every route, and nothing to pay for requests about living customers.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson

from crm_api.core.actor import Actor
from crm_api.core.renaming import NEVER, UUID_TEXT, Names, ids_in, renamed
from crm_api.db.plans.aliases import successors
from crm_api.db.pool import Database


async def look_up(database: Database, actor: Actor, ids: set[UUID]) -> Names:
    """Return old id → id that answers now, for those that are old."""
    if not ids:
        return {}
    # Where one writes one reads: a replica may not know of a merge yet.
    return await database.run(actor, lambda unit: successors(unit, sorted(ids)))


# -- requests ----------------------------------------------------------------------------------------------------------


def ids_of_request(path_params: Mapping[str, Any], query: bytes, body: bytes) -> set[UUID]:
    """Return the ids that a REST request names."""
    found = ids_in([str(each) for each in path_params.values()])
    found |= {UUID(each) for each in UUID_TEXT.findall(query.decode("latin-1"))}
    return found | ids_in(_json(body))


def renamed_text(text: str, names: Names) -> str:
    """Return a path or query string with old ids replaced."""
    return UUID_TEXT.sub(lambda match: str(names.get(UUID(match[0]), match[0])), text)


def renamed_scope(scope: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Return the ASGI scope of the same request about the new ids."""
    path, query = renamed_text(scope["path"], names), renamed_text(scope["query_string"].decode("latin-1"), names)
    parameters = {
        name: str(renamed(str(each), names)) if name not in NEVER and isinstance(each, (str, UUID)) else each
        for name, each in scope["path_params"].items()
    }
    return {
        **scope,
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": query.encode("latin-1"),
        "path_params": parameters,
    }


def renamed_body(body: bytes, names: Names) -> bytes:
    """Return a JSON body with old ids replaced; anything else stays as it is."""
    value = _json(body)
    return body if value is None else orjson.dumps(renamed(value, names))


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None


__all__ = ["Names", "ids_in", "ids_of_request", "look_up", "renamed", "renamed_body", "renamed_scope"]
