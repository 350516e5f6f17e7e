"""The role that may overwrite what is append-only, inside a unit of work of the application's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crm_api.db.uow import UnitOfWork


@asynccontextmanager
async def as_system(unit: UnitOfWork) -> AsyncIterator[None]:
    """Take that role for the statements of the block; the tenant stays set. What it may: `protect.open_to_erasure`."""
    await unit.connection.execute("SET LOCAL ROLE crm_system")
    yield
    # Not in a finally: after an error the transaction is undone, and its role with it.
    await unit.connection.execute("SET LOCAL ROLE crm_app")
