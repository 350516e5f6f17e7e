"""One application for all tests of a module; each test has a shop of its own."""

import pytest_asyncio

from tests.households.home import home, open_house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(settings):
    """The application, its clock standing still."""
    async with open_house(settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def here(house):
    """A shop at noon."""
    async with home(house) as made:
        yield made
