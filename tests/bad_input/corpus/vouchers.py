"""Campaigns whose parts do not go together, codes there cannot be, carts that do not add up, uses that are over."""

import json

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid

WORTH = {"amount": 100, "currency": "CNY"}
CAMPAIGN = {"name": "new", "kind": "amount", "amount_off": WORTH}
CART = {"currency": "CNY", "items": [{"sku": "x", "unit_price": 100}]}
NOW = {"codes": ["SPRING15"], "cart": CART}


def _refused(name, path, body, status, code, pointer=None, error=None):
    return Bad(f"vouchers: {name}", "POST", path, status, code, pointer, JSON, json.dumps(body).encode(), error)


CASES = [
    *fields(
        "POST",
        "/v1/voucher-campaigns",
        CAMPAIGN,
        [
            ("kind", "cashback", "/kind", "unknown_choice"),
            ("amount_off", None, "/amount_off", "required"),
            ("amount_off", {"amount": 0, "currency": "CNY"}, "/amount_off/amount", "out_of_range"),
            ("amount_off", {"amount": -1, "currency": "CNY"}, "/amount_off/amount", "out_of_range"),
            ("max_discount", {"amount": 1, "currency": "JPY"}, "/max_discount/currency", "wrong_currency"),
            ("percent", 10, "/percent", "unexpected"),
            ("gift_sku", "x", "/gift_sku", "unexpected"),
            ("gift_quantity", 0, "/gift_quantity", "out_of_range"),
            ("shared_code", "AB", "/shared_code", "bad_format"),
            ("shared_code", "TWELVE-LETTERS", "/shared_code", "bad_format"),
            ("shared_code", "A?B", "/shared_code", "bad_format"),
            ("prefix", "SPRING", "/prefix", "bad_format"),
            ("code_length", 25, "/code_length", "out_of_range"),
            ("code_length", 11, "/code_length", "out_of_range"),
            ("valid_days", 0, "/valid_days", "out_of_range"),
            ("uses_total", 0, "/uses_total", "out_of_range"),
            ("uses_per_voucher", True, "/uses_per_voucher", "wrong_type"),
            ("exclusive", "yes", "/exclusive", "wrong_type"),
            ("stacking_group", "A B", "/stacking_group", "bad_format"),
            ("birthday_days_before", 61, "/birthday_days_before", "out_of_range"),
            ("state", "archived", "/state", "unknown_choice"),
            ("skus", ["a b"], "/skus/0", "bad_format"),
        ],
    ),
    *invalid(
        "POST",
        "/v1/voucher-campaigns",
        {
            "three decimals": ({"name": "x", "kind": "percent", "percent": 0.125}, "/percent", "out_of_range"),
            "more than all": ({"name": "x", "kind": "percent", "percent": 100.01}, "/percent", "out_of_range"),
            "ends before it starts": (
                {**CAMPAIGN, "starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
                "/ends_at",
                "out_of_order",
            ),
            "one code for all birthdays": (
                {**CAMPAIGN, "shared_code": "BIRTHDAY", "birthday_days_before": 1},
                "/birthday_days_before",
                "unexpected",
            ),
        },
    ),
    *invalid(
        "POST",
        "/v1/voucher-campaigns",
        {
            "a rule of nothing": (
                {**CAMPAIGN, "rule": {"field": "no_such", "op": "eq", "value": 1}},
                "/rule/field",
                "rule_field_unknown",
            )
        },
        code="rule_invalid",
    ),
    _refused("a name twice", "/v1/voucher-campaigns", {**CAMPAIGN, "name": "生日"}, 409, "duplicate", "/name"),
    _refused(
        "a code twice",
        "/v1/voucher-campaigns",
        {**CAMPAIGN, "shared_code": "spring15"},
        409,
        "duplicate",
        "/shared_code",
    ),
    *fields(
        "PATCH",
        "/v1/voucher-campaigns/{voucher_campaign}",
        {},
        [
            ("kind", "gift", "/kind", "unknown_field"),
            ("name", None, "/name", "wrong_type"),
            ("min_amount", {"amount": 1, "currency": "USD"}, "/min_amount/currency", "wrong_currency"),
            ("uses_per_customer", 0, "/uses_per_customer", "out_of_range"),
        ],
    ),
    *fields(
        "POST",
        "/v1/voucher-campaigns/{voucher_campaign}/batches",
        {},
        [("count", 0, "/count", "out_of_range"), ("count", 1_000_001, "/count", "out_of_range")],
    ),
    _refused("codes of nothing", "/v1/voucher-campaigns/{missing}/batches", {"count": 1}, 404, "not_found"),
    _refused(
        "a voucher for nobody",
        "/v1/voucher-campaigns/{voucher_campaign}/vouchers",
        {"customer_id": "{missing}"},
        404,
        "not_found",
        "/customer_id",
    ),
    _refused(
        "a key of another customer's",
        "/v1/voucher-campaigns/{voucher_campaign}/vouchers",
        {"customer_id": "{other}", "key": "taken"},
        409,
        "key_reused",
    ),
    *fields("PATCH", "/v1/vouchers/{voucher}", {}, [("state", "used", "/state", "unknown_choice")]),
    _refused("a slip of the hand", "/v1/vouchers/lookup", {"code": "8xq7-bzwq-9fn3-e"}, 404, "malformed"),
    _refused("a code of nothing", "/v1/vouchers/lookup", {"code": "8xq7-bzwq-9fn3-d"}, 404, "not_found"),
    *fields(
        "POST",
        "/v1/vouchers/validate",
        NOW,
        [
            ("codes", [], "/codes", "too_few"),
            ("codes", ["x"] * 21, "/codes", "too_many"),
            ("codes", ["x\u0000"], "/codes/0", "nul_character"),
            ("cart", {**CART, "items": []}, "/cart/items", "too_few"),
            ("cart", {**CART, "currency": "CNX"}, "/cart/currency", "unknown_currency"),
            ("cart", {**CART, "shipping": -1}, "/cart/shipping", "out_of_range"),
            ("cart", {**CART, "items": [{"sku": "x", "unit_price": 1.5}]}, "/cart/items/0/unit_price", "wrong_type"),
            (
                "cart",
                {**CART, "items": [{"sku": "x", "quantity": 1000, "unit_price": 10**15}]},
                "/cart",
                "out_of_range",
            ),
        ],
    ),
    *fields(
        "POST", "/v1/vouchers/locks", {**NOW, "session_id": "s"}, [("seconds", 86_401, "/seconds", "out_of_range")]
    ),
    _refused(
        "a lock of nothing",
        "/v1/vouchers/locks",
        {**NOW, "codes": ["NOPE"], "session_id": "s"},
        409,
        "voucher_inapplicable",
        "/codes/0",
        "not_found",
    ),
    *invalid(
        "POST",
        "/v1/vouchers/locks/release",
        {"a session with blanks": ({"session_id": "a b"}, "/session_id", "bad_format")},
    ),
    *invalid(
        "POST",
        "/v1/vouchers/redemptions",
        {"no cart and no lock": ({"codes": ["SPRING15"], "order_ref": "o"}, "/cart", "required")},
    ),
    _refused(
        "another voucher for the same order",
        "/v1/vouchers/redemptions",
        {**NOW, "codes": ["NOPE"], "order_ref": "T-20261111-1"},
        409,
        "order_redeemed",
    ),
    _refused("an order without vouchers", "/v1/vouchers/redemptions/rollback", {"order_ref": "none"}, 404, "not_found"),
    _refused("a lock is not rolled back", "/v1/vouchers/redemptions/{voucher_lock}/rollback", {}, 409, "not_redeemed"),
]
