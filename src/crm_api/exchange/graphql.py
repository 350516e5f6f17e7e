"""Imports in GraphQL. Files come in over REST: a mutation cannot carry a gigabyte."""

from typing import Any

from crm_api.exchange.service import ImportService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _cancel(call: Call) -> dict[str, Any]:
    await ImportService(call.unit).cancel(call.id, expected_version=call.version)
    return {"import": call.id}


GRAPHQL = GraphQLParts(
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
