"""Why somebody is in a segment: over REST and GraphQL, on a shop's own data."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from crm_api import admin
from crm_api.core.clock import FixedClock
from crm_api.core.rules import Aggregate, Op
from crm_api.core.rules.catalogue import AGGREGATED
from crm_api.db.pool import Database
from crm_api.db.rule_explain import RuleFunnel
from crm_api.segments import jobs
from crm_api.segments.repository import Chosen
from crm_api.segments.repository.catalogue import CUSTOMER_RULES
from tests.segments.test_segments import customer, order, segment
from tests.support.api import application, client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

OFTEN = {
    "aggregate": "count",
    "of": "orders",
    "window": {"last_days": 90},
    "where": {"field": "status", "op": "eq", "value": "paid"},
    "op": "gte",
    "value": 2,
}
RULE = {
    "all": [
        OFTEN,
        {"field": "net_spend", "op": "gte", "value": {"amount": 100, "currency": "CNY"}},
        {"not": {"field": "tags", "op": "contains", "value": "wholesale"}},
    ]
}


def ago(days):
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


async def explained(client, segment_id, customer_id):
    response = await client.get(f"/v1/segments/{segment_id}/explain/{customer_id}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_member_who_is_none_any_more(client, database, tenant):
    buyer = await customer(client, "buyer", tags=["vip"])
    for number, days in enumerate((3, 5, 200)):
        await order(client, buyer, str(number), amount=5000, placed_at=ago(days))
    segment_id = await segment(client, database, tenant, RULE)

    said = await explained(client, segment_id, buyer)
    assert (said["member"], said["holds"], said["gap"]) == (True, True, None)
    assert said["rule"] == {"version": 1, "where": RULE}
    root = said["tree"]
    assert (root["pointer"], root["kind"], root["found"]) == ("/rule/where", "all", None)
    count, spend, negation = root["parts"]
    assert count["pointer"] == "/rule/where/all/0"
    assert count["sentence"]["zh"] == "订单数量（近 90 天，仅限状态为“已付款”）不少于 2"
    assert (count["holds"], count["found"], count["op"], count["asked"], count["rows"]) == (True, 2, "gte", 2, 2)
    opened, closed = (datetime.fromisoformat(count["window"][edge]) for edge in ("from", "to"))
    assert closed == datetime.fromisoformat(said["as_of"])
    assert timedelta(days=89) < closed - opened < timedelta(days=91)
    assert opened < datetime.fromisoformat(count["first_at"]) < datetime.fromisoformat(count["last_at"]) < closed
    (status,) = count["parts"]
    assert (status["holds"], status["rows"], status["looked_at"]) == (None, 2, 2)
    assert spend["found"] == {"amount": 15000, "currency": "CNY"}
    assert spend["asked"] == {"amount": 100, "currency": "CNY"}
    assert (negation["kind"], negation["holds"], negation["parts"][0]["found"]) == ("not", True, ["vip"])
    (entry,) = said["log"]
    assert (entry["change"], entry["cause"], entry["customer_id"]) == ("enter", "rule", buyer)

    await client.put(f"/v1/customers/{buyer}/tags/wholesale")
    said = await explained(client, segment_id, buyer)
    assert (said["member"], said["holds"]) == (True, False)
    assert said["gap"]["code"] == "not_evaluated_since"
    stored = (await client.get(f"/v1/segments/{segment_id}")).json()["evaluated_at"]
    # PostgreSQL writes no trailing zeros of a second's fraction, Python six digits.
    assert datetime.fromisoformat(said["gap"]["en"].rpartition(" ")[2]) == datetime.fromisoformat(stored)
    assert said["tree"]["parts"][2]["parts"][0]["found"] == ["vip", "wholesale"]

    await jobs.evaluate(database, {"tenant_id": str(tenant.id), "segment_id": segment_id})
    said = await explained(client, segment_id, buyer)
    assert (said["member"], said["entered_at"], said["holds"], said["gap"]) == (False, None, False, None)
    assert [each["change"] for each in said["log"]] == ["leave", "enter"]


async def test_states_of_segments_are_reasons(client, tenant):
    one = await customer(client, "one", tags=["vip"])
    body = {"name": "s", "rule": {"field": "tags", "op": "contains", "value": "vip"}}
    segment_id = (await client.post("/v1/segments", json=body)).json()["id"]
    assert (await explained(client, segment_id, one))["gap"]["code"] == "not_evaluated"
    await client.patch(f"/v1/segments/{segment_id}", json={"archived": True})
    assert (await explained(client, segment_id, one))["gap"]["code"] == "archived"


async def test_static_segments_and_snapshots(client, database, tenant):
    one, two = await customer(client, "one", tags=["vip"]), await customer(client, "two")
    made = (await client.post("/v1/segments", json={"name": "list", "kind": "static"})).json()
    await client.post(f"/v1/segments/{made['id']}/members", json={"customer_ids": [one]})
    said = await explained(client, made["id"], one)
    assert (said["member"], said["rule"], said["holds"], said["tree"], said["gap"]) == (True, None, None, None, None)
    assert [each["cause"] for each in said["log"]] == ["manual"]
    assert (await explained(client, made["id"], two))["member"] is False
    assert (await client.get(f"/v1/segments/{made['id']}/explain/{uuid4()}")).status_code == 404
    query = """query($s: ID!, $c: ID!) {
      segmentExplain(input: {id: $s, customerId: $c}) { member holds rule nodes { kind } } }"""
    variables = {"s": f"Segment:{made['id']}", "c": f"Customer:{one}"}
    body = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
    assert body["data"]["segmentExplain"] == {"member": True, "holds": None, "rule": None, "nodes": []}

    taken = {"name": "then", "kind": "snapshot", "rule": "tag:vip"}
    snapshot = (await client.post("/v1/segments", json=taken)).json()
    await jobs.evaluate(database, {"tenant_id": str(tenant.id), "segment_id": snapshot["id"]})
    await client.delete(f"/v1/customers/{one}/tags/vip")
    asked = {"rule": {"field": "segments", "op": "contains", "value": snapshot["id"]}, "customer_id": one}
    leaf = (await client.post("/v1/rules/explain", json=asked)).json()["tree"]
    assert (leaf["holds"], leaf["found"]) == (True, sorted([made["id"], snapshot["id"]]))
    assert "“then”" in leaf["sentence"]["en"]
    said = await explained(client, snapshot["id"], one)
    assert (said["member"], said["holds"], said["gap"]["code"]) == (True, False, "snapshot")
    taken = datetime.fromisoformat(snapshot["as_of"])  # PostgreSQL leaves trailing zeros out, Python does not
    assert datetime.fromisoformat(said["as_of"]) == taken
    assert taken.isoformat() in said["gap"]["zh"]


async def test_an_archived_attribute_is_a_conflict_and_not_a_riddle(client, database, tenant):
    shoe = {"entity": "customer", "key": "shoe", "type": "number", "label": {"en": "Shoe size", "zh": "鞋码"}}
    attribute = (await client.post("/v1/attribute-definitions", json=shoe)).json()
    one = await customer(client, "one", attributes={"shoe": 39.5})
    segment_id = await segment(client, database, tenant, "attributes.shoe >= 39")
    said = await explained(client, segment_id, one)
    assert (said["tree"]["found"], said["tree"]["sentence"]["zh"]) == (39.5, "鞋码不少于 39")
    await client.patch(f"/v1/attribute-definitions/{attribute['id']}", json={"archived": True})
    refused = await client.get(f"/v1/segments/{segment_id}/explain/{one}")
    assert (refused.status_code, refused.json()["code"]) == (409, "segment_rule_invalid")
    assert refused.json()["errors"][0]["pointer"] == "/rule/where/field"


def every_leaf():
    """Yield a leaf for everything that rules can name, and of collections every figure."""
    for name, entry in CUSTOMER_RULES.catalogue.fields.items():
        other = (
            {"op": "contains", "value": str(uuid4())} if Op.CONTAINS in entry.operators else {"op": "eq", "value": True}
        )
        yield {"field": name, **({"op": "exists"} if Op.EXISTS in entry.operators else other)}
    for name, collection in CUSTOMER_RULES.catalogue.collections.items():
        for inside, entry in collection.inside.fields.items():
            where = {"where": {"field": inside, "op": "exists"}} if Op.EXISTS in entry.operators else {}
            yield {"aggregate": "count", "of": name, "op": "gte", "value": 1, **where}
            for figure, types in AGGREGATED.items():
                if entry.type in types and figure is not Aggregate.SUM:
                    yield {"aggregate": figure.value, "of": f"{name}.{inside}", "op": "exists"}


async def test_whatever_rules_can_name_can_be_explained(client, shop_customer):
    leaves = list(every_leaf())
    found = {}
    for start in range(0, len(leaves), 95):
        asked = {"rule": {"any": leaves[start : start + 95]}, "customer_id": shop_customer}
        response = await client.post("/v1/rules/explain", json=asked)
        assert response.status_code == 200, response.text
        for node in response.json()["tree"]["parts"]:
            known = node["found"]
            fits = {"exists": known not in (None, []), "gte": known != 0, "eq": known is True, "contains": False}
            assert node["holds"] == fits[node["op"]], node
            found[node["sentence"]["en"]] = known
        counted = (await client.post("/v1/segments/preview", json={"rule": asked["rule"]})).json()
        assert [each["count"] for each in counted["funnel"]["leaves"]] == [
            int(node["holds"]) for node in response.json()["tree"]["parts"]
        ]
    assert sum(value is not None for value in found.values()) > 60


@pytest_asyncio.fixture
async def shop_customer(client):
    """A customer with several of whatever there can be several of."""
    one = await customer(
        client,
        "one",
        city="上海",
        tags=["vip", "new"],
        interests=["tea", "tennis"],
        birthday={"calendar": "lunar", "month": 8, "day": 15},
        contact_points=[
            {"kind": "mobile", "value": "13800000001"},
            {"kind": "mobile", "value": "13800000002"},
            {"kind": "email", "value": "a@example.com"},
        ],
    )
    for city in ("杭州", "南京"):
        await client.post(f"/v1/customers/{one}/addresses", json={"city": city})
    for number, currency in enumerate(("CNY", "CNY", "USD")):
        paid = {"amount": 1000 + number, "currency": currency}
        body = {"customer_id": one, "status": "paid", "total": paid, "placed_at": ago(9 - number), "channel": "web"}
        assert (await client.put(f"/v1/orders/till/{number}", json=body)).status_code == 201
        case = {"customer_id": one, "channel": "call", "subject": "broken"}
        assert (await client.post("/v1/complaints", json=case)).status_code == 201
        event = {"id": str(uuid4()), "type": "search", "occurred_at": ago(number), "customer": {"customer_id": one}}
        await client.post("/v1/events/batch", json={"events": [event]})
    return one


async def test_an_unsaved_rule_as_of_a_day(client):
    buyer = await customer(client, "buyer", birthday={"calendar": "solar", "month": 11, "day": 12})
    await order(client, buyer, "1", placed_at="2026-03-01T08:00:00+08:00")
    body = {"customer_id": buyer, "as_of": "2026-11-11T00:00:00+08:00"}
    rule = "orders.count(last 90d) >= 1 or next_birthday within 7d"
    said = (await client.post("/v1/rules/explain", json={**body, "rule": rule})).json()
    orders, birthday = said["tree"]["parts"]
    assert (said["holds"], orders["found"], orders["last_at"]) == (True, 0, None)
    assert (birthday["found"], birthday["asked"]) == ("2026-11-12", ["2026-11-11", "2026-11-18"])
    said = (await client.post("/v1/rules/explain", json={**body, "rule": rule, "as_of": "2026-04-01T00:00:00Z"})).json()
    assert [each["holds"] for each in said["tree"]["parts"]] == [True, False]


async def test_old_ids_mean_the_winner(client, database, tenant):
    winner, loser = await customer(client, "w", tags=["vip"]), await customer(client, "l")
    segment_id = await segment(client, database, tenant, {"field": "tags", "op": "contains", "value": "vip"})
    merged = await client.post("/v1/customers/merge", json={"winner_id": winner, "loser_ids": [loser]})
    assert merged.status_code == 201, merged.text
    assert (await explained(client, segment_id, loser))["customer_id"] == winner
    query = """query($s: ID!, $c: ID!) { segmentExplain(input: {id: $s, customerId: $c}) { customer { name } } }"""
    variables = {"s": f"Segment:{segment_id}", "c": f"Customer:{loser}"}
    data = (await client.post("/graphql", json={"query": query, "variables": variables})).json()["data"]
    assert data["segmentExplain"]["customer"] == {"name": "w"}
    asked = {"rule": {"all": []}, "customer_id": loser}
    assert (await client.post("/v1/rules/explain", json=asked)).json()["customer_id"] == winner


async def test_others_and_nobody_are_not_found(client, other_tenant, app, database, tenant):
    one = await customer(client, "one")
    segment_id = await segment(client, database, tenant, {"all": []})
    async with client_of(app, other_tenant.key) as stranger:
        theirs = await customer(stranger, "theirs")
        their_segment = await segment(stranger, database, other_tenant, {"all": []})
        assert (await stranger.get(f"/v1/segments/{segment_id}/explain/{theirs}")).status_code == 404
    assert (await client.get(f"/v1/segments/{segment_id}/explain/{theirs}")).status_code == 404
    assert (await client.get(f"/v1/segments/{their_segment}/explain/{one}")).status_code == 404
    asked = {"rule": {"all": []}, "customer_id": theirs}
    assert (await client.post("/v1/rules/explain", json=asked)).status_code == 404


async def test_who_may_not_know_a_part_is_told_which(client, app, settings, database, tenant):
    buyer = await customer(client, "buyer")
    segment_id = await segment(client, database, tenant, RULE)
    key = (await admin.create_key(settings, tenant.id, frozenset({"segments:read", "customers:read"}))).api_key
    async with client_of(app, key) as narrow:
        refused = await narrow.get(f"/v1/segments/{segment_id}/explain/{buyer}")
        assert (refused.status_code, refused.json()["required_scope"]) == (403, "orders:read")
        pointers = [each["pointer"] for each in refused.json()["errors"]]
        assert pointers == ["/rule/where/all/0/of", "/rule/where/all/1/field"]
        refused = await narrow.post("/v1/rules/explain", json={"rule": RULE, "customer_id": buyer})
        assert [each["pointer"] for each in refused.json()["errors"]] == ["/rule/all/0/of", "/rule/all/1/field"]
        preview = await narrow.post("/v1/segments/preview", json={"rule": RULE})
        assert preview.status_code == 403


async def test_graphql_lists_the_nodes(client, database, tenant):
    buyer = await customer(client, "buyer", tags=["vip"])
    segment_id = await segment(client, database, tenant, RULE)
    query = """query($s: ID!, $c: ID!, $rule: JSON!) {
      segmentExplain(input: {id: $s, customerId: $c}) {
        segment { name } customer { name } member holds gap { code } asOf
        nodes { pointer parent kind holds op asked found rows lookedAt sentence { en } }
        log { change customer { name } }
      }
      ruleExplain(input: {rule: $rule, customerId: $c}) { holds nodes { pointer found } }
    }"""
    variables = {"s": f"Segment:{segment_id}", "c": f"Customer:{buyer}", "rule": "tag:vip"}
    body = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
    assert "errors" not in body, body
    said = body["data"]["segmentExplain"]
    assert (said["segment"], said["customer"], said["member"], said["holds"]) == (
        {"name": "s"},
        {"name": "buyer"},
        False,
        False,
    )
    assert [(each["pointer"], each["parent"], each["kind"]) for each in said["nodes"]] == [
        ("/rule/where", None, "ALL"),
        ("/rule/where/all/0", "/rule/where", "AGGREGATE"),
        ("/rule/where/all/0/where", "/rule/where/all/0", "FIELD"),
        ("/rule/where/all/1", "/rule/where", "FIELD"),
        ("/rule/where/all/2", "/rule/where", "NOT"),
        ("/rule/where/all/2/not", "/rule/where/all/2", "FIELD"),
    ]
    assert said["nodes"][3]["found"] is None
    assert said["log"] == []
    assert body["data"]["ruleExplain"] == {"holds": True, "nodes": [{"pointer": "/rule/where", "found": ["vip"]}]}


class TestPreview:
    async def test_the_funnel(self, client):
        for number in range(4):
            buyer = await customer(client, f"c{number}", city="上海" if number else "北京", tags=["vip"] * (number > 1))
            for each in range(number):
                await order(client, buyer, f"{number}-{each}")
        rule = 'city = "上海" and orders.count >= 2 and not (tag:vip and order_count >= 3)'
        body = (await client.post("/v1/segments/preview", json={"rule": rule})).json()
        assert (body["count"], [each["name"] for each in body["sample"]]) == (1, ["c2"])
        funnel = body["funnel"]
        assert funnel["customers"] == 4
        assert [(each["pointer"], each["count"]) for each in funnel["leaves"]] == [
            ("/rule/where/all/0", 3),
            ("/rule/where/all/1", 2),
            ("/rule/where/all/2/not/all/0", 2),
            ("/rule/where/all/2/not/all/1", 1),
        ]
        assert [(each["pointer"][-1], each["remaining"]) for each in funnel["steps"]] == [("0", 3), ("1", 2), ("2", 1)]
        assert funnel["leaves"][0]["sentence"] == {"en": "City is “上海”", "zh": "城市为“上海”"}
        short = (await client.post("/v1/segments/preview", json={"rule": rule, "funnel": False})).json()
        assert (short["count"], short["funnel"], short["sample"]) == (1, None, body["sample"])
        assert (body["no_funnel"], short["no_funnel"]["code"]) == (None, "not_asked_for")
        query = """query($rule: JSON!) { segmentPreview(input: {rule: $rule}) {
          count asOf funnel { customers leaves { pointer count } steps { remaining sentence { zh } } } } }"""
        data = (await client.post("/graphql", json={"query": query, "variables": {"rule": rule}})).json()["data"]
        assert data["segmentPreview"]["funnel"]["steps"][0] == {"remaining": 3, "sentence": {"zh": "城市为“上海”"}}

    async def test_as_of_equals_what_is_materialised_then(self, client, settings, tenant):
        for number in range(6):
            buyer = await customer(client, f"c{number}")
            await order(client, buyer, str(number), placed_at=f"2026-0{number + 1}-01T00:00:00+00:00")
        rule = {"aggregate": "count", "of": "orders", "window": {"last_days": 90}, "op": "gte", "value": 1}
        clock, counted = FixedClock(datetime(2026, 4, 15, tzinfo=UTC)), []
        then = await Database.open(settings, clock)
        async with application(settings, then) as made, client_of(made, tenant.key) as back:
            for _ in range(3):
                as_of = clock.now().isoformat()
                body = (await client.post("/v1/segments/preview", json={"rule": rule, "as_of": as_of})).json()
                segment_id = await segment(back, then, tenant, rule, name=as_of)
                size = (await back.get(f"/v1/segments/{segment_id}")).json()["size"]
                assert (body["as_of"], body["count"]) == (as_of, size)
                counted.append(size)
                clock.advance(timedelta(days=60))
        await then.close()
        assert counted == [3, 3, 1]

    async def test_what_takes_too_long_says_so(self, settings, tenant, monkeypatch):
        sleepy = select(func.pg_sleep(10))
        monkeypatch.setattr(RuleFunnel, "statement", lambda *_given: sleepy)
        hasty = settings.model_copy(update={"statement_timeout_ms": 300})
        database = await Database.open(hasty)
        async with application(hasty, database) as app, client_of(app, tenant.key) as client:
            await customer(client, "one")
            body = (await client.post("/v1/segments/preview", json={"rule": {"all": []}})).json()
            assert (body["count"], len(body["sample"]), body["funnel"]) == (1, 1, None)
            assert body["no_funnel"]["code"] == "took_too_long"
            assert body["no_funnel"]["en"].startswith("Counting each part took longer than 0.3 seconds:")
            query = (
                """{ segmentPreview(input: {ruleTree: {all: []}}) { count funnel { customers } noFunnel { zh } } }"""
            )
            data = (await client.post("/graphql", json={"query": query})).json()["data"]["segmentPreview"]
            said = {"zh": "逐条统计超过 0.3 秒，仅显示人数（人数准确）"}
            assert data == {"count": 1, "funnel": None, "noFunnel": said}
            slow = func.pg_sleep(10).is_not(None)
            monkeypatch.setattr(Chosen, "predicate", lambda *_given: slow)
            for path in ("segments/preview", "customers/search"):
                refused = await client.post(f"/v1/{path}", json={"rule": {"all": []}})
                told = refused.json()
                assert (refused.status_code, told["code"]) == (503, "rule_slow"), told
                assert told["detail"].startswith("The rule takes longer than 0.3 seconds over all customers")
        await database.close()


async def test_the_log_by_customer_and_time(client, database, tenant):
    one, two = await customer(client, "one"), await customer(client, "two")
    first = await segment(client, database, tenant, {"all": []}, name="a")
    second = await segment(client, database, tenant, {"all": []}, name="b")
    mine = (await client.get(f"/v1/customers/{one}/segment-log")).json()["data"]
    assert [(each["segment_id"], each["customer_id"]) for each in mine] == [(second, one), (first, one)]
    listed = (await client.get(f"/v1/segments/{first}/log", params={"customer_id": two})).json()["data"]
    assert [each["customer_id"] for each in listed] == [two]
    at = listed[0]["at"]
    for params, found in (({"at_from": at}, 2), ({"at_before": at}, 0)):
        assert len((await client.get(f"/v1/segments/{first}/log", params=params)).json()["data"]) == found
