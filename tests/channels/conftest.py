import pytest_asyncio

from crm_api.db.pool import Database
from tests.support.api import application, client_of


@pytest_asyncio.fixture
async def database(settings):
    """The application's pools, where channels may reach this machine: the servers of these tests are on it."""
    opened = await Database.open(settings.model_copy(update={"outbound_private_hosts": True}))
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def guarded(settings, tenant):
    """A client of a server that reaches the public internet only, and its database."""
    opened = await Database.open(settings)
    async with application(settings, opened) as app, client_of(app, tenant.key) as client:
        yield client, opened
    await opened.close()
