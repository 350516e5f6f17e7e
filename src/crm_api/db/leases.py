"""Who is using a shared resource right now: one locked file for each user.

A lease is a file that its owner keeps locked with ``flock``. The kernel drops the lock when the owner dies, however it
dies, so a lease that can be locked is a dead one. Process ids alone would lie after a reboot or a long day.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A folder another user may write to could hold a link to somebody's file; never follow one.
_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class LockTimeoutError(Exception):
    """Another process held the lock for longer than we were willing to wait."""


@contextmanager
def exclusive(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock file at ``path`` for the length of the block.

    Raises:
        LockTimeoutError: somebody else kept it for ``seconds``.
    """
    descriptor = os.open(path, os.O_RDWR | _FLAGS, 0o644)
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                message = f"{path} has been locked by another process for {seconds:.0f} s"
                raise LockTimeoutError(message)
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


class Lease:
    """One live use; released by :meth:`release` or by the death of the process."""

    def __init__(self, folder: Path) -> None:
        """Take a lease in ``folder``, which must exist."""
        self._pid = os.getpid()
        self.path = folder / f"{self._pid}-{uuid.uuid4().hex[:8]}"
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_EXCL | _FLAGS, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Give the lease back; harmless when repeated, and in a forked child, whose parent still holds it."""
        if self._descriptor < 0 or os.getpid() != self._pid:
            return
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1


def live(folder: Path) -> list[Path]:
    """Return the live leases in ``folder`` and remove the dead ones."""
    return sorted(path for path in _entries(folder) if _is_live(path))


def live_pids(folder: Path) -> list[int]:
    """Return the process ids of the live leases in ``folder`` and remove the dead ones."""
    return [int(path.name.partition("-")[0]) for path in live(folder)]


def _entries(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return [path for path in folder.iterdir() if path.name.partition("-")[0].isdigit()]
    return []


def _is_live(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # another user's lease: when in doubt, it is in use
    try:
        if not _try_lock(descriptor):
            return True
        with suppress(PermissionError):
            path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
