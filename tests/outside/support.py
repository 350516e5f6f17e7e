"""The server under check, and how other people's tools are run against it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(__file__).resolve().parent / "node"
START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """Where the server is and a key with all rights."""

    url: str
    key: str

    def request(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> Any:
        """Send one request as an integrator would; raise on any error status."""
        headers = {"Authorization": f"Bearer {self.key}", "Accept": accept, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                pytest.fail(f"{method} {path}: {error.code} {error.read().decode()[:2000]}")
        return json.loads(text) if text else None

    def graphql(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """Run one GraphQL document; fail on errors."""
        answer = self.request("POST", "/graphql", {"query": query, "variables": variables or {}})
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


def run(command: list[str], *, cwd: Path = ROOT, seconds: int = 240, env: dict[str, str] | None = None) -> str:
    """Run a tool; return what it printed; fail with all of it when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\nexited with {done.returncode}:\n{done.stdout[-60_000:]}", pytrace=False)
    return done.stdout


def script(name: str) -> str:
    """Return the path of a console script of this environment."""
    return str(Path(sys.executable).parent / name)


def node_tool(name: str) -> str:
    """Return the path of a locked npm tool, or skip loudly when npm packages are not installed."""
    path = NODE / "node_modules" / ".bin" / name
    if not path.exists():
        pytest.skip(f"{name} is not installed: run `make outside` (needs Node.js 20 and npm)")
    return str(path)


def report_errors(log: Path) -> None:
    """Show what the server logged as errors: nothing a client sends should be one."""
    lines = [line for line in log.read_text().splitlines() if '"level":"error"' in line.replace(" ", "")]
    assert not lines, f"the server logged {len(lines)} errors, the first:\n" + "\n".join(lines[:5])


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for /readyz, or fail with the server's own words."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url + "/readyz", timeout=2):  # noqa: S310 - loopback
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"crm-api serve did not get ready:\n{log.read_text()[-5000:]}", pytrace=False)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
