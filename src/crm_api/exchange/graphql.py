"""Imports in GraphQL. Files come in over REST: a mutation cannot carry a gigabyte."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from crm_api.core.errors import NotFound
from crm_api.core.messages import Message
from crm_api.db.plans import read_one
from crm_api.exchange.repository import IMPORT
from crm_api.exchange.service import ImportService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, Subscription, connection, get


async def _cancel(call: Call) -> dict[str, Any]:
    await ImportService(call.unit).cancel(call.id, expected_version=call.version)
    return {"import": call.id}


class _Progress:
    """Tells how far an import is: at once, after each chunk, and at its end."""

    def __init__(self) -> None:
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
        found = await read_one(call.unit, IMPORT, call.id, ("finished_at",))
        if found is None:
            raise NotFound
        self._ended = orjson.loads(found.json)["finished_at"] is not None
        return (call.id,)


def _concerns(message: Message, import_id: UUID) -> bool:
    return message.subject_id == import_id and message.type.startswith("import.")


GRAPHQL = GraphQLParts(
    subscriptions={
        "import_progress": Subscription(
            _Progress,
            _concerns,
            target="Import",
            returns="Import",
            description="An import as it stands, then after each chunk; complete when it has ended.",
        ),
    },
    queries={
        "import": get("Import", description="An import by id."),
        "imports": connection("Import", description="All imports, newest first."),
    },
    mutations={
        "import_cancel": Mutation(
            _cancel,
            target="Import",
            versioned=True,
            payload={"import": "Import"},
            description="Stop an import: rows done so far stay done, no further row is.",
        ),
    },
)
