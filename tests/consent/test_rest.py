"""Consent over REST."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from crm_api import admin
from crm_api.consent.service import ConsentService
from crm_api.core.errors import Conflict
from tests.exchange.files import imported, rows
from tests.support.api import client_of, make_tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def customer(client, mobile=None, **fields):
    contacts = [] if mobile is None else [{"kind": "mobile", "value": mobile}]
    response = await client.post("/v1/customers", json={"name": "王小明", "contact_points": contacts, **fields})
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def say(client, who, action="granted", purpose="marketing", channel="sms", expect=201, **more):
    body = {"purpose": purpose, "channel": channel, "action": action, "source": "checkout", **more}
    response = await client.post(f"/v1/customers/{who}/consents", json=body)
    assert response.status_code == expect, response.text
    return response.json()


async def ask(client, *recipients, purpose="marketing", channel="sms", expect=200):
    given = [each if isinstance(each, dict) else {"customer_id": each} for each in recipients]
    response = await client.post(
        "/v1/consents/evaluate", json={"purpose": purpose, "channel": channel, "recipients": given}
    )
    assert response.status_code == expect, response.text
    return response.json() if expect != 200 else response.json()["data"]


def error(body):
    return body["errors"][0]["pointer"], body["errors"][0]["code"]


class TestRecord:
    async def test_shows_what_was_said(self, client, tenant):
        who = await customer(client)
        text = (
            await client.post(
                "/v1/consent-texts", json={"purpose": "marketing", "language": "zh", "title": "同意", "body": "我同意"}
            )
        ).json()
        proof = {"url": "https://files.example.com/1.pdf", "sha256": "ab" * 32, "details": {"form": 7}}
        entry = await say(client, who, text_id=text["id"], proof=proof, at="2026-01-01T08:00:00+08:00")
        assert entry["customer_id"] == who
        assert entry["proof"] == proof
        assert entry["text_id"] == text["id"]
        assert entry["at"].startswith("2026-01-01T00:00:00")
        assert entry["actor_kind"] == "key"
        listed = (await client.get(f"/v1/customers/{who}/consents")).json()["data"]
        assert listed == [entry] == [(await client.get(f"/v1/consents/{entry['id']}")).json()]

    async def test_is_announced_and_audited(self, client, database, tenant):
        who = await customer(client)
        entry = await say(client, who, "withdrawn")
        async with database.read(tenant.actor) as unit:
            row = await unit.connection.fetchrow("SELECT * FROM outbox WHERE type = 'consent.withdrawn'")
            audit = await unit.connection.fetchval("SELECT operation FROM audit_log WHERE subject_id = $1", entry["id"])
        assert str(row["subject_id"]) == who
        assert row["payload"]["consent_id"] == entry["id"]
        assert audit == "consent.withdrawn"

    async def test_the_ledger_cannot_be_changed(self, client, database, tenant):
        await say(client, await customer(client))
        for statement in ("UPDATE consents SET action = 'withdrawn'", "DELETE FROM consents"):
            with pytest.raises(Exception, match="permission denied"):
                async with database.write(tenant.actor) as unit:
                    await unit.connection.execute(statement)

    async def test_what_is_sent_late_does_not_overrule_what_was_said_later(self, client):
        who = await customer(client)
        await say(client, who, "withdrawn", at="2026-03-01T00:00:00Z")
        await say(client, who, "granted", at="2026-02-01T00:00:00Z")
        assert (await ask(client, who))[0]["reason"] == "withdrawn"

    async def test_of_one_instant_the_last_recorded_counts(self, client):
        who = await customer(client)
        await say(client, who, "granted", at="2026-03-01T00:00:00Z")
        last = await say(client, who, "withdrawn", at="2026-03-01T00:00:00Z")
        assert (await ask(client, who))[0]["consent_id"] == last["id"]

    async def test_said_without_a_time_is_said_last_whatever_the_clocks_say(self, client, database, tenant):
        who = await customer(client)
        ahead = datetime.now(UTC) + timedelta(seconds=30)
        async with database.write(tenant.actor) as unit:  # another server's clock
            unit.now = lambda: ahead
            from crm_api.consent.models import ConsentCreate  # noqa: PLC0415 - beside its only use

            granted = ConsentCreate(purpose="marketing", channel="sms", action="granted", source="x")
            await ConsentService(unit).record(who, granted)
        await say(client, who, "withdrawn", channel="any")
        assert (await ask(client, who))[0]["reason"] == "withdrawn"

    @pytest.mark.parametrize(
        ("wrong", "pointer", "code"),
        [
            ({"purpose": "gossip"}, "/purpose", "unknown_purpose"),
            ({"purpose": "transactional"}, "/purpose", "consent_not_needed"),
            ({"purpose": "guardian", "channel": "sms"}, "/channel", "not_expected"),
            ({"text_id": str(uuid4())}, "/text_id", "unknown_reference"),
            ({"at": "2999-01-01T00:00:00Z"}, "/at", "in_the_future"),
            ({"proof": {"details": {"x": "y" * 5000}}}, "/proof/details", "too_long"),
            ({"proof": {"url": "http://example.com"}}, "/proof/url", "bad_format"),
        ],
    )
    async def test_refuses(self, client, wrong, pointer, code):
        who = await customer(client)
        assert error(await say(client, who, expect=422, **wrong)) == (pointer, code)
        assert (await client.get(f"/v1/customers/{who}/consents")).json()["data"] == []

    async def test_refuses_a_text_for_something_else(self, client):
        text = {"purpose": "analytics", "language": "en", "title": "x", "body": "y"}
        text_id = (await client.post("/v1/consent-texts", json=text)).json()["id"]
        assert error(await say(client, await customer(client), expect=422, text_id=text_id)) == (
            "/text_id",
            "other_purpose",
        )

    async def test_of_nobody(self, client):
        await say(client, uuid4(), expect=404)


class TestEvaluate:
    async def test_a_withdrawal_counts_from_its_answer_on(self, client):
        who = await customer(client)
        await say(client, who)

        async def sender(stop):
            """Ask as fast as can be; returns (asked at, allowed)."""
            seen = []
            while not stop.is_set():
                asked = asyncio.get_running_loop().time()
                seen.append((asked, (await ask(client, who))[0]["allowed"]))
            return seen

        stop = asyncio.Event()
        senders = [asyncio.create_task(sender(stop)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await say(client, who, "withdrawn", channel="any")
        withdrawn = asyncio.get_running_loop().time()
        await asyncio.sleep(0.1)
        stop.set()
        answers = [each for seen in await asyncio.gather(*senders) for each in seen]
        assert any(allowed for _, allowed in answers)
        assert [allowed for asked, allowed in answers if asked > withdrawn].count(True) == 0
        assert any(asked > withdrawn for asked, _ in answers)

    async def test_rivals_leave_what_the_ledger_says(self, client, database, tenant):
        who = await customer(client)
        await asyncio.gather(
            *(
                say(client, who, action, channel=channel)
                for action in ("granted", "withdrawn") * 3
                for channel in ("sms", "any")
            )
        )
        async with database.read(tenant.actor) as unit:
            service = ConsentService(unit)
            assert await service.repository.standing(UUID(who)) == await service.replayed(UUID(who))

    async def test_an_address_must_be_the_customers(self, client):
        who = await customer(client, "13812345678")
        await say(client, who)
        mine, foreign = {"customer_id": who, "address": "138 1234 5678"}, {"customer_id": who, "address": "13900000000"}
        assert (await ask(client, mine))[0]["allowed"]
        assert (await ask(client, foreign))[0]["reason"] == "unknown_address"
        assert (await ask(client, foreign, purpose="transactional"))[0]["allowed"]

    async def test_the_deleted_get_nothing(self, client):
        who = await customer(client)
        await say(client, who)
        await client.delete(f"/v1/customers/{who}")
        for purpose in ("marketing", "transactional", "personalization"):
            assert (await ask(client, who, purpose=purpose))[0] == {
                "customer_id": who,
                "allowed": False,
                "reason": "customer_gone",
                "consent_id": None,
                "at": None,
            }

    async def test_answers_in_the_order_asked(self, client):
        people = [await customer(client) for _ in range(3)]
        await say(client, people[1])
        assert [each["allowed"] for each in await ask(client, *people)] == [False, True, False]

    async def test_many_take_few_statements(self, client, database, tenant, monkeypatch):
        people = [await customer(client) for _ in range(20)]
        async with database.read(tenant.actor) as unit:
            statements = []
            fetch = unit.fetch_all
            monkeypatch.setattr(unit, "fetch_all", lambda *given: statements.append(given) or fetch(*given))
            decisions = await ConsentService(unit).may_send_many(dict.fromkeys(map(UUID, people)), "marketing", "sms")
        assert len(decisions) == 20
        assert len(statements) <= 3

    async def test_an_old_id_means_whom_it_became(self, client, database, tenant):
        who, loser = await customer(client), await customer(client)
        await say(client, loser)
        merged = await client.post("/v1/customers/merge", json={"winner_id": who, "loser_ids": [loser]})
        assert merged.status_code == 201, merged.text
        assert [each["allowed"] for each in await ask(client, who)] == [True]
        async with database.read(tenant.actor) as unit:
            decision = await ConsentService(unit).may_send(UUID(loser), "marketing", "sms")
            stands = await ConsentService(unit).repository.standing(UUID(who))
            assert stands == await ConsentService(unit).replayed(UUID(who))
        assert decision.allowed
        await say(client, who, "withdrawn", channel="any")
        undone = await client.post(f"/v1/merges/{merged.json()['id']}/undo")
        assert undone.status_code == 200, undone.text
        async with database.read(tenant.actor) as unit:
            service = ConsentService(unit)
            for each in (UUID(who), UUID(loser)):
                assert await service.repository.standing(each) == await service.replayed(each)

    async def test_points_at_whom_it_does_not_know(self, client, app, settings, other_tenant):
        async with client_of(app, other_tenant.key) as stranger:
            foreign = await customer(stranger)
        body = await ask(client, await customer(client), foreign, expect=404)
        assert error(body) == ("/recipients/1/customer_id", "unknown_customer")

    async def test_refuses_what_is_not_sent_for(self, client):
        who = await customer(client)
        assert error(await ask(client, who, purpose="guardian", expect=422)) == ("/purpose", "not_expected")
        assert error(await ask(client, who, purpose="gossip", expect=422)) == ("/purpose", "unknown_purpose")
        assert error(await ask(client, who, who, expect=422)) == ("/recipients", "duplicate")


class TestState:
    async def test_shows_each_purpose_and_channel(self, client):
        who = await customer(client)
        entry = await say(client, who, channel="any")
        await say(client, who, "withdrawn", channel="call")
        state = (await client.get(f"/v1/customers/{who}/consent-state")).json()
        assert not state["guardian"]
        by_purpose = {each["purpose"]: each for each in state["purposes"]}
        assert "guardian" not in by_purpose
        channels = {each["channel"]: each for each in by_purpose["marketing"]["channels"]}
        assert (channels["sms"]["allowed"], channels["sms"]["consent_id"]) == (True, entry["id"])
        assert (channels["call"]["allowed"], channels["call"]["reason"]) == (False, "withdrawn")
        assert by_purpose["personalization"]["basis"] == "objection"
        assert by_purpose["personalization"]["channels"][0]["allowed"]

    async def test_of_nobody(self, client):
        assert (await client.get(f"/v1/customers/{uuid4()}/consent-state")).status_code == 404

    async def test_lists_rules_and_decisions_agree(self, client):
        people = [await customer(client) for _ in range(6)]
        await say(client, people[0], channel="any")
        await say(client, people[1], channel="any")
        await say(client, people[1], "withdrawn")
        await say(client, people[2])
        await say(client, people[2], "withdrawn", channel="any")
        await say(client, people[3], "withdrawn", channel="any")
        await say(client, people[3])
        await say(client, people[4], "withdrawn", purpose="personalization", channel="any")
        for purpose in ("marketing", "personalization"):
            decided = {each["customer_id"] for each in await ask(client, *people, purpose=purpose) if each["allowed"]}
            listed = await client.get("/v1/customers", params={"consent": f"{purpose}.sms"})
            rule = {"field": f"consents.{purpose}.sms", "op": "eq", "value": True}
            found = await client.post("/v1/customers/search", json={"rule": rule})
            others = await client.post("/v1/customers/search", json={"rule": {"not": rule}})
            assert {each["id"] for each in listed.json()["data"]} == decided
            assert {each["id"] for each in found.json()["data"]} == decided
            assert {each["id"] for each in others.json()["data"]} == set(people) - decided

    async def test_rules_look_into_the_ledger(self, client):
        who = await customer(client)
        await customer(client)
        await say(client, who, source="douyin_live")
        source = {"field": "source", "op": "eq", "value": "douyin_live"}
        rule = {"aggregate": "count", "of": "consents", "where": source, "op": "gte", "value": 1}
        found = await client.post("/v1/customers/search", json={"rule": rule})
        assert [each["id"] for each in found.json()["data"]] == [who], found.text

    async def test_the_timeline_tells_it(self, client):
        who = await customer(client)
        entry = await say(client, who)
        told = (await client.get(f"/v1/customers/{who}/timeline", params={"kind": "consent"})).json()["data"]
        assert [(each["id"], each["data"]["purpose"]) for each in told] == [(entry["id"], "marketing")]

    async def test_the_filter_takes_the_scope(self, settings, tenant, app):
        made = await admin.create_key(settings, tenant.id, frozenset({"customers:read"}))
        async with client_of(app, made.api_key) as narrow:
            assert (await narrow.get("/v1/customers", params={"consent": "marketing.sms"})).status_code == 403


class TestGuardian:
    async def needed(self, database, tenant, who):
        async with database.read(tenant.actor) as unit:
            try:
                await ConsentService(unit).require_guardian(UUID(who))
            except Conflict as refused:
                return refused.code
        return None

    async def test_is_needed_until_given_and_again_when_taken_back(self, client, database, tenant):
        who = await customer(client)
        assert await self.needed(database, tenant, who) == "guardian_consent_required"
        await say(client, who, purpose="guardian", channel="any")
        assert await self.needed(database, tenant, who) is None
        await say(client, who, "withdrawn", purpose="guardian", channel="any")
        assert await self.needed(database, tenant, who) == "guardian_consent_required"

    async def test_a_shop_can_switch_it_off(self, client, database, tenant):
        settings = await client.patch("/v1/consent-settings", json={"guardian_consent_required": False})
        assert settings.json() == {"guardian_consent_required": False, "purposes": []}
        assert await self.needed(database, tenant, await customer(client)) is None


class TestChildWhoIsACustomer:
    """The birthday of a customer under 14 is stored while the guardian's consent stands at that customer."""

    CHILD = staticmethod(lambda: {"year": datetime.now(UTC).year - 5, "month": 3, "day": 8})

    async def test_one_at_a_time(self, client):
        body = {"name": "小宝", "birthday": self.CHILD()}
        refused = await client.post("/v1/customers", json=body)
        assert (refused.status_code, error(refused.json())) == (409, ("/birthday", "guardian_consent_required"))
        batch = (
            await client.post("/v1/customers/batch", json={"mode": "per_item", "items": [body, {"name": "x"}]})
        ).json()
        assert [each["status"] for each in batch["results"]] == [409, 201]
        who = await customer(client)
        path, news = f"/v1/customers/{who}", {"birthday": self.CHILD()}
        refused = (await client.patch(path, json=news)).json()
        assert (refused["code"], refused["customer_id"]) == ("guardian_consent_required", who)
        assert (await client.patch(path, json={"birthday": {"month": 3, "day": 8}})).status_code == 200
        await say(client, who, purpose="guardian", channel="any")
        assert (await client.patch(path, json=news)).json()["birthday"]["year"] == self.CHILD()["year"]
        await say(client, who, "withdrawn", purpose="guardian", channel="any")
        assert (await client.patch(path, json={**news, "city": "杭州"})).status_code == 200
        assert (await client.patch(path, json={"birthday": {**self.CHILD(), "day": 9}})).status_code == 409
        await client.patch("/v1/consent-settings", json={"guardian_consent_required": False})
        assert (await client.post("/v1/customers", json=body)).status_code == 201

    async def test_in_a_file(self, client, database):
        born, phones = f"{self.CHILD()['year']}-03-08", ("13800138001", "13800138002", "13800138003")
        agreed = await customer(client, phones[0])
        await say(client, agreed, purpose="guardian", channel="any")
        await customer(client, phones[1])
        lines = [f"小宝,{phone},{born}" for phone in phones] + ["妈妈,13800138004,1990-03-08"]
        data = "\n".join(["name,mobile,birthday", *lines, ""]).encode()
        for dry in ("true", "false"):
            done = await imported(client, database, data, dry_run=dry)
            assert (done["created"], done["updated"], done["failed"]) == (1, 1, 2)
            failed = await rows(client, done, verdict="failed")
            told = [(fault["column"], fault["code"]) for each in failed for fault in each["errors"]]
            assert told == [("birthday", "guardian_consent_required")] * 2
        assert (await client.get(f"/v1/customers/{agreed}")).json()["birthday"]["day"] == 8
        again = await imported(client, database, data)
        assert (again["unchanged"], again["failed"]) == (2, 2)


class TestTexts:
    async def test_versions_count_within_purpose_and_language(self, client):
        async def add(language):
            body = {"purpose": "marketing", "language": language, "title": "x", "body": "y"}
            return (await client.post("/v1/consent-texts", json=body)).json()["version"]

        made = await asyncio.gather(*(add("zh") for _ in range(4)), add("en"))
        assert (sorted(made[:4]), made[4]) == ([1, 2, 3, 4], 1)
        listed = (await client.get("/v1/consent-texts", params={"language": "zh", "limit": 1})).json()["data"]
        assert [each["version"] for each in listed] == [4]


class TestSettings:
    async def test_a_purpose_of_ones_own(self, client):
        who = await customer(client)
        await client.patch("/v1/consent-settings", json={"purposes": ["newsletter"]})
        await say(client, who, purpose="newsletter", channel="email")
        assert (await ask(client, who, purpose="newsletter", channel="email"))[0]["allowed"]
        state = (await client.get(f"/v1/customers/{who}/consent-state")).json()
        assert state["purposes"][-1]["purpose"] == "newsletter"

    async def test_refuses_a_built_in_one(self, client):
        refused = await client.patch("/v1/consent-settings", json={"purposes": ["newsletter", "marketing"]})
        assert error(refused.json()) == ("/purposes/1", "duplicate")
        assert (await client.get("/v1/consent-settings")).json()["purposes"] == []

    async def test_a_baby_store_begins_with_guardian_consent(self, settings, app):
        tenant = await make_tenant(settings, "baby-store")
        async with client_of(app, tenant.key) as parents:
            assert (await parents.get("/v1/consent-settings")).json()["guardian_consent_required"]
