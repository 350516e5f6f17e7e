"""What happens, told to whoever listens: one reader of the outbox per process, however many listen.

The reader starts with the first listener and stops with the last. It keeps no place between: who listens is told what
commits from then on, and has read the state before that by itself. It goes by the relay's rule
(`crm_api.db.outbox`), so nothing that commits is passed over; a message may come twice to nobody's harm, because what
is told is read anew from the tables.

Every listener has a bounded queue. One that does not keep up is not waited for: it is told so and ends.
"""

import asyncio
import contextlib
import signal
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final
from uuid import UUID

import structlog
from prometheus_client import Gauge

from crm_api.core.errors import TooManyRequests
from crm_api.core.messages import Message
from crm_api.db.failures import translate
from crm_api.db.outbox import Position, current_position, read_after
from crm_api.db.pool import Database

log = structlog.get_logger(__name__)

STREAMS: Final = Gauge("crm_graphql_streams", "Open GraphQL subscriptions.", ["transport"])

BATCH: Final = 500
LONGEST_PAUSE: Final = 10.0


class SlowConsumer(Exception):
    """A listener's queue is full: whoever it is for does not read."""


class GoingAway(Exception):
    """This process is about to end."""


class Listener:
    """One that is told of the messages it wants, in the outbox's order."""

    def __init__(self, tenant_id: UUID, wants: Callable[[Message], bool], room: int, *, merges: bool = False) -> None:
        """Want these messages of one tenant; keep at most ``room`` of them, or one that stands for all (``merges``)."""
        self.tenant_id = tenant_id
        self._merges = merges
        self._wants = wants
        self._room = room
        self._waiting: deque[Message] = deque()
        self._news = asyncio.Event()
        self._end: Exception | None = None

    def offer(self, message: Message) -> None:
        """Take a message if it is wanted."""
        if message.tenant_id != self.tenant_id or self._end is not None or not self._wants(message):
            return
        if self._merges and self._waiting:
            return
        if len(self._waiting) >= self._room:
            self.end(SlowConsumer())
            return
        self._waiting.append(message)
        self._news.set()

    def end(self, reason: Exception) -> None:
        """Tell nothing more; ``next`` raises the reason."""
        self._end = self._end or reason
        self._news.set()

    async def next(self) -> list[Message]:
        """Return what has come since, waiting for the first.

        Raises:
            SlowConsumer: too much has come since.
            GoingAway: the process ends.

        """
        await self._news.wait()
        if self._end is not None:
            raise self._end
        self._news.clear()
        found = list(self._waiting)
        self._waiting.clear()
        return found


class Hub:
    """Reads the outbox for all listeners of this process."""

    def __init__(self, database: Database, *, poll_seconds: float, per_key: int) -> None:
        """Read nothing before somebody listens.

        Args:
            database: whose outbox.
            poll_seconds: pause between looks when there was nothing new.
            per_key: most connections an API key may have open here.

        """
        self._database = database
        self._poll = poll_seconds
        self._per_key = per_key
        self._listeners: set[Listener] = set()
        self._open: dict[UUID, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self.closing = asyncio.Event()

    def close(self) -> None:
        """End every listener: the process is about to end."""
        self.closing.set()
        for each in self._listeners:
            each.end(GoingAway())

    @contextlib.contextmanager
    def admitted(self, key_id: UUID) -> Iterator[None]:
        """Count a connection of a key for the length of the block.

        Raises:
            TooManyRequests: it has too many open.

        """
        if self._open.get(key_id, 0) >= self._per_key:
            raise TooManyRequests(
                f"This key has {self._per_key} connections open, the most it may have here: close one first",
                zh=f"此密钥已有 {self._per_key} 个连接，已达上限：请先关闭一个",
                code="too_many_connections",
            )
        self._open[key_id] = self._open.get(key_id, 0) + 1
        try:
            yield
        finally:
            self._open[key_id] -= 1
            if not self._open[key_id]:
                del self._open[key_id]

    @contextlib.asynccontextmanager
    async def listening(self, listener: Listener) -> AsyncIterator[Listener]:
        """Tell the listener for the length of the block what commits from its beginning on."""
        async with self._starting:
            if self.closing.is_set():
                raise GoingAway
            if self._task is None or self._task.done():
                async with self._database.system() as connection:
                    position = await current_position(connection)
                self._listeners.add(listener)
                self._task = asyncio.create_task(self._read(position))
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def _read(self, position: Position) -> None:
        pause = self._poll
        while self._listeners and not self.closing.is_set():
            try:
                async with self._database.system() as connection:
                    messages, position = await read_after(connection, position, BATCH)
                pause = 0.0 if len(messages) == BATCH else self._poll
            except Exception as error:  # noqa: BLE001 - the reader outlives whatever happens to it
                log.warning("hub_waits", error=repr(translate(error) or error))
                messages, pause = [], min(max(pause * 2, 0.5), LONGEST_PAUSE)
            self._tell(messages)
            await asyncio.sleep(pause)

    def _tell(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        by_tenant: dict[UUID, list[Listener]] = {}
        for listener in self._listeners:
            by_tenant.setdefault(listener.tenant_id, []).append(listener)
        for message in messages:
            for listener in by_tenant.get(message.tenant_id, ()):
                listener.offer(message)


def close_on_exit(hub: Hub) -> None:
    """End all streams as soon as the server is told to stop: it waits for open connections before it says so to us.

    uvicorn keeps what it was told to itself, so its signal handlers are called through ours. Under any other server,
    and in tests, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if callable(before) and hasattr(getattr(before, "__self__", None), "should_exit"):
            signal.signal(number, _both(before, loop, hub))


def _both(
    before: Callable[[int, FrameType | None], Any], loop: asyncio.AbstractEventLoop, hub: Hub
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(hub.close)
        before(number, frame)

    return handle
