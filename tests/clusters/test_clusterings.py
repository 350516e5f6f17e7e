"""Clusterings over the API: what is read, what comes out, refusals, resumption, revisions."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest

from crm_api.clusters import computing, jobs, runner
from crm_api.clusters.features import FEATURES, Words, attribute_feature
from crm_api.clusters.repository.features import read_values
from crm_api.clusters.runner import ClusteringRun
from crm_api.core.ids import new_id
from crm_api.orders.statements import LOCK_FACTS, REFRESH_FACTS
from tests.support.api import client_of
from tests.support.clusterings import DAY, clustered, groups, load, members, payload_of, started

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

VALUE = [{"name": "recency_days"}, {"name": "order_count"}, {"name": "net_spend"}]


async def events_of(database, tenant, kind):
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT subject_id, payload FROM outbox WHERE tenant_id = $1 AND type = $2 ORDER BY xid, id",
            tenant.id,
            kind,
        )
    return [(str(row["subject_id"]), row["payload"]) for row in rows]


async def clusters_of(client, clustering_id):
    return (await client.get(f"/v1/clusterings/{clustering_id}/clusters")).json()["data"]


async def test_known_groups_become_segments(app, client, database, tenant, other_tenant):
    shop = await groups(database, tenant)
    answer = await client.post("/v1/clusterings", json={"name": "价值", "features": VALUE})
    assert (answer.status_code, answer.json()["state"], answer.json()["phase"]) == (202, "queued", None)
    early = await client.get(f"/v1/clusterings/{answer.json()['id']}/picture.svg")
    assert (early.status_code, early.json()["code"]) == (409, "not_completed")
    await jobs.cluster(database, payload_of(tenant, answer.json()))
    made = (await client.get(f"/v1/clusterings/{answer.json()['id']}")).json()
    assert (made["state"], made["phase"], made["revision"], made["error"]) == ("completed", "done", 1, None)
    assert (made["customers"], made["left_out"], made["total"], made["processed"]) == (60, 0, 60, 60)
    assert (made["clusters_found"], made["structure"], made["currency"]) == (3, "strong", "CNY")
    assert max(made["tried"], key=lambda each: each["silhouette"])["k"] == 3
    assert [each["k"] for each in made["tried"]] == [2, 3, 4, 5, 6]  # ten customers for each
    assert [(each["name"], each["transform"], each["missing"], each["used"]) for each in made["features"]] == [
        ("recency_days", "none", 0, True),
        ("order_count", "log1p", 0, True),
        ("net_spend", "log1p", 0, True),
    ]
    found = await clusters_of(client, made["id"])
    assert [(each["position"], each["size"]) for each in found] == [(1, 30), (2, 20), (3, 10)]
    assert [each["share"] for each in found] == [0.5, pytest.approx(1 / 3), pytest.approx(1 / 6)]
    assert [await members(client, each["segment_id"]) for each in found] == [
        shop["gone"],
        shop["steady"],
        shop["whales"],
    ]
    whales = found[2]
    assert whales["profile"] == {
        "en": "spends 4.7× the average, buys 2.5× as often as the average, last purchase 3 days ago (median; all: 166)",
        "zh": "消费金额为平均的 4.7 倍，购买次数为平均的 2.5 倍，最近一次购买在 3 天前（中位数；全体：166）",
    }
    assert whales["name"] == {"en": "big spenders, frequent buyers", "zh": "高消费、高频"}
    assert whales["centroid"]["net_spend"] == {"amount": pytest.approx(600_000, rel=0.01), "currency": "CNY"}
    assert whales["centroid"]["recency_days"] == 3
    spend = next(each for each in whales["differences"] if each["feature"] == "net_spend")
    assert spend["mean"] == {"amount": 600_000, "currency": "CNY"}
    assert all(each["silhouette"] > 0.7 for each in found)
    segment = (await client.get(f"/v1/segments/{whales['segment_id']}")).json()
    assert (segment["name"], segment["description"]) == ("价值 · 3 高消费、高频", whales["profile"]["zh"])
    assert (segment["state"], segment["size"]) == ("active", 10)
    assert await events_of(database, tenant, "clustering.completed") == [(made["id"], {"clusters": 3, "customers": 60})]
    entered = [each for each, _ in await events_of(database, tenant, "segment.entered")]
    assert len(entered) == len(set(entered)) == 60
    audit = (await client.get(f"/v1/audit-log?subject_id={made['id']}")).json()["data"]
    assert [each["operation"] for each in audit] == ["clustering.completed", "clustering.started"]
    await looks_right(client, made, found)
    await reads_the_same_in_graphql(client, made, whales)
    async with client_of(app, other_tenant.key) as other:
        assert (await other.get(f"/v1/clusterings/{made['id']}")).status_code == 404
        assert (await other.get(f"/v1/clusterings/{made['id']}/picture.svg")).status_code == 404
        assert (await other.post(f"/v1/clusterings/{made['id']}/rerun")).status_code == 404
        assert (await other.get("/v1/clusterings")).json()["data"] == []
        assert (await other.get(f"/v1/clusterings/{made['id']}/clusters")).status_code == 404


async def looks_right(client, made, found):
    path = f"/v1/clusterings/{made['id']}/picture.svg"
    english = await client.get(path)
    assert english.headers["content-type"] == "image/svg+xml"
    drawn = ET.fromstring(english.content)  # noqa: S314 - our own
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert drawn.get("role") == "img"
    assert drawn.find("svg:title", space).text == "Clusters of 价值"
    assert "60 of 60 customers" in drawn.find("svg:desc", space).text
    assert [len(group) for group in drawn.findall("svg:g", space)] == [30, 20, 10]
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [
        f"{position} · {share} · " in " ".join(texts) for position, share in ((1, "50%"), (2, "33%"), (3, "17%"))
    ] == [True] * 3
    assert (await client.get(path)).content == english.content
    chinese = await client.get(path, headers={"accept-language": "zh-CN"})
    assert "客户聚类：价值" in chinese.text


async def reads_the_same_in_graphql(client, made, whales):
    query = """query {
      clusterings { nodes { name silhouette features { name missing } picture clusters { nodes {
        position name { zh } differences { feature } segment { name cluster { position } } } } } }
      clusteringFeatures { features }
    }"""
    shown = (await client.post("/graphql", json={"query": query})).json()["data"]
    [each] = shown["clusterings"]["nodes"]
    assert (each["name"], each["silhouette"]) == ("价值", made["silhouette"])
    assert len(each["picture"]["points"]) == 60
    last = each["clusters"]["nodes"][2]
    assert (last["name"]["zh"], last["segment"]["cluster"]["position"]) == (whales["name"]["zh"], 3)
    assert [feature["name"] for feature in shown["clusteringFeatures"]["features"]] == list(FEATURES)


async def test_twice_the_same_and_again_as_things_are_now(client, database, tenant):
    shop = await groups(database, tenant)
    asked = {"name": "a", "features": VALUE, "seed": 5, "k": 3}
    first = await clustered(client, database, tenant, **asked)
    second = await clustered(client, database, tenant, **{**asked, "name": "b"})
    for left, right in zip(
        await clusters_of(client, first["id"]), await clusters_of(client, second["id"]), strict=True
    ):
        same = left.keys() - {"id", "clustering_id", "segment_id", "created_at"}
        assert {name: left[name] for name in same} == {name: right[name] for name in same}
    assert (first["silhouette"], first["tried"]) == (second["silhouette"], second["tried"])
    taken = await client.post("/v1/clusterings", json=asked)
    assert (taken.status_code, taken.json()["errors"][0]["pointer"]) == (409, "/name")

    await load(database, tenant, {"new": [(1, 600_000)] * 20})
    again = await client.post(f"/v1/clusterings/{first['id']}/rerun")
    assert (again.status_code, again.json()["revision"], again.json()["seed"]) == (202, 2, 5)
    waits = await client.post(f"/v1/clusterings/{first['id']}/rerun")
    assert (waits.status_code, waits.json()["code"]) == (409, "clustering_running")
    await jobs.cluster(database, payload_of(tenant, again.json()))
    old = [each["segment_id"] for each in await clusters_of(client, first["id"])]
    new = await clusters_of(client, again.json()["id"])
    assert [each["size"] for each in new] == [30, 20, 11]
    assert await members(client, new[2]["segment_id"]) == ["new", *shop["whales"]]
    assert await members(client, old[2]) == shop["whales"], "what was found then stays as it was"
    assert await states(client, old) == {"active"}
    name = (await client.get(f"/v1/segments/{new[2]['segment_id']}")).json()["name"]
    assert name.startswith("a v2 · 3 ")

    query = (
        "mutation($id: ID!) { clusteringRerun(input: {id: $id, archivePrevious: true}) { clustering { id revision } } }"
    )
    found = await client.post("/graphql", json={"query": '{ clusterings(name: "a") { nodes { id revision } } }'})
    node = found.json()["data"]["clusterings"]["nodes"][0]
    assert node["revision"] == 2
    third = (await client.post("/graphql", json={"query": query, "variables": {"id": node["id"]}})).json()["data"]
    assert third["clusteringRerun"]["clustering"]["revision"] == 3
    newest = (await client.get("/v1/clusterings?limit=1")).json()["data"][0]
    await jobs.cluster(database, payload_of(tenant, newest))
    assert await states(client, old + [each["segment_id"] for each in new]) == {"archived"}
    assert await states(client, [each["segment_id"] for each in await clusters_of(client, newest["id"])]) == {"active"}
    assert await states(client, [each["segment_id"] for each in await clusters_of(client, second["id"])]) == {"active"}


async def states(client, segments):
    return {(await client.get(f"/v1/segments/{each}")).json()["state"] for each in segments}


async def test_who_takes_part(client, database, tenant):
    shop = await groups(database, tenant)
    rule = {"field": "order_count", "op": "lt", "value": 8}
    by_rule = await clustered(client, database, tenant, name="a", features=VALUE, rule=rule, k=2)
    assert [each["size"] for each in await clusters_of(client, by_rule["id"])] == [30, 20]
    assert by_rule["rule"]["where"] == rule
    query = """mutation { clusteringStart(input: {name: "words", k: 2, rule: "order_count < 8",
      features: [{name: "recency_days"}, {name: "net_spend", transform: NONE}]}) {
      clustering { rule k features { name transform missing } } userErrors { code path } } }"""
    said = (await client.post("/graphql", json={"query": query})).json()["data"]["clusteringStart"]
    assert said["userErrors"] == []
    assert (said["clustering"]["rule"], said["clustering"]["k"]) == (by_rule["rule"], 2)
    assert [each["transform"] for each in said["clustering"]["features"]] == ["NONE", "NONE"]
    whole = await clustered(client, database, tenant, name="b", features=VALUE, k=2)
    largest = (await clusters_of(client, whole["id"]))[0]
    inside = await clustered(
        client, database, tenant, name="c", features=VALUE, rule=None, segment_id=largest["segment_id"], max_k=3
    )
    assert (inside["state"], inside["customers"]) == ("completed", largest["size"])
    everybody = sorted(name for names in shop.values() for name in names)
    assert len(everybody) == 60


async def test_refusals_make_nothing_and_say_why(client, database, tenant):
    await load(database, tenant, {f"c{number}": [(5, 1000)] for number in range(30)})
    for name, asked, code in (
        ("few", {"features": VALUE, "k": 4}, "too_few_customers"),
        ("same", {"features": VALUE}, "no_variance"),
        ("none", {"features": [{"name": "gap_days"}, {"name": "order_count"}]}, "no_values"),
    ):
        made = await clustered(client, database, tenant, name=name, **asked)
        assert (made["state"], made["refused"]["code"]) == ("refused", code)
        assert made["refused"]["en"].isascii()
        assert not made["refused"]["zh"].isascii()
        assert await clusters_of(client, made["id"]) == []
        assert made["features"][0]["missing"] == (30 if code == "no_values" else 0)
    label = {"en": "Size", "zh": "尺码"}
    size = await client.post("/v1/attribute-definitions", json={"key": "size", "type": "number", "label": label})
    rule = {"field": "attributes.size", "op": "gt", "value": 1}
    row = await started(client, name="rule", features=VALUE, rule=rule)
    gone = await client.delete(f"/v1/attribute-definitions/{size.json()['id']}", headers={"if-match": '"1"'})
    assert gone.status_code == 204, gone.text
    await jobs.cluster(database, payload_of(tenant, row))
    made = (await client.get(f"/v1/clusterings/{row['id']}")).json()
    assert (made["state"], made["refused"]["code"]) == ("refused", "rule_invalid")
    assert made["refused"]["en"] == "The rule does not hold any more: There is no such field"
    assert [told["code"] for _, told in await events_of(database, tenant, "clustering.failed")] == [
        "too_few_customers",
        "no_variance",
        "no_values",
        "rule_invalid",
    ]
    assert (await client.get("/v1/segments")).json()["data"] == []
    other = await started(client, name="same", features=[{"name": "known_days"}])
    assert other["revision"] == 2, "what was refused leaves its name"
    assert [(each["missing"], each["used"]) for each in other["features"]] == [(None, None)]


async def test_a_killed_workers_successor_goes_on(client, database, tenant, monkeypatch):
    shop = await groups(database, tenant)
    monkeypatch.setattr(runner, "READ_CHUNK", 25)
    monkeypatch.setattr(runner, "MEMBER_CHUNK", 25)
    # A name is taken: the job finds another one.
    taken = {"name": "价值 · 1 低消费、久未购买", "rule": {"field": "city", "op": "eq", "value": "x"}}
    assert (await client.post("/v1/segments", json=taken)).status_code == 201
    row = await started(client, name="价值", features=VALUE, k=3)
    run = jobs._run_of(database, payload_of(tenant, row))

    class Killed(Exception):
        pass

    async def dies(self, *args):
        raise Killed

    for step, phase, processed in (("_store", "clustering", 0), ("_complete", "segmenting", 60)):
        with monkeypatch.context() as patch:
            patch.setattr(ClusteringRun, step, dies)
            with pytest.raises(Killed):
                await run.run()
        now = (await client.get(f"/v1/clusterings/{row['id']}")).json()
        assert (now["state"], now["phase"], now["processed"]) == ("running", phase, processed)
        begun = now["as_of"]
    await asyncio.gather(*(jobs.cluster(database, payload_of(tenant, row)) for _ in range(3)))
    done = (await client.get(f"/v1/clusterings/{row['id']}")).json()
    assert (done["state"], done["phase"], done["processed"], done["as_of"]) == ("completed", "done", 60, begun)
    found = await clusters_of(client, row["id"])
    assert [await members(client, each["segment_id"]) for each in found] == [
        shop["gone"],
        shop["steady"],
        shop["whales"],
    ]
    assert len(await events_of(database, tenant, "segment.entered")) == 60
    assert len(await events_of(database, tenant, "clustering.completed")) == 1
    name = (await client.get(f"/v1/segments/{found[0]['segment_id']}")).json()["name"]
    assert name in {"价值 · 1 低消费、久未购买 (2)", f"价值 · 1 {found[0]['name']['zh']}"}


async def test_given_up_half_way(client, database, tenant, monkeypatch):
    await groups(database, tenant)
    monkeypatch.setattr(runner, "MEMBER_CHUNK", 25)
    row = await started(client, name="x", features=VALUE, k=3)
    run, calls, add = jobs._run_of(database, payload_of(tenant, row)), [], ClusteringRun._add_members

    async def dies(self, unit):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError
        return await add(self, unit)

    monkeypatch.setattr(ClusteringRun, "_add_members", dies)
    with pytest.raises(RuntimeError):
        await run.run()
    await jobs.give_up(database, payload_of(tenant, row), "Given up after 8 attempts: internal error")
    await jobs.give_up(database, payload_of(tenant, row), "again")
    failed = (await client.get(f"/v1/clusterings/{row['id']}")).json()
    assert (failed["state"], failed["error"]) == ("failed", "Given up after 8 attempts: internal error")
    assert await states(client, [each["segment_id"] for each in await clusters_of(client, row["id"])]) == {"archived"}
    assert await events_of(database, tenant, "clustering.failed") == [(row["id"], {"code": "failed"})]
    async with database.read(tenant.actor) as unit:
        assert await unit.connection.fetchval("SELECT count(*) FROM cluster_assignments") == 0


async def test_the_workers_loop_turns_while_it_computes(client, database, tenant, monkeypatch):
    await groups(database, tenant)
    row = await started(client, name="x", features=VALUE, k=3)
    compute, beats, slept = computing.compute, [], []

    def slow(*args):
        began = time.monotonic()
        time.sleep(0.5)
        slept.append((began, time.monotonic()))
        return compute(*args)

    async def beat():
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.01)

    monkeypatch.setattr(computing, "compute", slow)
    heart = asyncio.create_task(beat())
    await jobs.cluster(database, payload_of(tenant, row))
    heart.cancel()
    [(began, ended)] = slept
    assert sum(began < each < ended for each in beats) >= 3


async def test_a_feature_takes_the_scope_of_its_domain(app, client, database, tenant, settings):
    from crm_api import admin  # noqa: PLC0415

    key = (await admin.create_key(settings, tenant.id, frozenset({"segments:read", "segments:write"}))).api_key
    async with client_of(app, key) as narrow:
        for name, scope in (("points", "loyalty:read"), ("events_90d", "events:read"), ("age_years", "customers:read")):
            refused = await narrow.post("/v1/clusterings", json={"name": "x", "features": [{"name": name}]})
            assert (refused.status_code, refused.json()["required_scope"]) == (403, scope)
        row = await started(client, name="x", features=VALUE)
        await jobs.cluster(database, payload_of(tenant, row))
        again = await narrow.post(f"/v1/clusterings/{row['id']}/rerun")
        assert (again.status_code, again.json()["required_scope"]) == (403, "orders:read")


_SEEN = """
INSERT INTO events (tenant_id, id, type, occurred_at, customer_id) VALUES
  ($1, gen_random_uuid(), 'view', $3::timestamptz - interval '1 day', $2),
  ($1, gen_random_uuid(), 'view', $3 - interval '91 days', $2)
"""
_CALLED = """
INSERT INTO interactions (tenant_id, id, customer_id, channel, direction, occurred_at)
VALUES ($1, gen_random_uuid(), $2, 'call', 'inbound', $3::timestamptz - interval '1 day')
"""


async def test_values_of_all_features(client, database, tenant):
    """Two customers, one with everything and one with nothing, counted by hand."""
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for key, kind in (("size", "number"), ("budget", "money")):
        given = {"key": key, "type": kind, "label": {"en": key, "zh": key}}
        assert (await client.post("/v1/attribute-definitions", json=given)).status_code == 201
    rich = {"name": "rich", "birthday": {"year": 1990, "month": 1, "day": 1}}
    rich["attributes"] = {"size": 38.5, "budget": {"amount": 5000, "currency": "CNY"}}
    made = [(await client.post("/v1/customers", json=each)).json()["id"] for each in (rich, {"name": "poor"})]
    async with database.write(tenant.actor) as unit:
        for days, total, discount, refunded, currency, categories in (
            (100, 9000, 1000, 0, "CNY", ["a", "b"]),
            (60, 18000, 2000, 9000, "CNY", ["b"]),
            (10, 500, 500, 0, "USD", ["c"]),
        ):
            await unit.connection.execute(
                "INSERT INTO orders (tenant_id, id, customer_id, platform, external_id, status, reported_status, "
                "currency, total_amount, discount_amount, paid_amount, refunded_amount, placed_at, categories) "
                "VALUES ($1, $2, $3, 'x', $2::uuid::text, 'paid', 'paid', $4, $5, $6, $5, $7, $8, $9)",
                tenant.id,
                new_id(),
                UUID(made[0]),
                currency,
                total,
                discount,
                refunded,
                now - timedelta(days=days),
                categories,
            )
        for sql in (LOCK_FACTS, REFRESH_FACTS):
            await unit.connection.execute(sql, tenant.id, [UUID(made[0])])
        await unit.connection.execute("UPDATE customers SET created_at = $1", now - timedelta(days=400, hours=1))
        for sql in (_SEEN, _CALLED):
            await unit.connection.execute(sql, tenant.id, UUID(made[0]), now)
    complaint = {"customer_id": made[0], "channel": "call", "subject": "x", "received_at": (now - DAY).isoformat()}
    assert (await client.post("/v1/complaints", json=complaint)).status_code == 201
    booked = await client.post(f"/v1/loyalty/accounts/{made[0]}/adjustments", json={"points": 70, "reason": "x"})
    assert booked.is_success
    own = [
        attribute_feature("attributes.size", "number", Words("size", "size")),
        attribute_feature("attributes.budget", "money", Words("budget", "budget")),
    ]
    features = [*FEATURES.values(), *own]
    async with database.read(tenant.actor) as unit:
        rows = await read_values(unit, features, [UUID(each) for each in made], now, "CNY")
    values = [dict(zip([each.name for each in features], tuple(row)[1:], strict=True)) for row in rows]
    assert [str(row[0]) for row in rows] == made
    assert values[0] == {
        "recency_days": 10,
        "order_count": 3,
        "orders_90d": 2,
        "net_spend": 18000,
        "average_order_value": 9000,
        "tenure_days": 100,
        "gap_days": 45,
        "category_count": 3,
        "discount_share": 0.1,
        "refund_share": pytest.approx(1 / 3),
        "events_90d": 1,
        "interaction_count": 1,
        "complaint_count": 1,
        "points": 70,
        "age_years": 36,
        "known_days": 400,
        "attributes.size": 38.5,
        "attributes.budget": 5000,
    }
    nothing = dict.fromkeys(values[0])
    assert values[1] == nothing | {"known_days": 400, "net_spend": 0} | dict.fromkeys(
        ("order_count", "orders_90d", "category_count", "events_90d", "interaction_count", "complaint_count", "points"),
        0,
    )
    async with database.read(tenant.actor) as unit:
        for each in features:  # one alone joins only what it needs
            alone = await read_values(unit, [each], [UUID(made[0])], now, "CNY")
            assert alone[0][1] == values[0][each.name], each.name
