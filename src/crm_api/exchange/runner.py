"""The work of an import: chunk by chunk, each chunk one transaction.

A chunk's effects, the verdicts of its rows and the cursor's step over it commit together, and the step is taken only
from where the chunk began and only by whoever holds the import. So a killed worker leaves whole chunks behind, the
next one goes on at the following byte, two workers on one import cannot both take a step, and cancelling is final the
moment it commits. While the database works on one chunk, a thread parses the next.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import structlog

from crm_api.accounts.service import AccountService
from crm_api.core.actor import Actor
from crm_api.core.errors import FieldError, Locale, Unavailable
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService
from crm_api.db.failures import translate
from crm_api.db.pool import Database
from crm_api.db.retry import backoff
from crm_api.db.uow import UnitOfWork
from crm_api.exchange import rules
from crm_api.exchange.cells import Fault, RowParser, row_parser
from crm_api.exchange.models import ImportKind, Verdict
from crm_api.exchange.records import LineTooLongError, Record, RecordReader
from crm_api.exchange.repository import BLOCK, ImportRepository, Progress
from crm_api.exchange.service import tell_finished
from crm_api.exchange.sniff import fits
from crm_api.orders.service import OrderService

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


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that are written together, and where the file goes on after them."""

    rows: list[Row]
    since: int
    byte_offset: int
    line: int


class ChunkReader:
    """Reads the stored file from a cursor on."""

    def __init__(self, run: "ImportRun", row: Mapping[str, Any], zone: ZoneInfo, chunk: int) -> None:
        self._run = run
        self._size: int = row["total_bytes"]
        self._read: int = row["byte_offset"]
        self._number: int = row["processed"]
        self._chunk = chunk
        self._records = RecordReader(row["encoding"], row["delimiter"], offset=row["byte_offset"], line=row["line"])
        header: list[str] = row["header"]
        self._width = len(header)
        positions = {ours: header.index(theirs) for theirs, ours in row["columns"].items()}
        self._parser: RowParser[Any] = row_parser(row["kind"], positions, zone)
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
        if record.fault is not None:
            return Row(number, record.line, None, (Fault(None, record.fault),))
        if not fits(record.cells, self._width):
            return Row(number, record.line, None, (Fault(None, "ragged_row"),))
        parsed = self._parser.parse(record.cells)
        if isinstance(parsed, list):
            return Row(number, record.line, None, parsed)
        return Row(number, record.line, parsed, ())


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
        self._kind: ImportKind = "orders"
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
            self._kind, self._locale, self._mark = row["kind"], row["locale"], time.perf_counter()
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
        except Exception as error:
            if isinstance(translate(error), Unavailable):
                raise
            log.exception("import_failed", import_id=str(self._import_id))
            await self._fail("internal_error", _INTERNAL[self._locale])

    async def _claim(self) -> asyncpg.Record | None:
        """Take the import, waiting while another worker has it; None when it has ended."""
        while True:
            async with self._database.write(self._actor) as unit:
                repository = ImportRepository(unit)
                row = await repository.claim(self._import_id, self._id, self._lease)
                if row is not None:
                    return row
                known = await repository.find(self._import_id)
            if known is None or known["finished_at"] is not None:
                return None
            await asyncio.sleep(min(0.5, self._lease / 5))

    async def _work(self, row: Mapping[str, Any]) -> None:
        async with self._database.write(self._actor) as unit:
            tenant = await AccountService(unit).tenant()
        reader = ChunkReader(self, row, ZoneInfo(tenant.time_zone), self._chunk)
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

    async def block(self, position: int) -> bytes:
        """Return a block of the file.

        Raises:
            SupersededError: it is gone, because the import has ended.

        """
        # Not from a replica: it may not have the file yet.
        async with self._database.write(self._actor) as unit:
            data = await ImportRepository(unit).block(self._import_id, position)
        if data is None:
            raise SupersededError
        return data

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
        judged = dict(zip((row.number for row in sound), await self._apply(unit, sound), strict=True))
        stored = [judged.get(row.number) or self._refused(row) for row in chunk.rows]
        repository = ImportRepository(unit)
        await repository.add_rows(
            self._import_id, [(row.number, row.line, *made) for row, made in zip(chunk.rows, stored, strict=True)]
        )
        counts: dict[Verdict, int] = {}
        for verdict, _, _ in stored:
            counts[verdict] = counts.get(verdict, 0) + 1
        now = time.perf_counter()
        progress = Progress(chunk.since, chunk.byte_offset, chunk.line, counts, now - self._mark)
        if not await repository.advance(self._import_id, self._id, progress, self._lease):
            raise SupersededError
        # Whoever follows the import looks at its row then; the message need not say more.
        unit.emit("import.progressed", self._import_id, {"rows": len(chunk.rows)})
        return now

    async def _apply(self, unit: UnitOfWork, rows: Sequence[Row]) -> list["Stored"]:
        values = [row.value for row in rows]
        if self._kind == "orders":
            return [
                self._stored("unchanged" if each.verdict == "stale" else each.verdict, each.order_id, each.errors)
                for each in await OrderService(unit).upsert_many(values)
            ]
        return [
            self._stored(each.verdict, each.customer_id, each.errors)
            for each in await CustomerService(unit).import_many(values)
        ]

    def _stored(self, verdict: Verdict, resource_id: UUID | None, errors: Sequence[FieldError]) -> "Stored":
        if not errors:
            return verdict, resource_id, None
        shown = []
        for error in errors:
            told = error.localized(self._locale)
            shown.append(
                {
                    "column": rules.column_of(self._kind, told["pointer"]),
                    "code": told["code"],
                    "message": told["message"],
                }
            )
        return verdict, None, shown

    def _refused(self, row: Row) -> "Stored":
        return (
            "failed",
            None,
            [
                {"column": fault.column, "code": fault.code, "message": rules.reason(fault.code, self._locale)}
                for fault in row.faults
            ],
        )

    # -- ending ----------------------------------------------------------------------------------------------------

    async def _fail(self, code: str, message: str) -> None:
        await self._end({"state": "failed", "error_code": code, "error": message})

    async def _end(self, values: Mapping[str, Any]) -> None:
        async def work(unit: UnitOfWork) -> None:
            repository = ImportRepository(unit)
            if await repository.finish(self._import_id, values, self._id, time.perf_counter() - self._mark):
                tell_finished(unit, dict(await repository.get(self._import_id)))

        await self._database.run(self._actor, work)


Stored = tuple[Verdict, UUID | None, list[dict[str, Any]] | None]
"""Verdict, resource and errors as they are kept of a row."""

_INTERNAL: Final[Mapping[Locale, str]] = {
    "en": "The import stopped by a fault of ours; the rows done so far stay done",
    "zh": "导入因内部错误中止；已处理的行保持有效",
}
