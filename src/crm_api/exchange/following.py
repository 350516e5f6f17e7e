"""Following an import: what the GraphQL subscription `importProgress` tells."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from crm_api.core.errors import NotFound
from crm_api.core.messages import Message
from crm_api.db.plans import read_one
from crm_api.exchange.repository import IMPORT
from crm_api.web.graphql.parts import Call, Subscription

_AT_WORK: Final = frozenset({"queued", "running"})


class ProgressFollower:
    """Tells how far an import, or its undo, is: at once, after each chunk, and at its end."""

    behind = False

    def __init__(self) -> None:
        """Nothing has been looked at yet."""
        self._ended = False

    async def first(self, call: Call) -> Sequence[Any]:
        """Return the import as it stands."""
        return await self._look(call)

    async def next(self, call: Call, _messages: Sequence[Message]) -> Sequence[Any]:
        """Return it as it stands now, however many chunks that is since."""
        return await self._look(call)

    async def ended(self, _call: Call) -> bool:
        """Tell whether it has ended."""
        return self._ended

    async def _look(self, call: Call) -> Sequence[Any]:
        found = await read_one(call.unit, IMPORT, call.id, ("state", "undo"))
        if found is None:
            raise NotFound
        shown = orjson.loads(found.json)
        undo = shown["undo"] or {}
        self._ended = _AT_WORK.isdisjoint({shown["state"], undo.get("state")})
        return (call.id,)


def _concerns(message: Message, import_id: UUID) -> bool:
    return message.subject_id == import_id and message.type.startswith("import.")


IMPORT_PROGRESS: Final = Subscription(
    ProgressFollower,
    _concerns,
    target="Import",
    returns="Import",
    description="An import (or its undo) as it stands, then after each chunk; complete when it has ended.",
)
