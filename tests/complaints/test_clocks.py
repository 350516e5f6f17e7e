"""Clocks of cases: policies, what is stored, what is announced, over the surfaces and under many workers."""

import asyncio
from base64 import b64encode
from datetime import UTC, timedelta
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from crm_api.complaints import clock_log, jobs
from crm_api.complaints.clocks import CaseClocks
from crm_api.complaints.models import ComplaintCreate, ComplaintMessageCreate, ComplaintTransition, ComplaintUpdate
from crm_api.complaints.repository import COMPLAINT_CLOCK
from crm_api.complaints.repository.clocks import ClockRepository
from crm_api.complaints.service import ComplaintMessageService, ComplaintService
from crm_api.core.actor import Actor
from crm_api.core.clock import FixedClock
from crm_api.core.errors import CrmError
from crm_api.core.paging import PageRequest
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.db.plans import read_list
from crm_api.db.pool import Database
from tests.complaints.desk import (
    MINUTE,
    MONDAY,
    at,
    brief,
    case,
    follow,
    limits,
    messages,
    move,
    only,
    policy,
    runs,
    say,
    shown,
    sweep,
)
from tests.staff.shop import clocked, customers, listed, post, staff
from tests.support.api import make_tenant
from tests.support.receivers import http_receiver

pytestmark = pytest.mark.database

SECRET = "whsec_" + b64encode(b"k" * 24).decode()


@pytest.mark.asyncio
class TestReading:
    async def test_a_new_shop_has_limits_with_their_sources(self, client, database):
        clocked(database, MONDAY)
        policies = await listed(client, "/v1/clock-policies")
        assert [(each["preset"], each["active"]) for each in policies] == [
            ("odr", True),
            ("wechat_shop", False),
            ("refund", True),
            ("shop", True),
        ]
        assert "ISO 10002" in policies[-1]["note"]
        opened = await case(client)
        found = await runs(client, opened)
        # S3: four, eight and forty business hours; the decision thirty-two.
        assert {clock: each["due_at"] for (clock, _), each in found.items()} == {
            "acknowledge": "2026-11-23T07:30:00+00:00",
            "first_response": "2026-11-24T02:30:00+00:00",
            "decision": "2026-11-27T04:00:00+00:00",
            "resolution": "2026-11-30T06:00:00+00:00",
        }
        assert (opened["due_at"], opened["breached"]) == ("2026-11-23T07:30:00+00:00", False)

    async def test_a_read_tells_the_truth_before_any_worker_has_noticed(self, client, database, tenant):
        await only(client, limits("resolution", 120, warn_percent=50))
        clocked(database, MONDAY)
        opened = await case(client)
        seen = []
        for minutes in (0, 59, 60, 120, 121):
            clocked(database, MONDAY + minutes * MINUTE)
            run = (await runs(client, opened))["resolution", 1]
            seen.append((run["state"], run["warned_at"] is not None, run["breached_at"] is not None))
            listed_now = await listed(client, "/v1/complaints?breached=true")
            assert len(listed_now) == (minutes == 121)
            assert (await shown(client, opened))["breached"] is (minutes == 121)
        assert seen == [
            ("running", False, False),
            ("running", False, False),
            ("running", True, False),
            ("running", True, False),
            ("breached", True, True),
        ]
        assert await messages(database, tenant) == []
        assert len(await listed(client, "/v1/complaint-clocks?state=breached&clock=resolution")) == 1
        assert await listed(client, "/v1/complaint-clocks?breached=false") == []

    async def test_cases_are_listed_by_what_is_due_first(self, client, database):
        await only(client, {"clock": "resolution", "targets": [{"severity": "S1", "minutes": 30}, {"minutes": 120}]})
        clocked(database, MONDAY)
        late, soon = await case(client), await case(client, severity="S1")
        answer = await listed(client, "/v1/complaints?order=due&open=true")
        assert [each["id"] for each in answer] == [soon["id"], late["id"]]
        before = (MONDAY + 31 * MINUTE).astimezone(UTC).isoformat().replace("+00:00", "Z")
        assert [each["id"] for each in await listed(client, f"/v1/complaints?due_before={before}")] == [soon["id"]]
        await move(client, soon, "acknowledged", "assessed", "in_progress", "proposed", "resolved")
        (after,) = await listed(client, "/v1/complaints?order=due&open=true")
        assert after["id"] == late["id"]
        assert (await shown(client, soon))["due_at"] is None

    async def test_graphql_shows_the_same(self, client, database):
        await only(client, limits("acknowledge", 30))
        clocked(database, MONDAY)
        await case(client)
        query = "{ complaints { nodes { dueAt breached clocks { clock state dueAt policy { name } } } } }"
        answer = await client.post("/graphql", json={"query": query})
        (node,) = answer.json()["data"]["complaints"]["nodes"]
        due = "2026-11-23T02:30:00+00:00"
        clocks = [{"clock": "ACKNOWLEDGE", "state": "RUNNING", "dueAt": due, "policy": {"name": "甲"}}]
        assert node == {"dueAt": due, "breached": False, "clocks": clocks}


@pytest.mark.asyncio
class TestAnnouncing:
    async def test_over_a_holiday_and_on_a_make_up_workday(self, client, database, tenant):
        await only(
            client,
            limits("first_response", 120, warn_percent=None),
            escalations=[
                {"at": "breach", "after_minutes": 60, "action": "notify", "to": ["assignee"]},
            ],
        )
        # Wednesday before the National Day: an hour is left, the second comes on Thursday week.
        clocked(database, at("2026-09-30T17:00"))
        before = await case(client)
        # Friday after it: half an hour, one and a half on Saturday the tenth, when everybody makes up for the holiday.
        clocked(database, at("2026-10-09T17:30"))
        after = await case(client)
        for moment in ("2026-10-08T10:00", "2026-10-09T18:00", "2026-10-10T10:30", "2026-10-10T11:31"):
            clocked(database, at(moment))
            await sweep(database, tenant)
        assert brief(await messages(database, tenant)) == [
            (before["id"], "breached", "first_response", "10-08 10:00"),
            (before["id"], "escalated", "first_response", "10-08 11:00"),
            (after["id"], "breached", "first_response", "10-10 10:30"),
            (after["id"], "escalated", "first_response", "10-10 11:30"),
        ]

    async def test_a_pause_takes_nothing_back_and_the_answer_stops_the_clock(self, client, database, tenant):
        await only(client, limits("resolution", 60, paused_in=["waiting_customer"], warn_percent=None))
        clocked(database, MONDAY)
        opened = await case(client)
        await move(client, opened, "acknowledged", "assessed", "in_progress", "waiting_customer")
        assert (await runs(client, opened))["resolution", 1]["state"] == "paused"
        assert (await shown(client, opened))["due_at"] is None
        clocked(database, MONDAY + timedelta(days=3))
        assert await sweep(database, tenant) == 0
        await move(client, opened, "in_progress")
        clocked(database, MONDAY + timedelta(days=3) + 61 * MINUTE)
        await move(client, opened, "waiting_customer")
        run = (await runs(client, opened))["resolution", 1]
        assert (run["state"], run["breached_at"]) == ("breached", "2026-11-26T03:00:00+00:00")
        # The write itself has told it; a worker finds nothing more.
        assert await sweep(database, tenant) == 0
        assert [each[1] for each in brief(await messages(database, tenant))] == ["breached"]

    async def test_the_next_response_counts_from_the_first_unanswered_message(self, client, database):
        await only(client, limits("next_response", 30, warn_percent=None))
        clocked(database, MONDAY)
        opened = await case(client)
        await say(client, opened, "in")
        assert await runs(client, opened) == {}
        await say(client, opened)
        for minutes, way in ((10, "in"), (20, "in"), (35, "out"), (50, "in")):
            clocked(database, MONDAY + minutes * MINUTE)
            await say(client, opened, way)
        found = await runs(client, opened)
        assert [(key[1], each["state"], each["due_at"]) for key, each in found.items()] == [
            (1, "met", "2026-11-23T02:40:00+00:00"),
            (2, "running", "2026-11-23T03:20:00+00:00"),
        ]
        assert found["next_response", 1]["spent_seconds"] == 25 * 60

    async def test_words_of_one_instant_are_told_apart(self, client, database, tenant):
        await only(client, limits("next_response", 30, warn_percent=None))
        clocked(database, MONDAY + 5 * MINUTE)
        opened = await case(client, received_at=MONDAY.isoformat())
        for minute, way in ((1, "out"), (2, "in"), (2, "out"), (2, "in")):
            await say(client, opened, way, at=(MONDAY + minute * MINUTE).isoformat())
        for minutes in (60, 61, 62):
            clocked(database, MONDAY + minutes * MINUTE)
            await sweep(database, tenant)
            await say(client, opened, "internal")
        rows = await listed(client, f"/v1/complaints/{opened['id']}/clocks")
        assert sorted((each["cycle"], each["state"]) for each in rows) == [(1, "met"), (2, "breached")]
        assert [each[1] for each in brief(await messages(database, tenant))] == ["breached"]

    async def test_the_database_holds_each_run_once(self, client, database, tenant):
        opened = await case(client)
        await post(client, f"/v1/complaints/{opened['id']}/clock-marks", {"what": "return_received"}, 200)
        again = """INSERT INTO complaint_clocks SELECT (copy).* FROM (
            SELECT jsonb_populate_record(k, $2) AS copy FROM complaint_clocks k WHERE complaint_id = $1 AND clock = $3
            ) AS found"""
        for clock, change in (("refund", {}), ("resolution", {}), ("resolution", {"started_at": MONDAY.isoformat()})):
            with pytest.raises(asyncpg.UniqueViolationError, match="uq_complaint_clocks"):
                async with database.write(tenant.actor) as unit:
                    await unit.connection.execute(again, UUID(opened["id"]), {"id": str(uuid4()), **change}, clock)

    async def test_a_word_recorded_late_begins_the_same_wait_earlier(self, client, database, tenant):
        raised = [{"at": "breach", "action": "raise"}]
        await only(client, limits("next_response", 30, warn_percent=None), escalations=raised)
        clocked(database, MONDAY)
        opened = await case(client, severity="S4")
        await say(client, opened)
        clocked(database, MONDAY + 10 * MINUTE)
        await say(client, opened, "in")
        before = await runs(client, opened)
        clocked(database, MONDAY + 50 * MINUTE)
        await sweep(database, tenant)
        await say(client, opened, "in", at=(MONDAY + 9 * MINUTE).isoformat())
        await follow(database, tenant, jobs.escalate, "complaint.escalated")
        assert [each[1:] for each in brief(await messages(database, tenant))] == [
            ("breached", "next_response", "11-23 10:40"),
            ("escalated", "next_response", "11-23 10:40"),
        ]
        after = await runs(client, opened)
        assert [each["id"] for each in after.values()] == [each["id"] for each in before.values()]
        assert after["next_response", 1]["started_at"] == "2026-11-23T02:09:00+00:00"
        assert (await shown(client, opened))["severity"] == "S3"

    async def test_a_merged_case_brings_its_earlier_opening_and_its_words(self, client, database, tenant):
        await only(client, limits("first_response", 60, warn_percent=None))
        clocked(database, MONDAY)
        child = await case(client)
        clocked(database, MONDAY + 30 * MINUTE)
        parent = await case(client)
        assert (await shown(client, parent))["due_at"] == "2026-11-23T03:30:00+00:00"
        body = {"action": "mark_duplicate", "merged_into": parent["id"]}
        await post(client, f"/v1/complaints/{child['id']}/transitions", body, 200)
        assert (await shown(client, parent))["due_at"] == "2026-11-23T03:00:00+00:00"
        assert (await runs(client, child))["first_response", 1]["state"] == "cancelled"
        clocked(database, MONDAY + 45 * MINUTE)
        await post(client, f"/v1/complaints/{child['id']}/transitions", {"action": "unmerge"}, 200)
        dues = [(await shown(client, each))["due_at"] for each in (child, parent)]
        assert dues == ["2026-11-23T03:00:00+00:00", "2026-11-23T03:30:00+00:00"]
        await post(client, f"/v1/complaints/{child['id']}/transitions", body, 200)
        await say(client, child)
        assert (await runs(client, parent))["first_response", 1]["state"] == "met"
        assert await messages(database, tenant) == []

    async def test_what_was_missed_by_a_merged_cases_opening_goes_with_it(self, client, database, tenant):
        await only(client, limits("first_response", 60, warn_percent=None))
        clocked(database, MONDAY)
        child = await case(client)
        clocked(database, MONDAY + 30 * MINUTE)
        parent = await case(client)
        body = {"action": "mark_duplicate", "merged_into": parent["id"]}
        await post(client, f"/v1/complaints/{child['id']}/transitions", body, 200)
        clocked(database, MONDAY + 70 * MINUTE)
        await sweep(database, tenant)
        assert (await shown(client, parent))["breached"] is True
        await post(client, f"/v1/complaints/{child['id']}/transitions", {"action": "unmerge"}, 200)
        for minutes, state, breached in ((75, "running", False), (95, "breached", True)):
            clocked(database, MONDAY + minutes * MINUTE)
            await sweep(database, tenant)
            run, found = (await runs(client, parent))["first_response", 1], await shown(client, parent)
            assert (run["state"], run["started_at"][11:16], run["due_at"][11:16]) == (state, "02:30", "03:30")
            assert (found["breached"], found["due_at"]) == (breached, run["due_at"])
        told = brief(await messages(database, tenant))
        assert [each for each in told if each[0] == parent["id"]] == [
            (parent["id"], "breached", "first_response", "11-23 11:00")
        ]

    async def test_what_is_said_to_a_merged_case_is_its_own_when_it_is_taken_out_again(self, client, database):
        await only(
            client,
            limits("first_response", 60),
            limits("next_response", 30),
            limits("resolution", 480, paused_in=["waiting_customer"]),
        )
        clocked(database, MONDAY)
        child, alone, parent = await case(client), await case(client), await case(client)
        into = {"action": "mark_duplicate", "merged_into": parent["id"]}
        for minutes, action in (
            (5, "in"),
            (10, into),
            (15, "out"),
            (20, "in"),
            (40, "out"),
            (50, "in"),
            (60, {"action": "unmerge"}),
            (65, "in"),
        ):
            clocked(database, MONDAY + minutes * MINUTE)
            if isinstance(action, str):
                await say(client, child, action)
                await say(client, alone, action)
            else:
                await post(client, f"/v1/complaints/{child['id']}/transitions", action, 200)
        names = ("state", "started_at", "stopped_at", "due_at")
        found = [await runs(client, each) for each in (child, alone)]
        told = [{key: [run[name] for name in names] for key, run in each.items()} for each in found]
        assert told[0] == told[1]
        assert (await shown(client, parent))["due_at"] == (await runs(client, parent))["first_response", 1]["due_at"]

    @pytest.mark.parametrize("recorded", ["while it was merged", "afterwards"])
    async def test_an_answer_to_a_merged_case_ends_its_waiting_when_it_is_taken_out_again(
        self, client, database, recorded
    ):
        await only(client, limits("resolution", 480, paused_in=["waiting_customer"]))
        clocked(database, MONDAY)
        child, parent = await case(client), await case(client)
        await move(client, child, "acknowledged", "assessed", "in_progress", "waiting_customer")
        for minutes, action in (
            (5, {"action": "mark_duplicate", "merged_into": parent["id"]}),
            (20, {"action": "unmerge"}),
        ):
            if minutes == 20:
                clocked(database, MONDAY + 10 * MINUTE)
                if recorded == "while it was merged":
                    await say(client, child, "in")
            clocked(database, MONDAY + minutes * MINUTE)
            await post(client, f"/v1/complaints/{child['id']}/transitions", action, 200)
        if recorded == "afterwards":
            assert (await shown(client, child))["state"] == "waiting_customer"
            await say(client, child, "in", at=(MONDAY + 10 * MINUTE).isoformat())
        assert (await shown(client, child))["state"] == "in_progress"
        assert (await runs(client, child))["resolution", 1]["state"] == "running"

    async def test_a_merged_case_brings_the_refund_it_waits_for(self, client, database, tenant):
        clocked(database, MONDAY)
        (buyer,) = await customers(client, 1)
        total = {"amount": 1999, "currency": "CNY"}
        order = {"customer_id": buyer, "status": "paid", "total": total, "placed_at": MONDAY.isoformat()}
        bought = [(await post(client, f"/v1/orders/taobao/{n}", order, 201, "PUT"))["id"] for n in range(2)]
        child, parent = [await case(client, customer_id=buyer, order_id=each) for each in bought]
        await post(client, f"/v1/complaints/{child['id']}/clock-marks", {"what": "return_received"}, 200)
        path = f"/v1/complaints/{child['id']}/transitions"
        clocked(database, MONDAY + 10 * MINUTE)
        await post(client, path, {"action": "mark_duplicate", "merged_into": parent["id"]}, 200)
        watched = (await runs(client, parent))["refund", 1]
        assert (watched["state"], watched["due_at"]) == ("running", "2026-11-30T02:00:00+00:00")
        # A later return of the other one changes nothing: the earliest clock counts.
        await post(client, f"/v1/complaints/{parent['id']}/clock-marks", {"what": "return_received"}, 200)
        assert (await runs(client, parent))["refund", 1]["due_at"] == watched["due_at"]
        clocked(database, MONDAY + 20 * MINUTE)
        await post(client, f"/v1/orders/{bought[0]}/refunds", {"amount": total})
        await follow(database, tenant, jobs.refund, "order.refunded")
        assert {key: each["state"] for key, each in (await runs(client, parent)).items() if key[0] == "refund"} == {
            ("refund", 1): "met"
        }
        await post(client, path, {"action": "unmerge"}, 200)
        states = [(await runs(client, each))["refund", 1]["state"] for each in (child, parent)]
        assert states == ["met", "running"]

    async def test_a_refund_is_awaited_from_the_return_on(self, client, database, tenant):
        clocked(database, MONDAY)
        opened = await case(client)
        path = f"/v1/complaints/{opened['id']}/clock-marks"
        assert (
            await client.post(path, json={"what": "return_received", "at": "2027-01-01T00:00:00Z"})
        ).status_code == 422
        await post(client, path, {"what": "return_received"}, 200)
        run = (await runs(client, opened))["refund", 1]
        # Seven days around the clock.
        assert (run["due_at"], run["natural"]) == ("2026-11-30T02:00:00+00:00", True)
        await move(client, opened, "acknowledged", "assessed", "in_progress", "proposed", "resolved")
        assert (await runs(client, opened))["refund", 1]["state"] == "running"
        clocked(database, MONDAY + timedelta(days=8))
        assert await sweep(database, tenant) == 1
        await post(client, path, {"what": "refunded"}, 200)
        assert [each[1:3] for each in brief(await messages(database, tenant)) if each[2] == "refund"] == [
            ("warned", "refund"),
            ("breached", "refund"),
            ("escalated", "refund"),
            ("escalated", "refund"),
        ]

    async def test_a_refund_of_the_order_is_noted_by_itself(self, client, database, tenant):
        clocked(database, MONDAY)
        (buyer,) = await customers(client, 1)
        order = {
            "customer_id": buyer,
            "status": "paid",
            "total": {"amount": 1999, "currency": "CNY"},
            "placed_at": MONDAY.isoformat(),
        }
        bought = await post(client, "/v1/orders/taobao/1", order, 201, "PUT")
        opened = await case(client, customer_id=buyer, order_id=bought["id"])
        other = await case(client, customer_id=buyer)
        for each in (opened, other):
            await post(client, f"/v1/complaints/{each['id']}/clock-marks", {"what": "return_received"}, 200)
        clocked(database, MONDAY + timedelta(days=1))
        await post(client, f"/v1/orders/{bought['id']}/refunds", {"amount": {"amount": 1999, "currency": "CNY"}})
        for _ in range(2):
            await follow(database, tenant, jobs.refund, "order.refunded")
        states = [(await runs(client, each))["refund", 1]["state"] for each in (opened, other)]
        assert states == ["met", "running"]
        assert len(await messages(database, tenant, "complaint.marked")) == 3

    @pytest.mark.parametrize(
        ("minutes", "amount", "state"), [(-5, 900, "running"), (-5, 1999, "met"), (5, 900, "met"), (20, 900, "met")]
    )
    async def test_goods_that_come_back_after_the_money_await_none(self, client, database, minutes, amount, state):
        clocked(database, MONDAY - 60 * MINUTE)
        (buyer,) = await customers(client, 1)
        total = {"amount": 1999, "currency": "CNY"}
        order = {
            "customer_id": buyer,
            "status": "paid",
            "total": total,
            "placed_at": (MONDAY - 60 * MINUTE).isoformat(),
        }
        bought = await post(client, "/v1/orders/taobao/1", order, 201, "PUT")
        clocked(database, MONDAY)
        opened = await case(client, customer_id=buyer, order_id=bought["id"])
        clocked(database, MONDAY + 30 * MINUTE)
        refund = {"amount": {**total, "amount": amount}, "refunded_at": (MONDAY + minutes * MINUTE).isoformat()}
        await post(client, f"/v1/orders/{bought['id']}/refunds", refund)
        returned = {"what": "return_received", "at": (MONDAY + 10 * MINUTE).isoformat()}
        await post(client, f"/v1/complaints/{opened['id']}/clock-marks", returned, 200)
        run = (await runs(client, opened))["refund", 1]
        assert run["state"] == state
        assert run["spent_seconds"] == {-5: 1200 if state == "running" else 0, 5: 0, 20: 600}[minutes]
        # The money that was noted counts once.
        clocked(database, MONDAY + 60 * MINUTE)
        if state == "met":
            await post(client, f"/v1/complaints/{opened['id']}/clock-marks", {"what": "return_received"}, 200)
            again = (await runs(client, opened))["refund", 2]
            assert again["state"] == ("met" if amount == total["amount"] else "running")


@pytest.mark.asyncio
class TestPolicies:
    async def test_longer_limits_and_other_calendars_take_nothing_back(self, client, database, tenant):
        terms = await only(client, limits("resolution", 30, warn_percent=None))
        clocked(database, MONDAY)
        first, second = await case(client), None
        clocked(database, MONDAY + 31 * MINUTE)
        await sweep(database, tenant)
        second = await case(client)
        longer = {"clocks": [limits("resolution", 90, warn_percent=None)]}
        await post(client, f"/v1/clock-policies/{terms['id']}", longer, 200, "PATCH")
        assert (await client.get("/v1/clock-progress")).json() == {"waiting": 2, "total": 2}
        await follow(database, tenant, jobs.change, "clock_policy.updated")
        await jobs.reclock(database, {"tenant_id": str(tenant.id)})
        assert (await client.get("/v1/clock-progress")).json() == {"waiting": 0, "total": 2}
        fact, run = (await runs(client, first))["resolution", 1], (await runs(client, second))["resolution", 1]
        assert (fact["state"], fact["breached_at"]) == ("breached", "2026-11-23T02:30:00+00:00")
        # 10:31 and ninety minutes: one minute after the lunch break.
        assert (run["state"], run["due_at"]) == ("running", "2026-11-23T05:31:00+00:00")
        (calendar,) = await listed(client, "/v1/calendars?is_default=true")
        closed = {"weekly": {"2": [["09:00", "18:00"]]}}
        await post(client, f"/v1/calendars/{calendar['id']}", closed, 200, "PATCH")
        await sweep(database, tenant)
        assert (await runs(client, second))["resolution", 1]["due_at"] == "2026-11-24T02:30:00+00:00"
        assert len(await messages(database, tenant)) == 1
        (told,) = await messages(database, tenant, "complaint_clocks.reckoned")
        assert told.payload == {"cases": 2}

    @pytest.mark.parametrize("change", ["category", "policy"])
    async def test_what_was_met_is_met_under_tighter_terms_too(self, client, database, tenant, change):
        terms = await only(client, limits("first_response", 240, warn_percent=None))
        tight = limits("first_response", 30, warn_percent=None)
        raised = [{"at": "breach", "action": "raise"}]
        await policy(client, tight, name="乙", position=0, conditions={"category": ["quality"]}, escalations=raised)
        clocked(database, MONDAY)
        opened = await case(client)
        clocked(database, MONDAY + 45 * MINUTE)
        await say(client, opened)
        before = await runs(client, opened)
        clocked(database, MONDAY + 50 * MINUTE)
        if change == "category":
            await post(client, f"/v1/complaints/{opened['id']}", {"category": "quality/ice"}, 200, "PATCH")
        else:
            await post(client, f"/v1/clock-policies/{terms['id']}", {"clocks": [tight]}, 200, "PATCH")
        assert await sweep(database, tenant) == (change == "policy")
        assert await runs(client, opened) == before
        assert before["first_response", 1]["state"] == "met"
        assert await messages(database, tenant) == []
        # A word of before moves the end: it is judged anew, by what holds now.
        await say(client, opened, at=(MONDAY + 20 * MINUTE).isoformat())
        run = (await runs(client, opened))["first_response", 1]
        assert (run["state"], run["due_at"]) == ("met", "2026-11-23T02:30:00+00:00")

    async def test_a_new_policy_announces_nothing_of_what_is_over(self, client, database, tenant):
        terms = await only(client, limits("resolution", 30, warn_percent=None))
        await post(client, f"/v1/clock-policies/{terms['id']}", {"active": False}, 200, "PATCH")
        clocked(database, MONDAY)
        opened = await case(client)
        clocked(database, MONDAY + 50 * MINUTE)
        await move(client, opened, "acknowledged", "assessed", "in_progress", "proposed", "resolved")
        await post(client, f"/v1/clock-policies/{terms['id']}", {"active": True}, 200, "PATCH")
        for cause in ("x", "y"):
            clocked(database, MONDAY + timedelta(days=90))
            await post(client, f"/v1/complaints/{opened['id']}", {"root_cause": cause}, 200, "PATCH")
        assert await messages(database, tenant) == []
        assert (await runs(client, opened))["resolution", 1]["stopped_at"] == "2026-11-23T02:50:00+00:00"

    async def test_a_policy_that_is_switched_off_clocks_nothing_more(self, client, database, tenant):
        terms = await only(client, limits("resolution", 30), limits("acknowledge", 10, warn_percent=None))
        clocked(database, MONDAY)
        opened = await case(client)
        clocked(database, MONDAY + 11 * MINUTE)
        await sweep(database, tenant)
        await post(client, f"/v1/clock-policies/{terms['id']}", {"active": False}, 200, "PATCH")
        await sweep(database, tenant)
        (left,) = (await runs(client, opened)).values()
        assert (left["clock"], left["state"], left["stopped_at"] is not None) == ("acknowledge", "breached", True)
        after = await shown(client, opened)
        assert (after["due_at"], after["breached"]) == (None, True)

    async def test_policies_are_checked_and_their_secret_is_never_shown(self, client):
        hook = {"at": "breach", "action": "webhook", "url": "https://shop.example/hook"}
        body = {"name": "甲", "clocks": [limits("resolution", 60)], "escalations": [hook]}
        refused = await client.post("/v1/clock-policies", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/secret")
        made = await post(client, "/v1/clock-policies", {**body, "secret": SECRET})
        assert (made["has_secret"], "secret" in made) == (True, False)
        audit = await listed(client, "/v1/audit-log")
        assert SECRET not in str(audit)
        missing = {"escalations": [{"at": "warn", "action": "notify", "staff_ids": [str(uuid4())]}]}
        refused = await client.patch(f"/v1/clock-policies/{made['id']}", json=missing)
        assert refused.json()["errors"][0]["pointer"] == "/escalations"
        again = await client.post("/v1/clock-policies/adopt", json={"preset": "shop"})
        assert (again.status_code, again.json()["code"]) == (409, "duplicate")
        presets = (await client.get("/v1/clock-presets")).json()["presets"]
        assert {each["name"] for each in presets} == {"shop", "wechat_shop", "odr", "refund"}
        assert all(each["note"]["zh"] for each in presets)


@pytest.mark.asyncio
class TestEscalation:
    async def test_raised_once_however_often_the_message_comes(self, client, database, tenant):
        steps = [{"at": "breach", "action": "raise"}]
        await only(client, limits("resolution", 30, warn_percent=None), escalations=steps)
        clocked(database, MONDAY)
        opened, ended = await case(client, severity="S4"), await case(client)
        clocked(database, MONDAY + 31 * MINUTE)
        await sweep(database, tenant)
        await post(client, f"/v1/complaints/{ended['id']}/transitions", {"action": "withdraw"}, 200)
        for _ in range(2):
            await follow(database, tenant, jobs.escalate, "complaint.escalated")
        assert [(await shown(client, each))["severity"] for each in (opened, ended)] == ["S3", "S3"]
        alerts = [await listed(client, f"/v1/complaints/{each['id']}/clock-alerts") for each in (opened, ended)]
        assert [[(a["what"], a["outcome"]) for a in each] for each in alerts] == [
            [("breached", "told"), ("escalated", "done")],
            [("breached", "told"), ("escalated", "not_needed")],
        ]

    async def test_a_step_is_the_policys_that_announced_it(self, client, database, tenant, monkeypatch):
        monkeypatch.setattr(database, "settings", database.settings.model_copy(update={"outbound_private_hosts": True}))
        async with http_receiver() as receiver:
            steps = [
                {"at": "breach", "action": "raise"},
                {"at": "breach", "action": "webhook", "url": f"{receiver.url}/hook"},
            ]
            mild = {"conditions": {"severity": ["S3"]}, "escalations": steps, "secret": SECRET}
            await only(client, limits("resolution", 30, warn_percent=None), **mild)
            await policy(client, limits("resolution", 30, warn_percent=None), name="乙", position=2)
            clocked(database, MONDAY)
            opened = await case(client)
            clocked(database, MONDAY + 50 * MINUTE)
            await sweep(database, tenant)
            # The step before has made it another policy's case.
            await follow(database, tenant, jobs.escalate, "complaint.escalated")
            assert (await shown(client, opened))["severity"] == "S2"
            alerts = await listed(client, f"/v1/complaints/{opened['id']}/clock-alerts")
            (hook,) = [each for each in alerts if each["action"] == "webhook"]
            await jobs.call_webhook(database, {"tenant_id": str(tenant.id), "alert_id": hook["id"]})
            assert len(receiver.requests) == 1
        alerts = await listed(client, f"/v1/complaints/{opened['id']}/clock-alerts")
        assert [each["outcome"] for each in alerts if each["action"] is not None] == ["done", "done"]

    async def test_who_is_to_be_told_is_named_and_written_to(self, client, database, tenant):
        lead, member, other = await staff(client, "组长", "组员", "经理")
        await post(client, f"/v1/staff/{lead}", {"email": "lead@shop.example"}, 200, "PATCH")
        await post(client, "/v1/teams", {"name": "一组", "lead_id": lead, "member_ids": [member, lead]})
        step = {"at": "warn", "action": "notify", "to": ["assignee", "team_lead"], "staff_ids": [other]}
        await only(client, limits("resolution", 60), escalations=[step])
        clocked(database, MONDAY)
        opened = await case(client, assignee_id=member)
        clocked(database, MONDAY + 48 * MINUTE)
        await sweep(database, tenant)
        _, told = await messages(database, tenant)
        assert (told.payload["to"], told.payload["step"]) == ([other, member, lead], "warn+0:notify")
        # Without a channel for e-mail nothing is sent, and nothing fails.
        await follow(database, tenant, jobs.escalate, "complaint.escalated")
        assert await listed(client, "/v1/channel-messages") == []
        await post(client, "/v1/channels", {"name": "试用", "kind": "local"})
        await follow(database, tenant, jobs.escalate, "complaint.escalated")
        (written,) = await listed(client, "/v1/channel-messages")
        assert (written["purpose"], written["subject"]) == ("complaint_clock", "投诉时限即将到期：解决（S3）")
        assert written["body"].endswith(f"截止时间：2026-11-23 11:00\n投诉编号：{opened['id']}\n")

    async def test_a_webhook_is_called_signed_and_again_until_it_is_taken(self, client, database, tenant, monkeypatch):
        monkeypatch.setattr(database, "settings", database.settings.model_copy(update={"outbound_private_hosts": True}))
        async with http_receiver() as receiver:
            hook = {"at": "breach", "action": "webhook", "url": f"{receiver.url}/hook"}
            await only(client, limits("resolution", 30), escalations=[hook], secret=SECRET)
            clocked(database, MONDAY)
            opened = await case(client)
            clocked(database, MONDAY + 31 * MINUTE)
            await sweep(database, tenant)
            *_, told = await messages(database, tenant)
            job = {"tenant_id": str(tenant.id), "alert_id": told.payload["alert_id"]}
            receiver.answers.append((500, b"", {}))
            with pytest.raises(Exception, match="answered 500"):
                await jobs.call_webhook(database, job)
            for _ in range(2):
                await jobs.call_webhook(database, job)
            first, second = receiver.requests
            assert first.headers["webhook-id"] == second.headers["webhook-id"] == job["alert_id"]
            body = Webhook(SECRET).verify(second.body, second.headers)
            assert (body["data"]["complaint_id"], body["data"]["clock"]) == (opened["id"], "resolution")
        *_, alert = await listed(client, f"/v1/complaints/{opened['id']}/clock-alerts")
        assert (alert["action"], alert["outcome"]) == ("webhook", "done")
        await jobs.give_up_webhook(database, job, "nobody answers")
        *_, alert = await listed(client, f"/v1/complaints/{opened['id']}/clock-alerts")
        assert (alert["outcome"], alert["reason"]) == ("done", None)


@pytest.mark.asyncio
class TestOnce:
    async def test_many_workers_and_writers_tell_each_thing_once(self, client, database, tenant):
        await only(
            client,
            limits("first_response", 60, warn_percent=50),
            escalations=[{"at": "breach", "action": "notify", "to": ["assignee"]}],
        )
        clocked(database, MONDAY)
        cases = [await case(client) for _ in range(6)]
        clocked(database, MONDAY + 90 * MINUTE)

        async def answer(each):
            await say(client, each)

        await asyncio.gather(*(sweep(database, tenant, limit=2) for _ in range(9)), *map(answer, cases[:3]))
        assert [await sweep(database, tenant) for _ in range(2)][-1] == 0
        told = sorted(each[:2] for each in brief(await messages(database, tenant)))
        assert told == sorted((each["id"], what) for each in cases for what in ("breached", "escalated", "warned"))

    async def test_a_worker_killed_before_its_commit_leaves_all_to_the_next(self, client, database, tenant):
        await only(client, limits("first_response", 60, warn_percent=None))
        clocked(database, MONDAY)
        opened = await case(client)
        clocked(database, MONDAY + 61 * MINUTE)

        async def dies(unit):
            assert await CaseClocks(unit).sweep() == 1
            await unit.flush()
            await unit.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError, CrmError)):
            async with database.write(Actor.system(tenant.id)) as unit:
                await dies(unit)
        assert await messages(database, tenant) == []
        assert await listed(client, f"/v1/complaints/{opened['id']}/clock-alerts") == []
        assert [await sweep(database, tenant) for _ in range(2)] == [1, 0]
        assert [each[1] for each in brief(await messages(database, tenant))] == ["breached"]

    async def test_a_sweep_waits_for_nobody(self, client, database, tenant):
        await only(client, limits("first_response", 60, warn_percent=None))
        clocked(database, MONDAY)
        held, _ = await case(client), await case(client)
        clocked(database, MONDAY + 61 * MINUTE)
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute("SELECT FROM complaints WHERE id = $1 FOR UPDATE", UUID(held["id"]))
            async with asyncio.timeout(1):
                assert await sweep(database, tenant) == 1
        assert await sweep(database, tenant) == 1


@pytest.mark.asyncio
class TestSurfaces:
    async def test_policies_in_graphql(self, client):
        create = """mutation { clockPolicyCreate(input: {name: "甲", position: 1,
            conditions: {channel: [CALL], category: ["quality"]},
            clocks: [{clock: RESOLUTION, targets: [{severity: S1, minutes: 60}, {workingDays: 3}],
                      pausedIn: [WAITING_CUSTOMER]}],
            escalations: [{at: BREACH, afterMinutes: 5, action: RAISE}]})
          { clockPolicy { id position clocks { clock targets { severity minutes workingDays } pausedIn warnPercent }
              escalations { at afterMinutes action } conditions { channel category kind } }
            userErrors { code } } }"""
        made = (await client.post("/graphql", json={"query": create})).json()["data"]["clockPolicyCreate"]
        assert made["userErrors"] == []
        shown_policy = made["clockPolicy"]
        policy_id = shown_policy.pop("id")
        assert shown_policy == {
            "position": 1,
            "clocks": [
                {
                    "clock": "RESOLUTION",
                    "targets": [
                        {"severity": "S1", "minutes": 60, "workingDays": None},
                        {"severity": "DEFAULT", "minutes": None, "workingDays": 3},
                    ],
                    "pausedIn": ["WAITING_CUSTOMER"],
                    "warnPercent": 80,
                }
            ],
            "escalations": [{"at": "BREACH", "afterMinutes": 5, "action": "RAISE"}],
            "conditions": {"channel": ["CALL"], "category": ["quality"], "kind": None},
        }
        update = "mutation($id: ID!) { clockPolicyUpdate(input: {id: $id, active: false}) { clockPolicy { active } } }"
        answer = await client.post("/graphql", json={"query": update, "variables": {"id": policy_id}})
        assert answer.json()["data"]["clockPolicyUpdate"]["clockPolicy"] == {"active": False}
        asked = "{ clockPresets { presets { name } } clockProgress { waiting total } }"
        answer = (await client.post("/graphql", json={"query": asked})).json()["data"]
        assert (len(answer["clockPresets"]["presets"]), answer["clockProgress"]["total"]) == (4, 0)

    async def test_the_clocks_of_an_erased_case_end(self, client, database, tenant, settings):
        await only(client, limits("resolution", 60, warn_percent=None))
        clocked(database, MONDAY)
        opened = await case(client)
        owner = await asyncpg.connect(settings.database_url)
        await owner.execute("UPDATE complaint_events SET data = '{}' WHERE complaint_id = $1", UUID(opened["id"]))
        await owner.close()
        clocked(database, MONDAY + 61 * MINUTE)
        assert [await sweep(database, tenant) for _ in range(2)] == [1, 0]
        run = (await runs(client, opened))["resolution", 1]
        assert (run["state"], (await shown(client, opened))["due_at"]) == ("cancelled", None)
        assert await messages(database, tenant) == []


class Life:
    """A shop with one case, driven from plain code."""

    def __init__(self, settings):
        self.runner = asyncio.Runner()
        self.clock = FixedClock(MONDAY)
        self.database = self.runner.run(Database.open(settings, self.clock))
        self.tenant = self.runner.run(make_tenant(settings, "retail"))

    def run(self, work):
        return self.runner.run(self.database.run(self.tenant.actor, work))

    def open(self, severity):
        async def work(unit):
            customer_id = await CustomerService(unit).create(CustomerCreate(name="王小明"))
            data = ComplaintCreate(customer_id=customer_id, channel="call", subject="甲", severity=severity)
            return await ComplaintService(unit).open(data)

        return self.run(work)

    def do(self, complaint_id, deed):
        kind, value = deed

        async def work(unit):
            service = ComplaintService(unit)
            if kind == "say":
                await ComplaintMessageService(unit).add(
                    complaint_id, ComplaintMessageCreate(direction=value, body="好")
                )
            elif kind == "severity":
                await service.update(complaint_id, ComplaintUpdate(severity=value))
            elif kind == "sweep":
                await CaseClocks(unit).sweep()
            else:
                await service.transition(complaint_id, ComplaintTransition(to=value))

        try:
            self.run(work)
        except CrmError:
            return

    def compare(self, complaint_id):
        """Hold what is read, whoever has noticed, against the pure function of the log at this moment."""

        async def work(unit):
            filters = {"complaint_id": complaint_id}
            body = await read_list(unit, COMPLAINT_CLOCK, PageRequest(limit=100), filters=filters, order="oldest")
            terms = await CaseClocks(unit)._terms()
            found = await ClockRepository(unit).find_case(complaint_id)
            return body, clock_log.judge(found.case, found.log, terms.policies, unit.now())

        body, judged = self.run(work)
        names = ("clock", "cycle", "state", "started_at", "due_at", "warn_at", "warned_at", "breached_at", "stopped_at")
        read = [tuple(each[name] for name in names) for each in orjson.loads(body)["data"]]
        pure = [tuple(_plain(getattr(each.run, name)) for name in names) for each in judged]
        assert sorted(read, key=str) == sorted(pure, key=str)


def _plain(value):
    return value.astimezone(UTC).isoformat() if hasattr(value, "astimezone") else value


DEEDS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(["in", "out"])),
    st.tuples(st.just("severity"), st.sampled_from(["S1", "S2", "S4"])),
    st.tuples(st.just("sweep"), st.none()),
    st.tuples(
        st.just("to"),
        st.sampled_from(["acknowledged", "assessed", "in_progress", "waiting_customer", "proposed", "resolved"]),
    ),
)


def test_what_is_read_is_the_pure_function_of_the_log_at_every_moment(settings):
    life = Life(settings)

    @given(
        severity=st.sampled_from(["S1", "S3"]),
        story=st.lists(st.tuples(st.integers(0, 900), DEEDS, st.integers(0, 3000)), min_size=1, max_size=8),
    )
    @hypothesis_settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def holds(severity, story):
        life.clock.advance(timedelta(minutes=1))
        complaint_id = life.open(severity)
        for minutes, deed, later in story:
            life.clock.advance(minutes * MINUTE)
            life.do(complaint_id, deed)
            life.compare(complaint_id)
            life.clock.advance(later * MINUTE)
            life.compare(complaint_id)

    try:
        holds()
    finally:
        life.runner.run(life.database.close())
        life.runner.close()
