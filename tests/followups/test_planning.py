"""Tasks made ahead: once for each slot, whoever looks and whenever; moved off days off; for whom they are meant."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_api.customers.service import CustomerOwnerService
from crm_api.followups import jobs
from crm_api.followups.planner import Planner
from tests.followups.shop import ALL, DAY, NOW, clocked, customer, get, heard, listed, made, plan, post, staff, told

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def score(connection_settings, tenant, customer_id, grade):
    """Class a customer as a scoring run would."""
    connection = await asyncpg.connect(connection_settings.database_url)
    await connection.execute(
        "INSERT INTO customer_scores (tenant_id, customer_id, frequency, grade, scored_at, lifecycle) "
        "VALUES ($1, $2, 1, $3, now(), 'repeat')",
        tenant.id,
        UUID(customer_id),
        grade,
    )
    await connection.close()


async def known_since(database, tenant, customer_id, at):
    """Say when a customer was entered: the database does so by its own clock."""
    async with database.write(tenant.actor) as unit:
        sql = "UPDATE customers SET created_at = $3 WHERE tenant_id = $1 AND id = $2"
        await unit.connection.execute(sql, tenant.id, UUID(customer_id), at)


class TestMaking:
    async def test_tasks_are_made_for_everybody_once_and_assigned_to_owners(self, client, database, tenant):
        clocked(database)
        owner, spare = await staff(client, "李娜", "陈静")
        theirs, nobodys = await customer(client, owner_id=owner), await customer(client)
        made_plan = await plan(
            client, subject="回访", script="问好", assignee_id=spare, channels=["visit"], first_after_days=2
        )
        for _ in range(3):
            await made(database, tenant, made_plan)
        tasks = {each["customer_id"]: each for each in await listed(client)}
        assert {each: tasks[each]["assignee_id"] for each in tasks} == {theirs: owner, nobodys: spare}
        one = tasks[theirs]
        assert (one["slot"], one["due_on"], one["status"], one["source"]) == (
            "2026-09-16",
            "2026-09-16",
            "planned",
            "plan",
        )
        assert (one["due_from"], one["due_at"]) == ("2026-09-15T16:00:00+00:00", "2026-09-16T10:00:00+00:00")
        assert (one["plan_number"], one["subject"], one["instructions"], one["channel"], one["follows_owner"]) == (
            1,
            "回访",
            "问好",
            "visit",
            True,
        )
        assert await told(database, tenant) == ["follow_up.created"] * 2
        shown = await get(client, f"/follow-up-plans/{made_plan['id']}")
        assert (shown["generated_to"], shown["version"]) == ("2026-09-28", 1)

    async def test_workers_at_once_make_each_task_once(self, client, database, tenant, monkeypatch):
        clocked(database)
        monkeypatch.setattr("crm_api.followups.planner.CHUNK", 3)
        people = [await customer(client) for _ in range(8)]
        made_plan = await plan(client)
        await asyncio.gather(*(made(database, tenant, made_plan) for _ in range(4)))
        tasks = await listed(client)
        assert sorted(each["customer_id"] for each in tasks) == sorted(people)
        assert await told(database, tenant) == ["follow_up.created"] * 8

    async def test_a_handover_at_the_same_moment_is_seen_or_sees_the_task(self, client, database, tenant):
        """The customer changes hands in a transaction that is not over when the tasks are made."""
        clocked(database)
        old, new = await staff(client, "李娜", "陈静")
        who = await customer(client, owner_id=old)
        made_plan = await plan(client)
        async with database.write(tenant.actor) as unit:
            rows = [(UUID(who), UUID(old), UUID(new))]
            assert await CustomerOwnerService(unit).hand_over(rows, "handover")
            making = asyncio.create_task(made(database, tenant, made_plan))
            await asyncio.sleep(0.1)
            assert not making.done()
        await making
        (task,) = await listed(client)
        assert task["assignee_id"] == new

    async def test_a_talk_written_down_later_counts_from_when_it_was(self, client, database, tenant):
        clocked(database)
        await customer(client)
        made_plan = await plan(client, channels=["visit"], counts_contacts=False)
        await made(database, tenant, made_plan)
        (task,) = await listed(client)
        clocked(database, NOW + 5 * DAY)
        told_late = {"result": "reached", "occurred_at": (NOW + DAY / 8).isoformat()}
        done = await post(client, f"/follow-ups/{task['id']}/complete", told_late, 200)
        assert done["closed_at"] == "2026-09-14T05:00:00+00:00"
        await made(database, tenant, made_plan)
        (following,) = await listed(client, state="open")
        assert following["slot"] == "2026-09-28"

    async def test_what_was_killed_is_made_again(self, client, database, tenant, monkeypatch):
        clocked(database)
        monkeypatch.setattr("crm_api.followups.planner.CHUNK", 2)
        people = [await customer(client) for _ in range(5)]
        made_plan = await plan(client)
        run, calls = database.run, []

        async def killed(*args, **more):
            calls.append(args)
            if len(calls) == 2:
                raise RuntimeError("kill -9")
            return await run(*args, **more)

        monkeypatch.setattr(database, "run", killed)
        with pytest.raises(RuntimeError):
            await made(database, tenant, made_plan)
        assert len(await listed(client)) == 2
        await made(database, tenant, made_plan)
        assert sorted(each["customer_id"] for each in await listed(client)) == sorted(people)

    @given(st.lists(st.integers(min_value=-30, max_value=60), min_size=1, max_size=5), st.booleans())
    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_any_steps_of_the_clock_end_in_the_same_tasks(self, client, database, tenant, steps, twice):
        """Two plans for the same customer: one is looked at along the way, the other once at the latest time."""
        clocked(database)
        who = await customer(client)
        await known_since(database, tenant, who, NOW - DAY)
        often, once = [
            await plan(
                client, name=f"{who}{name}", cadences=[{"dimension": "all", "every_days": 10}], first_after_days=20
            )
            for name in "ab"
        ]
        moments = [NOW]
        for by in steps:
            moments.append(max(NOW, moments[-1] + by * DAY))
            for _ in range(1 + twice):
                await made(database, tenant, often, moments[-1])
        await made(database, tenant, once, max(moments[1:]))
        await made(database, tenant, often, max(moments[1:]))
        clocked(database, max(moments))
        seen = [
            [(each["slot"], each["due_at"]) for each in await listed(client, plan_id=each_plan["id"], customer_id=who)]
            for each_plan in (often, once)
        ]
        assert seen[0] == seen[1]

    async def test_days_off_are_moved_by_the_plans_rule_and_make_up_workdays_are_not(self, client, database, tenant):
        clocked(database)
        who = await customer(client)
        found = {}
        for rule in ("next", "previous", "none"):
            # Ten days ahead of National Day, in the middle of it, on a Saturday that is worked.
            for first in (17, 26):
                made_plan = await plan(
                    client, name=f"{rule}{first}", holiday_rule=rule, first_after_days=first, days_ahead=60
                )
                await made(database, tenant, made_plan)
                (task,) = await listed(client, plan_id=made_plan["id"], customer_id=who)
                found[rule, task["slot"]] = task["due_on"]
        assert found == {
            ("next", "2026-10-01"): "2026-10-08",
            ("previous", "2026-10-01"): "2026-09-30",
            ("none", "2026-10-01"): "2026-10-01",
            ("next", "2026-10-10"): "2026-10-10",
            ("previous", "2026-10-10"): "2026-10-10",
            ("none", "2026-10-10"): "2026-10-10",
        }

    async def test_the_next_is_counted_from_the_last_contact_whoevers(self, client, database, tenant):
        clocked(database)
        who = await customer(client)
        made_plan = await plan(client)
        await made(database, tenant, made_plan)
        (task,) = await listed(client)
        await post(client, f"/follow-ups/{task['id']}/skip", {"reason": "刚到店"}, 200)
        said = {"customer_id": who, "channel": "call", "direction": "inbound"}
        clocked(database, NOW + DAY)
        await post(client, "/interactions", said)
        await made(database, tenant, made_plan, NOW + DAY)
        (new,) = await listed(client, state="open")
        assert new["slot"] == "2026-09-29"

    async def test_cadence_by_class_the_strictest_counts_and_others_are_left_alone(
        self, client, database, tenant, settings
    ):
        clocked(database)
        graded, plain = await customer(client), await customer(client)
        await score(settings, tenant, graded, "A")
        cadences = [
            {"dimension": "grade", "class_name": "A", "every_days": 7},
            {"dimension": "lifecycle", "class_name": "repeat", "every_days": 30},
        ]
        made_plan = await plan(client, cadences=cadences, counts_contacts=False)
        await made(database, tenant, made_plan)
        (task,) = await listed(client)
        assert task["customer_id"] == graded
        await post(client, f"/follow-ups/{task['id']}/skip", {"reason": "x"}, 200)
        await made(database, tenant, made_plan, NOW)
        (task,) = await listed(client, state="open")
        assert task["slot"] == "2026-09-21"
        assert await listed(client, f"/customers/{plain}/follow-ups") == []

    async def test_cadence_by_tier(self, client, database, tenant, settings):
        clocked(database)
        gold = await customer(client)
        await customer(client)
        (scheme,) = await listed(client, "/loyalty/tiers/schemes")
        code = scheme["rules"]["tiers"][-1]["code"]
        connection = await asyncpg.connect(settings.database_url)
        sql = "INSERT INTO customer_tiers (tenant_id, scheme_id, customer_id, level, code) VALUES ($1, $2, $3, 1, $4)"
        await connection.execute(sql, tenant.id, UUID(scheme["id"]), UUID(gold), code)
        await connection.close()
        made_plan = await plan(client, cadences=[{"dimension": "tier", "class_name": code, "every_days": 7}])
        await made(database, tenant, made_plan)
        assert [each["customer_id"] for each in await listed(client)] == [gold]

    async def test_the_channel_is_the_customers_if_it_reaches_them(self, client, database, tenant):
        clocked(database)
        mobile = {"contact_points": [{"kind": "mobile", "value": "13800138021"}]}
        reached, online, hidden = await customer(client, **mobile), await customer(client), await customer(client)
        for each in (reached, online):
            spoken = {"customer_id": each, "channel": "live_chat", "direction": "inbound"}
            await post(client, "/interactions", {**spoken, "occurred_at": (NOW - DAY).isoformat()})
        await post(client, "/interactions", {"customer_id": reached, "channel": "call", "direction": "outbound"})
        preferred = await plan(client, channels=["call", "live_chat"], counts_contacts=False)
        ordered = await plan(client, name="x", channels=["call", "wechat"], by_preference=False, counts_contacts=False)
        for each in (preferred, ordered):
            await made(database, tenant, each)
        tasks = {(each["plan_id"], each["customer_id"]): each["channel"] for each in await listed(client)}
        assert [tasks[preferred["id"], each] for each in (reached, online, hidden)] == ["live_chat"] * 3
        assert [tasks[ordered["id"], each] for each in (reached, online, hidden)] == ["call", None, None]

    async def test_with_a_purpose_who_agreed_to_no_channel_gets_no_task(self, client, database, tenant):
        clocked(database)
        mobile = {"contact_points": [{"kind": "mobile", "value": "13800138022"}]}
        agreed = await customer(client, **mobile)
        await customer(client)
        yes = {"purpose": "service", "channel": "call", "action": "granted", "source": "till"}
        await post(client, f"/customers/{agreed}/consents", yes)
        made_plan = await plan(client, channels=["sms", "call"], purpose="service")
        await made(database, tenant, made_plan)
        (task,) = await listed(client)
        assert (task["customer_id"], task["channel"]) == (agreed, "call")

    async def test_who_leaves_the_segment_is_not_called_and_the_archived_plan_calls_nobody(
        self, client, database, tenant
    ):
        clocked(database)
        stays, leaves, never = [await customer(client) for _ in range(3)]
        segment = (await post(client, "/segments", {"name": "老客", "kind": "static"}))["id"]
        await post(client, f"/segments/{segment}/members", {"customer_ids": [stays, leaves]}, 200)
        made_plan = await plan(client, segment_id=segment)
        await made(database, tenant, made_plan)
        assert {each["customer_id"] for each in await listed(client)} == {stays, leaves}
        await post(client, f"/segments/{segment}/members", {"customer_ids": [leaves]}, 200, "DELETE")
        await made(database, tenant, made_plan)
        (gone,) = await listed(client, customer_id=leaves)
        assert (gone["state"], gone["reason"]) == ("cancelled", "left_segment")
        assert await listed(client, customer_id=never) == []
        await post(client, f"/follow-up-plans/{made_plan['id']}", {"state": "archived"}, 200, "PATCH")
        (kept,) = await listed(client, customer_id=stays)
        assert (kept["state"], kept["reason"]) == ("cancelled", "plan_archived")
        await made(database, tenant, made_plan)
        assert await listed(client, state="open") == []

    async def test_who_is_drawn_to_be_left_out_is_on_nobodys_list(self, client, database, tenant):
        clocked(database)
        people = [await customer(client) for _ in range(12)]
        made_plan = await plan(client, holdout_percent=50)
        await made(database, tenant, made_plan)
        out = await listed(client, state="held_out")
        assert 0 < len(out) < 12
        assert {each["assignee_id"] for each in out} == {None}
        assert len(await listed(client, state="open")) + len(out) == len(people)
        assert await told(database, tenant) == ["follow_up.created"] * (12 - len(out))
        timeline = await get(client, f"/customers/{out[0]['customer_id']}/timeline", kind="follow_up")
        assert timeline["data"] == []


class TestTriggers:
    async def test_a_low_rating_makes_one_task_about_its_case(self, client, database, tenant):
        clocked(database, NOW + 4 * DAY)  # a Friday
        who = await customer(client)
        case = await post(client, "/complaints", {"customer_id": who, "channel": "call", "subject": "x"})
        await plan(client, name="低分", trigger="low_rating", cadences=[], channels=["visit"])
        payload = {"rating_id": str(uuid4()), "customer_id": who}
        for _ in range(2):
            await heard(database, tenant, jobs.follow_ratings, "complaint.rated_low", case["id"], payload=payload)
        (task,) = await listed(client)
        assert (task["source"], task["complaint_id"], task["customer_id"]) == ("low_rating", case["id"], who)
        # The Sunday is a make-up workday, but the next working day after Friday all the same.
        assert task["due_on"] == "2026-09-20"

    @pytest.mark.parametrize("together", [False, True])
    async def test_every_low_rating_has_a_task_of_its_own(self, client, database, tenant, together):
        clocked(database)
        who = await customer(client)
        body = {"customer_id": who, "channel": "call", "subject": "x"}
        cases = [(await post(client, "/complaints", body))["id"] for _ in range(2)]
        await plan(client, name="低分", trigger="low_rating", cadences=[], channels=["visit"])
        ratings = [(uuid4(), UUID(case)) for case in cases]
        for batch in [dict(ratings)] * 2 if together else [{rating: case} for rating, case in ratings * 2]:

            async def work(unit, batch=batch):
                await Planner(unit).after_ratings(batch)

            await database.run(tenant.actor, work)
        assert {task["complaint_id"] for task in await listed(client)} == set(cases)
        assert len(await listed(client)) == 2

    async def test_without_a_plan_for_it_a_low_rating_makes_none(self, client, database, tenant):
        who = await customer(client)
        case = await post(client, "/complaints", {"customer_id": who, "channel": "call", "subject": "x"})
        await plan(client)
        payload = {"rating_id": str(uuid4()), "customer_id": who}
        await heard(database, tenant, jobs.follow_ratings, "complaint.rated_low", case["id"], payload=payload)
        assert await listed(client) == []

    async def test_the_neglected_get_one_task_for_each_time_of_silence(self, client, database, tenant):
        (owner,) = await staff(client, "李娜")
        who = await customer(client, owner_id=owner)
        standard = await post(client, "/contact-standards", {"dimension": "all", "every_days": 30})
        later = datetime.now(UTC) + 40 * DAY
        made_plan = await plan(client, name="久未联系", trigger="neglect", cadences=[], due_working_days=0)
        for _ in range(2):
            await made(database, tenant, made_plan, later)
        (task,) = await listed(client)
        assert (task["source"], task["customer_id"], task["assignee_id"]) == ("neglect", who, owner)
        await post(client, f"/follow-ups/{task['id']}/skip", {"reason": "出国"}, 200)
        # Another standard makes no other silence of it.
        await post(client, f"/contact-standards/{standard['id']}", {"every_days": 28}, 200, "PATCH")
        await made(database, tenant, made_plan, later + DAY)
        assert len(await listed(client)) == 1
        said = {"customer_id": who, "channel": "call", "direction": "outbound", "occurred_at": later.isoformat()}
        await post(client, "/interactions", said)
        await made(database, tenant, made_plan, later + 40 * DAY)
        assert len(await listed(client)) == 2

    async def test_the_days_plans_are_those_not_seen_to_today(self, client, database, tenant):
        clocked(database)
        await customer(client)
        await plan(client)
        for at, made_at in ((NOW, NOW), (NOW + DAY / 3, NOW), (NOW + DAY, NOW + DAY)):
            clocked(database, at)
            await jobs.hourly(database)
            (shown,) = await listed(client, "/follow-up-plans", state="active")
            assert datetime.fromisoformat(shown["generated_at"]) == made_at
        assert len(await listed(client)) == 1

    async def test_a_plan_that_cannot_be_made_says_so_and_stops_no_other(self, client, database, tenant):
        clocked(database)
        await customer(client)
        bad, good = await plan(client, name="坏"), await plan(client, name="好")
        async with database.write(tenant.actor) as unit:
            sql = "UPDATE follow_up_plans SET starts_on = '9999-12-31', first_after_days = 30 WHERE id = $1"
            await unit.connection.execute(sql, UUID(bad["id"]))
        await jobs.hourly(database)
        assert (await get(client, f"/follow-up-plans/{bad['id']}"))["error"] == "internal error"
        (task,) = await listed(client)
        assert task["plan_id"] == good["id"]
        for day in ("9999-12-31", "0001-01-01"):
            await post(client, "/follow-up-plans", {"name": "x", "cadences": ALL, "starts_on": day}, 422)
            await post(client, f"/follow-up-plans/{good['id']}", {"starts_on": day}, 422, "PATCH")

    async def test_who_enters_a_segment_during_the_day_is_seen_within_the_hour(self, client, database, tenant):
        clocked(database)
        segment = (await post(client, "/segments", {"name": "新客", "kind": "static"}))["id"]
        await plan(client, segment_id=segment)
        await jobs.hourly(database)
        assert await listed(client) == []
        who = await customer(client)
        await post(client, f"/segments/{segment}/members", {"customer_ids": [who]}, 200)
        clocked(database, NOW + DAY / 24)
        await jobs.hourly(database)
        assert [each["customer_id"] for each in await listed(client)] == [who]


class TestPlans:
    async def test_a_new_shop_has_drafts_it_can_switch_on(self, client, database, tenant):
        drafts = await listed(client, "/follow-up-plans")
        found = {each["name"]: (each["state"], each["trigger"], len(each["cadences"])) for each in drafts}
        assert found == {"按忠诚度回访": ("draft", "cadence", 2), "投诉低分回访": ("draft", "low_rating", 0)}
        for each in drafts:
            await post(client, f"/follow-up-plans/{each['id']}", {"state": "active"}, 200, "PATCH")

    async def test_what_a_plan_says_is_kept_in_versions(self, client, database):
        clocked(database)
        first = await plan(client, state="draft")
        path = f"/follow-up-plans/{first['id']}"
        assert (first["number"], first["starts_on"]) == (1, "2026-09-14")
        renamed = await post(client, path, {"name": "新名"}, 200, "PATCH")
        assert (renamed["number"], renamed["version"]) == (1, 2)
        changed = await post(client, path, {"days_ahead": 30, "script": "问好"}, 200, "PATCH")
        assert (changed["number"], changed["version"]) == (2, 3)
        versions = (await get(client, f"{path}/versions"))["data"]
        assert [(each["number"], each["rules"]["days_ahead"], each["rules"]["script"]) for each in versions] == [
            (2, 30, "问好"),
            (1, 14, None),
        ]

    async def test_a_draft_starts_when_it_is_activated(self, client, database, tenant):
        clocked(database)
        who = await customer(client)
        late, past = await plan(client, state="draft"), await plan(client, name="旧", state="draft")
        clocked(database, NOW + 20 * DAY)
        begun = await post(client, f"/follow-up-plans/{late['id']}", {"state": "active"}, 200, "PATCH")
        assert (begun["starts_on"], begun["number"]) == ("2026-10-04", 2)
        await made(database, tenant, late, NOW + 20 * DAY)
        (task,) = await listed(client)
        assert (task["customer_id"], task["slot"], task["status"]) == (who, "2026-10-04", "planned")
        # Who names a day means it.
        named = {"state": "active", "starts_on": "2026-09-14"}
        kept = await post(client, f"/follow-up-plans/{past['id']}", named, 200, "PATCH")
        assert (kept["starts_on"], kept["number"]) == ("2026-09-14", 1)

    async def test_states_of_a_plan(self, client):
        made_plan = await plan(client, state="draft")
        path = f"/v1/follow-up-plans/{made_plan['id']}"
        refused = await client.patch(path, json={"state": "paused"})
        assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
        assert (await client.post(f"{path}/make")).json()["code"] == "plan_not_active"
        for state in ("active", "paused", "active", "archived"):
            assert (await client.patch(path, json={"state": state})).json()["state"] == state
        assert (await client.patch(path, json={"state": "active"})).json()["code"] == "wrong_state"
        assert (await client.post("/v1/follow-up-plans", json={"name": "定期回访", "cadences": []})).status_code == 422
        stale = await client.patch(path, json={"name": "x"}, headers={"if-match": '"1"'})
        assert stale.status_code == 412

    async def test_everything_is_there_in_graphql(self, client, database):
        clocked(database)
        who = await customer(client)

        async def ask(text, **given):
            answer = (await client.post("/graphql", json={"query": text, "variables": given})).json()
            assert "errors" not in answer, answer
            (found,) = answer["data"].values()
            assert found.get("userErrors", []) == [], found
            return found

        cadences = [{"dimension": "ALL", "everyDays": 14}]
        text = """mutation($in: FollowUpPlanCreateInput!) { followUpPlanCreate(input: $in) {
          followUpPlan { id state cadences { everyDays } versions { nodes { number } } } userErrors { code } } }"""
        made_plan = (await ask(text, **{"in": {"name": "x", "cadences": cadences, "channels": ["CALL"]}}))[
            "followUpPlan"
        ]
        assert (made_plan["cadences"], made_plan["versions"]["nodes"]) == ([{"everyDays": 14}], [{"number": 1}])
        text = """mutation($in: FollowUpPlanMakeInput!) { followUpPlanMake(input: $in) {
          followUpPlan { state } userErrors { code } } }"""
        await ask(text, **{"in": {"id": made_plan["id"]}})
        text = """mutation($in: FollowUpPlanUpdateInput!) { followUpPlanUpdate(input: $in) {
          followUpPlan { state number } userErrors { code } } }"""
        paused = await ask(text, **{"in": {"id": made_plan["id"], "state": "PAUSED"}})
        assert paused["followUpPlan"] == {"state": "PAUSED", "number": 1}
        text = """mutation($in: FollowUpCreateInput!) { followUpCreate(input: $in) {
          followUp { id status dueOn } userErrors { code } } }"""
        tasks = []
        for _ in range(2):
            given = {"customerId": f"Customer:{who}", "dueOn": "2026-09-15", "channel": "CALL"}
            tasks.append((await ask(text, **{"in": given}))["followUp"])
        assert (tasks[0]["status"], tasks[0]["dueOn"]) == ("PLANNED", "2026-09-15")
        steps = {
            "Update": {"subject": "新"},
            "Snooze": {"until": (NOW + 2 * DAY).isoformat()},
            "Complete": {"result": "REACHED", "next": {"dueOn": "2026-09-30"}},
        }
        for step, more in steps.items():
            text = f"""mutation($in: FollowUp{step}Input!) {{ followUp{step}(input: $in) {{
              followUp {{ status subject snoozes interaction {{ outcome }} }} userErrors {{ code }} }} }}"""
            shown = (await ask(text, **{"in": {"id": tasks[0]["id"], **more}}))["followUp"]
        assert shown == {"status": "DONE", "subject": "新", "snoozes": 1, "interaction": {"outcome": "reached"}}
        text = """mutation($in: FollowUpSkipInput!) { followUpSkip(input: $in) {
          followUp { state reason } userErrors { code } } }"""
        skipped = await ask(text, **{"in": {"id": tasks[1]["id"], "reason": "x"}})
        assert skipped["followUp"] == {"state": "SKIPPED", "reason": "x"}
        text = "{ followUps(status: PLANNED, orderBy: DUE) { totalCount nodes { dueOn customer { name } } } }"
        assert (await ask(text))["nodes"] == [{"dueOn": "2026-09-30", "customer": {"name": "客户"}}]
