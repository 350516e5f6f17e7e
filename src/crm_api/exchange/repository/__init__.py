"""Access to uploads, imports, their verdicts and saved mappings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Float, FromClause, and_, case, cast, delete, func, select, text, update

from crm_api.db.bulk import insert_rows
from crm_api.db.projections import Projection, asc, column, columns, eq, eq_ref, many, ref, sql, struct
from crm_api.db.repository import Repository
from crm_api.db.runs import RunRepository
from crm_api.exchange.models import (
    Import,
    ImportKind,
    ImportMapping,
    ImportRow,
    ImportState,
    UndoVerdict,
    Upload,
    Verdict,
)
from crm_api.exchange.tables import (
    import_cells,
    import_files,
    import_keys,
    import_mappings,
    import_rows,
    imports,
    upload_blocks,
    uploads,
)


def _rate(t: FromClause) -> ColumnElement[Any]:
    rate = func.round(t.c.processed / func.nullif(t.c.busy_seconds, 0))
    return case((t.c.processed > 0, cast(rate, Float)))


def _remaining(t: FromClause) -> ColumnElement[Any]:
    """Bytes still to come at the rate of those that are done."""
    seconds = t.c.busy_seconds * (t.c.total_bytes - t.c.byte_offset) / func.nullif(t.c.byte_offset, 0)
    return case((and_(t.c.processed > 0, t.c.finished_at.is_(None)), cast(func.ceil(seconds), Float)))


UPLOAD = Projection(
    "Upload",
    table=uploads,
    model=Upload,
    scope="imports:read",
    description="A file that was sent, and how it will be read.",
    fields=columns(
        "id",
        "filename",
        "total_bytes",
        "format",
        "encoding",
        "delimiter",
        "sheets",
        "sheet",
        "header",
        "expires_at",
        "version",
        "created_at",
        "updated_at",
    ),
)

IMPORT = Projection(
    "Import",
    table=imports,
    model=Import,
    scope="imports:read",
    description="A file on its way in: what it is, how far it has come and what came of it.",
    fields={
        **columns(
            "id",
            "kind",
            "state",
            "dry_run",
            "mode",
            "match_by",
            "filename",
            "format",
            "sheet",
            "total_bytes",
            "processed",
            "created",
            "updated",
            "unchanged",
            "duplicate",
            "failed",
            "encoding",
            "delimiter",
            "columns",
            "defaults",
            "started_at",
            "finished_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "upload_id": ref("upload_id", "Upload"),
        "processed_bytes": column("byte_offset"),
        "rows_per_second": sql(_rate),
        "seconds_remaining": sql(_remaining),
        "error": struct({"code": column("error_code"), "message": column("error")}),
        "undo": struct(
            {
                "state": column("undo_state"),
                "processed": column("undo_processed"),
                "undone": column("undo_undone"),
                "kept": column("undo_kept"),
                "started_at": column("undo_started_at"),
                "finished_at": column("undo_finished_at"),
            }
        ),
    },
    relations={
        "rows": many("ImportRow", on=lambda p, c: c.c.import_id == p.c.id, description="What came of each row."),
    },
    filters={"state": eq("state", ImportState), "kind": eq("kind", ImportKind), "dry_run": eq("dry_run", bool)},
)

IMPORT_ROW = Projection(
    "ImportRow",
    table=import_rows,
    model=ImportRow,
    scope="imports:read",
    description="What came of one row of an import.",
    fields={
        **columns("row", "line", "verdict", "resource_id", "undo"),
        "errors": sql(lambda t: func.coalesce(t.c.errors, text("'[]'::jsonb"))),
        "undo_errors": sql(lambda t: func.coalesce(t.c.undo_errors, text("'[]'::jsonb"))),
    },
    # A row's number is unique within its import, and rows are only ever listed for one import.
    orders={"row": [asc("row")]},
    filters={
        "import_id": eq_ref("import_id", "Import", description="Rows of this import."),
        "verdict": eq("verdict", Verdict),
        "undo": eq("undo", UndoVerdict),
    },
    node=False,
    key="row",
)

IMPORT_MAPPING = Projection(
    "ImportMapping",
    table=import_mappings,
    model=ImportMapping,
    scope="imports:read",
    description="A saved mapping from a file's headers to our columns.",
    fields=columns(
        "id", "name", "kind", "columns", "defaults", "match_by", "mode", "version", "created_at", "updated_at"
    ),
    orders={"name": [asc("name")]},
    filters={"kind": eq("kind", ImportKind)},
)


@dataclass(frozen=True, slots=True)
class Progress:
    """What one chunk adds to its import.

    Attributes:
        since: byte offset at which the chunk began; another one means that somebody else went on.
        byte_offset: where the next chunk begins.
        line: its line.
        counts: verdict → rows.
        seconds: spent on it.

    """

    since: int
    byte_offset: int
    line: int
    counts: Mapping[Verdict, int]
    seconds: float


_UPSERT_BLOCK: Final = """
INSERT INTO upload_blocks (tenant_id, upload_id, part, position, data) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, upload_id, part, position) DO UPDATE SET data = excluded.data
"""
_DROP_UPLOAD: Final = """
DELETE FROM uploads u WHERE u.tenant_id = $1 AND u.id = $2 AND NOT EXISTS (
  SELECT FROM imports i
  WHERE i.tenant_id = $1 AND i.upload_id = u.id AND i.id <> $3 AND i.state IN ('queued', 'running')
)
"""


class UploadRepository(Repository):
    """Uploads and their blocks."""

    table = uploads

    async def store_block(self, upload_id: UUID, part: int, position: int, data: bytes) -> None:
        """Store a block; storing it again changes nothing."""
        await self.unit.connection.execute(_UPSERT_BLOCK, self.unit.tenant_id, upload_id, part, position, data)

    async def block(self, upload_id: UUID, part: int, position: int) -> bytes | None:
        """Return the block that begins at this byte, or None when it is gone."""
        t = upload_blocks
        data: bytes | None = await self.unit.fetch_value(
            select(t.c.data).where(self.mine(t), t.c.upload_id == upload_id, t.c.part == part, t.c.position == position)
        )
        return data

    async def converted(self, upload_id: UUID, size: int) -> None:
        """Note that a workbook's rows have been taken out."""
        await self.change(upload_id, {"rows_bytes": size})

    async def drop(self, upload_id: UUID, import_id: UUID) -> None:
        """Forget the file of an import that has ended, unless another one still reads it."""
        await self.unit.connection.execute(_DROP_UPLOAD, self.unit.tenant_id, upload_id, import_id)

    async def hold(self, upload_id: UUID) -> None:
        """Keep the upload from being dropped until the unit ends."""
        await self.get(upload_id, lock=True)


class MappingRepository(Repository):
    """Saved mappings."""

    table = import_mappings

    async def remove(self, mapping_id: UUID) -> None:
        """Delete a mapping."""
        await self.unit.execute(delete(import_mappings).where(self.by_id(mapping_id)))


class ImportRepository(RunRepository):
    """Imports."""

    table = imports

    async def block(self, import_id: UUID, position: int) -> bytes | None:
        """Return a block of a file that an earlier version stored, or None when it is gone."""
        data: bytes | None = await self.unit.fetch_value(
            select(import_files.c.data).where(
                self.mine(import_files), import_files.c.import_id == import_id, import_files.c.position == position
            )
        )
        return data

    async def drop_file(self, import_id: UUID) -> None:
        """Forget the file: it holds personal data and is of no more use. The keys of a dry run go with it."""
        for table in (import_files, import_keys):
            await self.unit.execute(delete(table).where(self.mine(table), table.c.import_id == import_id))
        row = await self.get(import_id)
        if row["dry_run"]:
            await self.unit.connection.execute(_DROP_CELLS, self.unit.tenant_id, import_id)
        elif row["upload_id"] is not None and row["state"] == "completed":
            await UploadRepository(self.unit).drop(row["upload_id"], import_id)

    async def resize(self, import_id: UUID, size: int) -> None:
        """Note how many bytes its rows have, once they have been taken out of a workbook."""
        await self.unit.execute(update(imports).where(self.by_id(import_id)).values(total_bytes=size))

    async def advance(self, import_id: UUID, runner_id: UUID, progress: Progress, lease: float) -> bool:
        """Move the cursor over a chunk; False when the import is no longer this runner's to move."""
        c = imports.c
        values: dict[str, Any] = {
            "byte_offset": progress.byte_offset,
            "line": progress.line,
            "processed": c.processed + sum(progress.counts.values()),
            "busy_seconds": c.busy_seconds + progress.seconds,
            **{name: c[name] + number for name, number in progress.counts.items()},
        }
        return await self.keep(import_id, runner_id, lease, values, c.byte_offset == progress.since)

    async def finish(
        self, row_id: UUID, values: Mapping[str, Any], runner_id: UUID | None = None, seconds: float = 0
    ) -> bool:
        """End an unfinished import (of this runner, when one is named); False when it has ended already."""
        busy = {"busy_seconds": imports.c.busy_seconds + seconds}
        changed = await super().finish(row_id, {**values, **busy}, runner_id)
        if changed:
            await self.drop_file(row_id)
        return changed

    async def add_rows(self, import_id: UUID, rows: Sequence[tuple[Any, ...]]) -> None:
        """Store verdicts: (row, line, verdict, resource id, errors, journal)."""
        names = ("import_id", "row", "line", "verdict", "resource_id", "errors", "journal")
        await insert_rows(self.unit, import_rows, names, [(import_id, *row) for row in rows])

    async def add_cells(self, import_id: UUID, rows: Sequence[tuple[int, list[str]]]) -> None:
        """Keep the cells of rows."""
        names = ("import_id", "row", "cells")
        await insert_rows(self.unit, import_cells, names, [(import_id, *row) for row in rows])

    # -- dry runs --------------------------------------------------------------------------------------------------

    async def add_keys(self, import_id: UUID, rows: Iterable[tuple[int, int]]) -> None:
        """Note what rows are recognised by: (key, row)."""
        found = sorted(set(rows))
        await insert_rows(self.unit, import_keys, ("import_id", "key", "row"), [(import_id, *row) for row in found])

    async def rows_with(self, import_id: UUID, keys: Iterable[int]) -> set[int]:
        """Return the earlier rows with one of these keys."""
        rows = await self.unit.connection.fetch(_ROWS_WITH, self.unit.tenant_id, import_id, list(keys))
        return {row["row"] for row in rows}

    async def keys_of(self, import_id: UUID, rows: Iterable[int]) -> set[int]:
        """Return all keys of these rows."""
        found = await self.unit.connection.fetch(_KEYS_OF, self.unit.tenant_id, import_id, list(rows))
        return {row["key"] for row in found}

    async def cells_of(self, import_id: UUID, rows: Iterable[int]) -> list[tuple[int, list[str]]]:
        """Return the cells of rows, in their order."""
        found = await self.unit.connection.fetch(_CELLS_OF, self.unit.tenant_id, import_id, list(rows))
        return [(row["row"], row["cells"]) for row in found]

    # -- the error file --------------------------------------------------------------------------------------------

    async def failures(self, import_id: UUID, after: int, limit: int) -> list[asyncpg.Record]:
        """Return failed rows after this one: row, line, errors, cells (None for what could not be taken apart)."""
        return await self.unit.connection.fetch(_FAILURES, self.unit.tenant_id, import_id, after, limit)


class UndoRepository(RunRepository):
    """Imports that are taken back, from their last row to their first."""

    table = imports
    prefix = "undo_"

    async def rows_to_undo(self, import_id: UUID, below: int, limit: int) -> list[asyncpg.Record]:
        """Return the last rows below this one that had an effect, last first."""
        return await self.unit.connection.fetch(_TO_UNDO, self.unit.tenant_id, import_id, below, limit)

    async def note_undone(self, import_id: UUID, rows: Sequence[tuple[int, str, str | None]]) -> None:
        """Store what became of rows: (row, verdict, errors as JSON text)."""
        arrays = [list(values) for values in zip(*rows, strict=True)]
        await self.unit.connection.execute(_NOTE_UNDONE, self.unit.tenant_id, import_id, *arrays)

    async def advance(
        self, import_id: UUID, runner_id: UUID, since: int, below: int, kept: int, undone: int, lease: float
    ) -> bool:
        """Move the cursor over a chunk; False when the undo is no longer this runner's to move."""
        c = imports.c
        values = {
            "undo_cursor": below,
            "undo_processed": c.undo_processed + kept + undone,
            "undo_kept": c.undo_kept + kept,
            "undo_undone": c.undo_undone + undone,
        }
        return await self.keep(import_id, runner_id, lease, values, c.undo_cursor == since)


_DROP_CELLS: Final = """
DELETE FROM import_cells c WHERE c.tenant_id = $1 AND c.import_id = $2 AND NOT EXISTS (
  SELECT FROM import_rows r
  WHERE r.tenant_id = $1 AND r.import_id = $2 AND r.row = c.row AND r.verdict = 'failed'
)
"""
_ROWS_WITH: Final = """
SELECT DISTINCT row FROM import_keys WHERE tenant_id = $1 AND import_id = $2 AND key = ANY ($3::bigint[])
"""
_KEYS_OF: Final = """
SELECT DISTINCT key FROM import_keys WHERE tenant_id = $1 AND import_id = $2 AND row = ANY ($3::int[])
"""
_CELLS_OF: Final = """
SELECT row, cells FROM import_cells WHERE tenant_id = $1 AND import_id = $2 AND row = ANY ($3::int[]) ORDER BY row
"""
_FAILURES: Final = """
SELECT r.row, r.line, r.errors, c.cells
FROM import_rows r
LEFT JOIN import_cells c ON c.tenant_id = r.tenant_id AND c.import_id = r.import_id AND c.row = r.row
WHERE r.tenant_id = $1 AND r.import_id = $2 AND r.verdict = 'failed' AND r.row > $3
ORDER BY r.row LIMIT $4
"""
_TO_UNDO: Final = """
SELECT row, verdict, resource_id, journal FROM import_rows
WHERE tenant_id = $1 AND import_id = $2 AND row < $3
  AND (verdict IN ('created', 'updated') OR journal IS NOT NULL) AND resource_id IS NOT NULL
ORDER BY row DESC LIMIT $4
"""
_NOTE_UNDONE: Final = """
UPDATE import_rows r SET undo = g.undo, undo_errors = g.errors::jsonb
FROM unnest($3::int[], $4::text[], $5::text[]) AS g (row, undo, errors)
WHERE r.tenant_id = $1 AND r.import_id = $2 AND r.row = g.row AND r.row = ANY ($3::int[])
"""

_STRANDED = """
SELECT tenant_id, id, undo_state IN ('queued', 'running') AS is_undo FROM imports
WHERE (state IN ('queued', 'running') OR undo_state IN ('queued', 'running'))
  AND greatest(updated_at, lease_until) < now()
    - CASE WHEN 'running' IN (state, undo_state) THEN interval '2 minutes' ELSE interval '1 hour' END
"""


async def stranded(connection: Any) -> list[tuple[UUID, UUID, bool]]:
    """Return (tenant, import, whether it is being taken back) of all imports nobody has worked on for too long."""
    return [(row[0], row[1], bool(row[2])) for row in await connection.fetch(_STRANDED)]


async def drop_expired(connection: Any) -> int:
    """Delete uploads of all tenants whose time is over and that no import is reading; returns how many."""
    tag = await connection.execute(
        "DELETE FROM uploads u WHERE u.expires_at < now() AND NOT EXISTS (SELECT FROM imports i WHERE "
        "i.tenant_id = u.tenant_id AND i.upload_id = u.id AND i.state IN ('queued', 'running'))"
    )
    return int(tag.rpartition(" ")[2])
