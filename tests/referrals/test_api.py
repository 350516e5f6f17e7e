"""Referrals over REST and GraphQL, and what an erasure leaves."""

import asyncio
from datetime import timedelta

import pytest

from crm_api.privacy.models import ErasureCreate, PrivacySettingsUpdate
from crm_api.privacy.runner import ErasureRun
from crm_api.privacy.service import ErasureService, PrivacySettingsService
from crm_api.referrals.jobs import give_up, settle_one

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

TERMS = {"name": "老带新", "friend_reward": {"points": 100}, "link_template": "https://shop.example.com/?ref={code}"}


async def posted(client, path, body, status=201, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.post(f"/v1{path}", json=body, headers=named)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def customers(client, *names):
    return [(await posted(client, "/customers", {"name": name}))["id"] for name in names]


async def test_rest_from_programme_to_decision(client):
    programme = await posted(client, "/referral-programmes", TERMS)
    assert (programme["window_days"], programme["checks"]["existing_customer"]) == (7, "void")
    assert programme["friend_reward"] == {"points": 100, "voucher_campaign_id": None}
    path = f"/v1/referral-programmes/{programme['id']}"
    for version, status in (("9", 412), ("1", 200)):
        changed = await client.patch(path, json={"checks": {"cap": "off"}}, headers={"if-match": f'"{version}"'})
        assert changed.status_code == status, changed.text
    assert {name for name, answer in changed.json()["checks"].items() if answer == "off"} == {"cap"}

    wang, li = await customers(client, "王", "李")
    codes = f"/referral-programmes/{programme['id']}/codes"
    code = await posted(client, codes, {"customer_id": wang})
    assert code["link"] == f"https://shop.example.com/?ref={code['code']}"
    assert await posted(client, codes, {"customer_id": wang}, 200) == code

    body = {"code": code["code"], "customer_id": li, "device_id": "dev-1"}
    once = await asyncio.gather(*(posted(client, "/referrals", body, idempotency_key="k1") for _ in range(2)))
    assert once[0] == once[1]
    refused = await posted(client, "/referrals", body, 409)
    assert (refused["code"], refused["referral_id"]) == ("already_referred", once[0]["id"])
    await posted(client, "/referrals/signals", {"customer_id": wang, "kind": "device", "value": "dev-1"}, 204)

    referral = f"/referrals/{once[0]['id']}"
    voided = await posted(client, f"{referral}/transitions", {"action": "void", "reason": "测试"}, 200)
    assert (voided["state"], voided["void_reason"], voided["void_reason_zh"]) == ("voided", "rejected", "人工作废")
    assert voided["steps"] == [{"action": "reopen", "to": "signed_up"}]
    refused = await posted(client, f"{referral}/transitions", {"action": "approve", "reason": "x"}, 409)
    assert (refused["code"], refused["allowed"]) == ("transition_not_allowed", voided["steps"])
    events = (await client.get(f"/v1{referral}/events")).json()["data"]
    assert [(each["number"], each["action"], each["note"]) for each in events] == [
        (1, "sign_up", None),
        (2, "void", "测试"),
    ]
    found = (await client.get(f"/v1/referrals?state=voided&referrer_id={wang}")).json()["data"]
    assert [each["id"] for each in found] == [once[0]["id"]]
    kinds = [
        [each["kind"] for each in (await client.get(f"/v1/customers/{who}/timeline")).json()["data"]]
        for who in (wang, li)
    ]
    assert [kind[0] for kind in kinds] == ["referral", "referred"]


async def test_graphql_does_the_same(client):
    async def ask(text, **given):
        answer = (await client.post("/graphql", json={"query": text, "variables": {"input": given}})).json()
        assert "errors" not in answer, answer
        [payload] = answer["data"].values()
        return payload

    made = await ask(
        """mutation ($input: ReferralProgrammeCreateInput!) { referralProgrammeCreate(input: $input) {
          programme { id friendReward { points } checks { cycle } } userErrors { code path } } }""",
        name="老带新",
        friendReward={"points": 100},
    )
    assert made["programme"]["checks"]["cycle"] == "FLAG"
    wang, li = await customers(client, "王", "李")
    given = await ask(
        """mutation ($input: ReferralCodeGiveInput!) { referralCodeGive(input: $input) {
          isNew code { code customer { name } } userErrors { code } } }""",
        id=made["programme"]["id"],
        customerId=wang,
    )
    assert (given["isNew"], given["code"]["customer"]) == (True, {"name": "王"})
    sign_up = """mutation ($input: ReferralSignUpInput!) { referralSignUp(input: $input) {
      referral { id state version referrer { name } friend { cameBy { nodes { state } } } }
      userErrors { code path } } }"""
    done = await ask(sign_up, code=given["code"]["code"], customerId=li)
    assert done["referral"]["friend"] == {"cameBy": {"nodes": [{"state": "SIGNED_UP"}]}}
    own = await ask(sign_up, code=given["code"]["code"], customerId=wang)
    assert (own["referral"], own["userErrors"][0]["code"]) == (None, "self_referral")
    moved = await ask(
        """mutation ($input: ReferralTransitionInput!) { referralTransition(input: $input) {
          referral { state voidReason voidReasonEn events { nodes { action note } } } userErrors { code } } }""",
        id=done["referral"]["id"],
        action="VOID",
        reason="x",
        expectedVersion=1,
    )
    assert moved["referral"]["voidReasonEn"] == "Voided by a person"
    assert moved["referral"]["events"]["nodes"][-1] == {"action": "void", "note": "x"}
    noted = await ask(
        """mutation ($input: ReferralNoteSignalInput!) { referralNoteSignal(input: $input) {
          customer { name } userErrors { code } } }""",
        customerId=wang,
        kind="PAYMENT_ACCOUNT",
        value="alipay-1",
    )
    assert noted["customer"] == {"name": "王"}


async def test_an_erasure_leaves_states_and_codes_of_reasons(shop, database, tenant):
    referrer, friend, referral = await shop.pair(window_days=0)
    await shop.order(friend)
    await shop.settle()
    open_referrer, open_friend, still_open = await shop.pair((await shop.case(referral)).programme_id)
    for who in (referrer, open_friend):
        settings = PrivacySettingsUpdate(erasure_waiting_days=0)
        await shop.run(lambda unit, data=settings: PrivacySettingsService(unit).configure(data))
        erasure = await shop.run(lambda unit, who=who: ErasureService(unit).request(who, ErasureCreate()))
        await ErasureRun(database, tenant.id, erasure).run()
    await shop.settle()
    [row] = await shop.rows("SELECT state, friend_id FROM referrals WHERE id = $1", referral)
    assert tuple(row) == ("rewarded", friend)
    [row] = await shop.rows("SELECT state, void_reason FROM referrals WHERE id = $1", still_open)
    assert tuple(row) == ("voided", "customer_gone")
    said = await shop.rows("SELECT note, data FROM referral_events WHERE referral_id = $1", referral)
    assert {(each["note"], str(each["data"])) for each in said} == {(None, "{}")}
    codes = await shop.rows("SELECT customer_id FROM referral_codes WHERE tenant_id = $1", tenant.id)
    assert [each["customer_id"] for each in codes] == [open_referrer]


async def test_the_job_settles_one_and_says_why_it_gave_up(shop, database, tenant):
    _, friend, referral = await shop.pair(window_days=0)
    await shop.order(friend)
    await shop.hear()
    [queued] = await shop.rows(
        "SELECT payload FROM pgqueuer WHERE entrypoint = 'referrals.settle' AND position($1 IN convert_from(payload, "
        "'UTF8')) > 0",
        str(referral),
    )
    assert queued["payload"]
    payload = {"tenant_id": str(tenant.id), "referral_id": str(referral)}
    await settle_one(database, payload)
    await settle_one(database, payload)
    assert await shop.state(referral) == "rewarded"
    await give_up(database, payload, "lost the connection")
    assert (await shop.case(referral)).failure is None  # there is nothing left to book
    await shop.decide(referral, "void")
    await give_up(database, payload, "lost the connection")
    case = await shop.case(referral)
    assert (case.failure.code, case.due_at - shop.clock.now()) == ("given_up", timedelta(hours=1))
