"""Assessments over the API: levels with reasons, one alert for each rise, whatever dies or runs twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from crm_api.churn import jobs, service
from crm_api.churn.repository import MeasuringRepository
from crm_api.churn.rules import DEFAULTS
from crm_api.churn.service import ChurnAssessmentService
from crm_api.classifications.scoring import run_scoring
from crm_api.core.clock import FixedClock
from crm_api.core.messages import Message
from crm_api.db.pool import Database
from tests.churn.shop import assessed, at, told, visits

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

WEEKLY = [*range(0, 70, 7)]
"""Ten visits, the last on day 63."""


async def test_each_rise_is_told_once_and_again_after_a_fall(client, database, tenant):
    ids = await visits(database, tenant, ann=[*range(0, 120, 20), 200, 220], bob=range(0, 280, 7))
    seen = []
    for day in (110, 155, 156, 178, 210, 211, 275):
        await assessed(client, database, tenant, day)
        shown = (await client.get(f"/v1/customers/{ids['ann']}/churn")).json()
        seen.append((shown["level"], shown["silence_days"]))
    # Every 20 days, the last time on day 100: overdue from 30 days (1.5 cycles) on, lost after 100 (5 cycles).
    assert seen == [
        ("none", 10),
        ("watch", 55),
        ("watch", 56),
        ("high", 78),
        ("none", 10),
        ("none", 11),
        ("watch", 55),
    ]
    moves = [("none", "watch"), ("watch", "high"), ("high", "none"), ("none", "watch")]
    changed = await told(database, tenant, "churn.level_changed")
    assert [(key, each["from"], each["to"]) for key, each in changed] == [(ids["ann"], *move) for move in moves]
    alerts = await told(database, tenant, "churn.alert")
    assert [(key, each["to"]) for key, each in alerts] == [
        (ids["ann"], "watch"),
        (ids["ann"], "high"),
        (ids["ann"], "watch"),
    ]
    (reason,) = alerts[1][1]["reasons"]
    assert reason["en"] == "Last purchase 78 days ago; usually comes every 20 days (own median): 3.9 times that"
    assert reason["zh"] == "上次购买距今 78 天；通常每 20 天来一次（本人中位数），已达 3.9 倍"
    log = (await client.get("/v1/churn/transitions", params={"customer_id": ids["ann"]})).json()["data"]
    assert [(each["from_level"], each["to_level"], each["alert"]) for each in reversed(log)] == [
        (*move, move[1] != "none") for move in moves
    ]
    assert log[0]["at"] == at(275).isoformat()
    assert log[0]["reasons"][0]["baseline"] == 20
    page = (await client.get("/v1/churn/customers", params={"level": "watch"})).json()["data"]
    assert [(each["customer_id"], each["level_since"]) for each in page] == [(ids["ann"], at(275).isoformat())]


async def test_every_indicator_with_value_and_baseline(client, database, tenant):
    """The last 60 days before day 360 against the 300 before them."""
    now = datetime.now(UTC)
    customer = (await client.post("/v1/customers", json={"name": "x"})).json()["id"]

    def ago(days):
        return (now - timedelta(days=days)).isoformat()

    for number, days in enumerate(range(5, 385, 20)):
        paid = {"amount": 1000, "currency": "CNY"}
        order = {"customer_id": customer, "status": "completed", "total": paid, "placed_at": ago(days)}
        assert (await client.put(f"/v1/orders/till/{number}", json=order)).status_code == 201
    for days in (*range(61, 360, 20), 30):
        call = {"customer_id": customer, "channel": "call", "direction": "inbound", "occurred_at": ago(days)}
        assert (await client.post("/v1/interactions", json=call)).status_code == 201
    await client.post("/v1/interactions", json={**call, "direction": "outbound", "occurred_at": ago(20)})
    case = {"customer_id": customer, "channel": "call", "subject": "x"}
    assert (await client.post("/v1/complaints", json=case)).status_code == 201

    def event(kind, days, **more):
        return {
            "id": str(uuid4()),
            "type": kind,
            "occurred_at": ago(days),
            "customer": {"customer_id": customer},
            **more,
        }

    events = [event("page_view", days) for days in range(61, 360, 10) for _ in range(3)]
    events += [event("promotion", 3), event("page_view", 50)]
    events += [event("rating", 100, properties={"score": 9, "scale": 10}), event("rating", 90, properties={"score": 5})]
    events += [event("rating", 10, properties={"score": 3}), event("rating", 10, properties={"score": "bad"})]
    answer = (await client.post("/v1/events/batch", json={"events": events})).json()
    assert (answer["accepted"], answer["rejected"]) == (len(events), 0)
    await assessed(client, database, tenant)
    shown = (await client.get(f"/v1/customers/{customer}/churn")).json()
    found = {each["indicator"]: (each["value"], each["baseline"], each["contribution"]) for each in shown["reasons"]}
    assert found == {
        "purchases": (5, 20, 0.0),
        "interactions": (1, 3, 7.9),  # 15 points * (2/3 - 0.3) / 0.7
        "complaints": (1, 0, 10.0),
        "satisfaction": (3, 4.75, 17.5),  # 1.75 of 2 stars
        "browsing": (1, 6, 11.4),
    }
    assert (shown["score"], shown["level"]) == (46.8, "watch")
    assert [each["indicator"] for each in shown["reasons"]][:2] == ["satisfaction", "browsing"]
    query = (
        "query($id: ID!) { node(id: $id) { ... on Customer { churn { level alive reasons { indicator en } } "
        "churnTransitions { nodes { fromLevel toLevel alert } } } } }"
    )
    listed = (await client.post("/graphql", json={"query": "{ customers { nodes { id } } }"})).json()
    node = listed["data"]["customers"]["nodes"][0]["id"]
    told_by_graphql = (await client.post("/graphql", json={"query": query, "variables": {"id": node}})).json()["data"]
    assert told_by_graphql["node"]["churn"]["level"] == "WATCH"
    assert (
        told_by_graphql["node"]["churn"]["reasons"][0]["en"]
        == "Rated 3 of 5 on average in the last 60 days; 4.8 before"
    )
    assert told_by_graphql["node"]["churnTransitions"]["nodes"] == [
        {"fromLevel": "NONE", "toLevel": "WATCH", "alert": True}
    ]
    rule = "churn_level = watch and churn_score between 46 and 47 and probability_alive is missing"
    chosen = (await client.post("/v1/customers/search", json={"rule": rule, "fields": ["id"]})).json()["data"]
    assert chosen == [{"id": customer}]


_COMPLAINT = """
INSERT INTO complaints (tenant_id, id, state, state_changed_at, kind, channel, customer_id, severity, safety, subject,
  reopened, received_at)
VALUES ($1, gen_random_uuid(), 'received', $3, 'complaint', 'call', $2, 'S3', false, 'x', 0, $3)
"""
_PURCHASE = """
INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, currency,
  total_amount, paid_amount, placed_at)
VALUES ($1, gen_random_uuid(), $2, 'till', 'later', 'paid', 'paid', 'CNY', 1, 1, $3)
"""
_REFUND = """
INSERT INTO refunds (tenant_id, id, order_id, external_id, amount, currency, refunded_at)
SELECT $1, gen_random_uuid(), id, 'r', paid_amount, currency, $3 FROM orders
WHERE tenant_id = $1 AND customer_id = $2 AND external_id <> 'later' ORDER BY placed_at DESC LIMIT 1
"""
_REFUNDED = """
UPDATE orders o SET status = 'refunded', recorded_refund_amount = r.amount, refunded_amount = r.amount
FROM refunds r
WHERE o.tenant_id = $1 AND o.customer_id = $2 AND r.tenant_id = $1 AND r.order_id = o.id AND r.refunded_at = $3
"""
_WITHDRAWN = """
UPDATE complaints SET state = 'withdrawn', state_changed_at = $3 WHERE tenant_id = $1 AND customer_id = $2
"""
_CALL = """
INSERT INTO interactions (tenant_id, id, customer_id, channel, direction, occurred_at)
VALUES ($1, gen_random_uuid(), $2, 'call', 'inbound', $3)
"""
_LOOK = """
INSERT INTO events (tenant_id, id, type, occurred_at, customer_id)
VALUES ($1, gen_random_uuid(), 'page_view', $3, $2)
"""
_LATER = (_PURCHASE, _REFUND, _REFUNDED, _WITHDRAWN, _CALL, _LOOK)


async def test_the_past_is_seen_as_it_was_then(client, database, tenant):
    """What happens later changes nothing about what was known: purchases, refunds, complaints called off, visits."""
    ids = await visits(database, tenant, ann=WEEKLY)
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(_COMPLAINT, tenant.id, UUID(ids["ann"]), at(60))

    async def known():
        async with database.read(tenant.actor) as unit:
            (found,) = await MeasuringRepository(unit).measure(
                [UUID(ids["ann"])], at(70), ZoneInfo("Asia/Shanghai"), DEFAULTS, grades=False
            )
        return found

    before = await known()
    assert (before.purchases, before.silence, before.cycle, before.gaps) == (10, 7, 7.0, 9)
    assert (before.complaints, before.complaints_before) == (1, 0)
    async with database.write(tenant.actor) as unit:
        for statement in _LATER:
            changed = await unit.connection.execute(statement, tenant.id, UUID(ids["ann"]), at(75))
            assert changed.endswith(" 1"), statement
    assert await known() == before
    async with database.read(tenant.actor) as unit:
        (now,) = await MeasuringRepository(unit).measure(
            [UUID(ids["ann"])], at(80), ZoneInfo("Asia/Shanghai"), DEFAULTS, grades=False
        )
    assert (now.purchases, now.silence, now.contacts, now.looks, now.complaints) == (10, 5, 1, 1, 0)


async def test_killed_between_chunks_and_run_twice_at_once(client, database, tenant, monkeypatch):
    """20 customers who all fall silent, five to a chunk: each is told of once, whoever finishes the work."""
    await visits(database, tenant, **{f"c{n}": WEEKLY for n in range(20)})
    await assessed(client, database, tenant, 64)
    monkeypatch.setattr(service, "CHUNK", 5)
    step, steps = ChurnAssessmentService.step, []

    async def dies(self, assessment_id):
        steps.append(await step(self, assessment_id))
        if len(steps) == 3:
            raise RuntimeError("killed before the commit")
        return steps[-1]

    made = (await client.post("/v1/churn/assessments", json={"as_of": at(100).isoformat()})).json()
    payload = {"tenant_id": str(tenant.id), "assessment_id": made["id"]}
    with monkeypatch.context() as patch:
        patch.setattr(ChurnAssessmentService, "step", dies)
        with pytest.raises(RuntimeError):
            await jobs.assess(database, payload)
    halfway = (await client.get(f"/v1/churn/assessments/{made['id']}")).json()
    assert (halfway["state"], halfway["processed"], halfway["alerts"]) == ("running", 10, 10)
    assert len(await told(database, tenant, "churn.alert")) == 10
    # Another assessment waits for this one; two workers at this one share it.
    other = (await client.post("/v1/churn/assessments", json={"as_of": at(100).isoformat()})).json()
    waiting = {**payload, "assessment_id": other["id"]}
    await asyncio.gather(jobs.assess(database, waiting), jobs.assess(database, payload), jobs.assess(database, payload))
    await asyncio.gather(jobs.assess(database, waiting), jobs.assess(database, waiting))
    done = [(await client.get(f"/v1/churn/assessments/{each['id']}")).json() for each in (made, other)]
    assert [(each["state"], each["processed"], each["assessed"], each["alerts"]) for each in done] == [
        ("completed", 20, 20, 20),
        ("completed", 20, 20, 0),
    ]
    assert done[1]["levels"] == {"high": 20}
    alerts = await told(database, tenant, "churn.alert")
    assert len(alerts) == len({customer for customer, _ in alerts}) == 20
    assert len(await told(database, tenant, "churn.level_changed")) == 20


async def test_who_is_merged_is_judged_at_once_with_the_visits_of_both(client, database, tenant):
    """As of the last assessment: one message handled, no new assessment; undone, each is judged alone again."""
    ids = await visits(database, tenant, ann=range(0, 120, 20), double=range(115, 155, 5))

    async def relayed(kind):
        (found,) = await told(database, tenant, kind)
        message = Message(uuid4(), tenant.id, kind, UUID(found[0]), found[1], at(160))
        await database.run(tenant.actor, lambda unit: jobs.follow(unit, [message]))

    async def levels():
        page = (await client.get("/v1/churn/customers")).json()["data"]
        return {each["customer_id"]: (each["level"], each["silence_days"], each["purchases"]) for each in page}

    ran = await assessed(client, database, tenant, 155)
    alone = {ids["ann"]: ("watch", 55, 6), ids["double"]: ("none", 5, 8)}
    assert await levels() == alone
    body = {"winner_id": ids["ann"], "loser_ids": [ids["double"]]}
    merged = (await client.post("/v1/customers/merge", json=body)).json()
    await relayed("customer.merged")
    assert await levels() == {ids["ann"]: ("none", 5, 14)}
    (log, *_) = (await client.get("/v1/churn/transitions", params={"customer_id": ids["ann"]})).json()["data"]
    assert (log["from_level"], log["to_level"], log["alert"]) == ("watch", "none", False)
    assert (log["assessment_id"], log["at"]) == (ran["id"], at(155).isoformat())
    assert (await client.post(f"/v1/merges/{merged['id']}/undo")).status_code == 200
    await relayed("customer.unmerged")
    assert await levels() == alone


async def test_peers_of_the_same_grade_and_everybody_for_the_past(client, database, tenant):
    ids = await visits(database, tenant, **{f"c{n}": WEEKLY for n in range(25)})
    run = (await client.post("/v1/scoring-runs", json={})).json()
    await run_scoring(database, tenant.id, UUID(run["id"]))
    assert (await client.patch("/v1/churn/settings", json={"peers": "grade"})).status_code == 200
    compared = []
    for day in (90, None):
        ran = await assessed(client, database, tenant, day)
        reason = (await client.get(f"/v1/customers/{ids['c7']}/churn")).json()["reasons"][0]
        compared.append((reason["peer_group"], reason["peers"], sorted(ran["peers"])))
    assert compared == [("all", 25, ["all"]), ("grade:A", 25, ["all", "grade:A"])]
    assert ran["peers"]["grade:A"] == {
        "customers": 25,
        "cycle": 7,
        "indicators": {"purchases": {"customers": 25, "median": reason["peer_median"]}},
    }
    assert "位 A 类客户中的 50%" in reason["zh"]


async def test_who_never_bought_has_no_level_and_a_given_up_run_says_why(client, database, tenant):
    customer = (await client.post("/v1/customers", json={"name": "x"})).json()["id"]
    ran = await assessed(client, database, tenant)
    assert (ran["total"], ran["assessed"], ran["levels"]) == (1, 0, {})
    missing = await client.get(f"/v1/customers/{customer}/churn", headers={"accept-language": "zh"})
    assert (missing.status_code, "从未购买" in missing.json()["detail"]) == (404, True)
    made = (await client.post("/v1/churn/assessments", json={})).json()
    payload = {"tenant_id": str(tenant.id), "assessment_id": made["id"]}
    await jobs.give_up_assessment(database, payload, "Given up after 8 attempts: internal error")
    await jobs.assess(database, payload)
    failed = (await client.get(f"/v1/churn/assessments/{made['id']}")).json()
    assert (failed["state"], failed["error"]) == ("failed", "Given up after 8 attempts: internal error")


async def test_one_each_night_of_the_tenants_zone(settings, database, tenant):
    """At 3 in the morning in Shanghai (19:00 UTC), until 9 when no worker ran; once, however many look."""
    clock = FixedClock(datetime(2026, 6, 1, 18, 59, tzinfo=UTC))
    async with database.write(tenant.actor) as unit:
        await unit.connection.execute(
            "INSERT INTO customers (tenant_id, id, name) VALUES ($1, gen_random_uuid(), 'x')", tenant.id
        )
    timed = await Database.open(settings, clock)

    async def started():
        async def work(unit):
            return await ChurnAssessmentService(unit).start_nightly()

        return [each for each in await asyncio.gather(*(timed.run(tenant.actor, work) for _ in range(3))) if each]

    try:
        counts = [len(await started())]
        for step in (timedelta(minutes=1), timedelta(hours=20), timedelta(hours=9), timedelta(hours=1)):
            clock.advance(step)
            counts.append(len(await started()))
    finally:
        await timed.close()
    assert counts == [0, 1, 0, 1, 0]


async def test_settings_are_changed_by_those_who_saw_them(client, database, tenant):
    before = await client.get("/v1/churn/settings")
    assert (before.json()["weights"]["purchases"], before.headers["etag"]) == (70, '"1"')
    change = {"weights": {"purchases": 100}, "alert_from": "high"}
    after = await client.patch("/v1/churn/settings", json=change, headers={"if-match": '"1"'})
    assert (after.status_code, after.headers["etag"]) == (200, '"2"')
    weights = {"purchases": 100, "interactions": 15, "satisfaction": 20, "complaints": 20, "browsing": 15}
    assert after.json()["weights"] == weights
    late = await client.patch("/v1/churn/settings", json={"margin": 0}, headers={"if-match": '"1"'})
    assert late.status_code == 412
    mutation = """mutation { churnSettingsUpdate(input: {highScore: 20, expectedVersion: 2}) {
      settings { highScore } userErrors { code path } } }"""
    payload = (await client.post("/graphql", json={"query": mutation})).json()["data"]["churnSettingsUpdate"]
    assert payload["userErrors"][0]["code"] == "out_of_order"
    ids = await visits(database, tenant, ann=WEEKLY)
    ran = await assessed(client, database, tenant, 80)
    assert (ran["settings_version"], ran["settings"]["alert_from"], ran["alerts"]) == (2, "high", 0)
    # 17 days of silence are 2.4 cycles: 37 of 100 points now, 26 of 70 before.
    shown = (await client.get(f"/v1/customers/{ids['ann']}/churn")).json()
    assert (shown["level"], shown["score"]) == ("watch", 37.1)
    entry = (await client.get("/v1/audit-log", params={"operation": "churn_settings.updated"})).json()["data"][0]
    assert (entry["before"]["alert_from"], entry["after"]["alert_from"]) == ("watch", "high")
