"""A process that runs one import's job, to be killed.

Forked from a server that has imported everything: starting Python and importing the product again for each of a dozen
processes would take longer than what they do.
"""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from uuid import UUID

import uuid_utils

import crm_api.registry  # noqa: F401 - loads every table
from crm_api.db.pool import Database
from crm_api.exchange.runner import ImportRun
from crm_api.exchange.undo import UndoRun
from crm_api.settings import Settings

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload([__name__])


@asynccontextmanager
async def working(
    url: str, tenant_id: UUID, import_id: str, *, chunk: int, lease: float, undo: bool = False
) -> AsyncIterator[BaseProcess]:
    """Have the job running for the length of the block; wait for its end, however it comes."""
    told, tell = _FORKED.Pipe(duplex=False)
    process = _FORKED.Process(target=_main, args=(tell, url, tenant_id, UUID(import_id), chunk, lease, undo))
    process.start()
    tell.close()
    await asyncio.to_thread(told.recv)
    told.close()
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    finally:
        await asyncio.to_thread(process.join)


def _main(tell: Connection, *arguments: object) -> None:
    uuid_utils.reseed_rng()  # siblings must not make the same ids
    asyncio.run(_work(tell, *arguments))


async def _work(
    tell: Connection, url: str, tenant_id: UUID, import_id: UUID, chunk: int, lease: float, undo: bool
) -> None:
    database = await Database.open(Settings(database_url=url), worker=True)
    tell.send("running")
    tell.close()
    await (UndoRun if undo else ImportRun)(database, tenant_id, import_id, chunk=chunk, lease=lease).run()
    await database.close()
