"""The months of the events table: made ahead, and dropped when nobody keeps them any more."""

from typing import Final

import structlog

from crm_api.db.pool import Database
from crm_api.events.repository import drop_expired_partitions, make_partition, missing_months

log = structlog.get_logger(__name__)

AHEAD: Final = 3
"""Months for which a partition is there before they begin."""


async def keep_partitions(database: Database) -> None:
    """Make what is missing, each month in a transaction of its own, and drop what is past all retention.

    Events whose month had no partition are in the default one and move along. Who holds the table for more than a
    second makes this fail; it is tried again at the next hour.
    """
    async with database.system() as connection:
        months = await missing_months(connection, AHEAD)
    for month in months:
        async with database.system() as connection:
            if await make_partition(connection, month):
                log.info("events_partition_made", month=str(month))
    async with database.system() as connection:
        dropped = await drop_expired_partitions(connection)
    if dropped:
        log.info("events_partitions_dropped", partitions=dropped)
