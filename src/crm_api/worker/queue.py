"""Long work and schedules, run by pgqueuer.

pgqueuer re-picks a job whose worker stopped sending heartbeats, so a killed worker's jobs go on elsewhere; handlers
keep their own cursor and resume. Its own process ends when PostgreSQL goes away, hence the supervision here.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import structlog
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job as QueuedJob
from pgqueuer.models import Schedule as QueuedSchedule
from prometheus_client import Counter

from crm_api.core.work import Job, Schedule
from crm_api.db.failures import translate
from crm_api.db.pool import Database
from crm_api.web.telemetry import span

log = structlog.get_logger(__name__)

ATTEMPTS = 8
"""A job that raises this often is given up; its own row says why."""

LONGEST_PAUSE = 300

JOBS = Counter("crm_jobs", "Attempts at jobs by how they ended.", ["job", "outcome"])


def _decode(payload: bytes | None) -> Mapping[str, Any]:
    decoded: Mapping[str, Any] = orjson.loads(payload or b"{}")
    return decoded


async def run_job(database: Database, job: Job, queued: QueuedJob) -> None:
    """Run one job; what it raises is tried again later, each time after a longer pause."""
    payload = _decode(queued.payload)
    log.info("job_started", job=job.name, tenant_id=payload.get("tenant_id"), attempt=queued.attempts + 1)
    tenant_id, number = payload.get("tenant_id"), queued.attempts + 1
    try:
        with span(f"job {job.name}", job=job.name, tenant_id=tenant_id, attempt=number):
            await job.run(database, payload)
    except Exception as error:
        last = queued.attempts + 1 >= ATTEMPTS
        log.exception("job_failed", job=job.name, attempt=queued.attempts + 1, given_up=last)
        JOBS.labels(job.name, "given_up" if last else "failed").inc()
        if not last:
            raise RetryRequested(timedelta(seconds=pause_after(queued.attempts)), repr(error)) from error
        await _give_up(database, job, payload, error)
        raise
    JOBS.labels(job.name, "finished").inc()
    log.info("job_finished", job=job.name, tenant_id=payload.get("tenant_id"))


def pause_after(attempts: int) -> float:
    """Return how many seconds to wait after a failure that came after so many others."""
    return float(min(LONGEST_PAUSE, 2**attempts))


async def _give_up(database: Database, job: Job, payload: Mapping[str, Any], error: Exception) -> None:
    if job.give_up is None:
        return
    known = translate(error)
    # What users read holds no internals: an unknown error is in the log.
    reason = str(known) if known is not None else "internal error"
    try:
        await job.give_up(database, payload, f"Given up after {ATTEMPTS} attempts: {reason}")
    except Exception as failure:
        # The row must tell in the end: as long as it cannot, the job stays.
        raise RetryRequested(timedelta(seconds=LONGEST_PAUSE), repr(failure)) from failure


class JobRunner:
    """Runs jobs and schedules until told to stop."""

    def __init__(self, database: Database, jobs: Sequence[Job], schedules: Sequence[Schedule]) -> None:
        """Take the work of all domains."""
        self._database = database
        self._jobs = jobs
        self._schedules = schedules
        self._queue: PgQueuer | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Run, reconnecting whenever the database comes back."""
        pause = 0.5
        stopper = asyncio.create_task(self._pass_on(stop))
        try:
            while not stop.is_set():
                try:
                    await self._session(stop)
                    pause = 0.5
                except Exception as error:  # noqa: BLE001 - whatever ended the queue's loop, it is started again
                    log.warning("job_runner_waits", error=repr(error))
                if not stop.is_set():
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 10)
        finally:
            stopper.cancel()

    async def _pass_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        if self._queue is not None:
            self._queue.shutdown.set()

    async def _session(self, stop: asyncio.Event) -> None:
        settings = self._database.settings
        connection = await asyncpg.connect(
            settings.database_url,
            timeout=settings.connect_timeout,
            command_timeout=60,  # a connection that died without a word shall not hold the queue up for ever
            statement_cache_size=0 if settings.pgbouncer else 100,
            server_settings={"role": "crm_system", "timezone": "UTC", "application_name": "crm-api jobs"},
        )
        try:
            queue = self._queue = self._register(PgQueuer.from_asyncpg_connection(connection))
            if stop.is_set():
                return
            concurrency = settings.worker_concurrency
            await queue.run(
                dequeue_timeout=timedelta(seconds=2),
                batch_size=max(1, concurrency // 2),
                max_concurrent_tasks=max(2, concurrency),
                heartbeat_timeout=timedelta(seconds=settings.job_heartbeat_seconds * 2),
            )
        finally:
            self._queue = None
            await connection.close(timeout=2)

    def _register(self, queue: PgQueuer) -> PgQueuer:
        for job in self._jobs:
            self._register_job(queue, job)
        for schedule in self._schedules:
            self._register_schedule(queue, schedule)
        return queue

    def _register_job(self, queue: PgQueuer, job: Job) -> None:
        async def run(queued: QueuedJob) -> None:
            await run_job(self._database, job, queued)

        queue.entrypoint(job.name)(run)

    def _register_schedule(self, queue: PgQueuer, schedule: Schedule) -> None:
        async def run(_queued: QueuedSchedule) -> None:
            try:
                await schedule.run(self._database)
            except Exception:
                log.exception("schedule_failed", schedule=schedule.name)

        queue.schedule(schedule.name, schedule.cron)(run)
