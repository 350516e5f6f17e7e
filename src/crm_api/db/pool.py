"""Connections, and the units of work that run on them.

Three pools of asyncpg connections: writes, reads (read-only sessions, possibly another server) and system (the few
cross-tenant reads: authentication, relay, tenant listing). How the tenant reaches the database is ADR 0003:

* a write unit sends ``BEGIN; SET LOCAL app.tenant = '…'`` as one message;
* a read unit pins ``app.tenant`` to the pooled session and changes it only when the tenant changes, so that the
  common read costs a single round trip. Behind a transaction pooler (or on Citus) set
  ``CRM_TENANT_PINNING=transaction``.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import asyncpg
import orjson

from crm_api.core.actor import Actor
from crm_api.core.clock import Clock, SystemClock
from crm_api.core.errors import CrmError
from crm_api.db.failures import RETRYABLE
from crm_api.db.retry import backoff
from crm_api.db.uow import UnitOfWork
from crm_api.settings import Settings

T = TypeVar("T")
ATTEMPTS = 5


class CrmConnection(asyncpg.Connection):
    """A connection that remembers which tenant its session is set to."""

    pinned: UUID | None = None

    async def pin(self, tenant_id: UUID) -> None:
        """Set the session's tenant unless it is set already."""
        if self.pinned != tenant_id:
            self.pinned = None
            # The text of a UUID object cannot carry SQL.
            await self.execute(f"SET app.tenant = '{tenant_id}'")
            self.pinned = tenant_id


def plain(value: Any) -> str:
    """Return JSON text for what orjson does not know: asyncpg's own UUID class."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)


async def _prepare(connection: Any) -> None:
    """Teach a new connection JSON: ``json`` is bytes for the wire, ``jsonb`` is Python values."""
    await connection.set_type_codec("json", schema="pg_catalog", format="binary", encoder=bytes, decoder=bytes)
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value, default=plain),
        decoder=lambda data: orjson.loads(data[1:]),
    )


async def _keep(_connection: Any) -> None:
    """Skip the pool's reset round trip: units restore what they change (measured 2.6x on a get)."""


class Database:
    """The pools of one process."""

    def __init__(self, settings: Settings, clock: Clock | None = None, *, worker: bool = False) -> None:
        """Remember the settings; nothing connects before ``open``."""
        self.settings = settings
        self.clock = clock or SystemClock()
        self._worker = worker
        self._pools: dict[str, Any] = {}
        self._gates = {
            "read": asyncio.Semaphore(settings.pool_size_read),
            "write": asyncio.Semaphore(settings.pool_size_write),
        }

    @classmethod
    async def open(cls, settings: Settings, clock: Clock | None = None, *, worker: bool = False) -> Self:
        """Make the pools. They connect on first use, so a process can start while the database is away."""
        self = cls(settings, clock, worker=worker)
        url = settings.database_url
        self._pools["write"] = await self._pool(url, settings.pool_size_write, "crm_app", {})
        self._pools["read"] = await self._pool(
            settings.read_database_url or url,
            settings.pool_size_read,
            "crm_app",
            {"default_transaction_read_only": "on"},
        )
        # Every relay of a worker holds one while it hands over a batch.
        self._pools["system"] = await self._pool(url, 32 if worker else 2, "crm_system", {})
        return self

    async def _pool(self, url: str | None, size: int, role: str, extra: dict[str, str]) -> Any:
        options = {
            "role": role,
            "timezone": "UTC",
            "jit": "off",
            "statement_timeout": str(self._statement_timeout),
            "lock_timeout": str(self.settings.lock_timeout_ms),
            "idle_in_transaction_session_timeout": str(self._idle_timeout),
            **extra,
        }
        pooled = self.settings.pgbouncer
        return await asyncpg.create_pool(
            url,
            min_size=0,
            max_size=size,
            max_inactive_connection_lifetime=300,
            timeout=self.settings.connect_timeout,
            # The server ends what takes too long; this ends the wait for a server that died without a word.
            command_timeout=self._statement_timeout / 1000 + 10 if self._worker else None,
            statement_cache_size=0 if pooled else 1000,
            max_cached_statement_lifetime=0,
            server_settings={} if pooled else options,
            connection_class=CrmConnection,
            init=_prepare,
            reset=_keep,
        )

    @property
    def _statement_timeout(self) -> int:
        return self.settings.worker_statement_timeout_ms if self._worker else self.settings.statement_timeout_ms

    @property
    def _idle_timeout(self) -> int:
        # A relay's own transaction waits while the handlers work.
        settings = self.settings
        return 2 * settings.worker_statement_timeout_ms if self._worker else settings.idle_in_transaction_timeout_ms

    async def close(self) -> None:
        """Close all connections, waiting a little for those in use."""
        for pool in self._pools.values():
            try:
                await asyncio.wait_for(pool.close(), 5)
            except TimeoutError:
                pool.terminate()

    def usage(self) -> list[tuple[str, str, int]]:
        """Return (pool, state, connections) for what is idle, busy and allowed."""
        found = []
        for name, pool in self._pools.items():
            idle, made = pool.get_idle_size(), pool.get_size()
            found += [(name, "idle", idle), (name, "busy", made - idle), (name, "limit", pool.get_max_size())]
        return found

    # -- units -----------------------------------------------------------------------------------------------------

    def read(self, actor: Actor, *, snapshot: bool = False) -> "ReadUnit":
        """Return a read-only unit; ``snapshot`` makes all its statements see the same instant."""
        return ReadUnit(self, actor, snapshot=snapshot or self.settings.tenant_pinning == "transaction")

    def write(self, actor: Actor) -> "WriteUnit":
        """Return a unit that commits when its block ends well and rolls back otherwise."""
        return WriteUnit(self, actor)

    @contextlib.asynccontextmanager
    async def system(self) -> AsyncIterator[Any]:
        """Return a connection under the system role, outside any tenant, in a transaction."""
        async with self._pools["system"].acquire(timeout=self.settings.pool_timeout) as connection:
            await connection.execute(f"BEGIN{self._session_settings('crm_system')}")
            try:
                yield connection
                await connection.execute("COMMIT")
            except BaseException:
                await _rollback(connection)
                raise

    async def run(self, actor: Actor, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run ``work`` in a write unit; again (at most five times, with jitter) when it lost a race."""
        for attempt in range(ATTEMPTS):
            try:
                async with self.write(actor) as unit:
                    return await work(unit)
            except RETRYABLE:
                if attempt == ATTEMPTS - 1:
                    raise
                await backoff(attempt)
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def _session_settings(self, role: str) -> str:
        # Behind a transaction pooler nothing can be set on the session, so it travels with BEGIN.
        if not self.settings.pgbouncer:
            return ""
        settings = self.settings
        return (
            f"; SET LOCAL ROLE {role}; SET LOCAL timezone = 'UTC'; SET LOCAL jit = off"
            f"; SET LOCAL statement_timeout = {self._statement_timeout}"
            f"; SET LOCAL lock_timeout = {settings.lock_timeout_ms}"
        )

    def begin(self, tenant_id: UUID, *, read_only: bool = False) -> str:
        """Return the one message that begins a transaction for a tenant."""
        mode = " ISOLATION LEVEL REPEATABLE READ READ ONLY" if read_only else ""
        return f"BEGIN{mode}{self._session_settings('crm_app')}; SET LOCAL app.tenant = '{tenant_id}'"

    async def acquire(self, pool: str) -> Any:
        """Take a connection from ``read`` or ``write``.

        First come, first served: asyncpg's own queue lets a new request overtake one that was just woken, and who is
        overtaken goes to the end again (measured: p99 eight times p50).
        """
        gate = self._gates[pool]
        if gate.locked():
            async with asyncio.timeout(self.settings.pool_timeout):
                await gate.acquire()
        else:
            await gate.acquire()
        try:
            return await self._pools[pool].acquire()  # connecting has a time-out of its own
        except BaseException:
            gate.release()
            raise

    async def release(self, pool: str, connection: Any) -> None:
        """Give it back."""
        try:
            await self._pools[pool].release(connection)
        finally:
            self._gates[pool].release()


async def _rollback(connection: Any) -> None:
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")


class _Unit:
    """What read and write units share."""

    pool: str

    def __init__(self, database: Database, actor: Actor) -> None:
        self._database = database
        self._actor = actor
        self._connection: Any = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        try:
            keeps = isinstance(error, CrmError) and error.keeps_work
            await self._finish(connection, failed=kind is not None and not keeps)
        finally:
            await self._database.release(self.pool, connection)

    async def _finish(self, connection: Any, *, failed: bool) -> None:
        raise NotImplementedError


class ReadUnit(_Unit):
    """A read-only unit."""

    pool = "read"

    def __init__(self, database: Database, actor: Actor, *, snapshot: bool) -> None:
        """See ``Database.read``."""
        super().__init__(database, actor)
        self._snapshot = snapshot

    async def __aenter__(self) -> UnitOfWork:
        """Take a connection and set its tenant."""
        database, actor = self._database, self._actor
        connection = self._connection = await database.acquire(self.pool)
        try:
            if self._snapshot:
                await connection.execute(database.begin(actor.tenant_id, read_only=True))
            elif connection.pinned != actor.tenant_id:
                await connection.pin(actor.tenant_id)
        except BaseException:
            await _rollback(connection)
            await database.release(self.pool, connection)
            raise
        return UnitOfWork(connection, actor, database.clock, database.settings)

    async def _finish(self, connection: Any, *, failed: bool) -> None:  # noqa: ARG002 - reading leaves nothing behind
        if self._snapshot:
            await _rollback(connection)


class WriteUnit(_Unit):
    """A unit that commits."""

    pool = "write"

    async def __aenter__(self) -> UnitOfWork:
        """Begin."""
        database, actor = self._database, self._actor
        connection = self._connection = await database.acquire(self.pool)
        try:
            await connection.execute(database.begin(actor.tenant_id))
        except BaseException:
            await _rollback(connection)
            await database.release(self.pool, connection)
            raise
        self._unit = UnitOfWork(connection, actor, database.clock, database.settings)
        return self._unit

    async def _finish(self, connection: Any, *, failed: bool) -> None:
        if failed:
            await _rollback(connection)
            return
        try:
            await self._unit.flush()
            await connection.execute("COMMIT")
        except BaseException:
            await _rollback(connection)
            raise
