"""Tiers over the API: reached at once, kept for their term, told of once, and the same whoever works them out."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from crm_api.loyalty.service import LoyaltyService, Source
from crm_api.segments.jobs import evaluate, keep
from crm_api.tiers import jobs, replays
from crm_api.tiers.following import Following
from crm_api.tiers.repository import SchemeRepository
from tests.support.api import make_tenant
from tests.tiers.shop import GOLD, RULES, SILVER, START, tier

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def test_reached_at_once_shown_with_what_is_missing_and_told_once(shop):
    await shop.rules(**RULES)
    ann = await shop.customer()
    await shop.order(ann, 30_000)
    await shop.hear(times=2)
    seen = await shop.progress(ann)
    assert (seen["level"], seen["code"], seen["value"], seen["multiplier"]) == (1, "silver", 30_000, 1.0)
    assert seen["next"] == {
        "level": 2,
        "code": "gold",
        "name": {"en": "Gold", "zh": "gold卡"},
        "threshold": 50_000,
        "missing": 20_000,
        "share": 0.6,
    }
    # Good through 10 January of the year after, by the clocks of Shanghai.
    assert seen["until"] == "2027-01-10T16:00:00Z"
    assert seen["will_fall"] == {"at": "2027-01-10T16:00:00Z", "to_level": 0, "to_code": None}
    assert await shop.stored(ann) == "silver"
    await shop.order(ann, 20_000)
    await shop.hear()
    assert (await shop.progress(ann))["next"] is None
    assert await shop.log(ann) == [(None, "silver", "activity"), ("silver", "gold", "activity")]
    told = [(kind, each["from"], each["to"]) for kind, each in await shop.told(ann)]
    assert told == [
        ("tier.entered", None, "silver"),
        ("tier.left", "silver", "gold"),
        ("tier.entered", "silver", "gold"),
    ]


async def test_what_is_refunded_never_counted(shop):
    await shop.rules(**RULES)
    ann = await shop.customer()
    order = await shop.order(ann, 60_000)
    await shop.hear()
    assert await shop.stored(ann) == "gold"
    await shop.order(ann, 60_000, refunded=45_000, key=order, at=START)
    await shop.hear()
    assert await shop.stored(ann) == "silver"
    assert await shop.log(ann) == [(None, "gold", "activity"), ("gold", "silver", "activity")]
    history = (await shop.client.get(f"/v1/loyalty/accounts/{ann}/tier/history")).json()
    assert [(each["from_code"], each["to_code"], each["at"]) for each in history["steps"]] == [
        (None, "silver", "2026-01-10T04:00:00Z")
    ]


async def test_a_fall_is_told_ahead_once_and_comes_when_it_was_said(shop):
    await shop.rules(**{**RULES, "at_expiry": "one_down", "grace_days": 10})
    ann = await shop.customer()
    await shop.order(ann, 50_000)
    await shop.hear()
    # The term ends with 10 January 2027, the grace ten days later; told 30 days before the fall.
    await shop.wait(days=344)
    assert await shop.told(ann, "tier.will_downgrade") == []
    await shop.wait(days=2)
    for _ in range(3):
        await shop.wait(days=1)
    [(_, notice)] = await shop.told(ann, "tier.will_downgrade")
    assert (notice["tier"], notice["to"], notice["at"]) == ("gold", "silver", "2027-01-20T16:00:00+00:00")
    await shop.wait(days=18)
    seen = await shop.progress(ann)
    assert (seen["code"], seen["grace_until"]) == ("gold", "2027-01-20T16:00:00Z")
    await shop.wait(days=10)
    assert await shop.log(ann) == [(None, "gold", "activity"), ("gold", "silver", "time")]
    # Silver lasts another year, and its own fall is told of again.
    await shop.wait(days=360)
    assert [each["to"] for _, each in await shop.told(ann, "tier.will_downgrade")] == ["silver", None]
    await shop.wait(days=30)
    assert await shop.stored(ann) is None


async def test_given_by_hand_until_a_day(shop):
    await shop.rules(**RULES)
    ann = await shop.customer()
    path = f"/v1/loyalty/accounts/{ann}/tier/overrides"
    end = (START + timedelta(days=20)).isoformat()
    given = await shop.client.post(path, json={"tier": "gold", "ends_at": end, "reason": "sorry"})
    assert given.status_code == 201, given.text
    seen = await shop.progress(ann)
    assert (seen["code"], seen["earned_level"], seen["override_id"]) == ("gold", 0, given.json()["id"])
    assert seen["next"] is None
    assert seen["will_fall"]["at"] == seen["until"] == "2026-01-30T04:00:00Z"
    # Told at once: the fall is nearer than the notice.
    assert [kind for kind, _ in await shop.told(ann)] == ["tier.will_downgrade", "tier.entered"]
    await shop.order(ann, 10_000)
    await shop.hear()
    assert await shop.stored(ann) == "gold"
    await shop.wait(days=20)
    assert await shop.log(ann) == [(None, "gold", "override"), ("gold", "silver", "override")]
    again = await shop.client.post(path, json={"tier": "gold", "mode": "exactly", "ends_at": "2027-01-01T00:00:00Z"})
    ended = await shop.client.post(f"/v1/loyalty/tiers/overrides/{again.json()['id']}/end")
    assert (ended.status_code, ended.json()["ends_at"]) == (200, "2026-01-30T04:00:00+00:00")
    assert await shop.stored(ann) == "silver"
    wrong = [
        {"tier": "jade", "ends_at": end},
        {"tier": "gold", "ends_at": START.isoformat()},
        {"tier": "gold", "starts_at": START.isoformat(), "ends_at": "2027-01-01T00:00:00Z"},
    ]
    answers = [(await shop.client.post(path, json=each)).json() for each in wrong]
    assert [each["errors"][0]["code"] for each in answers] == ["unknown_tier", "wrong_order", "in_the_past"]


async def test_new_rules_from_now_or_from_the_start(shop):
    await shop.rules(**RULES)
    ann, bob = [await shop.customer() for _ in range(2)]
    await shop.order(ann, 50_000)
    await shop.order(bob, 40_000)
    await shop.hear()
    await shop.wait(days=1)
    # Dearer for new ones; who is gold stays so.
    done = await shop.rules("from_now", tiers=[SILVER, tier("gold", 80_000)])
    assert (done["state"], done["total"], done["processed"], done["moved"]) == ("completed", 2, 2, 0)
    assert (await shop.stored(ann), await shop.stored(bob)) == ("gold", "silver")
    done = await shop.rules("from_now", tiers=[tier("bronze", 5_000), SILVER, tier("gold", 40_000)])
    assert (done["moved"], await shop.stored(bob)) == (2, "gold")
    assert (await shop.log(bob))[-1] == ("silver", "gold", "rules")
    done = await shop.rules(tiers=[SILVER, tier("gold", 80_000)])
    assert (done["moved"], await shop.stored(ann), await shop.stored(bob)) == (2, "silver", "silver")
    # Asked for again, a replay finds nothing.
    await shop.client.post("/v1/loyalty/tiers/replays")
    assert (await shop.replayed())["moved"] == 0


async def test_segments_react_and_rules_know_the_tier(shop):
    await shop.rules(**RULES)
    ann, bob = [await shop.customer() for _ in range(2)]
    rule = "tier = gold and tier_level >= 2"
    made = (await shop.client.post("/v1/segments", json={"name": "gold", "rule": rule})).json()
    await evaluate(shop.database, {"tenant_id": str(shop.tenant.id), "segment_id": made["id"]})
    await shop.order(ann, 50_000)
    await shop.order(bob, 10_000)
    await shop.hear()
    sql = "SELECT id, type, subject_id, payload, occurred_at FROM outbox WHERE tenant_id = $1 AND type LIKE 'tier.%'"
    news = [Message(r["id"], shop.tenant.id, *list(r)[1:]) for r in await shop.rows(sql, shop.tenant.id)]
    await shop.run(lambda unit: keep(unit, news))
    members = (await shop.client.get(f"/v1/segments/{made['id']}/members")).json()["data"]
    assert [each["id"] for each in members] == [ann]
    low = (await shop.client.post("/v1/customers/search", json={"rule": "tier_level < 2", "fields": ["id"]})).json()
    assert low["data"] == [{"id": bob}]


async def test_looked_at_by_many_at_once(shop):
    """Eight workers hear the same: each change is logged and told once."""
    await shop.rules(**RULES)
    customers = [await shop.customer() for _ in range(4)]
    for each in customers:
        await shop.order(each, 50_000)
    ids = [UUID(each) for each in customers]
    orders = [ids, ids[::-1], ids[2:] + ids[:2], ids[1:]] * 2
    await asyncio.gather(*(shop.run(lambda unit, some=some: Following(unit).look(some, "activity")) for some in orders))
    for each in customers:
        assert await shop.log(each) == [(None, "gold", "activity")]
        assert [kind for kind, _ in await shop.told(each)] == ["tier.entered"]


async def test_a_merge_adds_what_both_did_and_an_undo_parts_it(shop):
    await shop.rules(**RULES)
    ann, eva = [await shop.customer() for _ in range(2)]
    await shop.order(ann, 30_000)
    await shop.order(eva, 30_000)
    await shop.hear()
    merge = await shop.client.post("/v1/customers/merge", json={"winner_id": ann, "loser_ids": [eva]})
    assert merge.status_code == 201, merge.text
    await shop.hear()
    assert (await shop.stored(ann), await shop.stored(eva)) == ("gold", None)
    await shop.client.post(f"/v1/merges/{merge.json()['id']}/undo")
    await shop.hear()
    assert (await shop.stored(ann), await shop.stored(eva)) == ("silver", "silver")
    assert (await shop.log(ann))[1:] == [("silver", "gold", "merge"), ("gold", "silver", "merge")]


async def test_rules_that_cannot_be_say_why(shop):
    [scheme] = (await shop.client.get("/v1/loyalty/tiers/schemes")).json()["data"]
    path = f"/v1/loyalty/tiers/schemes/{scheme['id']}"

    async def errors(**rules):
        answer = await shop.client.patch(path, json={"rules": rules}, headers={"accept-language": "zh"})
        assert answer.status_code == 422, answer.text
        return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]

    assert await errors(currency="CNY") == [("/rules/currency", "not_used")]
    assert await errors(window="calendar", window_months=5) == [("/rules/window_months", "out_of_range")]
    assert await errors(tiers=[GOLD, SILVER, GOLD]) == [
        ("/rules/tiers/2/code", "duplicate"),
        ("/rules/tiers/1/threshold", "not_rising"),
    ]
    again = await shop.client.post("/v1/loyalty/tiers/schemes", json={"name": "x", "rules": RULES})
    assert (again.status_code, again.json()["code"]) == (409, "scheme_exists")


async def test_points_visits_and_orders_count_too(shop):
    ann = await shop.customer()
    sql = """INSERT INTO interactions (tenant_id, id, customer_id, channel, direction, occurred_at)
        VALUES ($1, $2, $3, $4, $5, $6) RETURNING id"""
    for channel, direction, days in (("in_store", "inbound", 0), ("in_store", "inbound", 3), ("call", "inbound", 4)):
        at = START - timedelta(days=days)
        await shop.rows(sql, shop.tenant.id, new_id(), UUID(ann), channel, direction, at)
    await shop.order(ann, 100)  # on the day of a visit
    await shop.order(ann, 100, at=START - timedelta(days=9))
    await shop.order(ann, 100, refunded=100)
    metrics = {"tiers": [tier("silver", 2), tier("gold", 3)], "grace_days": 0}
    await shop.rules(**metrics, metric="visits", window="lifetime")
    assert (await shop.progress(ann))["value"] == 3
    await shop.rules(**metrics, metric="paid_orders", window="calendar", window_months=1)
    assert (await shop.progress(ann))["value"] == 2
    await shop.rules(**metrics, metric="qualifying_points", window="anniversary")

    async def grant(unit):
        service, source = LoyaltyService(unit), Source("earning_rule")
        given = await service.grant(UUID(ann), 5, key="k", source=source, kind="qualifying")
        await service.grant(UUID(ann), 100, key="other", source=source)
        return given

    given = await shop.run(grant)
    await shop.hear()
    assert ((await shop.progress(ann))["value"], await shop.stored(ann)) == (5, "gold")
    await shop.run(lambda unit: LoyaltyService(unit).take_back(given, 3, key="b"))
    await shop.hear()
    assert ((await shop.progress(ann))["value"], await shop.stored(ann)) == (2, "silver")


async def test_a_replay_that_is_killed_goes_on_where_it_stood(shop, monkeypatch):
    """Twelve customers, five to a chunk: each change is logged and told once, whoever finishes the work."""
    customers = [await shop.customer() for _ in range(12)]
    for each in customers:
        await shop.order(each, 10_000)
    monkeypatch.setattr(replays, "BATCH", 5)
    step, steps = replays.ReplayService.step, []

    async def dies(self, replay_id):
        steps.append(await step(self, replay_id))
        if len(steps) == 2:
            raise RuntimeError("killed before the commit")
        return steps[-1]

    with monkeypatch.context() as patch:
        patch.setattr(replays.ReplayService, "step", dies)
        with pytest.raises(RuntimeError):
            await shop.rules(**RULES)
    halfway = (await shop.client.get("/v1/loyalty/tiers/replays")).json()["data"][0]
    assert (halfway["state"], halfway["processed"], halfway["moved"]) == ("running", 5, 5)
    payload = {"tenant_id": str(shop.tenant.id), "replay_id": halfway["id"]}
    await asyncio.gather(jobs.replay(shop.database, payload), jobs.replay(shop.database, payload))
    done = (await shop.client.get(f"/v1/loyalty/tiers/replays/{halfway['id']}")).json()
    assert (done["state"], done["processed"], done["moved"]) == ("completed", 12, 12)
    for each in customers:
        assert await shop.log(each) == [(None, "silver", "rules")]
        assert len(await shop.told(each)) == 1
    await shop.client.post("/v1/loyalty/tiers/replays")
    newest = (await shop.client.get("/v1/loyalty/tiers/replays")).json()["data"][0]
    await jobs.give_up_replay(shop.database, {**payload, "replay_id": newest["id"]}, "Given up: internal error")
    failed = (await shop.client.get(f"/v1/loyalty/tiers/replays/{newest['id']}")).json()
    assert (failed["state"], failed["error"]) == ("failed", "Given up: internal error")


async def test_the_same_over_graphql(shop):
    async def ask(query, **variables):
        answer = (await shop.client.post("/graphql", json={"query": query, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]

    ann = await shop.customer()
    found = await ask("{ tierSchemes { nodes { id rules { metric tiers { code name { zh } benefits { code } } } } } }")
    [scheme] = found["tierSchemes"]["nodes"]
    assert [each["code"] for each in scheme["rules"]["tiers"]] == ["silver", "gold", "diamond"]
    change = """mutation($input: TierSchemeUpdateInput!) {
        tierSchemeUpdate(input: $input) { tierScheme { version rules { graceDays } } userErrors { code } } }"""
    changed = await ask(change, input={"id": scheme["id"], "rules": {"graceDays": 3}, "apply": "FROM_NOW"})
    assert changed["tierSchemeUpdate"] == {"tierScheme": {"version": 2, "rules": {"graceDays": 3}}, "userErrors": []}
    customer = (await ask("{ customers { nodes { id } } }"))["customers"]["nodes"][0]["id"]
    give = """mutation($input: TierGiveInput!) {
        tierGive(input: $input) { tierOverride { id tier } userErrors { code } } }"""
    asked = {"id": customer, "tier": "gold", "endsAt": "2027-01-01T00:00:00Z"}
    given = await ask(give, input=asked)
    assert given["tierGive"]["tierOverride"]["tier"] == "gold"
    seen = await ask(
        "query($id: ID!) { node(id: $id) { ... on Customer { tier { code level name { zh } multiplier } "
        "tierTransitions { nodes { toCode cause } } } } tierProgress(input: {id: $id}) { code earnedLevel } "
        "tierHistory(input: {id: $id}) { steps { toCode cause } } }",
        id=customer,
    )
    assert seen["node"]["tier"] == {"code": "gold", "level": 2, "name": {"zh": "金卡"}, "multiplier": 1.25}
    assert seen["node"]["tierTransitions"]["nodes"] == [{"toCode": "gold", "cause": "OVERRIDE"}]
    assert seen["tierProgress"] == {"code": "gold", "earnedLevel": 0}
    assert seen["tierHistory"]["steps"] == [{"toCode": "gold", "cause": "OVERRIDE"}]
    end = "mutation($input: TierOverrideEndInput!) { tierOverrideEnd(input: $input) { userErrors { code } } }"
    await ask(end, input={"id": given["tierGive"]["tierOverride"]["id"]})
    assert await shop.stored(ann) is None


@pytest.mark.parametrize("name", ["retail", "baby-store", "salon", "seafood", "taobao"])
async def test_presets_have_tiers(settings, database, name):
    tenant = await make_tenant(settings, name)
    async with database.read(tenant.actor) as unit:
        [scheme] = await SchemeRepository(unit).schemes()
    assert scheme.main
    assert [each.level for each in scheme.rules.tiers] == [1, 2, 3]
    assert all(each.benefits and each.name["zh"] for each in scheme.rules.tiers)


async def test_another_default_programme_and_its_tiers(shop):
    """Rules and stored tiers mean the default programme's; who had one by the other has it there still."""
    await shop.rules(**RULES)
    ann = await shop.customer()
    await shop.order(ann, 50_000)
    await shop.hear()
    made = (await shop.client.post("/v1/loyalty/programmes", json={"name": "club"})).json()
    body = {"name": "club", "programme_id": made["id"], "rules": {**RULES, "tiers": [tier("member", 0)]}}
    assert (await shop.client.post("/v1/loyalty/tiers/schemes", json=body)).status_code == 201
    await shop.replayed()
    assert (await shop.stored(ann), (await shop.progress(ann))["code"]) == ("gold", "gold")
    await shop.client.patch(f"/v1/loyalty/programmes/{made['id']}", json={"is_default": True})
    await shop.hear()
    assert (await shop.stored(ann), (await shop.progress(ann))["code"]) == ("member", "member")
    found = await shop.client.post("/v1/customers/search", json={"rule": "tier = member", "fields": ["id"]})
    assert found.json()["data"] == [{"id": ann}]
    other = {"programme_id": shop.scheme["programme_id"]}
    assert (await shop.client.get(f"/v1/loyalty/accounts/{ann}/tier", params=other)).json()["code"] == "gold"
