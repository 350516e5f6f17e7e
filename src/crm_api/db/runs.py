"""Long work that one worker at a time does, chunk by chunk: a row with a state, a runner and a lease.

A worker claims the row and keeps it with every chunk it commits. One that dies has it until its lease is over; one that
wakes up later finds that the row is no longer its own, and can change nothing any more.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Update, and_, func, or_, update

from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.db.repository import Repository

UNFINISHED: Final = ("queued", "running")
"""States of work that is still to be done."""


class RunRepository(Repository):
    """Rows that are work, by ``state``, ``started_at``, ``finished_at``, ``runner_id`` and ``lease_until``."""

    prefix: ClassVar[str] = ""
    """Before the names of state and times, where those without it are of other work."""

    async def claim(self, row_id: UUID, runner_id: UUID, lease: float) -> asyncpg.Record | None:
        """Take unfinished work that nobody is at; None when there is none (now)."""
        lease_until, started = self.table.c.lease_until, self._column("started_at")
        free = or_(lease_until.is_(None), lease_until < func.clock_timestamp())
        values = {
            self._column("state"): "running",
            started: func.coalesce(started, self.unit.now()),
            self.table.c.runner_id: runner_id,
        }
        statement = self._change(self.by_id(row_id), self._unfinished, free).values(values)
        return await self.unit.fetch_one(_kept(statement, lease).returning(self.table))

    async def keep(
        self, row_id: UUID, runner_id: UUID, lease: float, values: Mapping[str, Any], *expected: ColumnElement[bool]
    ) -> bool:
        """Note how far the work is; False when it is no longer this runner's, or not as ``expected``."""
        statement = self._change(self._held(row_id, runner_id), *expected).values(**values)
        return bool(await self.unit.execute(_kept(statement, lease)))

    async def finish(self, row_id: UUID, values: Mapping[str, Any], runner_id: UUID | None = None) -> bool:
        """End unfinished work (of this runner, when one is named); False when it has ended already.

        Args:
            row_id: the work.
            values: the state it ends in, under its own name, and what else is to be noted.
            runner_id: who ends it.

        """
        held = self.by_id(row_id) if runner_id is None else self._held(row_id, runner_id)
        ended = {self._column("finished_at"): self.unit.now(), self.table.c.lease_until: None}
        return bool(await self.unit.execute(self._change(held, self._unfinished).values(**values).values(ended)))

    @property
    def _unfinished(self) -> ColumnElement[bool]:
        return self._column("state").in_(UNFINISHED)

    def _held(self, row_id: UUID, runner_id: UUID) -> ColumnElement[bool]:
        return and_(self.by_id(row_id), self.table.c.runner_id == runner_id, self._column("state") == "running")

    def _column(self, name: str) -> ColumnElement[Any]:
        return self.table.c[self.prefix + name]

    def _change(self, *where: ColumnElement[bool]) -> Update:
        return update(self.table).where(*where).values(updated_at=func.now(), version=self.table.c.version + 1)


def _kept(statement: Update, lease: float) -> Update:
    return statement.values(lease_until=func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease))


async def taken(
    database: Database, actor: Actor, work: type[RunRepository], row_id: UUID, runner_id: UUID, lease: float
) -> asyncpg.Record | None:
    """Claim work, waiting while another worker is at it; None when it has ended (or is gone)."""
    while True:
        async with database.write(actor) as unit:
            repository = work(unit)
            row = await repository.claim(row_id, runner_id, lease)
            if row is not None:
                return row
            known = await repository.find(row_id)
        if known is None or known[f"{work.prefix}state"] not in UNFINISHED:
            return None
        await asyncio.sleep(min(0.5, lease / 5))
