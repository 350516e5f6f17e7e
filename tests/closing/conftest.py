from datetime import UTC, datetime

import pytest
import pytest_asyncio

from crm_api.core.clock import FixedClock
from tests.closing.shop import Desk
from tests.support.receivers import http_receiver, smtp_server


@pytest.fixture
def clock():
    """A clock that moves when told to: noon in Shanghai."""
    return FixedClock(datetime(2026, 11, 23, 4, tzinfo=UTC))


@pytest_asyncio.fixture
async def database(settings, pools, clock):
    """The application's pools under that clock; channels may reach this machine."""
    async with pools.lend(settings.model_copy(update={"outbound_private_hosts": True}), clock) as lent:
        yield lent


@pytest_asyncio.fixture
async def mailbox():
    """A mail server."""
    async with smtp_server() as running:
        yield running


@pytest_asyncio.fixture
async def provider():
    """A provider of short messages."""
    async with http_receiver() as running:
        yield running


@pytest_asyncio.fixture
async def desk(client, database, tenant, clock):
    """Those who handle complaints."""
    return Desk(client, database, tenant, clock)
