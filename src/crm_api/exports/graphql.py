"""Exports in GraphQL. Files go out over REST: an answer cannot carry a gigabyte."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.exports.models import ExportLink, ExportStart
from crm_api.exports.service import ExportService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"export": "Export"}


async def _start(call: Call) -> dict[str, Any]:
    return {"export": await ExportService(call.unit).start(call.data)}


async def _cancel(call: Call) -> dict[str, Any]:
    await ExportService(call.unit).cancel(call.id, expected_version=call.version)
    return {"export": call.id}


async def _link(call: Call) -> dict[str, Any]:
    return {"link": await ExportService(call.unit).link(call.id)}


async def _delete(call: Call) -> dict[str, Any]:
    await ExportService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


GRAPHQL = GraphQLParts(
    queries={
        "export": get("Export", description="An export by id."),
        "exports": connection("Export", description="All exports, newest first."),
    },
    mutations={
        "export_start": Mutation(
            _start,
            input=ExportStart,
            payload=SHOWN,
            description="Write a list into a file; poll the export and download the file over REST.",
        ),
        "export_cancel": Mutation(
            _cancel,
            target="Export",
            versioned=True,
            payload=SHOWN,
            description="Stop an export; there will be no file.",
        ),
        "export_link": Mutation(
            _link,
            target="Export",
            payload={"link": Annotated[ExportLink, Field(description="The path, shown this once; null on errors.")]},
            description="Make a link that opens the file without a key for some hours; one made before stops.",
        ),
        "export_delete": Mutation(
            _delete,
            target="Export",
            versioned=True,
            payload={"deleted": bool},
            description="Delete an export, its file and its link.",
        ),
    },
)
