"""Messages in the background."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.channels.delivery import Delivery, tell_ended
from crm_api.channels.repository import MessageRepository, forget_old
from crm_api.channels.service import JOB
from crm_api.core.actor import Actor
from crm_api.core.work import Job, Schedule
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork

_BATCH = 10_000


async def deliver(database: Database, payload: Mapping[str, Any]) -> None:
    """Make one attempt at a message."""
    await Delivery(database, UUID(payload["tenant_id"]), UUID(payload["message_id"])).run()


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Tell on the message that nobody will go on with it."""
    message_id = UUID(payload["message_id"])

    async def work(unit: UnitOfWork) -> None:
        row = await MessageRepository(unit).give_up(message_id, reason)
        if row is not None:
            tell_ended(unit, dict(row))

    await database.run(Actor.system(UUID(payload["tenant_id"]), f"message:{message_id}"), work)


async def forget(database: Database) -> None:
    """Delete old messages: they hold addresses."""
    while True:
        async with database.system() as connection:
            if await forget_old(connection, database.settings.message_days, _BATCH) < _BATCH:
                return


JOBS = (Job(JOB, deliver, give_up),)
SCHEDULES = (Schedule("channels.forget", "43 3 * * *", forget),)
