"""The database goes away under load and comes back: 503 with Retry-After meanwhile, recovery without a restart."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from crm_api.db import migrate
from crm_api.db.embedded import EmbeddedServer
from crm_api.settings import Settings
from tests.support.api import application, client_of, make_tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.database, pytest.mark.slow]
QUERY = {"query": "{ customers { nodes { id } } }"}


async def test_503_and_recovery():
    with tempfile.TemporaryDirectory(prefix="crm-away-") as home:
        os.chmod(home, 0o755)  # noqa: PTH101, S103 - a moment, in a test; the server runs under another account
        server = EmbeddedServer(Path(home) / "home", durable=False)
        await asyncio.to_thread(server.start)
        try:
            await asyncio.to_thread(server.ensure_database)
            settings = Settings(database_url=server.url(), key_cache_seconds=0.001)
            await asyncio.to_thread(migrate.upgrade, settings.database_url)
            tenant = await make_tenant(settings)
            async with application(settings) as app, client_of(app, tenant.key) as client:
                for _ in range(2):
                    await _works(client)
                    await asyncio.to_thread(server.stop, force=True)
                    await _unavailable(client)
                    await asyncio.to_thread(server.start)
                    await _recovers(client)
        finally:
            await asyncio.to_thread(server.stop, force=True)


async def _works(client):
    assert (await client.post("/v1/customers", json={"name": "x"})).status_code == 201
    assert (await client.get("/v1/customers")).status_code == 200
    assert "errors" not in (await client.post("/graphql", json=QUERY)).json()
    assert (await client.get("/readyz")).status_code == 200


async def _unavailable(client):
    for _ in range(3):
        for method, path, body in (
            ("GET", "/v1/customers", None),
            ("POST", "/v1/customers", {"name": "lost"}),
            ("GET", "/readyz", None),
        ):
            answer = await client.request(method, path, json=body)
            assert answer.status_code == 503, f"{method} {path}: {answer.text}"
            assert int(answer.headers["retry-after"]) >= 1
        answer = await client.post("/graphql", json=QUERY)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json()["errors"][0]["extensions"]["code"] == "database_unavailable"
    assert (await client.get("/livez")).status_code == 200


async def _recovers(client):
    """By the second request of each kind at the latest: connections that died are replaced."""
    for _ in range(50):
        if (await client.get("/readyz")).status_code == 200:
            break
        await asyncio.sleep(0.1)
    for _ in range(8):
        await client.get("/v1/customers")
        await client.post("/graphql", json=QUERY)
    names = [each["name"] for each in (await client.get("/v1/customers")).json()["data"]]
    assert names
    assert "lost" not in names
    await _works(client)
