"""Exports of what there is not, and files that are not there."""

from tests.bad_input.corpus.case import Bad, fields, invalid

_CUSTOMERS = {"resource": "customers"}
_ORDERS = {"resource": "orders"}

CASES = [
    *fields(
        "POST",
        "/v1/exports",
        _CUSTOMERS,
        [
            ("resource", "passwords", "/resource", "unknown_resource"),
            ("resource", 1, "/resource", "wrong_type"),
            ("format", "pdf", "/format", "unknown_choice"),
            ("headers", "fr", "/headers", "unknown_choice"),
            ("time_zone", "Mars/Olympus", "/time_zone", "unknown_time_zone"),
            ("fields", [], "/fields", "too_few"),
            ("fields", ["name", "password"], "/fields/1", "unknown_field"),
            ("order", "richest", "/order", "unknown_order"),
            ("order", "attributes.nothing", "/order", "unknown_attribute"),
            ("filters", {"colour": "red"}, "/filters/colour", "unknown_filter"),
            ("filters", {"blacklisted": "perhaps"}, "/filters/blacklisted", "bad_filter"),
            ("filters", {"created_from": 5}, "/filters/created_from", "bad_filter"),
            ("segment_id", "x", "/segment_id", "invalid_id"),
        ],
    ),
    *fields(
        "POST",
        "/v1/exports",
        _ORDERS,
        [
            ("rule", {"field": "city", "op": "eq", "value": "x"}, "/rule", "not_customers"),
            ("segment_id", "{segment}", "/segment_id", "not_customers"),
        ],
    ),
    *fields(
        "POST", "/v1/exports", _CUSTOMERS | {"format": "ndjson"}, [("fields", ["mobile"], "/fields/0", "unknown_field")]
    ),
    *invalid(
        "POST",
        "/v1/exports",
        {
            "a rule about what there is not": (
                {"resource": "customers", "rule": {"field": "nothing", "op": "eq", "value": 1}},
                "/rule/field",
                "rule_field_unknown",
            )
        },
        code="rule_invalid",
    ),
    Bad("a file that is not ready", "GET", "/v1/exports/{export}/download", 409, "export_not_ready"),
    Bad("a link to a file that is not ready", "POST", "/v1/exports/{export}/link", 409, "export_not_ready"),
    Bad("cancelling what is cancelled", "POST", "/v1/exports/{cancelled_export}/cancel", 409, "export_ended"),
    Bad("a file of no export", "GET", "/v1/exports/{missing}/download", 404, "not_found"),
    Bad("a file by a made-up link", "GET", "/v1/exports/{export}/download?token=x", 404, "not_found", key=False),
    Bad("a file without a key", "GET", "/v1/exports/{export}/download", 401, "unauthenticated", key=False),
]
