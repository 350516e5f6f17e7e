"""Bring a database to a revision of the schema.

Alembic does the work; this module finds the scripts (in a source tree as well as in an installed wheel), lets one
migrator in at a time, and afterwards makes sure that no index was left half-built.

A migrator needs a direct connection: behind a pooler in transaction mode, set ``CRM_MIGRATION_DATABASE_URL``.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

T = TypeVar("T")

LOCK_KEY = 0x63726D_6170_69
"""Advisory lock of migrators ("crmapi"); advisory locks are per database."""

_LOCK_SECONDS = 300.0
_CONNECT_SECONDS = 10.0


class MigrationError(Exception):
    """The database could not be brought to the wanted revision; the text says what to do."""


def migrations_directory() -> Path:
    """Return the folder with ``env.py``: inside an installed package, beside ``src`` in a source tree."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_migrations", package.parents[1] / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    message = f"no migrations beside {package}: the installation is incomplete"
    raise MigrationError(message)


def configuration(url: str | None = None) -> Config:
    """Return Alembic's configuration for our scripts; ``url`` is where ``env.py`` connects."""
    config = Config()
    # A "%" in a path would be taken for interpolation.
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


def head_revision() -> str | None:
    """Return the newest revision this version of crm-api knows, None while there is none."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def current_revision(url: str) -> str | None:
    """Return the revision the database is at, None when it was never migrated."""
    return run(_current_revision(url))


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` to ``revision``; a second migrator waits and then finds nothing to do.

    Raises:
        MigrationError: another migrator does not finish, or an index is invalid afterwards.
    """
    _outside_loop(lambda: command.upgrade(configuration(url), revision))


async def run_migrations(url: str, migrate: Any) -> None:
    """Run ``migrate(connection)`` of ``env.py`` under the migrators' lock, then check the indexes."""
    # The creator gives asyncpg the URL as the application does; SQLAlchemy's own parsing knows fewer forms of it.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connect(url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_prepare)
            await _wait_for_lock(connection)
            await connection.run_sync(migrate)
            await connection.commit()
            await connection.run_sync(_check_indexes)
    finally:
        await engine.dispose()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end from plain code, whether or not this thread already has an event loop."""
    return _outside_loop(lambda: asyncio.run(work))


def _outside_loop(call: Callable[[], T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(call).result()


async def _connect(url: str) -> Any:
    return await asyncpg.connect(url, timeout=_CONNECT_SECONDS)


async def _current_revision(url: str) -> str | None:
    connection = await _connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return found
    finally:
        await connection.close()


def _prepare(connection: Connection) -> None:
    # A migration that waits for a lock makes everybody wait behind it: rather fail and be run again.
    connection.exec_driver_sql("SET lock_timeout = '5s'")
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
    connection.commit()


async def _wait_for_lock(connection: Any) -> None:
    """Take the migrators' lock for this session; polled, because lock_timeout would end a waiting statement."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LOCK_SECONDS
    while not await connection.run_sync(_try_lock):
        if loop.time() > deadline:
            message = f"another migrator has been at work for {_LOCK_SECONDS:.0f} s: wait for it, then run this again"
            raise MigrationError(message)
        await asyncio.sleep(0.1)


def _try_lock(connection: Connection) -> bool:
    taken = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK_KEY})").scalar())
    connection.commit()
    return taken


def _check_indexes(connection: Connection) -> None:
    """Refuse to call a migration done when a concurrent index build failed and left an invalid index."""
    rows = connection.exec_driver_sql(
        "SELECT c.oid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE NOT i.indisvalid AND n.nspname NOT IN ('pg_catalog', 'pg_toast') ORDER BY 1"
    )
    invalid = [str(name) for (name,) in rows]
    connection.rollback()
    if invalid:
        mend = "; ".join(f"REINDEX INDEX CONCURRENTLY {name}" for name in invalid)
        message = f"invalid indexes after migrating: {', '.join(invalid)}; mend them with: {mend}"
        raise MigrationError(message)
