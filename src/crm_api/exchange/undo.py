"""Taking an import back: its rows, last first, chunk by chunk, each chunk one transaction.

The same promises as the import's own run (see ``runner.py``): effects, verdicts and the cursor's step commit together,
only by whoever holds the lease, only from where the chunk began; a killed worker leaves whole chunks behind.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
import structlog

from crm_api.core.actor import Actor
from crm_api.core.errors import Unavailable
from crm_api.core.ids import new_id
from crm_api.core.undo import Entry, Undone
from crm_api.db.failures import translate
from crm_api.db.pool import Database
from crm_api.db.runs import taken
from crm_api.db.uow import UnitOfWork
from crm_api.exchange.kinds import KINDS, Kind
from crm_api.exchange.repository import UndoRepository, ties
from crm_api.exchange.runner import LEASE_SECONDS, LONGEST_LEASE, SupersededError, shown_error
from crm_api.exchange.service import tell_progress, tell_undone

log = structlog.get_logger(__name__)

CHUNK: Final = 1_000


class UndoRun:
    """One worker's run of one undo."""

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
        # The import's own request id: what it wrote and what its undo writes are one hand to the audit log.
        self._actor = Actor.system(tenant_id, f"import:{import_id}")
        self._import_id = import_id
        self._id = new_id()
        self._chunk = chunk
        self._lease = lease

    async def run(self) -> None:
        """Return when the undo has ended, whoever brought it to its end.

        Raises:
            Unavailable: the database is away; the job is tried again and goes on where it stopped.

        """
        while (row := await self._claim()) is not None:
            try:
                await self._work(dict(row))
            except SupersededError:
                self._lease = min(2 * self._lease, LONGEST_LEASE)
            except Exception as error:
                if isinstance(translate(error), Unavailable):
                    raise
                log.exception("import_undo_failed", import_id=str(self._import_id))
                await self._end("failed")

    async def _claim(self) -> asyncpg.Record | None:
        """Take the undo, waiting while another worker has it; None when it has ended."""
        return await taken(self._database, self._actor, UndoRepository, self._import_id, self._id, self._lease)

    async def _work(self, row: Mapping[str, Any]) -> None:
        kind, locale = KINDS[row["kind"]], row["locale"]
        below: int | None = row["undo_cursor"]
        while below is not None:
            since = below

            async def step(unit: UnitOfWork, since: int = since) -> int | None:
                return await self._step(unit, kind, locale, since)

            below = await self._database.run(self._actor, step)
        await self._end("completed")

    async def _step(self, unit: UnitOfWork, kind: Kind, locale: Any, below: int) -> int | None:
        """Take the last rows below this one back; returns the lowest of them, None when there was none."""
        repository = UndoRepository(unit)
        rows = await repository.rows_to_undo(self._import_id, below, self._chunk)
        if not rows:
            return None
        verdicts = await kind.undo(unit, await self._entries(unit, kind, rows))
        noted = [(row["row"], *_noted(kind, each, locale)) for row, each in zip(rows, verdicts, strict=True)]
        await repository.note_undone(self._import_id, noted)
        lowest: int = rows[-1]["row"]
        kept = sum(not each.done for each in verdicts)
        undone = len(rows) - kept
        if not await repository.advance(self._import_id, self._id, below, lowest, kept, undone, self._lease):
            raise SupersededError
        tell_progress(unit, self._import_id)
        return lowest

    async def _entries(self, unit: UnitOfWork, kind: Kind, rows: Sequence[asyncpg.Record]) -> list[Entry]:
        created = [row["resource_id"] for row in rows if row["verdict"] == "created"]
        stays = await ties.obstacles(unit, kind.subject, kind.table, created, kind.ignored_ties)
        return [
            Entry(
                row["resource_id"],
                row["verdict"] == "created",
                row["journal"] or {},
                stays.get(row["resource_id"]) if row["verdict"] == "created" else None,
            )
            for row in rows
        ]

    async def _end(self, state: str) -> None:
        async def work(unit: UnitOfWork) -> None:
            repository = UndoRepository(unit)
            if await repository.finish(self._import_id, {"undo_state": state}, self._id):
                tell_undone(unit, dict(await repository.get(self._import_id)))

        await self._database.run(self._actor, work)


def _noted(kind: Kind, undone: Undone, locale: Any) -> tuple[str, str | None]:
    if undone.done:
        return "undone", None
    return "kept", orjson.dumps([shown_error(kind, each, locale) for each in undone.reasons]).decode()
