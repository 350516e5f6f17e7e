"""Customers are told and asked by the first way that works: e-mail, or text message when the shop wants that."""

import json
import re

import pytest

from crm_api.closing import rules
from tests.closing.shop import PAGE
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
MAIL, MOBILE = "wang@example.com", "+8613812345678"
LINK = re.compile(r"case=([0-9a-f-]{36})#([\w-]{43})")
CODES_ONLY = "{code}"


def texts(provider):
    """Return what the provider was sent."""
    return [json.loads(request.body) for request in provider.requests]


async def told(desk, case):
    """Let the worker tell what is due; returns the case's only telling."""
    await desk.work()
    await desk.post()
    (found,) = await desk.get("/complaint-tellings", complaint_id=case)
    return found


async def asked(desk, **who):
    """Resolve a case and let the worker ask about it; returns the rating."""
    case = await desk.resolved(await desk.customer(**who))
    await desk.work()
    await desk.later(hours=24)
    await desk.post()
    (found,) = await desk.get("/complaint-ratings", complaint_id=case)
    return found


class TestSettings:
    async def test_it_is_e_mail_until_the_shop_wants_otherwise(self, desk, provider):
        await desk.texts(provider)
        await desk.configure(rating_page=PAGE)
        assert (await desk.get("/closing-settings"))["tell_by"] == ["email"]
        case = await desk.open(await desk.customer(mobile=MOBILE, service=("sms",)))
        await desk.proposed(case)
        waiting = await told(desk, case)
        assert (waiting["state"], waiting["reason"]) == ("to_tell", "no_address")
        await desk.move(case, "resolved")
        assert (await desk.send(f"/complaints/{case}/rating"))["reason"] == "no_address"
        assert provider.requests == []

    async def test_over_graphql(self, desk):
        query = "mutation { closingSettingsUpdate(input: {tellBy: [SMS, EMAIL]}) { settings { tellBy } } }"
        answer = (await desk.client.post("/graphql", json={"query": query})).json()
        assert answer["data"] == {"closingSettingsUpdate": {"settings": {"tellBy": ["SMS", "EMAIL"]}}}
        assert (await desk.get("/closing-settings"))["tell_by"] == ["sms", "email"]


class TestTelling:
    async def test_a_decision_goes_by_text_message_and_counts_once_the_provider_took_it(self, desk, provider, mailbox):
        await desk.mail(mailbox)
        await desk.texts(provider)
        await desk.configure(tell_by=["sms", "email"])
        case = await desk.open(await desk.customer(email=MAIL, mobile=MOBILE))
        await desk.proposed(case, "全额退款，并补发大虾一份")
        await desk.work()
        (queued,) = await desk.get("/complaint-tellings", complaint_id=case)
        assert (queued["state"], queued["channel"], queued["told_at"]) == ("queued", "sms", None)
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is None
        done = await told(desk, case)
        words = "【test shop】您反馈的“收到的虾已变质”，处理决定如下：全额退款，并补发大虾一份（如有异议，请联系我们）"
        assert texts(provider) == [{"phone": MOBILE, "text": words}]
        assert mailbox.letters == []
        assert (done["state"], done["channel"], done["reason"], done["body"]) == ("told", "sms", None, words)
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] == done["told_at"]
        (said,) = await desk.get(f"/complaints/{case}/messages")
        assert (said["direction"], said["channel"], said["body"], said["tells"]) == ("out", "sms", words, True)
        assert (await desk.get(f"/channel-messages/{done['message_id']}"))["subject"] is None

    async def test_the_primary_number_is_taken(self, desk, provider):
        await desk.texts(provider)
        await desk.configure(tell_by=["sms"])
        who = await desk.customer(mobile=MOBILE)
        primary = {"kind": "mobile", "value": "+8613900001111", "is_primary": True}
        await desk.send(f"/customers/{who}/contact-points", primary)
        case = await desk.open(who)
        await desk.proposed(case)
        assert (await told(desk, case))["state"] == "told"
        assert [each["phone"] for each in texts(provider)] == ["+8613900001111"]

    @pytest.mark.parametrize(
        ("tell_by", "who", "template", "decision"),
        [
            (["sms", "email"], {"email": MAIL}, "{body}", "退款"),
            (["sms", "email"], {"email": MAIL, "mobile": MOBILE}, None, "退款"),
            (["sms", "email"], {"email": MAIL, "mobile": MOBILE}, CODES_ONLY, "退款"),
            (["sms", "email"], {"email": MAIL, "mobile": MOBILE}, "{body}", "退" * 500),
            (["email", "sms"], {"mobile": MOBILE}, "{body}", "退款"),
        ],
        ids=["no number", "no provider", "a provider of codes", "too long", "no e-mail"],
    )
    async def test_what_does_not_work_one_way_goes_the_other(
        self, desk, provider, mailbox, tell_by, who, template, decision
    ):
        await desk.mail(mailbox)
        if template is not None:
            await desk.texts(provider, template)
        await desk.configure(tell_by=tell_by)
        case = await desk.open(await desk.customer(**who))
        await desk.proposed(case, decision)
        done = await told(desk, case)
        assert (done["state"], done["channel"], done["reason"]) == ("told", tell_by[1], None)
        assert (len(mailbox.letters), len(provider.requests)) == ((1, 0) if tell_by[1] == "email" else (0, 1))
        (said,) = await desk.get(f"/complaints/{case}/messages")
        assert said["channel"] == tell_by[1]

    async def test_of_ways_that_do_not_work_the_preferred_one_says_why(self, desk, provider):
        await desk.texts(provider)
        longest = rules.MAX_TEXT - len(
            rules.Words("zh", "test shop", "收到的虾已变质").telling("decision", "", "sms")[1]
        )
        for mobile, tell_by, more, reason in (
            ("+8613800000001", ["sms", "email"], 1, "too_long"),
            ("+8613800000002", ["email", "sms"], 1, "no_address"),
            ("+8613800000003", ["email", "sms"], 0, None),
        ):
            await desk.configure(tell_by=tell_by)
            case = await desk.open(await desk.customer(mobile=mobile))
            await desk.proposed(case, "退" * (longest + more))
            found = await told(desk, case)
            assert (found["channel"], found["reason"]) == ("shop" if reason else "sms", reason)
        assert [len(each["text"]) for each in texts(provider)] == [500]
        assert [each["reason"] for each in await desk.told("complaint.to_tell")] == ["too_long", "no_address"]

    async def test_what_the_provider_refuses_is_the_shops_and_can_go_another_way(self, desk, provider, mailbox):
        provider.answers = [(400, b"", {})]
        await desk.mail(mailbox)
        await desk.texts(provider)
        await desk.configure(tell_by=["sms", "email"])
        case = await desk.open(await desk.customer(email=MAIL, mobile=MOBILE))
        await desk.proposed(case)
        waiting = await told(desk, case)
        assert (waiting["state"], waiting["channel"], waiting["reason"]) == ("to_tell", "shop", "not_delivered")
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is None
        assert await desk.get(f"/complaints/{case}/messages") == []
        assert (len(provider.requests), mailbox.letters) == (1, [])
        again = await desk.send(f"/complaints/{case}/tellings", {"what": "decision", "channel": "email"}, 201)
        assert (again["id"], again["state"], again["channel"]) == (waiting["id"], "queued", "email")
        assert (await told(desk, case))["state"] == "told"
        assert (len(provider.requests), len(mailbox.letters)) == (1, 1)

    async def test_a_way_that_is_asked_for_is_the_only_one_tried(self, desk, provider):
        await desk.texts(provider)
        await desk.configure(tell_decision=False)
        for who, found in (({"email": MAIL}, ("shop", "no_address")), ({"mobile": MOBILE}, ("sms", None))):
            case = await desk.open(await desk.customer(**who))
            await desk.proposed(case)
            sent = await desk.send(f"/complaints/{case}/tellings", {"what": "decision", "channel": "sms"}, 201)
            assert (sent["channel"], sent["reason"]) == found


class TestAsking:
    async def test_by_text_message_with_consent_and_its_link_is_kept_nowhere(self, desk, app, provider):
        await desk.texts(provider)
        await desk.configure(rating_page=PAGE, tell_by=["sms"], tell_decision=False, tell_result=False)
        row = await asked(desk, mobile=MOBILE, service=("sms",))
        assert (row["state"], row["channel"], row["reason"]) == ("asked", "sms", None)
        (sent,) = texts(provider)
        rating_id, token = LINK.search(sent["text"]).groups()
        url = PAGE.format(rating_id=rating_id, token=token)
        assert sent == {
            "phone": MOBILE,
            "text": f"【test shop】您反馈的“收到的虾已变质”已处理完毕，请用半分钟评价（链接仅供您本人使用一次）：{url}",
        }
        (message,) = await desk.get("/channel-messages")
        assert (message["id"], message["state"], message["body"]) == (row["message_id"], "sent", None)
        async with desk.database.read(desk.tenant.actor) as unit:
            kept = await unit.connection.fetch(
                "SELECT m::text FROM channel_messages m UNION ALL SELECT r::text FROM complaint_ratings r "
                "UNION ALL SELECT o::text FROM outbox o UNION ALL SELECT a::text FROM audit_log a"
            )
        assert not [each for each in kept if token in each[0]]
        async with client_of(app, None) as visitor:
            path = f"/v1/public/complaint-ratings/{rating_id}"
            answer = await visitor.post(path, json={"token": token, "csat": 5})
        assert (answer.status_code, rating_id) == (200, row["id"])
        assert len(await desk.told("complaint.rating_asked")) == 1

    async def test_without_consent_by_the_way_that_has_it_or_by_the_shop(self, desk, provider, mailbox):
        await desk.mail(mailbox)
        await desk.texts(provider)
        await desk.configure(rating_page=PAGE, tell_by=["sms", "email"], tell_decision=False, tell_result=False)
        by_mail = await asked(desk, email=MAIL, mobile=MOBILE, service=("email",))
        assert (by_mail["channel"], by_mail["reason"], len(mailbox.letters)) == ("email", None, 1)
        by_shop = await asked(desk, mobile="+8613900001111")
        assert (by_shop["channel"], by_shop["reason"]) == ("shop", "not_allowed")
        assert provider.requests == []
        assert [each["reason"] for each in await desk.told("complaint.rating_to_ask")] == ["not_allowed"]

    async def test_what_the_provider_refuses_is_for_the_shop_to_ask(self, desk, provider):
        provider.answers = [(400, b"", {})]
        await desk.texts(provider)
        await desk.configure(rating_page=PAGE, tell_by=["sms"], tell_decision=False, tell_result=False)
        row = await asked(desk, mobile=MOBILE, service=("sms",))
        assert (row["state"], row["channel"], row["reason"]) == ("asked", "shop", "not_delivered")
