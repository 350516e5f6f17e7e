"""Well-formed requests about events and devices that say what cannot be.

A single wrong event is no bad request: it is refused inside the answer (tests/events), all others are stored.
"""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, query, raw

EVENT = {"id": "e-1", "type": "search", "occurred_at": "2026-11-11T00:00:00Z", "device_id": "d"}
DEVICE = {"device_id": "d", "customer_id": "{customer}"}


def _refused(name: str, body: object, status: int, code: str, pointer: str | None, error: str | None = None) -> Bad:
    return Bad(f"identify: {name}", "POST", "/v1/identify", status, code, pointer, JSON, raw(body), error)


CASES = [
    *invalid(
        "POST",
        "/v1/events/batch",
        {
            "nothing": ({}, "/events", "required"),
            "no list": ({"events": EVENT}, "/events", "wrong_type"),
            "an empty list": ({"events": []}, "/events", "too_few"),
            "too many": ({"events": [EVENT] * 1_001}, "/events", "too_many"),
            "a stranger beside": ({"events": [EVENT], "source": "app"}, "/source", "unknown_field"),
        },
    ),
    *fields(
        "POST",
        "/v1/identify",
        DEVICE,
        [
            ("device_id", None, "/device_id", "wrong_type"),
            ("device_id", "", "/device_id", "too_short"),
            ("device_id", "a b", "/device_id", "bad_format"),
            ("device_id", "手机", "/device_id", "bad_format"),
            ("device_id", "d" * 101, "/device_id", "too_long"),
            ("customer_id", "x", "/customer_id", "invalid_id"),
            ("at", "now", "/at", "invalid_time"),
            ("at", "2999-01-01T00:00:00Z", "/at", "in_the_future"),
            ("signed_out", True, "", "one_of"),
            ("platform", "taobao", "", "one_of"),
            ("contact_point", {"kind": "mobile", "value": "13812345678"}, "", "one_of"),
            ("contact_point", {"kind": "fax", "value": "1"}, "/contact_point/kind", "unknown_choice"),
            ("staff_id", "{staff}", "/staff_id", "unknown_field"),
        ],
    ),
    *invalid(
        "POST",
        "/v1/identify",
        {
            "nobody": ({"device_id": "d"}, "", "one_of"),
            "half an identity": ({"device_id": "d", "external_id": "x"}, "", "one_of"),
            "no phone": (
                {"device_id": "d", "contact_point": {"kind": "mobile", "value": "12"}},
                "/contact_point/value",
                "invalid_phone",
            ),
        },
    ),
    _refused("customer missing", {**DEVICE, "customer_id": "{missing}"}, 404, "not_found", "/customer_id"),
    _refused("customer of another shop", {**DEVICE, "customer_id": "{foreign}"}, 404, "not_found", "/customer_id"),
    _refused(
        "identity unknown",
        {"device_id": "d", "platform": "taobao", "external_id": "nobody"},
        404,
        "not_found",
        "/external_id",
        "unknown_customer",
    ),
    _refused(
        "contact point unknown",
        {"device_id": "d", "contact_point": {"kind": "email", "value": "nobody@example.com"}},
        404,
        "not_found",
        "/contact_point",
        "unknown_customer",
    ),
    *fields(
        "PUT",
        "/v1/event-settings",
        {},
        [
            ("retention_days", 6, "/retention_days", "out_of_range"),
            ("retention_days", 3_651, "/retention_days", "out_of_range"),
            ("retention_days", "a year", "/retention_days", "wrong_type"),
            ("retention_days", None, "/retention_days", "wrong_type"),
        ],
    ),
    *query(
        "/v1/events",
        [
            ("customer_id=x", "/query/customer_id", "invalid_id"),
            ("occurred_after=yesterday", "/query/occurred_after", "invalid_time"),
            ("order=loudest", "/query/order", "unknown_choice"),
        ],
    ),
    *query(
        "/v1/customers/{customer}/viewed-not-bought",
        [
            ("days=0", "/query/days", "out_of_range"),
            ("limit=101", "/query/limit", "out_of_range"),
            ("days=soon", "/query/days", "wrong_type"),
        ],
    ),
    Bad(
        "interests of a customer of another shop", "GET", "/v1/customers/{foreign}/viewed-not-bought", 404, "not_found"
    ),
]
