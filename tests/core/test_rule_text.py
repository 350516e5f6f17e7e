"""Rules in words: text to the same tree and back, faults by character, sentences in two languages."""

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_api.core.errors import Forbidden, Invalid
from crm_api.core.rules import MAX_WRITTEN, RuleTree, check_rule, rule_sentence, rule_text
from crm_api.core.rules.text import TEXT_MESSAGES
from tests.core.test_rules import (
    ACCEPTED,
    CATALOGUE,
    SCOPED,
    UUID_TEXT,
    actor,
    count,
    leaf,
    numbered,
)
from tests.db.test_rules_sql import RULES, TREES

CNY = "CNY"


def tree_of(text):
    return check_rule(text, CATALOGUE).document["where"]


def money(amount, currency=CNY):
    return {"amount": amount, "currency": currency}


WRITTEN = [
    (
        "orders.count(last 90d) >= 3 and not tag:wholesale",
        {"all": [count(window={"last_days": 90}), {"not": leaf("tags", "contains", "wholesale")}]},
    ),
    (
        "orders.sum(total, last 30d, where status in (paid, refunded)) > 500 CNY",
        count(
            aggregate="sum",
            of="orders.total",
            window={"last_days": 30},
            where=leaf("status", "in", ["paid", "refunded"]),
            op="gt",
            value=money(50_000),
        ),
    ),
    (
        'city = "上海" or score between 38 and 40.5',
        {"any": [leaf("city", "eq", "上海"), leaf("score", "between", [38, 40.5])]},
    ),
    ("last_order_at before 60d ago", leaf("last_order_at", "lt", {"days_ago": 60})),
    ("last_order_at after 6h ago", leaf("last_order_at", "gt", {"hours_ago": 6})),
    ("last_order_at within 2 weeks", leaf("last_order_at", "within", {"last_days": 14})),
    (
        "last_order_at within next 7d",
        leaf("last_order_at", "within", {"from": {"days_ago": 0}, "to": {"days_ahead": 7}}),
    ),
    (
        "last_order_at within from 2026-01-01 until 2026-02-01T00:00:00+08:00",
        leaf("last_order_at", "within", {"from": "2026-01-01", "to": "2026-02-01T00:00:00+08:00"}),
    ),
    ("birthday within 7d", leaf("birthday", "between", [{"days_ago": 0}, {"days_ahead": 7}])),
    ("birthday within last 7 days", leaf("birthday", "between", [{"days_ago": 7}, {"days_ago": 0}])),
    ("birthday = today", leaf("birthday", "eq", {"days_ago": 0})),
    ("orders.count = 0", count(op="eq", value=0)),
    ("orders.count() = 0", count(op="eq", value=0)),
    (
        "orders.max(placed_at) within last 7d",
        count(aggregate="max", of="orders.placed_at", op="within", value={"last_days": 7}),
    ),
    (
        "orders.count(where lines.count(where product = X) >= 2) >= 3",
        count(
            where={"aggregate": "count", "of": "lines", "op": "gte", "value": 2, "where": leaf("product", "eq", "X")}
        ),
    ),
    ("city:杭州 AND NOT vip:true", {"all": [leaf("city", "eq", "杭州"), {"not": leaf("vip", "eq", True)}]}),
    ("tags contains any （vip，“a b”）", leaf("tags", "contains_any", ["vip", "a b"])),
    ('tags contains all (a-b, "not")', leaf("tags", "contains_all", ["a-b", "not"])),
    ("city starts with 杭 or city is missing", {"any": [leaf("city", "starts_with", "杭"), leaf("city", "missing")]}),
    ("city exists", leaf("city", "exists")),
    (f"owner_id = {UUID_TEXT}", leaf("owner_id", "eq", UUID_TEXT)),
    ("net_spend between 12.5 CNY and 20 CNY", leaf("net_spend", "between", [money(1250), money(2000)])),
    ("net_spend >= 500 JPY", leaf("net_spend", "gte", money(500, "JPY"))),
    ("score > -1.5e3", leaf("score", "gt", -1500.0)),
    (
        "not (vip = true and points = 1 or points = 2)",
        {"not": {"any": [{"all": [leaf("vip", "eq", True), leaf("points", "eq", 1)]}, leaf("points", "eq", 2)]}},
    ),
    ("all()", {"all": []}),
    ("any(points = 1)", {"any": [leaf("points", "eq", 1)]}),
    (
        "all(points = 1, (points = 2 or points = 3))",
        {"all": [leaf("points", "eq", 1), {"any": [leaf("points", "eq", 2), leaf("points", "eq", 3)]}]},
    ),
    (
        "bucket('spring', 100) < 20 and bucket(a-b，10) in (1, 2)".replace("'", '"'),
        {
            "all": [
                {"bucket": {"salt": "spring", "of": 100}, "op": "lt", "value": 20},
                {"bucket": {"salt": "a-b", "of": 10}, "op": "in", "value": [1, 2]},
            ]
        },
    ),
    (
        "not sequence(orders(where channel = web) THEN orders then orders, within 1 week, last 90d)",
        {
            "not": {
                "sequence": [
                    {"of": "orders", "where": leaf("channel", "eq", "web")},
                    {"of": "orders"},
                    {"of": "orders"},
                ],
                "within": {"days": 7},
                "window": {"last_days": 90},
            }
        },
    ),
    ("`points`\n  not in (1,\n 2)", leaf("points", "not_in", [1, 2])),
]

# text, code, the characters that are meant
FAULTY = [
    ("", "rule_text_syntax", ""),
    ("   ", "rule_text_syntax", ""),
    ("city", "rule_text_syntax", ""),
    ("city = ", "rule_text_syntax", ""),
    ("city ~ 3", "rule_text_syntax", "~"),
    ("points = 3x", "rule_text_syntax", "3"),
    ("points = 1 2", "rule_text_syntax", "2"),
    ("(points = 1", "rule_text_syntax", ""),
    ("points = 1)", "rule_text_syntax", ")"),
    ("points = 1 and or points = 2", "rule_text_syntax", "or"),
    ("city = 'x'", "rule_text_syntax", "'"),
    ("tags contains any ()", "rule_text_syntax", ")"),
    ("orders.count(last) > 1", "rule_text_syntax", ")"),
    ('city = "a\\q"', "rule_text_escape", '"a\\q"'),
    ("net_spend > 1.005 CNY", "rule_text_decimals", "1.005"),
    ("net_spend > 1.5 JPY", "rule_text_decimals", "1.5"),
    ("net_spend > 1e99 CNY", "rule_text_amount", "1e99"),
    ("net_spend > 1 XXL", "rule_currency_unknown", "XXL"),
    ("not " * 10 + "vip:true", "rule_too_deep", "vip:true"),
    # What the check finds, at the characters it is about
    ("points = 1 and town = x", "rule_field_unknown", "town"),
    ("town:x", "rule_field_unknown", "town"),
    ("visits.count() > 1", "rule_collection_unknown", "visits.count"),
    ("orders.median(items) > 1", "rule_aggregate_unknown", "orders.median"),
    ("sum(items) > 1", "rule_collection_unknown", "items"),
    ("orders.sum(tax) > 1 CNY", "rule_field_unknown", "tax"),
    ("orders.sum() > 1", "rule_aggregate_field_required", "orders.sum"),
    ("orders.count(items) > 1", "rule_aggregate_field_unexpected", "items"),
    ("city > x", "rule_operator_not_allowed", "> x"),
    ("points = many", "rule_value_type", "many"),
    ("points = 1" + "0" * 30, "rule_number_out_of_range", "1" + "0" * 30),
    ("score = 1e999", "rule_number_not_finite", "1e999"),
    ("points in (1, a, 2)", "rule_value_type", "a"),
    ("lifecycle = asleep", "rule_choice_unknown", "asleep"),
    ("birthday = 2026-02-30", "rule_date_invalid", "2026-02-30"),
    ("last_order_at within last 99999d", "rule_number_out_of_range", "last 99999d"),
    ("last_order_at within from 2026-02-01 to 2026-01-01", "rule_range_reversed", "from 2026-02-01 to 2026-01-01"),
    ("orders.count(where status = x) > 1", "rule_choice_unknown", "x"),
    ("points between 3 and 1", "rule_range_reversed", "between 3 and 1"),
    ("bucket(x, 1) = 0", "rule_number_out_of_range", "1"),
    ("sequence(orders then visits, within 7d)", "rule_collection_unknown", "visits"),
    ("sequence(orders, within 7d)", "rule_text_syntax", ","),
    ("sequence(orders then orders, within 0h)", "rule_number_out_of_range", "0h"),
]


class TestReading:
    @pytest.mark.parametrize(("text", "tree"), WRITTEN, ids=[text[:40] for text, _tree in WRITTEN])
    def test_text_becomes_the_tree(self, text, tree):
        assert tree_of(text) == tree

    @pytest.mark.parametrize(("text", "code", "meant"), FAULTY, ids=numbered([text for text, *_ in FAULTY]))
    def test_faults_name_the_characters(self, text, code, meant):
        with pytest.raises(Invalid) as caught:
            check_rule(text, CATALOGUE, "/rule")
        (error,) = caught.value.errors
        assert (error.pointer, error.code) == ("/rule", code)
        place = error.position
        assert text[place.offset : place.offset + place.length] == meant
        assert f"line {place.line}, column {place.column}" in error.message
        assert error.message_zh != error.message
        assert error.localized("zh")["position"]["offset"] == place.offset

    def test_messages_say_what_was_expected_in_both_languages(self):
        with pytest.raises(Invalid) as caught:
            tree_of("points = 1\n  and tags contains")
        (error,) = caught.value.errors
        assert error.message == "Expected 'all' or 'any' or a value, found the end of the text (line 2, column 20)"
        assert error.message_zh == "此处应为“all”或“any”或一个值，实际是文本结尾（第 2 行，第 20 列）"

    @pytest.mark.parametrize(
        ("rule", "english", "chinese"),
        [
            ("citi = x", "There is no such field; did you mean 'city'? (", "没有此字段；是否指“city”？（"),
            (
                {"field": "citi", "op": "eq", "value": "x"},
                "There is no such field; did you mean 'city'?",
                "没有此字段；是否",
            ),
            ("orders > 1", "There is no such field: 'orders' is a collection, ask for", "没有此字段：“orders”是集合，"),
            (
                "orders.sum(totl) > 1 CNY",
                "There is no such field; did you mean 'total'? (",
                "没有此字段；是否指“total”",
            ),
            ("zzz = 1", "There is no such field (", "没有此字段（"),
            ({"field": 1, "op": "eq", "value": "x"}, "There is no such field", "没有此字段"),
            ("net_spend > 5", "Must be money such as 19.99 CNY (", "必须是金额，例如 19.99 CNY（"),
            (
                {"field": "net_spend", "op": "gt", "value": 5},
                'Must be money such as {"amount": 1999,',
                "必须是金额，例如 {",
            ),
            (
                "city > x",
                "Not an operator of this field; allowed: =, !=, in, not in, contains, starts w",
                "此字段不支持",
            ),
            (
                "orders.sum() > 1",
                "'sum' needs a field of the rows, as in orders.sum(total, last 90d) (",
                "“sum” 需要字段",
            ),
        ],
    )
    def test_advice_is_in_the_spelling_the_rule_was_written_in(self, rule, english, chinese):
        with pytest.raises(Invalid) as caught:
            check_rule(rule, CATALOGUE, "/rule")
        (error,) = caught.value.errors
        assert error.message.startswith(english), error.message
        assert error.message_zh.startswith(chinese), error.message_zh

    def test_all_faults_of_a_rule_that_reads_well_are_named(self):
        with pytest.raises(Invalid) as caught:
            tree_of("town = 1 or points = x\nor lifecycle:asleep")
        assert [(error.position.line, error.position.column) for error in caught.value.errors] == [
            (1, 1),
            (1, 22),
            (2, 14),
        ]

    def test_every_code_is_tried_above(self):
        assert set(TEXT_MESSAGES) - {"rule_text_long"} <= {code for _text, code, _meant in FAULTY}

    def test_a_scope_that_lacks_is_told_at_the_name(self):
        with pytest.raises(Forbidden) as caught:
            check_rule("city = x and points > 1", SCOPED, "/rule", actor())
        (error,) = caught.value.errors
        assert (error.pointer, error.position.offset, error.position.length) == ("/rule", 13, 6)

    def test_a_tree_in_a_body_may_be_a_text(self):
        assert check_rule(RuleTree("city = x"), CATALOGUE).document == {"version": 1, "where": leaf("city", "eq", "x")}

    @pytest.mark.parametrize(
        "text",
        ["(" * MAX_WRITTEN, "not " * (MAX_WRITTEN // 4), "a in (" + ",".join("1" * (MAX_WRITTEN // 2 - 4)) + ")"],
    )
    def test_the_costliest_texts_are_read_in_linear_time(self, text):
        before = time.process_time()
        with pytest.raises(Invalid):
            tree_of(text)
        assert time.process_time() - before < 2

    def test_longer_texts_are_refused(self):
        with pytest.raises(Invalid) as caught:
            tree_of("x" * (MAX_WRITTEN + 1))
        assert caught.value.errors[0].code == "rule_text_long"


PIECES = [
    piece.encode().decode("unicode_escape") if piece.startswith("\\") else piece
    for line in (
        "city points vip birthday last_order_at orders.count orders.sum orders lines tags tag net_spend nope",
        "and or not all any where in between within contains starts with is exists missing AND",
        "bucket( sequence( then before after last next from since to until ago ahead now today true false",
        "( ) （ ） , ， : ： = != >= < ≠ 3 -1.5 1e999 90d 6h 2周 CNY XXL 2026-01-31 2026-13-01 0 . `a` `` # “x”",
        r"""" "a" "\ud800" "\x" \ud800 \0 \n 上海 99999999999999999999 2026-01-31T09:00:00Z""",
    )
    for piece in line.split(" ")
]


class TestAnything:
    @given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=30))
    @settings(max_examples=300, deadline=None)
    def test_is_read_or_refused_with_a_place_inside_the_text(self, text):
        try:
            document = check_rule(text, CATALOGUE).document
        except Invalid as error:
            for each in error.errors:
                assert 0 <= each.position.offset <= each.position.offset + each.position.length <= len(text)
        else:
            assert check_rule(rule_text(document, CATALOGUE), CATALOGUE).document == document


class TestWriting:
    @given(TREES)
    @settings(max_examples=200, deadline=None)
    def test_any_tree_comes_back_from_its_text(self, tree):
        text = rule_text(tree, RULES.catalogue)
        assert check_rule(text, RULES.catalogue).document["where"] == tree
        assert check_rule(tree, RULES.catalogue).document["where"] == tree

    @given(st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text))
    @example("not")
    @example("2026-01-31\n")
    @example("“")
    @settings(max_examples=200, deadline=None)
    def test_any_text_comes_back(self, text):
        tree = {"all": [leaf("city", "eq", text), leaf("tags", "contains", text), leaf("tags", "contains_any", [text])]}
        assert tree_of(rule_text(tree, CATALOGUE)) == tree

    @given(st.integers(-(10**15), 10**15), st.sampled_from([CNY, "JPY", "KWD"]), st.floats(-1e15, 1e15))
    @settings(max_examples=200, deadline=None)
    def test_any_amount_and_number_comes_back(self, amount, currency, number):
        tree = {"any": [leaf("net_spend", "lt", money(amount, currency)), leaf("score", "lt", number)]}
        assert tree_of(rule_text(tree, CATALOGUE)) == tree

    @pytest.mark.parametrize("tree", ACCEPTED, ids=numbered(ACCEPTED))
    def test_every_kind_of_leaf_comes_back(self, tree):
        document = check_rule(tree, CATALOGUE).document
        assert check_rule(rule_text(document, CATALOGUE), CATALOGUE).document == document

    @pytest.mark.parametrize(("text", "tree"), WRITTEN, ids=[text[:40] for text, _tree in WRITTEN])
    def test_writing_settles_at_once(self, text, tree):
        written = rule_text(tree, CATALOGUE)
        assert rule_text(tree_of(written), CATALOGUE) == written

    @pytest.mark.parametrize(
        "text",
        [
            "orders.count(last 90d) >= 3 and not tag:wholesale",
            'city = "上海" or score between 38 and 40.5',
            "orders.sum(total, last 30d, where status in (paid, refunded)) > 500 CNY",
            "birthday between today and 7d ahead",
            "last_order_at before 60d ago",
            "vip = true and (points > 1 or net_spend <= 12.50 CNY)",
            'bucket("spring", 100) < 20 or sequence(orders(where items > 1) then orders, within 36h, from 2026-01-01)',
        ],
    )
    def test_what_people_write_stays_as_it_is(self, text):
        assert rule_text(tree_of(text), CATALOGUE) == text


SENTENCES = [
    (
        "orders.count(last 90d) >= 3 and not tag:wholesale",
        "Number of orders in the last 90 days is at least 3, and tags do not include “wholesale”",
        "订单数量（近 90 天）不少于 3，且 tags 不含“wholesale”",
    ),
    (
        "orders.sum(total, last 30d, where status = paid) > 500 CNY",
        "Sum of total over orders in the last 30 days (only where status is “paid”) is more than 500 CNY",
        "订单的 total 合计（近 30 天，仅限 status 为“paid”）大于 500 CNY",
    ),
    ("city = 上海", "City is “上海”", "城市为“上海”"),
    ("city != 上海", "City is known and is not “上海”", "城市已知且不为“上海”"),
    ("not city = 上海", "City is not “上海” (or is not known)", "城市不为“上海”（或未知）"),
    ("not city exists", "City is not known", "城市未知"),
    ("last_order_at before 60d ago", "Last order is before 60 days ago", "last order 早于 60 天前"),
    ("birthday within 7d", "Birthday is from today to 7 days from now", "birthday 在今天到 7 天后之间"),
    (
        "vip:true or points > 5 and vip:true",
        "VIP: yes, or (points is more than 5, and VIP: yes)",
        "VIP：是，或（points 大于 5，且 VIP：是）",
    ),
    ("not (vip:true and points > 5)", "Not (VIP: yes, and points is more than 5)", "并非（VIP：是，且 points 大于 5）"),
    ("orders.count(from 2026-01-01) = 0", "Number of orders from 2026-01-01 on is 0", "订单数量（2026-01-01 起）为 0"),
    ("all()", "Everyone", "所有客户"),
    (
        "vip:true and not sequence(orders(where items > 1) then orders, within 7d, last 90d)",
        (
            "VIP: yes, and (orders (only where items is more than 1), then orders did not come in this order "
            "within 7 days of the first, in the last 90 days)"
        ),
        "VIP：是，且（没有依次发生订单（仅限 items 大于 1）、然后订单（自第一步起 7 天内、近 90 天））",
    ),
    (
        "bucket(spring, 100) < 20",
        "Bucket among 100 by “spring” is less than 20",
        "按“spring”分成 100 组的组号少于 20",
    ),
]


class TestSentences:
    @pytest.mark.parametrize(("text", "english", "chinese"), SENTENCES, ids=[text for text, *_ in SENTENCES])
    def test_reads_well(self, text, english, chinese):
        assert rule_sentence(tree_of(text), CATALOGUE) == {"en": english, "zh": chinese}

    @given(TREES)
    @settings(max_examples=60, deadline=None)
    def test_any_tree_has_one(self, tree):
        said = rule_sentence(tree, RULES.catalogue)
        assert said["en"]
        assert said["zh"]
        json.dumps(said)

    def test_long_lists_are_counted(self):
        said = rule_sentence(leaf("points", "in", [*range(100)]), CATALOGUE)
        assert said["en"].endswith("18, 19 and 80 more")
        assert said["zh"].endswith("18、19等 80 项之一")
