"""Programmes that cannot be, friends who cannot sign up, decisions that are not open."""

from tests.bad_input.corpus.case import JSON, Bad, fields, raw

PROGRAMMES = "/v1/referral-programmes"
PROGRAMME = "/v1/referral-programmes/{referral_programme}"
SIGN_UP = {"code": "K7QM2XWD", "customer_id": "{customer}"}
MOVE = "/v1/referrals/{referral}/transitions"


def _refused(
    name: str, path: str, status: int, code: str, body: object, *, pointer: str | None = None, error: str | None = None
) -> Bad:
    return Bad(name, "POST", path, status, code, pointer, JSON, raw(body), error)


_TERMS = [
    ("name", "", "/name", "too_short"),
    ("active", 1, "/active", "wrong_type"),
    ("ends_at", "soon", "/ends_at", "invalid_time"),
    ("minimum_order", {"amount": -1, "currency": "CNY"}, "/minimum_order/amount", "out_of_range"),
    ("minimum_order", {"amount": 1, "currency": "CNX"}, "/minimum_order/currency", "unknown_currency"),
    ("qualifying_order", "last", "/qualifying_order", "unknown_choice"),
    ("window_days", -1, "/window_days", "out_of_range"),
    ("window_days", 3651, "/window_days", "out_of_range"),
    ("window_days", "7", "/window_days", "wrong_type"),
    ("window_from", "sent", "/window_from", "unknown_choice"),
    ("claim_days", 0, "/claim_days", "out_of_range"),
    ("referrer_reward", {}, "/referrer_reward", "one_of"),
    ("referrer_reward", {"points": 0}, "/referrer_reward/points", "out_of_range"),
    ("friend_reward", {"points": 1, "voucher_campaign_id": "{missing}"}, "/friend_reward", "one_of"),
    (
        "friend_reward",
        {"voucher_campaign_id": "{missing}"},
        "/friend_reward/voucher_campaign_id",
        "unknown_reference",
    ),
    ("friend_reward", {"money": 1}, "/friend_reward/money", "unknown_field"),
    ("link_template", "https://shop.example.com/", "/link_template", "bad_format"),
    ("link_template", "javascript:{code}", "/link_template", "bad_format"),
    ("checks", {"cycle": "maybe"}, "/checks/cycle", "unknown_choice"),
    ("checks", {"self": "off"}, "/checks/self", "unknown_field"),
    ("checks", None, "/checks", "wrong_type"),
    ("velocity_limit", 0, "/velocity_limit", "out_of_range"),
    ("velocity_hours", 8761, "/velocity_hours", "out_of_range"),
    ("cap_count", 0, "/cap_count", "out_of_range"),
    ("cap_period", "decade", "/cap_period", "unknown_choice"),
]
_BACKWARDS = {"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}

CASES = [
    *fields("POST", PROGRAMMES, {"name": "x"}, _TERMS),
    *fields("PATCH", PROGRAMME, {}, _TERMS),
    _refused("programme: the name is taken", PROGRAMMES, 409, "duplicate", {"name": "朋友"}, pointer="/name"),
    _refused(
        "programme: it ends before it starts",
        PROGRAMMES,
        422,
        "invalid",
        {"name": "x", **_BACKWARDS},
        pointer="/ends_at",
        error="wrong_order",
    ),
    *fields(
        "POST",
        f"{PROGRAMME}/codes",
        {"customer_id": "{customer}"},
        [
            ("code", "abc", "/code", "too_short"),
            ("code", "x" * 33, "/code", "too_long"),
            ("code", "a b c d", "/code", "bad_format"),
            ("code", "推荐码推荐码", "/code", "bad_format"),
            ("device_id", "a b c", "/device_id", "bad_format"),
            ("customer_id", "nobody", "/customer_id", "invalid_id"),
        ],
    ),
    _refused(
        "code: of a programme there is not",
        f"{PROGRAMMES}/{{missing}}/codes",
        404,
        "not_found",
        {"customer_id": "{customer}"},
    ),
    _refused("code: for nobody", f"{PROGRAMME}/codes", 404, "not_found", {"customer_id": "{missing}"}),
    _refused("code: for another shop's customer", f"{PROGRAMME}/codes", 404, "not_found", {"customer_id": "{foreign}"}),
    _refused(
        "code: somebody else's",
        f"{PROGRAMME}/codes",
        409,
        "duplicate",
        {"customer_id": "{customer}", "code": "k7qm2xwd"},
        pointer="/code",
    ),
    _refused(
        "code: a second one",
        f"{PROGRAMME}/codes",
        409,
        "duplicate",
        {"customer_id": "{other}", "code": "SECOND"},
        pointer="/code",
    ),
    *fields(
        "POST",
        "/v1/referrals",
        SIGN_UP,
        [
            ("code", "NOBODYS", "/code", "unknown_reference"),
            ("code", 12345678, "/code", "wrong_type"),
            ("signed_up_at", "2999-01-01T00:00:00Z", "/signed_up_at", "in_the_future"),
            ("signed_up_at", "2001-01-01T00:00:00Z", "/signed_up_at", "too_long_ago"),
            ("payment_account", "abc", "/payment_account", "too_short"),
        ],
    ),
    _refused("sign-up of nobody", "/v1/referrals", 404, "not_found", {**SIGN_UP, "customer_id": "{missing}"}),
    _refused(
        "sign-up of another shop's customer", "/v1/referrals", 404, "not_found", {**SIGN_UP, "customer_id": "{foreign}"}
    ),
    _refused("sign-up by one's own code", "/v1/referrals", 409, "self_referral", {**SIGN_UP, "customer_id": "{other}"}),
    _refused("sign-up a second time", "/v1/referrals", 409, "already_referred", {**SIGN_UP, "customer_id": "{friend}"}),
    _refused("sign-up when it is over", "/v1/referrals", 409, "programme_inactive", {**SIGN_UP, "code": "OVER-1"}),
    *fields(
        "POST",
        "/v1/referrals/signals",
        {"customer_id": "{customer}", "kind": "device", "value": "dev-1"},
        [
            ("kind", "card", "/kind", "unknown_choice"),
            ("value", "", "/value", "too_short"),
            ("value", "a b c d", "/value", "bad_format"),
        ],
    ),
    _refused(
        "signal of nobody",
        "/v1/referrals/signals",
        404,
        "not_found",
        {"customer_id": "{missing}", "kind": "device", "value": "dev-1"},
    ),
    *fields(
        "POST",
        MOVE,
        {"action": "void", "reason": "x"},
        [
            ("action", "reward", "/action", "unknown_choice"),
            ("reason", "", "/reason", "too_short"),
            ("reason", None, "/reason", "wrong_type"),
        ],
    ),
    _refused(
        "decision that is not open",
        MOVE,
        409,
        "transition_not_allowed",
        {"action": "approve", "reason": "x"},
        pointer="/action",
    ),
    _refused(
        "decision about nothing",
        "/v1/referrals/{missing}/transitions",
        404,
        "not_found",
        {"action": "void", "reason": "x"},
    ),
    Bad("a referral state there is not", "GET", "/v1/referrals?state=happy", 422, "invalid", "/query/state"),
]
