"""Rule trees: segments, previews and searches."""

from typing import Any

from tests.bad_input.corpus.case import JSON, Bad, fields, query, raw

CITY = {"field": "city", "op": "eq", "value": "上海"}
COUNT = {"aggregate": "count", "of": "orders", "op": "gte", "value": 3}


def _deep(levels: int) -> dict[str, Any]:
    rule: dict[str, Any] = CITY
    for _ in range(levels):
        rule = {"not": rule}
    return rule


TREES: dict[str, tuple[Any, str, str]] = {
    "empty": ({}, "/rule", "rule_kind_unknown"),
    "a list": ([], "/rule", "rule_not_object"),
    "words that stop early": ("city = 上海 and", "/rule", "rule_text_syntax"),
    "words about nothing known": ("town = 上海", "/rule", "rule_field_unknown"),
    "words without end": ("(" * 10_001, "/rule", "rule_text_long"),
    "null": (None, "/rule", "rule_not_object"),
    "a number": (1, "/rule", "rule_not_object"),
    "two kinds at once": ({"all": [CITY], "any": [CITY]}, "/rule", "rule_kind_ambiguous"),
    "unknown key": ({**CITY, "boost": 2}, "/rule/boost", "rule_key_unknown"),
    "all of null": ({"all": None}, "/rule/all", "rule_not_list"),
    "all of an object": ({"all": {}}, "/rule/all", "rule_not_list"),
    "not of a list": ({"not": [CITY]}, "/rule/not", "rule_not_object"),
    "unknown field": ({"field": "shoe_size", "op": "eq", "value": 1}, "/rule/field", "rule_field_unknown"),
    "field as a number": ({"field": 1, "op": "eq", "value": 1}, "/rule/field", "rule_field_unknown"),
    "unknown operator": ({**CITY, "op": "like"}, "/rule/op", "rule_operator_unknown"),
    "operator of another type": ({"field": "city", "op": "gt", "value": "a"}, "/rule/op", "rule_operator_not_allowed"),
    "no operator": ({"field": "city", "value": "a"}, "/rule/op", "rule_key_missing"),
    "no value": ({"field": "city", "op": "eq"}, "/rule/value", "rule_key_missing"),
    "a value too many": ({"field": "city", "op": "exists", "value": 1}, "/rule/value", "rule_value_unexpected"),
    "value of the wrong type": ({**CITY, "value": 1}, "/rule/value", "rule_value_type"),
    "value null": ({**CITY, "value": None}, "/rule/value", "rule_value_type"),
    "list for one": ({**CITY, "value": ["a"]}, "/rule/value", "rule_value_type"),
    "one for a list": ({**CITY, "op": "in"}, "/rule/value", "rule_not_list"),
    "1,001 values": ({**CITY, "op": "in", "value": ["a"] * 1001}, "/rule/value", "rule_list_too_long"),
    "unknown choice": ({"field": "lifecycle", "op": "eq", "value": "zombie"}, "/rule/value", "rule_choice_unknown"),
    "impossible date": (
        {"field": "last_order_at", "op": "lt", "value": "2026-02-30T00:00:00Z"},
        "/rule/value",
        "rule_date_invalid",
    ),
    "instant without offset": (
        {"field": "last_order_at", "op": "lt", "value": "2026-02-01T00:00:00"},
        "/rule/value",
        "rule_value_type",
    ),
    "days ago, negative": (
        {"field": "last_order_at", "op": "lt", "value": {"days_ago": -1}},
        "/rule/value/days_ago",
        "rule_number_out_of_range",
    ),
    "a split into one": (
        {"bucket": {"salt": "s", "of": 1}, "op": "eq", "value": 0},
        "/rule/bucket/of",
        "rule_number_out_of_range",
    ),
    "a sequence of one": ({"sequence": [{"of": "orders"}]}, "/rule/sequence", "rule_sequence_size"),
    "unknown currency": (
        {"field": "net_spend", "op": "gt", "value": {"amount": 1, "currency": "ZZZ"}},
        "/rule/value/currency",
        "rule_currency_unknown",
    ),
    "unknown collection": ({**COUNT, "of": "dreams"}, "/rule/of", "rule_collection_unknown"),
    "unknown aggregate": ({**COUNT, "aggregate": "median"}, "/rule/aggregate", "rule_aggregate_unknown"),
    "sum of text": (
        {"aggregate": "sum", "of": "orders.status", "op": "gt", "value": 1},
        "/rule/of",
        "rule_aggregate_not_allowed",
    ),
    "window of no days": ({**COUNT, "window": {"last_days": 0}}, "/rule/window/last_days", "rule_number_out_of_range"),
    "window of 10^9 days": (
        {**COUNT, "window": {"last_days": 10**9}},
        "/rule/window/last_days",
        "rule_number_out_of_range",
    ),
    "window backwards": (
        {**COUNT, "window": {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}},
        "/rule/window",
        "rule_range_reversed",
    ),
    "unknown field inside": (
        {**COUNT, "where": {"field": "colour", "op": "eq", "value": "red"}},
        "/rule/where/field",
        "rule_field_unknown",
    ),
    "count of 2^63": ({**COUNT, "value": 2**63}, "/rule/value", "rule_number_out_of_range"),
    "count of 10^300": ({**COUNT, "value": 10**300}, "/rule/value", "rule_number_out_of_range"),
    "next version": ({"version": 2, "where": CITY}, "/rule/version", "rule_version_unsupported"),
    "a wrong leaf deep": (
        {"all": [CITY, {"any": [CITY, {"field": "nope", "op": "eq", "value": 1}]}]},
        "/rule/all/1/any/1/field",
        "rule_field_unknown",
    ),
    "11 levels": (_deep(10), "/rule" + "/not" * 10, "rule_too_deep"),
    "201 nodes": ({"all": [CITY] * 200}, "/rule/all/199", "rule_too_large"),
}

WORDS: dict[str, str] = {
    " ": "rule_text_syntax",
    "city": "rule_text_syntax",
    "city = '上海'": "rule_text_syntax",
    "city = 上海；": "rule_text_syntax",
    "not " * 2000: "rule_text_syntax",
    "(" * 10_000: "rule_text_syntax",
    "not " * 12 + "city = x": "rule_too_deep",
    "net_spend > 0.001 CNY": "rule_text_decimals",
    "net_spend > 1e99 CNY": "rule_text_amount",
    'city = "\\ud800"': "rule_text_invalid",
    'city = "\\x"': "rule_text_escape",
    "points = " + "9" * 400: "rule_number_out_of_range",
    "orders.count(last 999999999d) > 1": "rule_number_out_of_range",
}

CASES = [
    *(
        Bad(
            f"rule in {path}: {name}",
            "POST",
            path,
            422,
            "rule_invalid",
            pointer,
            JSON,
            raw({**more, "rule": rule}),
            error,
        )
        for name, (rule, pointer, error) in TREES.items()
        for path, more in (("/v1/segments", {"name": "new"}),)
        if name != "null"
    ),
    Bad(
        "segment by no rule",
        "POST",
        "/v1/segments",
        422,
        "invalid",
        "/rule",
        JSON,
        raw({"name": "n", "rule": None}),
        "required",
    ),
    *(
        Bad(f"rule in {path}: {name}", "POST", path, 422, "rule_invalid", pointer, JSON, raw({"rule": rule}), error)
        for path in ("/v1/segments/preview", "/v1/customers/search", "/v1/rules/describe")
        for name, (rule, pointer, error) in TREES.items()
        if name
        in {
            "empty",
            "unknown field",
            "impossible date",
            "11 levels",
            "201 nodes",
            "unknown currency",
            "words that stop early",
        }
    ),
    *(
        Bad(
            f"words {number}: {text[:30]}",
            "POST",
            "/v1/rules/parse",
            422,
            "rule_invalid",
            "/text",
            JSON,
            raw({"text": text}),
            error,
        )
        for number, (text, error) in enumerate(WORDS.items())
    ),
    *fields(
        "POST",
        "/v1/rules/parse",
        {"text": "city = 上海"},
        [
            ("text", "", "/text", "too_short"),
            ("text", 5, "/text", "wrong_type"),
            ("text", "x" * 10_001, "/text", "too_long"),
            ("rule", CITY, "/rule", "unknown_field"),
        ],
    ),
    *fields("POST", "/v1/rules/describe", {"rule": CITY}, [("text", "city = x", "/text", "unknown_field")]),
    *fields(
        "POST",
        "/v1/rules/explain",
        {"rule": CITY, "customer_id": "{customer}"},
        [
            ("customer_id", "no-id", "/customer_id", "invalid_id"),
            ("as_of", "1969-12-31T00:00:00Z", "/as_of", "out_of_range"),
            ("as_of", 0, "/as_of", "invalid_time"),
        ],
    ),
    *fields(
        "POST",
        "/v1/segments/preview",
        {"rule": CITY},
        [
            ("as_of", "2100-01-02T00:00:00Z", "/as_of", "out_of_range"),
            ("funnel", 1, "/funnel", "wrong_type"),
        ],
    ),
    *query(
        "/v1/customers/{customer}/segment-log",
        [
            ("at_from=yesterday", "/query/at_from", "invalid_time"),
            ("customer_id=1", "/query/customer_id", "unknown_parameter"),
        ],
    ),
    *query("/v1/segments/{segment}/explain/{customer}", [("limit=1", "/query/limit", "unknown_parameter")]),
    *query("/v1/rule-schema", [("limit=1", "/query/limit", "unknown_parameter")]),
    Bad(
        "rule in a change",
        "PATCH",
        "/v1/segments/{segment}",
        422,
        "rule_invalid",
        "/rule/field",
        JSON,
        raw({"rule": {"field": "x", "op": "eq", "value": 1}}),
    ),
    *fields(
        "POST",
        "/v1/segments",
        {"name": "new", "rule": CITY},
        [("name", "", "/name", "too_short"), ("size", 5, "/size", "unknown_field")],
    ),
    *fields(
        "PATCH",
        "/v1/segments/{segment}",
        {},
        [
            ("archived", None, "/archived", "wrong_type"),
            ("name", None, "/name", "wrong_type"),
            ("state", "active", "/state", "unknown_field"),
        ],
    ),
    Bad("segment twice", "POST", "/v1/segments", 409, "duplicate", "/name", JSON, raw({"name": "上海", "rule": CITY})),
    *fields(
        "POST",
        "/v1/customers/search",
        {"rule": CITY},
        [
            ("limit", 0, "/limit", "out_of_range"),
            ("limit", 201, "/limit", "out_of_range"),
            ("limit", "all", "/limit", "wrong_type"),
            ("after", "x", "/after", "bad_cursor"),
            ("before", "x", "/before", "bad_cursor"),
            ("count", "yes", "/count", "unknown_choice"),
            ("order", "loudest", "/order", "unknown_order"),
            ("fields", [], "/fields", "too_few"),
            ("fields", ["nope"], "/fields", "unknown_field"),
            ("fields", "id", "/fields", "wrong_type"),
        ],
    ),
]
