"""Readiness tells what is missing."""

import pytest

from crm_api.settings import Settings
from tests.support.api import application, client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def ready(url):
    async with application(Settings(database_url=url)) as app, client_of(app, None) as client:
        return await client.get("/readyz")


async def test_a_migrated_database(database_url):
    response = await ready(database_url)
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


async def test_an_empty_database(empty_database_url):
    response = await ready(empty_database_url)
    assert response.status_code == 503
    assert "crm-api migrate" in response.json()["status"]


async def test_no_database_at_all():
    response = await ready("postgresql://nobody@/nothing?host=/nonexistent")
    assert (response.status_code, response.json()) == (503, {"status": "database unavailable"})
