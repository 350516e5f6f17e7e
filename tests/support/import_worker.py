"""A process that runs one import's job, to be killed.

``python import_worker.py URL TENANT IMPORT CHUNK LEASE [undo]``
"""

import asyncio
import sys
from uuid import UUID

import crm_api.registry  # noqa: F401 - loads every table
from crm_api.db.pool import Database
from crm_api.exchange.runner import ImportRun
from crm_api.exchange.undo import UndoRun
from crm_api.settings import Settings


async def main() -> None:
    url, tenant, import_id, chunk, lease, *what = sys.argv[1:]
    database = await Database.open(Settings(database_url=url), worker=True)
    sys.stdout.write("running\n")
    sys.stdout.flush()
    run = UndoRun if what == ["undo"] else ImportRun
    await run(database, UUID(tenant), UUID(import_id), chunk=int(chunk), lease=float(lease)).run()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
