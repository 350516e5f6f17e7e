"""Satisfaction is asked once for each case, answered once, and a low one is told."""

import asyncio
import re
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from crm_api.closing import jobs
from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from tests.closing.shop import PAGE
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
MAIL = "wang@example.com"
LINK = re.compile(r"case=([0-9a-f-]{36})#([\w-]{43})")


@pytest_asyncio.fixture
async def asked(desk, mailbox):
    """Ask a customer by e-mail; returns the case, and id and token of the link."""
    await desk.mail(mailbox)
    await desk.configure(rating_page=PAGE, tell_decision=False, tell_result=False)
    case = await desk.resolved(await desk.customer(email=MAIL, service=True))
    await desk.work()
    await desk.later(hours=24)
    await desk.post()
    (letter,) = mailbox.letters
    rating_id, token = LINK.search(letter.get_content()).groups()
    return case, rating_id, token


async def rating_of(desk, case):
    (found,) = await desk.get("/complaint-ratings", complaint_id=case)
    return found


async def state_of(desk):
    """Return all there is of ratings, events and messages, to be equal afterwards."""
    async with desk.database.read(desk.tenant.actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT r::text FROM complaint_ratings r WHERE tenant_id = $1", desk.tenant.id
        )
        said = await unit.connection.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1", desk.tenant.id)
        audited = await unit.connection.fetchval("SELECT count(*) FROM audit_log WHERE tenant_id = $1", desk.tenant.id)
    return [row[0] for row in rows], said, audited


async def everything(desk):
    """Return all that is kept where a token could stand: neither hash nor letter shows it."""
    async with desk.database.read(desk.tenant.actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT r::text FROM complaint_ratings r UNION ALL SELECT m::text FROM channel_messages m "
            "UNION ALL SELECT o::text FROM outbox o UNION ALL SELECT a::text FROM audit_log a"
        )
    return [row[0] for row in rows]


class TestAsking:
    async def test_a_day_after_the_resolution_by_parallel_workers_once(self, desk, mailbox, settings):
        await desk.mail(mailbox)
        await desk.configure(rating_page=PAGE, tell_decision=False, tell_result=False)
        cases = [await desk.resolved(await desk.customer(email=f"w{n}@example.com", service=True)) for n in range(3)]
        await desk.work()
        assert {(await rating_of(desk, case))["state"] for case in cases} == {"planned"}
        desk.clock.advance(timedelta(hours=23, minutes=59))
        await desk.sweep()
        assert {(await rating_of(desk, case))["state"] for case in cases} == {"planned"}
        desk.clock.advance(timedelta(minutes=1))
        others = [await Database.open(settings, desk.clock, worker=True) for _ in range(3)]
        system = Actor.system(desk.tenant.id)
        await asyncio.gather(*(each.run(system, jobs._ask) for each in [*others, desk.database] for _ in range(2)))
        for each in others:
            await each.close()
        await desk.post()
        await desk.sweep()
        await desk.post()
        assert sorted(letter["to"] for letter in mailbox.letters) == [f"w{n}@example.com" for n in range(3)]
        assert len(await desk.told("complaint.rating_asked")) == 3
        row = await rating_of(desk, cases[0])
        assert (row["state"], row["channel"], row["expires_at"]) == ("asked", "email", "2026-12-01T04:00:00+00:00")

    async def test_what_cannot_be_asked_by_e_mail_is_the_shops(self, desk):
        await desk.configure(ask_after_hours=0)
        for email, service, page, reason in (
            (MAIL, True, None, "no_page"),
            ("other@example.com", False, PAGE, "not_allowed"),
            (None, True, PAGE, "no_address"),
            ("third@example.com", True, PAGE, "no_channel"),
        ):
            await desk.configure(rating_page=page)
            case = await desk.resolved(await desk.customer(email=email, service=service))
            await desk.work()
            await desk.later(minutes=1)
            row = await rating_of(desk, case)
            assert (row["state"], row["channel"], row["reason"]) == ("asked", "shop", reason)
            told = (await desk.told("complaint.rating_to_ask"))[-1]
            assert (told["rating_id"], told["complaint_id"], told["reason"]) == (row["id"], case, reason)
            link = await desk.send(f"/complaint-ratings/{row['id']}/link")
            assert link["path"] == f"/v1/public/complaint-ratings/{row['id']}"
            assert link["url"] == (page and page.format(rating_id=row["id"], token=link["token"]))
        newer = await desk.send(f"/complaint-ratings/{row['id']}/link")
        stale = await desk.client.get(link["path"], params={"token": link["token"]})
        assert stale.status_code == 404
        assert (await desk.client.get(newer["path"], params={"token": newer["token"]})).status_code == 200

    async def test_a_reopened_case_waits_and_is_not_asked_twice(self, desk, mailbox):
        await desk.mail(mailbox)
        await desk.configure(rating_page=PAGE, tell_decision=False, tell_result=False)
        case = await desk.resolved(await desk.customer(email=MAIL, service=True))
        await desk.work()
        await desk.move(case, "in_progress")
        await desk.later(hours=25)
        assert (await rating_of(desk, case))["state"] == "planned"
        await desk.move(case, "proposed", decision="补发")
        await desk.move(case, "resolved")
        await desk.work()
        assert (await rating_of(desk, case))["ask_at"] == "2026-11-25T05:00:00+00:00"
        await desk.later(hours=24)
        await desk.post()
        assert len(mailbox.letters) == 1
        await desk.move(case, "in_progress")
        await desk.move(case, "proposed", decision="再次补发")
        await desk.move(case, "resolved")
        await desk.work()
        await desk.later(hours=48)
        await desk.post()
        assert len(mailbox.letters) == 1
        again = await desk.send(f"/complaints/{case}/rating", status=409)
        assert again["code"] == "already_asked"

    async def test_switched_off_before_it_is_due_it_is_dropped(self, desk):
        case = await desk.resolved(await desk.customer())
        await desk.work()
        await desk.configure(ask_rating=False)
        await desk.later(hours=25)
        assert (await rating_of(desk, case))["state"] == "dropped"
        assert await desk.told("complaint.rating_to_ask") == []
        await desk.configure(ask_rating=True)
        await desk.later(hours=25)
        assert (await rating_of(desk, case))["asked_at"] is None
        assert (await desk.send(f"/complaints/{case}/rating", status=201))["state"] == "asked"

    async def test_by_hand_at_once_but_only_what_is_resolved(self, desk):
        case = await desk.open(await desk.customer())
        refused = await desk.send(f"/complaints/{case}/rating", status=409)
        assert refused["code"] == "not_resolved"
        await desk.proposed(case)
        await desk.move(case, "resolved")
        made = await desk.send(f"/complaints/{case}/rating", status=201)
        assert (made["state"], made["ask_at"]) == ("asked", "2026-11-23T04:00:00+00:00")
        await desk.work()
        await desk.later(hours=25)
        assert (await rating_of(desk, case))["version"] == made["version"]

    async def test_a_letter_that_no_server_takes_is_for_the_shop_to_ask(self, desk, mailbox):
        mailbox.answers = ["550 no"]
        await desk.mail(mailbox)
        await desk.configure(rating_page=PAGE, ask_after_hours=0, tell_result=False)
        case = await desk.resolved(await desk.customer(email=MAIL, service=True))
        await desk.work()
        await desk.later(minutes=1)
        await desk.post()
        row = await rating_of(desk, case)
        assert (row["state"], row["channel"], row["reason"]) == ("asked", "shop", "not_delivered")
        assert [each["reason"] for each in await desk.told("complaint.rating_to_ask")] == ["not_delivered"]


class TestAnswering:
    async def test_by_the_link_without_a_key(self, desk, app, asked):
        case, rating_id, token = asked
        path = f"/v1/public/complaint-ratings/{rating_id}"
        assert not [row for row in await everything(desk) if token in row]
        assert "token" not in await desk.get(f"/complaint-ratings/{rating_id}")
        before = await state_of(desk)
        async with client_of(app, None) as visitor:
            for number, wrong in ((rating_id, token[:-1]), (rating_id, "x"), (uuid4(), token)):
                other = f"/v1/public/complaint-ratings/{number}"
                assert (await visitor.get(other, params={"token": wrong})).status_code == 404
                assert (await visitor.post(other, json={"token": wrong, "csat": 5})).status_code == 404
            assert await state_of(desk) == before
            shown = await visitor.get(path, params={"token": token}, headers={"origin": "https://shop.example.com"})
            assert shown.headers["access-control-allow-origin"] == "https://shop.example.com"
            assert shown.json() == {
                "shop": "test shop",
                "subject": "收到的虾已变质",
                "state": "asked",
                "csat_question": "您对本次处理的满意程度如何？",
                "ces_question": "您是否同意：“问题的处理过程对我来说很轻松”？",
                "expires_at": "2026-12-01T04:00:00Z",
            }
            sent = await visitor.post(path, json={"token": token, "csat": 5, "ces": 6, "comment": "很快"})
            assert sent.json() == {"rating_id": rating_id, "answered_at": "2026-11-24T04:00:00Z"}
            assert (await visitor.get(path, params={"token": token})).json()["state"] == "answered"
        row = await rating_of(desk, case)
        assert (row["state"], row["csat"], row["ces"], row["comment"]) == ("answered", 5, 6, "很快")
        assert (row["low"], row["suggestion"], row["answered_by"]) == (False, None, None)
        (told,) = await desk.told("complaint.rated")
        assert (told["csat"], told["ces"], told["low"]) == (5, 6, False)
        assert "comment" not in told
        assert await desk.told("complaint.rated_low") == []

    async def test_a_second_answer_changes_nothing(self, desk, app, asked):
        _, rating_id, token = asked
        path = f"/v1/public/complaint-ratings/{rating_id}"
        async with client_of(app, None) as visitor:
            answers = await asyncio.gather(
                *(visitor.post(path, json={"token": token, "csat": csat}) for csat in (5, 4, 3, 2))
            )
            assert sorted(each.status_code for each in answers) == [200, 409, 409, 409]
            before = await state_of(desk)
            again = await visitor.post(path, json={"token": token, "csat": 1})
        assert (again.status_code, again.json()["code"]) == (409, "rating_answered")
        by_staff = await desk.send(f"/complaint-ratings/{rating_id}/answer", {"csat": 1}, 409)
        assert by_staff["code"] == "rating_answered"
        await desk.send(f"/complaint-ratings/{rating_id}/link", status=409)
        assert await state_of(desk) == before

    async def test_what_comes_too_late_changes_nothing(self, desk, app, asked):
        case, rating_id, token = asked
        path = f"/v1/public/complaint-ratings/{rating_id}"
        desk.clock.advance(timedelta(days=7))
        before = await state_of(desk)
        async with client_of(app, None) as visitor:
            assert (await visitor.get(path, params={"token": token})).json()["state"] == "expired"
            late = await visitor.post(path, json={"token": token, "csat": 5})
            assert (late.status_code, late.json()["code"]) == (409, "rating_expired")
            assert await state_of(desk) == before
            await desk.sweep()
            assert (await rating_of(desk, case))["state"] == "expired"
            later = await visitor.post(path, json={"token": token, "csat": 5})
            assert (later.status_code, later.json()["code"]) == (409, "rating_expired")
        await desk.sweep()
        assert len(await desk.told("complaint.rating_expired")) == 1

    async def test_staff_enter_what_was_said_and_a_low_one_is_told(self, desk):
        handler = await desk.staff()
        case = await desk.resolved(await desk.customer(), assignee_id=handler, severity="S2")
        await desk.work()
        row = await rating_of(desk, case)
        said = {"csat": 2, "ces": 2, "comment": "等了太久", "staff_id": handler}
        done = await desk.send(f"/complaint-ratings/{row['id']}/answer", said)
        assert (done["state"], done["low"], done["suggestion"], done["answered_by"]) == (
            "answered",
            True,
            "reopen",
            handler,
        )
        (low,) = await desk.told("complaint.rated_low")
        assert (low["suggestion"], low["assignee_id"], low["csat"]) == ("reopen", handler, 2)
        await desk.later(hours=25)
        assert (await rating_of(desk, case)) == done

    async def test_it_counts_for_churn_for_staff_and_for_segments(self, desk):
        handler, who = await desk.staff(), await desk.customer()
        for csat, ces in ((2, 3), (5, 6)):
            case = await desk.resolved(who, assignee_id=handler)
            await desk.work()
            answer = {"csat": csat, "ces": ces}
            await desk.send(f"/complaint-ratings/{(await rating_of(desk, case))['id']}/answer", answer)
        await desk.work()
        rated = [each for each in await desk.messages() if each.type == "complaint.rated"]
        await desk.again(jobs.note, rated)  # a message that comes twice
        events = await desk.get(f"/customers/{who}/events", type="rating")
        assert sorted((each["properties"]["score"], each["properties"]["scale"]) for each in events) == [(2, 5), (5, 5)]
        until = (desk.clock.now() + timedelta(seconds=1)).isoformat()
        report = (await desk.client.get("/v1/staff-performance", params={"until": until})).json()
        (shown,) = [each for each in report["staff"] if each["staff_id"] == handler]
        assert shown["more"]["satisfaction"] == {"answers": 2, "csat": 3.5, "ces": 4.5, "low": 1}
        low = {"field": "low", "op": "eq", "value": True}
        for of, value, found in ((low, 1, [who]), (low, 2, []), (None, 2, [who])):
            rule = {"aggregate": "count", "of": "complaint_ratings", "op": "gte", "value": value}
            rule |= {"where": of} if of else {}
            page = await desk.send("/customers/search", {"rule": rule, "fields": ["id"]})
            assert [each["id"] for each in page["data"]] == found, rule
        entries = (await desk.client.get(f"/v1/customers/{who}/timeline")).json()["data"]
        assert [each["data"]["csat"] for each in entries if each["kind"] == "complaint_rating"] == [5, 2]
