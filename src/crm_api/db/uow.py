"""The unit of work: one transaction, one tenant, one actor."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Protocol
from uuid import UUID

import asyncpg
from sqlalchemy import Executable

from crm_api.core.actor import Actor
from crm_api.core.clock import Clock
from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from crm_api.db import jobs
from crm_api.db.compile import compile_many, compile_statement
from crm_api.db.rows import rows_sql, rows_values
from crm_api.settings import Settings

Params = Mapping[str, Any]


class RunnablePlan(Protocol):
    """A read plan: SQL text whose single column is the JSON to send, and how to find its values."""

    sql: str

    @property
    def checks(self) -> Sequence[Callable[["UnitOfWork", Mapping[str, Any]], Awaitable[None]]]:
        """What is looked at before it runs; raises Invalid."""
        ...

    def bind(self, tenant_id: UUID, variables: Mapping[str, Any]) -> Sequence[Any]:
        """Return the positional values."""
        ...


class UnitOfWork:
    """Runs statements in one transaction and collects what must leave it.

    Services never commit: the edge that opened the unit does. Messages and audit rows are buffered and written by one
    statement just before the commit.
    """

    def __init__(self, connection: Any, actor: Actor, clock: Clock, settings: Settings) -> None:
        """Wrap a connection on which the transaction has begun."""
        self.connection: asyncpg.Connection[asyncpg.Record] = connection
        self.actor = actor
        self.tenant_id = actor.tenant_id
        self.clock = clock
        self.settings = settings
        self._messages: list[Message] = []
        self._audit: list[tuple[Any, ...]] = []
        self._savepoints = 0
        self.plans_for_arrays = False
        """Whether statements are planned anew each time: see `crm_api.db.bulk.plan_for_arrays`."""

    # -- running statements ----------------------------------------------------------------------------------------

    async def fetch_all(self, statement: Executable, params: Params | None = None) -> list[asyncpg.Record]:
        """Run and return all rows."""
        sql, values = compile_statement(statement, params)
        return await self.connection.fetch(sql, *values)

    async def fetch_one(self, statement: Executable, params: Params | None = None) -> asyncpg.Record | None:
        """Run and return the first row, or None."""
        sql, values = compile_statement(statement, params)
        return await self.connection.fetchrow(sql, *values)

    async def fetch_value(self, statement: Executable, params: Params | None = None) -> Any:
        """Run and return the first column of the first row, or None."""
        sql, values = compile_statement(statement, params)
        return await self.connection.fetchval(sql, *values)

    async def execute(self, statement: Executable, params: Params | None = None) -> int:
        """Run and return the number of rows changed."""
        sql, values = compile_statement(statement, params)
        status = await self.connection.execute(sql, *values)
        last = status.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    async def execute_many(self, statement: Executable, rows: Sequence[Params]) -> None:
        """Run once per row in one round trip; all rows have the same keys."""
        if rows:
            sql, values = compile_many(statement, rows)
            await self.connection.executemany(sql, values)

    async def fetch_plan(self, plan: RunnablePlan, variables: Params) -> asyncpg.Record | None:
        """Run a read plan and return its row: the first column is the JSON as bytes."""
        for check in plan.checks:
            await check(self, variables)
        return await self.send(plan.sql, plan.bind(self.tenant_id, variables))

    async def send(self, sql: str, values: Sequence[Any]) -> asyncpg.Record | None:
        """Run what is as a rule the unit's last statement and return its first row: what is buffered travels with it.

        Args:
            sql: a SELECT, after a WITH or not; values are $1, $2, …
            values: its values.

        """
        # Not inside a savepoint: undoing it would lose what was buffered before it.
        if self._savepoints or not (self._messages or self._audit) or not sql.startswith(("SELECT ", "WITH ")):
            return await self.connection.fetchrow(sql, *values)
        sql, buffered = self._with_buffered(sql, len(values))
        row = await self.connection.fetchrow(sql, *values, *buffered)
        self._forget()
        return row

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Return a context in which a failure undoes only what it did, messages and audit rows included."""
        messages, audited = len(self._messages), len(self._audit)
        # asyncpg's own transaction() refuses: it did not begin ours. A name may be used again inside itself.
        await self.connection.execute("SAVEPOINT unit")
        self._savepoints += 1
        try:
            yield
        except BaseException:
            self._savepoints -= 1
            await self.connection.execute("ROLLBACK TO SAVEPOINT unit; RELEASE SAVEPOINT unit")
            del self._messages[messages:], self._audit[audited:]
            raise
        self._savepoints -= 1
        await self.connection.execute("RELEASE SAVEPOINT unit")

    # -- what leaves the transaction -------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the unit's time."""
        return self.clock.now()

    def emit(self, message_type: str, subject_id: UUID, payload: Mapping[str, Any]) -> UUID:
        """Put a message into the outbox with this transaction; returns its id."""
        message = Message(new_id(), self.tenant_id, message_type, subject_id, payload, self.now())
        self._messages.append(message)
        return message.id

    def audit(
        self,
        operation: str,
        subject_type: str,
        subject_id: UUID,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Note a write: what it was before and after, as plain JSON values."""
        self._audit.append((new_id(), operation, subject_type, subject_id, before, after))

    async def enqueue(self, job: str, payload: Mapping[str, Any], *, delay_seconds: float = 0) -> None:
        """Queue a background job with this transaction; the handler must be idempotent."""
        await jobs.enqueue(self.connection, job, self.tenant_id, payload, delay_seconds)

    async def flush(self) -> None:
        """Write buffered messages and audit rows: one round trip for both."""
        if not self._messages and not self._audit:
            return
        sql, buffered = self._with_buffered("SELECT", 0)
        await self.connection.execute(sql, *buffered)
        self._forget()

    def _with_buffered(self, sql: str, values: int) -> tuple[str, list[Any]]:
        """Return a statement of so many values that also writes what is buffered, and the values of that."""
        given: list[Any] = [self.tenant_id]
        if self._audit:
            actor = self.actor
            given += [self.now(), actor.kind, actor.id, actor.request_id, *rows_values(self._audit)]
        if self._messages:
            given += rows_values([(m.id, m.type, m.subject_id, m.payload, m.occurred_at) for m in self._messages])
        return _with_rows(sql, values, min(len(self._audit), _MANY), min(len(self._messages), _MANY)), given

    def _forget(self) -> None:
        self._messages.clear()
        self._audit.clear()


_AUDITED: Final = {
    "id": "uuid",
    "operation": "text",
    "subject_type": "text",
    "subject_id": "uuid",
    "before": "jsonb",
    "after": "jsonb",
}
_TOLD: Final = {"id": "uuid", "type": "text", "subject_id": "uuid", "payload": "jsonb", "occurred_at": "timestamptz"}
_MANY: Final = 2
"""Statements are the same for any number of rows from here on."""


@lru_cache(2000)
def _with_rows(sql: str, values: int, audited: int, told: int) -> str:
    """Return a statement that also writes audit rows and messages, in one round trip; it sees the state before that.

    Args:
        sql: a SELECT, after a WITH or not.
        values: how many parameters it has; the tenant, audit rows and messages come after them.
        audited: how many audit rows, up to ``_MANY``.
        told: how many messages, likewise.

    """
    tenant, number, writes = f"${values + 1}::uuid", values + 2, []
    if audited:
        about = f"${number}::timestamptz, ${number + 1}::text, ${number + 2}::uuid, ${number + 3}::text"
        rows = rows_sql(_AUDITED, number + 4, one=audited == 1)
        into = f"audit_log (tenant_id, at, actor_kind, actor_id, request_id, {', '.join(_AUDITED)})"
        writes.append(f"audited AS (INSERT INTO {into} SELECT {tenant}, {about}, given.* FROM {rows})")  # noqa: S608 - no value
        number += 4 + len(_AUDITED)
    if told:
        rows = rows_sql(_TOLD, number, one=told == 1)
        into = f"outbox (tenant_id, {', '.join(_TOLD)})"
        writes.append(f"told AS (INSERT INTO {into} SELECT {tenant}, given.* FROM {rows})")  # noqa: S608 - likewise
    rest = f", {sql.removeprefix('WITH ')}" if sql.startswith("WITH ") else f" {sql}"
    return f"WITH {', '.join(writes)}{rest}"
