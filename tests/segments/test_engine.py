"""The engine: kinds and states, causes, segments that name segments, time, failures, reconciliation, parallel work."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from crm_api.core.errors import Unavailable
from crm_api.db.compile import compile_statement
from crm_api.segments import jobs, upkeep
from crm_api.segments.models import MembersChange
from crm_api.segments.repository.upkeep import Scope, UpkeepRepository
from crm_api.segments.service import SegmentService
from crm_api.segments.touches import Why
from crm_api.segments.upkeep import Upkeep
from tests.segments.lab import open_lab

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

VIP = {"field": "tags", "op": "contains", "value": "vip"}
RECENT = {"aggregate": "count", "of": "orders", "window": {"last_days": 30}, "op": "gte", "value": 1}
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def within(segment_id):
    return {"field": "segments", "op": "contains", "value": segment_id}


@pytest_asyncio.fixture
async def lab(settings, pools):
    async with open_lab(settings, pools) as opened:
        yield opened


async def end_backend(settings, backend):
    """End a connection as a server that goes down does."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        await connection.execute("SELECT pg_terminate_backend($1)", backend)
    finally:
        await connection.close()


class TestKinds:
    async def test_a_static_segment_is_kept_by_hand(self, lab):
        one, two = await lab.customer("one"), await lab.customer("two")
        made = await lab.call("POST", "/segments", {"name": "list", "kind": "static"}, 201)
        assert (made["state"], made["kind"], made["rule"], made["size"]) == ("active", "static", None, 0)
        path = f"/segments/{made['id']}/members"
        follower = await lab.segment("follower", within(made["id"]))
        assert (await lab.call("POST", path, {"customer_ids": [one, two, one]}))["size"] == 2
        assert (await lab.call("POST", path, {"customer_ids": [one]}))["last_sequence"] == 2
        assert await lab.members(made["id"]) == await lab.members(follower) == ["one", "two"]
        stranger = await lab.call("POST", path, {"customer_ids": [one, str(uuid4())]}, 404)
        assert stranger["errors"][0]["pointer"] == "/customer_ids/1"
        assert (await lab.call("DELETE", path, {"customer_ids": [one]}))["size"] == 1
        assert await lab.log(made["id"]) == [(1, "enter", "manual"), (2, "enter", "manual"), (3, "leave", "manual")]
        assert await lab.log(follower) == [(1, "enter", "manual"), (2, "enter", "manual"), (3, "leave", "manual")]
        refused = await lab.call("POST", f"/segments/{follower}/members", {"customer_ids": [one]}, 409)
        assert refused["code"] == "not_static"
        assert (await lab.call("POST", f"/segments/{made['id']}/evaluate", status=409))["code"] == "not_dynamic"
        await lab.call("DELETE", f"/customers/{two}")
        await lab.deliver()
        assert (await lab.call("GET", f"/segments/{made['id']}"))["size"] == 0
        await lab.check_books()

    async def test_a_snapshot_is_frozen_until_it_is_taken_anew(self, lab):
        one, two = await lab.customer("one"), await lab.customer("two")
        await lab.order(one, "1", lab.clock.instant - 50 * DAY)
        await lab.order(two, "2")
        then = (lab.clock.instant - 40 * DAY).isoformat()
        shot = await lab.segment("shot", RECENT, kind="snapshot", as_of=then)
        assert await lab.members(shot) == ["one"]
        await lab.order(two, "3", lab.clock.instant - 60 * DAY)
        await lab.deliver()
        await lab.pass_time(100 * DAY)
        assert await lab.members(shot) == ["one"]
        taken = await lab.call("POST", f"/segments/{shot}/retake", {"as_of": "2026-11-01T04:00:01Z"}, 202)
        assert (taken["state"], taken["as_of"]) == ("compiling", "2026-11-01T04:00:01+00:00")
        await lab.evaluate(shot)
        assert await lab.members(shot) == ["two"]
        assert await lab.log(shot) == [(1, "enter", "snapshot"), (2, "enter", "snapshot"), (3, "leave", "snapshot")]
        ahead = {"as_of": (lab.clock.instant + DAY).isoformat()}
        assert (await lab.call("POST", f"/segments/{shot}/retake", ahead, 422))["errors"][0]["code"] == "in_the_future"
        await lab.check_books()

    async def test_what_does_not_belong_to_a_kind_is_refused(self, lab):
        for body, pointer in (
            ({"kind": "static", "rule": VIP}, "/rule"),
            ({"kind": "dynamic"}, "/rule"),
            ({"rule": VIP, "as_of": "2026-01-01T00:00:00Z"}, "/as_of"),
            ({"rule": VIP, "kind": "snapshot", "as_of": "2027-01-01T00:00:00Z"}, "/as_of"),
        ):
            refused = await lab.call("POST", "/segments", {"name": "x", **body}, 422)
            assert refused["errors"][0]["pointer"] == pointer

    async def test_a_draft_is_not_evaluated_until_it_is_activated(self, lab):
        await lab.customer("one", tags=["vip"])
        draft = await lab.segment("draft", VIP, draft=True)
        await lab.deliver()
        shown = await lab.call("GET", f"/segments/{draft}")
        assert (shown["state"], shown["size"], shown["evaluated_at"]) == ("draft", 0, None)
        assert (await lab.call("POST", f"/segments/{draft}/evaluate", status=409))["code"] == "segment_draft"
        changed = await lab.call("PATCH", f"/segments/{draft}", {"rule": {"not": VIP}})
        assert changed["state"] == "draft"
        assert (await lab.call("POST", f"/segments/{draft}/activate"))["state"] == "compiling"
        await lab.evaluate(draft)
        shown = await lab.call("GET", f"/segments/{draft}")
        assert (shown["state"], shown["total"], shown["processed"]) == ("active", 1, 1)
        assert (await lab.call("POST", f"/segments/{draft}/activate", status=409))["code"] == "not_a_draft"

    async def test_merges_pass_static_members_on_and_back(self, lab):
        winner, loser = await lab.customer("winner"), await lab.customer("loser", tags=["vip"])
        made = await lab.call("POST", "/segments", {"name": "list", "kind": "static"}, 201)
        path = f"/segments/{made['id']}/members"
        await lab.call("POST", path, {"customer_ids": [loser]})
        dynamic = await lab.segment("vip", VIP)
        merge = await lab.call("POST", "/customers/merge", {"winner_id": winner, "loser_ids": [loser]}, 201)
        await lab.deliver()
        assert await lab.members(made["id"]) == await lab.members(dynamic) == ["winner"]
        told = (await lab.call("GET", f"/customers/{winner}/segment-log?order=sequence"))["data"]
        assert sorted((each["customer_id"], each["change"]) for each in told) == sorted(
            [(loser, "enter"), (loser, "leave"), (winner, "enter")] * 2
        )
        why = await lab.call("GET", f"/segments/{made['id']}/explain/{loser}")  # an old id means the winner
        assert (why["customer_id"], [each["customer_id"] for each in why["log"]]) == (winner, [loser, winner, loser])
        await lab.call("POST", f"/merges/{merge['id']}/undo")
        await lab.deliver()
        assert await lab.members(made["id"]) == await lab.members(dynamic) == ["loser"]
        told = (await lab.call("GET", f"/customers/{winner}/segment-log"))["data"]
        assert {each["customer_id"] for each in told} == {winner}
        entries = (await lab.call("GET", f"/segments/{made['id']}/log?order=sequence"))["data"]
        assert {each["cause_id"] for each in entries if each["cause"] == "merge"} == {merge["id"]}
        assert len(entries) == 5
        await lab.check_books()


class TestSegmentsThatNameSegments:
    async def test_one_pass_reaches_them_all_in_order(self, lab):
        buyer = await lab.customer("buyer")
        first = await lab.segment("first", RECENT)
        second = await lab.segment("second", {"not": within(first)})
        third = await lab.segment("third", {"all": [{"not": within(second)}, within(first)]})
        assert [await lab.members(each) for each in (first, second, third)] == [[], ["buyer"], []]
        await lab.order(buyer, "1")
        paid = await lab.waiting()
        await lab.deliver()
        assert [await lab.members(each) for each in (first, second, third)] == [["buyer"], [], ["buyer"]]
        (entry,) = (await lab.call("GET", f"/segments/{third}/log"))["data"]
        assert (entry["cause"], entry["cause_id"]) == ("event", str(paid[-1].id))
        await lab.call("PATCH", f"/segments/{first}", {"rule": VIP})
        await lab.evaluate(first)
        assert [await lab.members(each) for each in (first, second, third)] == [[], ["buyer"], []]
        assert (await lab.log(third))[-1] == (2, "leave", "rule")
        assert await lab.drift() == {}
        await lab.check_books()

    async def test_circles_and_what_is_not_kept_are_refused(self, lab):
        a = await lab.segment("a", VIP)
        b = await lab.segment("b", within(a))
        c = await lab.segment("c", {"any": [VIP, {"field": "segments", "op": "contains_any", "value": [a, b]}]})
        for target, rule, path in ((a, within(c), "a → c → a"), (b, {"not": within(b)}, "b → b")):
            refused = await lab.call("PATCH", f"/segments/{target}", {"rule": rule}, 422)
            (error,) = refused["errors"]
            assert error["code"] == "segment_cycle"
            assert error["message"].endswith(path) or path.startswith("a")
            assert error["pointer"].startswith("/rule")
        used = await lab.call("PATCH", f"/segments/{a}", {"archived": True}, 409)
        assert (used["code"], used["segments"]) == ("segment_in_use", ["b", "c"])
        draft = await lab.segment("draft", VIP, draft=True)
        gone = await lab.segment("gone", VIP)
        await lab.call("PATCH", f"/segments/{gone}", {"archived": True})
        for each, code in ((draft, "segment_draft"), (gone, "segment_archived"), (str(uuid4()), "segment_unknown")):
            refused = await lab.call("POST", "/segments", {"name": "x", "rule": {"all": [VIP, within(each)]}}, 422)
            assert (refused["errors"][0]["code"], refused["errors"][0]["pointer"]) == (code, "/rule/all/1/value")
        later = await lab.segment("later", within(draft), draft=True)
        assert (await lab.call("POST", f"/segments/{later}/activate", status=409))["code"] == "segment_not_active"
        await lab.call("POST", f"/segments/{draft}/activate")
        assert (await lab.call("POST", f"/segments/{later}/activate"))["state"] == "compiling"
        await lab.evaluate(later)  # waits for the one it names
        assert (await lab.call("GET", f"/segments/{later}"))["state"] == "compiling"
        await lab.evaluate(draft)
        await lab.evaluate(later)
        assert (await lab.call("GET", f"/segments/{later}"))["state"] == "active"


class TestTime:
    async def test_windows_end_to_the_microsecond_and_rows_ahead_enter(self, lab):
        buyer, ahead = await lab.customer("buyer"), await lab.customer("ahead")
        start = lab.clock.instant
        await lab.order(buyer, "1", start - 10 * DAY)
        await lab.order(ahead, "2", start + timedelta(hours=5))
        rule = {"aggregate": "count", "of": "orders", "window": {"last_days": 30}, "op": "gte", "value": 1}
        segment_id = await lab.segment("recent", rule)
        assert await lab.members(segment_id) == ["buyer"]
        steps = (
            (timedelta(hours=5), ["buyer"]),  # the window ends before now: [t − 30 d, t)
            (timedelta(hours=5) + TICK, ["ahead", "buyer"]),
            (20 * DAY, ["ahead", "buyer"]),
            (20 * DAY + TICK, ["ahead"]),
            (30 * DAY + timedelta(hours=5) + TICK, []),
        )
        for after, members in steps:
            await lab.pass_time(start + after - lab.clock.instant)
            assert await lab.members(segment_id) == members, after
            assert await lab.drift() == {}
        assert {cause for *_, cause in await lab.log(segment_id)} == {"rule", "time"}
        assert await lab.rows("SELECT FROM segment_flips WHERE tenant_id = $1") == []
        await lab.check_books()

    async def test_only_those_whose_time_has_come_are_looked_at(self, lab, monkeypatch):
        buyers = [await lab.customer(f"c{number}") for number in range(3)]
        for number, each in enumerate(buyers):
            await lab.order(each, str(number), lab.clock.instant - (29 - number) * DAY)
        await lab.segment("recent", RECENT)
        looked = []
        compare = UpkeepRepository.compare

        async def watched(self, segment_id, chosen, scope):
            looked.append(scope)
            return await compare(self, segment_id, chosen, scope)

        monkeypatch.setattr(UpkeepRepository, "compare", watched)
        await lab.pass_time(DAY + TICK)
        assert [[str(each) for each in scope.ids] for scope in looked] == [[buyers[0]]]
        await lab.pass_time(timedelta(hours=1))
        assert len(looked) == 1

    @pytest.mark.parametrize("hours", [-4, -1, 0, 1, 3])
    async def test_the_night_the_clocks_go_back(self, settings, pools, hours):
        """In New York 01:30 comes twice on 1 November 2026: minute by minute nobody is forgotten."""
        async with open_lab(settings, pools, datetime.fromisoformat("2026-10-31T12:00:00-04:00")) as lab:
            await lab.rows("UPDATE tenants SET time_zone = 'America/New_York' WHERE tenant_id = $1")
            buyer = await lab.customer("buyer")
            change = datetime.fromisoformat("2026-11-01T06:00:00+00:00") + timedelta(hours=hours, minutes=7)
            await lab.order(buyer, "1", change - 10 * DAY)
            rule = {"field": "last_order_at", "op": "gte", "value": {"days_ago": 10}}
            segment_id = await lab.segment("recent", rule)
            seen = []
            lab.clock.instant = change - timedelta(minutes=90)
            for _ in range(18):
                await lab.pass_time(timedelta(minutes=10))
                assert await lab.drift() == {}
                seen.append(len(await lab.members(segment_id)))
            assert (seen[0], seen[-1]) in {(1, 0), (1, 1), (0, 0)}

    async def test_a_day_that_begins_moves_whole_segments(self, lab):
        rule = {"field": "next_birthday", "op": "between", "value": [{"days_ahead": 0}, {"days_ahead": 7}]}
        segment_id = await lab.segment("soon", rule)
        await lab.customer("born", birthday={"month": 11, "day": 9})
        await lab.deliver()
        assert await lab.members(segment_id) == []
        await lab.pass_time(timedelta(hours=11, minutes=59))
        assert await lab.members(segment_id) == []
        await lab.pass_time(timedelta(minutes=1))  # midnight in Shanghai
        assert await lab.members(segment_id) == ["born"]
        await lab.pass_time(8 * DAY)
        assert await lab.members(segment_id) == []
        assert await lab.log(segment_id) == [(1, "enter", "time"), (2, "leave", "time")]


class TestTrouble:
    async def test_a_segment_that_fails_keeps_its_members_and_troubles_nobody(self, lab):
        made = await lab.call(
            "POST", "/attribute-definitions", {"key": "size", "type": "number", "label": {"en": "Size"}}, 201
        )
        one = await lab.customer("one", attributes={"size": 3}, tags=["vip"])
        broken = await lab.segment("broken", {"field": "attributes.size", "op": "gte", "value": 1})
        sound = await lab.segment("sound", VIP)
        await lab.call("PATCH", f"/attribute-definitions/{made['id']}", {"archived": True})
        await lab.call("DELETE", f"/customers/{one}/tags/vip")
        await lab.deliver()
        shown = await lab.call("GET", f"/segments/{broken}")
        assert (shown["state"], shown["size"]) == ("failed", 1)
        assert "/rule/where/field" in shown["error"]
        assert "/rule/where/field" in shown["error_zh"]
        assert shown["error"] != shown["error_zh"]
        assert await lab.members(sound) == []
        await lab.call("PATCH", f"/attribute-definitions/{made['id']}", {"archived": False})
        await lab.call("PATCH", f"/customers/{one}", {"attributes": {"size": 0}})
        await lab.deliver()
        assert await lab.members(broken) == ["one"]
        lab.clock.advance(DAY)
        await jobs.reconcile_tenant(lab.database, lab.tenant.id)
        shown = await lab.call("GET", f"/segments/{broken}")
        assert (shown["state"], shown["size"], shown["error"], shown["error_zh"]) == ("active", 0, None, None)
        await lab.check_books()

    async def test_the_nightly_check_finds_and_mends_what_was_missed(self, lab):
        await lab.customer("one", tags=["vip"])
        two = await lab.customer("two")
        segment_id = await lab.segment("vip", VIP)
        follower = await lab.segment("follower", within(segment_id))
        await lab.deliver()
        path = f"/segments/{segment_id}/reconciliations"
        await jobs.reconcile_tenant(lab.database, lab.tenant.id)
        await jobs.reconcile_tenant(lab.database, lab.tenant.id)
        (clean,) = (await lab.call("GET", path))["data"]
        assert (clean["checked"], clean["entered"], clean["left"], clean["error"]) == (2, 0, 0, None)
        # Behind everybody's back, as no code of ours does it.
        await lab.rows("UPDATE customer_tags SET customer_id = $2::uuid WHERE tenant_id = $1", two)
        lab.clock.instant = datetime.fromisoformat("2026-11-02T02:59:00+08:00")
        await jobs.reconcile_tenant(lab.database, lab.tenant.id)
        assert await lab.members(segment_id) == ["one"]
        await lab.customer("late", tags=["vip"])  # its message waits: nothing that was missed
        lab.clock.instant = datetime.fromisoformat("2026-11-02T03:00:00+08:00")
        with capture_logs() as logs:
            await jobs.reconcile_tenant(lab.database, lab.tenant.id)
        (warned,) = [each for each in logs if each["event"] == "segment_drift"]
        assert (warned["log_level"], warned["segment_id"], warned["entered"]) == ("warning", segment_id, 1)
        drifted = (await lab.call("GET", path))["data"][0]
        assert (drifted["entered"], drifted["left"]) == (1, 1)
        assert await lab.members(segment_id) == await lab.members(follower) == ["two"]
        entries = (await lab.call("GET", f"/segments/{segment_id}/log"))["data"][:2]
        assert {(each["cause"], each["cause_id"]) for each in entries} == {("reconcile", drifted["id"])}
        found = (await lab.call("GET", f"/segment-reconciliations?segment_id={follower}"))["data"]
        assert [(each["entered"], each["left"]) for each in found] == [(0, 0), (0, 0)]
        await lab.deliver()
        assert await lab.members(follower) == ["late", "two"]
        await lab.check_books()

    async def test_parallel_passes_tell_of_each_change_once_even_when_killed(self, lab, settings):
        ids = [await lab.customer(f"c{number:02}", tags=["vip"]) for number in range(30)]
        messages = await lab.waiting()
        segment_id = (await lab.call("POST", "/segments", {"name": "vip", "rule": VIP}))["id"]
        follower = (await lab.call("POST", "/segments", {"name": "not", "rule": {"not": within(segment_id)}}))["id"]

        async def killed():
            async with lab.database.write(lab.tenant.actor) as unit:
                await Upkeep(unit).evaluate(segment_id, Why("rule"))
                await unit.flush()
                mine = await unit.connection.fetchval("SELECT pg_backend_pid()")
                await end_backend(settings, mine)
                await unit.connection.fetchval("SELECT 1")

        # The last of these between a dying server's last words and the end of the connection.
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
            await killed()
        await asyncio.gather(
            *(lab.evaluate(segment_id) for _ in range(3)),
            *(lab.evaluate(follower) for _ in range(2)),
            *(lab.run(lambda unit: jobs.keep(unit, messages)) for _ in range(3)),
            *(lab.pass_time() for _ in range(2)),
        )
        await lab.evaluate(follower)
        assert len(await lab.members(segment_id)) == len(ids)
        assert await lab.members(follower) == []
        assert await lab.drift() == {}
        await lab.check_books()

    async def test_members_by_hand_wait_for_an_evaluation_but_not_for_long(self, lab):
        one = await lab.customer("one")
        made = await lab.call("POST", "/segments", {"name": "list", "kind": "static"}, 201)

        async def add(unit):
            await unit.connection.execute("SET LOCAL lock_timeout = 100")
            await SegmentService(unit).add_members(UUID(made["id"]), MembersChange(customer_ids=[one]))

        async with lab.database.write(lab.tenant.actor) as evaluating:
            await UpkeepRepository(evaluating).take_turn()
            with pytest.raises(Unavailable, match="is being evaluated") as refused:
                await lab.run(add)
        assert (refused.value.code, refused.value.status, refused.value.retry_after) == ("segments_busy", 503, 2)
        assert await lab.log(made["id"]) == []
        await lab.run(add)
        assert await lab.log(made["id"]) == [(1, "enter", "manual")]

    async def test_a_rule_changed_meanwhile_wins(self, lab, monkeypatch):
        await lab.customer("one", tags=["vip"])
        segment_id = (await lab.call("POST", "/segments", {"name": "s", "rule": VIP}))["id"]
        compare = UpkeepRepository.compare

        async def overtaken(*given):
            monkeypatch.undo()
            await lab.call("PATCH", f"/segments/{segment_id}", {"rule": {"not": VIP}})
            return await compare(*given)

        monkeypatch.setattr(UpkeepRepository, "compare", overtaken)
        await lab.evaluate(segment_id)
        shown = await lab.call("GET", f"/segments/{segment_id}")
        assert (shown["state"], shown["size"], shown["last_sequence"]) == ("compiling", 0, 0)
        await lab.evaluate(segment_id)
        assert (await lab.call("GET", f"/segments/{segment_id}"))["state"] == "active"
        assert await lab.members(segment_id) == []

    async def test_progress_is_seen_and_chunks_add_up(self, lab, monkeypatch):
        for number in range(7):
            await lab.customer(f"c{number}", tags=["vip"])
        monkeypatch.setattr(upkeep, "CHUNK", 3)
        seen = []
        settled = UpkeepRepository.settled

        async def noted(self, segment_id, values):
            seen.append(values.get("processed"))
            await settled(self, segment_id, values)

        monkeypatch.setattr(UpkeepRepository, "settled", noted)
        segment_id = await lab.segment("vip", VIP)
        assert seen[:3] == [3, 6, 7]
        assert len(await lab.members(segment_id)) == 7
        await lab.check_books()


async def test_a_pass_costs_the_same_statements_for_one_and_for_many_and_scans_nothing(lab):
    items = [{"name": f"c{number}", "tags": ["vip"] if number % 2 else []} for number in range(200)]
    made = (await lab.call("POST", "/customers/batch", {"items": items}))["results"]
    ids = [UUID(each["id"]) for each in made]
    segments = [
        await lab.segment(name, rule) for name, rule in (("vip", VIP), ("recent", RECENT), ("idle", {"not": VIP}))
    ]

    async def statements(look):
        heard = []
        async with lab.database.write(lab.tenant.actor) as unit:
            unit.connection.add_query_logger(lambda record: heard.append(record.query))
            await Upkeep(unit).touch(dict.fromkeys(look, Why("event")))
            unit.connection._query_loggers.clear()
        return heard

    few, many = await statements(ids[:1]), await statements(ids)
    assert len(few) == len(many) <= 10 + 5 * len(segments)
    async with lab.database.write(lab.tenant.actor) as unit:
        await unit.connection.execute("SET LOCAL enable_seqscan = off")  # the tables are small
        repository, engine = UpkeepRepository(unit), Upkeep(unit)
        for row in await repository.active():
            chosen = await engine._chosen(row)
            for statement in (
                repository.comparison(row["id"], chosen, Scope(ids[:1])),
                repository.next_flips(chosen, Scope(ids[:1])),
            ):
                if statement is not None:
                    sql, values = compile_statement(statement)
                    plan = "\n".join(each[0] for each in await unit.connection.fetch("EXPLAIN " + sql, *values))
                    assert "Seq Scan" not in plan, plan
