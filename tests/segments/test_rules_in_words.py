"""Rules in words over REST and GraphQL: read, written, said, taken in place of trees, and their schema."""

from pathlib import Path

import jsonschema_rs
import pytest

from crm_api.core.rules import check_rule, rule_sentence
from crm_api.segments.repository.catalogue import CUSTOMER_RULES

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

TEXT = "orders.count(last 90d) >= 3 and not tag:wholesale"
TREE = {
    "all": [
        {"aggregate": "count", "of": "orders", "window": {"last_days": 90}, "op": "gte", "value": 3},
        {"not": {"field": "tags", "op": "contains", "value": "wholesale"}},
    ]
}
SENTENCE = {
    "en": "Number of orders in the last 90 days is at least 3, and tags do not include “wholesale”",
    "zh": "订单数量（近 90 天）不少于 3，且标签不含“wholesale”",
}
WORDS = {"rule": {"version": 1, "where": TREE}, "text": TEXT, "sentence": SENTENCE}
SHOE = {"entity": "customer", "key": "shoe_size", "type": "number", "label": {"en": "Shoe size", "zh": "鞋码"}}
SHOE_TEXT = "attributes.shoe_size between 38 and 40"

PAGE = Path(__file__).parents[2] / "docs/domains/segments.md"
DOCUMENTED = PAGE.read_text("utf-8").partition("## In words")[2].split("```")[1].strip().splitlines()


def choosing(scope):
    """Yield the fields of a catalogue that are one of a few words, those of rows too."""
    yield from (each for each in scope.fields.values() if each.choices)
    for collection in scope.collections.values():
        yield from choosing(collection.inside)


async def test_every_choice_is_called_something_in_chinese():
    assert [
        (field.name, each)
        for field in choosing(CUSTOMER_RULES.catalogue)
        for each in field.choices
        if each not in field.labels_zh and field.name != "severity"  # S1 … S4 are the same in all languages
    ] == []
    rule = "lifecycle in (first_purchase, loyal) and churn_level = watch and consents.marketing.sms = true"
    tree = check_rule(f"{rule} and orders.count(where status = paid) >= 1", CUSTOMER_RULES.catalogue).document
    assert rule_sentence(tree, CUSTOMER_RULES.catalogue)["zh"] == (
        "生命周期为“首购客户”、“忠诚客户”之一，且流失预警等级（最近一次评估）为“关注”，且是否允许营销（短信）：是，"
        "且订单数量（仅限状态为“已付款”）不少于 1"
    )


async def post(client, path, **body):
    response = await client.post(f"/v1/{path}", json=body)
    assert response.status_code in {200, 201}, response.text
    return response.json()


class TestRest:
    async def test_text_and_tree_say_the_same(self, client):
        assert await post(client, "rules/parse", text=TEXT) == WORDS
        assert await post(client, "rules/describe", rule=TREE) == WORDS
        assert await post(client, "rules/describe", rule=TEXT) == WORDS

    async def test_the_shops_own_attributes_are_called_by_their_labels(self, client):
        await post(client, "attribute-definitions", **SHOE)
        said = await post(client, "rules/parse", text=SHOE_TEXT)
        assert said["sentence"] == {"en": "Shoe size is from 38 to 40", "zh": "鞋码在 38 到 40 之间"}

    @pytest.mark.parametrize(("path", "key"), [("rules/parse", "text"), ("customers/search", "rule")])
    async def test_faults_name_the_character(self, client, path, key):
        text = "city = 上海\n  and town = x"
        response = await client.post(f"/v1/{path}", json={key: text}, headers={"Accept-Language": "zh"})
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error == {
            "pointer": f"/{key}",
            "code": "rule_field_unknown",
            "message": "没有此字段（第 2 行，第 7 列）",
            "position": {"offset": text.index("town"), "length": 4, "line": 2, "column": 7},
        }

    async def test_text_is_taken_wherever_a_rule_is(self, client):
        for name, city in (("here", "上海"), ("there", "杭州")):
            await post(client, "customers", name=name, city=city)
        rule = "city:上海"
        assert (await post(client, "segments/preview", rule=rule))["count"] == 1
        found = await post(client, "customers/search", rule=rule)
        assert [each["name"] for each in found["data"]] == ["here"]
        made = await post(client, "segments", name="s", rule=rule)
        assert made["rule"] == {"version": 1, "where": {"field": "city", "op": "eq", "value": "上海"}}
        changed = await client.patch(f"/v1/segments/{made['id']}", json={"rule": "city != 上海"})
        assert changed.json()["rule"]["where"]["op"] == "ne"

    async def test_segments_show_their_rule_in_words_on_request(self, client):
        await post(client, "attribute-definitions", **SHOE)
        made = await post(client, "segments", name="s", rule=f"{TEXT} and {SHOE_TEXT}")
        assert "sentence" not in made
        shown = (await client.get(f"/v1/segments/{made['id']}?fields=rule_text,sentence")).json()
        assert shown["rule_text"] == f"{TEXT} and {SHOE_TEXT}"
        assert shown["sentence"]["zh"] == f"{SENTENCE['zh']}，且鞋码在 38 到 40 之间"

    async def test_segments_are_called_by_their_names(self, client):
        first = (await post(client, "segments", name="常客", rule="tag:vip"))["id"]
        unknown = "0198a5b0-0000-7000-8000-000000000001"
        text = f"segment:{first} or segments contains any ({first.upper()}, {unknown})"
        said = await post(client, "rules/parse", text=text)
        assert said["sentence"] == {
            "en": f"Segments include “常客”, or segments include at least one of “常客”, {unknown}",
            "zh": f"所在分群含“常客”，或所在分群至少含“常客”、{unknown} 之一",
        }
        made = await post(client, "segments", name="s", rule=f"not segment:{first}")
        shown = (await client.get(f"/v1/segments/{made['id']}?fields=sentence")).json()
        assert shown["sentence"]["en"] == "Segments do not include “常客”"

    async def test_every_example_of_the_documentation_is_one(self, client):
        await post(client, "attribute-definitions", **SHOE)
        assert len(DOCUMENTED) > 5
        for example in DOCUMENTED:
            assert (await post(client, "rules/parse", text=example))["text"]

    async def test_the_schema_takes_what_rules_may_be(self, client):
        await post(client, "attribute-definitions", **SHOE)
        schema = (await client.get("/v1/rule-schema")).json()
        assert schema["$id"] == "urn:crm-api:rules:1"
        valid = jsonschema_rs.validator_for(schema)
        assert valid.is_valid(TREE)
        assert valid.is_valid({"field": "attributes.shoe_size", "op": "gt", "value": 38})
        assert not valid.is_valid({"field": "attributes.hat", "op": "gt", "value": 38})


async def test_graphql_says_the_same(client):
    made = await post(client, "segments", name="s", rule=TEXT)
    query = """query($text: String!, $rule: JSON!) {
        ruleParse(input: {text: $text}) { rule text sentence { en zh } }
        ruleDescribe(input: {rule: $rule}) { text sentence { zh } }
        ruleSchema { schema }
        segments { nodes { id ruleText sentence { en } } }
    }"""
    response = await client.post("/graphql", json={"query": query, "variables": {"text": TEXT, "rule": TREE}})
    data = response.json()["data"]
    assert data["ruleParse"] == WORDS
    assert data["ruleDescribe"] == {"text": TEXT, "sentence": {"zh": SENTENCE["zh"]}}
    assert data["ruleSchema"]["schema"]["$id"] == "urn:crm-api:rules:1"
    (segment,) = data["segments"]["nodes"]
    assert made["id"]
    assert (segment["ruleText"], segment["sentence"]) == (TEXT, {"en": SENTENCE["en"]})


async def test_graphql_names_the_character(client):
    query = '{ ruleParse(input: {text: "city = "}) { text } }'
    (error,) = (await client.post("/graphql", json={"query": query})).json()["errors"]
    (fault,) = error["extensions"]["errors"]
    assert fault["position"] == {"offset": 7, "length": 0, "line": 1, "column": 8}


TYPED = """{ all: [
  { any: [ { test: { field: "city", op: IN, value: ["上海"] } }, { not: { test: { field: "city", op: EXISTS } } } ] },
  { figure: { aggregate: SUM, of: "orders.total", op: GTE, value: { amount: 100, currency: "CNY" },
              window: { lastDays: 90 }, where: { test: { field: "status", op: EQ, value: "paid" } } } },
  { bucket: { salt: "spring", of: 100, op: LT, value: $most } },
  { sequence: { steps: [{ of: "events", where: { test: { field: "type", op: EQ, value: "x" } } }, { of: "orders" }],
                within: { days: 7 }, window: { from: "2026-01-01", to: { days_ago: 1 } } } }
] }"""
MEANT = (
    'all(city in ("上海") or not city exists, orders.sum(total, last 90d, where status = paid) >= 1 CNY, '
    'bucket("spring", 100) < 20, '
    "sequence(events(where type = x) then orders, within 7d, from 2026-01-01 to 1d ago))"
)


async def test_graphql_takes_rules_as_typed_input(client):
    async def ask(query, **variables):
        return (await client.post("/graphql", json={"query": query, "variables": variables})).json()

    async def describe(text, **variables):
        return await ask(f"query($most: JSON) {{ ruleDescribe(input: {text}) {{ rule }} }}", **variables)

    meant = (await post(client, "rules/parse", text=MEANT))["rule"]
    said = await describe(f"{{ruleTree: {TYPED}}}", most=20)
    assert said["data"]["ruleDescribe"]["rule"] == meant
    # Over variables too, nulls being as good as left out; beside a null rule.
    tree = {"figure": {"aggregate": "COUNT", "of": "orders", "op": "GT", "value": 0, "where": None, "window": None}}
    query = "query($tree: RuleInput!) { ruleDescribe(input: {rule: null, ruleTree: $tree}) { text } }"
    assert (await ask(query, tree=tree))["data"]["ruleDescribe"]["text"] == "orders.count() > 0"
    wrong = 'mutation($rule: JSON, $tree: RuleInput) { segmentCreate(input: {name: "x", rule: $rule, ruleTree: $tree})'
    wrong += " { segment { id } userErrors { code path } } }"

    async def refused(**variables):
        made = (await ask(wrong, **variables))["data"]["segmentCreate"]
        assert made["segment"] is None
        return made["userErrors"]

    assert await refused(rule=TREE, tree=tree) == [{"code": "either", "path": ["input", "ruleTree"]}]
    assert await refused() == [{"code": "required", "path": ["input", "rule"]}]
    unknown = {"any": [tree, {"not": {"test": {"field": "nope", "op": "EQ", "value": 1}}}]}
    assert await refused(tree=unknown) == [
        {"code": "rule_field_unknown", "path": ["input", "rule", "any", "1", "not", "field"]}
    ]
    # Exactly one key a node, by the schema; and bodies have at most 64 levels.
    for broken in ({**tree, "not": tree}, {}, {"not": None}):
        assert "errors" in await ask(query, tree=broken)
    deep = tree
    for _ in range(70):
        deep = {"not": deep}
    (error,) = (await ask(query, tree=deep))["errors"]
    assert error["extensions"]["code"] == "too_deep"
    assert (await client.get("/v1/segments")).json()["data"] == []
