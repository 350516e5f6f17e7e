"""One-time codes: sent, guessed, expired, limited, never leaked; a proved contact point is one living customer's."""

import asyncio
import logging
import re
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from crm_api.channels.jobs import deliver
from crm_api.customers.errors import ContactPointTaken
from crm_api.customers.service import ContactPointService, CustomerService
from crm_api.settings import Settings
from crm_api.verification import rules
from crm_api.verification.jobs import forget
from tests.support.receivers import http_receiver

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
MOBILE = {"kind": "mobile", "value": "13812345678"}


async def local(client):
    assert (await client.post("/v1/channels", json={"name": "try", "kind": "local"})).status_code == 201


async def person(client, *points, name="王小明"):
    """Make a customer; returns its id and those of its contact points."""
    body = {"name": name, "contact_points": list(points or [MOBILE])}
    made = await client.post("/v1/customers", json=body, headers={"x-allow-duplicate": "true"})
    assert made.status_code == 201, made.text
    return made.json()["id"], [each["id"] for each in made.json()["contact_points"]]


def path(customer_id, point_id):
    return f"/v1/customers/{customer_id}/contact-points/{point_id}/verification"


async def code_of(client, sent):
    """Read a code where only the local channel shows it."""
    message = (await client.get(f"/v1/channel-messages/{sent['message_id']}")).json()
    return re.search(r"\d{6}", message["body"])[0]


async def send(client, customer_id, point_id, **body):
    """Send a code; returns it, and the verification."""
    answer = await client.post(path(customer_id, point_id), json=body)
    assert answer.status_code == 202, answer.text
    return await code_of(client, answer.json()), answer.json()


async def check(client, customer_id, point_id, code):
    return await client.post(f"{path(customer_id, point_id)}/check", json={"code": code})


def wrong(code):
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def verified(client, customer_id):
    shown = (await client.get(f"/v1/customers/{customer_id}")).json()["contact_points"]
    return {each["value"]: each["verified_at"] for each in shown}


class TestTheWayItGoes:
    async def test_send_and_check(self, client, clock):
        await local(client)
        customer_id, (point_id,) = await person(client)
        code, sent = await send(client, customer_id, point_id)
        assert re.fullmatch(r"\d{6}", code)
        assert (sent["state"], sent["tries_left"], sent["kind"]) == ("open", 5, "mobile")
        assert sent["expires_at"] == "2026-11-11T03:05:00+00:00"
        assert sent["resend_at"] == "2026-11-11T03:01:00+00:00"
        clock.advance(timedelta(minutes=4, seconds=59))
        answer = await check(client, customer_id, point_id, code)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["state"], answer.json()["tries_left"]) == ("verified", 4)
        assert await verified(client, customer_id) == {"+8613812345678": "2026-11-11T03:04:59+00:00"}
        listed = (await client.get(f"/v1/contact-verifications?customer_id={customer_id}&state=verified")).json()
        assert [each["id"] for each in listed["data"]] == [sent["id"]]

    async def test_a_code_is_used_once(self, client):
        await local(client)
        customer_id, (point_id,) = await person(client)
        code, _ = await send(client, customer_id, point_id)
        assert (await check(client, customer_id, point_id, code)).status_code == 200
        for answer in (
            await check(client, customer_id, point_id, code),
            await client.post(path(customer_id, point_id)),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "already_verified")

    @pytest.mark.parametrize(
        ("language", "words"), [("zh", "您的验证码是"), ("en", "your verification code is"), (None, "您")]
    )
    async def test_wording(self, client, language, words):
        await local(client)
        customer_id, (point_id,) = await person(client)
        answer = await client.post(path(customer_id, point_id), json={"language": language} if language else None)
        message = (await client.get(f"/v1/channel-messages/{answer.json()['message_id']}")).json()
        assert words in message["body"]
        assert message["purpose"] == "verification"
        assert message["customer_id"] == customer_id

    async def test_over_a_real_provider(self, client, database, tenant):
        async with http_receiver() as provider:
            sms = {"url": provider.url, "body": {"to": "{to}", "c": "{code}"}}
            await client.post("/v1/channels", json={"name": "sms", "kind": "sms", "sms": sms})
            customer_id, (point_id,) = await person(client)
            sent = (await client.post(path(customer_id, point_id))).json()
            await deliver(database, {"tenant_id": str(tenant.id), "message_id": sent["message_id"]})
            code = re.search(rb'"c":"(\d{6})"', provider.requests[0].body)[1].decode()
        assert (await check(client, customer_id, point_id, code)).status_code == 200
        assert (await client.get(f"/v1/channel-messages/{sent['message_id']}")).json()["body"] is None

    async def test_graphql(self, client):
        await local(client)
        customer_id, (point_id,) = await person(client)
        send_ = """mutation($i: ContactPointVerificationSendInput!) {
          contactPointVerificationSend(input: $i) {
            verification { state message_id: messageId } userErrors { code } } }"""
        target = {"id": f"Customer:{customer_id}", "contactPointId": point_id}
        query = {"query": send_, "variables": {"i": {**target, "language": "EN"}}}
        sent = (await client.post("/graphql", json=query)).json()["data"]["contactPointVerificationSend"]
        assert sent["verification"]["state"] == "OPEN"
        code = await code_of(client, sent["verification"])
        again = (await client.post("/graphql", json=query)).json()
        assert again["errors"][0]["extensions"] == {"code": "too_soon", "retry_after": 60}
        check_ = """mutation($i: ContactPointVerificationCheckInput!) {
          contactPointVerificationCheck(input: $i) {
            verification { state triesLeft } customer { contactPoints { verifiedAt } }
            userErrors { code message path } } }"""
        answers = [
            (await client.post("/graphql", json={"query": check_, "variables": {"i": {**target, "code": each}}})).json()
            for each in (wrong(code), code)
        ]
        first, second = (answer["data"]["contactPointVerificationCheck"] for answer in answers)
        assert first["verification"] is None
        assert first["userErrors"] == [
            {"code": "code_wrong", "message": "The code is wrong; 4 tries left", "path": ["input", "code"]}
        ]
        assert second["verification"] == {"state": "VERIFIED", "triesLeft": 3}
        assert second["customer"]["contactPoints"][0]["verifiedAt"] is not None


class TestGuesses:
    async def test_wrong_ones_are_counted_though_they_fail(self, client):
        await local(client)
        customer_id, (point_id,) = await person(client)
        code, sent = await send(client, customer_id, point_id)
        for left in (4, 3, 2, 1, 0):
            answer = await check(client, customer_id, point_id, wrong(code))
            assert (answer.status_code, answer.json()["code"]) == (422, "code_wrong")
            assert answer.json()["tries_left"] == left
            assert answer.json()["errors"][0]["pointer"] == "/code"
        answer = await check(client, customer_id, point_id, code)
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many_tries")
        assert (await client.get(f"/v1/contact-verifications/{sent['id']}")).json()["state"] == "exhausted"
        assert list((await verified(client, customer_id)).values()) == [None]

    async def test_twenty_at_once_are_five(self, client):
        await local(client)
        customer_id, (point_id,) = await person(client)
        code, _sent = await send(client, customer_id, point_id)
        answers = await asyncio.gather(*(check(client, customer_id, point_id, wrong(code)) for _ in range(20)))
        codes = sorted(answer.json()["code"] for answer in answers)
        assert codes == ["code_wrong"] * 5 + ["too_many_tries"] * 15
        assert sorted(a.json()["tries_left"] for a in answers if a.status_code == 422) == [0, 1, 2, 3, 4]
        assert (await check(client, customer_id, point_id, code)).json()["code"] == "too_many_tries"

    async def test_the_right_one_among_many_counts_once(self, client):
        await local(client)
        customer_id, (point_id,) = await person(client)
        code, _ = await send(client, customer_id, point_id)
        answers = await asyncio.gather(*(check(client, customer_id, point_id, code) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]

    async def test_with_a_key_a_wrong_guess_is_counted_and_the_key_stays_free(self, client):
        await local(client)
        customer_id, (point_id,) = await person(client)
        code, _ = await send(client, customer_id, point_id)
        key = {"idempotency-key": "k"}
        for left in (4, 3):
            answer = await client.post(f"{path(customer_id, point_id)}/check", json={"code": wrong(code)}, headers=key)
            assert answer.json()["tries_left"] == left
        right = [
            await client.post(f"{path(customer_id, point_id)}/check", json={"code": code}, headers=key) for _ in "ab"
        ]
        assert [answer.status_code for answer in right] == [200, 200]
        assert right[1].headers["idempotency-replayed"] == "true"

    async def test_in_graphql_with_a_key_too(self, client):
        await local(client)
        customer_id, (point_id,) = await person(client)
        code, _ = await send(client, customer_id, point_id)
        document = """mutation($i: ContactPointVerificationCheckInput!) {
          contactPointVerificationCheck(input: $i) { userErrors { message } } }"""
        given = {"id": f"Customer:{customer_id}", "contactPointId": point_id, "code": wrong(code)}
        for left in (4, 3):
            answer = await client.post(
                "/graphql", json={"query": document, "variables": {"i": given}}, headers={"idempotency-key": "g"}
            )
            (error,) = answer.json()["data"]["contactPointVerificationCheck"]["userErrors"]
            assert error["message"] == f"The code is wrong; {left} tries left"

    async def test_another_customers_code_proves_nothing(self, client):
        await local(client)
        customer_id, (first, second) = await person(client, MOBILE, {"kind": "email", "value": "a@example.com"})
        code, _ = await send(client, customer_id, first)
        await send(client, customer_id, second)
        other_id, _ = await person(client, {"kind": "mobile", "value": "13912345678"}, name="李雷")
        assert (await check(client, other_id, first, code)).status_code == 404
        assert (await check(client, customer_id, second, code)).json()["code"] == "code_wrong"

    async def test_without_a_code(self, client):
        customer_id, (point_id,) = await person(client)
        assert (await check(client, customer_id, point_id, "000000")).json()["code"] == "no_code"

    async def test_too_late(self, client, clock):
        await local(client)
        customer_id, (point_id,) = await person(client)
        code, sent = await send(client, customer_id, point_id)
        clock.advance(timedelta(minutes=5))
        answer = await check(client, customer_id, point_id, code)
        assert (answer.status_code, answer.json()["code"]) == (409, "code_expired")
        assert (await client.get(f"/v1/contact-verifications/{sent['id']}")).json()["state"] == "expired"

    async def test_a_new_code_voids_the_old_one(self, client, clock):
        await local(client)
        customer_id, (point_id,) = await person(client)
        old, sent = await send(client, customer_id, point_id)
        clock.advance(timedelta(seconds=60))
        new, _ = await send(client, customer_id, point_id)
        if old != new:
            assert (await check(client, customer_id, point_id, old)).json()["code"] == "code_wrong"
        assert (await check(client, customer_id, point_id, new)).status_code == 200
        assert (await client.get(f"/v1/contact-verifications/{sent['id']}")).json()["state"] == "replaced"


class TestLimits:
    async def test_too_soon(self, client, clock):
        await local(client)
        customer_id, (point_id,) = await person(client)
        await send(client, customer_id, point_id)
        clock.advance(timedelta(seconds=18))
        answer = await client.post(path(customer_id, point_id))
        assert (answer.status_code, answer.json()["code"]) == (429, "too_soon")
        assert (answer.headers["retry-after"], answer.json()["retry_after"]) == ("42", 42)

    async def test_the_address_is_what_counts(self, client):
        """Neither another customer with the same number nor removing and adding it again gets round the limits."""
        await local(client)
        customer_id, (point_id,) = await person(client)
        await send(client, customer_id, point_id)
        other_id, (other_point,) = await person(client, name="李雷")
        assert (await client.post(path(other_id, other_point))).json()["code"] == "too_soon"
        await client.delete(f"/v1/customers/{customer_id}/contact-points/{point_id}")
        added = f"/v1/customers/{customer_id}/contact-points"
        again = (await client.post(added, json=MOBILE, headers={"x-allow-duplicate": "true"})).json()
        assert (await client.post(path(customer_id, again["contact_points"][0]["id"]))).json()["code"] == "too_soon"

    async def test_ten_a_day(self, client, clock):
        await local(client)
        customer_id, (point_id,) = await person(client)
        for _ in range(10):
            await send(client, customer_id, point_id)
            clock.advance(timedelta(minutes=10))
        answer = await client.post(path(customer_id, point_id))
        assert (answer.status_code, answer.json()["code"]) == (429, "daily_limit")
        assert int(answer.headers["retry-after"]) == timedelta(hours=24, minutes=-100).total_seconds()
        clock.advance(timedelta(hours=24, minutes=-100))
        await send(client, customer_id, point_id)

    async def test_the_tenants_limit_holds_for_parallel_senders(self, client, database):
        await local(client)
        database.settings = Settings(**{**database.settings.model_dump(), "codes_per_tenant_day": 3})
        people = [await person(client, {"kind": "email", "value": f"a{i}@example.com"}) for i in range(6)]
        answers = await asyncio.gather(*(client.post(path(each, points[0])) for each, points in people))
        assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 3

    async def test_what_failed_counts_for_nothing(self, client):
        customer_id, (point_id,) = await person(client)
        for _ in range(2):
            answer = await client.post(path(customer_id, point_id))
            assert (answer.status_code, answer.json()["code"]) == (409, "no_channel")
        await local(client)
        await send(client, customer_id, point_id)


class TestNothingLeaks:
    async def test_the_code_is_in_no_log_audit_outbox_or_answer(self, client, database, tenant, caplog):
        await local(client)
        customer_id, (point_id,) = await person(client)
        with capture_logs() as logs, caplog.at_level(logging.DEBUG):
            code, _ = await send(client, customer_id, point_id)
            sent = await client.get("/v1/contact-verifications")
            await check(client, customer_id, point_id, wrong(code))
            answer = await client.post(
                f"{path(customer_id, point_id)}/check", json={"code": code}, headers={"idempotency-key": "k"}
            )
            assert answer.status_code == 200
        async with database.write(tenant.actor) as unit:
            fetch = unit.connection.fetch
            kept = [
                *await fetch("SELECT before, after FROM audit_log WHERE tenant_id = $1", tenant.id),
                *await fetch("SELECT payload FROM outbox WHERE tenant_id = $1", tenant.id),
                *await fetch("SELECT body, headers FROM idempotency_keys WHERE tenant_id = $1", tenant.id),
                *await fetch("SELECT salt, code_hash FROM contact_verifications WHERE tenant_id = $1", tenant.id),
            ]
        seen = [str(logs), caplog.text, answer.text, sent.text, *(str(tuple(row)) for row in kept)]
        # Ids and times may hold the same digits by chance: only digits that stand alone are the code.
        assert not [text for text in seen if re.search(rf"(?<![\w.:-]){code}(?![\w.:-])", text)]
        assert tuple(kept[-1]) == (None, None)

    async def test_the_hash_takes_salt_and_pepper(self):
        one, other = rules.new_salt(), rules.new_salt()
        assert (
            len({rules.hashed("123456", one, ""), rules.hashed("123456", other, ""), rules.hashed("123456", one, "p")})
            == 3
        )
        assert rules.same(rules.hashed("123456", one, "p"), rules.hashed("123456", one, "p"))

    async def test_codes_have_leading_zeros(self):
        assert rules.new_code(lambda _: 42) == "000042"

    async def test_old_ones_are_forgotten(self, client, database, tenant):
        await local(client)
        customer_id, (point_id,) = await person(client)
        _, sent = await send(client, customer_id, point_id)
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute(
                "UPDATE contact_verifications SET sent_at = now() - interval '91 days' WHERE tenant_id = $1", tenant.id
            )
        await forget(database)
        assert (await client.get(f"/v1/contact-verifications/{sent['id']}")).status_code == 404


class TestOneCustomer:
    async def prove(self, client, clock, customer_id, point_id):
        clock.advance(timedelta(seconds=61))
        code, _ = await send(client, customer_id, point_id)
        assert (await check(client, customer_id, point_id, code)).status_code == 200

    async def test_another_living_customer_cannot_prove_it(self, client, clock):
        await local(client)
        first, (point,) = await person(client)
        second, (other_point,) = await person(client, name="李雷")
        code, _ = await send(client, second, other_point)
        await self.prove(client, clock, first, point)
        for answer in (await check(client, second, other_point, code), await client.post(path(second, other_point))):
            assert (answer.status_code, answer.json()["code"]) == (409, "contact_point_taken")
            assert answer.json()["customer_id"] == first

    async def test_deleted_customers_do_not_block(self, client, clock):
        await local(client)
        first, (point,) = await person(client)
        await self.prove(client, clock, first, point)
        await client.delete(f"/v1/customers/{first}")
        second, (other_point,) = await person(client, name="李雷")
        await self.prove(client, clock, second, other_point)

    async def test_removing_it_frees_it(self, client, clock):
        await local(client)
        first, (point,) = await person(client)
        await self.prove(client, clock, first, point)
        await client.delete(f"/v1/customers/{first}/contact-points/{point}")
        second, (other_point,) = await person(client, name="李雷")
        await self.prove(client, clock, second, other_point)

    async def test_two_at_the_same_moment(self, client, database, tenant):
        """Both have looked and found nobody; the database decides, and the loser hears who won."""
        people = [await person(client, name=name) for name in "ab"]
        ready, done = asyncio.Event(), asyncio.Event()

        async def winner():
            async with database.write(tenant.actor) as unit:
                await ContactPointService(unit).verify(people[0][0], people[0][1][0])
                ready.set()
                await asyncio.sleep(0.3)
            done.set()

        async def loser():
            await ready.wait()
            async with database.write(tenant.actor) as unit:
                assert not done.is_set()
                await ContactPointService(unit).verify(people[1][0], people[1][1][0])

        results = await asyncio.gather(winner(), loser(), return_exceptions=True)
        assert results[0] is None
        assert isinstance(results[1], ContactPointTaken)
        assert results[1].extra == {"customer_id": people[0][0]}

    async def test_proving_while_being_deleted(self, client, database, tenant):
        customer_id, (point_id,) = await person(client)
        async with database.write(tenant.actor) as unit:
            await ContactPointService(unit).verify(customer_id, point_id)

            async def delete():
                async with database.write(tenant.actor) as other:
                    await CustomerService(other).delete(customer_id)

            deleting = asyncio.create_task(delete())
            await asyncio.sleep(0.1)
        await deleting
        async with database.write(tenant.actor) as unit:
            assert await unit.connection.fetchval("SELECT claimed FROM contact_points WHERE id = $1", point_id) is False

    async def test_masked_accounts_cannot_be_proved(self, client):
        await local(client)
        customer_id, (point_id,) = await person(client, {"kind": "taobao_buyer", "value": "t***b"})
        assert (await client.post(path(customer_id, point_id))).json()["code"] == "not_verifiable"


class TestMerges:
    async def merge(self, client, winner, loser):
        answer = await client.post("/v1/customers/merge", json={"winner_id": winner, "loser_ids": [loser]})
        assert answer.is_success, answer.text
        return answer.json()

    @pytest.mark.parametrize("winner_has_it", [True, False])
    async def test_the_winner_has_proved_what_the_loser_had(self, client, clock, winner_has_it):
        await local(client)
        loser, (point,) = await person(client)
        points = [MOBILE] if winner_has_it else [{"kind": "email", "value": "a@example.com"}]
        winner, _ = await person(client, *points, name="李雷")
        await TestOneCustomer().prove(client, clock, loser, point)
        merge = await self.merge(client, winner, loser)
        assert (await verified(client, winner))["+8613812345678"] is not None
        third, (third_point,) = await person(client, name="韩梅梅")
        taken = await client.post(path(third, third_point))
        assert (taken.status_code, taken.json()["customer_id"]) == (409, winner)
        undone = await client.post(f"/v1/merges/{merge['id']}/undo")
        assert undone.is_success, undone.text
        assert (await verified(client, loser))["+8613812345678"] is not None
        assert (await verified(client, winner)).get("+8613812345678") is None
        assert (await client.post(path(third, third_point))).json()["customer_id"] == loser
