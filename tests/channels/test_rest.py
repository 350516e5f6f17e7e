"""Channels over REST and GraphQL: what is stored, what is shown, what is refused."""

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

SMTP = {"name": "mail", "kind": "smtp", "smtp": {"host": "smtp.example.com", "from_address": "shop@example.com"}}
SMS = {"name": "sms", "kind": "sms", "sms": {"url": "https://sms.example.com/send", "body": {"to": "{to}"}}}
LOCAL = {"name": "try", "kind": "local"}


async def create(client, body):
    answer = await client.post("/v1/channels", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


class TestCreate:
    async def test_answers_with_what_was_stored_but_never_the_secret(self, client, database, tenant):
        body = {**SMTP, "secret": "hunter2-hunter2", "smtp": {**SMTP["smtp"], "username": "shop"}}
        made = await create(client, body)
        assert made["has_secret"] is True
        assert made["smtp"]["security"] == "starttls"
        assert made["sms"] is None
        shown = [await client.get(path) for path in ("/v1/channels", f"/v1/channels/{made['id']}", "/v1/audit-log")]
        assert all("hunter2" not in answer.text for answer in shown)
        async with database.write(tenant.actor) as unit:
            told = await unit.connection.fetch("SELECT payload::text FROM outbox WHERE tenant_id = $1", tenant.id)
            assert not any("hunter2" in row[0] for row in told)

    async def test_is_taken_for_what_has_no_channel_yet(self, client):
        assert (await create(client, SMTP))["default_for"] == ["email"]
        assert (await create(client, SMTP))["default_for"] == []
        assert "email" not in (await create(client, LOCAL))["default_for"]

    async def test_a_later_one_can_take_over(self, client):
        first = await create(client, SMTP)
        second = await create(client, {**SMTP, "default_for": ["email"]})
        assert second["default_for"] == ["email"]
        assert (await client.get(f"/v1/channels/{first['id']}")).json()["default_for"] == []

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({"name": "x", "kind": "smtp"}, "/smtp", "required"),
            ({**SMTP, "sms": SMS["sms"]}, "/sms", "not_this_kind"),
            ({**LOCAL, "smtp": SMTP["smtp"]}, "/smtp", "not_this_kind"),
            ({**SMTP, "smtp": {**SMTP["smtp"], "username": "shop"}}, "/secret", "required"),
            (
                {**SMTP, "secret": "x", "smtp": {**SMTP["smtp"], "username": "shop", "security": "none"}},
                "/smtp/security",
                "not_encrypted",
            ),
            ({**SMTP, "smtp": {**SMTP["smtp"], "host": "a b"}}, "/smtp/host", "bad_host"),
            ({**SMTP, "smtp": {**SMTP["smtp"], "from_address": "shop"}}, "/smtp/from_address", None),
            ({**SMTP, "default_for": ["mobile"]}, "/default_for/0", "not_served"),
            ({**SMS, "sms": {"url": "ftp://x", "body": {}}}, "/sms/url", "bad_url"),
            ({**SMS, "sms": {"url": "https://a:b@x.example/", "body": {}}}, "/sms/url", "bad_url"),
            ({**SMS, "sms": {**SMS["sms"], "body": {"a": ["{nobody}"]}}}, "/sms/body", "unknown_place"),
            ({**SMS, "sms": {**SMS["sms"], "encoding": "form", "body": {"a": {"b": "c"}}}}, "/sms/body", "wrong_type"),
            ({**SMS, "sms": {**SMS["sms"], "headers": {"X-Key": "{secret}"}}}, "/secret", "required"),
            ({**SMS, "sms": {**SMS["sms"], "headers": {"Host": "x"}}}, "/sms/headers", "bad_header"),
            ({**SMS, "sms": {**SMS["sms"], "headers": {"X": "a\r\nY: b"}}}, "/sms/headers", "bad_header"),
            ({**SMS, "sms": {**SMS["sms"], "success_pointer": "/code"}}, "/sms/success_values", "required"),
            ({**SMS, "sms": {**SMS["sms"], "signature": "hmac_sha256"}}, "/secret", "required"),
        ],
    )
    async def test_refuses_what_cannot_work(self, client, body, pointer, code):
        answer = await client.post("/v1/channels", json=body)
        assert answer.status_code == 422, answer.text
        errors = {each["pointer"]: each["code"] for each in answer.json()["errors"]}
        assert pointer in errors
        assert code in {None, errors[pointer]}


class TestUpdate:
    async def test_keeps_the_secret_unless_it_is_given(self, client):
        made = await create(client, {**SMTP, "secret": "old-secret", "smtp": {**SMTP["smtp"], "username": "shop"}})
        path = f"/v1/channels/{made['id']}"
        answer = await client.patch(path, json={"name": "x"}, headers={"if-match": '"1"'})
        assert (answer.json()["name"], answer.json()["has_secret"]) == ("x", True)
        assert (await client.patch(path, json={"name": "y"}, headers={"if-match": '"1"'})).status_code == 412
        assert (await client.patch(path, json={"secret": None})).json()["errors"][0]["pointer"] == "/secret"
        plain = await client.patch(path, json={"smtp": SMTP["smtp"], "secret": None})
        assert plain.json()["has_secret"] is False

    async def test_settings_of_another_kind_are_refused(self, client):
        made = await create(client, LOCAL)
        answer = await client.patch(f"/v1/channels/{made['id']}", json={"sms": SMS["sms"]})
        assert answer.json()["errors"][0]["code"] == "not_this_kind"

    async def test_settings_cannot_be_cleared(self, client):
        made = await create(client, SMTP)
        answer = await client.patch(f"/v1/channels/{made['id']}", json={"smtp": None})
        assert answer.json()["errors"][0]["pointer"] == "/smtp"


class TestTry:
    async def test_the_local_channel_stores_what_it_is_sent(self, client):
        made = await create(client, LOCAL)
        answer = await client.post(f"/v1/channels/{made['id']}/test", json={"to": "138 1234 5678", "body": "hello"})
        assert answer.status_code == 202
        message = answer.json()
        assert (message["to"], message["body"], message["state"]) == ("+8613812345678", "hello", "sent")
        assert message["attempts"] == 1
        assert answer.headers["location"] == f"/v1/channel-messages/{message['id']}"
        listed = (await client.get("/v1/channel-messages?state=sent&purpose=test")).json()["data"]
        assert [each["id"] for each in listed] == [message["id"]]

    @pytest.mark.parametrize(("body", "to", "code"), [(SMTP, "138", "invalid_email"), (SMS, "12", "invalid_phone")])
    async def test_the_address_must_be_one(self, client, body, to, code):
        made = await create(client, body)
        answer = await client.post(f"/v1/channels/{made['id']}/test", json={"to": to})
        assert answer.json()["errors"][0]["code"] == code

    async def test_graphql(self, client):
        create_ = (
            "mutation($i: ChannelCreateInput!) { channelCreate(input: $i) { channel { id hasSecret smtp { host } } } }"
        )
        made = await client.post(
            "/graphql", json={"query": create_, "variables": {"i": {"name": "l", "kind": "LOCAL"}}}
        )
        channel = made.json()["data"]["channelCreate"]["channel"]
        assert channel["smtp"] is None
        test = (
            "mutation($i: ChannelTestInput!) { channelTest(input: $i) { channelMessage { state to channel { id } } } }"
        )
        sent = await client.post(
            "/graphql", json={"query": test, "variables": {"i": {"id": channel["id"], "to": "a@example.com"}}}
        )
        message = sent.json()["data"]["channelTest"]["channelMessage"]
        assert message == {"state": "SENT", "to": "a@example.com", "channel": {"id": channel["id"]}}
        update = "mutation($i: ChannelUpdateInput!) { channelUpdate(input: $i) { channel { active } } }"
        off = await client.post(
            "/graphql", json={"query": update, "variables": {"i": {"id": channel["id"], "active": False}}}
        )
        assert off.json()["data"]["channelUpdate"]["channel"] == {"active": False}
