"""Imports in GraphQL. Files come in over REST (``POST /v1/uploads``): a mutation cannot carry a gigabyte."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.exchange.following import IMPORT_PROGRESS
from crm_api.exchange.models import (
    ImportPreview,
    ImportStart,
    MappingCreate,
    MappingUpdate,
    PreviewRequest,
)
from crm_api.exchange.service import ImportService, MappingService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SHOWN = {"import": "Import"}
MAPPING = {"import_mapping": "ImportMapping"}


async def _start(call: Call) -> dict[str, Any]:
    return {"import": await ImportService(call.unit).start(call.data)}


async def _cancel(call: Call) -> dict[str, Any]:
    await ImportService(call.unit).cancel(call.id, expected_version=call.version)
    return {"import": call.id}


async def _undo(call: Call) -> dict[str, Any]:
    await ImportService(call.unit).undo(call.id, expected_version=call.version)
    return {"import": call.id}


async def _preview(call: Call) -> dict[str, Any]:
    return {"preview": await ImportService(call.unit).preview(call.data)}


async def _create_mapping(call: Call) -> dict[str, Any]:
    return {"import_mapping": await MappingService(call.unit).create(call.data)}


async def _update_mapping(call: Call) -> dict[str, Any]:
    await MappingService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"import_mapping": call.id}


async def _delete_mapping(call: Call) -> dict[str, Any]:
    await MappingService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


GRAPHQL = GraphQLParts(
    subscriptions={"import_progress": IMPORT_PROGRESS},
    queries={
        "upload": get("Upload", description="An upload by id."),
        "uploads": connection("Upload", description="All uploads, newest first."),
        "import": get("Import", description="An import by id."),
        "imports": connection("Import", description="All imports, newest first."),
        "import_mapping": get("ImportMapping", description="A saved mapping by id."),
        "import_mappings": connection("ImportMapping", description="All saved mappings, by name."),
        "import_preview": Computed(
            _preview,
            input=PreviewRequest,
            payload={
                "preview": Annotated[ImportPreview, Field(description="What its headers mean, and its first rows.")]
            },
            description="How an upload would be read: what its headers are taken for, and its first rows.",
        ),
    },
    mutations={
        "import_start": Mutation(
            _start,
            input=ImportStart,
            payload=SHOWN,
            description="Import a file that was uploaded over REST, or rehearse it.",
        ),
        "import_cancel": Mutation(
            _cancel,
            target="Import",
            versioned=True,
            payload=SHOWN,
            description="Stop an import: rows done so far stay done, no further row is.",
        ),
        "import_undo": Mutation(
            _undo,
            target="Import",
            versioned=True,
            payload=SHOWN,
            description="Take an import back: what it made goes, what it changed is as before; what was changed since "
            "is kept.",
        ),
        "import_mapping_create": Mutation(
            _create_mapping,
            input=MappingCreate,
            payload=MAPPING,
            description="Save what a supplier's headers mean, for the next file.",
        ),
        "import_mapping_update": Mutation(
            _update_mapping,
            target="ImportMapping",
            input=MappingUpdate,
            versioned=True,
            payload=MAPPING,
            description="Change the fields given.",
        ),
        "import_mapping_delete": Mutation(
            _delete_mapping,
            target="ImportMapping",
            versioned=True,
            payload={"deleted": bool},
            description="Delete a saved mapping.",
        ),
    },
)
