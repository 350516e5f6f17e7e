"""Subject exports and erasures in GraphQL."""

import orjson
import pytest
import pytest_asyncio

from crm_api.registry import parts
from crm_api.web.graphql.app import compose
from crm_api.web.graphql.engine import Engine, Request
from crm_api.web.graphql.limits import Limits

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest.fixture(scope="module")
def engine():
    return Engine(compose([module.GRAPHQL for module in parts("graphql")]), Limits())


@pytest_asyncio.fixture
async def ask(engine, database, tenant):
    async def asked(text, **variables):
        answer = await engine.run(Request(text, variables), tenant.actor, database)
        body = orjson.loads(answer.body)
        assert "errors" not in body, body
        return body["data"]

    return asked


async def test_the_wishes_of_a_customer(ask):
    made = await ask('mutation { customerCreate(input: {name: "王小明"}) { customer { id } } }')
    who = made["customerCreate"]["customer"]["id"]
    done = await ask(
        """mutation ($id: ID!) {
             subjectExportStart(input: {id: $id}) { subjectExport { id state customerId } userErrors { code } }
             erasureRequest(input: {id: $id, reason: CUSTOMER_REQUEST}) {
               erasure { id state counts } userErrors { code } }
           }""",
        id=who,
    )
    assert done["subjectExportStart"]["subjectExport"]["state"] == "QUEUED"
    assert done["subjectExportStart"]["subjectExport"]["customerId"] == who
    erasure = done["erasureRequest"]["erasure"]
    assert (erasure["state"], erasure["counts"]) == ("WAITING", {})
    again = await ask(
        "mutation ($id: ID!) { erasureRequest(input: {id: $id}) { erasure { id } userErrors { code } } }", id=who
    )
    assert again["erasureRequest"]["userErrors"][0]["code"] == "erasure_pending"
    seen = await ask(
        """query ($id: ID!) { customer(id: $id) { erasures { nodes { id state } } subjectExports { totalCount } }
             privacySettings { erasureWaitingDays exportKeepDays } }""",
        id=who,
    )
    assert seen["customer"]["erasures"]["nodes"] == [{"id": erasure["id"], "state": "WAITING"}]
    assert seen["customer"]["subjectExports"]["totalCount"] == 1
    assert seen["privacySettings"] == {"erasureWaitingDays": 7, "exportKeepDays": 7}
    off = await ask(
        """mutation ($id: ID!) { erasureCancel(input: {id: $id}) { erasure { state } userErrors { code } }
             privacySettingsUpdate(input: {exportKeepDays: 3}) { erasureWaitingDays exportKeepDays } }""",
        id=erasure["id"],
    )
    assert off["erasureCancel"]["erasure"]["state"] == "CANCELLED"
    assert off["privacySettingsUpdate"] == {"erasureWaitingDays": 7, "exportKeepDays": 3}
