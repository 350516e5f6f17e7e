"""Tiers over the API: reached at once, kept for their term, told of once, and the same whoever works them out."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from crm_api.core.messages import Message
from crm_api.segments.jobs import evaluate, keep
from crm_api.tiers.following import Following
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
