"""The ``crm-api`` command, in a process of its own and in this one."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from crm_api import cli

COMMAND = (sys.executable, "-c", "from crm_api.cli import main; main()")


def environment(**variables):
    """Return this process's environment without its CRM_ variables, plus ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    return kept | {name: str(value) for name, value in variables.items()}


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command in this process; returns exit status, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["crm-api", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


def crm_api(*arguments, **variables):
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(**variables), capture_output=True, text=True, timeout=120, check=False
    )


@contextmanager
def running(*arguments, **variables):
    """Have a command running, in a process group of its own, as a terminal would; nothing of it stays behind."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(**variables), start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


def wait_for(url, *, process, uds=None, seconds=60):
    """Wait until the API answers 200; fail when its process ends first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            message = f"ended with {process.returncode}: {process.stderr.read()}"
            raise AssertionError(message)
        # Asked by hand at first: httpx leaves a socket open when nobody listens on a Unix one.
        if uds is None or _listens(uds):
            transport = httpx.HTTPTransport(uds=str(uds)) if uds else None
            with suppress(httpx.TransportError), httpx.Client(transport=transport, timeout=5) as client:
                answer = client.get(url)
                if answer.status_code == httpx.codes.OK:
                    return answer
        time.sleep(0.1)
    message = f"{url} did not answer within {seconds} s"
    raise AssertionError(message)


def _listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def all_gone(pid, *, seconds=30):
    """Wait for the end of every process of a group (helpers of multiprocessing end a moment after the rest)."""
    deadline = time.monotonic() + seconds
    while group(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not group(pid)


def group(pid):
    """Return the live processes of a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == pid and fields[0] != "Z":
                members.append(int(entry.name))
    return members
