"""Tiers that cannot be told apart, windows that fit no year, tiers given to nobody or for the past."""

from tests.bad_input.corpus.case import JSON, Bad, fields, raw

NAME = {"en": "Gold", "zh": "金卡"}
TIER = {"code": "gold", "name": NAME, "threshold": 5}
LATER = "2999-01-01T00:00:00Z"
SCHEME = "/v1/loyalty/tiers/schemes/{tier_scheme}"
OVERRIDES = "/v1/loyalty/accounts/{customer}/tier/overrides"

CASES = [
    *fields(
        "PATCH",
        SCHEME,
        {},
        [
            ("name", "", "/name", "too_short"),
            ("apply", "yesterday", "/apply", "unknown_choice"),
            ("rules", {"metric": "likes"}, "/rules/metric", "unknown_choice"),
            ("rules", {"currency": "CNY"}, "/rules/currency", "not_used"),
            ("rules", {"metric": "net_spend", "currency": "CNX"}, "/rules/currency", "unknown_currency"),
            ("rules", {"window": "calendar", "window_months": 5}, "/rules/window_months", "out_of_range"),
            ("rules", {"window_months": 0}, "/rules/window_months", "out_of_range"),
            ("rules", {"start_month": 13}, "/rules/start_month", "out_of_range"),
            ("rules", {"valid_periods": 0}, "/rules/valid_periods", "out_of_range"),
            ("rules", {"grace_days": True}, "/rules/grace_days", "wrong_type"),
            ("rules", {"notice_days": 366}, "/rules/notice_days", "out_of_range"),
            ("rules", {"tiers": []}, "/rules/tiers", "too_few"),
            ("rules", {"tiers": [{**TIER, "code": "Gold"}]}, "/rules/tiers/0/code", "bad_format"),
            ("rules", {"tiers": [{**TIER, "threshold": -1}]}, "/rules/tiers/0/threshold", "out_of_range"),
            ("rules", {"tiers": [{**TIER, "multiplier": "2"}]}, "/rules/tiers/0/multiplier", "wrong_type"),
            ("rules", {"tiers": [TIER, {**TIER, "threshold": 6}]}, "/rules/tiers/1/code", "duplicate"),
            ("rules", {"tiers": [TIER, {**TIER, "code": "jade"}]}, "/rules/tiers/1/threshold", "not_rising"),
            ("rules", {"tiers": [{**TIER, "name": {"en": "Gold"}}]}, "/rules/tiers/0/name/zh", "required"),
        ],
    ),
    Bad(
        "tiers for a programme that has some",
        "POST",
        "/v1/loyalty/tiers/schemes",
        409,
        "scheme_exists",
        None,
        JSON,
        raw({"name": "x", "rules": {"metric": "visits", "window": "lifetime", "tiers": [TIER]}}),
    ),
    *fields(
        "POST",
        OVERRIDES,
        {"tier": "gold", "ends_at": LATER},
        [
            ("tier", "jade", "/tier", "unknown_tier"),
            ("ends_at", None, "/ends_at", "invalid_time"),
            ("ends_at", "2020-01-01T00:00:00Z", "/ends_at", "wrong_order"),
            ("starts_at", "2020-01-01T00:00:00Z", "/starts_at", "in_the_past"),
            ("mode", "perhaps", "/mode", "unknown_choice"),
        ],
    ),
    *fields("POST", "/v1/loyalty/tiers/replays", {}, [("scheme_id", "no-id", "/scheme_id", "invalid_id")]),
    Bad("the tier of nobody", "GET", "/v1/loyalty/accounts/{missing}/tier", 404, "not_found", "/customer_id"),
    Bad(
        "a standing of no level", "GET", "/v1/loyalty/tiers/standings?level_from=x", 422, "invalid", "/query/level_from"
    ),
]
