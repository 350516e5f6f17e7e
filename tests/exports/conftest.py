"""Somebody who exports."""

import pytest_asyncio

from tests.exports.support import Desk


@pytest_asyncio.fixture
async def desk(client, database, tenant):
    """The shop's owner at work."""
    return Desk(client, database, tenant)
