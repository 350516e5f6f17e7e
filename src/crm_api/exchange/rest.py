"""Imports over REST."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from crm_api.core.errors import FieldError, Invalid, MalformedBody
from crm_api.exchange.repository import IMPORT, IMPORT_ROW
from crm_api.exchange.rules import COLUMNS
from crm_api.exchange.service import WRITE, ImportService, Upload
from crm_api.exchange.sniff import examine
from crm_api.exchange.uploads import file_name, upload_fingerprint
from crm_api.web.auth import authenticate
from crm_api.web.resources import add_get, add_list, crm_router, resource, shown
from crm_api.web.units import CrmRoute, ExpectedVersion, Handler, WriteUnit, check_media, parse_json

router = crm_router("imports")
PATH = "/v1/imports"
MULTIPART = "multipart/form-data"
MAX_FIELD = 64 * 1024
_SCOPE_KEY = "crm.upload"

add_list(router, "/imports", IMPORT, summary="List imports")
add_get(router, "/imports", IMPORT, summary="Get an import")
add_list(router, "/imports/{id}/rows", IMPORT_ROW, summary="List what came of each row", parent=("id", "import_id"))


class UploadRoute(CrmRoute):
    """A route that receives its file, on disk, before a transaction begins."""

    def get_route_handler(self) -> Handler:
        """Return the handler inside the reception of the form."""
        handler = super().get_route_handler()

        async def receive_first(request: Request) -> Response:
            # A gigabyte of somebody without a key is not taken in.
            actor = await authenticate(request)
            actor.require(WRITE)
            self.refuse_parameters(request)
            async with _received(request) as upload:
                request.scope[_SCOPE_KEY] = upload
                request.scope["crm.fingerprint"] = upload_fingerprint(upload)
                return await handler(request)

        return receive_first


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[Upload]:
    check_media(request, MULTIPART)
    async with request.form(max_files=1, max_fields=10, max_part_size=MAX_FIELD) as form:
        yield await _upload_of(form)


async def _upload_of(form: FormData) -> Upload:
    file, kind, mapping = form.get("file"), form.get("kind"), form.get("mapping")
    errors = [
        FieldError(f"/{name}", "unknown_field", f"There is no field '{name}'", "未知字段")
        for name in sorted(set(form) - {"file", "kind", "mapping"})
    ]
    errors += [
        FieldError(f"/{name}", "duplicate", "Send it once", "只能提交一次")
        for name in sorted({name for name in form if len(form.getlist(name)) > 1})
    ]
    if not isinstance(file, UploadFile):
        errors.append(
            FieldError("/file", "required", "Send the file in a form field 'file'", "请在 file 字段中上传文件")
        )
    if kind is None:
        errors.append(FieldError("/kind", "required", "Send customers or orders", "请提交 customers 或 orders"))
    elif kind not in COLUMNS:
        errors.append(FieldError("/kind", "unknown_choice", "It is customers or orders", "只能是 customers 或 orders"))
    if errors or not isinstance(file, UploadFile) or not isinstance(kind, str):
        raise Invalid(errors=errors)
    names = parse_mapping(mapping)
    how = await asyncio.to_thread(examine, file.file)
    return Upload("customers" if kind == "customers" else "orders", file_name(file.filename), file.file, how, names)


def parse_mapping(given: Any) -> dict[str, str]:
    """Return the mapping a caller sent as JSON text.

    Raises:
        Invalid: it is not an object of texts.

    """
    if given is None or given == "":
        return {}
    wrong = Invalid.field(
        "/mapping",
        "bad_format",
        'Send a JSON object such as {"订单号": "order_id"}',
        '请提交 JSON 对象，如 {"订单号": "order_id"}',
    )
    if not isinstance(given, str):
        raise wrong
    try:
        value = parse_json(given.encode("utf-8", "surrogatepass"))
    except (MalformedBody, Invalid):
        raise wrong from None
    if not isinstance(value, dict) or not all(isinstance(ours, str) for ours in value.values()):
        raise wrong
    return value


async def _upload(request: Request) -> Upload:
    upload: Upload = request.scope[_SCOPE_KEY]
    return upload


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "title": "ImportForm",
                    "required": ["file", "kind"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "CSV with a header line; UTF-8 or GB18030; comma, semicolon or tab.",
                        },
                        "kind": {"type": "string", "enum": list(COLUMNS), "description": "What its rows are."},
                        "mapping": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "description": "JSON object: header of the file → column of ours, for headers that are "
                            "not recognised.",
                            "examples": ['{"订单号": "order_id"}'],
                        },
                    },
                },
                "example": {"file": "姓名,手机号\n王小明,13812345678\n", "kind": "customers"},
            }
        },
    }
}


async def create_import(unit: WriteUnit, upload: Annotated[Upload, Depends(_upload)]) -> Response:
    """Take in a CSV file of customers or orders; a job reads it, and this answers at once.

    Watch the import until its `state` is `completed`, `failed` or `cancelled`. A wrong row fails alone: `rows` says
    which and why. Importing the same file again changes nothing.
    """
    import_id = await ImportService(unit).create(upload)
    return await resource(unit, IMPORT, import_id, status=202, location=PATH)


_QUEUED = shown("Import", 202, "The import, queued.")
_QUEUED[202]["headers"]["Location"] = {"description": "Where the import is.", "schema": {"type": "string"}}

router.add_api_route(
    "/imports",
    create_import,
    methods=["POST"],
    status_code=202,
    summary="Import a file",
    responses=_QUEUED,
    response_model=None,
    route_class_override=UploadRoute,
    openapi_extra=_FORM,
)


@router.post("/imports/{id}/cancel", summary="Cancel an import", responses=shown("Import"), response_model=None)
async def cancel_import(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Stop an import: rows done so far stay done, no further row is."""
    await ImportService(unit).cancel(id, expected_version=version)
    return await resource(unit, IMPORT, id)
