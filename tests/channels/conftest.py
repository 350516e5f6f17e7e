import pytest_asyncio

from tests.support.api import application, client_of


@pytest_asyncio.fixture
async def database(settings, pools):
    """The application's pools, where channels may reach this machine: the servers of these tests are on it."""
    async with pools.lend(settings.model_copy(update={"outbound_private_hosts": True})) as lent:
        yield lent


@pytest_asyncio.fixture
async def guarded(settings, pools, tenant):
    """A client of a server that reaches the public internet only, and its database."""
    async with (
        pools.lend(settings) as lent,
        application(settings, lent) as app,
        client_of(app, tenant.key) as client,
    ):
        yield client, lent
