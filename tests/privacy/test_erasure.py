"""Erasure: the wish, its waiting period, what goes, what stays, and what becomes of workers that die."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from crm_api.consent.service import ConsentService
from crm_api.core.actor import Actor
from crm_api.core.clock import FixedClock
from crm_api.db.pool import Database
from crm_api.privacy import jobs, rules, runner
from crm_api.privacy.repository.erasing import due
from crm_api.privacy.service import ERASE_JOB
from tests.integrations import payloads
from tests.privacy.scan import mark, places
from tests.support import imports
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

MOBILE, EMAIL, ACCOUNT = "13812345678", "wang.erase@example.com", "buyer-4711-0815"
MONEY = {"amount": 1999, "currency": "CNY"}


class Shop:
    """A shop whose customer has been marked wherever the API takes words."""

    def __init__(self, client, database, tenant, owner):
        self.client, self.database, self.tenant, self.owner = client, database, tenant, owner

    async def places(self, *traces):
        """Return where marks and traces lie in what is the shop's."""
        return await places(self.owner, self.tenant.id, *traces)

    async def relayed(self):
        """Let all messages so far be passed by all subscribers."""
        await self.owner.execute("UPDATE outbox SET xid = '3' WHERE tenant_id = $1", self.tenant.id)

    async def call(self, method, path, body=None, expect=None, **headers):
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, f"/v1{path}", json=body, headers=given)
        assert answer.status_code == expect if expect else answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    async def customer(self, name="王小明", **fields):
        return (await self.call("POST", "/customers", {"name": name, **fields}))["id"]

    async def ask(self, who, **body):
        return await self.call("POST", f"/customers/{who}/erasures", body, 202)

    async def run(self, erasure, *, sweep=False):
        await jobs.erase(self.database, {"tenant_id": str(self.tenant.id), "erasure_id": erasure["id"], "sweep": sweep})
        return await self.call("GET", f"/erasures/{erasure['id']}")

    async def at_once(self, who):
        await self.call("PATCH", "/privacy-settings", {"erasure_waiting_days": 0})
        return await self.run(await self.ask(who, note=mark("note of the erasure")))

    async def known(self):
        """Make a customer of whom everything is marked; returns their id."""
        m = mark
        who = await self.customer(
            m("name"),
            gender="female",
            occupation=m("occupation"),
            region=m("region"),
            city=m("city"),
            address=m("address"),
            preferences=m("preferences"),
            special_requirements=m("requirements"),
            notes=m("notes"),
            source=m("source"),
            contact_points=[{"kind": "mobile", "value": MOBILE}, {"kind": "email", "value": EMAIL}],
            identities=[{"platform": "taobao", "external_id": ACCOUNT}],
            tags=[m("tag")],
        )
        about = {"customer_id": who}
        await self.call("PATCH", f"/customers/{who}", {"notes": m("second notes")}, idempotency_key=f"k-{who}")
        await self.call(
            "PUT",
            f"/orders/taobao/T-{who}",
            {
                **about,
                "status": "paid",
                "total": MONEY,
                "paid": MONEY,
                "placed_at": "2026-05-01T00:00:00Z",
                "buyer_note": m("buyer's note"),
            },
        )
        await self.call(
            "POST",
            "/interactions",
            {**about, "channel": "call", "direction": "inbound", "subject": m("subject"), "body": m("body")},
            idempotency_key=f"i-{who}",
        )
        case = await self.call(
            "POST", "/complaints", {**about, "channel": "call", "subject": m("case"), "description": m("description")}
        )
        await self.call("POST", f"/complaints/{case['id']}/transitions", {"action": "acknowledge", "note": m("step")})
        await self.call(
            "POST",
            f"/loyalty/accounts/{who}/adjustments",
            {"points": 300, "reason": m("points")},
            idempotency_key=f"p-{who}",
        )
        await self.call(
            "POST",
            f"/customers/{who}/consents",
            {
                "purpose": "marketing",
                "action": "granted",
                "source": "form",
                "proof": {"note": m("proof"), "sha256": "ab" * 32},
            },
        )
        await self.call(
            "POST", f"/customers/{who}/consents", {"purpose": "guardian", "action": "granted", "source": "form"}
        )
        await self.call(
            "POST",
            "/households",
            {
                "name": m("household"),
                "members": [{**about, "relation": "mother"}, {"relation": "child", "name": m("child")}],
            },
        )
        await self.call(
            "POST",
            "/events/batch",
            {
                "events": [
                    {
                        "id": str(uuid4()),
                        "type": "page_view",
                        "occurred_at": datetime.now(UTC).isoformat(),
                        "device_id": "d-1",
                        "customer": {"id": who},
                        "url": f"/p/{m('url')}",
                        "properties": {"q": m("search")},
                    }
                ]
            },
        )
        return who


@pytest_asyncio.fixture
async def shop(client, database, tenant, settings):
    """A shop of this test's own, and a connection of the database's owner."""
    owner = await asyncpg.connect(settings.database_url)
    yield Shop(client, database, tenant, owner)
    await owner.close()


class TestWhatGoes:
    async def test_no_word_of_theirs_is_left_anywhere(self, shop):
        who = await shop.known()
        other = await shop.customer(mark("somebody else"))
        await shop.relayed()
        before = await shop.places(MOBILE, EMAIL, ACCOUNT, "T-" + who)
        assert len({place for _, place in before}) > 25

        done = await shop.at_once(who)

        assert (done["state"], done["note"], done["covers"]) == ("completed", None, [who])
        assert done["counts"]["contact_points"] == 2
        assert done["processed"] == done["total"] == len(done["counts"])
        left = await shop.places(MOBILE, EMAIL, ACCOUNT, "T-" + who)
        assert {place for _, place in left} == {"somebody else", "T-" + who}
        # A number of the shop's books; the last messages that name it go with the sweep.
        assert {table for table, place in left if place == "T-" + who} <= {"orders", "outbox"}
        assert (await shop.call("GET", f"/customers/{other}"))["name"] == mark("somebody else")

    async def test_sums_and_counts_stay(self, shop):
        who = await shop.known()
        await shop.relayed()
        tables = {
            "orders": "sum(total_amount)",
            "loyalty_wallets": "sum(available)",
            "loyalty_transactions": "sum(points)",
            **dict.fromkeys(("interactions", "complaints", "consent_texts", "customers"), "count(*)"),
        }
        figures = "SELECT " + ", ".join(
            f"(SELECT {figure} FROM {table} WHERE tenant_id = $1)" for table, figure in tables.items()
        )
        before = await shop.owner.fetchrow(figures, shop.tenant.id)
        await shop.at_once(who)
        assert tuple(await shop.owner.fetchrow(figures, shop.tenant.id)) == tuple(before)

    async def test_it_is_proven(self, shop):
        who = await shop.known()
        done = await shop.at_once(who)
        told = await shop.owner.fetch(
            "SELECT operation, after FROM audit_log WHERE subject_id = ANY ($1::uuid[])", [who, done["id"]]
        )
        spoken = {row["operation"] for row in told if row["after"] is not None}
        assert spoken == {"erasure.requested", "erasure.started", "customer.erased"}
        assert "customer.created" in {row["operation"] for row in told}
        proof = await shop.owner.fetch("SELECT purpose, action, proof FROM consents WHERE customer_id = $1", UUID(who))
        assert ("marketing", "granted", None) in [tuple(row) for row in proof]
        message = await shop.owner.fetchval(
            "SELECT payload FROM outbox WHERE type = 'customer.erased' AND subject_id = $1", UUID(who)
        )
        assert done["id"] in message

    async def test_a_repeated_request_neither_acts_nor_tells(self, shop):
        who = await shop.known()
        await shop.at_once(who)
        again = await shop.client.patch(
            f"/v1/customers/{who}", json={"notes": mark("second notes")}, headers={"idempotency-key": f"k-{who}"}
        )
        assert (again.status_code, again.json()["code"]) == (410, "erased")

    async def test_the_customer_is_nowhere_to_be_seen(self, shop):
        who = await shop.known()
        await shop.at_once(who)
        assert (await shop.client.get(f"/v1/customers/{who}")).status_code == 404
        assert (await shop.call("GET", "/customers"))["data"] == []
        question = {"purpose": "transactional", "channel": "sms", "recipients": [{"customer_id": who}]}
        [decision] = (await shop.call("POST", "/consents/evaluate", question))["data"]
        assert decision["reason"] == "customer_gone"

    async def test_the_same_buyer_is_somebody_new(self, shop):
        who = await shop.known()
        await shop.at_once(who)
        buyer = {"external_id": ACCOUNT}
        order = {"customer": buyer, "status": "paid", "total": MONEY, "placed_at": "2026-06-01T00:00:00Z"}
        made = await shop.call("PUT", "/orders/taobao/T-2", order)
        assert made["customer_id"] != who

    async def test_who_was_merged_into_them_goes_too_and_never_comes_back(self, shop):
        who = await shop.customer(mark("winner"))
        loser = await shop.customer(mark("loser"), notes=mark("loser's notes"))
        merge = await shop.call("POST", "/customers/merge", {"winner_id": who, "loser_ids": [loser]})
        done = await shop.at_once(loser)  # an old id means whom it became
        assert done["customer_id"] == who
        assert sorted(done["covers"]) == sorted([who, loser])
        await shop.relayed()
        await shop.run(done, sweep=True)
        assert {place for _, place in await shop.places()} == set()
        refused = await shop.call("POST", f"/merges/{merge['id']}/undo", expect=409)
        assert refused["code"] == "side_erased"

    async def test_what_a_merge_took_from_them_goes_although_the_winner_stays(self, shop):
        who, other = await shop.customer("王小明"), await shop.customer("李雷")
        loser = await shop.customer("小明", city=mark("city"), notes=mark("notes"))
        merge = await shop.call("POST", "/customers/merge", {"winner_id": who, "loser_ids": [loser]})
        later = await shop.call("POST", "/customers/merge", {"winner_id": who, "loser_ids": [other]})
        await shop.call("PATCH", f"/customers/{who}", {"notes": mark("notes changed since")})
        await shop.call("POST", f"/merges/{merge['id']}/undo")
        await shop.call("PATCH", f"/customers/{who}", {"notes": None})
        await shop.relayed()
        await shop.run(await shop.at_once(loser), sweep=True)
        # What people changed at the winner meanwhile is the winner's own history, before and after.
        assert await shop.places() == {("audit_log", "notes"), ("audit_log", "notes changed since")}
        seen = await shop.call("GET", f"/merges/{merge['id']}")
        assert (seen["state"], seen["fields"], seen["undo"]["fields_kept"]) == ("undone", [], [])
        assert (await shop.call("POST", f"/merges/{later['id']}/undo"))["state"] == "undone"

    async def test_a_delivery_loses_its_body(self, shop):
        source = await shop.call("POST", "/sources", {"platform": "shopify", "secret": payloads.SECRET})
        who = await shop.customer(identities=[{"platform": "shopify", "external_id": "900100200300"}])
        bodies = (b'{"id": 900100200300, "said": "MARK<failed>"}', b'{"id": 1, "said": "MARK<processed>"}')
        columns = "tenant_id, id, source_id, dedupe_key, topic, headers, body, state, result"
        outcomes = (("failed", None), ("processed", f'{{"customer_id": "{who}"}}'))
        for body, outcome in zip(bodies, outcomes, strict=True):
            await shop.owner.execute(
                f"INSERT INTO inbound_deliveries ({columns}) VALUES ($1, $2, $3, $4, 'x', '{{}}', $5, $6, $7)",
                *(shop.tenant.id, uuid4(), UUID(source["id"]), outcome[0], body, *outcome),
            )
        done = await shop.at_once(who)
        assert done["counts"]["inbound_deliveries"] == 2
        assert await shop.places() == set()

    async def test_imports_forget_what_they_knew(self, shop):
        file = f"name,mobile,notes\n小明,{MOBILE},MARK<imported>\n,{MOBILE},MARK<no name>\n".encode()
        made = await imports.finished(shop.client, shop.database, file, "customers")
        [who] = [each["id"] for each in (await shop.call("GET", "/customers"))["data"]]
        await shop.owner.execute(
            "INSERT INTO import_cells (tenant_id, import_id, row, cells) VALUES ($1, $2, 99, $3)",
            *(shop.tenant.id, UUID(made["id"]), f'["MARK<failed row>", "{MOBILE}"]'),
        )
        done = await shop.at_once(who)
        assert done["counts"]["import_rows"] >= 2
        assert await shop.places(MOBILE) == set()
        undone = await shop.client.post(f"/v1/imports/{made['id']}/undo")
        assert undone.status_code < 500, undone.text


class TestWish:
    async def test_waits_and_can_be_called_off(self, shop):
        who = await shop.known()
        erasure = await shop.ask(who, reason="consent_withdrawn")
        assert (erasure["state"], erasure["reason"]) == ("waiting", "consent_withdrawn")
        wait = datetime.fromisoformat(erasure["due_at"]) - datetime.fromisoformat(erasure["created_at"])
        assert abs(wait - timedelta(days=rules.WAITING_DAYS)) < timedelta(minutes=1)
        assert (await shop.run(erasure))["state"] == "waiting"
        assert (await shop.call("GET", f"/customers/{who}"))["name"] == mark("name")
        cancelled = await shop.call("POST", f"/erasures/{erasure['id']}/cancel")
        assert cancelled["state"] == "cancelled"
        refused = await shop.call("POST", f"/erasures/{erasure['id']}/cancel", expect=409)
        assert refused["code"] == "erasure_begun"
        assert (await shop.ask(who))["state"] == "waiting"

    async def test_nothing_is_sent_from_the_wish_on(self, shop):
        who = await shop.known()
        await shop.ask(who)
        for purpose in ("marketing", "personalization"):
            question = {"purpose": purpose, "channel": "sms", "recipients": [{"customer_id": who}]}
            [decision] = (await shop.call("POST", "/consents/evaluate", question))["data"]
            assert decision["reason"] == "withdrawn"
        async with shop.database.read(shop.tenant.actor) as unit:
            service = ConsentService(unit)
            assert await service.repository.standing(UUID(who)) == await service.replayed(UUID(who))

    async def test_one_at_a_time(self, shop):
        who = await shop.customer()
        answers = await asyncio.gather(*(shop.client.post(f"/v1/customers/{who}/erasures", json={}) for _ in range(4)))
        assert sorted(each.status_code for each in answers) == [202, 409, 409, 409]
        assert {each.json().get("code") for each in answers} == {None, "erasure_pending"}

    async def test_the_deleted_can_be_erased_and_the_erased_cannot(self, shop):
        who = await shop.known()
        await shop.call("DELETE", f"/customers/{who}")
        assert (await shop.at_once(who))["state"] == "completed"
        for wish in ("erasures", "subject-exports"):
            refused = await shop.call("POST", f"/customers/{who}/{wish}", {} if wish == "erasures" else None, 409)
            assert refused["code"] == "erased"

    async def test_merges_wait(self, shop):
        who, other = await shop.customer(), await shop.customer()
        await shop.ask(who)
        body = {"winner_id": other, "loser_ids": [who]}
        assert (await shop.call("POST", "/customers/merge", body, 409))["code"] == "erasure_pending"

    async def test_of_strangers_and_nobody(self, shop, app, other_tenant):
        async with client_of(app, other_tenant.key) as stranger:
            foreign = (await stranger.post("/v1/customers", json={"name": "韩梅梅"})).json()["id"]
        for who in (foreign, uuid4()):
            await shop.call("POST", f"/customers/{who}/erasures", {}, 404)
        mine = await shop.ask(await shop.customer())
        async with client_of(app, other_tenant.key) as stranger:
            assert (await stranger.get(f"/v1/erasures/{mine['id']}")).status_code == 404
            assert (await stranger.post(f"/v1/erasures/{mine['id']}/cancel")).status_code == 404


class TestWork:
    async def test_goes_on_where_a_killed_worker_stopped(self, shop, monkeypatch):
        who = await shop.known()
        await shop.relayed()
        await shop.call("PATCH", "/privacy-settings", {"erasure_waiting_days": 0})
        erasure = await shop.ask(who)
        taken = []
        take = runner.ErasureRun._take

        async def dies(self, step, unit):
            if len(taken) in {3, 9}:
                taken.append("killed")
                raise asyncio.CancelledError
            taken.append(step.name)
            await take(self, step, unit)

        monkeypatch.setattr(runner.ErasureRun, "_take", dies)
        for _ in range(2):
            with pytest.raises(asyncio.CancelledError):
                await shop.run(erasure)
            halfway = await shop.call("GET", f"/erasures/{erasure['id']}")
            assert halfway["state"] == "running"
            assert 0 < halfway["processed"] < halfway["total"]
        done = await shop.run(erasure)
        assert done["state"] == "completed"
        assert {place for _, place in await shop.places(MOBILE)} == set()

    async def test_two_workers_take_turns(self, shop):
        who = await shop.known()
        await shop.relayed()
        await shop.call("PATCH", "/privacy-settings", {"erasure_waiting_days": 0})
        erasure = await shop.ask(who)
        await asyncio.gather(*(shop.run(erasure) for _ in range(3)))
        assert {place for _, place in await shop.places(MOBILE)} == set()
        told = await shop.owner.fetchval(
            "SELECT count(*) FROM audit_log WHERE operation = 'customer.erased' AND subject_id = $1", UUID(who)
        )
        assert told == 1

    async def test_the_sweep_takes_what_was_under_way(self, shop):
        who = await shop.known()
        done = await shop.at_once(who)
        # Whoever had looked before the customer was hidden stores afterwards.
        await shop.owner.execute(
            "INSERT INTO interactions (tenant_id, id, customer_id, channel, direction, body, occurred_at) "
            "VALUES ($1, $2, $3, 'call', 'inbound', 'MARK<late>', now())",
            *(shop.tenant.id, uuid4(), UUID(who)),
        )
        tomorrow = datetime.now(UTC) + timedelta(hours=26)
        assert (shop.tenant.id, UUID(done["id"]), True) in await due(shop.owner, tomorrow)
        swept = await shop.run(done, sweep=True)
        assert swept["swept_at"] is not None
        assert "late" not in {place for _, place in await shop.places()}
        assert UUID(done["id"]) not in {each[1] for each in await due(shop.owner, tomorrow)}

    async def test_the_schedule_takes_up_what_is_due(self, shop):
        erasure = await shop.ask(await shop.customer())
        count = (
            "SELECT count(*) FROM pgqueuer WHERE entrypoint = $1 AND execute_after <= now() "
            f"AND encode(payload, 'escape') LIKE '%{erasure['id']}%'"
        )
        await jobs.take_up(shop.database)
        assert await shop.owner.fetchval(count, ERASE_JOB) == 0
        later = Database(shop.database.settings, FixedClock(datetime.now(UTC) + timedelta(days=8)))
        later._pools = shop.database._pools
        await jobs.take_up(later)
        assert await shop.owner.fetchval(count, ERASE_JOB) == 1
        await runner.ErasureRun(later, shop.tenant.id, UUID(erasure["id"])).run()
        assert (await shop.call("GET", f"/erasures/{erasure['id']}"))["state"] == "completed"

    async def test_a_fault_is_told_and_tried_again(self, shop, monkeypatch):
        await shop.call("PATCH", "/privacy-settings", {"erasure_waiting_days": 0})
        erasure = await shop.ask(await shop.customer())
        payload = {"tenant_id": str(shop.tenant.id), "erasure_id": erasure["id"]}
        await jobs.give_up_erasure(shop.database, payload, "the disk is full")
        failed = await shop.call("GET", f"/erasures/{erasure['id']}")
        assert (failed["state"], failed["error"]) == ("failed", "the disk is full")
        done = await shop.run(erasure)
        assert (done["state"], done["error"]) == ("completed", None)

    async def test_the_application_alone_cannot_change_the_audit_log(self, shop):
        await shop.customer()
        for statement in ("UPDATE audit_log SET after = NULL", "DELETE FROM audit_log"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with shop.database.write(Actor.system(shop.tenant.id)) as unit:
                    await unit.connection.execute(statement)

    async def test_erasure_reaches_its_own_tenant_only(self, shop, other_tenant, app):
        async with client_of(app, other_tenant.key) as stranger:
            assert (await stranger.post("/v1/customers", json={"name": "韩梅梅"})).status_code == 201
        async with shop.database.write(shop.tenant.actor) as unit:
            await unit.connection.execute("SET LOCAL ROLE crm_system")
            status = await unit.connection.execute(
                "UPDATE audit_log SET after = NULL WHERE tenant_id = $1", other_tenant.id
            )
            assert status == "UPDATE 0"
            for statement in ("UPDATE audit_log SET operation = 'x'", "DELETE FROM audit_log"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with unit.savepoint():
                        await unit.connection.execute(statement)
