"""Campaigns, codes, vouchers given to customers, birthdays, ends."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from crm_api import admin
from crm_api.vouchers import codes as code_rules
from crm_api.vouchers import generation, jobs
from crm_api.vouchers.birthdays import give_birthday_vouchers
from crm_api.vouchers.models import VoucherLookup
from crm_api.vouchers.service import VoucherService
from tests.support.api import client_of
from tests.vouchers.shop import Shop, money

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@pytest_asyncio.fixture
async def shop(client, database, tenant):
    """A shop at a time that stands still."""
    return Shop(client, database, tenant)


class TestBatches:
    async def test_codes_are_made_in_chunks_and_a_killed_batch_goes_on(self, shop, monkeypatch):
        monkeypatch.setattr(generation, "CHUNK", 40)
        campaign = await shop.campaign(prefix="abc")
        path = f"/v1/voucher-campaigns/{campaign['id']}/batches"
        batch = (await shop.client.post(path, json={"count": 100})).json()
        assert (batch["state"], batch["made"]) == ("queued", 0)
        payload = {"tenant_id": str(shop.tenant.id), "batch_id": batch["id"]}
        add, calls = generation.CampaignRepository.add_vouchers, []

        async def dies_in_the_second_chunk(self, *given):
            calls.append(given)
            if len(calls) == 2:
                raise RuntimeError("killed")
            await add(self, *given)

        with monkeypatch.context() as killing:
            killing.setattr(generation.CampaignRepository, "add_vouchers", dies_in_the_second_chunk)
            with pytest.raises(RuntimeError, match="killed"):
                await jobs.generate(shop.database, payload)
        half = (await shop.client.get(f"/v1/voucher-batches/{batch['id']}")).json()
        assert (half["state"], half["made"]) == ("running", 40)
        # Two workers that go on with it at once do not make a code too many.
        await asyncio.gather(*(jobs.generate(shop.database, payload) for _ in range(2)))
        await jobs.give_up(shop.database, payload, "too late")
        done = (await shop.client.get(f"/v1/voucher-batches/{batch['id']}")).json()
        assert (done["state"], done["made"], done["error"]) == ("completed", 100, None)
        rows = [row["code"] for row in await shop.fetch("SELECT code FROM vouchers")]
        assert len(set(rows)) == len(rows) == 100
        assert all(code.startswith("ABC") and len(code) == 16 and code_rules.is_sound(code) for code in rows)
        assert (await shop.client.get(f"/v1/voucher-campaigns/{campaign['id']}")).json()["vouchers"] == 100

    async def test_a_code_that_is_taken_is_made_anew_and_a_failed_batch_says_why(self, shop, monkeypatch):
        campaign = await shop.campaign()
        [taken] = await shop.codes(campaign, 1)
        drawn = iter([taken, taken, *(code_rules.generate() for _ in range(9))])
        monkeypatch.setattr(generation.codes, "generate", lambda *_: next(drawn))
        assert len(await shop.codes(campaign, 3)) == 3
        path = f"/v1/voucher-campaigns/{campaign['id']}/batches"
        batch = (await shop.client.post(path, json={"count": 1})).json()
        payload = {"tenant_id": str(shop.tenant.id), "batch_id": batch["id"]}
        await jobs.give_up(shop.database, payload, "the disk is full")
        failed = (await shop.client.get(f"/v1/voucher-batches/{batch['id']}")).json()
        assert (failed["state"], failed["error"]) == ("failed", "the disk is full")

    async def test_a_prefix_does_not_make_codes_guessable(self, shop):
        body = {"name": "x", "kind": "free_shipping", "prefix": "ABCD", "code_length": 11}
        refused = await shop.client.post("/v1/voucher-campaigns", json=body)
        assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
            ("/code_length", "out_of_range")
        ]
        made = await shop.client.post("/v1/voucher-campaigns", json={**body, "code_length": 12})
        [code] = await shop.codes(made.json(), 1)
        assert (code[:4], len(code)) == ("ABCD", 16)

    async def test_one_shared_code_has_no_others(self, shop):
        campaign = await shop.campaign(shared_code="双十一")
        assert (campaign["shared_code"], campaign["vouchers"], campaign["uses_per_voucher"]) == ("双十一", 1, None)
        for path, body in (("batches", {"count": 1}), ("vouchers", {"customer_id": await shop.customer()})):
            answer = await shop.client.post(f"/v1/voucher-campaigns/{campaign['id']}/{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) in {(409, "no_codes"), (409, "shared_code")}


class TestCodes:
    async def test_only_who_may_reveal_them_sees_them(self, shop, app, settings):
        [code] = await shop.codes(await shop.campaign(), 1)
        key = (await admin.create_key(settings, shop.tenant.id, frozenset({"vouchers:read"}))).api_key
        async with client_of(app, key) as reader:
            listed = (await reader.get("/v1/vouchers")).json()["data"]
            found = await reader.post("/v1/vouchers/lookup", json={"code": f" {code[:4].lower()}-{code[4:]} "})
            assert [each["code"] for each in listed] == [f"…{code[-4:]}"] == [found.json()["code"]]
        found = await shop.client.post("/v1/vouchers/lookup", json={"code": code})
        assert found.json()["code"] == code

    async def test_a_slip_is_refused_without_asking_the_database(self, shop):
        class Untouchable:
            def __getattr__(self, name):
                raise AssertionError(name)

        async with shop.database.read(shop.tenant.actor) as unit:
            known, unit.connection = unit.connection, Untouchable()
            with pytest.raises(Exception, match="This is no code of ours") as caught:
                await VoucherService(unit).find(VoucherLookup(code="8xq7-bzwq-9fn3-e"))
            unit.connection = known
        assert caught.value.code == "malformed"

    async def test_a_code_is_found_by_one_index(self, shop, database_url):
        await shop.codes(await shop.campaign(), 500)
        owner = await asyncpg.connect(database_url)
        await owner.execute("ANALYZE vouchers")
        await owner.close()
        async with shop.database.read(shop.tenant.actor) as unit:
            plan = await unit.connection.fetch(
                "EXPLAIN SELECT id FROM vouchers WHERE tenant_id = $1 AND code = $2", shop.tenant.id, "X"
            )
        assert any("Index Cond" in row[0] and "code = " in row[0] for row in plan), plan


class TestGiven:
    async def test_the_same_key_gives_one_voucher(self, shop):
        ann, bob = await shop.customer("ann"), await shop.customer("bob")
        campaign = await shop.campaign(valid_days=30)
        first = await shop.issue(campaign, ann, key="k", reason="抱歉")
        assert (await shop.issue(campaign, ann, key="k"))["id"] == first["id"]
        assert (first["customer_id"], first["reason"], first["redeemed"]) == (ann, "抱歉", 0)
        assert first["expires_at"] == (shop.clock.now() + timedelta(days=30)).isoformat()
        path = f"/v1/voucher-campaigns/{campaign['id']}/vouchers"
        other = await shop.client.post(path, json={"customer_id": bob, "key": "k"})
        assert (other.status_code, other.json()["code"]) == (409, "key_reused")
        told = await shop.told("voucher.issued")
        assert [(str(subject), payload["customer_id"]) for subject, payload in told] == [(first["id"], ann)]
        assert first["code"] not in str(told)

    async def test_the_same_key_at_once_gives_one_voucher(self, shop):
        ann, campaign = await shop.customer(), await shop.campaign()
        given = await asyncio.gather(*(shop.issue(campaign, ann, key="k") for _ in range(6)))
        assert len({each["id"] for each in given}) == 1
        [row] = await shop.fetch("SELECT vouchers FROM voucher_campaigns")
        assert (row["vouchers"], len(await shop.told("voucher.issued"))) == (1, 1)

    async def test_taken_back_and_prolonged(self, shop):
        campaign = await shop.campaign(valid_days=1)
        mine = await shop.issue(campaign, await shop.customer())
        who = {"customer_id": mine["customer_id"]}
        used = await shop.issue(campaign, mine["customer_id"])
        assert (await shop.redeem("o1", used["code"], **who)).status_code == 201
        shop.clock.advance(timedelta(days=1))
        assert await shop.verdicts(mine["code"], **who) == ["expired"]
        await jobs.settle(shop.database, shop.tenant.id)
        await jobs.settle(shop.database, shop.tenant.id)
        assert [str(subject) for subject, _ in await shop.told("voucher.expired")] == [mine["id"]]
        path = f"/v1/vouchers/{mine['id']}"
        assert (await shop.client.patch(path, json={"expires_at": "2027-01-01T00:00:00Z"})).status_code == 200
        assert await shop.verdicts(mine["code"], **who) == [500]
        assert (await shop.client.patch(path, json={"state": "void"})).json()["state"] == "void"
        assert await shop.verdicts(mine["code"], **who) == ["void"]
        over = await shop.client.patch(f"/v1/voucher-campaigns/{campaign['id']}", json={"state": "archived"})
        assert over.json()["state"] == "archived"
        refused = await shop.client.post(f"/v1/voucher-campaigns/{campaign['id']}/vouchers", json=who)
        assert (refused.status_code, refused.json()["code"]) == (409, "campaign_over")

    async def test_lapsed_locks_are_written_down(self, shop):
        [code] = await shop.codes(await shop.campaign(), 1)
        await shop.lock("s1", code, seconds=60)
        shop.clock.advance(timedelta(seconds=61))
        await jobs.settle(shop.database, shop.tenant.id)
        listed = (await shop.client.get("/v1/vouchers/redemptions", params={"session_id": "s1"})).json()["data"]
        assert [(each["state"], each["ended_at"]) for each in listed] == [("lapsed", listed[0]["locked_until"])]


class TestBirthdays:
    async def test_once_a_year_solar_and_lunar_and_what_was_missed(self, shop):
        def born(calendar, month, day):
            return {"birthday": {"calendar": calendar, "month": month, "day": day}}

        # Seen from 1 May 2026, seven days ahead is 8 May, the 22nd of the third lunar month.
        solar = await shop.customer("solar", city="上海", **born("solar", 5, 8))
        lunar = await shop.customer("lunar", city="上海", **born("lunar", 3, 22))
        await shop.customer("elsewhere", city="北京", **born("solar", 5, 8))
        later = await shop.customer("later", city="上海", **born("solar", 5, 10))
        rule = {"field": "city", "op": "eq", "value": "上海"}
        campaign = await shop.campaign(birthday_days_before=7, rule=rule, valid_days=14)

        async def given():
            await give_birthday_vouchers(shop.database, shop.tenant.id)
            rows = await shop.fetch("SELECT customer_id, occasion FROM vouchers ORDER BY id")
            return [(str(row["customer_id"]), row["occasion"]) for row in rows]

        first = sorted([(solar, "birthday:2026"), (lunar, "birthday:2026")])
        assert sorted(await given()) == first
        assert sorted(await given()) == first, "the day is done"
        shop.clock.advance(timedelta(days=4))  # no worker ran on the 3rd, when the third birthday was due
        assert (await given())[2:] == [(later, "birthday:2026")]
        shop.clock.instant = datetime(2027, 5, 1, 4, tzinfo=UTC)
        assert (await given())[3:] == [(solar, "birthday:2027")]
        shop.clock.advance(timedelta(days=1))
        path = f"/v1/voucher-campaigns/{campaign['id']}"
        assert (await shop.client.patch(path, json={"birthday_days_before": None})).status_code == 200
        assert len(await given()) == 4


class TestGraphQL:
    async def test_a_checkout(self, shop):
        async def ask(query, **variables):
            answer = await shop.client.post("/graphql", json={"query": query, "variables": variables})
            assert "errors" not in answer.json(), answer.text
            return answer.json()["data"]

        make = """mutation { voucherCampaignCreate(input: {name: "x", kind: PERCENT, percent: 12.5, sharedCode: "may",
          usesPerVoucher: null, rule: "city is missing"}) {
            campaign { id percent sharedCode usesPerVoucher } userErrors { code } } }"""
        made = (await ask(make))["voucherCampaignCreate"]
        assert made["userErrors"] == []
        assert [made["campaign"][name] for name in ("percent", "sharedCode", "usesPerVoucher")] == [12.5, "MAY", None]
        buyer = await shop.customer()
        found = await ask("query { customers { nodes { id } } }")
        who = found["customers"]["nodes"][0]["id"]
        cart = {"currency": "CNY", "items": [{"sku": "a", "unitPrice": 999}]}
        given = {"codes": ["May"], "customerId": who, "cart": cart}
        tried = await ask(
            "query($in: VoucherValidateInput!) { voucherValidate(input: $in) "
            "{ total vouchers { verdict discount reason { code } } } }",
            **{"in": given},
        )
        assert tried["voucherValidate"]["total"] == 999 - 124
        assert tried["voucherValidate"]["vouchers"] == [{"verdict": "APPLICABLE", "discount": 124, "reason": None}]
        redeem = """mutation($in: VoucherRedeemInput!) { voucherRedeem(input: $in) {
          redemptions { id state discount { amount } voucher { redeemed campaign { redeemed } } }
          userErrors { code } } }"""
        for _ in range(2):
            used = (await ask(redeem, **{"in": {**given, "orderRef": "o1"}}))["voucherRedeem"]
            [use] = used["redemptions"]
            assert (use["state"], use["discount"]["amount"], use["voucher"]["redeemed"]) == ("REDEEMED", 124, 1)
        other = (await ask(redeem, **{"in": {**given, "codes": ["NOPE"], "orderRef": "o2"}}))["voucherRedeem"]
        assert other["userErrors"][0]["code"] == "not_found"
        back = await ask(
            'mutation { voucherRollbackOrder(input: {orderRef: "o1"}) { redemptions { state } userErrors { code } } }'
        )
        assert back["voucherRollbackOrder"]["redemptions"] == [{"state": "ROLLED_BACK"}]
        assert await shop.counted() == 0
        listed = (await shop.client.get(f"/v1/vouchers/redemptions?customer_id={buyer}")).json()["data"]
        assert [each["order_ref"] for each in listed] == ["o1"]


async def test_rules_can_name_vouchers(shop):
    ann, bob = await shop.customer("ann"), await shop.customer("bob")
    await shop.campaign(shared_code="FIVE", uses_per_voucher=None)
    await shop.redeem("o1", "FIVE", customer_id=ann)
    await shop.redeem("o2", "FIVE", customer_id=bob)
    await shop.roll_back("o2")
    shop.clock.advance(timedelta(seconds=1))
    rule = "voucher_redemptions.sum(discount, last 30d) >= 5 CNY"
    found = (await shop.client.post("/v1/customers/search", json={"rule": rule})).json()["data"]
    assert [each["id"] for each in found] == [ann]
    await shop.issue(await shop.campaign("own", amount_off=money(100)), bob)
    found = (await shop.client.post("/v1/customers/search", json={"rule": "vouchers.count >= 1"})).json()["data"]
    assert [each["id"] for each in found] == [bob]
