"""What can be done with uploads, imports and saved mappings. The work itself is in ``runner.py`` and ``undo.py``."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, BinaryIO, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from crm_api.accounts.service import AccountService
from crm_api.attributes.service import AttributeValues
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.exchange import rules
from crm_api.exchange.cells import Fault
from crm_api.exchange.formats import BLOCK, FileFormat, fits
from crm_api.exchange.kinds import KINDS, Kind, Setting
from crm_api.exchange.models import (
    ImportKind,
    ImportMode,
    ImportPreview,
    ImportStart,
    MappingCreate,
    MappingUpdate,
    MatchKey,
    PreviewColumn,
    PreviewRequest,
    PreviewRow,
    RowError,
)
from crm_api.exchange.repository import ImportRepository, MappingRepository, UndoRepository, UploadRepository

READ = "imports:read"
WRITE = "imports:write"
JOB = "exchange.import"
UNDO_JOB = "exchange.undo"

KEEP_UPLOADS: Final = timedelta(hours=24)
SHOWN_ROWS: Final = 20


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that has arrived.

    Attributes:
        filename: as the caller calls it.
        file: the bytes to store.
        format: how to read them.

    """

    filename: str
    file: BinaryIO
    format: FileFormat


@dataclass(frozen=True, slots=True)
class How:
    """How an upload is to be imported; see `crm_api.exchange.models.ImportStart`."""

    kind: ImportKind
    mapping: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    match_by: Sequence[MatchKey] = ()
    mode: ImportMode = "upsert"
    dry_run: bool = False


async def setting_of(unit: UnitOfWork) -> Setting:
    """Return what the tenant brings into the reading of a file."""
    tenant = await AccountService(unit).tenant()
    attributes = await AttributeValues(unit, "customer").known()
    return Setting(ZoneInfo(tenant.time_zone), tenant.currency, attributes)


class ImportService:
    """Imports: taking files in, looking into them, importing, stopping halfway, taking back."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ImportRepository(unit)
        self.uploads = UploadRepository(unit)

    # -- uploads ---------------------------------------------------------------------------------------------------

    async def upload(self, received: ReceivedFile) -> UUID:
        """Store a file, with this transaction; returns the upload's id. It is kept for a day."""
        self.unit.actor.require(WRITE)
        how, upload_id = received.format, new_id()
        shown = {"filename": received.filename, "total_bytes": how.size, "format": how.format}
        await self.uploads.insert(
            {
                "id": upload_id,
                **shown,
                "sha256": how.sha256,
                "encoding": how.encoding,
                "delimiter": how.delimiter,
                "header": how.header,
                "sheets": how.sheets,
                "sheet": how.sheet,
                "byte_offset": how.offset,
                "line": how.line,
                "sample": [[line, storable_cells(cells)] for line, cells in how.sample[:SHOWN_ROWS]],
                "expires_at": self.unit.now() + KEEP_UPLOADS,
            }
        )
        await self._store(upload_id, received.file)
        self.unit.audit("upload.created", "Upload", upload_id, after={**shown, "sha256": how.sha256.hex()})
        return upload_id

    async def _store(self, upload_id: UUID, file: BinaryIO) -> None:
        await asyncio.to_thread(file.seek, 0)
        position = 0
        while block := await asyncio.to_thread(file.read, BLOCK):
            await self.uploads.store_block(upload_id, 0, position, block)
            position += len(block)

    async def preview(self, data: PreviewRequest) -> ImportPreview:
        """Say how an upload would be read: what its headers were taken for, and its first rows."""
        self.unit.actor.require(READ)
        upload, kind = await self._known_upload(data.upload_id, lock=False), KINDS[data.kind]
        saved = await self._saved(data.mapping_id, data.kind, upload["header"])
        mapping, defaults = saved.mapping | dict(data.mapping), saved.defaults | dict(data.defaults)
        setting, locale = await setting_of(self.unit), self.unit.actor.locale
        match = kind.match(setting, upload["header"], mapping, defaults)
        headers = {ours: theirs for theirs, ours in match.columns.items()}
        return ImportPreview(
            columns=dict(match.columns),
            ignored=list(match.ignored),
            problems=[RowError(column=None, **_told(each, locale)) for each in match.problems],
            available=[
                PreviewColumn(name=name, required=each.required, header=headers.get(name), names=list(each.names))
                for name, each in kind.columns_for(setting).items()
            ],
            sample=_sample(kind, setting, upload, match, {} if match.problems else defaults, locale),
        )

    async def _known_upload(self, upload_id: UUID, *, lock: bool) -> dict[str, Any]:
        try:
            return dict(await self.uploads.get(upload_id, lock=lock))
        except NotFound:
            raise _NO_UPLOAD from None

    async def _saved(self, mapping_id: UUID | None, kind: ImportKind, header: Sequence[str]) -> "Saved":
        if mapping_id is None:
            return Saved({}, {}, (), "upsert")
        row = await MappingRepository(self.unit).find(mapping_id)
        if row is None or row["kind"] != kind:
            raise Invalid.field(
                "/mapping_id", "unknown_mapping", "There is no such mapping for this kind", "没有此类导入的映射"
            )
        # A supplier who leaves a column out this month must not be refused for it.
        columns = {theirs: ours for theirs, ours in row["columns"].items() if theirs in header}
        return Saved(columns, dict(row["defaults"]), tuple(row["match_by"]), row["mode"])

    # -- imports ---------------------------------------------------------------------------------------------------

    async def create(self, received: ReceivedFile, how: How) -> UUID:
        """Store a file and queue its import, both with this transaction; returns the import's id.

        Needs the scope to write imports and the one to write what the file holds.

        Raises:
            Invalid: header and mapping do not give the columns that are needed.

        """
        self._require(how.kind)
        kind = KINDS[how.kind]
        kind.check(how.mode, how.match_by)
        rules.require(kind.match(await setting_of(self.unit), received.format.header, how.mapping, how.defaults))
        upload_id = await self.upload(received)
        return await self._queue(dict(await self.uploads.get(upload_id)), how)

    async def start(self, data: ImportStart) -> UUID:
        """Queue the import of an upload; returns its id. Raises as `create`."""
        self._require(data.kind)
        upload = await self._known_upload(data.upload_id, lock=True)
        saved = await self._saved(data.mapping_id, data.kind, upload["header"])
        how = How(
            data.kind,
            saved.mapping | dict(data.mapping),
            saved.defaults | dict(data.defaults),
            tuple(data.match_by) or saved.match_by,
            data.mode or saved.mode,
            data.dry_run,
        )
        return await self._queue(upload, how)

    def _require(self, kind: ImportKind) -> None:
        self.unit.actor.require(WRITE)
        for scope in KINDS[kind].scopes:
            self.unit.actor.require(scope)

    async def _queue(self, upload: Mapping[str, Any], how: How) -> UUID:
        kind, import_id = KINDS[how.kind], new_id()
        kind.check(how.mode, how.match_by)
        match = kind.match(await setting_of(self.unit), upload["header"], how.mapping, how.defaults)
        columns = rules.require(match)
        shown = {
            "kind": how.kind,
            "filename": upload["filename"],
            "total_bytes": upload["rows_bytes"] or upload["total_bytes"],
            "dry_run": how.dry_run,
            "mode": how.mode,
        }
        told = ("sha256", "format", "encoding", "delimiter", "sheet", "header", "byte_offset", "line")
        await self.repository.insert(
            {
                "id": import_id,
                **shown,
                **{name: upload[name] for name in told},
                "upload_id": upload["id"],
                "columns": dict(columns),
                "defaults": dict(how.defaults),
                "match_by": list(how.match_by or kind.match_keys),
                "locale": self.unit.actor.locale,
            }
        )
        self.unit.audit("import.created", "Import", import_id, after={**shown, "sha256": upload["sha256"].hex()})
        await self.unit.enqueue(JOB, {"import_id": str(import_id)})
        return import_id

    async def cancel(self, import_id: UUID, *, expected_version: int | None = None) -> None:
        """Stop an import for good: rows done so far stay done, no further row is.

        Raises:
            Conflict: it has ended already.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(import_id, lock=True, expected_version=expected_version)
        self._require(row["kind"])
        if not await self.repository.finish(import_id, {"state": "cancelled"}):
            raise _ENDED
        self.unit.audit(
            "import.cancelled", "Import", import_id, before={"state": row["state"]}, after={"state": "cancelled"}
        )
        tell_finished(self.unit, {**row, "state": "cancelled"})

    async def undo(self, import_id: UUID, *, expected_version: int | None = None) -> None:
        """Begin to take an import back: what it made goes, what it changed is as before; what was changed since stays.

        Raises:
            Conflict: it has not ended, was a dry run, or is being taken back already.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(import_id, lock=True, expected_version=expected_version)
        self._require(row["kind"])
        if row["finished_at"] is None:
            raise _NOT_ENDED
        if row["dry_run"]:
            raise _DRY
        if row["undo_state"] in {"queued", "running", "completed"}:
            raise _UNDONE
        # One that failed goes on where it stopped.
        cursor = row["undo_cursor"] if row["undo_state"] == "failed" else row["processed"] + 1
        await self.repository.change(
            import_id, {"undo_state": "queued", "undo_cursor": cursor, "undo_finished_at": None, "lease_until": None}
        )
        self.unit.audit("import.undo_started", "Import", import_id)
        await self.unit.enqueue(UNDO_JOB, {"import_id": str(import_id)})

    async def errors(self, import_id: UUID) -> asyncpg.Record:
        """Return the import whose error file is wanted.

        Raises:
            NotFound: there is none.

        """
        self.unit.actor.require(READ)
        return await self.repository.get(import_id)

    # -- for the worker --------------------------------------------------------------------------------------------

    async def give_up(self, import_id: UUID, reason: str) -> None:
        """Fail an import whose job failed too often; the rows done so far stay done."""
        if await self.repository.finish(import_id, {"state": "failed", "error_code": "given_up", "error": reason}):
            tell_finished(self.unit, dict(await self.repository.get(import_id)))

    async def give_up_undo(self, import_id: UUID) -> None:
        """Fail an undo whose job failed too often; it can be asked for again and goes on where it stopped."""
        if await UndoRepository(self.unit).finish(import_id, {"undo_state": "failed"}):
            tell_undone(self.unit, dict(await self.repository.get(import_id)))

    async def enqueue_again(self, import_id: UUID, job: str = JOB) -> None:
        """Queue an import once more whose job was lost; a second job does no harm."""
        await self.repository.change(import_id, {"lease_until": None})
        await self.unit.enqueue(job, {"import_id": str(import_id)})


@dataclass(frozen=True, slots=True)
class Saved:
    """What a saved mapping says."""

    mapping: dict[str, str]
    defaults: dict[str, str]
    match_by: tuple[MatchKey, ...]
    mode: ImportMode


def _sample(
    kind: Kind,
    setting: Setting,
    upload: Mapping[str, Any],
    match: rules.Match,
    defaults: Mapping[str, str],
    locale: Any,
) -> list[PreviewRow]:
    header: list[str] = upload["header"]
    parser = kind.parser(setting, {ours: header.index(theirs) for theirs, ours in match.columns.items()}, defaults)
    rows = []
    for line, cells in upload["sample"]:
        # Rows that lack a required column would all be wrong for the same reason: that is told once, of the header.
        made: Any = [Fault(None, "ragged_row")] if not fits(cells, len(header)) else None
        if made is None and not match.problems:
            made = parser.parse(cells)
        faults: list[Fault] = [] if match.problems or not isinstance(made, list) else made
        rows.append(PreviewRow(line=line, cells=cells, errors=[RowError(**told(each, locale)) for each in faults]))
    return rows


def storable_cells(cells: Sequence[str]) -> list[str]:
    """Return cells as PostgreSQL takes them: without NUL."""
    return [cell.replace("\x00", "\ufffd") for cell in cells]


def told(fault: Fault, locale: Any) -> dict[str, Any]:
    """Return a fault as it is stored and shown."""
    return {"column": fault.column, "code": fault.code, "message": rules.reason(fault.code, locale)}


def _told(error: FieldError, locale: Any) -> dict[str, str]:
    shown = error.localized(locale)
    return {"code": shown["code"], "message": shown["message"]}


_COUNTS: Final = ("processed", "created", "updated", "unchanged", "duplicate", "failed")


def tell_progress(unit: UnitOfWork, import_id: UUID) -> None:
    """Put the message that an import has come further into the outbox."""
    unit.emit("import.progressed", import_id, {"import_id": str(import_id)})


def tell_finished(unit: UnitOfWork, row: Mapping[str, Any]) -> None:
    """Put the message that an import has ended into the outbox."""
    told_ = {name: row[name] for name in ("kind", "state", "dry_run", *_COUNTS)}
    unit.emit("import.finished", row["id"], {"import_id": str(row["id"]), **told_})


def tell_undone(unit: UnitOfWork, row: Mapping[str, Any]) -> None:
    """Put the message that the taking back of an import has ended into the outbox."""
    told_ = {name: row[f"undo_{name}"] for name in ("state", "processed", "undone", "kept")}
    unit.emit("import.undone", row["id"], {"import_id": str(row["id"]), "kind": row["kind"], **told_})


class MappingService:
    """Saved mappings."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = MappingRepository(unit)

    async def create(self, data: MappingCreate) -> UUID:
        """Save a mapping; returns its id.

        Raises:
            Invalid: it names columns that there are not.
            Duplicate: the kind has a mapping of this name.

        """
        self.unit.actor.require(WRITE)
        await self._check(data.kind, data.columns, data.defaults, data.mode, data.match_by)
        mapping_id = new_id()
        with unique_as(_NAME_TAKEN):
            await self.repository.insert({"id": mapping_id, **data.model_dump()})
        self.unit.audit("import_mapping.created", "ImportMapping", mapping_id, after=data.model_dump(mode="json"))
        return mapping_id

    async def update(self, mapping_id: UUID, data: MappingUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields that were given. Raises as `create`."""
        self.unit.actor.require(WRITE)
        before = await self.repository.get(mapping_id, lock=True, expected_version=expected_version)
        changes = data.model_dump(exclude_unset=True)
        after = {**dict(before), **changes}
        await self._check(after["kind"], after["columns"], after["defaults"], after["mode"], after["match_by"])
        with unique_as(_NAME_TAKEN):
            await self.repository.change(mapping_id, changes)
        self.unit.audit(
            "import_mapping.updated",
            "ImportMapping",
            mapping_id,
            before={name: before[name] for name in changes},
            after=data.model_dump(mode="json", exclude_unset=True),
        )

    async def delete(self, mapping_id: UUID, *, expected_version: int | None = None) -> None:
        """Delete a mapping; imports that used it are not touched."""
        self.unit.actor.require(WRITE)
        row = await self.repository.get(mapping_id, lock=True, expected_version=expected_version)
        await self.repository.remove(mapping_id)
        self.unit.audit("import_mapping.deleted", "ImportMapping", mapping_id, before={"name": row["name"]})

    async def _check(
        self,
        kind: ImportKind,
        columns: Mapping[str, str],
        defaults: Mapping[str, str],
        mode: ImportMode,
        match_by: Sequence[MatchKey],
    ) -> None:
        declared = KINDS[kind]
        declared.check(mode, match_by)
        setting = await setting_of(self.unit)
        match = declared.match(setting, tuple(columns), columns, defaults)
        problems = [each for each in match.problems if each.code != "missing_column"]
        if problems:
            raise Invalid(errors=[_about_columns(each) for each in problems])


def _about_columns(error: FieldError) -> FieldError:
    if not error.pointer.startswith("/mapping"):
        return error
    pointer = "/columns" + error.pointer.removeprefix("/mapping")
    return FieldError(pointer, error.code, error.message, error.message_zh)


_NAME_TAKEN: Final = {
    "uq_import_mappings_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "This kind has a mapping of this name", "该类导入已有同名映射")]
    )
}
_NO_UPLOAD: Final = Invalid.field(
    "/upload_id",
    "unknown_upload",
    "There is no such upload (any more): send the file again",
    "没有此上传或已过期：请重新上传",
)
_ENDED: Final = Conflict("The import has ended already", zh="导入已结束", code="import_ended")
_NOT_ENDED: Final = Conflict(
    "The import has not ended yet: cancel it first", zh="导入尚未结束：请先取消", code="import_running"
)
_DRY: Final = Conflict("A dry run has written nothing", zh="试运行未写入任何数据", code="nothing_to_undo")
_UNDONE: Final = Conflict("The import is being taken back, or was", zh="导入正在撤销或已撤销", code="already_undone")
