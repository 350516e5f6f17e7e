"""The work of an export: page by page into a file on disk, and from there in blocks into the database.

All pages are read in one transaction of REPEATABLE READ, so the file is the list at one instant (``as_of``): a row that
is changed, made or deleted meanwhile is in it as it was, once or not at all. A worker that dies takes its snapshot with
it; whoever goes on begins anew. Only who holds the export may write, so two workers on one cannot mix their blocks, and
cancelling is final the moment it commits.
"""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import orjson
import structlog

from crm_api.core.actor import Actor
from crm_api.core.errors import CrmError, Locale, Unavailable
from crm_api.core.ids import new_id
from crm_api.db.failures import translate
from crm_api.db.plans.selection import whole
from crm_api.db.pool import Database
from crm_api.db.runs import taken
from crm_api.db.uow import UnitOfWork
from crm_api.exports.columns import headers, masker, picked
from crm_api.exports.formats import SHEET_ROWS, Layout, Writer, open_writer
from crm_api.exports.repository import ExportRepository, Listing
from crm_api.exports.service import BLOCK, ExportService, columns, tell_finished

log = structlog.get_logger(__name__)

PAGE: Final = 500
"""Rows of a page: enough to spread a statement's fixed cost, few enough to be nothing in memory."""

LEASE_SECONDS: Final = 10.0
SPEAK_SECONDS: Final = 0.5
"""How often progress is noted."""


class SupersededError(Exception):
    """The export is no longer ours: it was cancelled or deleted, or another worker went on with it."""


@dataclass(slots=True)
class Output:
    """A file in the making."""

    writer: Writer
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None

    def take(self, body: bytes) -> tuple[str | None, int, int | None]:
        """Write a page; returns the cursor of the next one, how many rows it had, and the total if it says so."""
        page = orjson.loads(body)
        rows: list[dict[str, Any]] = page["data"]
        self.writer.write(rows if self.prepare is None else [self.prepare(row) for row in rows])
        return page["page"]["next"], len(rows), page["page"].get("total")


class ExportRun:
    """One worker's run of one export."""

    def __init__(
        self,
        database: Database,
        tenant_id: UUID,
        export_id: UUID,
        *,
        page: int = PAGE,
        lease: float = LEASE_SECONDS,
        sheet_rows: int = SHEET_ROWS,
    ) -> None:
        """Prepare."""
        self._database = database
        self._system = Actor.system(tenant_id, f"export:{export_id}")
        self._export_id = export_id
        self._id = new_id()
        self._page, self._lease, self._sheet_rows = page, lease, sheet_rows
        self._rows = 0
        self._total: int | None = None
        self._began = self._spoke = 0.0

    async def run(self) -> None:
        """Return when the export has ended, whoever brought it to its end.

        Raises:
            Unavailable: the database is away; the job is tried again.

        """
        while (row := await self._claim()) is not None:
            self._began = self._spoke = time.perf_counter()
            self._rows, self._total = 0, None
            try:
                await self._run(dict(row))
            except SupersededError:
                log.info("export_left_to_others", export_id=str(self._export_id))

    async def _run(self, row: Mapping[str, Any]) -> None:
        locale: Locale = row["locale"]
        try:
            await self._work(row)
        except SupersededError:
            raise
        except CrmError as error:
            if isinstance(error, Unavailable):
                raise
            # What was there at the start is no more: an attribute was archived, say.
            first = error.errors[0].localized(locale) if error.errors else None
            told = (first["code"], first["message"]) if first else (error.code, error.localized(locale))
            await self._fail(*told)
        except Exception as error:
            if isinstance(translate(error), Unavailable):
                raise
            log.exception("export_failed", export_id=str(self._export_id))
            await self._fail("internal_error", _INTERNAL[locale])

    async def _claim(self) -> asyncpg.Record | None:
        """Take the export, waiting while another worker has it; None when it has ended."""
        return await taken(self._database, self._system, ExportRepository, self._export_id, self._id, self._lease)

    async def _work(self, row: Mapping[str, Any]) -> None:
        with tempfile.TemporaryFile() as file:
            await self._write(row, file)
            size, digest = await self._store(file)
        await self._complete(size, digest)

    # -- reading and writing ---------------------------------------------------------------------------------------

    async def _write(self, row: Mapping[str, Any], file: BinaryIO) -> None:
        """Write the file; no more than the key could see."""
        actor = Actor(
            self._system.tenant_id,
            row["actor_kind"],
            row["actor_id"],
            frozenset(row["scopes"]),
            self._system.request_id,
            row["locale"],
        )
        async with self._database.read(actor, snapshot=True) as unit:
            listing = await ExportService(unit).listing_of(row)
            await self._note({"as_of": unit.now()})
            output = await self._open(unit, row, listing, file)
            try:
                await self._fill(unit, listing, output)
            except BaseException:
                output.writer.abandon()
                raise
        await self._beat(asyncio.to_thread(output.writer.close))

    async def _fill(self, unit: UnitOfWork, listing: Listing, output: Output) -> None:
        after: str | None = None
        while True:
            body = await listing.page(unit, self._page, after)
            # In a thread: while a page becomes cells, the worker's other jobs go on.
            after, count, total = await asyncio.to_thread(output.take, body)
            self._rows += count
            self._total = self._total if total is None else total
            await self._speak()
            if after is None:
                return

    async def _open(self, unit: UnitOfWork, row: Mapping[str, Any], listing: Listing, file: BinaryIO) -> Output:
        selections = whole(listing.of, unit.actor.scopes, listing.fields)
        shown = picked(await columns(unit, listing.of, selections), row["fields"])
        zone = ZoneInfo(row["time_zone"])
        layout = Layout(shown, headers(shown, row["headers"]), zone, row["bom"], self._sheet_rows)
        writer = await asyncio.to_thread(open_writer, row["format"], file, layout)
        return Output(writer, masker(listing.of, selections) if row["masked"] else None)

    async def _store(self, file: BinaryIO) -> tuple[int, str]:
        """Store the file block by block; returns its size and hash."""
        await asyncio.to_thread(file.seek, 0)
        position, digest = 0, hashlib.sha256()
        while data := await asyncio.to_thread(file.read, BLOCK):
            digest.update(data)
            async with self._database.write(self._system) as unit:
                repository = ExportRepository(unit)
                if not await repository.keep(self._export_id, self._id, self._lease, self._progress()):
                    raise SupersededError
                await repository.store_block(self._export_id, position, data)
            position += len(data)
        return position, digest.hexdigest()

    # -- telling how far it is -------------------------------------------------------------------------------------

    def _progress(self) -> dict[str, Any]:
        return {"rows": self._rows, "total": self._total, "busy_seconds": time.perf_counter() - self._began}

    async def _speak(self) -> None:
        if time.perf_counter() - self._spoke >= min(SPEAK_SECONDS, self._lease / 5):
            await self._note(self._progress())

    async def _beat(self, work: Any) -> None:
        """Do what takes a while, such as packing a workbook, without losing the export."""
        task = asyncio.ensure_future(work)
        while not (await asyncio.wait({task}, timeout=self._lease / 5))[0]:
            try:
                await self._note(self._progress())
            except SupersededError:
                await task  # a thread cannot be stopped, and the file must stay until it has ended
                raise
        task.result()

    async def _note(self, values: Mapping[str, Any]) -> None:
        async with self._database.write(self._system) as unit:
            if not await ExportRepository(unit).keep(self._export_id, self._id, self._lease, values):
                raise SupersededError
        self._spoke = time.perf_counter()

    # -- ending ----------------------------------------------------------------------------------------------------

    async def _complete(self, size: int, digest: str) -> None:
        until = self._database.clock.now() + timedelta(hours=self._database.settings.export_hours)
        kept = {"size_bytes": size, "sha256": digest, "expires_at": until}
        await self._end({"state": "completed", **self._progress(), **kept})

    async def _fail(self, code: str, message: str) -> None:
        await self._end({"state": "failed", "error_code": code, "error": message})

    async def _end(self, values: Mapping[str, Any]) -> None:
        async def work(unit: UnitOfWork) -> None:
            repository = ExportRepository(unit)
            if await repository.finish(self._export_id, values, self._id):
                row = dict(await repository.get(self._export_id))
                told = {name: row[name] for name in ("resource", "format", "rows", "masked", "sha256", "error_code")}
                told |= {"requested_by": str(row["actor_id"])}
                unit.audit(f"export.{values['state']}", "Export", self._export_id, after=told)
                tell_finished(unit, row)

        await self._database.run(self._system, work)


_INTERNAL: Final[Mapping[Locale, str]] = {
    "en": "The export stopped by a fault of ours",
    "zh": "导出因内部错误中止",
}
