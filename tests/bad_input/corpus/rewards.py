"""Rewards whose parts do not go together, and redemptions that cannot go that way."""

import json

from tests.bad_input.corpus.case import JSON, Bad, fields

REWARD = {"name": "new", "kind": "service", "points": 1}


def _refused(name, path, body, status, code, pointer=None, error=None):
    return Bad(f"rewards: {name}", "POST", path, status, code, pointer, JSON, json.dumps(body).encode(), error)


CASES = [
    *fields(
        "POST",
        "/v1/loyalty/rewards",
        REWARD,
        [
            ("kind", "cash", "/kind", "unknown_choice"),
            ("kind", "voucher", "/campaign_id", "required"),
            ("campaign_id", "{voucher_campaign}", "/campaign_id", "unexpected"),
            ("programme_id", "{missing}", "/programme_id", "unknown_reference"),
            ("points", 0, "/points", "out_of_range"),
            ("points", "1", "/points", "wrong_type"),
            ("stock", -1, "/stock", "out_of_range"),
            ("per_customer", 0, "/per_customer", "out_of_range"),
            ("hold_days", 366, "/hold_days", "out_of_range"),
            ("immediate", 1, "/immediate", "wrong_type"),
            ("state", "archived", "/state", "unknown_choice"),
        ],
    ),
    *fields(
        "POST",
        "/v1/loyalty/rewards",
        {**REWARD, "kind": "voucher"},
        [("campaign_id", "{missing}", "/campaign_id", "no_giving_campaign")],
    ),
    *fields(
        "POST",
        "/v1/loyalty/rewards",
        {**REWARD, "starts_at": "2026-02-01T00:00:00Z"},
        [("ends_at", "2026-02-01T00:00:00Z", "/ends_at", "out_of_order")],
    ),
    *fields(
        "PATCH",
        "/v1/loyalty/rewards/{reward}",
        {},
        [
            ("stock", 1, "/stock", "below_taken"),
            ("kind", "product", "/kind", "unknown_field"),
            ("name", None, "/name", "wrong_type"),
        ],
    ),
    _refused("a name twice", "/v1/loyalty/rewards", {**REWARD, "name": "杯垫"}, 409, "duplicate", "/name"),
    _refused(
        "nobody wants it",
        "/v1/loyalty/rewards/{reward}/redemptions",
        {"customer_id": "{missing}"},
        404,
        "not_found",
        "/customer_id",
    ),
    _refused(
        "a reward of nothing",
        "/v1/loyalty/rewards/{missing}/redemptions",
        {"customer_id": "{customer}"},
        404,
        "not_found",
    ),
    _refused(
        "more than there is",
        "/v1/loyalty/rewards/{reward}/redemptions",
        {"customer_id": "{customer}", "quantity": 8},
        409,
        "out_of_stock",
    ),
    _refused(
        "no points", "/v1/loyalty/rewards/{reward}/redemptions", {"customer_id": "{other}"}, 409, "insufficient_balance"
    ),
    *fields(
        "POST",
        "/v1/loyalty/rewards/{reward}/redemptions",
        {"customer_id": "{customer}"},
        [("quantity", 0, "/quantity", "out_of_range"), ("quantity", 101, "/quantity", "out_of_range")],
    ),
    *fields(
        "POST",
        "/v1/loyalty/rewards/{reward}/check",
        {"customer_id": "{customer}"},
        [("quantity", "1", "/quantity", "wrong_type")],
    ),
    _refused(
        "handed over unconfirmed", "/v1/loyalty/reward-redemptions/{reward_redemption}/fulfil", {}, 409, "not_confirmed"
    ),
    _refused("confirmed twice", "/v1/loyalty/reward-redemptions/{reward_done}/confirm", {}, 409, "already_fulfilled"),
    _refused("taken out of hands", "/v1/loyalty/reward-redemptions/{reward_done}/cancel", {}, 409, "already_fulfilled"),
]
