"""The ledger against what is stored as standing, in the database: whatever is said, in whatever order."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm_api.consent.models import ConsentCreate
from crm_api.consent.service import ConsentService
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.db.pool import Database
from tests.support.api import make_tenant

pytestmark = pytest.mark.database

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = st.tuples(
    st.sampled_from(("marketing", "personalization", "guardian")),
    st.sampled_from(("any", "sms", "email")),
    st.sampled_from(("granted", "withdrawn")),
    st.one_of(st.none(), st.integers(0, 5)),
)


@pytest.fixture(scope="module")
def shop(settings):
    """A database driven from plain code."""
    with asyncio.Runner() as runner:
        database = runner.run(Database.open(settings))
        actor = runner.run(make_tenant(settings)).actor
        yield lambda work: runner.run(database.run(actor, work))
        runner.run(database.close())


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, max_size=8))
def test_what_stands_is_the_replay_of_the_ledger(shop, words):
    async def work(unit):
        service = ConsentService(unit)
        who = await CustomerService(unit).create(CustomerCreate(name="王小明"))
        for purpose, channel, action, hours in words:
            at = None if hours is None else START + timedelta(hours=hours)
            way = "any" if purpose == "guardian" else channel
            said = ConsentCreate(purpose=purpose, channel=way, action=action, source="test", at=at)
            await service.record(who, said)
        stands, replayed = await service.repository.standing(who), await service.replayed(who)
        await service.repository.rebuild([who])
        return stands, replayed, await service.repository.standing(who)

    stands, replayed, rebuilt = shop(work)
    assert stands == replayed == rebuilt
