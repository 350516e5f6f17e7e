"""Fixtures for loyalty."""

import pytest

from tests.loyalty.shop import Shop


@pytest.fixture
def shop(database, tenant):
    """A shop with a clock of its own: one point per yuan, usable at once, for ever."""
    return Shop(database, tenant)
