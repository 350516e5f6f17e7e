"""The ``crm-api`` command in processes that start at once: forked from one that has imported everything.

Starting Python and importing the product takes seconds of CPU, and tests that kill dozens of processes would mostly
wait for that. The children run the very ``crm_api.cli.main`` the console script runs; only the imports are inherited.

``python zygote.py`` reads lines of JSON (``arguments``, ``environment``, ``log``) and answers each with a process id.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.command_line import environment


@dataclass
class Command:
    """A running ``crm-api`` command."""

    pid: int
    log: Path

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def says(self, text: str) -> bool:
        """Whether it has logged this."""
        return text in self.log.read_text()

    def wait_for(self, text: str, *, seconds: float = 30) -> None:
        """Wait until it has logged this."""
        deadline = time.monotonic() + seconds
        while not self.says(text):
            if not self.alive or time.monotonic() > deadline:
                message = f"{text!r} was not logged (alive: {self.alive}): {self.log.read_text()}"
                raise AssertionError(message)
            time.sleep(0.02)

    def kill(self, number: int = signal.SIGKILL, *, seconds: float = 30) -> None:
        """Send a signal and wait for the end."""
        os.kill(self.pid, number)
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                message = f"{self.pid} survived signal {number}: {self.log.read_text()}"
                raise AssertionError(message)
            time.sleep(0.01)


@dataclass
class Zygote:
    """The process that forks commands."""

    process: Any
    folder: Path
    started: list[Command] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Start it; the first command waits for its imports."""
        root = Path(__file__).resolve().parents[2]
        process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(PYTHONPATH=f"{root}{os.pathsep}{root / 'src'}"),
        )
        return cls(process, folder)

    def start(self, *arguments: str, **variables: object) -> Command:
        """Start ``crm-api`` with these arguments and settings."""
        log = self.folder / f"{len(self.started)}-{arguments[0]}.log"
        log.touch()
        settings = {name: str(value) for name, value in variables.items()}
        order = {"arguments": arguments, "environment": settings, "log": str(log)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        command = Command(int(self.process.stdout.readline()), log)
        self.started.append(command)
        return command

    def close(self) -> None:
        """End everything that was started."""
        for command in self.started:
            if command.alive:
                command.kill()
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@contextmanager
def zygote(folder: Path) -> Iterator[Zygote]:
    """Have a zygote for the length of the block."""
    opened = Zygote.open(folder)
    try:
        yield opened
    finally:
        opened.close()


def _become(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(order["environment"])
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND)
    for theirs, ours in ((null, 0), (log, 1), (log, 2)):
        os.dup2(theirs, ours)
    random.seed()
    uuid_utils.reseed_rng()  # siblings must not make the same ids
    sys.argv = ["crm-api", *order["arguments"]]
    cli.main()


def _serve() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended children vanish by themselves
    # Not the file object: its buffer would be copied into the children.
    while line := _line():
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _become(json.loads(line))
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.write(1, f"{pid}\n".encode())


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(0, 1)
        if not read:
            return b""
        line += read
    return line


if __name__ == "__main__":
    import uuid_utils
    import uvicorn.loops.uvloop  # noqa: F401
    import uvloop  # noqa: F401

    import crm_api.app
    import crm_api.launch
    import crm_api.worker.run  # noqa: F401
    from crm_api import cli

    _serve()
