"""Compensations whose parts do not go together, steps out of place, and statistics of what cannot be."""

import json

from tests.bad_input.corpus.case import JSON, Bad, fields, query

PROPOSE = "/v1/complaints/{complaint}/compensations"
MONEY = {"amount": 1, "currency": "CNY"}


def _refused(name, path, body, status, code, pointer=None, error=None):
    return Bad(f"compensations: {name}", "POST", path, status, code, pointer, JSON, json.dumps(body).encode(), error)


CASES = [
    *fields(
        "POST",
        PROPOSE,
        {"kind": "points", "points": 1},
        [
            ("kind", "cash", "/kind", "unknown_choice"),
            ("kind", "refund", "/amount", "required"),
            ("kind", "voucher", "/campaign_id", "required"),
            ("points", 0, "/points", "out_of_range"),
            ("points", "1", "/points", "wrong_type"),
            ("points", None, "/points", "required"),
            ("amount", MONEY, "/amount", "unexpected"),
            ("quantity", 1, "/quantity", "unexpected"),
            ("programme_id", "{missing}", "/programme_id", "unknown_reference"),
            ("order_id", "{other_order}", "/order_id", "unknown_reference"),
            ("staff_id", "{missing}", "/staff_id", "unknown_reference"),
        ],
    ),
    *fields(
        "POST",
        PROPOSE,
        {"kind": "refund", "amount": MONEY, "order_id": "{order}"},
        [
            ("amount", {"amount": 0, "currency": "CNY"}, "/amount/amount", "out_of_range"),
            ("amount", {"amount": -1, "currency": "CNY"}, "/amount/amount", "out_of_range"),
            ("amount", {"amount": 1, "currency": "USD"}, "/amount/currency", "wrong_currency"),
            ("amount", {"amount": 1_000_000, "currency": "CNY"}, "/amount/amount", "exceeds_paid"),
        ],
    ),
    *fields(
        "POST",
        PROPOSE,
        {"kind": "voucher"},
        [("campaign_id", "{missing}", "/campaign_id", "no_giving_campaign")],
    ),
    _refused("for nothing", "/v1/complaints/{missing}/compensations", {"kind": "apology"}, 404, "not_found"),
    _refused("approved twice", "/v1/compensations/{compensation}/approve", {}, 409, "wrong_state"),
    _refused("rejected late", "/v1/compensations/{refund}/reject", {"reason": "x"}, 409, "wrong_state"),
    _refused("rejected silently", "/v1/compensations/{refund}/reject", {}, 422, "invalid", "/reason", "required"),
    _refused("paid by hand", "/v1/compensations/{compensation}/settle", {}, 409, "paid_by_itself"),
    _refused("refunded by nothing", "/v1/compensations/{refund}/settle", {}, 422, "invalid", "/reference", "required"),
    _refused(
        "refunded twice",
        "/v1/compensations/{refund}/settle",
        {"reference": "wx-1"},
        409,
        "duplicate",
        "/reference",
    ),
    _refused(
        "a reference of words", "/v1/compensations/{refund}/settle", {"reference": "a b"}, 422, "invalid", "/reference"
    ),
    _refused("cancelled late", "/v1/compensations/{settled_refund}/cancel", {"reason": "x"}, 409, "wrong_state"),
    _refused("retried for fun", "/v1/compensations/{compensation}/retry", None, 409, "wrong_state"),
    _refused("taken back early", "/v1/compensations/{refund}/reverse", {"reason": "x"}, 409, "wrong_state"),
    *fields(
        "POST",
        "/v1/approval-limits",
        {"name": "new", "points": 1},
        [
            ("name", "", "/name", "too_short"),
            ("kind", "cash", "/kind", "unknown_choice"),
            ("points", -1, "/points", "out_of_range"),
            ("points", None, "/amount", "required"),
            ("unlimited", True, "/unlimited", "unexpected"),
            ("unlimited", 1, "/unlimited", "wrong_type"),
            ("staff_id", "{missing}", "/staff_id", "unknown_reference"),
            ("key_id", "{missing}", "/key_id", "unknown_reference"),
        ],
    ),
    _refused(
        "a limit for two",
        "/v1/approval-limits",
        {"name": "new", "role": "x", "staff_id": "{staff}", "points": 1},
        422,
        "invalid",
        "/staff_id",
        "one_of",
    ),
    _refused("a name twice", "/v1/approval-limits", {"name": "前台", "points": 1}, 409, "duplicate", "/name"),
    *fields(
        "PATCH",
        "/v1/approval-limits/{approval_limit}",
        {},
        [
            ("unlimited", True, "/unlimited", "unexpected"),
            ("points", None, "/amount", "required"),
            ("role", "x", "/role", "unknown_field"),
        ],
    ),
    *query(
        "/v1/analytics/complaints",
        [
            ("from=2026-13-01", "/query/from", "invalid_time"),
            ("to=yesterday", "/query/to", "invalid_time"),
            ("from=2026-02-01&to=2026-01-01", "/query/to", "wrong_order"),
            ("by=weather", "/query/by", "unknown_choice"),
            ("level=6", "/query/level", "out_of_range"),
            ("staff_id=x", "/query/staff_id", "invalid_id"),
            ("severity=S9", "/query/severity", "unknown_choice"),
        ],
    ),
    *query("/v1/analytics/complaints/pareto.svg", [("from=2026-02-01&to=2026-01-01", "/query/to", "wrong_order")]),
    *query("/v1/analytics/compensations", [("from=1", "/query/from", "invalid_time")]),
]
