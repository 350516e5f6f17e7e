"""Forgetting old codes."""

from crm_api.core.work import Schedule
from crm_api.db.pool import Database
from crm_api.verification.repository import forget_old

_BATCH = 10_000


async def forget(database: Database) -> None:
    """Delete verifications as old as the messages that are deleted: they hold addresses."""
    while True:
        async with database.system() as connection:
            if await forget_old(connection, database.settings.message_days, _BATCH) < _BATCH:
                return


SCHEDULES = (Schedule("verification.forget", "47 3 * * *", forget),)
