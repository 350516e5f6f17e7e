"""A shop in a database of its own: nothing but the test changes it, so a digest tells of every change."""

import asyncpg
import pytest_asyncio

from crm_api.db.pool import Database
from crm_api.settings import Settings
from tests.bad_input.world import Shop, digest, watch
from tests.support.api import application, client_of, make_tenant


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(database_server):
    """A shop, a neighbour, and the owner's view of the tables."""
    with database_server.migrated() as url:
        settings = Settings(database_url=url)
        mine, theirs = await make_tenant(settings), await make_tenant(settings)
        database = await Database.open(settings)
        owner = await asyncpg.connect(url)
        async with (
            application(settings, database) as app,
            client_of(app, mine.key) as client,
            client_of(app, theirs.key) as other,
        ):
            made = Shop(client)
            await made.build(other)
            await made.run_jobs(database, mine.id)
            made.owner = owner
            await watch(owner)
            made.written, made.digest = 0, await digest(owner)
            yield made
            assert await digest(owner) == made.digest
        await database.close()
        await owner.close()
