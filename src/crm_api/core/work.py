"""What a domain asks of the worker; each domain's ``jobs.py`` lists its own.

``SUBSCRIBERS``
    react to outbox messages. A handler gets a write unit of one tenant and a batch of that tenant's messages, oldest
    first; its effects and the note that the messages were handled commit together, so each message has its effect
    exactly once however often a worker dies.
``JOBS``
    long work that was enqueued (``unit.enqueue(name, payload)``). A handler gets the database and the payload, keeps
    a cursor in its own table and resumes from it: it may be started again after a crash.
``SCHEDULES``
    jobs started by the clock, for all tenants at once or looping over them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_api.core.messages import Message

MessageHandler = Callable[[Any, Sequence[Message]], Awaitable[None]]
"""``async def handle(unit: UnitOfWork, messages)``."""

JobHandler = Callable[[Any, Mapping[str, Any]], Awaitable[None]]
"""``async def run(database: Database, payload)``; the payload has ``tenant_id`` (text) besides what was enqueued."""


GiveUpHandler = Callable[[Any, Mapping[str, Any], str], Awaitable[None]]
"""``async def give_up(database: Database, payload, reason)``."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A reaction to messages.

    Attributes:
        name: stable; the reading position and receipts are kept under it.
        types: message types it wants.
        handle: must be safe to run again after a rollback.

    """

    name: str
    types: frozenset[str]
    handle: MessageHandler


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of long work.

    Attributes:
        name: stable.
        run: does it, from wherever it stands.
        give_up: called instead of another attempt when it failed too often, so that its own row says why; must be
            safe to run again.

    """

    name: str
    run: JobHandler
    give_up: GiveUpHandler | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Work started by the clock.

    Attributes:
        name: stable.
        cron: five fields, UTC.
        run: ``async def run(database)``.

    """

    name: str
    cron: str
    run: Callable[[Any], Awaitable[None]]
