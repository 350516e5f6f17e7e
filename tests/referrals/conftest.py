"""Fixtures for referrals."""

import pytest

from tests.referrals.shop import Shop


@pytest.fixture
def shop(database, tenant):
    """A shop with a clock of its own."""
    return Shop(database, tenant)
