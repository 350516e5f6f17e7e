"""Merging over REST: what it says before, what it does, and that old ids answer."""

import uuid

import pytest

from crm_api import admin
from crm_api.web import aliases
from tests.merges import books
from tests.merges.shop import Shop
from tests.support.api import client_of

pytestmark = pytest.mark.asyncio


@pytest.fixture
def shop(client):
    return Shop(client)


class TestPreview:
    async def test_every_field_and_every_count(self, shop):
        winner = await shop.customer("王小明", tags=["vip"], city=None, notes="电话客户")
        loser = await shop.customer("小明", tags=["vip", "海鲜"], city="上海", notes="淘宝买家")
        await shop.order(loser, "o1")

        preview = await shop.preview(winner, loser)

        fields = {each["field"]: each for each in preview["fields"]}
        assert fields["city"]["result"] == "上海"
        assert (fields["city"]["reason"], fields["city"]["from_id"]) == ("filled", loser)
        assert (fields["notes"]["reason"], fields["notes"]["conflict"]) == ("winner", True)
        assert [each["value"] for each in fields["notes"]["values"]] == ["电话客户", "淘宝买家"]
        assert preview["conflicts"] == ["name", "notes"]
        tables = {each["table"]: (each["moves"], each["unites"], each["stays"]) for each in preview["tables"]}
        assert tables["customer_tags"] == (1, 1, 0)
        assert tables["orders"] == (1, 0, 0)
        assert tables["customer_identities"] == (1, 0, 0)
        assert tables["customer_purchase_facts"] == (0, 0, 1)

    async def test_nothing_changes(self, shop, database, tenant):
        winner, loser = await shop.customer("王小明"), await shop.customer("小明", city="上海", tags=["vip"])
        await shop.order(loser, "o1")
        await shop.give(loser, 30)
        tables = (
            "SELECT count(*) FROM audit_log UNION ALL SELECT count(*) FROM outbox UNION ALL SELECT count(*) FROM merges"
        )
        before = await books.digest(database, tenant.actor)
        async with database.read(tenant.actor) as unit:
            counts = await unit.connection.fetch(tables)
        await shop.preview(winner, loser, {"name": loser})
        assert await books.digest(database, tenant.actor) == before
        async with database.read(tenant.actor) as unit:
            assert await unit.connection.fetch(tables) == counts

    async def test_a_chosen_side(self, shop):
        winner, loser = await shop.customer("王小明", city="杭州"), await shop.customer("王小明", city="上海")
        preview = await shop.preview(winner, loser, {"city": loser})
        (city,) = [each for each in preview["fields"] if each["field"] == "city"]
        assert (city["result"], city["reason"], city["conflict"]) == ("上海", "chosen", True)


class TestMerge:
    async def test_everything_becomes_the_winners(self, shop):
        winner = await shop.customer("王小明", tags=["vip"], mobile="13812345678")
        loser = await shop.customer("小明", tags=["海鲜", "vip"], city="上海", mobile="13812345679")
        order = await shop.order(loser, "o1")

        merge = await shop.merge(winner, loser)

        shown = await shop.get(f"/customers/{winner}")
        assert (shown["name"], shown["city"], shown["tags"]) == ("王小明", "上海", ["vip", "海鲜"])
        assert {each["value"] for each in shown["contact_points"]} == {"+8613812345678", "+8613812345679"}
        assert [each["value"] for each in shown["contact_points"] if each["is_primary"]] == ["+8613812345678"]
        assert shown["purchases"]["order_count"] == 1
        assert (await shop.get(f"/orders/{order}"))["customer_id"] == winner
        assert merge["fields"] == [{"field": "city", "before": None, "after": "上海"}]
        listed = await shop.get("/customers")
        assert [each["id"] for each in listed["data"]] == [winner]
        found = await shop.get("/customers?q=13812345679")
        assert [each["id"] for each in found["data"]] == [winner]

    async def test_it_is_told(self, shop):
        winner, loser = await shop.customer("a"), await shop.customer("b")
        merge = await shop.merge(winner, loser)
        await shop.undo(merge)
        for side in (winner, loser):
            entries = (await shop.get(f"/customers/{side}/timeline"))["data"]
            kinds = [each["kind"] for each in entries]
            assert {"merge", "unmerge"} <= set(kinds)
            other, role = ("b", "winner") if side == winner else ("a", "loser")
            told = {(each["title"], each["data"]["role"]) for each in entries if each["kind"] in {"merge", "unmerge"}}
            assert told == {(other, role)}
            audit = (await shop.get(f"/audit-log?subject_id={side}"))["data"]
            assert "customer.unmerged" in [each["operation"] for each in audit]

    async def test_who_cannot_be_merged(self, shop):
        winner, loser, third = [await shop.customer(name) for name in "abc"]
        company = await shop.customer("公司", kind="company")
        await shop.merge(winner, loser)
        for body, status, code in [
            ({"winner_id": winner, "loser_ids": [winner]}, 422, "invalid"),
            ({"winner_id": winner, "loser_ids": [loser]}, 409, "already_merged"),
            ({"winner_id": loser, "loser_ids": [winner]}, 422, "invalid"),
            ({"winner_id": winner, "loser_ids": [company]}, 409, "kinds_differ"),
            ({"winner_id": winner, "loser_ids": [str(uuid.uuid4())]}, 404, "not_found"),
            ({"winner_id": winner, "loser_ids": [third], "field_choices": {"shoe": third}}, 422, "invalid"),
            ({"winner_id": winner, "loser_ids": [third], "field_choices": {"name": company}}, 422, "invalid"),
            ({"winner_id": winner, "loser_ids": []}, 422, "invalid"),
            ({"winner_id": winner, "loser_ids": [third, third]}, 422, "invalid"),
        ]:
            for dry_run in (True, False):
                answer = await shop.client.post("/v1/customers/merge", json={**body, "dry_run": dry_run})
                assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        refused = await shop.client.post("/v1/customers/merge", json={"winner_id": third, "loser_ids": [loser]})
        assert refused.json()["merged_into_id"] == winner

    async def test_a_winner_by_its_old_id(self, shop):
        first, second, third = [await shop.customer(name) for name in "abc"]
        await shop.merge(first, second)
        merge = await shop.merge(second, third)
        assert merge["winner_id"] == first


class TestOldIds:
    async def test_reading(self, shop):
        winner, loser = await shop.customer("王小明"), await shop.customer("小明")
        order = await shop.order(loser, "o1")
        await shop.merge(winner, loser)

        answer = await shop.client.get(f"/v1/customers/{loser}")
        assert (answer.status_code, answer.json()["id"]) == (200, winner)
        assert answer.headers["content-location"] == f"/v1/customers/{winner}"
        assert answer.headers["etag"] == (await shop.client.get(f"/v1/customers/{winner}")).headers["etag"]
        answer = await shop.client.get(f"/v1/customers/{loser}?fields=id,name")
        assert answer.headers["content-location"] == f"/v1/customers/{winner}?fields=id,name"
        assert "content-location" not in (await shop.client.get(f"/v1/customers/{winner}")).headers

        assert [each["id"] for each in (await shop.get(f"/orders?customer_id={loser}"))["data"]] == [order]
        await shop.post("/interactions", customer_id=winner, channel="call", direction="inbound")
        for path in (f"/customers/{loser}/complaints", f"/interactions?customer_id={loser}"):
            assert (await shop.client.get(f"/v1{path}")).status_code == 200, path
        assert len((await shop.get(f"/interactions?customer_id={loser}"))["data"]) == 1
        account = await shop.client.get(f"/v1/loyalty/accounts/{loser}")
        assert account.json()["customer_id"] == winner
        assert account.headers["content-location"] == f"/v1/loyalty/accounts/{winner}"
        assert await shop.get(f"/customers/{loser}/timeline") == await shop.get(f"/customers/{winner}/timeline")

    async def test_writing(self, shop):
        winner, loser = await shop.customer("王小明"), await shop.customer("小明")
        await shop.merge(winner, loser)

        etag = (await shop.client.get(f"/v1/customers/{loser}")).headers["etag"]
        changed = await shop.client.patch(
            f"/v1/customers/{loser}", json={"city": "杭州"}, headers={"if-match": etag, "idempotency-key": "k1"}
        )
        assert (changed.status_code, changed.json()["id"], changed.json()["city"]) == (200, winner, "杭州")
        again = await shop.client.patch(
            f"/v1/customers/{loser}", json={"city": "杭州"}, headers={"if-match": etag, "idempotency-key": "k1"}
        )
        assert (again.status_code, again.content) == (200, changed.content)
        assert again.headers["idempotency-replayed"] == "true"

        body = {"customer_id": loser, "status": "paid", "total": {"amount": 5_00, "currency": "CNY"}}
        order = await shop.client.put("/v1/orders/shop/o9", json={**body, "placed_at": "2026-01-05T03:00:00Z"})
        assert order.json()["customer_id"] == winner, order.text
        talk = await shop.post("/interactions", customer_id=loser, channel="call", direction="inbound")
        assert talk["customer_id"] == winner
        case = await shop.post(
            "/complaints", customer_id=loser, kind="complaint", channel="call", severity="S3", subject="坏了"
        )
        assert case["customer_id"] == winner
        given = await shop.post(f"/loyalty/accounts/{loser}/adjustments", points=50, reason="生日")
        assert given["account"] == {**given["account"], "customer_id": winner, "available": 50}
        spent = await shop.post(f"/loyalty/accounts/{loser}/redemptions", points=20, reason="杯子")
        assert spent["account"]["available"] == 30
        tagged = await shop.client.put(f"/v1/customers/{loser}/tags/vip")
        assert (tagged.status_code, tagged.json()["id"]) == (200, winner)

    async def test_platforms_and_imports(self, shop):
        winner, loser = await shop.customer("王小明"), await shop.customer("小明")
        await shop.order(loser, "o1")
        await shop.merge(winner, loser)
        later = await shop.order_of_buyer(f"buyer-{loser}", "o2")
        assert later["customer_id"] == winner

    @pytest.mark.parametrize("mode", ["all_or_none", "per_item"])
    async def test_batches(self, shop, mode):
        winner, loser = await shop.customer("王小明"), await shop.customer("小明")
        await shop.merge(winner, loser)
        items = [{"customer_id": each, "channel": "call", "direction": "inbound"} for each in (loser, winner)]
        wrong = [{**items[0], "customer_id": str(uuid.uuid4())}] if mode == "per_item" else []
        answer = await shop.client.post("/v1/interactions/batch", json={"mode": mode, "items": [*items, *wrong]})
        assert answer.json()["succeeded"] == 2, answer.text
        assert len((await shop.get(f"/interactions?customer_id={winner}"))["data"]) == 2

    async def test_a_stranger_stays_unknown(self, shop, app, other_tenant):
        winner, loser = await shop.customer("王小明"), await shop.customer("小明")
        await shop.merge(winner, loser)
        async with client_of(app, other_tenant.key) as neighbour:
            assert (await neighbour.get(f"/v1/customers/{loser}")).status_code == 404
            assert (await neighbour.get(f"/v1/orders?customer_id={loser}")).json()["data"] == []

    async def test_one_query_for_the_living(self, shop, monkeypatch):
        asked = []

        async def counted(database, actor, ids):
            asked.append(ids)
            return {}

        monkeypatch.setattr(aliases, "look_up", counted)
        customer = await shop.customer("王小明")
        await shop.get(f"/customers/{customer}")
        await shop.get(f"/orders?customer_id={customer}")
        assert asked == []
        assert (await shop.client.get(f"/v1/customers/{uuid.uuid4()}")).status_code == 404
        assert len(asked) == 1


class TestUndo:
    async def test_both_sides_are_as_they_were(self, shop):
        winner = await shop.customer("王小明", tags=["vip"], mobile="13812345678")
        loser = await shop.customer("小明", tags=["海鲜", "vip"], city="上海", mobile="13812345679")
        order = await shop.order(loser, "o1")
        before = [await shop.shown(each) for each in (winner, loser)]

        merge = await shop.merge(winner, loser)
        undone = await shop.undo(merge)

        assert [await shop.shown(each) for each in (winner, loser)] == before
        assert (await shop.get(f"/orders/{order}"))["customer_id"] == loser
        assert undone["state"] == "undone"
        assert undone["undo"]["fields_kept"] == []
        assert {each["table"]: each["returned"] for each in undone["undo"]["tables"]}["orders"] == 1
        assert await shop.undo(merge) == undone

    async def test_values_take_what_reading_the_profile_takes(self, shop, app, settings, tenant):
        winner, loser = await shop.customer("a"), await shop.customer("b", city="上海")
        merge = await shop.undo(await shop.merge(winner, loser))
        key = (await admin.create_key(settings, tenant.id, frozenset({"merges:read"}))).api_key
        async with client_of(app, key) as reviewer:
            seen = (await reviewer.get(f"/v1/merges/{merge['id']}")).json()
            asked = await reviewer.post("/graphql", json={"query": "{ merges { nodes { fields { after } } } }"})
        assert seen == {name: value for name, value in merge.items() if name not in {"fields", "undo"}}
        assert asked.json()["errors"][0]["extensions"]["required_scope"] == "customers:read"

    async def test_fields_changed_since_are_kept(self, shop):
        winner, loser = await shop.customer("a"), await shop.customer("b", city="上海", occupation="教师")
        merge = await shop.merge(winner, loser)
        await shop.client.patch(f"/v1/customers/{winner}", json={"city": "苏州"})
        undone = await shop.undo(merge)
        shown = await shop.get(f"/customers/{winner}")
        assert (shown["city"], shown["occupation"]) == ("苏州", None)
        assert undone["undo"]["fields_kept"] == [{"field": "city", "before_merge": None, "now": "苏州"}]

    async def test_what_came_after(self, shop):
        """Rows made since stay with the winner; those about a row that goes back go along."""
        winner, loser = await shop.customer("a"), await shop.customer("b", tags=["gone"])
        order = await shop.order(loser, "o1")
        merge = await shop.merge(winner, loser)
        fresh = await shop.order(winner, "o2")
        about = {"channel": "call", "direction": "inbound"}
        talk = await shop.post("/interactions", customer_id=winner, **about)
        about_order = await shop.post("/interactions", customer_id=winner, order_id=order, **about)
        await shop.client.post(f"/v1/orders/{order}/refunds", json={"amount": {"amount": 1, "currency": "CNY"}})
        await shop.client.delete(f"/v1/customers/{winner}/tags/gone")

        undone = await shop.undo(merge)

        owner = {path: (await shop.get(path))["customer_id"] for path in (f"/orders/{order}", f"/orders/{fresh}")}
        assert owner == {f"/orders/{order}": loser, f"/orders/{fresh}": winner}
        assert (await shop.get(f"/interactions/{talk['id']}"))["customer_id"] == winner
        assert (await shop.get(f"/interactions/{about_order['id']}"))["customer_id"] == loser
        tables = {each["table"]: each for each in undone["undo"]["tables"]}
        assert tables["interactions"]["followed"] == 1
        assert tables["customer_tags"]["deleted"] == 1

    async def test_orders_that_came_by_the_losers_identity(self, shop):
        """An order does not say by which identity it came: it stays until its platform speaks of it again."""
        winner, loser = await shop.customer("a"), await shop.customer("b")
        merge = await shop.merge(winner, loser)
        order = await shop.order(loser, "o1")
        await shop.undo(merge)
        assert (await shop.get(f"/orders/{order}"))["customer_id"] == winner
        assert await shop.order(loser, "o1", amount=200_00) == order
        assert (await shop.get(f"/orders/{order}"))["customer_id"] == loser

    async def test_out_of_order(self, shop):
        """The first of two merges can be undone alone; the second then is what it would have been without it."""
        winner = await shop.customer("a")
        first = await shop.customer("b", city="上海", tags=["vip"])
        second = await shop.customer("c", city="杭州", tags=["vip"])
        before = {each: await shop.shown(each) for each in (winner, first, second)}
        merge1 = await shop.merge(winner, first)
        merge2 = await shop.merge(winner, second, {"city": second})
        await shop.undo(merge1)
        assert await shop.shown(first) == before[first]
        shown = await shop.get(f"/customers/{winner}")
        assert (shown["city"], shown["tags"]) == ("杭州", ["vip"])
        await shop.undo(merge2)
        assert {each: await shop.shown(each) for each in before} == before

    async def test_a_chain_is_undone_from_its_end(self, shop):
        a, b, d, e = [await shop.customer(name) for name in "abde"]
        first, second, third = await shop.merge(a, b), await shop.merge(d, a), await shop.merge(e, d)
        assert (await shop.get(f"/customers/{b}"))["id"] == e
        refused = await shop.client.post(f"/v1/merges/{first['id']}/undo")
        assert (refused.status_code, refused.json()["code"]) == (409, "undo_order")
        assert refused.json()["undo_first"] == [third["id"], second["id"]]
        await shop.undo(third)
        await shop.undo(second)
        assert (await shop.get(f"/customers/{b}"))["id"] == a
        await shop.undo(first)
        assert (await shop.get(f"/customers/{b}"))["id"] == b

    async def test_an_erased_side(self, shop, database, tenant):
        """What erasure has blanked (`merge_sides.before`) nobody can go back to."""
        winner, loser = await shop.customer("a"), await shop.customer("b")
        merge = await shop.merge(winner, loser)
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute("UPDATE merge_sides SET before = NULL, changes = NULL")
        refused = await shop.client.post(f"/v1/merges/{merge['id']}/undo")
        assert (refused.status_code, refused.json()["code"]) == (409, "side_erased")
        assert (await shop.get(f"/merges/{merge['id']}"))["fields"] == []

    async def test_there_is_no_such_merge(self, shop):
        assert (await shop.client.post(f"/v1/merges/{uuid.uuid4()}/undo")).status_code == 404

    async def test_lists(self, shop):
        a, b, c = [await shop.customer(name) for name in "abc"]
        first, second = await shop.merge(a, b), await shop.merge(a, c)
        await shop.undo(second)
        assert [each["id"] for each in (await shop.get("/merges"))["data"]] == [second["id"], first["id"]]
        assert [each["id"] for each in (await shop.get("/merges?state=undone"))["data"]] == [second["id"]]
        assert [each["id"] for each in (await shop.get(f"/merges?customer_id={b}"))["data"]] == [first["id"]]


class TestPoints:
    async def test_they_come_along_and_go_back(self, shop):
        winner, loser = await shop.customer("a"), await shop.customer("b")
        await shop.give(winner, 100)
        await shop.give(loser, 30)
        merge = await shop.merge(winner, loser)
        assert await shop.points(winner) == (130, 0)
        await shop.spend(winner, 110)
        undone = await shop.undo(merge)
        left = [await shop.points(each) for each in (winner, loser)]
        assert sum(available for available, _ in left) == 20
        (told,) = undone["undo"]["points"]
        assert told["available"] == left[1][0]

    async def test_keys_keep_their_effect(self, shop):
        winner, loser = await shop.customer("a"), await shop.customer("b")
        await shop.give(loser, 30)
        headers = {"idempotency-key": "spend-1"}
        path, body = f"/v1/loyalty/accounts/{loser}/redemptions", {"points": 10, "reason": "x"}
        first = await shop.client.post(path, json=body, headers=headers)
        await shop.merge(winner, loser)
        again = await shop.client.post(path, json=body, headers=headers)
        assert (again.status_code, again.content) == (201, first.content)
        assert await shop.points(winner) == (20, 0)
