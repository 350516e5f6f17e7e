"""The rule language without a database: what is accepted, and how every fault is named."""

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import jsonschema_rs
import pytest
from pydantic import BaseModel, TypeAdapter

from crm_api.core.actor import Actor
from crm_api.core.errors import Forbidden, Invalid
from crm_api.core.money import Money
from crm_api.core.rules import (
    MAX_DEPTH,
    MAX_NODES,
    AggregateTest,
    Ago,
    All,
    AsOf,
    Op,
    RuleCatalogue,
    RuleCollection,
    RuleDocument,
    RuleField,
    RuleTree,
    RuleType,
    Window,
    bucket_of,
    check_rule,
    rule_json_schema,
    settled,
)
from crm_api.core.rules.report import MAX_ERRORS, MESSAGES

LINES = RuleCollection(
    "lines", "Order lines", inside=RuleCatalogue([RuleField("product", RuleType.TEXT, "Product code")])
)
ORDERS = RuleCollection(
    "orders",
    "Orders",
    "订单",
    time="placed_at",
    inside=RuleCatalogue(
        [
            RuleField("status", RuleType.CHOICE, "Status", choices=("paid", "refunded")),
            RuleField("total", RuleType.MONEY, "Total"),
            RuleField("items", RuleType.INTEGER, "Items"),
            RuleField("channel", RuleType.TEXT, "Channel"),
            RuleField("placed_at", RuleType.INSTANT, "When it was placed"),
            RuleField("labels", RuleType.MULTI, "Labels"),
        ],
        [LINES],
    ),
)
CATALOGUE = RuleCatalogue(
    [
        RuleField("city", RuleType.TEXT, "City", "城市"),
        RuleField("old", RuleType.TEXT, "Old", archived=True),
        RuleField("points", RuleType.INTEGER, "Points"),
        RuleField("score", RuleType.NUMBER, "Score"),
        RuleField("net_spend", RuleType.MONEY, "Net spend"),
        RuleField("birthday", RuleType.DATE, "Birthday"),
        RuleField("last_order_at", RuleType.INSTANT, "Last order"),
        RuleField("vip", RuleType.BOOLEAN, "VIP"),
        RuleField("lifecycle", RuleType.CHOICE, "Lifecycle", choices=("prospect", "loyal", "lost")),
        RuleField("owner_id", RuleType.UUID, "Owner"),
        RuleField("tags", RuleType.MULTI, "Tags"),
        RuleField("cells", RuleType.MULTI, "Cells", items=RuleType.CHOICE, choices=("A", "B")),
    ],
    [ORDERS],
)
UUID_TEXT = "0198a5b0-0000-7000-8000-000000000001"
OK = {"field": "city", "op": "eq", "value": "杭州"}
COUNT = {"aggregate": "count", "of": "orders", "op": "gte", "value": 3}
BUCKET = {"bucket": {"salt": "spring", "of": 100}, "op": "lt", "value": 20}
SEQUENCE = {
    "sequence": [{"of": "orders", "where": {"field": "channel", "op": "eq", "value": "web"}}, {"of": "orders"}],
    "within": {"days": 7},
    "window": {"last_days": 90},
}


def actor(*scopes):
    return Actor(UUID(UUID_TEXT), "key", UUID(UUID_TEXT), frozenset(scopes))


def leaf(field, op, *value):
    return {"field": field, "op": op, **({"value": value[0]} if value else {})}


def count(**changes):
    return {key: value for key, value in (COUNT | changes).items() if value is not ...}


def nested(levels, kind="not"):
    tree = OK
    for _ in range(levels - 1):
        tree = {kind: tree if kind == "not" else [tree]}
    return tree


def faults(tree, pointer=""):
    with pytest.raises(Invalid) as caught:
        check_rule(tree, CATALOGUE, pointer)
    assert caught.value.code == "rule_invalid"
    return [(error.pointer, error.code) for error in caught.value.errors]


ACCEPTED = [
    OK,
    {"version": 1, "where": OK},
    {"where": OK},
    {"all": []},
    {"any": [OK, {"not": OK}]},
    leaf("city", "in", ["杭州", "上海"]),
    leaf("city", "contains", "50%_\\"),
    leaf("city", "eq", ""),
    leaf("city", "exists"),
    leaf("points", "between", [10, 10]),
    leaf("points", "eq", 3.0),
    leaf("score", "gte", -0.5),
    leaf("net_spend", "lt", {"amount": 100, "currency": "CNY"}),
    leaf("birthday", "between", [{"days_ago": 30}, "2026-01-31"]),
    leaf("birthday", "gt", {"days_ahead": 7}),
    leaf("last_order_at", "gte", "2026-01-31T09:00:00+08:00"),
    leaf("last_order_at", "gte", "2026-01-31T09:00:00.123456Z"),
    leaf("last_order_at", "lt", "2026-01-31"),
    leaf("last_order_at", "within", {"last_hours": 6}),
    leaf("last_order_at", "within", {"from": "2026-01-01", "to": {"days_ago": 1}}),
    leaf("vip", "eq", False),
    leaf("lifecycle", "not_in", ["lost"]),
    leaf("owner_id", "eq", UUID_TEXT),
    leaf("tags", "contains_all", ["a", "b"]),
    leaf("cells", "contains", "A"),
    COUNT,
    count(window={"last_days": 90}, where=leaf("status", "eq", "paid")),
    count(aggregate="sum", of="orders.total", value={"amount": 0, "currency": "CNY"}),
    count(aggregate="avg", of="orders.items", value=1.5),
    count(aggregate="last", of="orders.channel", op="eq", value="douyin"),
    count(aggregate="max", of="orders.placed_at", op="within", value={"last_days": 7}),
    count(where={"aggregate": "count", "of": "lines", "op": "gte", "value": 2, "where": leaf("product", "eq", "X")}),
    nested(MAX_DEPTH),
    {"any": [BUCKET, {**BUCKET, "op": "between", "value": [0, 99]}, {**BUCKET, "op": "not_in", "value": [7, 8]}]},
    {"any": [SEQUENCE, {"sequence": [{"of": "orders"}] * 5, "within": {"hours": 36}}]},
]

REFUSED = [
    # Shape
    (None, "", "rule_not_object"),
    (True, "", "rule_not_object"),
    ([OK], "", "rule_not_object"),
    ({}, "", "rule_kind_unknown"),
    ({"and": [OK]}, "", "rule_kind_unknown"),
    ({"all": [OK], "any": [OK]}, "", "rule_kind_ambiguous"),
    ({"all": OK}, "/all", "rule_not_list"),
    ({"any": None}, "/any", "rule_not_list"),
    ({"all": [OK, 7]}, "/all/1", "rule_not_object"),
    ({"not": [OK]}, "/not", "rule_not_object"),
    ({"not": OK, "x": 1}, "/x", "rule_key_unknown"),
    ({"all": [{**OK, "a/b~c": 1}]}, "/all/0/a~1b~0c", "rule_key_unknown"),
    ({**OK, "\ud800\0": 1}, "/??", "rule_key_unknown"),
    # Envelope
    ({"version": 2, "where": OK}, "/version", "rule_version_unsupported"),
    ({"version": True, "where": OK}, "/version", "rule_version_unsupported"),
    ({"version": "1", "where": OK}, "/version", "rule_version_unsupported"),
    ({"version": 1}, "/where", "rule_key_missing"),
    ({"version": 1, "where": OK, "name": "x"}, "/name", "rule_key_unknown"),
    ({"version": 1, "where": {"any": [{"not": 1}]}}, "/where/any/0/not", "rule_not_object"),
    # Size
    (nested(MAX_DEPTH + 1), "/not" * MAX_DEPTH, "rule_too_deep"),
    (nested(MAX_DEPTH + 1, "all"), "/all/0" * MAX_DEPTH, "rule_too_deep"),
    ({"any": [OK] * MAX_NODES}, f"/any/{MAX_NODES - 1}", "rule_too_large"),
    # Names
    (leaf("town", "eq", "x"), "/field", "rule_field_unknown"),
    (leaf(["city"], "eq", "x"), "/field", "rule_field_unknown"),
    (leaf("orders", "eq", "x"), "/field", "rule_field_unknown"),
    (leaf("old", "eq", "x"), "/field", "rule_field_archived"),
    # Operators
    ({"field": "city", "value": "x"}, "/op", "rule_key_missing"),
    (leaf("city", "like", "x"), "/op", "rule_operator_unknown"),
    (leaf("city", 1, "x"), "/op", "rule_operator_unknown"),
    (leaf("city", "gt", "x"), "/op", "rule_operator_not_allowed"),
    (leaf("last_order_at", "eq", "2026-01-01"), "/op", "rule_operator_not_allowed"),
    (leaf("tags", "eq", "x"), "/op", "rule_operator_not_allowed"),
    (leaf("city", "eq"), "/value", "rule_key_missing"),
    (leaf("city", "exists", True), "/value", "rule_value_unexpected"),
    # Text
    (leaf("city", "eq", None), "/value", "rule_value_type"),
    (leaf("city", "eq", 5), "/value", "rule_value_type"),
    (leaf("city", "eq", "a\0b"), "/value", "rule_text_invalid"),
    (leaf("city", "eq", "a\ud83d"), "/value", "rule_text_invalid"),
    (leaf("city", "eq", "x" * 501), "/value", "rule_text_too_long"),
    (leaf("city", "contains", ""), "/value", "rule_text_empty"),
    (leaf("city", "in", ["a", 1]), "/value/1", "rule_value_type"),
    (leaf("city", "in", "a"), "/value", "rule_not_list"),
    (leaf("city", "in", []), "/value", "rule_list_empty"),
    (leaf("city", "in", ["a"] * 1001), "/value", "rule_list_too_long"),
    (leaf("tags", "contains_all", ["a"] * 21), "/value", "rule_list_too_long"),
    # Numbers
    (leaf("points", "eq", "3"), "/value", "rule_value_type"),
    (leaf("points", "eq", True), "/value", "rule_value_type"),
    (leaf("points", "eq", 1.5), "/value", "rule_value_type"),
    (leaf("points", "eq", 10**400), "/value", "rule_number_out_of_range"),
    (leaf("points", "eq", 1e300), "/value", "rule_number_out_of_range"),
    (leaf("points", "eq", math.nan), "/value", "rule_number_not_finite"),
    (leaf("score", "eq", math.inf), "/value", "rule_number_not_finite"),
    (leaf("score", "eq", 10**16), "/value", "rule_number_out_of_range"),
    (leaf("score", "eq", False), "/value", "rule_value_type"),
    (leaf("points", "between", [1]), "/value", "rule_range_size"),
    (leaf("points", "between", {"from": 1}), "/value", "rule_range_size"),
    (leaf("points", "between", [2, 1]), "/value", "rule_range_reversed"),
    (leaf("points", "between", [1, "2"]), "/value/1", "rule_value_type"),
    # Money
    (leaf("net_spend", "gt", 100), "/value", "rule_value_type"),
    (leaf("net_spend", "gt", {"amount": 100}), "/value", "rule_value_type"),
    (leaf("net_spend", "gt", {"amount": 100, "currency": None}), "/value", "rule_value_type"),
    (leaf("net_spend", "gt", {"amount": 1.5, "currency": "CNY"}), "/value/amount", "rule_value_type"),
    (leaf("net_spend", "gt", {"amount": 10**16, "currency": "CNY"}), "/value/amount", "rule_number_out_of_range"),
    (leaf("net_spend", "gt", {"amount": 1, "currency": "XXL"}), "/value/currency", "rule_currency_unknown"),
    (
        leaf("net_spend", "between", [{"amount": 1, "currency": "CNY"}, {"amount": 2, "currency": "USD"}]),
        "/value",
        "rule_currency_mixed",
    ),
    (
        leaf("net_spend", "between", [{"amount": 2, "currency": "CNY"}, {"amount": 1, "currency": "CNY"}]),
        "/value",
        "rule_range_reversed",
    ),
    # Days and instants
    (leaf("birthday", "eq", "2026-02-30"), "/value", "rule_date_invalid"),
    (leaf("birthday", "eq", "0001-01-01"), "/value", "rule_date_invalid"),
    (leaf("birthday", "eq", "30.1.2026"), "/value", "rule_value_type"),
    (leaf("birthday", "eq", "2026-01-31T00:00:00Z"), "/value", "rule_value_type"),
    (leaf("birthday", "eq", 20260131), "/value", "rule_value_type"),
    (leaf("birthday", "gt", {"hours_ago": 3}), "/value", "rule_value_type"),
    (leaf("birthday", "gt", {"days_ago": -1}), "/value/days_ago", "rule_number_out_of_range"),
    (leaf("birthday", "gt", {"days_ago": "3"}), "/value/days_ago", "rule_value_type"),
    (leaf("birthday", "gt", {"days_ago": 1, "days_ahead": 1}), "/value", "rule_value_type"),
    (leaf("birthday", "between", [{"days_ago": 1}, {"days_ago": 2}]), "/value", "rule_range_reversed"),
    (leaf("last_order_at", "gt", "2026-01-31T09:00:00"), "/value", "rule_value_type"),
    (leaf("last_order_at", "gt", "2026-01-31T25:00:00Z"), "/value", "rule_date_invalid"),
    (leaf("last_order_at", "gt", "2026-01-31T23:59:60Z"), "/value", "rule_date_invalid"),
    (leaf("last_order_at", "gt", "9999-12-31"), "/value", "rule_date_invalid"),
    (leaf("last_order_at", "gt", {"days_ago": 10**9}), "/value/days_ago", "rule_number_out_of_range"),
    (leaf("last_order_at", "gt", {}), "/value", "rule_value_type"),
    # Other types
    (leaf("vip", "eq", 1), "/value", "rule_value_type"),
    (leaf("lifecycle", "eq", "asleep"), "/value", "rule_choice_unknown"),
    (leaf("lifecycle", "eq", ["loyal"]), "/value", "rule_value_type"),
    (leaf("cells", "contains_any", ["A", "C"]), "/value/1", "rule_choice_unknown"),
    (leaf("owner_id", "eq", "42"), "/value", "rule_value_type"),
    (leaf("owner_id", "eq", "{" + UUID_TEXT[1:-1] + "}"), "/value", "rule_value_type"),
    # Aggregates
    (count(aggregate="median"), "/aggregate", "rule_aggregate_unknown"),
    (count(aggregate=[]), "/aggregate", "rule_aggregate_unknown"),
    (count(of=...), "/of", "rule_key_missing"),
    (count(of=1), "/of", "rule_value_type"),
    (count(of="visits"), "/of", "rule_collection_unknown"),
    (count(of="orders.total"), "/of", "rule_aggregate_field_unexpected"),
    (count(aggregate="sum"), "/of", "rule_aggregate_field_required"),
    (count(aggregate="sum", of="orders.tax"), "/of", "rule_field_unknown"),
    (count(aggregate="sum", of="orders.channel"), "/of", "rule_aggregate_not_allowed"),
    (count(aggregate="last", of="orders.labels"), "/of", "rule_aggregate_not_allowed"),
    (count(aggregate="sum", of="orders.total"), "/value", "rule_value_type"),
    (count(op="exists", value=...), "/op", "rule_operator_not_allowed"),
    (count(aggregate="sum", of="orders.items", op="exists", value=...), "/op", "rule_operator_not_allowed"),
    (count(value=None), "/value", "rule_value_type"),
    (count(field="x"), "", "rule_kind_ambiguous"),
    (count(group="x"), "/group", "rule_key_unknown"),
    (count(where=leaf("city", "eq", "x")), "/where/field", "rule_field_unknown"),
    (count(where=None), "/where", "rule_not_object"),
    (count(where={"all": [leaf("status", "eq", "x")]}), "/where/all/0/value", "rule_choice_unknown"),
    (count(where=nested(MAX_DEPTH)), "/where" + "/not" * (MAX_DEPTH - 1), "rule_too_deep"),
    # Windows
    (count(window=90), "/window", "rule_value_type"),
    (count(window=None), "/window", "rule_value_type"),
    (count(window={}), "/window", "rule_window_empty"),
    (count(window={"last_weeks": 1}), "/window/last_weeks", "rule_key_unknown"),
    (count(window={"last_days": 0}), "/window/last_days", "rule_number_out_of_range"),
    (count(window={"last_days": 1.5}), "/window/last_days", "rule_value_type"),
    (count(window={"last_days": 1, "to": "2026-01-01"}), "/window", "rule_window_ambiguous"),
    (count(window={"from": "2026-02-01", "to": "2026-01-01"}), "/window", "rule_range_reversed"),
    (count(window={"from": "2026-01-01", "to": "2026-01-01"}), "/window", "rule_range_reversed"),
    (count(window={"from": "2026-13-01"}), "/window/from", "rule_date_invalid"),
    (count(window={"to": None}), "/window/to", "rule_value_type"),
    (leaf("last_order_at", "within", {"from": "x"}), "/value/from", "rule_value_type"),
    (
        count(where={"aggregate": "count", "of": "lines", "op": "gt", "value": 0, "window": {"last_days": 1}}),
        "/where/window",
        "rule_window_not_allowed",
    ),
    # Buckets and sequences
    (count(where=BUCKET), "/where", "rule_bucket_inside"),
    ({**BUCKET, "op": "in", "value": [0, 100]}, "/value", "rule_bucket_range"),
    ({"sequence": [{"of": "orders"}]}, "/sequence", "rule_sequence_size"),
]


def numbered(trees):
    """Name cases by number and beginning: some begin alike."""
    return [f"{number}-{ascii(tree)[:50]}" for number, tree in enumerate(trees)]


accepted = pytest.mark.parametrize("tree", ACCEPTED, ids=numbered(ACCEPTED))


class TestCheck:
    @accepted
    def test_accepts(self, tree):
        rule = check_rule(tree, CATALOGUE)
        assert rule.document["version"] == 1
        assert check_rule(rule.document, CATALOGUE).document == rule.document

    @pytest.mark.parametrize(("tree", "pointer", "code"), REFUSED, ids=numbered(REFUSED))
    def test_refuses_with_pointer_and_code(self, tree, pointer, code):
        assert faults(tree) == [(pointer, code)]

    def test_every_fault_of_a_tree_is_named_in_one_answer(self):
        tree = {"all": [leaf("town", "eq", 1), {"not": leaf("vip", "eq", 1)}, OK, leaf("city", "in", [1, "a", 2])]}
        assert faults(tree, "/rule") == [
            ("/rule/all/0/field", "rule_field_unknown"),
            ("/rule/all/1/not/value", "rule_value_type"),
            ("/rule/all/3/value/0", "rule_value_type"),
            ("/rule/all/3/value/2", "rule_value_type"),
        ]

    def test_every_part_of_buckets_and_sequences_is_looked_at(self):
        bucket = lambda salt, of: {**BUCKET, "bucket": {"salt": salt, "of": of}}  # noqa: E731
        steps = [{"of": "visits"}, {"of": "lines"}, 7, {"of": "orders", "where": BUCKET, "x": 1}, {"where": OK}]
        trees = [
            {**BUCKET, "bucket": "spring"},
            bucket("", 100),
            bucket("x" * 101, 100),
            bucket("a\0b", 100),
            bucket(7, 100),
            bucket("s", 1),
            bucket("s", 10_001),
            {**BUCKET, "op": "exists"},
            {**BUCKET, "value": "3"},
            {"sequence": steps},
            {"sequence": [{"of": "orders", "where": leaf("city", "eq", "x")}, {"of": "orders"}]},
            {"sequence": {}},
            {**SEQUENCE, "within": {"days": 1, "hours": 1}},
            {**SEQUENCE, "within": {"hours": 0}},
            {**SEQUENCE, "window": {}},
            {**SEQUENCE, "op": "eq"},
            {**SEQUENCE, **BUCKET},
        ]
        assert faults({"all": trees}) == [
            ("/all/0/bucket", "rule_value_type"),
            ("/all/1/bucket/salt", "rule_text_empty"),
            ("/all/2/bucket/salt", "rule_text_too_long"),
            ("/all/3/bucket/salt", "rule_text_invalid"),
            ("/all/4/bucket/salt", "rule_value_type"),
            ("/all/5/bucket/of", "rule_number_out_of_range"),
            ("/all/6/bucket/of", "rule_number_out_of_range"),
            ("/all/7/op", "rule_operator_not_allowed"),
            ("/all/8/value", "rule_value_type"),
            ("/all/9/sequence/0/of", "rule_collection_unknown"),
            ("/all/9/sequence/1/of", "rule_collection_unknown"),
            ("/all/9/sequence/2", "rule_not_object"),
            ("/all/9/sequence/3/x", "rule_key_unknown"),
            ("/all/9/sequence/4/of", "rule_key_missing"),
            ("/all/10/sequence/0/where/field", "rule_field_unknown"),
            ("/all/11/sequence", "rule_not_list"),
            ("/all/12/within", "rule_value_type"),
            ("/all/13/within/hours", "rule_number_out_of_range"),
            ("/all/14/window", "rule_window_empty"),
            ("/all/15/op", "rule_key_unknown"),
            ("/all/16", "rule_kind_ambiguous"),
        ]
        untimed = count(where={"sequence": [{"of": "lines"}] * 2})
        assert faults(untimed) == [(f"/where/sequence/{n}/of", "rule_window_not_allowed") for n in (0, 1)]

    def test_faults_are_bounded(self):
        assert len(faults({"all": [{}] * 199})) == MAX_ERRORS

    @pytest.mark.parametrize("kind", ["not", "all", "value"])
    def test_very_deep_json_is_refused_without_recursion(self, kind):
        deep = []
        for _ in range(100_000):
            deep = {"not": deep} if kind == "not" else {"all": [deep]} if kind == "all" else [deep]
        tree = leaf("city", "eq", deep) if kind == "value" else deep
        assert faults(tree)[0][1] == ("rule_value_type" if kind == "value" else "rule_too_deep")
        while deep:  # take it apart by hand: the interpreter's own clean-up of such nests is slow
            deep = deep.pop("not") if kind == "not" else deep.pop("all").pop() if kind == "all" else deep.pop()

    def test_a_very_wide_tree_is_refused_early(self):
        assert faults({"all": [OK] * 1_000_000}) == [("/all/199", "rule_too_large")]

    def test_messages_are_english_and_chinese_and_can_be_sent(self):
        for tree, _pointer, _code in REFUSED:
            with pytest.raises(Invalid) as caught:
                check_rule(tree, CATALOGUE)
            for error in caught.value.errors:
                assert "{" not in error.localized("en")["message"].replace('{"', "").replace("{amount", "")
                assert error.message_zh != error.message
                json.dumps(error.localized("zh"), ensure_ascii=False).encode()

    def test_every_code_is_tried_above(self):
        assert {code for _tree, _pointer, code in REFUSED} == set(MESSAGES)

    def test_values_become_python(self):
        rule = check_rule(
            {
                "all": [
                    leaf("score", "gte", 0.1),
                    leaf("net_spend", "gt", {"amount": 5, "currency": "CNY"}),
                    leaf("last_order_at", "lt", "2026-01-31T09:00:00+08:00"),
                    leaf("city", "in", ["a", "a", "b"]),
                    count(window={"last_days": 90}),
                ]
            },
            CATALOGUE,
        )
        assert isinstance(rule.root, All)
        score, spend, last, city, orders = rule.root.parts
        assert score.value == Decimal("0.1")
        assert spend.value == Money(amount=5, currency="CNY")
        assert last.value == datetime(2026, 1, 31, 1, tzinfo=UTC)
        assert city.value == ("a", "b")
        assert isinstance(orders, AggregateTest)
        assert orders.window == Window(Ago(days=90), Ago())
        assert orders.op is Op.GTE
        assert orders.pointer == "/all/4"
        assert [node.pointer for node in rule.leaves()] == [f"/all/{index}" for index in range(5)]


class TestBuckets:
    def test_formula_is_the_documented_one(self):
        # printf 'spring:0198a5b0-0000-7000-8000-000000000001' | sha256sum → 7693e227…
        assert bucket_of("spring", UUID(UUID_TEXT), 100) == 0x7693E227 % 100

    def test_splits_are_even_and_independent(self):
        people = [UUID(int=number) for number in range(4000)]
        spring = {each for each in people if bucket_of("spring", each, 100) < 50}
        autumn = {each for each in people if bucket_of("autumn", each, 100) < 50}
        assert 1900 < len(spring) < 2100
        assert 900 < len(spring & autumn) < 1100


class TestMoments:
    SHANGHAI = AsOf(datetime(2026, 3, 1, 17, 30, tzinfo=UTC), ZoneInfo("Asia/Shanghai"))

    def test_days_are_the_tenants(self):
        assert self.SHANGHAI.today() == date(2026, 3, 2)
        birthday = CATALOGUE.fields["birthday"]
        assert settled(Ago(days=1), birthday, self.SHANGHAI) == date(2026, 3, 1)
        last = CATALOGUE.fields["last_order_at"]
        assert settled(date(2026, 3, 2), last, self.SHANGHAI) == datetime(2026, 3, 1, 16, tzinfo=UTC)
        assert settled(Ago(days=1), last, self.SHANGHAI) == datetime(2026, 2, 28, 17, 30, tzinfo=UTC)

    def test_days_keep_the_wall_clock_when_clocks_change_and_hours_do_not(self):
        as_of = AsOf(datetime(2026, 3, 29, 7, tzinfo=UTC), ZoneInfo("Europe/Berlin"))  # 09:00, after the change
        last = CATALOGUE.fields["last_order_at"]
        assert settled(Ago(days=1), last, as_of) == datetime(2026, 3, 28, 8, tzinfo=UTC)  # 09:00
        assert settled(Ago(hours=24), last, as_of) == datetime(2026, 3, 28, 7, tzinfo=UTC)

    def test_a_midnight_that_does_not_exist_is_the_first_instant_of_the_day(self):
        as_of = AsOf(datetime(2018, 12, 1, tzinfo=UTC), ZoneInfo("America/Sao_Paulo"))
        midnight = settled(date(2018, 11, 4), CATALOGUE.fields["last_order_at"], as_of)
        assert midnight == datetime(2018, 11, 4, 3, tzinfo=UTC)

    def test_now_itself_is_kept_in_the_hour_that_comes_twice(self):
        instant = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # the second 02:30
        as_of = AsOf(instant, ZoneInfo("Europe/Berlin"))
        assert settled(Window(Ago(days=1), Ago()), CATALOGUE.fields["last_order_at"], as_of)[1] == instant

    def test_needs_an_offset(self):
        with pytest.raises(ValueError, match="offset"):
            AsOf(datetime(2026, 1, 1), ZoneInfo("UTC"))  # noqa: DTZ001


class TestCatalogue:
    def test_names_are_unique(self):
        with pytest.raises(ValueError, match="already know"):
            CATALOGUE.add(RuleField("city", RuleType.TEXT, "again"))

    def test_extended_leaves_the_original(self):
        wider = CATALOGUE.extended(RuleField("attributes.size", RuleType.TEXT, "Size"))
        assert check_rule(leaf("attributes.size", "eq", "M"), wider)
        assert faults(leaf("attributes.size", "eq", "M")) == [("/field", "rule_field_unknown")]

    @pytest.mark.parametrize(
        "arguments",
        [
            {"type": RuleType.CHOICE},
            {"type": RuleType.TEXT, "choices": ("a",)},
            {"type": RuleType.TEXT, "operators": (Op.GT,)},
            {"type": RuleType.MULTI, "items": RuleType.MONEY},
        ],
    )
    def test_fields_that_make_no_sense_are_refused(self, arguments):
        with pytest.raises(ValueError, match="rule field x"):
            RuleField("x", description="x", **arguments)

    def test_describes_itself_for_screens(self):
        shown = CATALOGUE.describe()
        city = shown["fields"][0]
        assert city["description"] == {"en": "City", "zh": "城市"}
        assert "starts_with" in city["operators"]
        (orders,) = shown["collections"]
        assert orders["window"] is True
        assert "sum:total" in orders["aggregates"]
        assert orders["collections"][0]["name"] == "lines"
        json.dumps(shown)


ORDERS_WITH_SCOPE = RuleCollection(
    "orders",
    "Orders",
    time="at",
    scope="orders:read",
    inside=RuleCatalogue(
        [RuleField("status", RuleType.TEXT, "Status"), RuleField("margin", RuleType.INTEGER, "M", scope="money:read")]
    ),
)
SCOPED = RuleCatalogue(
    [RuleField("city", RuleType.TEXT, "City"), RuleField("points", RuleType.INTEGER, "Points", scope="loyalty:read")],
    [ORDERS_WITH_SCOPE],
)
POINTS = leaf("points", "gte", 1)


class TestScopes:
    """Answers tell values, so a rule takes the scopes of what it names."""

    @pytest.mark.parametrize(
        ("rule", "lacking"),
        [
            (OK, []),
            (POINTS, [("/rule/field", "loyalty:read")]),
            ({"where": {"any": [OK, {"not": POINTS}]}}, [("/rule/where/any/1/not/field", "loyalty:read")]),
            (COUNT, [("/rule/of", "orders:read")]),
            (count(where=leaf("status", "eq", "paid")), [("/rule/of", "orders:read")]),
            (
                count(aggregate="sum", of="orders.margin"),
                [("/rule/of", "orders:read"), ("/rule/of", "money:read")],
            ),
            (
                {"sequence": [{"of": "orders", "where": leaf("margin", "gt", 0)}, {"of": "orders"}]},
                [
                    ("/rule/sequence/0/of", "orders:read"),
                    ("/rule/sequence/1/of", "orders:read"),
                    ("/rule/sequence/0/where/field", "money:read"),
                ],
            ),
            (
                {"all": [count(where=leaf("margin", "gt", 0)), POINTS]},
                [
                    ("/rule/all/0/of", "orders:read"),
                    ("/rule/all/0/where/field", "money:read"),
                    ("/rule/all/1/field", "loyalty:read"),
                ],
            ),
        ],
    )
    def test_every_place_is_found(self, rule, lacking):
        checked = check_rule(rule, SCOPED, "/rule", actor("orders:read", "money:read", "loyalty:read"))
        assert [(pointer, scope) for scope, pointer in checked.needs()] == lacking
        check_rule(rule, SCOPED, "/rule")
        check_rule(rule, SCOPED, "/rule", actor("admin"))
        if lacking:
            with pytest.raises(Forbidden) as caught:
                check_rule(rule, SCOPED, "/rule", actor("other"))
            assert caught.value.extra == {"required_scope": lacking[0][1]}
            assert [error.pointer for error in caught.value.errors] == [pointer for pointer, _ in lacking]
            assert {error.code for error in caught.value.errors} == {"scope_required"}

    def test_only_what_is_lacking_is_told(self):
        with pytest.raises(Forbidden) as caught:
            check_rule({"all": [COUNT, POINTS]}, SCOPED, "", actor("orders:read"))
        assert [error.pointer for error in caught.value.errors] == ["/all/1/field"]
        assert "loyalty:read" in caught.value.errors[0].message_zh

    def test_a_rule_that_is_wrong_is_told_first(self):
        with pytest.raises(Invalid):
            check_rule({"all": [POINTS, leaf("nope", "eq", 1)]}, SCOPED, "", actor())

    def test_screens_learn_the_scopes(self):
        shown = SCOPED.describe()
        assert [each["scope"] for each in shown["fields"]] == [None, "loyalty:read"]
        (orders,) = shown["collections"]
        assert orders["scope"] == "orders:read"
        assert [each["scope"] for each in orders["fields"]] == ["orders:read", "money:read"]


class Body(BaseModel):
    rule: RuleTree
    other: RuleTree | None = None


class TestWire:
    def test_body_keeps_the_rule_as_sent_for_the_service_to_check(self):
        body = Body.model_validate_json(json.dumps({"rule": COUNT}))
        assert check_rule(body.rule, CATALOGUE).document["where"] == COUNT
        assert body.other is None
        assert json.loads(body.model_dump_json())["rule"] == COUNT

    def test_openapi_component_is_recursive(self):
        schema = Body.model_json_schema()
        assert {"RuleNode", "RuleAll", "RuleNot", "RuleFieldTest", "RuleAggregateTest"} <= set(schema["$defs"])
        assert schema["$defs"]["RuleAll"]["properties"]["all"]["items"] == {"$ref": "#/$defs/RuleNode"}
        assert '"null"' not in json.dumps(schema["$defs"])

    @accepted
    def test_models_take_what_the_check_takes_and_write_it_back(self, tree):
        jsonschema_rs.validate(Body.model_json_schema(), {"rule": tree})
        document = check_rule(tree, CATALOGUE).document
        model = TypeAdapter(RuleDocument).validate_python(document)
        assert check_rule(RuleTree(model), CATALOGUE).root == check_rule(document, CATALOGUE).root


# What a schema cannot say: sizes of trees, order, sense of dates and texts.
BEYOND = frozenset(
    {
        "rule_too_deep",
        "rule_too_large",
        "rule_date_invalid",
        "rule_range_reversed",
        "rule_text_invalid",
        "rule_text_empty",
        "rule_currency_unknown",
        "rule_currency_mixed",
        "rule_bucket_range",
        "rule_number_not_finite",
    }
)


WITHIN = [tree for tree, _pointer, code in REFUSED if code not in BEYOND]


class TestSchema:
    VALIDATOR = jsonschema_rs.validator_for(rule_json_schema(CATALOGUE), validate_formats=True)

    @accepted
    def test_schema_takes_what_the_check_takes(self, tree):
        self.VALIDATOR.validate(tree)

    @pytest.mark.parametrize("tree", WITHIN, ids=numbered(WITHIN))
    def test_schema_refuses_what_the_check_refuses(self, tree):
        try:
            assert not self.VALIDATOR.is_valid(tree)
        except ValueError:
            json.dumps(tree).encode()  # not JSON at all (a lone surrogate)
