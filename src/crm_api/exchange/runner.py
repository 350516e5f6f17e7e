"""The work of an import: chunk by chunk, each chunk one transaction.

A chunk's effects, the verdicts of its rows and the cursor's step over it commit together, and the step is taken only
from where the chunk began and only by whoever holds the import. So a killed worker leaves whole chunks behind, the
next one goes on at the following byte, two workers on one import cannot both take a step, and cancelling is final the
moment it commits. While the database works on one chunk, a thread parses the next.

A workbook is taken apart first: its rows become text in blocks, of which the rest is true as of any other file. A dry
run does all the same and takes each chunk's effects back before it commits; see ``rehearsal.py``.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final
from uuid import UUID

import asyncpg
import structlog

from crm_api.core.actor import Actor
from crm_api.core.errors import FieldError, Invalid, Locale, Unavailable
from crm_api.core.ids import new_id
from crm_api.db.failures import translate
from crm_api.db.pool import Database
from crm_api.db.retry import backoff
from crm_api.db.runs import taken
from crm_api.db.uow import UnitOfWork
from crm_api.exchange import rules
from crm_api.exchange.cells import Fault, RowParser
from crm_api.exchange.formats import BLOCK, fits
from crm_api.exchange.kinds import KINDS, Kind, Options, Setting, Written
from crm_api.exchange.models import Verdict
from crm_api.exchange.ndjson import NdjsonReader
from crm_api.exchange.records import LineTooLongError, Record, RecordReader
from crm_api.exchange.rehearsal import Rehearsal
from crm_api.exchange.repository import ImportRepository, Progress, UploadRepository
from crm_api.exchange.service import setting_of, storable_cells, tell_finished, tell_progress, told
from crm_api.exchange.xlsx import TooManyRowsError, text_blocks

log = structlog.get_logger(__name__)

CHUNK: Final = 2_000
"""Rows of a transaction: enough to spread its fixed cost, few enough that locks are held for a moment only."""

LEASE_SECONDS: Final = 10.0
"""How long after its last chunk a silent worker is taken for dead."""

LONGEST_LEASE: Final = 120.0

RIVAL_ATTEMPTS: Final = 5


class SupersededError(Exception):
    """The import is no longer ours: it was cancelled, or another worker went on with it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row on its way: parsed, or wrong."""

    number: int
    line: int
    value: Any
    faults: Sequence[Fault]
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that are written together, and where the file goes on after them."""

    rows: list[Row]
    since: int
    byte_offset: int
    line: int


class ChunkReader:
    """Reads the stored file from a cursor on."""

    def __init__(self, run: "ImportRun", row: Mapping[str, Any], parser: RowParser[Any], chunk: int) -> None:
        self._run = run
        self._size: int = row["total_bytes"]
        self._read: int = row["byte_offset"]
        self._number: int = row["processed"]
        self._chunk = chunk
        self._is_sheet = row["format"] == "xlsx"
        self._records = _reader_of(row)
        self._width = len(row["header"])
        self._parser = parser
        self._ended = False

    async def next(self) -> Chunk | None:
        """Return the next chunk, or None at the end of the file."""
        since = self._records.offset
        records: list[Record] = []
        while True:
            records += await asyncio.to_thread(self._records.take, self._chunk - len(records))
            if len(records) >= self._chunk or self._ended:
                break
            await self._feed()
        if not records:
            return None
        rows = await asyncio.to_thread(self._judge, records)
        return Chunk(rows, since, self._records.offset, self._records.line)

    async def _feed(self) -> None:
        if self._read >= self._size:
            self._records.end()
            self._ended = True
            return
        position = self._read // BLOCK * BLOCK
        data = await self._run.block(position)
        self._records.feed(data[self._read - position :])
        self._read = position + len(data)

    def _judge(self, records: list[Record]) -> list[Row]:
        rows = [self._row(number, record) for number, record in enumerate(records, self._number + 1)]
        self._number += len(rows)
        return rows

    def _row(self, number: int, record: Record) -> Row:
        line, cells = record.line, record.cells
        if record.fault is not None:
            return Row(number, line, None, (Fault(None, record.fault),), cells)
        if self._is_sheet:  # each line begins with the row's number in the sheet
            line, cells = int(cells[0]), cells[1:]
        if not fits(cells, self._width):
            return Row(number, line, None, (Fault(None, "ragged_row"),), cells)
        parsed = self._parser.parse(cells)
        if isinstance(parsed, list):
            return Row(number, line, None, parsed, cells)
        return Row(number, line, parsed, (), cells)


def _reader_of(row: Mapping[str, Any]) -> RecordReader | NdjsonReader:
    if row["format"] == "ndjson":
        return NdjsonReader(row["header"], offset=row["byte_offset"], line=row["line"])
    # What came in UTF-16 lies here in UTF-8.
    encoding = row["encoding"] if row["encoding"] == "gb18030" else "utf-8"
    return RecordReader(encoding, row["delimiter"], offset=row["byte_offset"], line=row["line"])


class ImportRun:
    """One worker's run of one import."""

    def __init__(
        self,
        database: Database,
        tenant_id: UUID,
        import_id: UUID,
        *,
        chunk: int = CHUNK,
        lease: float = LEASE_SECONDS,
    ) -> None:
        """Prepare; ``chunk`` and ``lease`` are for tests."""
        self._database = database
        self._actor = Actor.system(tenant_id, f"import:{import_id}")
        self._import_id = import_id
        self._id = new_id()
        self._chunk = chunk
        self._lease = lease
        self._row: Mapping[str, Any] = {}
        self._locale: Locale = "en"
        self._mark = 0.0

    async def run(self) -> None:
        """Return when the import has ended, whoever brought it to its end.

        A run that waits for another worker's goes on as soon as that one falls silent: would it return, the queue
        would take the job for done, and nobody were left to go on.

        Raises:
            Unavailable: the database is away; the job is tried again and goes on where it stopped.

        """
        while (row := await self._claim()) is not None:
            self._locale, self._mark = row["locale"], time.perf_counter()
            try:
                await self._run_from(dict(row))
            except SupersededError:
                log.info("import_left_to_others", import_id=str(self._import_id))
                # A chunk took longer than its lease: on a slow machine two runs would take it from each other for ever.
                self._lease = min(2 * self._lease, LONGEST_LEASE)

    async def _run_from(self, row: Mapping[str, Any]) -> None:
        try:
            await self._work(row)
        except SupersededError:
            raise
        except LineTooLongError:
            await self._fail("row_too_long", rules.reason("row_too_long", self._locale))
        except TooManyRowsError:
            await self._fail("too_many_rows", _TOO_MANY[self._locale])
        except Invalid as error:
            # What was true at the upload is no more: an attribute was archived, a part of the workbook is damaged.
            wrong = error.errors[0].localized(self._locale)
            await self._fail(wrong["code"], wrong["message"])
        except Exception as error:
            if isinstance(translate(error), Unavailable):
                raise
            log.exception("import_failed", import_id=str(self._import_id))
            await self._fail("internal_error", _INTERNAL[self._locale])

    async def _claim(self) -> asyncpg.Record | None:
        """Take the import, waiting while another worker has it; None when it has ended."""
        return await taken(self._database, self._actor, ImportRepository, self._import_id, self._id, self._lease)

    async def _work(self, row: Mapping[str, Any]) -> None:
        async with self._database.write(self._actor) as unit:
            setting = await setting_of(unit)
        self._row = row = await self._take_apart(row)
        self._kind = KINDS[row["kind"]]
        self._options = Options(row["mode"], tuple(row["match_by"]))
        self._parser = self._parser_of(row, setting)
        reader = ChunkReader(self, row, self._parser, self._chunk)
        chunk = await reader.next()
        while chunk is not None:
            ahead = asyncio.create_task(reader.next())
            try:
                await self._write(chunk)
            except BaseException:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
                raise
            chunk = await ahead
        await self._end({"state": "completed", "byte_offset": row["total_bytes"]})

    _kind: Kind
    _options: Options
    _parser: RowParser[Any]

    def _parser_of(self, row: Mapping[str, Any], setting: Setting) -> RowParser[Any]:
        header: list[str] = row["header"]
        rules.require(self._kind.match(setting, header, _explicit(row), row["defaults"]))
        positions = {ours: header.index(theirs) for theirs, ours in row["columns"].items()}
        return self._kind.parser(setting, positions, row["defaults"])

    # -- reading ---------------------------------------------------------------------------------------------------

    async def _take_apart(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the import with the size of its rows as text, having taken them out of a workbook if need be."""
        if row["format"] != "xlsx":
            return row
        upload_id: UUID = row["upload_id"]
        async with self._database.write(self._actor) as unit:
            upload = await UploadRepository(unit).find(upload_id)
        if upload is None:
            raise SupersededError
        size: int | None = upload["rows_bytes"]
        if size is None:
            with tempfile.TemporaryFile() as file:
                await self._fetch(dict(upload), file)
                size = await self._convert(row, dict(upload), file)
        async with self._database.write(self._actor) as unit:
            await ImportRepository(unit).resize(self._import_id, size)
        return {**row, "total_bytes": size}

    async def _fetch(self, upload: Mapping[str, Any], file: BinaryIO) -> None:
        for position in range(0, upload["total_bytes"], BLOCK):
            async with self._database.write(self._actor) as unit:
                data = await UploadRepository(unit).block(upload["id"], 0, position)
            if data is None:
                raise SupersededError
            await asyncio.to_thread(file.write, data)

    async def _convert(self, row: Mapping[str, Any], upload: Mapping[str, Any], file: BinaryIO) -> int:
        """Store the sheet's rows as text; a second run that does the same at the same time stores the same."""
        blocks = text_blocks(file, upload["sheet"], len(upload["header"]), upload["line"])
        size = 0
        while (data := await asyncio.to_thread(next, blocks, None)) is not None:
            async with self._database.write(self._actor) as unit:
                await UploadRepository(unit).store_block(upload["id"], 1, size, data)
                if not await ImportRepository(unit).keep(self._import_id, self._id, self._lease, {}):
                    raise SupersededError
            size += len(data)
        async with self._database.write(self._actor) as unit:
            await UploadRepository(unit).converted(upload["id"], size)
        log.info("workbook_taken_apart", import_id=str(row["id"]), bytes=size)
        return size

    async def block(self, position: int) -> bytes:
        """Return a block of the file.

        Raises:
            SupersededError: it is gone, because the import has ended.

        """
        # Not from a replica: it may not have the file yet.
        async with self._database.write(self._actor) as unit:
            data = await self._stored(unit, position)
        if data is None:
            raise SupersededError
        return data

    async def _stored(self, unit: UnitOfWork, position: int) -> bytes | None:
        upload_id = self._row["upload_id"]
        if upload_id is None:
            return await ImportRepository(unit).block(self._import_id, position)
        part = 1 if self._row["format"] == "xlsx" else 0
        return await UploadRepository(unit).block(upload_id, part, position)

    # -- writing ---------------------------------------------------------------------------------------------------

    async def _write(self, chunk: Chunk) -> None:
        async def work(unit: UnitOfWork) -> float:
            return await self._write_in(unit, chunk)

        for attempt in range(RIVAL_ATTEMPTS):
            try:
                self._mark = await self._database.run(self._actor, work)
            except asyncpg.UniqueViolationError:
                # A rival created the same thing meanwhile; now that it has committed, it will be found.
                if attempt == RIVAL_ATTEMPTS - 1:
                    raise
                await backoff(attempt)
            else:
                return

    async def _write_in(self, unit: UnitOfWork, chunk: Chunk) -> float:
        """Write a chunk; returns the time up to which it has counted its work (the commit is the next one's)."""
        sound = [row for row in chunk.rows if not row.faults]
        written = await self._apply(unit, sound)
        judged = {row.number: self._judged(each) for row, each in zip(sound, written, strict=True)}
        stored = [judged.get(row.number) or self._refused(row) for row in chunk.rows]
        repository = ImportRepository(unit)
        await repository.add_rows(
            self._import_id, [(row.number, row.line, *made) for row, made in zip(chunk.rows, stored, strict=True)]
        )
        kept = list(self._cells_to_keep(chunk.rows, stored))
        await repository.add_cells(self._import_id, kept)
        counts: dict[Verdict, int] = {}
        for verdict, *_ in stored:
            counts[verdict] = counts.get(verdict, 0) + 1
        now = time.perf_counter()
        progress = Progress(chunk.since, chunk.byte_offset, chunk.line, counts, now - self._mark)
        if not await repository.advance(self._import_id, self._id, progress, self._lease):
            raise SupersededError
        tell_progress(unit, self._import_id)
        return now

    def _cells_to_keep(self, rows: Sequence[Row], stored: Sequence["Stored"]) -> Iterator[tuple[int, list[str]]]:
        """Yield the cells of failed rows, for the error file; of a dry run those of all rows."""
        for row, (verdict, *_) in zip(rows, stored, strict=True):
            if row.cells and (verdict == "failed" or self._row["dry_run"]):
                yield row.number, storable_cells(row.cells)

    async def _apply(self, unit: UnitOfWork, rows: Sequence[Row]) -> list[Written]:
        values = [row.value for row in rows]
        if not values:
            return []
        if not self._row["dry_run"]:
            return await self._kind.write(unit, values, self._options)
        rehearsal = Rehearsal(unit, self._import_id, self._kind, self._options, self._parser, self._chunk)
        return await rehearsal.judge([row.number for row in rows], values)

    def _judged(self, written: Written) -> "Stored":
        if not written.errors:
            return written.verdict, written.resource_id, None, dict(written.journal) or None
        shown = [shown_error(self._kind, error, self._locale) for error in written.errors]
        return written.verdict, None, shown, None

    def _refused(self, row: Row) -> "Stored":
        return "failed", None, [told(fault, self._locale) for fault in row.faults], None

    # -- ending ----------------------------------------------------------------------------------------------------

    async def _fail(self, code: str, message: str) -> None:
        await self._end({"state": "failed", "error_code": code, "error": message})

    async def _end(self, values: Mapping[str, Any]) -> None:
        async def work(unit: UnitOfWork) -> None:
            repository = ImportRepository(unit)
            if await repository.finish(self._import_id, values, self._id, time.perf_counter() - self._mark):
                tell_finished(unit, dict(await repository.get(self._import_id)))

        await self._database.run(self._actor, work)


Stored = tuple[Verdict, UUID | None, list[dict[str, Any]] | None, dict[str, Any] | None]
"""Verdict, resource, errors and journal as they are kept of a row."""


def shown_error(kind: Kind, error: FieldError, locale: Locale) -> dict[str, Any]:
    """Return a service's error as it is kept of a row."""
    shown = error.localized(locale)
    return {"column": kind.column_of(shown["pointer"]), "code": shown["code"], "message": shown["message"]}


def _explicit(row: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the mapping that gives the columns decided at the start, whatever would be guessed now."""
    return {theirs: row["columns"].get(theirs, "") for theirs in row["header"] if theirs}


_INTERNAL: Final[Mapping[Locale, str]] = {
    "en": "The import stopped by a fault of ours; the rows done so far stay done",
    "zh": "导入因内部错误中止；已处理的行保持有效",
}
_TOO_MANY: Final[Mapping[Locale, str]] = {
    "en": "The sheet has more rows than a sheet can have",
    "zh": "工作表的行数超出上限",
}
