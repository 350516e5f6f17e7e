"""Dry runs: what would come of each row, with nothing written.

A chunk is written as in a real run and taken back before its transaction commits, so no lock outlives it. What rows of
earlier chunks did is gone by then, though a later row may mean the same customer. So a dry run notes what each row may
be recognised by; before it writes a chunk it writes again, in the same savepoint, the earlier rows that have a key in
common with it, directly or through others. Rows without a common key never change each other's verdict, so the verdicts
are those of a real run on the same data.

What differs: others may write between the two; a real run may lose a race that a dry run has not; and of more than
``MOST_EARLIER`` connected rows only the latest are written again (a file in which that many rows share one phone).
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from crm_api.db.uow import UnitOfWork
from crm_api.exchange.cells import RowParser
from crm_api.exchange.kinds import Kind, Options, Written
from crm_api.exchange.repository import ImportRepository

MOST_EARLIER: Final = 20_000


class _TakeBackError(Exception):
    """Leaves the savepoint, which undoes all that was written in it."""


class Rehearsal:
    """One chunk of a dry run."""

    def __init__(
        self, unit: UnitOfWork, import_id: UUID, kind: Kind, options: Options, parser: RowParser[Any], batch: int
    ) -> None:
        """Work inside the chunk's unit."""
        self.unit = unit
        self.repository = ImportRepository(unit)
        self.import_id = import_id
        self.kind = kind
        self.options = options
        self.parser = parser
        self.batch = batch

    async def judge(self, numbers: Sequence[int], values: Sequence[Any]) -> list[Written]:
        """Return each row's verdict; the unit keeps only what rows may be recognised by."""
        written: list[Written] = []
        keys: list[list[int]] = []
        made: set[UUID] = set()
        try:
            async with self.unit.savepoint():
                keys = await self._keys(values)
                made = await self._write_earlier({key for each in keys for key in each})
                written = await self.kind.write(self.unit, values, self.options)
                made |= _made(written)
                raise _TakeBackError  # noqa: TRY301 - the way out of a savepoint
        except _TakeBackError:
            pass
        await self.repository.add_keys(
            self.import_id, ((key, number) for number, each in zip(numbers, keys, strict=True) for key in each)
        )
        # What was made is gone again: its id would name nothing.
        return [
            Written(each.verdict, None if each.resource_id in made else each.resource_id, each.errors)
            for each in written
        ]

    async def _keys(self, values: Sequence[Any]) -> list[list[int]]:
        return [[_hash(key) for key in each] for each in await self.kind.keys(self.unit, values)]

    async def _write_earlier(self, keys: set[int]) -> set[UUID]:
        """Write earlier rows of the file again that are connected with these keys; returns what they made."""
        rows = await self._connected(keys)
        cells = await self.repository.cells_of(self.import_id, rows)
        values = [value for value in (self.parser.parse(each) for _, each in cells) if not isinstance(value, list)]
        made: set[UUID] = set()
        for start in range(0, len(values), self.batch):
            made |= _made(await self.kind.write(self.unit, values[start : start + self.batch], self.options))
        return made

    async def _connected(self, keys: set[int]) -> list[int]:
        rows: set[int] = set()
        seen: set[int] = set()
        while keys and len(rows) < MOST_EARLIER:
            seen |= keys
            found = await self.repository.rows_with(self.import_id, keys) - rows
            rows |= found
            keys = await self.repository.keys_of(self.import_id, found) - seen if found else set()
        return sorted(rows)[-MOST_EARLIER:]


def _made(written: Iterable[Written]) -> set[UUID]:
    return {each.resource_id for each in written if each.verdict == "created" and each.resource_id is not None}


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)
