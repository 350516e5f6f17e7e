"""`crm-api doctor`: is everything crm-api stands on as it should be, and if not, how to mend it."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import asyncpg
from alembic.script import ScriptDirectory

from crm_api.db.embedded import default_home
from crm_api.db.migrate import configuration, head_revision
from crm_api.settings import Settings, redact_url

OLDEST, NEWEST = 15, 18
EXTENSIONS = ("pg_trgm", "btree_gin")
ROLES = ("crm_app", "crm_system")
SKEW_WARN, SKEW_FAIL = 2.0, 30.0
LAG_WARN = 10.0
SPACE_WARN = 1024**3
_SYSTEM_CONNECTIONS = 2
_CROWDED = 0.8

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``mend`` says what to do and is empty when all is well."""

    name: str
    state: State
    detail: str
    mend: str = ""


def examine(settings: Settings) -> list[Check]:
    """Look at everything; ``settings.database_url`` must be set (the command line leases the embedded server)."""
    return asyncio.run(_examine(settings))


def has_failed(checks: list[Check]) -> bool:
    """Whether something must be mended before crm-api can work."""
    return any(check.state == "fail" for check in checks)


async def _examine(settings: Settings) -> list[Check]:
    checks = [check async for check in _database(settings)]
    checks += _directories(settings)
    return checks


async def _database(settings: Settings) -> AsyncIterator[Check]:
    url = settings.database_url
    try:
        connection = await asyncpg.connect(url, timeout=settings.connect_timeout)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        reason = str(error) or type(error).__name__
        yield Check(
            "connection", "fail", f"{redact_url(url)}: {reason}", "start the server or correct CRM_DATABASE_URL"
        )
        return
    try:
        yield Check("connection", "ok", str(redact_url(url)))
        for look in (_version, _encoding, _locale, _extensions, _roles, _migrations, _indexes, _clock, _connections):
            yield await look(connection, settings)
    finally:
        await connection.close()
    if settings.read_database_url:
        yield await _replica(settings)


async def _version(connection: Any, _: Settings) -> Check:
    major = int(await connection.fetchval("SHOW server_version_num")) // 10_000
    shown = f"PostgreSQL {await connection.fetchval('SHOW server_version')}"
    if major < OLDEST:
        return Check("version", "fail", shown, f"use PostgreSQL {OLDEST} to {NEWEST}")
    if major > NEWEST:
        return Check("version", "warn", shown, f"crm-api is tested with PostgreSQL {OLDEST} to {NEWEST}")
    return Check("version", "ok", shown)


async def _encoding(connection: Any, _: Settings) -> Check:
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding == "UTF8":
        return Check("encoding", "ok", encoding)
    return Check("encoding", "fail", encoding, "create the database anew with ENCODING 'UTF8' TEMPLATE template0")


async def _locale(connection: Any, _: Settings) -> Check:
    """Find out whether trigram search sees Chinese: with LC_CTYPE C the letters are dropped, silently."""
    name = await connection.fetchval("SELECT datctype FROM pg_database WHERE datname = current_database()")
    if await connection.fetchval("SELECT to_regproc('show_trgm') IS NOT NULL"):
        good = bool(await connection.fetchval("SELECT show_trgm('王小明')"))
    else:
        good = await connection.fetchval(r"SELECT '王小明' ~ '^\w+$'")
    if good:
        return Check("locale", "ok", f"{name}: Chinese text is searchable")
    mend = (
        "create the database anew with LC_CTYPE 'C.UTF-8' TEMPLATE template0 (any UTF-8 locale other than C or POSIX)"
    )
    return Check("locale", "fail", f"{name}: trigram search finds no Chinese text", mend)


async def _extensions(connection: Any, _: Settings) -> Check:
    query = "SELECT name FROM pg_available_extensions WHERE name = ANY($1)"
    found = {row["name"] for row in await connection.fetch(query, list(EXTENSIONS))}
    missing = sorted(set(EXTENSIONS) - found)
    if missing:
        mend = "install PostgreSQL's contrib modules (Debian has them in the server package, others in *-contrib)"
        return Check("extensions", "fail", f"not available: {', '.join(missing)}", mend)
    return Check("extensions", "ok", ", ".join(EXTENSIONS))


async def _roles(connection: Any, _: Settings) -> Check:
    query = (
        "SELECT rolname, rolsuper OR rolbypassrls AS unbound, pg_has_role(current_user, oid, 'MEMBER') AS member"
        " FROM pg_roles WHERE rolname = ANY($1)"
    )
    rows = {row["rolname"]: row for row in await connection.fetch(query, list(ROLES))}
    missing = [name for name in ROLES if name not in rows]
    if missing:
        return Check("roles", "fail", f"missing: {', '.join(missing)}", "run `crm-api migrate`")
    unbound = [name for name, row in rows.items() if row["unbound"]]
    if unbound:
        mend = "; ".join(f"ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS" for name in unbound)
        return Check("roles", "fail", f"row-level security does not bind {', '.join(unbound)}", mend)
    user = await connection.fetchval("SELECT current_user")
    foreign = [name for name, row in rows.items() if not row["member"]]
    if foreign:
        mend = f"as an administrator: GRANT {', '.join(foreign)} TO {user}"
        return Check("roles", "fail", f"{user} is no member of {', '.join(foreign)}", mend)
    return Check("roles", "ok", f"{user} is a member of {' and '.join(ROLES)}")


async def _migrations(connection: Any, _: Settings) -> Check:
    head = head_revision()
    current = None
    if await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
        try:
            current = await connection.fetchval("SELECT version_num FROM alembic_version")
        except asyncpg.InsufficientPrivilegeError:
            return Check(
                "migrations", "warn", "this login may not read the revision", "GRANT SELECT ON alembic_version"
            )
    if current == head:
        return Check("migrations", "ok", f"at {current}")
    if current is not None and not _is_known(current):
        mend = "this database is newer than this crm-api: upgrade crm-api"
        return Check("migrations", "fail", f"at {current}, unknown here", mend)
    return Check("migrations", "fail", f"at {current or 'nothing'}, newest is {head}", "run `crm-api migrate`")


def _is_known(revision: str) -> bool:
    scripts = ScriptDirectory.from_config(configuration())
    return revision in {script.revision for script in scripts.walk_revisions()}


async def _indexes(connection: Any, _: Settings) -> Check:
    query = "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid"
    invalid = [row["name"] for row in await connection.fetch(query)]
    if invalid:
        mend = "; ".join(f"REINDEX INDEX CONCURRENTLY {name}" for name in invalid)
        return Check("indexes", "fail", f"invalid: {', '.join(invalid)}", mend)
    return Check("indexes", "ok", "all valid")


async def _clock(connection: Any, _: Settings) -> Check:
    before = time.time()
    theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    after = time.time()
    skew = max(theirs - after, before - theirs, 0.0)
    detail = f"{skew:.1f} s apart from the database's"
    if skew < SKEW_WARN:
        return Check("clock", "ok", detail)
    state: State = "fail" if skew >= SKEW_FAIL else "warn"
    return Check("clock", state, detail, "synchronise both clocks (NTP): signatures and key expiry depend on them")


async def _connections(connection: Any, settings: Settings) -> Check:
    limit = int(await connection.fetchval("SHOW max_connections"))
    wanted = settings.pool_size_read + settings.pool_size_write + _SYSTEM_CONNECTIONS
    detail = f"up to {wanted} per process, the server allows {limit}"
    if wanted > limit * _CROWDED:
        mend = "lower CRM_POOL_SIZE_READ and CRM_POOL_SIZE_WRITE, or raise max_connections"
        return Check("connections", "warn", detail, mend)
    return Check("connections", "ok", detail)


async def _replica(settings: Settings) -> Check:
    try:
        connection = await asyncpg.connect(settings.read_database_url, timeout=settings.connect_timeout)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        reason = str(error) or type(error).__name__
        return Check("read replica", "fail", reason, "start the replica or correct CRM_READ_DATABASE_URL")
    try:
        query = (
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)"
            " WHERE pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()"
        )
        lag = float(await connection.fetchval(query) or 0)
    finally:
        await connection.close()
    if lag > LAG_WARN:
        return Check("read replica", "warn", f"{lag:.0f} s behind", "look at the replica's load and network")
    return Check("read replica", "ok", f"{lag:.1f} s behind")


def _directories(settings: Settings) -> list[Check]:
    """Look at the folders this process writes to: uploads wait in the temporary one."""
    folders = {"temporary files": Path(tempfile.gettempdir())}
    if settings.home is not None or (home := default_home()).is_dir():
        folders["home"] = settings.home or home
    return [_directory(name, folder) for name, folder in folders.items()]


def _directory(name: str, folder: Path) -> Check:
    if not folder.is_dir():
        return Check(name, "fail", f"{folder} does not exist", f"create it: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check(name, "fail", f"{folder} is not writable", "give this user write permission, or choose another")
    free = shutil.disk_usage(folder).free
    detail = f"{folder}, {free / 1024**3:.1f} GiB free"
    if free < SPACE_WARN:
        return Check(name, "warn", detail, "make room: less than 1 GiB is left")
    return Check(name, "ok", detail)
