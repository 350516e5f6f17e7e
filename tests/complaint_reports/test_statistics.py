"""Statistics of complaints: what was worked out by hand, and the same figures reckoned without SQL."""

import random
import statistics as reckoned
from collections import defaultdict
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
import pytest_asyncio

from crm_api.core.clock import FixedClock
from crm_api.core.ids import new_id
from tests.compensations.shop import Shop
from tests.vouchers.shop import money

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
DAY = timedelta(days=1)
PERIOD = {"from": "2026-05-11", "to": "2026-05-12"}


def at(text):
    """Return a moment of Monday, 11 May 2026 in Shanghai; office hours are 9-12 and 13:30-18."""
    return datetime.fromisoformat(f"2026-05-11T{text}:00+08:00")


@pytest_asyncio.fixture
async def shop(client, database, tenant, app, settings):
    """A shop whose time stands still."""
    made = Shop(client, database, tenant, FixedClock(at("09:00")))
    made.app, made.settings = app, settings
    return made


async def handle(shop, opened, told, *, customer=None, **more):
    """Open a case at one time, and resolve it and tell the decision at another."""
    shop.clock.instant = at(opened)
    case = await shop.case(customer, **more)
    if told is not None:
        shop.clock.instant = at(told)
        answer = await shop.move(case, "acknowledge", "assess", "start", "propose", "resolve", decision_told=True)
        assert answer.status_code == 200, answer.text
    return case


async def report(shop, status=200, client=None, **asked):
    answer = await (client or shop.client).get("/v1/analytics/complaints", params={**PERIOD, **asked})
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest_asyncio.fixture
async def week(shop):
    """Five cases and a duplicate; what was given for two of them."""
    ann = await shop.customer("ann")
    order = await shop.order(ann, 10_000)
    cold = {"category": "quality/cold_chain"}
    first = await handle(shop, "10:00", "10:45", customer=ann, order_id=order, **cold)
    # Lunch is no business time: 30 minutes before, 15 after.
    await handle(shop, "11:30", "13:45", severity="S1", category="quality/spoilage", root_cause="logistics/late")
    # Its first answer was due after an hour.
    late = await handle(shop, "10:00", "11:30", severity="S1", safety=True, **cold)
    await handle(shop, "14:00", None, channel="platform")
    await handle(shop, "14:00", None, kind="inquiry", category="quality")
    same = await handle(shop, "14:30", None, customer=ann, **cold)
    given = [
        await shop.propose(late, kind="points", points=500),
        await shop.propose(same, kind="refund", amount=money(2_500)),
        await shop.propose(late, kind="refund", amount=money(1)),
    ]
    await shop.pay(given[0])
    await shop.step("settle", given[1], reference="wx-1")
    await shop.step("cancel", given[2], reason="x")
    assert (await shop.move(same, "mark_duplicate", merged_into=first["id"])).status_code == 200
    assert (await shop.move(first, "reopen")).status_code == 200
    shop.clock.instant = at("17:00")
    return shop


async def test_figures_groups_and_filters(week):
    found = await report(week)
    assert (found["from_at"], found["to_at"], found["currency"], found["left_out"]) == (
        "2026-05-10T16:00:00Z",
        "2026-05-11T16:00:00Z",
        "CNY",
        0,
    )
    total = found["total"]
    assert (total["cases"], total["open"], total["resolved"], total["safety"]) == (5, 3, 2, 1)
    assert (total["reopened"], total["reopen_rate"]) == (1, pytest.approx(1 / 3))
    # Both of S1 should have been acknowledged in half an hour; the two open ones have four hours for it.
    assert (total["clocked"], total["breached"], total["breach_rate"]) == (5, 2, 0.4)
    assert total["first_response"] == {"cases": 3, "mean": 60.0, "p50": 45.0, "p90": 81.0}
    assert total["resolution"] == {"cases": 2, "mean": 67.5, "p50": 67.5, "p90": 85.5}, "one was reopened"
    assert (total["compensated"], total["compensation_amount"], total["compensation_points"]) == (2, 2_500, 500)
    groups = [(each["key"], each["cases"], each["share"], each["cumulative"]) for each in found["groups"]]
    assert groups == [
        ("quality/cold_chain", 2, 0.4, 0.4),
        ("logistics/late", 1, 0.2, pytest.approx(0.6)),
        ("quality", 1, 0.2, 0.8),
        (None, 1, 0.2, 1.0),
    ]
    cold = found["groups"][0]
    assert (cold["name"], cold["compensated"], cold["breach_rate"]) == ("Cold chain broken", 2, 0.5)

    first = await report(week, level=1)
    assert [(each["key"], each["cases"]) for each in first["groups"]] == [("quality", 3), ("logistics", 1), (None, 1)]
    assert [each["key"] for each in (await report(week, by="category", cause="logistics"))["groups"]] == [
        "quality/spoilage"
    ]
    assert (await report(week, cause="qual"))["total"]["cases"] == 0, "half a word is no cause"
    assert (await report(week, kind="inquiry"))["total"]["cases"] == 1
    assert [(each["key"], each["cases"]) for each in (await report(week, by="severity"))["groups"]] == [
        ("S3", 3),
        ("S1", 2),
    ]
    few = await report(week, limit=1)
    assert (len(few["groups"]), few["left_out"], few["groups"][0]["cumulative"]) == (1, 3, 0.4)
    empty = await report(week, **{"from": "2026-05-01", "to": "2026-05-02"})
    assert (empty["groups"], empty["total"]["breach_rate"]) == ([], None)
    assert empty["total"]["resolution"] == {"cases": 0, "mean": None, "p50": None, "p90": None}
    wrong = await report(week, 422, **{"from": "2026-05-02", "to": "2026-05-01"})
    assert wrong["errors"][0]["pointer"] == "/query/to"


async def test_graphql_scopes_compensations_and_the_picture(week):
    asked = 'input: {fromAt: "2026-05-11", toAt: "2026-05-12"}'
    fields = "total { cases breachRate compensated } groups { key cumulative } leftOut"
    query = f"{{ complaintStatistics({asked}) {{ {fields} }} }}"
    found = (await week.send("/graphql", {"query": query}, 200))["data"]
    rest = await report(week)
    shown = found["complaintStatistics"]
    assert shown["total"] == {"cases": 5, "breachRate": 0.4, "compensated": 2}
    assert shown["groups"] == [{"key": each["key"], "cumulative": each["cumulative"]} for each in rest["groups"]]
    async with AsyncExitStack() as stack:
        reader, _ = await week.key(stack, "complaints:read")
        hidden = await report(week, client=reader)
        assert (hidden["total"]["compensated"], hidden["groups"][0]["compensation_points"]) == (None, None)
        answer = await reader.get("/v1/analytics/compensations", params=PERIOD)
        assert (answer.status_code, answer.json()["required_scope"]) == (403, "compensations:read")
    answer = await week.client.get("/v1/analytics/compensations", params=PERIOD)
    kinds = {(each["kind"], each["currency"]): each for each in answer.json()["kinds"]}
    assert list(kinds) == [("refund", "CNY"), ("points", None)]
    refund = kinds["refund", "CNY"]
    assert {name: refund[name] for name in ("proposed", "settled", "refused", "pending", "amount", "within_limit")} == {
        "proposed": 2,
        "settled": 1,
        "refused": 1,
        "pending": 0,
        "amount": 2_500,
        "within_limit": 2,
    }
    assert (kinds["points", None]["points"], kinds["points", None]["approval_minutes"]) == (500, None)
    answer = await week.client.get(
        "/v1/analytics/complaints/pareto.svg", params=PERIOD, headers={"accept-language": "zh"}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    said = ET.fromstring(answer.content).findtext("{http://www.w3.org/2000/svg}desc")  # noqa: S314 - our own
    shares = "冷链断裂 2 件（40%），配送延误 1 件（60%），商品质量 1 件（80%），未填写 1 件（100%）"
    assert said == f"共 5 件。4 项中的前 3 项合计占 80%：{shares}。"
    answer = await week.client.get("/v1/analytics/complaints/pareto.svg", params={**PERIOD, "limit": 1})
    assert "other (3) 3 (100%)" in answer.text


# -- the same without SQL ----------------------------------------------------------------------------------------------

CAUSES = [None, "quality", "quality/spoilage", "quality/cold_chain", "logistics/late", "service/attitude"]


async def many(shop, number=120):
    """Write cases with clocks and goods as rows; returns them as they are."""
    chance = random.Random(7)
    customer = UUID(await shop.customer("ann"))
    staff = [UUID(await shop.staff(name, "x")) for name in ("a", "b")]
    policy = (await shop.client.get("/v1/clock-policies")).json()["data"][0]["id"]
    goods = [("A", "b1"), ("A", "b2"), ("B", None), (None, "b3")]
    cases = [
        {
            "id": new_id(),
            "category": chance.choice(CAUSES),
            "root_cause": chance.choice([None, None, *CAUSES]),
            "channel": chance.choice(["call", "web"]),
            "severity": chance.choice(["S1", "S2", "S3"]),
            "received_at": at("00:30") + chance.randint(0, 40) * DAY,
            "assignee_id": chance.choice([None, *staff]),
            "goods": chance.sample(goods, chance.randint(0, 3)),
            "answered": chance.choice([None, chance.randint(1, 999)]),
            "missed": chance.random() < 0.3,
        }
        for _ in range(number)
    ]

    async def write(unit):
        execute = unit.connection.execute
        for each in cases:
            await execute(
                "INSERT INTO complaints (tenant_id, id, customer_id, state, state_changed_at, kind, channel, severity, "
                "safety, category, root_cause, subject, assignee_id, reopened, received_at) VALUES "
                "($1, $2, $3, 'received', $4, 'complaint', $5, $6, false, $7, $8, 'x', $9, 0, $4)",
                *(shop.tenant.id, each["id"], customer, each["received_at"], each["channel"], each["severity"]),
                *(each["category"], each["root_cause"], each["assignee_id"]),
            )
            for place, (sku, batch) in enumerate(each["goods"]):
                await execute(
                    "INSERT INTO complaint_products (tenant_id, complaint_id, position, sku, batch, id) "
                    "VALUES ($1, $2, $3, $4, $5, $6)",
                    *(shop.tenant.id, each["id"], place, sku, batch, new_id()),
                )
            await execute(
                "INSERT INTO complaint_clocks (tenant_id, id, complaint_id, policy_id, clock, cycle, state, "
                'started_at, nth, due_at, breached_at, stopped_at, "natural", spent_seconds, measured_at) VALUES '
                "($1, $2, $3, $4, 'first_response', 1, $5, $6, 1, $6, $7, $8, false, $9, $6)",
                *(shop.tenant.id, new_id(), each["id"], UUID(policy)),
                "breached" if each["missed"] else "met" if each["answered"] else "paused",
                each["received_at"],
                each["received_at"] if each["missed"] else None,
                each["received_at"] if each["answered"] else None,
                (each["answered"] or 0) * 60,
            )

    await shop.database.run(shop.tenant.actor, write)
    return cases


def keys_of(case, by):
    """Return the groups that a case is in."""
    cause = case["root_cause"] or case["category"]
    local = case["received_at"]  # it has Shanghai's offset
    monday = local.date() - timedelta(days=local.weekday())
    return {
        "cause": {cause},
        "category": {case["category"]},
        "product": {sku for sku, _ in case["goods"] if sku} or {None},
        "batch": {batch for _, batch in case["goods"] if batch} or {None},
        "staff": {case["assignee_id"] and str(case["assignee_id"])},
        "channel": {case["channel"]},
        "severity": {case["severity"]},
        "day": {local.date().isoformat()},
        "week": {monday.isoformat()},
        "month": {local.date().replace(day=1).isoformat()},
    }[by]


def percentile(values, share):
    """Return what PostgreSQL calls percentile_cont, None of nothing."""
    if not values:
        return None
    ranked, place = sorted(values), share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


async def test_the_same_figures_without_sql(shop):
    cases = await many(shop)
    period = {"from": "2026-05-15", "to": "2026-06-15"}
    inside = [each for each in cases if at("00:00") + 4 * DAY <= each["received_at"] < at("00:00") + 35 * DAY]
    assert 50 < len(inside) < len(cases)
    for by in ("cause", "category", "product", "batch", "staff", "channel", "severity", "day", "week", "month"):
        found = await report(shop, by=by, limit=500, **period)
        expected = defaultdict(list)
        for each in inside:
            for key in keys_of(each, by):
                expected[key].append(each)
        assert {each["key"]: each["cases"] for each in found["groups"]} == {
            key: len(members) for key, members in expected.items()
        }, by
        assert found["groups"][-1]["cumulative"] == 1.0
        assert found["total"]["cases"] == len(inside)
        for each in found["groups"]:
            members = expected[each["key"]]
            answered = [case["answered"] for case in members if case["answered"]]
            shown = each["first_response"]
            assert each["breached"] == sum(case["missed"] for case in members)
            assert shown["cases"] == len(answered)
            assert shown["p50"] == pytest.approx(percentile(answered, 0.5))
            assert shown["p90"] == pytest.approx(percentile(answered, 0.9))
            assert shown["mean"] == pytest.approx(reckoned.mean(answered) if answered else None)
