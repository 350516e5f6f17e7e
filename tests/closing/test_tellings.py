"""Customers are told the decision and the result, once, and it is noted."""

import asyncio
from uuid import uuid4

import pytest

from crm_api.closing import jobs
from crm_api.complaints.service import ComplaintService
from tests.closing.shop import WAY

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
MAIL = "wang@example.com"


async def tellings(desk, case):
    return list(reversed(await desk.get("/complaint-tellings", complaint_id=case)))


class TestByItself:
    async def test_a_decision_goes_by_e_mail_and_counts_once_a_server_took_it(self, desk, mailbox):
        await desk.mail(mailbox)
        case = await desk.open(await desk.customer(email=MAIL))
        await desk.proposed(case, "全额退款，并补发大虾一份")
        await desk.work()
        (queued,) = await tellings(desk, case)
        assert (queued["what"], queued["state"], queued["channel"], queued["told_at"]) == (
            "decision",
            "queued",
            "email",
            None,
        )
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is None
        await desk.post()
        (letter,) = mailbox.letters
        assert letter["to"] == MAIL
        assert letter["subject"] == "test shop：关于“收到的虾已变质”的处理决定"
        assert "全额退款，并补发大虾一份" in letter.get_content()
        (told,) = await tellings(desk, case)
        assert (told["state"], told["reason"]) == ("told", None)
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] == told["told_at"]
        (event,) = await desk.get(f"/complaints/{case}/events", action="tell")
        (said,) = await desk.get(f"/complaints/{case}/messages")
        assert (said["direction"], said["channel"], said["body"], said["tells"]) == ("out", "email", told["body"], True)
        assert event["from_state"] == event["to_state"] == "proposed"
        await replays(desk, case)

    async def test_the_result_follows_and_the_case_can_be_closed(self, desk, mailbox):
        await desk.mail(mailbox)
        case = await desk.resolved(await desk.customer(email=MAIL))
        await desk.work()
        await desk.post()
        # Nobody looked while it was proposed: the result tells both.
        (result,) = await tellings(desk, case)
        assert (result["what"], result["state"]) == ("result", "told")
        assert "全额退款" in mailbox.letters[0].get_content()
        assert (await desk.move(case, "closed"))["state"] == "closed"

    async def test_what_comes_twice_is_told_once(self, desk, mailbox):
        await desk.mail(mailbox)
        case = await desk.open(await desk.customer(email=MAIL))
        await desk.proposed(case)
        messages = [each for each in await desk.messages() if each.type == "complaint.proposed"]
        await asyncio.gather(*(desk.again(jobs.follow, messages) for _ in range(4)))
        await desk.post()
        await desk.again(jobs.follow, messages)
        await desk.post()
        assert len(mailbox.letters) == 1
        assert len(await tellings(desk, case)) == 1

    async def test_every_decision_is_told_also_after_another_and_after_reopening(self, desk, mailbox):
        await desk.mail(mailbox)
        case = await desk.open(await desk.customer(email=MAIL))
        await desk.proposed(case, "退款一半")
        await desk.work()
        await desk.post()
        desk.clock.instant = desk.clock.instant.replace(hour=5)
        await desk.move(case, "in_progress")
        await desk.move(case, "proposed", decision="全额退款")
        await desk.work()
        await desk.post()
        desk.clock.instant = desk.clock.instant.replace(hour=6)
        await desk.move(case, "resolved")
        await desk.work()
        await desk.post()
        desk.clock.instant = desk.clock.instant.replace(hour=7)
        await desk.move(case, "in_progress")
        await desk.move(case, "proposed", decision="全额退款并致歉")
        await desk.work()
        await desk.post()
        assert [(each["what"], each["cycle"], each["state"]) for each in await tellings(desk, case)] == [
            ("decision", 1, "told"),
            ("decision", 2, "told"),
            ("result", 2, "told"),
            ("decision", 4, "told"),
        ]
        assert ["退款一半" in letter.get_content() for letter in mailbox.letters] == [True, False, False, False]
        await replays(desk, case)

    async def test_everybody_whose_case_was_merged_is_told_once(self, desk, mailbox):
        await desk.mail(mailbox)
        root = await desk.open(await desk.customer(email="root@example.com"))
        merged = {name: await desk.open(await desk.customer(email=f"{name}@example.com")) for name in "ab"}
        same = await desk.open((await desk.get(f"/complaints/{root}"))["customer_id"])
        for case in (merged["a"], same):
            await desk.move(case, "duplicate", merged_into=root)
        await desk.proposed(root, "全额退款")
        await desk.work()
        await desk.post()
        assert sorted(letter["to"] for letter in mailbox.letters) == ["a@example.com", "root@example.com"]
        await desk.move(root, "resolved")
        await desk.move(merged["b"], "duplicate", merged_into=root)
        await desk.move(root, "closed")  # before the worker has looked
        await desk.work()
        await desk.post()
        assert sorted(letter["to"] for letter in mailbox.letters[2:]) == [
            "a@example.com",
            "b@example.com",
            "root@example.com",
        ]
        (said,) = await desk.get(f"/complaints/{merged['b']}/messages")
        assert (said["channel"], said["tells"]) == ("email", False)
        assert {each["state"] for each in await desk.get("/complaint-tellings")} == {"told"}
        await replays(desk, root)

    async def test_what_was_told_with_its_step_is_not_told_again(self, desk, mailbox):
        await desk.mail(mailbox)
        case = await desk.open(await desk.customer(email=MAIL))
        await desk.move(case, "rejected", reason="照片与订单不符", notice="照片与订单不符，无法受理")
        await desk.work()
        assert await tellings(desk, case) == []
        refused = await desk.send(f"/complaints/{case}/tellings", {"what": "result", "text": "x"}, 409)
        assert refused["code"] == "nothing_to_tell"

    async def test_a_rejection_without_a_notice_is_told_with_its_reason(self, desk, mailbox):
        await desk.mail(mailbox)
        case = await desk.open(await desk.customer(email=MAIL))
        await desk.move(case, "rejected", reason="照片与订单不符")
        await desk.work()
        await desk.post()
        (telling,) = await tellings(desk, case)
        assert (telling["what"], telling["state"]) == ("decision", "told")
        assert "照片与订单不符" in telling["body"]
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is not None

    async def test_a_rejection_is_told_also_after_a_proposal_was(self, desk, mailbox):
        await desk.mail(mailbox)
        case = await desk.open(await desk.customer(email=MAIL))
        await desk.proposed(case, "退款一半")
        await desk.work()
        await desk.post()
        rejected = await desk.move(case, "rejected", reason="照片与订单不符")
        assert rejected["decision_told_at"] is None
        await desk.work()
        await desk.post()
        assert ["退款一半" in mailbox.letters[0].get_content(), len(mailbox.letters)] == [True, 2]
        assert "照片与订单不符" in mailbox.letters[1].get_content()
        assert [(each["what"], each["state"]) for each in await tellings(desk, case)] == [("decision", "told")] * 2
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is not None
        await replays(desk, case)

    async def test_nothing_is_told_when_it_is_switched_off(self, desk, mailbox):
        await desk.mail(mailbox)
        await desk.configure(tell_decision=False, tell_result=False, ask_rating=False)
        case = await desk.resolved(await desk.customer(email=MAIL))
        await desk.work()
        await desk.later(days=3)
        assert await tellings(desk, case) == []
        assert await desk.get("/complaint-ratings") == []
        assert await desk.told("complaint.to_tell", "complaint.rating_to_ask") == []


class TestByTheShop:
    async def test_what_cannot_go_by_e_mail_is_the_shops(self, desk):
        handler = await desk.staff()
        for email, reason in ((MAIL, "no_channel"), (None, "no_address")):
            case = await desk.open(await desk.customer(email=email), assignee_id=handler)
            await desk.proposed(case)
            await desk.work()
            (waiting,) = await tellings(desk, case)
            assert (waiting["state"], waiting["channel"], waiting["reason"]) == ("to_tell", "shop", reason)
            told = (await desk.told("complaint.to_tell"))[-1]
            assert (told["telling_id"], told["what"], told["reason"]) == (waiting["id"], "decision", reason)
            assert told["assignee_id"] == handler
        done = await desk.send(
            f"/complaint-tellings/{waiting['id']}/confirm", {"staff_id": handler, "note": "电话告知"}
        )
        assert (done["state"], done["told_by"], done["note"]) == ("told", handler, "电话告知")
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] == done["told_at"]
        again = await desk.send(f"/complaint-tellings/{waiting['id']}/confirm", {}, 409)
        assert (again["code"], again["telling_id"]) == ("already_told", waiting["id"])
        (said,) = await desk.get(f"/complaints/{case}/messages")
        assert (said["channel"], said["staff_id"], said["tells"]) == ("wechat", handler, True)
        assert len(await desk.told("complaint.telling_told")) == len(await desk.told("complaint.told")) == 1

    async def test_a_decision_that_another_replaced_cannot_be_confirmed(self, desk):
        case = await desk.open(await desk.customer())
        await desk.proposed(case, "退款一半")
        await desk.work()
        await desk.move(case, "in_progress")
        await desk.move(case, "proposed", decision="全额退款")
        await desk.work()
        old, new = await tellings(desk, case)
        refused = await desk.send(f"/complaint-tellings/{old['id']}/confirm", {}, 409)
        assert (refused["code"], refused["telling_id"]) == ("superseded", new["id"])
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is None
        await desk.send(f"/complaint-tellings/{new['id']}/confirm", {})
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is not None

    async def test_the_longest_decision_is_recorded_too(self, desk, mailbox):
        by_phone, by_mail = await desk.open(await desk.customer()), await desk.open(await desk.customer(email=MAIL))
        await desk.mail(mailbox)
        for case in (by_phone, by_mail):
            await desk.proposed(case, "退" * 20_000)
        await desk.work()
        await desk.post()
        (waiting,) = await tellings(desk, by_phone)
        await desk.send(f"/complaint-tellings/{waiting['id']}/confirm", {})
        assert mailbox.letters[0].get_content().count("退") == 20_000
        for case in (by_phone, by_mail):
            (said,) = await desk.get(f"/complaints/{case}/messages")
            assert (len(said["body"]), said["tells"]) == (20_000, True)
            assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is not None

    async def test_a_letter_that_no_server_takes_is_the_shops(self, desk, mailbox):
        mailbox.answers = ["550 no such user"]
        await desk.mail(mailbox)
        case = await desk.open(await desk.customer(email=MAIL))
        await desk.proposed(case)
        await desk.work()
        await desk.post()
        (waiting,) = await tellings(desk, case)
        assert (waiting["state"], waiting["reason"]) == ("to_tell", "not_delivered")
        assert (await desk.get(f"/complaints/{case}"))["decision_told_at"] is None
        # Taken up again by hand, it goes out.
        sent = await desk.send(f"/complaints/{case}/tellings", {"what": "decision", "text": "全额退款"}, 201)
        assert (sent["id"], sent["state"]) == (waiting["id"], "queued")
        await desk.post()
        assert len(mailbox.letters) == 1
        refused = await desk.send(f"/complaints/{case}/tellings", {"what": "decision"}, 409)
        assert refused["code"] == "already_told"

    async def test_a_step_that_says_so_takes_it_off_the_list(self, desk):
        case = await desk.open(await desk.customer())
        await desk.proposed(case)
        await desk.work()
        await desk.configure(tell_result=False)
        desk.clock.instant = desk.clock.instant.replace(hour=6)
        await desk.move(case, "resolved", decision_told=True)
        await desk.move(case, "closed")
        await desk.work()
        (told,) = await tellings(desk, case)
        assert (told["state"], told["told_at"]) == ("told", "2026-11-23T06:00:00+00:00")

    async def test_what_nobody_told_of_an_earlier_decision_leaves_the_list(self, desk):
        case = await desk.open(await desk.customer())
        await desk.proposed(case, "退款一半")
        await desk.work()
        await desk.move(case, "in_progress")
        await desk.move(case, "proposed", decision="全额退款")
        await desk.work()
        old, new = await tellings(desk, case)
        assert (old["state"], new["state"]) == ("superseded", "to_tell")
        assert "全额退款" in new["body"]

    async def test_there_must_be_something_to_tell(self, desk):
        case = await desk.open(await desk.customer())
        refused = await desk.send(f"/complaints/{case}/tellings", {"what": "decision", "text": "x"}, 409)
        assert refused["code"] == "nothing_to_tell"
        for state in WAY:
            await desk.move(case, state)
        await desk.work()
        refused = await desk.send(f"/complaints/{case}/tellings", {"what": "decision"}, 422)
        assert refused["errors"][0]["pointer"] == "/text"
        await desk.send(f"/complaints/{uuid4()}/tellings", {"what": "decision", "text": "x"}, 404)
        assert await tellings(desk, case) == []


async def test_a_customers_words_are_no_places(desk, mailbox):
    await desk.mail(mailbox)
    case = await desk.open(await desk.customer(email=MAIL), subject="{shop} {text} {0}")
    await desk.proposed(case, "{subject}")
    await desk.work()
    await desk.post()
    assert "“{shop} {text} {0}”" in mailbox.letters[0].get_content()
    assert "\n{subject}\n" in mailbox.letters[0].get_content().replace("\r", "")


async def replays(desk, case):
    """The log of the case gives its row."""
    row = await desk.get(f"/complaints/{case}")
    async with desk.database.read(desk.tenant.actor) as unit:
        replayed = (await ComplaintService(unit).replayed(case)).model_dump(mode="json")
    shown = {name: row[name] for name in ("state", "version", "decision", "decision_told_at", "reopened")}
    assert {name: str(replayed[name]).replace("Z", "+00:00") for name in shown} == {
        name: str(value) for name, value in shown.items()
    }
