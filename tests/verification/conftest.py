from datetime import UTC, datetime

import pytest
import pytest_asyncio

from crm_api.core.clock import FixedClock


@pytest.fixture
def clock():
    """A clock that moves when told to."""
    return FixedClock(datetime(2026, 11, 11, 3, 0, tzinfo=UTC))


@pytest_asyncio.fixture
async def database(settings, pools, clock):
    """The application's pools under that clock."""
    async with pools.lend(settings.model_copy(update={"outbound_private_hosts": True}), clock) as lent:
        yield lent
