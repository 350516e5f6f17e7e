"""Databases for tests: one server for all runs and workers, one migrated template, one clone for each worker.

The server is ``CRM_TEST_DATABASE_URL`` (a login that may create databases and roles) or an embedded one without
durability. A template is named after the content of ``migrations/``, so it is built once for each state of the
migrations and survives between runs; a worker's clone takes a fraction of a second.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from crm_api.db.embedded import EmbeddedError, EmbeddedServer
from crm_api.db.leases import Lease, exclusive, live
from crm_api.db.migrate import migrations_directory, run, upgrade

CLONES = "crm_test_"
TEMPLATES = "crm_template_"
TEMPLATES_KEPT = 4
BUILD_SECONDS = 300


def test_folder(name: str) -> Path:
    """Return a folder that is the same for all runs of this user; others may pass, for the server's account."""
    root = Path(tempfile.gettempdir()).resolve() / f"crm-api-tests-{os.geteuid()}"
    root.mkdir(mode=0o755, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.geteuid():
        message = f"{root} is not ours: remove it"
        raise RuntimeError(message)
    folder = root / name
    for path in (folder, folder / "leases"):
        path.mkdir(mode=0o755, exist_ok=True)
    return folder


@dataclass
class TestServer:
    """A server that databases are made on, and who uses it."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    url: str
    folder: Path
    lease: Lease
    embedded: bool
    made: int = field(default=0)

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    def url_of(self, database: str) -> str:
        """Return the server's URL with another database."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def execute(self, *statements: str) -> None:
        """Run statements on the maintenance database, each on its own."""
        run(self._execute(statements))

    async def _execute(self, statements: tuple[str, ...]) -> None:
        connection = await asyncpg.connect(self.url, timeout=30)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def names(self, prefix: str) -> list[str]:
        """Return the databases whose name begins so, oldest first."""
        return run(self._names(prefix))

    async def _names(self, prefix: str) -> list[str]:
        connection = await asyncpg.connect(self.url, timeout=30)
        try:
            query = "SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY oid::bigint"
            return [row[0] for row in await connection.fetch(query, prefix)]
        finally:
            await connection.close()

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Make a database for the length of the block, empty or a clone of ``template``; yield its URL."""
        self.made += 1
        name = f"{CLONES}{self.lease.path.name.replace('-', '_')}_{self.made}"
        source = f' TEMPLATE "{template}"' if template else " TEMPLATE template0"
        self.execute(f'CREATE DATABASE "{name}"{source}')
        try:
            yield self.url_of(name)
        finally:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Drop a database; a vacuum at work in it, which is not ours to end, is waited for."""
        for attempt in range(50):
            try:
                self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            except asyncpg.InsufficientPrivilegeError:
                if attempt == 49:
                    raise
                time.sleep(0.2)
            else:
                return

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Make a migrated database for the length of the block; yield its URL."""
        with self.database(self.template()) as url:
            yield url

    def template(self) -> str:
        """Return the name of the migrated template, building it when it is missing."""
        name = f"{TEMPLATES}{_migrations_hash()}"
        with exclusive(self.lock, seconds=BUILD_SECONDS):
            if name not in self.names(TEMPLATES):
                self._build_template(name)
        return name

    def _build_template(self, name: str) -> None:
        """Migrate under a working name and rename at the end: a template is complete or absent."""
        building = f"crm_building_{name[len(TEMPLATES) :]}"
        self.execute(
            f'DROP DATABASE IF EXISTS "{building}" WITH (FORCE)', f'CREATE DATABASE "{building}" TEMPLATE template0'
        )
        upgrade(self.url_of(building))
        self.execute(
            # Nobody can connect, so that nobody's connection forbids cloning.
            f'ALTER DATABASE "{building}" ALLOW_CONNECTIONS false',
            f'ALTER DATABASE "{building}" RENAME TO "{name}"',
        )
        for old in self.names(TEMPLATES)[:-TEMPLATES_KEPT]:
            self._drop_quietly(old)

    def drop_abandoned(self) -> None:
        """Drop the clones of runs that were killed."""
        alive = tuple(f"{CLONES}{lease.name.replace('-', '_')}_" for lease in live(self.folder / "leases"))
        for name in self.names(CLONES):
            if not name.startswith(alive):
                self._drop_quietly(name)

    def _drop_quietly(self, name: str) -> None:
        with suppress(asyncpg.PostgresError):  # another run is cloning it this very moment; the next one drops it
            self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def test_server() -> Iterator[TestServer]:
    """Have a server for the length of the block, shared with whoever else is testing."""
    given = os.environ.get("CRM_TEST_DATABASE_URL")
    if given:
        folder = test_folder(hashlib.sha256(given.encode()).hexdigest()[:12])
        yield from _serve(given, folder, embedded=False)
        return
    folder = test_folder("embedded")
    server, lease = _started(folder)
    try:
        yield from _serve(server.url(), folder, embedded=True)
    finally:
        server.release(lease)


def _started(folder: Path) -> tuple[EmbeddedServer, Lease]:
    """Start the embedded server; when a power cut or a killed run left its data unusable, start afresh."""
    with exclusive(folder / "lock", seconds=BUILD_SECONDS):
        server = EmbeddedServer(folder / "home", durable=False)
        try:
            return server, server.acquire()
        except EmbeddedError:
            if live(folder / "leases"):
                raise
        with suppress(EmbeddedError):
            server.stop(force=True)
        shutil.rmtree(server.layout.base)
        server = EmbeddedServer(folder / "home", durable=False)
        return server, server.acquire()


def _serve(url: str, folder: Path, *, embedded: bool) -> Iterator[TestServer]:
    server = TestServer(url, folder, Lease(folder / "leases"), embedded)
    try:
        if embedded:  # somebody else's server may have users whose leases are on another machine
            server.drop_abandoned()
        yield server
    finally:
        server.lease.release()


def _migrations_hash() -> str:
    digest = hashlib.sha256()
    folder = migrations_directory()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def query(url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    """Run one query from plain (not async) test code."""

    async def work() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url, timeout=30)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    return run(asyncio.wait_for(work(), 60))
