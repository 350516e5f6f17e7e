"""Measuring: start a server, send it load, and say what each request cost in time and in CPU.

CPU time is the main figure: on a machine that does other things too, throughput and latency move with the neighbours,
while the CPU time of a process is its own. It is read from ``/proc/<pid>/task/*/schedstat`` (nanoseconds) or, where
there is none, from psutil.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.data import Shop

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Result:
    """What one load cost.

    Attributes:
        name: of who was measured.
        requests: how many.
        seconds: wall time.
        p50: median time to answer, seconds.
        p99: of the slowest hundredth.
        server: CPU seconds of the server's processes.
        postgres: CPU seconds of PostgreSQL's.
        size: mean length of a body, bytes.
        sample: one whole answer.

    """

    name: str
    requests: int
    seconds: float
    p50: float
    p99: float
    server: float
    postgres: float
    size: float
    sample: str

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cpu(self) -> float:
        """CPU milliseconds per request, server and PostgreSQL."""
        return (self.server + self.postgres) / self.requests * 1000


def body_of(answer: str) -> Any:
    """Return the JSON value of a whole HTTP answer."""
    head, _, body = answer.partition("\r\n\r\n")
    if "transfer-encoding: chunked" in head.lower():
        body = "".join(_unchunk(body))
    return json.loads(body)


def _unchunk(body: str) -> Iterator[str]:
    raw = body.encode()
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return
        yield rest[:length].decode()
        raw = rest[length + 2 :]


# -- CPU time ----------------------------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used so far; 0 when it is gone."""
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    except OSError:
        total = 0
    if total:
        return total / 1e9
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def family(pid: int) -> dict[int, float]:
    """Return the CPU time of a process and all its descendants."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return {each.pid: cpu_seconds(each.pid) for each in (root, *root.children(recursive=True))}
    return {}


def postgres_family(postmaster: int) -> dict[int, float]:
    """Return the CPU time of the server's processes that work for requests: vacuum and checkpoints are nobody's."""
    times = {}
    for each in psutil.Process(postmaster).children():
        with suppress(psutil.NoSuchProcess):
            title = " ".join(each.cmdline())
            if not any(word in title for word in ("autovacuum", "checkpointer", "logger")):
                times[each.pid] = cpu_seconds(each.pid)
    return times


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Return the CPU time used between two looks."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


# -- servers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """A running HTTP server."""

    name: str
    pid: int
    port: int


def free_port() -> int:
    """Return a port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    name: str, command: Sequence[str], port: int, env: Mapping[str, str], cwd: Path = ROOT, probe: str = "/livez"
) -> Iterator[Server]:
    """Run a server for the length of the block."""
    log = Path(os.environ.get("BENCH_LOGS", "/tmp")) / f"crm-bench-{os.getpid()}-{name.split(' ', maxsplit=1)[0]}.log"  # noqa: S108
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **env}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _await(process, port, probe, log)
        yield Server(name, process.pid, port)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.unlink(missing_ok=True)


def _await(process: subprocess.Popen[bytes], port: int, probe: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{probe}", timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the server does not answer; its log ends: {log.read_text(errors='replace')[-2000:]}")


def python() -> str:
    """Return this interpreter."""
    return sys.executable


@contextmanager
def ours(shop: Shop, name: str = "crm-api", **settings: str) -> Iterator[Server]:
    """Run ``crm-api serve`` on the shop's database, as production would: one process, JSON log lines."""
    port = free_port()
    command = [str(Path(python()).with_name("crm-api")), "serve", "--port", str(port)]
    env = {"CRM_DATABASE_URL": shop.url, "CRM_LOG_FORMAT": "json", **settings}
    with started(name, command, port, env) as server:
        yield server


@contextmanager
def bare(shop: Shop) -> Iterator[Server]:
    """Run the peer of the REST benchmarks."""
    port = free_port()
    command = [python(), "-m", "benchmarks.peers.bare", str(port)]
    env = {"DATABASE_URL": shop.url, "TENANT": str(shop.tenant_id)}
    with started("bare FastAPI + asyncpg", command, port, env) as server:
        yield server


# -- load --------------------------------------------------------------------------------------------------------------


def get(path: str, key: str = "") -> str:
    """Return the text of a GET request."""
    authorization = f"authorization: Bearer {key}\r\n" if key else ""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n{authorization}\r\n"


def post(path: str, value: Any, key: str = "", headers: str = "") -> str:
    """Return the text of a POST request with a JSON body."""
    body = json.dumps(value, ensure_ascii=False)
    authorization = f"authorization: Bearer {key}\r\n" if key else ""
    return (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body.encode())}\r\n{authorization}{headers}\r\n{body}"
    )


def drive(server: Server, requests: Sequence[str], total: int, connections: int = CONNECTIONS) -> dict[str, Any]:
    """Send requests from a process of its own."""
    plan = {"port": server.port, "requests": list(requests), "total": total, "connections": connections}
    finished = subprocess.run(
        [python(), "-m", "benchmarks.driver"],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"the load driver failed: {finished.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(finished.stdout)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A server and what it is asked, round and round; every answer must have the status."""

    server: Server
    requests: Sequence[str]
    status: int = 200
    name: str = ""


def compare(shop: Shop, cases: Sequence[Case], total: int, *, rounds: int = 4, warm: int = 200) -> list[Result]:
    """Measure the servers in turn, several rounds, and keep of each the round with the least CPU time.

    In turn, because a busy machine is slower at one time than at another; the least, because neighbours only ever add.
    """
    found: dict[Case, list[Result]] = {}
    for case in cases:
        drive(case.server, case.requests, warm)
        found[case] = []
    share = max(total // rounds, 1)
    for number in range(rounds):
        for case in cases:
            first = (warm + number * share) % len(case.requests)
            requests = [*case.requests[first:], *case.requests[:first]]
            found[case].append(_round(shop, case, requests, share))
    return [min(each, key=lambda result: result.cpu) for each in found.values()]


def _round(shop: Shop, case: Case, requests: Sequence[str], total: int) -> Result:
    postmaster = shop.server.status().pid
    assert postmaster is not None
    before = family(case.server.pid), postgres_family(postmaster)
    run = drive(case.server, requests, total)
    after = family(case.server.pid), postgres_family(postmaster)
    if set(run["statuses"]) != {str(case.status)}:
        raise RuntimeError(f"{case.server.name} answered {run['statuses']}: {run['sample'][:1500]}")
    times = sorted(run["times"])
    return Result(
        case.name or case.server.name,
        total,
        run["seconds"],
        times[len(times) // 2],
        times[int(len(times) * 0.99)],
        spent(before[0], after[0]),
        spent(before[1], after[1]),
        run["bytes"] / total,
        run["sample"],
    )


COLUMNS = ("who", "CPU ms", "server", "PostgreSQL", "requests/s", "p50 ms", "p99 ms", "p99/p50", "bytes")
RATIOS = ("our CPU / theirs", "our rate / theirs")


def table(title: str, results: Sequence[Result], targets: Sequence[str] = (), *, ratios: bool = True) -> None:
    """Print a table; with ratios the first result is ours and each other one is compared with it."""
    names = (*COLUMNS, *RATIOS) if ratios else COLUMNS
    print(f"\n### {title}\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    first = results[0]
    for each in results:
        n = each.requests
        cells = [
            each.name,
            f"**{each.cpu:.3f}**",
            f"{each.server / n * 1000:.3f}",
            f"{each.postgres / n * 1000:.3f}",
            f"{each.rate:,.0f}",
            f"{each.p50 * 1000:.2f}",
            f"{each.p99 * 1000:.2f}",
            f"{each.p99 / each.p50:.1f}",
            f"{each.size:,.0f}",
        ]
        if ratios:
            cells += [f"{first.cpu / each.cpu:.2f}", f"{first.rate / each.rate:.2f}"]
        print(f"| {' | '.join(cells)} |")
    print("\n".join(["", *targets, ""]), flush=True)


def verdict(name: str, value: float, bound: float, *, at_most: bool = True) -> str:
    """Return one line: what was wanted and whether it was met."""
    met = value <= bound if at_most else value >= bound
    return f"- {'met   ' if met else 'MISSED'} {name}: {value:.2f} (wanted {'≤' if at_most else '≥'} {bound})"
