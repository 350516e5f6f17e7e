"""Well-formed requests that say what cannot be, domain by domain."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, query, raw

MONEY = {"amount": 1999, "currency": "CNY"}
PERSON = {"name": "x"}
ORDER = {"customer_id": "{customer}", "status": "paid", "total": MONEY, "placed_at": "2026-05-01T00:00:00Z"}
LINE = {"title": "x", "unit_price": MONEY}
PRODUCT = {"sku": "NEW", "name": "x"}
CALL = {"customer_id": "{customer}", "channel": "call", "direction": "inbound"}
CASE = {"customer_id": "{customer}", "channel": "call", "subject": "x"}
SOURCE = {"name": "x", "platform": "shopify", "secret": "shpss_0123456789"}
CUSTOMER = "/v1/customers/{customer}"
ACCOUNT = "/v1/loyalty/accounts/{customer}"
MOVE = "/v1/complaints/{complaint}/transitions"
TIMES = (
    "yesterday",
    "2026-01-01",
    "2026-01-01T00:00:00",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:01:00Z",
    "",
    1.5e300,
    True,
    {},
    "2026-01-01T00:00:00+99:00",
    "十一月",
)


def _conflict(name: str, method: str, path: str, body: object, code: str, pointer: str | None) -> Bad:
    return Bad(f"conflict: {name}", method, path, 409, code, pointer, JSON, raw(body))


def _birthday(**given: object) -> dict[str, object]:
    return {"name": "x", "birthday": {"month": 1, "day": 1, **given}}


CUSTOMERS = [
    *fields(
        "POST",
        "/v1/customers",
        PERSON,
        [
            ("name", None, "/name", "wrong_type"),
            ("name", 1, "/name", "wrong_type"),
            ("name", [], "/name", "wrong_type"),
            ("name", {"en": "x"}, "/name", "wrong_type"),
            ("name", "", "/name", "too_short"),
            ("name", "   ", "/name", "too_short"),
            ("name", "x" * 201, "/name", "too_long"),
            ("nmae", "x", "/nmae", "unknown_field"),
            ("id", "0198a0c0-0000-7000-8000-000000000000", "/id", "unknown_field"),
            ("tenant_id", "{foreign}", "/tenant_id", "unknown_field"),
            ("version", 1, "/version", "unknown_field"),
            ("a/b~c", 1, "/a~1b~0c", "unknown_field"),
            ("kind", "ghost", "/kind", "unknown_choice"),
            ("kind", None, "/kind", "unknown_choice"),
            ("gender", "FEMALE", "/gender", "unknown_choice"),
            ("price_sensitivity", 3, "/price_sensitivity", "unknown_choice"),
            ("notes", "x" * 20_001, "/notes", "too_long"),
            ("owner_id", "x", "/owner_id", "invalid_id"),
            ("owner_id", 1, "/owner_id", "invalid_id"),
            ("owner_id", "{missing}", "/owner_id", "unknown_reference"),
            ("owner_id", "{foreign_staff}", "/owner_id", "unknown_reference"),
            ("store_id", "{missing}", "/store_id", "unknown_reference"),
            ("tags", "vip", "/tags", "wrong_type"),
            ("tags", ["a,b"], "/tags/0", "bad_format"),
            ("tags", ["ok", ""], "/tags/1", "too_short"),
            ("tags", [None], "/tags/0", "wrong_type"),
            ("tags", ["t"] * 101, "/tags", "too_many"),
            ("tags", {"0": "vip"}, "/tags", "wrong_type"),
            ("birthday", "1990-01-01", "/birthday", "wrong_type"),
            ("contact_points", {}, "/contact_points", "wrong_type"),
            ("contact_points", ["138"], "/contact_points/0", "wrong_type"),
            ("contact_points", [{"kind": "mobile"}], "/contact_points/0/value", "required"),
            ("contact_points", [{"kind": "fax", "value": "1"}], "/contact_points/0/kind", "unknown_choice"),
            ("contact_points", [{"kind": "mobile", "value": "12"}], "/contact_points/0/value", "invalid_phone"),
            (
                "contact_points",
                [{"kind": "mobile", "value": "+86 138 0000 00000000"}],
                "/contact_points/0/value",
                "invalid_phone",
            ),
            ("contact_points", [{"kind": "email", "value": "nobody"}], "/contact_points/0/value", "invalid_email"),
            ("contact_points", [{"kind": "email", "value": "a@b@c"}], "/contact_points/0/value", "invalid_email"),
            (
                "contact_points",
                [{"kind": "email", "value": "a@example.com", "is_primary": "perhaps"}],
                "/contact_points/0/is_primary",
                "wrong_type",
            ),
            (
                "contact_points",
                [{"kind": "email", "value": "a@example.com", "x": 1}],
                "/contact_points/0/x",
                "unknown_field",
            ),
            ("contact_points", [{"kind": "email", "value": "a@example.com"}] * 51, "/contact_points", "too_many"),
            ("identities", [{"platform": "Taobao", "external_id": "1"}], "/identities/0/platform", "bad_format"),
            ("identities", [{"platform": "taobao", "external_id": "a b"}], "/identities/0/external_id", "bad_format"),
            ("identities", [{"platform": "taobao", "external_id": 1}], "/identities/0/external_id", "wrong_type"),
            ("identities", [{"platform": "taobao"}], "/identities/0/external_id", "required"),
        ],
    ),
    *invalid(
        "POST",
        "/v1/customers",
        {
            "nothing": ({}, "/name", "required"),
            "birthday 30 February": (_birthday(month=2, day=30), "/birthday", "invalid_value"),
            "birthday 29 February 2023": (_birthday(month=2, day=29, year=2023), "/birthday", "invalid_value"),
            "birthday 29 February 1900": (_birthday(month=2, day=29, year=1900), "/birthday", "invalid_value"),
            "birthday month 13": (_birthday(month=13), "/birthday/month", "out_of_range"),
            "birthday month 0": (_birthday(month=0), "/birthday/month", "out_of_range"),
            "birthday month as text": (_birthday(month="August"), "/birthday/month", "wrong_type"),
            "birthday month 1.5": (_birthday(month=1.5), "/birthday/month", "wrong_type"),
            "birthday day 32": (_birthday(day=32), "/birthday/day", "out_of_range"),
            "birthday 31 of a lunar month": (_birthday(calendar="lunar", day=31), "/birthday", "invalid_value"),
            "birthday in a solar leap month": (_birthday(leap_month=True), "/birthday", "invalid_value"),
            "birthday in year 1": (_birthday(year=1), "/birthday/year", "out_of_range"),
            "birthday in year 10^18": (_birthday(year=10**18), "/birthday/year", "out_of_range"),
            "birthday without a day": ({"name": "x", "birthday": {"month": 1}}, "/birthday/day", "required"),
            "birthday by another calendar": (_birthday(calendar="julian"), "/birthday/calendar", "unknown_choice"),
        },
    ),
    *fields(
        "PATCH",
        CUSTOMER,
        {},
        [
            ("name", "", "/name", "too_short"),
            ("name", None, "/name", "wrong_type"),
            ("blacklisted", "perhaps", "/blacklisted", "wrong_type"),
            ("blacklisted", None, "/blacklisted", "wrong_type"),
            ("tags", None, "/tags", "wrong_type"),
            ("owner_id", "{foreign_staff}", "/owner_id", "unknown_reference"),
            ("kind", "company", "/kind", "unknown_field"),
            ("contact_points", [], "/contact_points", "unknown_field"),
            ("created_at", "2026-01-01T00:00:00Z", "/created_at", "unknown_field"),
        ],
    ),
    *invalid(
        "POST",
        f"{CUSTOMER}/contact-points",
        {
            "nothing": ({}, "/kind", "required"),
            "bad phone": ({"kind": "mobile", "value": "phone"}, "/value", "invalid_phone"),
            "bad e-mail": ({"kind": "email", "value": "@"}, "/value", "invalid_email"),
            "landline of letters": ({"kind": "landline", "value": "abc"}, "/value", "invalid_phone"),
        },
    ),
    *invalid(
        "POST",
        f"{CUSTOMER}/identities",
        {
            "nothing": ({}, "/platform", "required"),
            "platform with a hyphen": ({"platform": "tao-bao", "external_id": "1"}, "/platform", "bad_format"),
            "line end": ({"platform": "taobao\n", "external_id": "1\n2"}, "/external_id", "bad_format"),
        },
    ),
    _conflict(
        "identity of another customer",
        "POST",
        f"{CUSTOMER}/identities",
        {"platform": "taobao", "external_id": "taken"},
        "duplicate",
        "/external_id",
    ),
    _conflict(
        "customer with a known identity",
        "POST",
        "/v1/customers",
        {"name": "x", "identities": [{"platform": "taobao", "external_id": "taken"}]},
        "duplicate",
        "/identities/0",
    ),
    _conflict(
        "contact point twice",
        "POST",
        f"{CUSTOMER}/contact-points",
        {"kind": "mobile", "value": "13812345678"},
        "duplicate",
        "/value",
    ),
    Bad("contact point nobody has", "DELETE", f"{CUSTOMER}/contact-points/{{missing}}", 404, "not_found"),
    Bad("identity nobody has", "DELETE", f"{CUSTOMER}/identities/{{missing}}", 404, "not_found"),
]

ACCOUNTS = [
    *invalid(
        "POST",
        "/v1/stores",
        {"nothing": ({}, "/name", "required"), "kind": ({"name": "x", "kind": "kiosk"}, "/kind", "unknown_choice")},
    ),
    _conflict("store twice", "POST", "/v1/stores", {"name": "徐汇店"}, "duplicate", "/name"),
    *fields(
        "POST",
        "/v1/staff",
        {"name": "x"},
        [
            ("email", "x", "/email", "invalid_email"),
            ("email", "x@localhost", "/email", "invalid_email"),
            ("email", 5, "/email", "wrong_type"),
            ("email", "a" * 300 + "@example.com", "/email", "invalid_email"),
            ("store_id", "{missing}", "/store_id", "unknown_reference"),
            ("store_id", "{foreign}", "/store_id", "unknown_reference"),
            ("active", True, "/active", "unknown_field"),
        ],
    ),
    _conflict(
        "staff with a known e-mail",
        "POST",
        "/v1/staff",
        {"name": "x", "email": "li@example.com"},
        "duplicate",
        "/email",
    ),
    *fields(
        "PATCH",
        "/v1/staff/{staff}",
        {},
        [
            ("active", None, "/active", "wrong_type"),
            ("name", None, "/name", "wrong_type"),
            ("name", " ", "/name", "too_short"),
            ("store_id", "{missing}", "/store_id", "unknown_reference"),
        ],
    ),
]

CATALOGUE = [
    *fields(
        "POST",
        "/v1/products",
        PRODUCT,
        [
            ("sku", "a b", "/sku", "bad_format"),
            ("sku", "", "/sku", "too_short"),
            ("sku", "s" * 201, "/sku", "too_long"),
            ("category", "海鲜//虾", "/category", "invalid_value"),
            ("category", "/", "/category", "invalid_value"),
            ("price", 19.99, "/price", "wrong_type"),
            ("price", "19.99", "/price", "wrong_type"),
            ("price", {"amount": 19.99, "currency": "CNY"}, "/price/amount", "wrong_type"),
            ("price", {"amount": "1999", "currency": "CNY"}, "/price/amount", "wrong_type"),
            ("price", {"amount": True, "currency": "CNY"}, "/price/amount", "wrong_type"),
            ("price", {"amount": -1, "currency": "CNY"}, "/price/amount", "out_of_range"),
            ("price", {"amount": 10**15 + 1, "currency": "CNY"}, "/price/amount", "out_of_range"),
            ("price", {"amount": 2**63, "currency": "CNY"}, "/price/amount", "out_of_range"),
            ("price", {"amount": 10**300, "currency": "CNY"}, "/price/amount", "out_of_range"),
            ("price", {"amount": 1}, "/price/currency", "required"),
            ("price", {"currency": "CNY"}, "/price/amount", "required"),
            ("price", {"amount": 1, "currency": "ZZZ"}, "/price/currency", "unknown_currency"),
            ("price", {"amount": 1, "currency": "cny"}, "/price/currency", "bad_format"),
            ("price", {"amount": 1, "currency": "元"}, "/price/currency", "too_short"),
            ("price", {"amount": 1, "currency": "RMB"}, "/price/currency", "unknown_currency"),
            ("price", {"amount": 1, "currency": "DEM"}, "/price/currency", "unknown_currency"),
            ("price", {"amount": 1, "currency": "CNY\n"}, "/price/currency", "too_long"),
            ("price", {"amount": 1, "currency": None}, "/price/currency", "wrong_type"),
            ("price", {"amount": 1, "currency": "CNY", "tax": 1}, "/price/tax", "unknown_field"),
            ("new_arrival_on", "2026-02-30", "/new_arrival_on", "invalid_date"),
            ("new_arrival_on", "30/02/2026", "/new_arrival_on", "invalid_date"),
            ("new_arrival_on", "2026-02-03T04:05:06Z", "/new_arrival_on", "invalid_date"),
            ("new_arrival_on", 0.5, "/new_arrival_on", "invalid_date"),
            ("new_arrival_on", "", "/new_arrival_on", "invalid_date"),
        ],
    ),
    _conflict("product with a known SKU", "POST", "/v1/products", {"sku": "SKU-1", "name": "x"}, "duplicate", "/sku"),
    *fields(
        "PATCH",
        "/v1/products/{product}",
        {},
        [("sku", None, "/sku", "wrong_type"), ("active", "off?", "/active", "wrong_type")],
    ),
]

ORDERS = [
    *fields(
        "PUT",
        "/v1/orders/taobao/NEW",
        ORDER,
        [
            ("status", "lost", "/status", "unknown_choice"),
            ("status", None, "/status", "unknown_choice"),
            ("total", {"amount": -1, "currency": "CNY"}, "/total/amount", "out_of_range"),
            ("total", None, "/total", "wrong_type"),
            ("total", {"amount": 1, "currency": "XXX"}, "/total/currency", "unknown_currency"),
            ("discount", {"amount": 1, "currency": "USD"}, "/discount/currency", "currency_mismatch"),
            ("shipping", {"amount": 1, "currency": "JPY"}, "/shipping/currency", "currency_mismatch"),
            ("refunded", {"amount": 2000, "currency": "CNY"}, "/refunded/amount", "exceeds_paid"),
            *(("placed_at", time, "/placed_at", "invalid_time") for time in TIMES),
            ("placed_at", None, "/placed_at", "invalid_time"),
            ("placed_at", "2999-01-01T00:00:00Z", "/placed_at", "impossible_date"),
            ("placed_at", "1850-01-01T00:00:00Z", "/placed_at", "impossible_date"),
            ("paid_at", "2026-04-01T00:00:00Z", "/paid_at", "impossible_date"),
            ("completed_at", "2999-01-01T00:00:00Z", "/completed_at", "impossible_date"),
            ("platform_version", -1, "/platform_version", "out_of_range"),
            ("platform_version", 2**63, "/platform_version", "out_of_range"),
            ("platform_version", "one", "/platform_version", "wrong_type"),
            ("platform_updated_at", "soon", "/platform_updated_at", "invalid_time"),
            ("customer_id", None, "/customer_id", "required"),
            ("customer", {"external_id": "tb_2"}, "/customer_id", "required"),
            ("store_id", "{missing}", "/store_id", "unknown_reference"),
            ("staff_id", "{foreign_staff}", "/staff_id", "unknown_reference"),
            ("lines", {}, "/lines", "wrong_type"),
            ("lines", [LINE] * 501, "/lines", "too_many"),
            ("lines", [{"title": "x"}], "/lines/0/unit_price", "required"),
            ("lines", [LINE, {**LINE, "quantity": 0}], "/lines/1/quantity", "out_of_range"),
            ("lines", [{**LINE, "quantity": 1.5}], "/lines/0/quantity", "wrong_type"),
            ("lines", [{**LINE, "quantity": 10**300}], "/lines/0/quantity", "out_of_range"),
            (
                "lines",
                [{**LINE, "unit_price": {"amount": 1, "currency": "USD"}}],
                "/lines/0/unit_price/currency",
                "currency_mismatch",
            ),
            (
                "lines",
                [{**LINE, "unit_price": {"amount": 10**15, "currency": "CNY"}, "quantity": 2}],
                "/lines/0/quantity",
                "out_of_range",
            ),
            ("lines", [{**LINE, "sku": "a b"}], "/lines/0/sku", "bad_format"),
            ("channel", "", "/channel", "too_short"),
            ("buyer_note", "x" * 20_001, "/buyer_note", "too_long"),
            ("platform", "taobao", "/platform", "unknown_field"),
        ],
    ),
    *fields(
        "PUT",
        "/v1/orders/taobao/T1",
        {**ORDER, "platform_version": 9},
        [("total", {"amount": 1, "currency": "USD"}, "/total/currency", "currency_mismatch")],
    ),
    *fields(
        "POST",
        "/v1/orders/{order}/refunds",
        {"amount": MONEY},
        [
            ("amount", {"amount": 0, "currency": "CNY"}, "/amount/amount", "out_of_range"),
            ("amount", {"amount": 1, "currency": "USD"}, "/amount/currency", "currency_mismatch"),
            ("amount", None, "/amount", "wrong_type"),
            ("refunded_at", "2026-01-01T00:00:00Z", "/refunded_at", "impossible_date"),
            ("refunded_at", "2999-01-01T00:00:00Z", "/refunded_at", "impossible_date"),
            ("refunded_at", "2026-06-31T00:00:00Z", "/refunded_at", "invalid_time"),
            ("external_id", "a b", "/external_id", "bad_format"),
            ("reason", "x" * 201, "/reason", "too_long"),
        ],
    ),
    _conflict(
        "more refunded than paid",
        "POST",
        "/v1/orders/{order}/refunds",
        {"amount": {"amount": 2000, "currency": "CNY"}},
        "refund_exceeds_paid",
        "/amount/amount",
    ),
    Bad(
        "refund of an order nobody has",
        "POST",
        "/v1/orders/{missing}/refunds",
        404,
        "not_found",
        None,
        JSON,
        raw({"amount": MONEY}),
    ),
    Bad(
        "refund of another shop's order",
        "POST",
        "/v1/orders/{foreign}/refunds",
        404,
        "not_found",
        None,
        JSON,
        raw({"amount": MONEY}),
    ),
]

INTERACTIONS = [
    *fields(
        "POST",
        "/v1/interactions",
        CALL,
        [
            ("channel", "smoke", "/channel", "unknown_choice"),
            ("direction", "sideways", "/direction", "unknown_choice"),
            ("order_id", "{missing}", "/order_id", "unknown_reference"),
            ("order_id", "{other_order}", "/order_id", "other_customer"),
            ("staff_id", "{missing}", "/staff_id", "unknown_reference"),
            ("duration_seconds", -1, "/duration_seconds", "out_of_range"),
            ("duration_seconds", 2**63, "/duration_seconds", "out_of_range"),
            ("attachments", ["http://example.com/a"], "/attachments/0", "invalid_url"),
            ("attachments", ["https://u:p@example.com/a"], "/attachments/0", "invalid_url"),
            ("attachments", ["javascript:alert(1)"], "/attachments/0", "invalid_url"),
            ("attachments", ["file:///etc/passwd"], "/attachments/0", "invalid_url"),
            ("attachments", ["https://"], "/attachments/0", "invalid_url"),
            ("attachments", ["https://example.com/" + "a" * 2000], "/attachments/0", "too_long"),
            ("attachments", ["https://example.com/a"] * 51, "/attachments", "too_many"),
            ("occurred_at", "2026-11-31T00:00:00Z", "/occurred_at", "invalid_time"),
            ("occurred_at", "2026-01-01T00:00:00", "/occurred_at", "invalid_time"),
            ("occurred_at", "2999-01-01T00:00:00Z", "/occurred_at", "in_the_future"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/interactions/{interaction}",
        {},
        [
            ("occurred_at", "2999-01-01T00:00:00Z", "/occurred_at", "in_the_future"),
            ("channel", None, "/channel", "unknown_choice"),
            ("occurred_at", None, "/occurred_at", "invalid_time"),
            ("customer_id", "{other}", "/customer_id", "unknown_field"),
        ],
    ),
]

COMPLAINTS = [
    *fields(
        "POST",
        "/v1/complaints",
        CASE,
        [
            ("kind", "rant", "/kind", "unknown_choice"),
            ("severity", "S0", "/severity", "unknown_choice"),
            ("severity", 1, "/severity", "unknown_choice"),
            ("safety", "maybe", "/safety", "wrong_type"),
            ("category", "a//b", "/category", "bad_format"),
            ("root_cause", "/", "/root_cause", "bad_format"),
            ("order_id", "{missing}", "/order_id", "unknown_reference"),
            ("assignee_id", "{foreign_staff}", "/assignee_id", "unknown_reference"),
            ("received_at", "2999-01-01T00:00:00Z", "/received_at", "in_the_future"),
            ("received_at", "2026-02-29T00:00:00Z", "/received_at", "invalid_time"),
            ("state", "closed", "/state", "unknown_field"),
        ],
    ),
    _conflict(
        "case with a known source",
        "POST",
        "/v1/complaints",
        {**CASE, "source_ref": "taobao:1"},
        "duplicate",
        "/source_ref",
    ),
    *fields(
        "PATCH",
        "/v1/complaints/{complaint}",
        {},
        [
            ("state", "closed", "/state", "unknown_field"),
            ("severity", None, "/severity", "unknown_choice"),
            ("assignee_id", "{missing}", "/assignee_id", "unknown_reference"),
        ],
    ),
    *invalid(
        "POST",
        MOVE,
        {
            "no goal": ({}, "", "one_of"),
            "two goals": ({"to": "acknowledged", "action": "acknowledge"}, "", "one_of"),
            "unknown state": ({"to": "forgotten"}, "/to", "unknown_choice"),
            "unknown action": ({"action": "forget"}, "/action", "unknown_choice"),
            "rejected without a reason": ({"action": "reject"}, "/reason", "required"),
            "merged into nothing": ({"action": "mark_duplicate"}, "/merged_into", "required"),
            "merged into what is not there": (
                {"action": "mark_duplicate", "merged_into": "{missing}"},
                "/merged_into",
                "unknown_reference",
            ),
            "merged into itself": (
                {"action": "mark_duplicate", "merged_into": "{complaint}"},
                "/merged_into",
                "unknown_reference",
            ),
            "merged into another shop's": (
                {"action": "mark_duplicate", "merged_into": "{foreign}"},
                "/merged_into",
                "unknown_reference",
            ),
            "merged while acknowledged": (
                {"action": "acknowledge", "merged_into": "{missing}"},
                "/merged_into",
                "not_expected",
            ),
            "told too early": ({"action": "acknowledge", "decision_told": True}, "/decision_told", "not_expected"),
        },
    ),
    _conflict("a step too far", "POST", MOVE, {"to": "closed"}, "transition_not_allowed", "/to"),
    _conflict("an action too early", "POST", MOVE, {"action": "reopen"}, "transition_not_allowed", "/action"),
    Bad(
        "link to an interaction nobody has",
        "PUT",
        "/v1/complaints/{complaint}/interactions/{missing}",
        404,
        "not_found",
    ),
    Bad("link to another shop's", "PUT", "/v1/complaints/{complaint}/interactions/{foreign}", 404, "not_found"),
    Bad("link of a case nobody has", "PUT", "/v1/complaints/{missing}/interactions/{interaction}", 404, "not_found"),
]

LOYALTY = [
    *fields(
        "POST",
        f"{ACCOUNT}/redemptions",
        {"points": 1, "reason": "x"},
        [
            ("points", 0, "/points", "out_of_range"),
            ("points", -5, "/points", "out_of_range"),
            ("points", 10**9 + 1, "/points", "out_of_range"),
            ("points", 2**63, "/points", "out_of_range"),
            ("points", 10**300, "/points", "out_of_range"),
            ("points", 1.5, "/points", "wrong_type"),
            ("points", 1.0, "/points", "wrong_type"),
            ("points", "1", "/points", "wrong_type"),
            ("points", True, "/points", "wrong_type"),
            ("points", None, "/points", "wrong_type"),
            ("reason", "", "/reason", "too_short"),
            ("reason", None, "/reason", "wrong_type"),
            ("reasn", "x", "/reasn", "unknown_field"),
        ],
    ),
    *fields(
        "POST",
        f"{ACCOUNT}/adjustments",
        {"points": 1, "reason": "x"},
        [
            ("points", 0, "/points", "invalid_value"),
            ("points", -(10**9) - 1, "/points", "out_of_range"),
            ("points", "many", "/points", "wrong_type"),
        ],
    ),
    _conflict(
        "more points than there are",
        "POST",
        f"{ACCOUNT}/redemptions",
        {"points": 10**6, "reason": "x"},
        "insufficient_balance",
        "/points",
    ),
    _conflict(
        "below zero",
        "POST",
        f"{ACCOUNT}/adjustments",
        {"points": -(10**6), "reason": "x"},
        "insufficient_balance",
        "/points",
    ),
    _conflict(
        "redemption undone twice", "POST", "/v1/loyalty/redemptions/{undone}/reversal", {}, "already_reversed", None
    ),
    Bad(
        "redemption nobody made",
        "POST",
        "/v1/loyalty/redemptions/{missing}/reversal",
        404,
        "not_found",
        None,
        JSON,
        b"{}",
    ),
    Bad(
        "reversal of what is no redemption",
        "POST",
        "/v1/loyalty/redemptions/{entry}/reversal",
        404,
        "not_found",
        None,
        JSON,
        b"{}",
    ),
    Bad(
        "points of another shop's customer",
        "POST",
        "/v1/loyalty/accounts/{foreign}/adjustments",
        404,
        "not_found",
        None,
        JSON,
        raw({"points": 1, "reason": "x"}),
    ),
    *invalid(
        "POST",
        "/v1/loyalty/redemptions/{redemption}/reversal",
        {
            "reason of the wrong type": ({"reason": 1}, "/reason", "wrong_type"),
            "unknown field": ({"points": 1}, "/points", "unknown_field"),
        },
    ),
    _conflict(
        "hold of more points than there are",
        "POST",
        f"{ACCOUNT}/holds",
        {"points": 10**6, "reason": "x"},
        "insufficient_balance",
        "/points",
    ),
    *invalid(
        "POST",
        f"{ACCOUNT}/holds",
        {
            "until in the past": (
                {"points": 1, "reason": "x", "until": "2020-01-01T00:00:00Z"},
                "/until",
                "in_the_past",
            ),
            "until far ahead": ({"points": 1, "reason": "x", "until": "2999-01-01T00:00:00Z"}, "/until", "too_far"),
            "no points": ({"points": 0, "reason": "x"}, "/points", "out_of_range"),
        },
    ),
    _conflict(
        "post of more than is held", "POST", "/v1/loyalty/holds/{hold}/post", {"points": 11}, "exceeds_hold", None
    ),
    _conflict("reversal of an open hold", "POST", "/v1/loyalty/holds/{hold}/reverse", {}, "hold_not_posted", None),
    _conflict("post of a voided hold", "POST", "/v1/loyalty/holds/{voided}/post", {}, "hold_closed", None),
    _conflict("void of a voided hold", "POST", "/v1/loyalty/holds/{voided}/void", {}, "hold_closed", None),
    *(
        Bad(f"{what} nobody made", "POST", path, 404, "not_found", None, JSON, b"{}")
        for what, path in {
            "hold to post": "/v1/loyalty/holds/{missing}/post",
            "hold to void": "/v1/loyalty/holds/{missing}/void",
            "hold to reverse": "/v1/loyalty/holds/{missing}/reverse",
            "review to approve": "/v1/loyalty/reviews/{missing}/approve",
            "review to waive": "/v1/loyalty/reviews/{missing}/waive",
        }.items()
    ),
    *invalid(
        "POST",
        f"{ACCOUNT}/transfers",
        {
            "to oneself": (
                {"to_customer_id": "{customer}", "points": 1, "reason": "x"},
                "/to_customer_id",
                "same_customer",
            ),
            "to no id": ({"to_customer_id": "x", "points": 1, "reason": "x"}, "/to_customer_id", "invalid_id"),
        },
    ),
    *fields(
        "POST",
        "/v1/loyalty/programmes",
        {"name": "x"},
        [
            ("name", "", "/name", "too_short"),
            ("scale", 5, "/scale", "out_of_range"),
            ("points_per_unit", -1, "/points_per_unit", "out_of_range"),
            ("time_zone", "Mars/Olympus", "/time_zone", "unknown_time_zone"),
            ("currency", "XYZ", "/currency", "unknown_currency"),
            ("expiry_end", "quarter", "/expiry_end", "needs_expiry"),
            ("restore_policy", "grace", "/grace_days", "required"),
            ("hold_minutes", 0, "/hold_minutes", "out_of_range"),
            ("is_default", "yes", "/is_default", "wrong_type"),
        ],
    ),
    *invalid(
        "PATCH",
        "/v1/loyalty/programmes/{programme}",
        {
            "no default any more": ({"is_default": False}, "/is_default", "default_needed"),
            "name null": ({"name": None}, "/name", "wrong_type"),
        },
    ),
    _conflict(
        "scale of a programme in use",
        "PATCH",
        "/v1/loyalty/programmes/{programme}",
        {"scale": 2},
        "programme_in_use",
        "/scale",
    ),
    Bad(
        "balance of tomorrow",
        "GET",
        f"{ACCOUNT}/balance?at=2999-01-01T00:00:00Z",
        422,
        "invalid",
        "/query/at",
        error="in_the_future",
    ),
]

SCORING = fields(
    "POST",
    "/v1/scoring-runs",
    {},
    [
        ("as_of", "2999-01-01T00:00:00Z", "/as_of", "in_the_future"),
        ("as_of", "2026-02-30T00:00:00Z", "/as_of", "invalid_time"),
        ("as_of", "now", "/as_of", "invalid_time"),
        ("currency", "XYZ", "/currency", "unknown_currency"),
        ("currency", "yuan", "/currency", "too_long"),
        ("currency", 156, "/currency", "wrong_type"),
        ("thresholds", {}, "/thresholds", "unknown_field"),
        ("period", "2026-13", "/period", "bad_format"),
        ("period", "9998-Q4", "/period", "not_over"),
        ("period", "October", "/period", "bad_format"),
    ],
)

FREQUENCY = "/v1/classifications/frequency"
GROUP = {"key": "all", "name": {"en": "All", "zh": "全部"}, "r": [1, 5], "f": [1, 5], "m": [1, 5]}
CLASSIFICATIONS = [
    *invalid(
        "PATCH",
        FREQUENCY,
        {
            "levels the wrong way round": ({"definition": {"high": 2, "mid": 4}}, "/definition/high", "wrong_order"),
            "nobody is above none": ({"definition": {"mid": 0}}, "/definition/mid", "out_of_range"),
            "a number as text": ({"definition": {"high": "12"}}, "/definition/high", "wrong_type"),
            "a part of another": ({"definition": {"lost_days": 3}}, "/definition/lost_days", "unknown_field"),
            "a limit for nobody": (
                {"contact_limits": {"A": {"contacts": 1, "per": "month"}}},
                "/contact_limits/A",
                "unknown_class",
            ),
            "a limit for ever": (
                {"contact_limits": {"high": {"contacts": 1, "per": "ever"}}},
                "/contact_limits/high/per",
                "unknown_choice",
            ),
        },
    ),
    *invalid(
        "PATCH",
        "/v1/classifications/rfm",
        {
            "no such set": ({"definition": {"groups": "nine"}}, "/definition/groups", "wrong_type"),
            "cells left over": (
                {"definition": {"groups": [{**GROUP, "r": [2, 5]}]}},
                "/definition/groups",
                "not_covered",
            ),
            "a group too late": (
                {"definition": {"groups": [GROUP, {**GROUP, "key": "late"}]}},
                "/definition/groups/1",
                "never_reached",
            ),
            "a range upside down": (
                {"definition": {"groups": [{**GROUP, "m": [5, 1]}]}},
                "/definition/groups/0/m",
                "wrong_order",
            ),
            "fixed without edges": ({"definition": {"scheme": "fixed"}}, "/definition/edges", "edges"),
        },
    ),
    *invalid(
        "PATCH",
        "/v1/classifications/grade",
        {"falling shares": ({"definition": {"shares": [0.8, 0.5, 0.9]}}, "/definition/shares/1", "wrong_order")},
    ),
    *invalid(
        "PATCH",
        "/v1/classifications/value_potential",
        {
            "too many points": ({"definition": {"high": 50}}, "/definition/high", "out_of_reach"),
            "cells missing": ({"definition": {"policies": {}}}, "/definition/policies", "cells_missing"),
        },
    ),
    *fields(
        "PUT",
        "/v1/customers/{customer}/potential",
        {},
        [
            ("industry_position", "best", "/industry_position", "unknown_choice"),
            ("outlook", 1, "/outlook", "unknown_choice"),
            ("staff_id", "x", "/staff_id", "invalid_id"),
        ],
    ),
    Bad("potential of nobody", "PUT", "/v1/customers/{missing}/potential", 404, "not_found", None, JSON, b"{}"),
    Bad("potential of another shop's", "PUT", "/v1/customers/{foreign}/potential", 404, "not_found", None, JSON, b"{}"),
    Bad("classes of another shop's", "GET", "/v1/customers/{foreign}/classes", 404, "not_found"),
    *query(
        "/v1/analytics/transitions",
        [
            ("dimension=grade&from=2026-02-30&to=2026-03-01", "/query/from", "invalid_time"),
            ("dimension=grade&from=2026-03-02&to=2026-03-01", "/query/to", "wrong_order"),
            ("dimension=mood&from=2026-03-01&to=2026-03-02", "/query/dimension", "unknown_choice"),
            ("basis=guess", "/query/basis", "unknown_choice"),
        ],
    ),
]

DEFINITION = {"key": "new", "type": "number", "label": {"en": "x"}}
DEFINED = "/v1/attribute-definitions/{attribute_definition}"

ATTRIBUTES = [
    *fields(
        "POST",
        "/v1/attribute-definitions",
        DEFINITION,
        [
            ("key", "Shoe Size", "/key", "bad_format"),
            ("key", "x" * 65, "/key", "too_long"),
            ("key", None, "/key", "wrong_type"),
            ("type", "regex", "/type", "unknown_choice"),
            ("entity", "order", "/entity", "unknown_choice"),
            ("label", "x", "/label", "wrong_type"),
            ("label", {}, "/label", "label_required"),
            ("label", {"en": ""}, "/label/en", "too_short"),
            ("label", {"fr": "x"}, "/label/fr", "unknown_field"),
            ("minimum", "1", "/minimum", "wrong_type"),
            ("minimum", 1e300, "/minimum", "out_of_range"),
            ("max_length", 10, "/max_length", "not_allowed"),
            ("choices", [{"value": "a", "label": {"en": "x"}}], "/choices", "not_allowed"),
            ("choices", [{"value": "a b", "label": {"en": "x"}}], "/choices/0/value", "bad_format"),
            ("choices", [{"value": "a"}], "/choices/0/label", "required"),
            ("refers_to", "order", "/refers_to", "unknown_choice"),
            ("refers_to", "store", "/refers_to", "not_allowed"),
            ("archived", True, "/archived", "unknown_field"),
        ],
    ),
    *fields(
        "POST", "/v1/attribute-definitions", DEFINITION | {"minimum": 2}, [("maximum", 1, "/maximum", "out_of_range")]
    ),
    *fields(
        "POST", "/v1/attribute-definitions", {**DEFINITION, "type": "choice"}, [("choices", [], "/choices", "required")]
    ),
    _conflict(
        "a key that is taken", "POST", "/v1/attribute-definitions", {**DEFINITION, "key": "size"}, "duplicate", "/key"
    ),
    _conflict("the type of an attribute in use", "PATCH", DEFINED, {"type": "text"}, "attribute_in_use", "/type"),
    _conflict(
        "a choice that somebody has",
        "PATCH",
        DEFINED,
        {"choices": [{"value": "oily", "label": {"en": "x"}}]},
        "attribute_in_use",
        "/choices",
    ),
    Bad("conflict: deleting an attribute in use", "DELETE", DEFINED, 409, "attribute_in_use", None),
    *invalid(
        "PATCH",
        DEFINED,
        {
            "the key": ({"key": "other"}, "/key", "unknown_field"),
            "no label": ({"label": None}, "/label", "wrong_type"),
        },
    ),
    *(
        case
        for method, path, more in (("POST", "/v1/customers", PERSON), ("PATCH", CUSTOMER, {}))
        for case in fields(
            method,
            path,
            more,
            [
                ("attributes", None, "/attributes", "wrong_type"),
                ("attributes", [], "/attributes", "wrong_type"),
                ("attributes", {"nope": 1}, "/attributes/nope", "unknown_attribute"),
                ("attributes", {"a/b": 1}, "/attributes/a~1b", "unknown_attribute"),
                ("attributes", {"gone": "x"}, "/attributes/gone", "attribute_archived"),
                ("attributes", {"size": "40"}, "/attributes/size", "wrong_type"),
                ("attributes", {"size": 61}, "/attributes/size", "out_of_range"),
                ("attributes", {"size": {"a": [1]}}, "/attributes/size", "wrong_type"),
                ("attributes", {"skin": "wet"}, "/attributes/skin", "unknown_choice"),
                ("interests", None, "/interests", "wrong_type"),
                ("interests", ["a,b"], "/interests/0", "bad_format"),
                ("age_range", "30", "/age_range", "unknown_choice"),
            ],
        )
    ),
    *fields(
        "POST",
        "/v1/customers",
        PERSON,
        [
            ("addresses", [{}], "/addresses/0", "address_empty"),
            ("addresses", [{"city": "x"}] * 21, "/addresses", "too_many"),
            (
                "birthday",
                {"calendar": "lunar", "year": 2026, "month": 6, "day": 1, "leap_month": True},
                "/birthday",
                "no_leap_month",
            ),
            ("birthday", {"calendar": "lunar", "year": 2024, "month": 12, "day": 30}, "/birthday", "no_such_day"),
        ],
    ),
    *invalid(
        "POST",
        f"{CUSTOMER}/addresses",
        {
            "nowhere": ({"label": "家"}, "", "address_empty"),
            "a street of the wrong type": ({"street": 1}, "/street", "wrong_type"),
        },
    ),
    *invalid(
        "PATCH",
        f"{CUSTOMER}/addresses/{{address}}",
        {
            "nothing left of it": ({"city": None}, "", "address_empty"),
            "a default that is no truth value": ({"is_default": None}, "/is_default", "wrong_type"),
        },
    ),
]

BATCHES = [
    *(
        case
        for path in ("/v1/customers/batch", "/v1/orders/batch", "/v1/interactions/batch")
        for case in invalid(
            "POST",
            path,
            {
                "no items": ({}, "/items", "required"),
                "an empty list": ({"items": []}, "/items", "too_few"),
                "too many": ({"items": [{}] * 1001}, "/items", "too_many"),
                "one that is no list": ({"items": {"name": "x"}}, "/items", "wrong_type"),
                "an unknown mode": ({"mode": "best_effort", "items": [{}]}, "/mode", "unknown_choice"),
                "an item that is no object": ({"items": [1]}, "/items/0", "wrong_type"),
                "a ref that is no text": ({"items": [{"ref": 1}]}, "/items/0/ref", "wrong_type"),
                "an unknown field of an item": ({"items": [{"nmae": 1}]}, "/items/0/nmae", "unknown_field"),
            },
        )
    ),
    *invalid(
        "POST",
        "/v1/customers/batch",
        {
            "one of two": ({"items": [PERSON, {"name": ""}]}, "/items/1/name", "too_short"),
            "an attribute": (
                {"items": [{**PERSON, "attributes": {"size": "x"}}]},
                "/items/0/attributes/size",
                "wrong_type",
            ),
        },
    ),
    _conflict(
        "an identity that is taken, in a batch",
        "POST",
        "/v1/customers/batch",
        {"items": [PERSON, {**PERSON, "identities": [{"platform": "taobao", "external_id": "taken"}]}]},
        "duplicate",
        None,
    ),
]

UNKNOWN_CUSTOMERS = [
    Bad(
        f"{method} {path}: customer {whose}",
        method,
        path,
        404,
        "not_found",
        "/customer_id",
        JSON,
        raw({**body, "customer_id": whose}),
        "unknown_customer",
    )
    for method, path, body in (
        ("PUT", "/v1/orders/taobao/NEW", ORDER),
        ("POST", "/v1/interactions", CALL),
        ("POST", "/v1/complaints", CASE),
    )
    for whose in ("{missing}", "{foreign}")
]

CASES = [
    *UNKNOWN_CUSTOMERS,
    *CUSTOMERS,
    *ATTRIBUTES,
    *BATCHES,
    *ACCOUNTS,
    *CATALOGUE,
    *ORDERS,
    *INTERACTIONS,
    *COMPLAINTS,
    *LOYALTY,
    *SCORING,
    *CLASSIFICATIONS,
]
