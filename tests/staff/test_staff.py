"""Teams, skills, shifts, training, owners, assignment, rebalancing and the report, over the surfaces."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from crm_api import admin
from crm_api.customers.service import CustomerOwnerService
from crm_api.staff import assigning, jobs
from crm_api.staff.performance import _MEASURES, Measure, register
from crm_api.staff.service import AssignmentService
from tests.staff.shop import HOUR, NOW, assign, clocked, customers, listed, owners, post, staff, worker
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def rule(client, **more):
    return await post(client, "/v1/assignment-rules", {"name": str(uuid4()), **more})


class TestPeople:
    async def test_a_team_and_its_members(self, client):
        first, second = await staff(client, "李娜", "陈静")
        team = await post(client, "/v1/teams", {"name": "一组", "member_ids": [second, first]})
        assert team["member_ids"] == sorted([first, second])
        team = await post(client, f"/v1/teams/{team['id']}", {"member_ids": [second]}, 200, "PATCH")
        assert (team["member_ids"], team["name"], team["version"]) == ([second], "一组", 2)
        again = await client.post("/v1/teams", json={"name": "一组"})
        assert (again.status_code, again.json()["errors"][0]["pointer"]) == (409, "/name")

    async def test_shifts_do_not_overlap_and_say_who_is_at_work(self, client, database):
        clocked(database)
        (who,) = await staff(client, "李娜", availability="by_shift")
        await self.online(client, False)
        at = {"staff_id": who, "starts_at": NOW.isoformat(), "ends_at": (NOW + 8 * HOUR).isoformat()}
        shift = await post(client, "/v1/shifts", at)
        await self.online(client, True)
        clash = await client.post("/v1/shifts", json=at)
        assert (clash.status_code, clash.json()["shift_id"]) == (409, shift["id"])
        await post(client, "/v1/shifts", at | {"kind": "absence"})
        await self.online(client, False)
        wrong = await client.patch(f"/v1/shifts/{shift['id']}", json={"ends_at": NOW.isoformat()})
        assert wrong.json()["errors"][0]["code"] == "out_of_order"
        assert len(await listed(client, "/v1/shifts")) == 2

    async def online(self, client, wanted):
        answer = await client.post("/graphql", json={"query": "{ staff(first: 1) { nodes { online } } }"})
        assert answer.json()["data"]["staff"]["nodes"] == [{"online": wanted}], answer.text

    async def test_passing_a_course_grants_its_skill_and_failing_does_not(self, client, database):
        clocked(database)
        (who,) = await staff(client, "李娜")
        skill = await post(client, "/v1/skills", {"name": "敏感肌护理"})
        body = {"name": "认证", "pass_score": 80, "skill_id": skill["id"], "skill_level": 2, "valid_days": 365}
        course = await post(client, "/v1/courses", body)
        done = f"/v1/courses/{course['id']}/completions"
        assert not (await post(client, done, {"staff_id": who, "score": 79.5}))["passed"]
        assert await listed(client, "/v1/staff-skills") == []
        assert (await post(client, done, {"staff_id": who, "score": 80}))["passed"]
        (known,) = await listed(client, f"/v1/staff-skills?staff_id={who}")
        assert (known["level"], known["source"], known["course_id"]) == (2, "training", course["id"])
        assert known["expires_on"] == "2027-11-23"
        # What is better by hand stays when the course is passed again.
        path = f"/v1/staff/{who}/skills/{skill['id']}"
        await post(client, path, {"level": 5}, 200, "PUT")
        await post(client, done, {"staff_id": who, "score": 99})
        (known,) = await listed(client, "/v1/staff-skills")
        assert (known["level"], known["expires_on"]) == (5, None)
        assert (await client.delete(path)).status_code == 204
        assert (await client.delete(path)).status_code == 404
        assert len(await listed(client, "/v1/course-completions")) == 3


class TestOwners:
    async def test_every_writer_leaves_a_line(self, client, database, tenant):
        clocked(database)
        first, second = await staff(client, "李娜", "陈静")
        (customer,) = await customers(client, 1, owner_id=first)
        path = f"/v1/customers/{customer}/owners"
        await client.patch(f"/v1/customers/{customer}", json={"owner_id": None})
        shown = await post(client, path, {"owner_id": second, "note": "对芒果过敏"})
        assert (shown["owner_id"], shown["previous_owner_id"], shown["until"]) == (second, None, None)
        assert await owners(client, [customer]) == [second]
        history = await listed(client, path)
        told = [(each["previous_owner_id"], each["owner_id"], each["cause"], each["note"]) for each in history]
        edited = [(first, None, "edited", None), (None, first, "edited", None)]
        assert sorted(told, key=str) == sorted([(None, second, "handover", "对芒果过敏"), *edited], key=str)
        # The application's clock of the test differs from the database's; the line of the handover has the former.
        (line,) = [each for each in history if each["cause"] == "handover"]
        assert line["at"].startswith("2026-11-23T02:00:00")

    async def test_a_profile_that_changes_leaves_none(self, client):
        (customer,) = await customers(client, 1)
        await client.patch(f"/v1/customers/{customer}", json={"name": "新名"})
        assert await listed(client, f"/v1/customers/{customer}/owners") == []

    async def test_nobody_is_handed_to_the_gone_or_to_whom_has_them(self, client):
        first, gone = await staff(client, "李娜", "陈静")
        await client.patch(f"/v1/staff/{gone}", json={"active": False})
        (customer,) = await customers(client, 1, owner_id=first)
        path = f"/v1/customers/{customer}/owners"
        for refused in (
            await client.post(path, json={"owner_id": gone}),
            await client.patch(f"/v1/customers/{customer}", json={"owner_id": gone}),
            await client.post("/v1/customers", json={"name": "客户", "owner_id": gone}),
        ):
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/owner_id")
        assert len(await listed(client, "/v1/customers")) == 1
        # Who has left since is no obstacle to anything else.
        await client.patch(f"/v1/staff/{first}", json={"active": False})
        kept = await client.patch(f"/v1/customers/{customer}", json={"owner_id": first, "name": "新名"})
        assert (kept.status_code, kept.json()["name"]) == (200, "新名")
        await client.patch(f"/v1/staff/{first}", json={"active": True})
        assert (await client.post(path, json={"owner_id": first})).json()["code"] == "same_owner"
        assert (await client.post(f"/v1/customers/{uuid4()}/owners", json={"owner_id": first})).status_code == 404
        assert len(await listed(client, path)) == 1

    async def test_an_owner_who_changed_meanwhile_is_not_overwritten(self, client, database, tenant):
        first, second, third = await staff(client, "一", "二", "三")
        (customer,) = await customers(client, 1, owner_id=second)
        async with database.write(tenant.actor) as unit:
            rows = [(UUID(customer), UUID(first), UUID(third))]
            assert await CustomerOwnerService(unit).hand_over(rows, "rebalancing") == set()
        assert await owners(client, [customer]) == [second]


class TestAssignment:
    async def test_new_customers_go_round(self, client, database, tenant):
        members = await staff(client, "一", "二", "三")
        made = await rule(client)
        ids = await customers(client, 7)
        await assign(database, tenant, *ids)
        given_to = Counter(await owners(client, ids))
        assert sorted(given_to.values()) == [2, 2, 3]
        assert set(given_to) == set(members)
        (line,) = await listed(client, f"/v1/customers/{ids[0]}/owners")
        assert (line["cause"], line["by_id"]) == ("rule", made["id"])
        # Handled twice, nothing happens twice.
        await assign(database, tenant, *ids)
        assert Counter(await owners(client, ids)) == given_to

    async def test_spread_is_one_at_most_under_parallel_intake(self, client, database, tenant):
        """Many transactions at once, each on a connection of its own."""
        await staff(client, "一", "二", "三")
        await rule(client)
        ids = await customers(client, 16)
        await asyncio.gather(*(assign(database, tenant, each) for each in ids))
        given_to = Counter(await owners(client, ids))
        assert None not in given_to
        assert sorted(given_to.values()) == [5, 5, 6]

    @pytest.mark.parametrize("strategy", ["round_robin", "least_load", "weighted"])
    async def test_capacity_holds_under_parallel_intake(self, client, database, tenant, strategy):
        small, large = await staff(client, "一", customer_capacity=2), await staff(client, "二", customer_capacity=3)
        await rule(client, strategy=strategy)
        ids = await customers(client, 8)
        await asyncio.gather(*(assign(database, tenant, each) for each in ids))
        assert Counter(await owners(client, ids)) == {small[0]: 2, large[0]: 3, None: 3}
        queue = await listed(client, "/v1/assignment-queue")
        assert [each["reason"] for each in queue] == ["no_capacity"] * 3
        # Room is made: the worker hears of it and serves who has waited longest.
        await client.patch(f"/v1/staff/{small[0]}", json={"customer_capacity": 4})
        await worker(database, tenant, "staff.updated", jobs.serve, UUID(small[0]))
        assert Counter(await owners(client, ids)) == {small[0]: 4, large[0]: 3, None: 1}
        assert [each["id"] for each in await listed(client, "/v1/assignment-queue")] == [queue[2]["id"]]

    async def test_a_head_that_nobody_can_serve_keeps_nobody_behind_it_waiting(
        self, client, database, tenant, monkeypatch
    ):
        monkeypatch.setattr(assigning, "BATCH", 2)
        (who,) = await staff(client, "一", customer_capacity=0)
        skill = (await post(client, "/v1/skills", {"name": "英语"}))["id"]
        await rule(client, position=1, conditions={"source": ["expo"]}, required_skill_ids=[skill])
        await rule(client, position=2, conditions={"source": ["call"]})
        ids = [*(await customers(client, 3, source="expo")), *(await customers(client, 2, source="call"))]
        await assign(database, tenant, *ids)
        await client.patch(f"/v1/staff/{who}", json={"customer_capacity": 1})
        await jobs.sweep(database)
        given_to = await owners(client, ids)
        assert sorted(given_to[3:], key=str) == sorted([None, who], key=str)
        assert given_to[:3] == [None, None, None]
        assert len(await listed(client, "/v1/assignment-queue")) == 4

    async def test_rules_by_condition_store_skill_and_team(self, client, database, tenant):
        clocked(database)
        store = (await post(client, "/v1/stores", {"name": "徐汇店"}))["id"]
        (here,), (skilled,), (member,) = [
            await staff(client, "一", store_id=store), await staff(client, "二"), await staff(client, "三")
        ]  # fmt: skip
        skill = (await post(client, "/v1/skills", {"name": "英语"}))["id"]
        await post(client, f"/v1/staff/{skilled}/skills/{skill}", {"level": 3}, 200, "PUT")
        team = (await post(client, "/v1/teams", {"name": "三组", "member_ids": [member]}))["id"]
        await rule(client, position=1, conditions={"source": ["expo"]}, required_skill_ids=[skill])
        await rule(client, position=2, conditions={"tags": ["vip"]}, team_id=team)
        await rule(client, position=3, conditions={"store_id": [store]}, same_store=True)
        ids = [
            *(await customers(client, 1, source="expo", tags=["vip"])),
            *(await customers(client, 1, tags=["vip"])),
            *(await customers(client, 1, store_id=store)),
            *(await customers(client, 1)),
        ]
        await assign(database, tenant, *ids)
        assert await owners(client, ids) == [skilled, member, here, None]
        assert await listed(client, "/v1/assignment-queue") == []  # no rule is for the last one
        # A skill that has expired does not count.
        await post(client, f"/v1/staff/{skilled}/skills/{skill}", {"expires_on": "2026-11-22"}, 200, "PUT")
        (late,) = await customers(client, 1, source="expo")
        await assign(database, tenant, late)
        (waiting,) = await listed(client, "/v1/assignment-queue")
        assert (waiting["customer_id"], waiting["reason"]) == (late, "no_skill")

    async def test_asked_now_and_sticky(self, client):
        first, second = await staff(client, "一", "二")
        await rule(client, sticky=True)
        (customer,) = await customers(client, 1, owner_id=second)
        path = f"/v1/customers/{customer}/owner-assignment"
        assert (await client.post(path)).json()["code"] == "has_owner"
        await client.patch(f"/v1/customers/{customer}", json={"owner_id": None})
        assert (await client.post(path)).json()["staff_id"] == second
        # It was not the other one's turn that was used up.
        (other,) = await customers(client, 1)
        assert (await client.post(f"/v1/customers/{other}/owner-assignment")).json()["staff_id"] == first

    async def test_cases_go_to_who_is_at_work_and_below_capacity(self, client, database, tenant):
        clocked(database)
        busy, away, free = (
            (await staff(client, "一", case_capacity=1))[0],
            (await staff(client, "二", availability="offline"))[0],
            (await staff(client, "三"))[0],
        )
        made = await rule(client, target="cases", strategy="least_load", conditions={"severity": ["S1"]})
        assert made["online_only"]

        async def loads(_ids):
            return {UUID(busy): 1, UUID(free): 9}

        async with database.write(tenant.actor) as unit:
            desk = AssignmentService(unit)
            choice = await desk.choose({"severity": "S1"}, loads, previous=UUID(away))
            assert (str(choice.staff_id), str(choice.rule_id)) == (free, made["id"])
            assert (await desk.choose({"severity": "S2"}, loads)).rule_id is None
            assert [await desk.present(UUID(each)) for each in (busy, away, free)] == [True, False, True]

    async def test_coming_and_going_is_told_once(self, client, database, tenant):
        clocked(database)
        (who,) = await staff(client, "一", availability="by_shift")
        at = {"staff_id": who, "starts_at": NOW.isoformat(), "ends_at": (NOW + HOUR).isoformat()}
        for instant, wanted in ((NOW - HOUR, ["staff.offline"]), (NOW, ["staff.offline", "staff.online"])):
            clocked(database, instant)
            if instant == NOW:
                await post(client, "/v1/shifts", at)
            for _ in range(2):
                await worker(database, tenant, "shift.created", jobs.follow)
            async with database.read(tenant.actor) as unit:
                rows = await unit.connection.fetch(
                    "SELECT type FROM outbox WHERE tenant_id = $1 AND type LIKE 'staff.o%' ORDER BY xid, id", tenant.id
                )
            assert [row["type"] for row in rows] == wanted

    async def test_conditions_that_cannot_be(self, client):
        refused = await client.post("/v1/assignment-rules", json={"name": "x", "conditions": {"severity": ["S1"]}})
        assert refused.json()["errors"][0]["code"] == "unknown_fact"
        missing = {"name": "x", "required_skill_ids": [str(uuid4())]}
        refused = await client.post("/v1/assignment-rules", json=missing)
        assert refused.json()["errors"][0]["pointer"] == "/required_skill_ids/0"
        store = (await post(client, "/v1/stores", {"name": "徐汇店"}))["id"]
        for wrong in ("徐汇店", str(uuid4()), store.upper()):  # none of them would ever be met
            missing = {"name": "x", "conditions": {"store_id": [store, wrong]}}
            refused = await client.post("/v1/assignment-rules", json=missing)
            assert [each["pointer"] for each in refused.json()["errors"]] == ["/conditions/store_id/1"]
        assert await listed(client, "/v1/assignment-rules") == []


class TestRebalancing:
    async def test_proposed_approved_applied_undone(self, client, app, database, tenant):
        clocked(database)
        first, second, third = await staff(client, "一", "二", "三")
        mine = await customers(client, 7, owner_id=first)
        vips = await customers(client, 2, owner_id=first, tags=["vip"])
        spoken = {"customer_id": mine[0], "channel": "call", "direction": "outbound", "staff_id": first}
        await post(client, "/v1/interactions", spoken | {"occurred_at": (NOW - 24 * HOUR).isoformat()})
        body = {"keep_tags": ["vip"], "keep_active_days": 30, "note": "春节前调整"}
        made = await post(client, "/v1/rebalancings", body)
        path = f"/v1/rebalancings/{made['id']}"
        assert (made["state"], made["planned"], made["kept"], made["unplaced"]) == ("proposed", 6, 3, 0)
        assert [each["customers"] for each in made["before"]] == [9, 0, 0]
        assert [each["customers"] for each in made["after"]] == [3, 3, 3]
        assert (made["gini_before"], made["gini_after"]) == (pytest.approx(2 / 3), 0)
        assert set(await owners(client, [*mine, *vips])) == {first}  # nothing has moved
        for step in ("apply", "undo"):
            refused = await client.post(f"{path}/{step}")
            assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
        await post(client, f"{path}/approve", {"note": "同意"}, 200)
        # One customer is handed over by hand in between: she is left out.
        moves = await listed(client, f"{path}/moves")
        await post(client, f"/v1/customers/{moves[0]['customer_id']}/owners", {"owner_id": third})
        applied = await post(client, f"{path}/apply", None, 200)
        assert (applied["moved"], applied["skipped"], applied["state"]) == (5, 1, "applied")
        assert set(await owners(client, [mine[0], *vips])) == {first}
        (line, _) = await listed(client, f"/v1/customers/{moves[1]['customer_id']}/owners")
        assert (line["cause"], line["by_id"], line["note"]) == ("rebalancing", made["id"], "春节前调整")
        undone = await post(client, f"{path}/undo", None, 200)
        assert (undone["returned"], undone["stayed"], undone["state"]) == (5, 0, "undone")
        assert Counter(await owners(client, [*mine, *vips])) == {first: 8, third: 1}
        assert second not in await owners(client, mine)

    async def test_who_has_left_gets_nobody_back(self, client):
        gone, giver, taker = await staff(client, "一", "二", "三")
        left, passed = (await customers(client, 4, owner_id=gone)), (await customers(client, 6, owner_id=giver))
        path = f"/v1/rebalancings/{(await post(client, '/v1/rebalancings', {'leaving_ids': [gone]}))['id']}"
        for step in ("approve", "apply"):
            await post(client, f"{path}/{step}", None, 200)
        before = await owners(client, left)
        await client.patch(f"/v1/staff/{gone}", json={"active": False})
        undone = await post(client, f"{path}/undo", None, 200)
        assert (undone["moved"], undone["returned"], undone["stayed"]) == (5, 1, 4)
        assert await owners(client, left) == before
        assert set(await owners(client, passed)) == {giver}
        states = {each["customer_id"]: each["state"] for each in await listed(client, f"{path}/moves")}
        assert {states.pop(each) for each in left} == {"stayed"}
        assert (set(states.values()), taker in before) == ({"returned"}, True)

    async def test_neglected_customers_get_another_owner(self, client, database):
        clocked(database)
        first, second = await staff(client, "一", "二")
        mine, _ = await customers(client, 3, owner_id=first, tags=["vip"]), await customers(client, 3, owner_id=second)
        body = {"move_customer_ids": mine[:2], "max_moves": 2, "keep_tags": ["vip"]}
        made = await post(client, "/v1/rebalancings", body)
        assert (made["planned"], made["kept"], made["unplaced"]) == (2, 1, 2)
        path = f"/v1/rebalancings/{made['id']}"
        for step in ("approve", "apply"):
            await post(client, f"{path}/{step}", None, 200)
        assert await owners(client, mine) == [second, second, first]
        refused = await client.post("/v1/rebalancings", json={"move_customer_ids": [mine[0], str(uuid4())]})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/move_customer_ids/1")

    async def test_rejected_for_good(self, client):
        await staff(client, "一", "二")
        path = f"/v1/rebalancings/{(await post(client, '/v1/rebalancings', {}))['id']}"
        assert (await post(client, f"{path}/reject", {"note": "不"}, 200))["state"] == "rejected"
        assert (await client.post(f"{path}/approve")).json()["state"] == "rejected"

    async def test_one_alone_cannot_pass_anything_on(self, client):
        await staff(client, "一")
        assert (await client.post("/v1/rebalancings", json={})).json()["errors"][0]["code"] == "too_few"
        for name in ("team_id", "store_id"):
            refused = await client.post("/v1/rebalancings", json={name: str(uuid4())})
            assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
                (f"/{name}", "unknown_reference")
            ]

    async def test_who_leaves_is_taken_over_by_colleagues(self, client, database, tenant):
        gone, mate, stranger = await staff(client, "一", "二", "三")
        await post(client, "/v1/teams", {"name": "一组", "member_ids": [gone, mate]})
        ids = await customers(client, 4, owner_id=gone)
        await customers(client, 1, owner_id=mate)
        await client.patch(f"/v1/staff/{gone}", json={"active": False})
        for _ in range(2):  # told twice, proposed once
            await worker(database, tenant, "staff.updated", jobs.follow, UUID(gone))
        (made,) = await listed(client, "/v1/rebalancings")
        assert (made["cause"], made["planned"], made["state"]) == ("left", 4, "proposed")
        assert set(await owners(client, ids)) == {gone}
        path = f"/v1/rebalancings/{made['id']}"
        await post(client, f"{path}/approve", None, 200)
        await post(client, f"{path}/apply", None, 200)
        assert set(await owners(client, ids)) == {mate}
        assert stranger not in [each["staff_id"] for each in made["before"]]

    async def test_applied_twice_at_once_moves_once_and_keeps_capacities(self, client, database, tenant):
        first, second = (await staff(client, "一"))[0], (await staff(client, "二", customer_capacity=3))[0]
        ids = await customers(client, 6, owner_id=first)
        paths = []
        for _ in range(2):
            made = await post(client, "/v1/rebalancings", {})
            assert made["planned"] == 3
            paths.append(f"/v1/rebalancings/{made['id']}")
            await post(client, f"{paths[-1]}/approve", None, 200)
        answers = await asyncio.gather(*(client.post(f"{each}/apply") for each in paths))
        assert sorted(each.json()["moved"] for each in answers) == [0, 3]
        assert Counter(await owners(client, ids)) == {first: 3, second: 3}

    async def test_who_proposes_need_not_be_who_decides(self, client, app, settings, tenant):
        await staff(client, "一", "二")
        made = await post(client, "/v1/rebalancings", {})
        key = (await admin.create_key(settings, tenant.id, frozenset({"staff:read", "staff:write"}))).api_key
        async with client_of(app, key) as clerk:
            refused = await clerk.post(f"/v1/rebalancings/{made['id']}/approve")
            assert (refused.status_code, refused.json()["required_scope"]) == (403, "staff:approve")


class TestPerformance:
    async def test_the_report(self, client, database):
        clocked(database)
        first, second = await staff(client, "一", "二")
        ids = await customers(client, 3, owner_id=first)
        paid = {
            "status": "paid",
            "total": {"amount": 1000, "currency": "CNY"},
            "paid": {"amount": 1000, "currency": "CNY"},
        }
        for number, (who, days) in enumerate([(0, 90), (0, 5), (1, 90), (2, 5)]):
            order = paid | {"customer_id": ids[who], "placed_at": (NOW - timedelta(days=days)).isoformat()}
            await post(client, f"/v1/orders/x/{number}", order | {"staff_id": first}, 201, "PUT")
        for who in (0, 0, 1):
            spoken = {"customer_id": ids[who], "channel": "call", "direction": "outbound", "staff_id": first}
            await post(client, "/v1/interactions", spoken | {"occurred_at": (NOW - HOUR).isoformat()})
        await post(client, f"/v1/customers/{ids[2]}/owners", {"owner_id": second, "note": "x"})
        course = await post(client, "/v1/courses", {"name": "x"})
        await post(client, f"/v1/courses/{course['id']}/completions", {"staff_id": second, "score": 100})

        async def closed(_unit, staff_ids, _since, _until):
            return {staff_ids[0]: 4}

        register(Measure("cases_closed_in_test", "complaints:read", closed))
        try:
            query = {"since": (NOW - timedelta(days=30)).isoformat(), "until": (NOW + HOUR).isoformat()}
            answer = await client.get("/v1/staff-performance", params=query)
        finally:
            del _MEASURES["cases_closed_in_test"]
        rows = {each["staff_id"]: each for each in answer.json()["staff"]}
        one = rows[first]
        assert (one["customers"], one["lost"], one["interactions"], one["customers_contacted"]) == (2, 1, 3, 2)
        assert (one["coverage"], one["orders"]) == (1.0, 2)
        assert one["sales"] == [{"amount": 2000, "currency": "CNY"}]
        assert (one["retained"], one["retainable"], one["retention"]) == (1, 2, 0.5)
        two = rows[second]
        assert (two["customers"], two["gained"], two["lost"], two["coverage"]) == (1, 1, 0, 0.0)
        assert (two["retention"], two["courses_passed"]) == (None, 1)
        assert sum("cases_closed_in_test" in each["more"] for each in rows.values()) == 1
        # Who leaves keeps what they did; who did nothing is not there any more.
        for each in (first, second):
            await client.patch(f"/v1/staff/{each}", json={"active": False})
        left = (await client.get("/v1/staff-performance", params=query)).json()["staff"]
        assert [(each["staff_id"], each["orders"], each["interactions"]) for each in left] == [(first, 2, 3)]
        wrong = await client.get("/v1/staff-performance", params={"since": query["until"], "until": query["since"]})
        assert wrong.json()["errors"][0]["pointer"] == "/query/until"


async def test_graphql_does_the_same(client):
    first, second = await staff(client, "一", "二")
    await customers(client, 2, owner_id=first)
    said = """mutation { rebalancingPropose(input: {}) { rebalancing { id state giniBefore before { customers }
      moves(first: 5) { nodes { state fromStaff { name } toStaff { name } } } } userErrors { code } } }"""
    made = (await client.post("/graphql", json={"query": said})).json()["data"]["rebalancingPropose"]
    assert made["userErrors"] == []
    assert made["rebalancing"]["moves"]["nodes"] == [
        {"state": "PLANNED", "fromStaff": {"name": "一"}, "toStaff": {"name": "二"}}
    ]
    asked = 'query { staffPerformance(input: {since: "2026-01-01T00:00:00Z", until: "2026-02-01T00:00:00Z"}) '
    answer = await client.post("/graphql", json={"query": asked + "{ report { staff { name orders } } } }"})
    assert [each["name"] for each in answer.json()["data"]["staffPerformance"]["report"]["staff"]] == ["一", "二"]
    assert second
