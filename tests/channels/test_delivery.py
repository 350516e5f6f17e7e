"""Sending, to real servers: what arrives, what is tried again, and never twice knowingly."""

import asyncio
import hashlib
import hmac
import json
from datetime import timedelta
from urllib.parse import parse_qs
from uuid import UUID

import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from crm_api.channels.errors import NoChannel
from crm_api.channels.jobs import deliver, forget, give_up
from crm_api.channels.models import Letter
from crm_api.channels.service import JOB, ChannelService
from crm_api.core.clock import FixedClock, SystemClock
from tests.support.receivers import http_receiver, self_signed, smtp_server

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest_asyncio.fixture
async def mailbox():
    async with smtp_server() as running:
        yield running


@pytest_asyncio.fixture
async def provider():
    async with http_receiver() as running:
        yield running


async def smtp_channel(client, mailbox, **settings):
    smtp = {
        "host": "localhost",
        "port": mailbox.port,
        "security": "none",
        "from_address": "shop@example.com",
        "from_name": "海鲜小店",
        **settings,
    }
    body = {"name": "mail", "kind": "smtp", "smtp": smtp, "secret": "password"}
    return (await client.post("/v1/channels", json=body)).json()["id"]


async def sms_channel(client, provider, **settings):
    sms = {"url": f"{provider.url}/send", "body": {"phone": "{to}", "text": "{body}"}, **settings}
    answer = await client.post("/v1/channels", json={"name": "sms", "kind": "sms", "sms": sms, "secret": SECRET})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def send(database, tenant, **more):
    letter = Letter(**{"kind": "email", "to": "wang@example.com", "body": "你好", "subject": "问候", **more})
    async with database.write(tenant.actor) as unit:
        return await ChannelService(unit).send(letter)


async def text(database, tenant, **more):
    return await send(database, tenant, **{"kind": "mobile", "to": "+8613812345678", "subject": None, **more})


async def attempt(database, tenant, message_id):
    await deliver(database, {"tenant_id": str(tenant.id), "message_id": str(message_id)})


async def shown(client, message_id):
    return (await client.get(f"/v1/channel-messages/{message_id}")).json()


async def queued(database, tenant):
    """Return how long each job of the tenant's messages still waits."""
    async with database.system() as connection:
        rows = await connection.fetch(
            "SELECT extract(epoch FROM execute_after - now()) FROM pgqueuer "
            "WHERE entrypoint = $1 AND convert_from(payload, 'UTF8')::jsonb ->> 'tenant_id' = $2 ORDER BY id",
            JOB,
            str(tenant.id),
        )
    return [float(row[0]) for row in rows]


async def change(database, tenant, message_id, sql):
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(
            f"UPDATE channel_messages SET {sql} WHERE tenant_id = $1 AND id = $2", tenant.id, message_id
        )


class TestMail:
    async def test_arrives(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        message_id = await send(database, tenant)
        assert len(await queued(database, tenant)) == 1
        await attempt(database, tenant, message_id)
        (letter,) = mailbox.letters
        assert letter["to"] == "wang@example.com"
        assert letter["subject"] == "问候"
        assert letter["from"].addresses[0].display_name == "海鲜小店"
        assert letter["message-id"] == f"<{message_id}@example.com>"
        assert letter.get_content().strip() == "你好"
        message = await shown(client, message_id)
        assert (message["state"], message["attempts"], message["error"]) == ("sent", 1, None)
        assert "Q1" in message["provider_id"]
        assert message["sent_at"] is not None
        await attempt(database, tenant, message_id)
        assert len(mailbox.letters) == 1

    async def test_a_header_cannot_be_smuggled_in(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        message_id = await send(database, tenant, subject="a\r\nBcc: evil@example.com")
        await attempt(database, tenant, message_id)
        assert all(letter["bcc"] is None for letter in mailbox.letters)

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    async def test_encrypted_with_a_login(self, client, database, tenant, tmp_path, monkeypatch, security):
        context, certificate = self_signed(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with smtp_server(context=context, tls=security == "tls", auth=security == "starttls") as mailbox:
            login = {"username": "shop"} if security == "starttls" else {}
            await smtp_channel(client, mailbox, security=security, **login)
            message_id = await send(database, tenant)
            await attempt(database, tenant, message_id)
            assert (await shown(client, message_id))["error"] is None
            assert len(mailbox.letters) == 1
            assert mailbox.logins == ([(b"shop", b"password")] if login else [])

    async def test_a_strange_certificate_is_refused(self, client, database, tenant, tmp_path):
        context, _ = self_signed(tmp_path)
        async with smtp_server(context=context) as mailbox:
            await smtp_channel(client, mailbox, security="starttls")
            message_id = await send(database, tenant)
            await attempt(database, tenant, message_id)
            assert mailbox.letters == []
            assert "certificate" in (await shown(client, message_id))["error"]

    async def test_without_the_encryption_asked_for_nothing_is_sent(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox, security="starttls")
        message_id = await send(database, tenant)
        await attempt(database, tenant, message_id)
        assert mailbox.letters == []
        assert "STARTTLS" in (await shown(client, message_id))["error"]

    async def test_tried_again_after_a_pause(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        mailbox.answers = ["451 greylisted"]
        message_id = await send(database, tenant)
        await attempt(database, tenant, message_id)
        message = await shown(client, message_id)
        assert (message["state"], message["attempts"], message["error"]) == ("queued", 1, "451 greylisted")
        assert 5 < (await queued(database, tenant))[-1] < 13
        await attempt(database, tenant, message_id)
        message = await shown(client, message_id)
        assert (message["state"], message["attempts"], message["error"]) == ("sent", 2, None)

    async def test_a_final_refusal_is_final(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        mailbox.answers = ["550 no such mailbox"]
        message_id = await send(database, tenant)
        await attempt(database, tenant, message_id)
        message = await shown(client, message_id)
        assert (message["state"], message["error"]) == ("failed", "550 no such mailbox")
        assert len(await queued(database, tenant)) == 1

    async def test_given_up_after_six_attempts(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        mailbox.answers = ["451 later"] * 6
        message_id = await send(database, tenant)
        for _ in range(6):
            await attempt(database, tenant, message_id)
        assert (await shown(client, message_id))["state"] == "failed"
        assert len(await queued(database, tenant)) == 6

    async def test_nobody_there(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox, port=9)
        message_id = await send(database, tenant)
        await attempt(database, tenant, message_id)
        assert (await shown(client, message_id))["state"] == "queued"

    async def test_a_channel_that_was_switched_off_sends_nothing(self, client, database, tenant, mailbox):
        channel_id = await smtp_channel(client, mailbox)
        message_id = await send(database, tenant)
        await client.patch(f"/v1/channels/{channel_id}", json={"active": False})
        await attempt(database, tenant, message_id)
        assert (await shown(client, message_id))["state"] == "failed"
        tried = await client.post(f"/v1/channels/{channel_id}/test", json={"to": "me@example.com"})
        await attempt(database, tenant, tried.json()["id"])
        assert [letter["to"] for letter in mailbox.letters] == ["me@example.com"]


class TestNeverTwiceKnowingly:
    async def test_two_workers_at_once(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        mailbox.pause = 0.2
        message_id = await send(database, tenant)
        await asyncio.gather(*(attempt(database, tenant, message_id) for _ in range(4)))
        assert len(mailbox.letters) == 1
        assert (await shown(client, message_id))["state"] == "sent"

    async def test_while_a_worker_may_live_nobody_else_sends(self, client, database, tenant, mailbox):
        """A worker took the message and was killed: until its lease ends another only looks again later."""
        await smtp_channel(client, mailbox)
        message_id = await send(database, tenant)
        await change(
            database, tenant, message_id,
            "state = 'sending', attempts = 1, lease_until = clock_timestamp() + interval '40 seconds'",
        )  # fmt: skip
        await attempt(database, tenant, message_id)
        assert mailbox.letters == []
        assert 38 < (await queued(database, tenant))[-1] < 43

    async def test_when_it_is_dead_the_message_is_sent_under_the_same_id(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        message_id = await send(database, tenant)
        await change(
            database, tenant, message_id,
            "state = 'sending', attempts = 1, lease_until = clock_timestamp() - interval '1 second'",
        )  # fmt: skip
        await attempt(database, tenant, message_id)
        assert [letter["message-id"] for letter in mailbox.letters] == [f"<{message_id}@example.com>"]
        assert (await shown(client, message_id))["attempts"] == 2

    async def test_who_comes_back_from_the_dead_changes_nothing(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        mailbox.pause = 0.3
        mailbox.answers = ["550 too late"]
        message_id = await send(database, tenant)
        slow = asyncio.create_task(attempt(database, tenant, message_id))
        await asyncio.sleep(0.15)
        await change(database, tenant, message_id, "attempts = 2")  # another has taken it over
        await slow
        assert (await shown(client, message_id))["state"] == "sending"

    async def test_a_job_that_was_given_up_is_told_on_the_message(self, client, database, tenant, mailbox):
        await smtp_channel(client, mailbox)
        message_id = await send(database, tenant)
        payload = {"tenant_id": str(tenant.id), "message_id": str(message_id)}
        for _ in range(2):
            await give_up(database, payload, "Given up after 8 attempts: internal error")
        message = await shown(client, message_id)
        assert (message["state"], message["error"]) == ("failed", "Given up after 8 attempts: internal error")
        operations = [each["operation"] for each in (await client.get("/v1/audit-log")).json()["data"]]
        assert operations.count("message.failed") == 1


class TestProvider:
    async def test_json(self, client, database, tenant, provider):
        await sms_channel(
            client,
            provider,
            headers={"Authorization": "Bearer {secret}", "X-Id": "{message_id}"},
            body={"phones": ["{to_national}"], "all": "{to}/{to_digits}", "text": '{body} "{code}"', "n": 1},
            success_pointer="/code",
            success_values=["OK"],
            id_pointer="/id",
        )
        message_id = await text(database, tenant, body='a"b\n中', params={"code": "012345"})
        await attempt(database, tenant, message_id)
        (request,) = provider.requests
        assert (request.method, request.path) == ("POST", "/send")
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert request.headers["x-id"] == str(message_id)
        assert request.headers["host"] == provider.url.removeprefix("http://")
        assert json.loads(request.body) == {
            "phones": ["13812345678"],
            "all": "+8613812345678/8613812345678",
            "text": 'a"b\n中 "012345"',
            "n": 1,
        }
        message = await shown(client, message_id)
        assert (message["state"], message["provider_id"]) == ("sent", "P1")

    async def test_form_with_a_password(self, client, database, tenant, provider):
        await sms_channel(client, provider, encoding="form", basic_user="AC1", body={"To": "{to}", "Body": "{body}"})
        await attempt(database, tenant, await text(database, tenant, body="a&b=c 中"))
        (request,) = provider.requests
        assert parse_qs(request.body.decode()) == {"To": ["+8613812345678"], "Body": ["a&b=c 中"]}
        assert request.headers["authorization"].startswith("Basic ")

    async def test_signed(self, client, database, tenant, provider):
        await sms_channel(client, provider, signature="hmac_sha256", signature_header="X-Sign")
        await attempt(database, tenant, await text(database, tenant))
        (request,) = provider.requests
        assert request.headers["x-sign"] == hmac.digest(SECRET.encode(), request.body, hashlib.sha256).hex()

    async def test_signed_as_standard_webhooks_say(self, client, database, tenant, provider):
        await sms_channel(client, provider, signature="standard_webhooks")
        await attempt(database, tenant, await text(database, tenant))
        (request,) = provider.requests
        Webhook(SECRET).verify(request.body, request.headers)

    @pytest.mark.parametrize(
        ("answer", "state"),
        [
            ((503, b"", {}), "queued"),
            ((429, b"", {}), "queued"),
            ((400, b"", {}), "failed"),
            ((401, b"", {}), "failed"),
            ((200, b'{"code":"LIMIT"}', {}), "failed"),
            ((200, b"<html>", {}), "failed"),
            ((200, b'{"code":"OK"}' + b" " * 1_000_000, {}), "sent"),
        ],
    )
    async def test_what_the_answer_means(self, client, database, tenant, provider, answer, state):
        await sms_channel(client, provider, success_pointer="/code", success_values=["OK"])
        provider.answers = [answer]
        message_id = await text(database, tenant)
        await attempt(database, tenant, message_id)
        assert (await shown(client, message_id))["state"] == state

    async def test_redirects_are_not_followed(self, client, database, tenant, provider):
        await sms_channel(client, provider)
        provider.answers = [(302, b"", {"location": f"{provider.url}/elsewhere"})]
        message_id = await text(database, tenant)
        await attempt(database, tenant, message_id)
        assert (await shown(client, message_id))["state"] == "failed"
        assert [request.path for request in provider.requests] == ["/send"]


class TestPrivateHosts:
    async def test_are_not_reached(self, guarded, database, tenant, provider, mailbox):
        client, closed = guarded
        await sms_channel(client, provider)
        await smtp_channel(client, mailbox)
        for message_id in (await text(database, tenant), await send(database, tenant)):
            await attempt(closed, tenant, message_id)
            message = await shown(client, message_id)
            assert message["state"] == "failed", message
            assert "https://" in message["error"] or "public internet" in message["error"]
        assert (provider.requests, mailbox.letters) == ([], [])


async def test_a_template_for_codes_carries_nothing_else(client, database, tenant, provider):
    await sms_channel(client, provider, body={"phone": "{to}", "code": "{code}"})
    with pytest.raises(NoChannel, match="one-time codes only"):
        await text(database, tenant)
    await attempt(database, tenant, await text(database, tenant, params={"code": "112233"}))
    (request,) = provider.requests
    assert json.loads(request.body) == {"phone": "+8613812345678", "code": "112233"}


class TestSecrets:
    async def test_a_code_is_shown_by_nobody_and_deleted(self, client, database, tenant, provider):
        await sms_channel(client, provider, body={"c": "{code}", "t": "{body}"})
        provider.answers = [(503, b"", {})]
        message_id = await text(database, tenant, body="code 112233", params={"code": "112233"}, sensitive=True)
        for _ in range(2):
            assert (await shown(client, message_id))["body"] is None
            await attempt(database, tenant, message_id)
        assert (await shown(client, message_id))["state"] == "sent"
        assert [json.loads(request.body)["c"] for request in provider.requests] == ["112233"] * 2
        async with database.write(tenant.actor) as unit:
            row = await unit.connection.fetchrow("SELECT body, params FROM channel_messages WHERE id = $1", message_id)
        assert tuple(row) == (None, None)
        assert "112233" not in (await client.get("/v1/audit-log")).text

    async def test_a_code_that_would_come_too_late_is_not_sent(self, client, database, tenant, provider):
        await sms_channel(client, provider)
        clock = FixedClock(SystemClock().now())
        expires = clock.now() + timedelta(minutes=5)
        message_id = await text(database, tenant, sensitive=True, expires_at=expires)
        clock.advance(timedelta(minutes=5))
        database.clock = clock
        await attempt(database, tenant, message_id)
        assert provider.requests == []
        assert (await shown(client, message_id))["state"] == "failed"

    async def test_without_a_channel_nothing_can_be_sent(self, database, tenant):
        with pytest.raises(Exception, match="no channel for mobile"):
            await text(database, tenant)


async def test_old_messages_are_forgotten(client, database, tenant, mailbox):
    await smtp_channel(client, mailbox)
    kept, waiting, old = [await send(database, tenant) for _ in range(3)]
    await change(database, tenant, old, "state = 'sent', created_at = now() - interval '91 days'")
    await change(database, tenant, waiting, "created_at = now() - interval '91 days'")
    await forget(database)
    left = {UUID(each["id"]) for each in (await client.get("/v1/channel-messages")).json()["data"]}
    assert left == {kept, waiting}
