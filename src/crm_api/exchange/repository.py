"""Access to imports, their files and their verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Float, FromClause, case, cast, delete, func, select, text, update

from crm_api.db.bulk import insert_rows
from crm_api.db.projections import Projection, asc, column, columns, eq, eq_ref, many, sql, struct
from crm_api.db.repository import Repository
from crm_api.exchange.models import Import, ImportKind, ImportRow, ImportState, Verdict
from crm_api.exchange.tables import import_files, import_rows, imports

BLOCK = 1024 * 1024
"""Bytes of a stored block."""

UNFINISHED = ("queued", "running")


def _rate(t: FromClause) -> ColumnElement[Any]:
    rate = func.round(t.c.processed / func.nullif(t.c.busy_seconds, 0))
    return case((t.c.processed > 0, cast(rate, Float)))


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
            "filename",
            "total_bytes",
            "processed",
            "created",
            "updated",
            "unchanged",
            "failed",
            "encoding",
            "delimiter",
            "columns",
            "started_at",
            "finished_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "processed_bytes": column("byte_offset"),
        "rows_per_second": sql(_rate),
        "error": struct({"code": column("error_code"), "message": column("error")}),
    },
    relations={
        "rows": many("ImportRow", on=lambda p, c: c.c.import_id == p.c.id, description="What came of each row."),
    },
    filters={"state": eq("state", ImportState), "kind": eq("kind", ImportKind)},
)

IMPORT_ROW = Projection(
    "ImportRow",
    table=import_rows,
    model=ImportRow,
    scope="imports:read",
    description="What came of one row of an import.",
    fields={
        **columns("row", "line", "verdict", "resource_id"),
        "errors": sql(lambda t: func.coalesce(t.c.errors, text("'[]'::jsonb"))),
    },
    # A row's number is unique within its import, and rows are only ever listed for one import.
    orders={"row": [asc("row")]},
    filters={
        "import_id": eq_ref("import_id", "Import", description="Rows of this import."),
        "verdict": eq("verdict", Verdict),
    },
    node=False,
    key="row",
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


def _in(seconds: float) -> ColumnElement[Any]:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


class ImportRepository(Repository):
    """Imports."""

    table = imports

    async def store_block(self, import_id: UUID, position: int, data: bytes) -> None:
        """Store a block of the file."""
        await self.insert({"import_id": import_id, "position": position, "data": data}, import_files)

    async def block(self, import_id: UUID, position: int) -> bytes | None:
        """Return the block that begins at this byte, or None when it is gone."""
        data: bytes | None = await self.unit.fetch_value(
            select(import_files.c.data).where(
                self.mine(import_files), import_files.c.import_id == import_id, import_files.c.position == position
            )
        )
        return data

    async def drop_file(self, import_id: UUID) -> None:
        """Forget the file: it holds personal data and is of no more use."""
        await self.unit.execute(
            delete(import_files).where(self.mine(import_files), import_files.c.import_id == import_id)
        )

    async def claim(self, import_id: UUID, runner_id: UUID, lease: float) -> asyncpg.Record | None:
        """Take an unfinished import that nobody is working on; None when there is no such thing (now)."""
        t = imports
        free = (t.c.lease_until.is_(None)) | (t.c.lease_until < func.clock_timestamp())
        return await self.unit.fetch_one(
            update(t)
            .where(self.by_id(import_id), t.c.state.in_(UNFINISHED), free)
            .values(
                state="running",
                runner_id=runner_id,
                lease_until=_in(lease),
                started_at=func.coalesce(t.c.started_at, self.unit.now()),
                updated_at=func.now(),
                version=t.c.version + 1,
            )
            .returning(t)
        )

    async def advance(self, import_id: UUID, runner_id: UUID, progress: Progress, lease: float) -> bool:
        """Move the cursor over a chunk; False when the import is no longer this runner's to move."""
        t = imports
        counts = {name: t.c[name] + number for name, number in progress.counts.items()}
        return bool(
            await self.unit.execute(
                update(t)
                .where(self._held(import_id, runner_id), t.c.byte_offset == progress.since)
                .values(
                    byte_offset=progress.byte_offset,
                    line=progress.line,
                    processed=t.c.processed + sum(progress.counts.values()),
                    busy_seconds=t.c.busy_seconds + progress.seconds,
                    lease_until=_in(lease),
                    updated_at=func.now(),
                    version=t.c.version + 1,
                    **counts,
                )
            )
        )

    async def finish(
        self, import_id: UUID, values: Mapping[str, Any], runner_id: UUID | None = None, seconds: float = 0
    ) -> bool:
        """End an unfinished import (of this runner, when one is named); False when it has ended already."""
        held = self._held(import_id, runner_id) if runner_id else self.by_id(import_id)
        changed = await self.unit.execute(
            update(imports)
            .where(held, imports.c.state.in_(UNFINISHED))
            .values(
                **values,
                busy_seconds=imports.c.busy_seconds + seconds,
                finished_at=self.unit.now(),
                lease_until=None,
                updated_at=func.now(),
                version=imports.c.version + 1,
            )
        )
        if changed:
            await self.drop_file(import_id)
        return bool(changed)

    async def release(self, import_id: UUID, runner_id: UUID) -> None:
        """Let somebody else go on at once."""
        await self.unit.execute(
            update(imports).where(self._held(import_id, runner_id)).values(lease_until=None, updated_at=func.now())
        )

    async def add_rows(self, import_id: UUID, rows: Sequence[tuple[Any, ...]]) -> None:
        """Store verdicts: (row, line, verdict, resource id, errors)."""
        names = ("import_id", "row", "line", "verdict", "resource_id", "errors")
        await insert_rows(self.unit, import_rows, names, [(import_id, *row) for row in rows])

    def _held(self, import_id: UUID, runner_id: UUID) -> ColumnElement[bool]:
        t = imports
        return self.by_id(import_id) & (t.c.runner_id == runner_id) & (t.c.state == "running")


_STRANDED = """
SELECT tenant_id, id FROM imports
WHERE state IN ('queued', 'running')
  AND greatest(updated_at, lease_until) < now() - CASE state WHEN 'running' THEN interval '2 minutes' ELSE '1 hour' END
"""


async def stranded(connection: Any) -> list[tuple[UUID, UUID]]:
    """Return (tenant, import) of all tenants' imports that nobody has worked on for too long."""
    return [(row[0], row[1]) for row in await connection.fetch(_STRANDED)]
