"""Fixtures for all tests. Tests keep out of each other's way by making a tenant of their own, not by truncating."""

import gc
import os
import sys
from pathlib import Path

import pytest

# `pytest` alone, unlike `python -m pytest`, leaves the root out, and tests share `tests.support`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crm_api.settings import Settings
from tests.support.api import app, client, database, other_tenant, pools, tenant
from tests.support.command_line import call
from tests.support.database import test_server

__all__ = ["app", "call", "client", "database", "other_tenant", "pools", "tenant"]


# As the application does: by Python's own thresholds a fifth of the suite's work was garbage collection.
gc.set_threshold(50_000, 50, 100)


def pytest_collection_finish():
    """Leave what lives to the end, thousands of collected tests and all they import, out of later collections."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _clean_environment():
    """Keep the developer's own settings out of the tests."""
    for name in [name for name in os.environ if name.startswith("CRM_") and not name.startswith("CRM_TEST_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def database_server():
    """The server databases are made on: a ``tests.support.database.TestServer``."""
    with test_server() as server:
        yield server


@pytest.fixture(scope="session")
def database_url(database_server):
    """URL of this worker's own migrated database."""
    with database_server.migrated() as url:
        yield url


@pytest.fixture
def empty_database_url(database_server):
    """URL of a database of this test's own with nothing in it."""
    with database_server.database() as url:
        yield url


@pytest.fixture
def own_database_url(database_server):
    """URL of a migrated database of this test's own, for tests that look at or break the whole database."""
    with database_server.migrated() as url:
        yield url


@pytest.fixture(scope="session")
def settings(database_url):
    """Settings that point to this worker's database."""
    return Settings(database_url=database_url)
