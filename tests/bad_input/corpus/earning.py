"""Earning rules whose parts do not go together, occasions nobody listens to, orders that cannot be tried."""

import json

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid

FIXED = {"kind": "fixed", "points": 5}
RULE = {"name": "new", "trigger": "order_paid", "formula": FIXED}
TOLD = {"trigger": "survey", "customer_id": "{customer}", "reference": "answer-2"}
LONG_AGO = "2020-01-01T00:00:00Z"
CITY = {"field": "city", "op": "eq", "value": "上海"}


def _refused(name, path, body, status, code, pointer=None, error=None):
    return Bad(f"earning: {name}", "POST", path, status, code, pointer, JSON, json.dumps(body).encode(), error)


CASES = [
    *fields(
        "POST",
        "/v1/loyalty/earning-rules",
        RULE,
        [
            ("name", "", "/name", "too_short"),
            ("trigger", "full_moon", "/trigger", "unknown_choice"),
            ("event_type", "share", "/event_type", "unexpected"),
            ("event", {"field": "sku", "op": "exists"}, "/event", "unexpected"),
            ("formula", None, "/formula", "wrong_type"),
            ("formula", {"kind": "fixed"}, "/formula/points", "required"),
            ("formula", {"kind": "fixed", "points": 0}, "/formula/points", "out_of_range"),
            ("formula", {"kind": "fixed", "points": 1.5}, "/formula/points", "wrong_type"),
            ("formula", {"kind": "fixed", "points": 1, "percent": 5}, "/formula/percent", "unexpected"),
            ("formula", {"kind": "per_unit", "points": 1, "per": 0}, "/formula/per", "out_of_range"),
            ("gives", "joy", "/gives", "unknown_choice"),
            ("stacking", "most", "/stacking", "unknown_choice"),
            ("stacking_group", "A B", "/stacking_group", "bad_format"),
            ("priority", 10_001, "/priority", "out_of_range"),
            ("keeps_base", "yes", "/keeps_base", "wrong_type"),
            ("counts", {"shipping": 1}, "/counts/shipping", "wrong_type"),
            ("counts", {"tips": True}, "/counts/tips", "unknown_field"),
            ("caps", {"per_day": -1}, "/caps/per_day", "out_of_range"),
            ("caps", {"per_year": 1}, "/caps/per_year", "unknown_field"),
            ("starts_at", "tomorrow", "/starts_at", "invalid_time"),
        ],
    ),
    *invalid(
        "POST",
        "/v1/loyalty/earning-rules",
        {
            "an event of no type": ({**RULE, "trigger": "event"}, "/event_type", "required"),
            "lines of a birthday": ({**RULE, "trigger": "birthday", "lines": CITY}, "/lines", "unexpected"),
            "beside nothing": ({**RULE, "trigger": "birthday", "keeps_base": True}, "/keeps_base", "unexpected"),
            "pieces of a survey": (
                {**RULE, "trigger": "survey", "formula": {"kind": "per_item", "points": 1}},
                "/formula/kind",
                "unexpected",
            ),
            "ends before it starts": (
                {**RULE, "starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
                "/ends_at",
                "wrong_order",
            ),
        },
    ),
    *invalid(
        "POST",
        "/v1/loyalty/earning-rules",
        {"a city of an order": ({**RULE, "order": CITY}, "/order/field", "rule_field_unknown")},
        code="rule_invalid",
    ),
    _refused("a name twice", "/v1/loyalty/earning-rules", {**RULE, "name": "问卷"}, 409, "duplicate", "/name"),
    *fields(
        "PATCH",
        "/v1/loyalty/earning-rules/{earning_rule}",
        {},
        [
            ("trigger", "sign_up", "/trigger", "unknown_field"),
            ("name", None, "/name", "wrong_type"),
            ("caps", {"budget": 10**15 + 1}, "/caps/budget", "out_of_range"),
            ("formula", {"kind": "per_unit", "points": 1}, "/formula/kind", "unexpected"),
        ],
    ),
    Bad(
        "earning: active already",
        "POST",
        "/v1/loyalty/earning-rules/{active_rule}/activate",
        409,
        "already_active",
    ),
    Bad("earning: a rule there is not", "POST", "/v1/loyalty/earning-rules/{missing}/archive", 404, "not_found"),
    *fields("PATCH", "/v1/loyalty/earning-limits", {}, [("per_day", "many", "/per_day", "wrong_type")]),
    *fields(
        "POST",
        "/v1/loyalty/earnings",
        TOLD,
        [
            ("trigger", "order_paid", "/trigger", "unknown_choice"),
            ("reference", "a b", "/reference", "bad_format"),
            ("occurred_at", "2999-01-01T00:00:00Z", "/occurred_at", "impossible_date"),
            ("occurred_at", LONG_AGO, "/occurred_at", "impossible_date"),
            ("amount", {"amount": -1, "currency": "CNY"}, "/amount/amount", "out_of_range"),
        ],
    ),
    _refused("nobody listens", "/v1/loyalty/earnings", {**TOLD, "trigger": "referral"}, 409, "no_rule"),
    _refused("nobody earns", "/v1/loyalty/earnings", {**TOLD, "customer_id": "{missing}"}, 404, "not_found"),
    _refused(
        "somebody else's reference",
        "/v1/loyalty/earnings",
        {**TOLD, "customer_id": "{other}", "reference": "answer-1"},
        409,
        "key_reused",
    ),
    *invalid("POST", "/v1/loyalty/simulate", {"no order": ({}, "/order_id", "required")}),
    _refused("an order there is not", "/v1/loyalty/simulate", {"order_id": "{missing}"}, 404, "not_found"),
]
