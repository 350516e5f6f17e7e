"""Patterns that cannot be asked for, settings that cannot be."""

from tests.bad_input.corpus.case import Bad, fields, query

CASES = [
    *fields("POST", "/v1/patterns/runs", {}, [("kind", "everything", "/kind", "unknown_choice")]),
    *fields(
        "PATCH",
        "/v1/pattern-settings",
        {},
        [
            ("min_purchase_days", 2, "/min_purchase_days", "out_of_range"),
            ("coverage_percent", "80", "/coverage_percent", "wrong_type"),
            ("coverage_percent", 96, "/coverage_percent", "out_of_range"),
            ("high_percent", 30, "/high_percent", "out_of_order"),
            ("min_support", 1.5, "/min_support", "out_of_range"),
        ],
    ),
    *fields(
        "PUT",
        "/v1/orders/taobao/T9",
        {
            "customer": {"external_id": "b"},
            "status": "paid",
            "total": {"amount": 1, "currency": "CNY"},
            "placed_at": "2026-05-01T00:00:00Z",
        },
        [
            (
                "lines",
                [{"title": "x", "quantity": 2, "refunded_quantity": 3, "unit_price": {"amount": 1, "currency": "CNY"}}],
                "/lines/0/refunded_quantity",
                "exceeds_quantity",
            )
        ],
    ),
    *query(
        "/v1/patterns/bought-together",
        [
            ("product_id={product}&category=x", "/query/category", "conflict"),
            ("basis=year", "/query/basis", "unknown_choice"),
            ("lift_from=much", "/query/lift_from", "wrong_type"),
        ],
    ),
    *query(
        "/v1/patterns/customers",
        [
            ("expected_from=soon", "/query/expected_from", "invalid_date"),
            ("overdue=perhaps", "/query/overdue", "wrong_type"),
        ],
    ),
    *query("/v1/patterns/runs", [("kind=x", "/query/kind", "unknown_choice")]),
    *query("/v1/customers/{customer}/patterns", [("fields=nope", "/query/fields", "unknown_field")]),
    Bad("patterns of nobody", "GET", "/v1/customers/{missing}/patterns", 404, "not_found"),
]
