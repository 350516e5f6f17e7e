"""The worker process: one relay per subscriber and one job runner, until told to stop."""

import asyncio
import contextlib
import gc
import os
import signal
from pathlib import Path

import structlog
import uvloop
from prometheus_client import start_http_server

from crm_api import registry
from crm_api.db.failures import translate
from crm_api.db.pool import Database
from crm_api.settings import Settings
from crm_api.web.logs import configure_logging
from crm_api.web.telemetry import start_tracing, stop_tracing
from crm_api.worker import housekeeping, outbox
from crm_api.worker.queue import JobRunner
from crm_api.worker.relay import Relay

HEALTH_SECONDS = 5

log = structlog.get_logger(__name__)

GRACE_SECONDS = 10
"""A job that needs longer to stop is left to its heartbeat: another worker goes on with it."""


async def work(database: Database, stop: asyncio.Event) -> None:
    """Relay messages and run jobs until ``stop`` is set."""
    settings = database.settings
    relays = [Relay(database, each, settings.relay_batch) for each in registry.subscribers()]
    runner = JobRunner(database, registry.jobs(), [*registry.schedules(), *housekeeping.SCHEDULES])
    async with asyncio.TaskGroup() as tasks:
        for relay in relays:
            tasks.create_task(relay.run(stop, settings.relay_poll_seconds))
        tasks.create_task(runner.run(stop))


async def mend_restored(database: Database) -> None:
    """Look whether the database was restored on another server; one that is away now is not looked at."""
    try:
        if await outbox.rebase(database):
            log.warning("outbox_rebased")
    except Exception as error:
        known = translate(error)
        if known is None:
            raise
        log.warning("outbox_not_checked", error=repr(known))


def settle() -> None:
    """Leave what is alive now alone, and look for cycles less often: a third of an import's CPU went into that."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


async def show_health(path: Path, stop: asyncio.Event) -> None:
    """Touch a file as long as the event loop turns: a file older than half a minute belongs to a stuck worker."""
    while not stop.is_set():
        await asyncio.to_thread(path.touch)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), HEALTH_SECONDS)
    await asyncio.to_thread(path.unlink, missing_ok=True)


async def serve(settings: Settings, health_file: Path | None = None) -> None:
    """Run until SIGTERM or SIGINT, then finish what is in hand."""
    configure_logging(settings)
    start_tracing(settings, "crm-api-worker")
    if settings.worker_metrics_port is not None:
        start_http_server(settings.worker_metrics_port, settings.host)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    database = await Database.open(settings, worker=True)
    await mend_restored(database)
    settle()
    log.info("worker_started", pid=os.getpid())
    running = asyncio.create_task(work(database, stop))
    stopping = asyncio.create_task(stop.wait())
    healthy = asyncio.create_task(show_health(health_file, stop)) if health_file else stopping
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    done, _ = await asyncio.wait({running}, timeout=GRACE_SECONDS)
    if not done:
        # Cancelling would record the job as cancelled; vanishing leaves it to be resumed.
        log.warning("worker_leaves_jobs_to_others")
        os._exit(0)
    stop.set()
    await healthy
    await database.close()
    stop_tracing()
    running.result()
    log.info("worker_stopped")


def run_worker(settings: Settings, health_file: Path | None = None) -> None:
    """Run the worker in this process."""
    uvloop.run(serve(settings, health_file))
