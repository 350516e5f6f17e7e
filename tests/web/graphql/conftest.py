"""An engine over the zoo."""

import orjson
import pytest
import pytest_asyncio

from crm_api.core.clock import FixedClock
from crm_api.web import aliases
from crm_api.web.graphql.engine import Request
from tests.support import zoo


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def zoo_url(database_server):
    with database_server.database() as url:
        await zoo.build(url)
        yield url


@pytest.fixture(scope="package")
def declared():
    """For tests that build an engine of their own: other packages' tests may run before them, and forget the zoo."""
    with zoo.declared():
        yield


@pytest.fixture(scope="package")
def engine(declared):
    return zoo.engine()


@pytest_asyncio.fixture
async def zoo_database(zoo_url, monkeypatch):
    async def nobody(_database, _actor, _ids):
        return {}

    # Nothing in the zoo takes another's place, and it has none of the tables in which that would stand.
    monkeypatch.setattr(aliases, "look_up", nobody)
    database = zoo.ZooDatabase(zoo_url, FixedClock(zoo.START))
    yield database
    await database.close()


class Client:
    """Sends documents to the engine."""

    def __init__(self, engine, database) -> None:
        self.engine = engine
        self.database = database

    async def answer(self, query, variables=None, *, actor=None, **options):
        return await self.engine.run(Request(query, variables or {}, **options), actor or zoo.actor(), self.database)

    async def __call__(self, query, variables=None, **options):
        return orjson.loads((await self.answer(query, variables, **options)).body)

    async def data(self, query, variables=None, **options):
        body = await self(query, variables, **options)
        assert "errors" not in body, body
        return body["data"]


@pytest.fixture
def ask(engine, zoo_database):
    return Client(engine, zoo_database)
