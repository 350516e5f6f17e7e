"""Consent in GraphQL."""

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
    async def asked(text, actor=None, **variables):
        answer = await engine.run(Request(text, variables), actor or tenant.actor, database)
        body = orjson.loads(answer.body)
        assert "errors" not in body, body
        return body["data"]

    return asked


async def test_recording_and_asking(ask):
    made = await ask('mutation { customerCreate(input: {name: "王小明"}) { customer { id } } }')
    who = made["customerCreate"]["customer"]["id"]
    done = await ask(
        """mutation ($id: ID!) { consentRecord(input: {id: $id, purpose: "marketing", channel: SMS, action: GRANTED,
             source: "checkout", proof: {note: "电话录音"}}) {
             consent { id channel proof customer { id } }
             customer { consents { totalCount nodes { action } } }
             userErrors { code } } }""",
        id=who,
    )
    payload = done["consentRecord"]
    assert payload["userErrors"] == []
    assert payload["consent"]["customer"]["id"] == who
    assert payload["consent"]["proof"] == {"note": "电话录音"}
    assert payload["customer"]["consents"] == {"totalCount": 1, "nodes": [{"action": "GRANTED"}]}
    seen = await ask(
        """query ($id: ID!) {
             consentState(input: {id: $id}) { guardian purposes { purpose basis channels { channel allowed reason } } }
             consentEvaluate(input: {purpose: "marketing", channel: SMS, recipients: [{customerId: $id}]}) {
               decisions { allowed reason consentId } }
             customers(consent: "marketing.sms") { totalCount }
             consentSettings { guardianConsentRequired purposes } }""",
        id=who,
    )
    assert seen["consentState"]["purposes"][0]["purpose"] == "marketing"
    decision = seen["consentEvaluate"]["decisions"][0]
    assert (decision["allowed"], decision["reason"]) == (True, "GRANTED")
    assert seen["customers"]["totalCount"] == 1
    assert seen["consentSettings"] == {"guardianConsentRequired": True, "purposes": []}


async def test_user_errors_point_at_what_is_wrong(ask):
    made = await ask('mutation { customerCreate(input: {name: "王小明"}) { customer { id } } }')
    done = await ask(
        """mutation ($id: ID!) { consentRecord(input: {id: $id, purpose: "gossip", action: GRANTED, source: "x"}) {
             consent { id } userErrors { code } } }""",
        id=made["customerCreate"]["customer"]["id"],
    )
    assert done["consentRecord"]["consent"] is None
    assert done["consentRecord"]["userErrors"][0]["code"] == "unknown_purpose"


async def test_texts_and_settings(ask):
    text = await ask(
        """mutation { consentTextCreate(input: {purpose: "marketing", language: "zh", title: "同意", body: "我同意"}) {
             consentText { version language } } }"""
    )
    assert text["consentTextCreate"]["consentText"] == {"version": 1, "language": "zh"}
    changed = await ask(
        """mutation { consentSettingsUpdate(input: {purposes: ["newsletter"]}) {
             guardianConsentRequired purposes userErrors { code } } }"""
    )
    assert changed["consentSettingsUpdate"]["purposes"] == ["newsletter"]
    assert changed["consentSettingsUpdate"]["guardianConsentRequired"]
