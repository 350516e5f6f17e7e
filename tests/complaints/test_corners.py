"""Corners of cases: moments nobody means, what is sent again, who has left."""

import asyncio
from uuid import UUID

import pytest

from crm_api.complaints.repository import ComplaintRepository
from tests.complaints.desk import MINUTE, MONDAY, case, limits, messages, move, only, runs, say, shown, sweep
from tests.staff.shop import clocked, customers, listed, post, staff

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


class TestMoments:
    @pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "0001-01-05T00:00:00+14:00", "1969-12-31T23:59:59Z"])
    async def test_beyond_calendars_are_refused(self, client, moment):
        (buyer,) = await customers(client, 1)
        opened = await case(client, customer_id=buyer)
        path = f"/v1/complaints/{opened['id']}"
        for where, body, pointer in (
            ("/v1/complaints", {"customer_id": buyer, "channel": "call", "subject": "甲"}, "received_at"),
            (f"{path}/follow-on", {}, "received_at"),
            (f"{path}/messages", {"direction": "in", "body": "在吗"}, "at"),
            (f"{path}/clock-marks", {"what": "return_received"}, "at"),
        ):
            answer = await client.post(where, json={**body, pointer: moment})
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{pointer}"), answer.text


class TestAgain:
    async def test_what_is_sent_again_is_known_whatever_was_archived_since(self, client):
        cause = (await listed(client, "/v1/complaint-causes"))[-1]
        opened = await case(client, category=cause["path"], source_ref="douyin:1")
        await post(client, f"/v1/complaint-causes/{cause['id']}", {"archived": True}, 200, "PATCH")
        body = {"customer_id": opened["customer_id"], "channel": "call", "subject": "甲", "source_ref": "douyin:1"}
        again = await client.post("/v1/complaints", json={**body, "category": cause["path"]})
        assert (again.status_code, again.json().get("complaint_id")) == (409, opened["id"])

    async def test_a_cause_that_is_kept_may_be_archived(self, client):
        cause = (await listed(client, "/v1/complaint-causes"))[-1]
        opened = await case(client, category=cause["path"])
        await post(client, f"/v1/complaint-causes/{cause['id']}", {"archived": True}, 200, "PATCH")
        path = f"/v1/complaints/{opened['id']}"
        kept = await post(client, path, {"subject": "乙", "category": cause["path"]}, 200, "PATCH")
        assert (kept["subject"], kept["category"]) == ("乙", cause["path"])
        refused = await client.patch(path, json={"root_cause": cause["path"]})
        assert refused.json()["errors"][0]["pointer"] == "/root_cause"


class TestMerging:
    @pytest.mark.parametrize("over", ["withdrawn", "closed"])
    async def test_nothing_open_goes_into_what_is_over(self, client, over):
        way = ["acknowledged", "assessed", "in_progress", "proposed", "resolved"] if over == "closed" else ["withdrawn"]
        ended, opened = await case(client), await case(client)
        await move(client, ended, *way)
        if over == "closed":
            goal = {"to": "closed", "decision_told": True}
            await post(client, f"/v1/complaints/{ended['id']}/transitions", goal, 200)
        goal = {"action": "mark_duplicate", "merged_into": ended["id"]}
        answer = await client.post(f"/v1/complaints/{opened['id']}/transitions", json=goal)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "not_open")

    @pytest.mark.parametrize("write", ["mark", "update"])
    async def test_writers_hold_the_family_in_one_order(self, client, database, tenant, write):
        parent, child = await case(client), await case(client)
        goal = {"action": "mark_duplicate", "merged_into": parent["id"]}
        await post(client, f"/v1/complaints/{child['id']}/transitions", goal, 200)
        path = f"/v1/complaints/{child['id']}"
        async with database.write(tenant.actor) as unit:
            await ComplaintRepository(unit).lock(UUID(parent["id"]))
            if write == "mark":
                waiting = asyncio.create_task(client.post(f"{path}/clock-marks", json={"what": "refunded"}))
            else:
                waiting = asyncio.create_task(client.patch(path, json={"subject": "乙"}))
            await asyncio.sleep(0.3)
            # Whoever waits for the parent has not taken the child yet: nobody waits in a circle.
            await unit.connection.execute("SELECT FROM complaints WHERE id = $1 FOR UPDATE NOWAIT", UUID(child["id"]))
        assert (await waiting).status_code == 200


class TestEarlierWords:
    async def test_what_was_said_before_the_waiting_does_not_end_it(self, client, database):
        clocked(database, MONDAY)
        opened = await case(client)
        clocked(database, MONDAY + 20 * MINUTE)
        await move(client, opened, "acknowledged", "assessed", "in_progress", "waiting_customer")
        clocked(database, MONDAY + 21 * MINUTE)
        await say(client, opened, "in", at=(MONDAY + MINUTE).isoformat())
        assert (await shown(client, opened))["state"] == "waiting_customer"
        await say(client, opened, "in", at=(MONDAY + 20 * MINUTE).isoformat())
        assert (await shown(client, opened))["state"] == "in_progress"

    async def test_a_decision_is_told_no_earlier_than_it_was_made(self, client, database, tenant):
        await only(client, limits("decision", 30, warn_percent=None))
        clocked(database, MONDAY)
        opened = await case(client)
        clocked(database, MONDAY + 10 * MINUTE)
        await move(client, opened, "acknowledged", "assessed", "in_progress", "proposed")
        await say(client, opened, "out", tells=True, at=(MONDAY - 5 * MINUTE).isoformat())
        clocked(database, MONDAY + 50 * MINUTE)
        await sweep(database, tenant)
        decision = (await runs(client, opened))["decision", 1]
        assert (decision["state"], decision["stopped_at"]) == ("met", (MONDAY + 10 * MINUTE).isoformat())
        assert await messages(database, tenant) == []


class TestGoods:
    async def test_a_case_is_taken_up_again_after_its_product_was_renamed(self, client):
        product = await post(client, "/v1/products", {"sku": "A1", "name": "大虾"})
        opened = await case(client, products=[{"sku": "A1", "batch": "B7"}, {"sku": "GIFT"}])
        await move(client, opened, "withdrawn")
        await post(client, f"/v1/products/{product['id']}", {"sku": "A2"}, 200, "PATCH")
        again = await post(client, f"/v1/complaints/{opened['id']}/follow-on", {})
        assert [each["sku"] for each in again["products"]] == ["A2", "GIFT"]
        assert again["products"][0]["product_id"] == product["id"]


class TestHandlers:
    async def test_nobody_is_given_a_case_who_has_left(self, client):
        gone, other = await staff(client, "走", "在")
        kept = await case(client, assignee_id=gone)
        await post(client, f"/v1/staff/{gone}", {"active": False}, 200, "PATCH")
        (buyer,) = await customers(client, 1)
        body = {"customer_id": buyer, "channel": "call", "subject": "甲", "assignee_id": gone}
        for answer in (
            await client.post("/v1/complaints", json=body),
            await client.patch(f"/v1/complaints/{(await case(client))['id']}", json={"assignee_id": gone}),
        ):
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/assignee_id")
        # Who has it may be named again with other changes.
        same = {"assignee_id": gone, "subject": "乙"}
        assert (await post(client, f"/v1/complaints/{kept['id']}", same, 200, "PATCH"))["subject"] == "乙"
        given = await post(client, f"/v1/complaints/{kept['id']}", {"assignee_id": other}, 200, "PATCH")
        assert given["assignee_id"] == other

    async def test_what_goes_on_is_handed_out_anew_when_its_handler_has_left(self, client):
        gone, other = await staff(client, "走", "在")
        into, merged, resolved = [await case(client, assignee_id=gone) for _ in range(3)]
        await move(client, resolved, "acknowledged", "assessed", "in_progress", "proposed", "resolved")
        goal = {"action": "mark_duplicate", "merged_into": into["id"]}
        await post(client, f"/v1/complaints/{merged['id']}/transitions", goal, 200)
        await post(client, "/v1/assignment-rules", {"name": "甲", "target": "cases"})
        await post(client, f"/v1/staff/{gone}", {"active": False}, 200, "PATCH")
        for opened, action in ((merged, "unmerge"), (resolved, "reopen")):
            await post(client, f"/v1/complaints/{opened['id']}/transitions", {"action": action}, 200)
            assert (await shown(client, opened))["assignee_id"] == other

    async def test_a_change_of_hands_is_told_however_it_was_made(self, client, database, tenant):
        first, second = await staff(client, "一", "二")
        opened = await case(client, assignee_id=first)
        for change in ({"assignee_id": second}, {"subject": "乙", "assignee_id": second}, {"assignee_id": None}):
            await post(client, f"/v1/complaints/{opened['id']}", change, 200, "PATCH")
        found = [each.payload for each in await messages(database, tenant, "complaint.assigned")]
        assert [(each["previous_assignee_id"], each["assignee_id"], each["cause"]) for each in found] == [
            (None, first, "opened"),
            (first, second, "asked"),
            (second, None, "asked"),
        ]
