"""Fixtures for earning rules."""

import pytest

from tests.earning.shop import Shop


@pytest.fixture
def shop(database, tenant):
    """A shop with a clock of its own: one point per yuan of its own formula, no rules."""
    return Shop(database, tenant)
