"""The load: keep-alive connections that send prepared requests one after another and time each answer.

Runs as a process of its own (``python -m benchmarks.driver``) so that its work is not counted as the server's. It
speaks just enough HTTP/1.1 for servers that answer with Content-Length or in chunks. The plan comes in as JSON on
standard input, what was measured goes out as JSON.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Load:
    """Requests to send, and what came of them."""

    def __init__(self, requests: list[bytes], total: int) -> None:
        """Send ``total`` of these, round and round."""
        self.requests = requests
        self.left = total
        self.sent = 0
        self.times: list[float] = []
        self.statuses: dict[int, int] = {}
        self.bytes = 0
        self.sample = b""

    def next(self) -> bytes | None:
        """Return the next request, or None when all are sent."""
        if self.left <= 0:
            return None
        self.left -= 1
        self.sent += 1
        return self.requests[self.sent % len(self.requests)]


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load, done: asyncio.Future[None]) -> None:
        """Take requests from ``load`` until it has none."""
        self.load = load
        self.done = done
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self.send()

    def send(self) -> None:
        """Send the next request."""
        request = self.load.next()
        if request is None:
            self.done.set_result(None)
            self.transport.close()
            return
        self.started = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect the answer."""
        self.buffer = self.buffer + data if self.buffer else data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0 or not self._complete(end):
            return
        load = self.load
        load.times.append(time.perf_counter() - self.started)
        status = int(self.buffer[9:12])
        load.statuses[status] = load.statuses.get(status, 0) + 1
        load.bytes += len(self.buffer) - end - 4
        load.sample = self.buffer
        self.buffer = b""
        self.send()

    def _complete(self, end: int) -> bool:
        length = LENGTH.search(self.buffer, 0, end + 2)
        if length is not None:
            return len(self.buffer) >= end + 4 + int(length[1])
        if CHUNKED.search(self.buffer, 0, end + 2):
            return self.buffer.endswith(b"\r\n0\r\n\r\n")
        return True  # 204

    def connection_lost(self, error: Exception | None) -> None:
        """Fail loudly when the server hangs up in the middle."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Send what the plan says and return what was measured."""
    load = Load([each.encode() for each in plan["requests"]], plan["total"])
    loop = asyncio.get_running_loop()
    ends = []
    started = time.perf_counter()
    for _ in range(plan["connections"]):
        done = loop.create_future()
        ends.append(done)
        await loop.create_connection(lambda done=done: Client(load, done), "127.0.0.1", plan["port"])
    await asyncio.gather(*ends)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "times": load.times,
        "statuses": load.statuses,
        "bytes": load.bytes,
        "sample": load.sample.decode("utf-8", "replace"),
    }


def main() -> None:
    """Read the plan, run it, print the result."""
    plan = json.load(sys.stdin)
    try:
        import uvloop  # noqa: PLC0415 - faster, and never needed

        result = uvloop.run(run(plan))
    except ImportError:
        result = asyncio.run(run(plan))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
