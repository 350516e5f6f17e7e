"""Exports over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from crm_api.exports.formats import EXTENSIONS
from crm_api.exports.models import ExportLink, ExportStart
from crm_api.exports.repository import EXPORT
from crm_api.exports.service import ExportService, open_file, open_linked_file
from crm_api.web.auth import authenticate
from crm_api.web.resources import (
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    nothing,
    problem_responses,
    resource,
    shown,
)
from crm_api.web.units import CrmRoute, ExpectedVersion, WriteUnit

router = crm_router("exports")
PATH = "/v1/exports"

add_list(router, "/exports", EXPORT, summary="List exports")
add_get(router, "/exports", EXPORT, summary="Get an export and its progress")

_QUEUED = shown("Export", 202, "The export, queued.")
_QUEUED[202]["headers"]["Location"] = {"description": "Where the export is.", "schema": {"type": "string"}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for _, media_type in EXTENSIONS.values()
        },
    },
    **READ_PROBLEMS,
    **problem_responses(409),
}


@router.post("/exports", status_code=202, summary="Export a list", responses=_QUEUED, response_model=None)
async def start_export(unit: WriteUnit, body: ExportStart) -> Response:
    """Write a list into a file; a job does it, and this answers at once.

    Poll the export until its `state` is `completed`, then download it. The file has what the key may see, as it was at
    one instant; without the scope `customers:reveal` contact details are masked.
    """
    export_id = await ExportService(unit).start(body)
    return await resource(unit, EXPORT, export_id, status=202, location=PATH)


@router.post("/exports/{id}/cancel", summary="Cancel an export", responses=shown("Export"), response_model=None)
async def cancel_export(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Stop an export; there will be no file. 409 `export_ended` when it has ended already."""
    await ExportService(unit).cancel(id, expected_version=version)
    return await resource(unit, EXPORT, id)


@router.delete("/exports/{id}", status_code=204, summary="Delete an export", responses=nothing(), response_model=None)
async def delete_export(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> None:
    """Delete an export, its file and its link."""
    await ExportService(unit).delete(id, expected_version=version)


@router.post("/exports/{id}/link", summary="Make a download link", responses=WRITE_PROBLEMS)
async def link_export(unit: WriteUnit, id: UUID) -> ExportLink:
    """Make a link that opens the file without a key for some hours; one that was made before stops.

    It takes a key that may see all that is in the file.
    """
    return await ExportService(unit).link(id)


_TOKEN = Query(max_length=100, description="Of a link, instead of a key.")


@router.get("/exports/{id}/download", summary="Download the file", responses=_FILE, response_model=None)
async def download_export(request: Request, id: UUID, token: Annotated[str | None, _TOKEN] = None) -> Response:
    """Download the file: with a key that may see all that is in it, or without one by a link's token.

    409 `export_not_ready` before it is complete, `export_expired` after its time is over. Every download is audited.
    """
    database = request.app.state.db
    # Who calls comes first: strangers are not told what parameters there are.
    actor = await authenticate(request) if token is None else None
    route: CrmRoute = request.scope["crm.route"]
    route.refuse_parameters(request)
    if actor is not None:
        file = await open_file(database, actor, id)
    else:
        file = await open_linked_file(database, id, token or "")
    headers = {
        "content-disposition": f'attachment; filename="{file.name}"',
        "content-length": str(file.size),
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
    }
    return StreamingResponse(file.blocks, 200, headers, file.media_type)
