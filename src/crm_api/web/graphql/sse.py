"""Subscriptions as server-sent events: GraphQL over SSE, "distinct connections mode".

One request, one stream: ``next`` events with results, then ``complete``. What is wrong with the operation is told by a
``next`` event with ``errors``, as the protocol wants it; no key, no JSON and too many connections are HTTP errors as
everywhere. Comments keep the connection alive. When the process ends, the stream ends without ``complete``: clients
connect again.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from crm_api.core.errors import CrmError, Locale
from crm_api.db.failures import translate
from crm_api.web.graphql.engine import RequestError, failure, refusal
from crm_api.web.graphql.hub import STREAMS, GoingAway, SlowConsumer

log = structlog.get_logger(__name__)

EVENTS: Final = "text/event-stream"
_COMPLETE: Final = b"event: complete\ndata: \n\n"
_ALIVE: Final = b":\n\n"


def error_body(error: Exception, locale: Locale) -> bytes:
    """Return ``{"errors": […]}`` for what ended a stream."""
    if isinstance(error, RequestError):
        return refusal(error, locale).body
    known = translate(error)
    if known is None:
        log.error("unhandled_error", exc_info=error)
    return failure(known or CrmError(), locale).body


class EventStream(Response):
    """Sends results as events until they end, the client goes, or does not read."""

    media_type = EVENTS

    def __init__(
        self,
        results: AsyncGenerator[bytes],
        *,
        locale: Locale,
        check: Callable[[], Awaitable[Any]],
        check_seconds: float,
        ping_seconds: float,
        send_seconds: float,
        over: Callable[[], Any],
    ) -> None:
        """Send these results.

        Args:
            results: JSON of each.
            locale: of the caller.
            check: raises when the caller may not be told anything any more.
            check_seconds: how often to ask it.
            ping_seconds: how often a silent connection is kept alive.
            send_seconds: how long a client may take to read.
            over: called when the stream has ended.

        """
        headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
        super().__init__(None, 200, headers, f"{EVENTS}; charset=utf-8")
        del self.headers["content-length"]
        self._results = results
        self._locale = locale
        self._check = check
        self._check_seconds = check_seconds
        self._ping_seconds = ping_seconds
        self._send_seconds = send_seconds
        self._over = over

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Run until one side ends it."""
        try:
            await self._serve(receive, send)
        finally:
            self._over()

    async def _serve(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        lock = asyncio.Lock()

        async def write(data: bytes) -> None:
            async with lock, asyncio.timeout(self._send_seconds):
                await send({"type": "http.response.body", "body": data, "more_body": True})

        works = (self._deliver(write), self._keep_alive(write), self._watch(), _gone(receive))
        tasks = [asyncio.create_task(work) for work in works]
        with STREAMS.labels("sse").track_inprogress():
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        await self._end(done, write, send, client_is_there=tasks[-1] not in done)

    async def _deliver(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        async with aclosing(self._results) as results:
            async for result in results:
                await write(b"event: next\ndata: " + result + b"\n\n")

    async def _keep_alive(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self._ping_seconds)
            await write(_ALIVE)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            await self._check()

    async def _end(
        self,
        done: set[asyncio.Task[None]],
        write: Callable[[bytes], Awaitable[None]],
        send: Send,
        *,
        client_is_there: bool,
    ) -> None:
        if not client_is_there:
            return
        error = next((each.exception() for each in done if each.exception() is not None), None)
        if isinstance(error, (TimeoutError, SlowConsumer)):
            # Whoever does not read cannot be told anything either; the server drops the connection.
            log.info("stream_dropped", reason="slow consumer")
            raise error
        with suppress(TimeoutError):
            if isinstance(error, Exception) and not isinstance(error, GoingAway):
                await write(b"event: next\ndata: " + error_body(error, self._locale) + b"\n\n")
            if not isinstance(error, GoingAway):
                await write(_COMPLETE)
            async with asyncio.timeout(self._send_seconds):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
