"""Starting things: the bodies of the command line's longer commands."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any

from crm_api.settings import Settings

APP = "crm_api.app:create_app"

_GRACE_SECONDS = 20.0
_STEADY_SECONDS = 30.0
_LONGEST_PAUSE = 30.0


@contextmanager
def connected(settings: Settings) -> Iterator[Settings]:
    """Yield settings that name a database: the configured one, or the embedded server leased for this block.

    The URL also goes into the environment, where the processes we start, and ``create_app()``, find it.
    """
    if settings.database_url is not None:
        yield settings
        return
    from crm_api.db.embedded import EmbeddedServer  # noqa: PLC0415 - not wanted when a URL is given

    server = EmbeddedServer(settings.home)
    with _terminated_as_exit(), server.lease():
        url = server.url()
        os.environ["CRM_DATABASE_URL"] = url
        try:
            yield settings.with_database(url)
        finally:
            del os.environ["CRM_DATABASE_URL"]


@contextmanager
def _terminated_as_exit() -> Iterator[None]:
    """Turn SIGTERM into an ordinary exit, so that the lease is given back and the last one out stops the server."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def serve(settings: Settings, *, host: str, port: int, workers: int = 1, uds: str | None = None) -> None:
    """Run the API until it is told to stop, in ``workers`` processes."""
    import uvicorn  # noqa: PLC0415 - keeps other commands fast

    from crm_api.web.logs import configure_logging  # noqa: PLC0415 - the same

    if workers == 1:
        configure_logging(settings)
    else:
        # The process that watches over the others never makes the application, and starts again whatever ends: an
        # application that cannot be made would be tried for ever. So make it here once, and fail at once.
        import_module("crm_api.app").create_app(settings)
    uvicorn.run(
        APP,
        factory=True,
        host=host,
        port=port,
        uds=uds,
        workers=workers,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.graphql_message_bytes,
        ws_per_message_deflate=False,  # a small message may unpack to a big one, and ours are small
        lifespan="on",
        access_log=False,  # the application logs requests itself, with tenant and request id
        server_header=False,
        log_config=None,  # uvicorn's own lines take our format
        log_level=settings.log_level,
        timeout_graceful_shutdown=int(_GRACE_SECONDS) - 5,
    )


def work(settings: Settings, health_file: Path | None = None) -> None:
    """Run the worker until it is told to stop."""
    from crm_api.worker.run import run_worker  # noqa: PLC0415 - keeps other commands fast

    run_worker(settings, health_file)


# Development: API and worker in one command


def develop(settings: Settings, *, host: str, port: int) -> int:
    """Run API and worker side by side until Ctrl-C; return the exit status.

    The worker is started again when it dies (it does when the database goes away); when the API ends, all ends.
    """
    api = _Child("api", _serve_child, (settings, host, port))
    worker = _Child("worker", _work_child, (settings,))
    children = (api, worker)
    try:
        with _interrupts_as_exit():
            for child in children:
                child.start()
            while api.process.is_alive():
                api.process.join(0.2)
                worker.restart_if_dead()
    except KeyboardInterrupt:
        return 0
    else:
        return api.process.exitcode or 0
    finally:
        _stop(children)


@contextmanager
def background(settings: Settings, *, host: str, port: int) -> Iterator[None]:
    """Have API and worker running for the length of the block."""
    children = (_Child("api", _serve_child, (settings, host, port)), _Child("worker", _work_child, (settings,)))
    try:
        for child in children:
            child.start()
        yield
    finally:
        _stop(children)


class _Child:
    """A process that ends with us, however we end."""

    def __init__(self, name: str, target: Any, arguments: tuple[Any, ...]) -> None:
        self.name = name
        self._target = target
        self._arguments = arguments
        self._pause = 1.0
        self._next_start = 0.0
        self.process: SpawnProcess

    def start(self) -> None:
        self._started = time.monotonic()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_run_child, args=(self._target, self._arguments), name=self.name)
        self.process.start()

    def restart_if_dead(self) -> None:
        now = time.monotonic()
        if self.process.is_alive() or now < self._next_start:
            return
        if not self._next_start:
            # Longer pauses while it keeps dying at once; from the start again after a good while.
            steady = now - self._started > _STEADY_SECONDS
            self._pause = 1.0 if steady else min(self._pause * 2, _LONGEST_PAUSE)
            self._next_start = now + self._pause
            print(f"{self.name} ended ({self.process.exitcode}), again in {self._pause:.0f} s", file=sys.stderr)  # noqa: T201
            return
        self._next_start = 0.0
        self.start()


def _run_child(target: Any, arguments: tuple[Any, ...]) -> None:
    """Run ``target`` and leave when the parent has gone, even when it was killed."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    with suppress(KeyboardInterrupt):  # Ctrl-C reaches the whole group: no traceback for it
        target(*arguments)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _serve_child(settings: Settings, host: str, port: int) -> None:
    serve(settings, host=host, port=port)


def _work_child(settings: Settings) -> None:
    work(settings)


@contextmanager
def _interrupts_as_exit() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(children: tuple[_Child, ...]) -> None:
    """Ask politely, then insist. Ctrl-C has reached the children too: a second signal of another kind is harmless."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave orphans
    try:
        running = [child.process for child in children if hasattr(child, "process")]
        for process in running:
            if process.is_alive():
                process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
    finally:
        signal.signal(signal.SIGINT, before)
