"""Uploads, imports and saved mappings over REST."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args
from uuid import UUID

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response, StreamingResponse

from crm_api.core.errors import FieldError, Invalid, MalformedBody
from crm_api.exchange.errorfile import error_lines
from crm_api.exchange.models import (
    ImportKind,
    ImportMode,
    ImportPreview,
    ImportStart,
    MappingCreate,
    MappingUpdate,
    MatchKey,
    PreviewRequest,
)
from crm_api.exchange.repository import IMPORT, IMPORT_MAPPING, IMPORT_ROW, UPLOAD
from crm_api.exchange.service import WRITE, How, ImportService, MappingService, ReceivedFile
from crm_api.exchange.sniff import examine_and_convert
from crm_api.exchange.uploads import file_name, upload_fingerprint
from crm_api.web.auth import authenticate
from crm_api.web.resources import (
    READ_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    nothing,
    resource,
    shown,
)
from crm_api.web.units import (
    CrmRoute,
    CurrentActor,
    ExpectedVersion,
    Handler,
    ReadUnit,
    WriteUnit,
    check_media,
    parse_json,
)

router = crm_router("imports")
PATH = "/v1/imports"
MULTIPART = "multipart/form-data"
MAX_FIELD = 64 * 1024
_SCOPE_KEY = "crm.upload"

add_list(router, "/uploads", UPLOAD, summary="List uploads")
add_get(router, "/uploads", UPLOAD, summary="Get an upload")
add_list(router, "/imports", IMPORT, summary="List imports")
add_get(router, "/imports", IMPORT, summary="Get an import")
add_list(router, "/imports/{id}/rows", IMPORT_ROW, summary="List what came of each row", parent=("id", "import_id"))
add_list(router, "/import-mappings", IMPORT_MAPPING, summary="List saved mappings")
add_get(router, "/import-mappings", IMPORT_MAPPING, summary="Get a saved mapping")


# -- receiving files ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """A received form: a file, and what is to be done with it."""

    received: ReceivedFile
    how: How | None


class UploadRoute(CrmRoute):
    """A route that receives its file, on disk, before a transaction begins."""

    def get_route_handler(self) -> Handler:
        """Return the handler inside the reception of the form."""
        handler = super().get_route_handler()
        is_import = self.path.endswith("/imports")

        async def receive_first(request: Request) -> Response:
            # A gigabyte of somebody without a key is not taken in.
            actor = await authenticate(request)
            actor.require(WRITE)
            self.refuse_parameters(request)
            async with _received(request, is_import=is_import) as form:
                request.scope[_SCOPE_KEY] = form
                request.scope["crm.fingerprint"] = upload_fingerprint(form.received, form.how)
                return await handler(request)

        return receive_first


@asynccontextmanager
async def _received(request: Request, *, is_import: bool) -> AsyncIterator[Form]:
    check_media(request, MULTIPART)
    async with request.form(max_files=1, max_fields=10, max_part_size=MAX_FIELD) as form:
        how = _read(form, _IMPORT_FIELDS if is_import else {})
        file, sheet = form.get("file"), form.get("sheet")
        assert isinstance(file, UploadFile)  # noqa: S101 - _read has seen to it
        examined = await asyncio.to_thread(examine_and_convert, file.file, sheet if isinstance(sheet, str) else None)
        try:
            yield Form(
                ReceivedFile(file_name(file.filename), examined.file, examined.format),
                How(**how) if is_import else None,
            )
        finally:
            if examined.file is not file.file:
                examined.file.close()


def _kind(value: str) -> ImportKind:
    return _one_of(value, "/kind", get_args(ImportKind))  # type: ignore[return-value]


def _mode(value: str) -> ImportMode:
    return _one_of(value, "/mode", get_args(ImportMode))  # type: ignore[return-value]


def _one_of(value: str, pointer: str, known: tuple[str, ...]) -> str:
    if value not in known:
        shown_ = ", ".join(known)
        raise Invalid.field(pointer, "unknown_choice", f"It is one of: {shown_}", f"可选值：{shown_}")
    return value


def _match_by(value: str) -> tuple[MatchKey, ...]:
    keys = tuple(key.strip() for key in value.split(",") if key.strip())
    for key in keys:
        _one_of(key, "/match_by", get_args(MatchKey))
    return keys  # type: ignore[return-value]


def _flag(value: str) -> bool:
    return _one_of(value.lower(), "/dry_run", ("true", "false")) == "true"


def parse_mapping(given: Any, pointer: str = "/mapping") -> dict[str, str]:
    """Return the mapping a caller sent as JSON text.

    Raises:
        Invalid: it is not an object of texts.

    """
    if given is None or given == "":
        return {}
    wrong = Invalid.field(
        pointer,
        "bad_format",
        'Send a JSON object of texts such as {"订单号": "order_id"}',
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


_IMPORT_FIELDS: Final[Mapping[str, Callable[[str], Any]]] = {
    "kind": _kind,
    "mapping": parse_mapping,
    "defaults": lambda value: parse_mapping(value, "/defaults"),
    "match_by": _match_by,
    "mode": _mode,
    "dry_run": _flag,
}


def _read(form: FormData, fields: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Return the values of a form's fields.

    Raises:
        Invalid: names each that is missing, unknown, given twice or wrong.

    """
    known = {"file", "sheet", *fields}
    errors = [
        FieldError(f"/{name}", "unknown_field", f"There is no field '{name}'", "未知字段")
        for name in sorted(set(form) - known)
    ]
    errors += [
        FieldError(f"/{name}", "duplicate", "Send it once", "只能提交一次")
        for name in sorted({name for name in form if len(form.getlist(name)) > 1})
    ]
    if not isinstance(form.get("file"), UploadFile):
        errors.append(
            FieldError("/file", "required", "Send the file in a form field 'file'", "请在 file 字段中上传文件")
        )
    if "kind" in fields and form.get("kind") is None:
        kinds = ", ".join(get_args(ImportKind))
        errors.append(FieldError("/kind", "required", f"Send one of: {kinds}", f"请提交以下之一：{kinds}"))
    values: dict[str, Any] = {}
    for name, read in fields.items():
        given = form.get(name)
        if given is None or (given == "" and name != "kind"):
            continue
        try:
            values[name] = read(given if isinstance(given, str) else "")
        except Invalid as error:
            errors += error.errors
    if errors:
        raise Invalid(errors=errors)
    return values


async def _form(request: Request) -> Form:
    form: Form = request.scope[_SCOPE_KEY]
    return form


Received = Annotated[Form, Depends(_form)]

_JSON_TEXT: Final = {"type": "string", "contentMediaType": "application/json"}
_FILE_FIELDS: Final = {
    "file": {
        "type": "string",
        "format": "binary",
        "description": "CSV with a header line (UTF-8, UTF-16 or GB18030; comma, semicolon or tab), an Excel workbook "
        "(.xlsx), or NDJSON (one object per line).",
    },
    "sheet": {
        "type": "string",
        "description": "Which sheet of a workbook; the first visible one if left out.",
        "examples": ["会员"],
    },
}
_HOW_FIELDS: Final = {
    "kind": {"type": "string", "enum": list(get_args(ImportKind)), "description": "What its rows are."},
    "mapping": {
        **_JSON_TEXT,
        "description": "JSON object: header of the file → column of ours, for headers that are not recognised; "
        '`""` ignores a header.',
        "examples": ['{"订单号": "order_id"}'],
    },
    "defaults": {
        **_JSON_TEXT,
        "description": "JSON object: column of ours → what stands there when the file says nothing.",
        "examples": ['{"platform": "taobao", "currency": "CNY"}'],
    },
    "match_by": {
        "type": "string",
        "description": "What customers are recognised by, separated by commas, first of these first: `id`, `identity`, "
        "`mobile`, `email`; all, in this order, if left out.",
        "examples": ["identity,mobile"],
    },
    "mode": {
        "type": "string",
        "enum": list(get_args(ImportMode)),
        "description": "`upsert` creates and changes; `create_only` leaves what is known alone; `update_only` creates "
        "nothing.",
    },
    "dry_run": {
        "type": "string",
        "enum": ["true", "false"],
        "description": "`true`: only say what would come of each row.",
    },
}


def _form_schema(title: str, properties: Mapping[str, Any], required: list[str], example: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "title": title,
        "required": required,
        "additionalProperties": False,
        "properties": dict(properties),
    }
    return {"requestBody": {"required": True, "content": {MULTIPART: {"schema": schema, "example": example}}}}


_EXAMPLE: Final = "姓名,手机号\n王小明,13812345678\n"


async def create_upload(unit: WriteUnit, form: Received) -> Response:
    """Take in a file to look at, rehearse and import. It is kept for a day, or until an import of it is complete."""
    upload_id = await ImportService(unit).upload(form.received)
    return await resource(unit, UPLOAD, upload_id, status=201, location="/v1/uploads")


async def create_import(unit: WriteUnit, form: Received) -> Response:
    """Take in a file and import it; a job reads it, and this answers at once.

    Watch the import until its `state` is `completed`, `failed` or `cancelled`. A wrong row fails alone: `rows` says
    which and why. Importing the same file again changes nothing.
    """
    assert form.how is not None  # noqa: S101 - the route read it
    import_id = await ImportService(unit).create(form.received, form.how)
    return await resource(unit, IMPORT, import_id, status=202, location=PATH)


_QUEUED = shown("Import", 202, "The import, queued.")
_QUEUED[202]["headers"]["Location"] = {"description": "Where the import is.", "schema": {"type": "string"}}

router.add_api_route(
    "/uploads",
    create_upload,
    methods=["POST"],
    status_code=201,
    summary="Upload a file",
    responses=shown("Upload", 201),
    response_model=None,
    route_class_override=UploadRoute,
    openapi_extra=_form_schema("UploadForm", _FILE_FIELDS, ["file"], {"file": _EXAMPLE}),
)
router.add_api_route(
    "/imports",
    create_import,
    methods=["POST"],
    status_code=202,
    summary="Import a file",
    responses=_QUEUED,
    response_model=None,
    route_class_override=UploadRoute,
    openapi_extra=_form_schema(
        "ImportForm", {**_FILE_FIELDS, **_HOW_FIELDS}, ["file", "kind"], {"file": _EXAMPLE, "kind": "customers"}
    ),
)


# -- imports -----------------------------------------------------------------------------------------------------------


@router.post("/imports/start", status_code=202, summary="Import an upload", responses=_QUEUED, response_model=None)
async def start_import(unit: WriteUnit, body: ImportStart) -> Response:
    """Import a file that was uploaded before, or rehearse it (`dry_run`)."""
    import_id = await ImportService(unit).start(body)
    return await resource(unit, IMPORT, import_id, status=202, location=PATH)


@router.post("/imports/preview", summary="Preview an upload", responses=READ_PROBLEMS)
async def preview_import(unit: ReadUnit, body: PreviewRequest) -> ImportPreview:
    """Say what a file's headers are taken for, what is ignored, and what is wrong with its first rows."""
    return await ImportService(unit).preview(body)


@router.post("/imports/{id}/cancel", summary="Cancel an import", responses=shown("Import"), response_model=None)
async def cancel_import(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Stop an import: rows done so far stay done, no further row is."""
    await ImportService(unit).cancel(id, expected_version=version)
    return await resource(unit, IMPORT, id)


@router.post(
    "/imports/{id}/undo", status_code=202, summary="Take an import back", responses=_QUEUED, response_model=None
)
async def undo_import(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Take an import back: what it made goes, what it changed is as before.

    Nothing that was changed since is overwritten, and nothing goes that others hang on; such rows are `kept`, and
    `rows` says why. Watch `undo.state`.
    """
    await ImportService(unit).undo(id, expected_version=version)
    return await resource(unit, IMPORT, id, status=202)


_CSV = {
    200: {
        "description": "The refused rows, in the file's own columns, with line and reasons in front.",
        "content": {"text/csv": {"schema": {"type": "string", "description": "CSV, UTF-8 with byte order mark."}}},
    },
    **READ_PROBLEMS,
}


@router.get("/imports/{id}/errors.csv", summary="Download what was refused", responses=_CSV, response_model=None)
async def download_errors(request: Request, unit: ReadUnit, actor: CurrentActor, id: UUID) -> Response:
    """Download the refused rows with their reasons, to correct and send again.

    Cells that a spreadsheet would take for a formula begin with an apostrophe; an import takes it away again.
    """
    row = await ImportService(unit).errors(id)
    lines = error_lines(request.app.state.db, actor, id, row["header"], row["columns"])
    headers = {"content-disposition": f'attachment; filename="errors-{id}.csv"', "cache-control": "no-store"}
    return StreamingResponse(lines, 200, headers, "text/csv; charset=utf-8")


# -- mappings ----------------------------------------------------------------------------------------------------------


@router.post(
    "/import-mappings",
    status_code=201,
    summary="Save a mapping",
    responses=shown("ImportMapping", 201),
    response_model=None,
)
async def create_mapping(unit: WriteUnit, body: MappingCreate) -> Response:
    """Save what a supplier's headers mean, for the next file."""
    mapping_id = await MappingService(unit).create(body)
    return await resource(unit, IMPORT_MAPPING, mapping_id, status=201, location="/v1/import-mappings")


@router.patch(
    "/import-mappings/{id}", summary="Change a saved mapping", responses=shown("ImportMapping"), response_model=None
)
async def update_mapping(unit: WriteUnit, id: UUID, body: MappingUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given."""
    await MappingService(unit).update(id, body, expected_version=version)
    return await resource(unit, IMPORT_MAPPING, id)


@router.delete(
    "/import-mappings/{id}", status_code=204, summary="Delete a saved mapping", responses=nothing(), response_model=None
)
async def delete_mapping(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> None:
    """Delete a mapping; imports that used it are not touched."""
    await MappingService(unit).delete(id, expected_version=version)
