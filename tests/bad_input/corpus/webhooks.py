"""Sources and their signed messages."""

from tests.bad_input.corpus.case import JSON, Bad, fields, raw

SHOPIFY = "/v1/inbound/{source}"
STANDARD = "/v1/inbound/{standard}"
BODY = raw({"id": 5001, "currency": "CNY"})
SIGNED = {"webhook-id": "msg_1", "webhook-timestamp": "1760000000", "webhook-signature": "v1,AAAA"}


def _signature(name: str, path: str, headers: dict[str, str | bytes], body: bytes = BODY) -> Bad:
    return Bad(f"signature: {name}", "POST", path, 401, "bad_signature", None, {**JSON, **headers}, body, key=False)


CASES = [
    _signature("none", SHOPIFY, {}),
    _signature("empty", SHOPIFY, {"x-shopify-hmac-sha256": ""}),
    _signature("no base64", SHOPIFY, {"x-shopify-hmac-sha256": "!!!"}),
    _signature("another length", SHOPIFY, {"x-shopify-hmac-sha256": "AAAA"}),
    _signature("of another secret", SHOPIFY, {"x-shopify-hmac-sha256": "A" * 43 + "="}),
    _signature("hexadecimal", SHOPIFY, {"x-shopify-hmac-sha256": "0" * 64}),
    _signature("latin-1", SHOPIFY, {"x-shopify-hmac-sha256": b"\xff\xfe"}),
    _signature("UTF-8", SHOPIFY, {"x-shopify-hmac-sha256": "签名".encode()}),
    _signature("NUL", SHOPIFY, {"x-shopify-hmac-sha256": b"\x00"}),
    _signature("64 kB", SHOPIFY, {"x-shopify-hmac-sha256": "A" * 65536}),
    _signature("of the body without its last byte", SHOPIFY, {"x-shopify-hmac-sha256": "{signature}"}, BODY + b" "),
    _signature("empty body", SHOPIFY, {"x-shopify-hmac-sha256": "{signature}"}, b""),
    _signature("the wrong platform's", SHOPIFY, dict(SIGNED)),
    _signature("standard: none", STANDARD, {}),
    _signature("standard: Shopify's", STANDARD, {"x-shopify-hmac-sha256": "{signature}"}),
    _signature("standard: wrong", STANDARD, dict(SIGNED)),
    _signature("standard: no id", STANDARD, {k: v for k, v in SIGNED.items() if k != "webhook-id"}),
    _signature("standard: no time", STANDARD, {k: v for k, v in SIGNED.items() if k != "webhook-timestamp"}),
    _signature("standard: time is text", STANDARD, {**SIGNED, "webhook-timestamp": "now"}),
    _signature("standard: time is negative", STANDARD, {**SIGNED, "webhook-timestamp": "-1"}),
    _signature("standard: time of 400 digits", STANDARD, {**SIGNED, "webhook-timestamp": "9" * 400}),
    _signature("standard: time of 5,000 digits", STANDARD, {**SIGNED, "webhook-timestamp": "9" * 5000}),
    _signature("standard: time is NaN", STANDARD, {**SIGNED, "webhook-timestamp": "NaN"}),
    _signature("standard: time is Infinity", STANDARD, {**SIGNED, "webhook-timestamp": "Infinity"}),
    _signature("standard: no version", STANDARD, {**SIGNED, "webhook-signature": "AAAA"}),
    _signature("standard: another version", STANDARD, {**SIGNED, "webhook-signature": "v2,AAAA"}),
    _signature("standard: bytes", STANDARD, {**SIGNED, "webhook-signature": b"v1,\xff"}),
    _signature("standard: body is no UTF-8", STANDARD, dict(SIGNED), b"\xff\xfe"),
    Bad("webhook: unknown source", "POST", "/v1/inbound/{missing}", 404, "not_found", None, JSON, BODY, key=False),
    Bad("webhook: switched off", "POST", "/v1/inbound/{inactive}", 404, "not_found", None, JSON, BODY, key=False),
    Bad(
        "webhook: source is no id",
        "POST",
        "/v1/inbound/shop",
        422,
        "invalid",
        "/path/source_id",
        JSON,
        BODY,
        "invalid_id",
        key=False,
    ),
    *fields(
        "POST",
        "/v1/sources",
        {"name": "x", "platform": "shopify", "secret": "shpss_0123456789"},
        [
            ("platform", "ebay", "/platform", "unknown_choice"),
            ("platform", None, "/platform", "unknown_choice"),
            ("secret", "short", "/secret", "too_short"),
            ("secret", "s" * 201, "/secret", "too_long"),
            ("secret", None, "/secret", "wrong_type"),
            ("secret", 12345678, "/secret", "wrong_type"),
            ("secret", " " * 20, "/secret", "too_short"),
            ("name", "", "/name", "too_short"),
            ("url", "https://example.com", "/url", "unknown_field"),
            ("active", False, "/active", "unknown_field"),
        ],
    ),
    *fields(
        "POST",
        "/v1/sources",
        {"name": "x", "platform": "standard"},
        [
            ("secret", "no_prefix_0123456789", "/secret", "bad_secret"),
            ("secret", "whsec_!!!!!!!!!!!!", "/secret", "bad_secret"),
            ("secret", "whsec_AAAA", "/secret", "bad_secret"),
            ("secret", "whsec_中文中文中文", "/secret", "bad_secret"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/sources/{source}",
        {},
        [
            ("secret", "", "/secret", "too_short"),
            ("secret", None, "/secret", "wrong_type"),
            ("active", "perhaps", "/active", "wrong_type"),
            ("active", None, "/active", "wrong_type"),
            ("platform", "standard", "/platform", "unknown_field"),
        ],
    ),
    *fields("PATCH", "/v1/sources/{standard}", {}, [("secret", "not_standard_at_all", "/secret", "bad_secret")]),
    Bad(
        "webhook: replayed while it waits", "POST", "/v1/inbound-deliveries/{delivery}/replay", 409, "delivery_pending"
    ),
    Bad("webhook: another shop's delivery", "POST", "/v1/inbound-deliveries/{foreign}/replay", 404, "not_found"),
]
