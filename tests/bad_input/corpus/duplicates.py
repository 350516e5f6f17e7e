"""Well-formed requests about duplicates that say what cannot be."""

from tests.bad_input.corpus.case import JSON, Bad, fields, query, raw

CUSTOMERS = "/v1/customers"
CONTACTS = "/v1/customers/{other}/contact-points"
PAIRS = "/v1/duplicate-candidates"
RUNS = "/v1/duplicate-runs"
MOBILE = {"kind": "mobile", "value": "13812345678"}

CASES = [
    Bad(
        "create: somebody has the phone",
        "POST",
        CUSTOMERS,
        409,
        "duplicate_customer",
        "/contact_points/0/value",
        JSON,
        raw({"name": "x", "contact_points": [MOBILE]}),
        "duplicate_customer",
    ),
    Bad(
        "create: somebody has the identity, whatever the header says",
        "POST",
        CUSTOMERS,
        409,
        "duplicate",
        "/identities/0",
        {**JSON, "x-allow-duplicate": "true"},
        raw({"name": "x", "identities": [{"platform": "taobao", "external_id": "tb_1"}]}),
        "duplicate",
    ),
    Bad(
        "create: a header that is neither true nor false",
        "POST",
        CUSTOMERS,
        422,
        "invalid",
        "/header/x-allow-duplicate",
        {**JSON, "x-allow-duplicate": "perhaps"},
        raw({"name": "x"}),
        "wrong_type",
    ),
    Bad(
        "contact point: somebody has the phone",
        "POST",
        CONTACTS,
        409,
        "duplicate_customer",
        "/value",
        JSON,
        raw(MOBILE),
        "duplicate_customer",
    ),
    *fields("POST", RUNS, {"kind": "full"}, [("kind", "half", "/kind", "unknown_choice")]),
    *fields(
        "POST",
        PAIRS + "/{candidate}/accept",
        {},
        [
            ("winner_id", "x", "/winner_id", "invalid_id"),
            ("winner_id", "{other}", "/winner_id", "unknown_choice"),
            ("field_choices", ["city"], "/field_choices", "wrong_type"),
            ("field_choices", {"shoe": "{twin}"}, "/field_choices/shoe", "unknown_field"),
            ("note", "", "/note", "too_short"),
        ],
    ),
    *fields("POST", PAIRS + "/{candidate}/reject", {}, [("note", "x" * 201, "/note", "too_long")]),
    Bad("accept: no such pair", "POST", PAIRS + "/{missing}/accept", 404, "not_found"),
    Bad("reject: no such pair", "POST", PAIRS + "/{missing}/reject", 404, "not_found"),
    Bad("pair: none there", "GET", PAIRS + "/{missing}", 404, "not_found"),
    Bad("run: none there", "GET", RUNS + "/{missing}", 404, "not_found"),
    *query(
        PAIRS,
        [
            ("state=maybe", "/query/state", "unknown_choice"),
            ("customer_id=x", "/query/customer_id", "invalid_id"),
            ("min_score=high", "/query/min_score", "wrong_type"),
        ],
    ),
    *query(RUNS, [("state=gone", "/query/state", "unknown_choice")]),
]
