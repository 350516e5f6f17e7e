"""Fixtures for tiers."""

import pytest

from tests.tiers.shop import Shop


@pytest.fixture
def shop(client, database, tenant):
    """A shop with a clock of its own, and tiers by what was spent in the last 12 months."""
    return Shop(client, database, tenant)
