"""A tenant of a test's own, and a client that calls the application as that tenant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest_asyncio
from asgi_lifespan import LifespanManager

from crm_api import admin
from crm_api.app import create_app
from crm_api.core.actor import ADMIN, Actor
from crm_api.core.clock import Clock
from crm_api.db.pool import Database
from crm_api.settings import Settings
from crm_api.web.logs import configure_logging

_IDLE: list[Any] = []
"""Applications whose lifespan is over."""


@dataclass(frozen=True, slots=True)
class TestTenant:
    """A fresh tenant."""

    __test__ = False

    id: UUID
    key: str

    @property
    def actor(self) -> Actor:
        """Somebody who may do everything in this tenant."""
        return Actor(self.id, "key", self.id, frozenset({ADMIN}), "test")

    def actor_with(self, *scopes: str) -> Actor:
        """Somebody with only these scopes."""
        return Actor(self.id, "key", self.id, frozenset(scopes), "test")


async def make_tenant(settings: Settings, preset: str = "retail") -> TestTenant:
    """Create a tenant with its first key."""
    created = await admin.create_tenant(settings, "test shop", preset)
    return TestTenant(created.tenant_id, created.api_key)


@asynccontextmanager
async def application(settings: Settings, database: Database | None = None) -> AsyncIterator[Any]:
    """Run the application in this process: one that was built before, when it is free, for building takes a while."""
    app = next((idle for idle in _IDLE if idle.state.settings == settings), None)
    if app is None:
        app = create_app(settings)
    else:
        _IDLE.remove(app)
        configure_logging(settings)  # to this test's standard output
    app.state.lent = database
    async with LifespanManager(app) as manager:
        yield manager.app
    _IDLE.append(app)


@asynccontextmanager
async def client_of(app: Any, key: str | None, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """Call the application with a key."""
    if key is not None:
        headers = {"authorization": f"Bearer {key}", **headers}
    # What the application raises it must also answer; the transport shall not leak it into the test.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test", headers=headers) as client:
        yield client


class Pools:
    """Connections that one test leaves to the next: on new ones the server spends most of a test's work."""

    def __init__(self) -> None:
        """Start with none."""
        self._open: dict[tuple[str | None, bool], Database] = {}

    @asynccontextmanager
    async def lend(
        self, settings: Settings, clock: Clock | None = None, *, worker: bool = False
    ) -> AsyncIterator[Database]:
        """Lend a database of these settings; connections that the borrower leaves in use are ended with the rest."""
        key = settings.database_url, worker
        if key not in self._open:
            self._open[key] = await Database.open(settings, worker=worker)
        lent = Database(settings, clock, worker=worker)
        lent._pools = self._open[key]._pools
        try:
            yield lent
        finally:
            if any(count for _, state, count in lent.usage() if state == "busy"):
                await self._open.pop(key).close()

    async def close(self) -> None:
        """Close all connections."""
        for each in self._open.values():
            await each.close()


@pytest_asyncio.fixture(scope="module")
async def pools() -> AsyncIterator[Pools]:
    """Connections for the tests of a module."""
    opened = Pools()
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def database(settings: Settings, pools: Pools) -> AsyncIterator[Database]:
    """The application's own pools on this worker's database."""
    async with pools.lend(settings) as lent:
        yield lent


@pytest_asyncio.fixture
async def tenant(settings: Settings) -> TestTenant:
    """A tenant of this test's own."""
    return await _from_stock(settings)


@pytest_asyncio.fixture
async def other_tenant(settings: Settings) -> TestTenant:
    """Another merchant."""
    return await _from_stock(settings)


_STOCK: dict[str, list[TestTenant]] = {}
"""Tenants nobody has used yet, by database: on a warm connection one is made in a quarter of the time."""
_AT_ONCE = 20


async def _from_stock(settings: Settings) -> TestTenant:
    stock = _STOCK.setdefault(str(settings.database_url), [])
    if not stock:
        pools = await Database.open(settings)
        for _ in range(_AT_ONCE):
            created = await admin.create_tenant(settings, "test shop", database=pools)
            stock.append(TestTenant(created.tenant_id, created.api_key))
        await pools.close()
    return stock.pop()


@pytest_asyncio.fixture
async def app(settings: Settings, database: Database) -> AsyncIterator[Any]:
    """The application in this process."""
    async with application(settings, database) as running:
        yield running


@pytest_asyncio.fixture
async def client(app: Any, tenant: TestTenant) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the tenant's admin key."""
    async with client_of(app, tenant.key) as calling:
        yield calling
