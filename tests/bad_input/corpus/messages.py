"""Channels, one-time codes, accounts on platforms, and the quality of data."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, query, raw

SMTP = {"host": "smtp.example.com", "from_address": "shop@example.com"}
SMS = {"url": "https://sms.example.com/send", "body": {"to": "{to}"}}
LOCAL = {"name": "x", "kind": "local"}
POINT = "/v1/customers/{customer}/contact-points/{contact_point}"
CUSTOMER = "/v1/customers/{customer}"


def _smtp(**given: object) -> dict[str, object]:
    return {"name": "x", "kind": "smtp", "smtp": {**SMTP, **given}, "secret": "x"}


def _sms(**given: object) -> dict[str, object]:
    return {"name": "x", "kind": "sms", "sms": {**SMS, **given}, "secret": "x"}


CHANNELS = [
    *fields(
        "POST",
        "/v1/channels",
        LOCAL,
        [
            ("name", "", "/name", "too_short"),
            ("kind", "fax", "/kind", "unknown_choice"),
            ("secret", "", "/secret", "too_short"),
            ("secret", 1, "/secret", "wrong_type"),
            ("active", "perhaps", "/active", "wrong_type"),
            ("default_for", ["fax"], "/default_for/0", "unknown_choice"),
            ("default_for", "email", "/default_for", "wrong_type"),
            ("smtp", SMTP, "/smtp", "not_this_kind"),
            ("sms", {}, "/sms/url", "required"),
            ("settings", {}, "/settings", "unknown_field"),
        ],
    ),
    *invalid(
        "POST",
        "/v1/channels",
        {
            "smtp without settings": ({"name": "x", "kind": "smtp"}, "/smtp", "required"),
            "sms without settings": ({"name": "x", "kind": "sms"}, "/sms", "required"),
            "no host": (_smtp(host=""), "/smtp/host", "too_short"),
            "a host with a path": (_smtp(host="smtp.example.com/x"), "/smtp/host", "bad_host"),
            "a host with a line break": (_smtp(host="a\nb"), "/smtp/host", "bad_host"),
            "port 0": (_smtp(port=0), "/smtp/port", "out_of_range"),
            "port 70000": (_smtp(port=70_000), "/smtp/port", "out_of_range"),
            "port as text": (_smtp(port="smtp"), "/smtp/port", "wrong_type"),
            "security unknown": (_smtp(security="ssl3"), "/smtp/security", "unknown_choice"),
            "a password in the clear": (_smtp(username="x", security="none"), "/smtp/security", "not_encrypted"),
            "smtp for mobiles": ({**_smtp(), "default_for": ["mobile"]}, "/default_for/0", "not_served"),
            "sms for e-mail": ({**_sms(), "default_for": ["email"]}, "/default_for/0", "not_served"),
            "url of a file": (_sms(url="file:///etc/passwd"), "/sms/url", "bad_url"),
            "url of gopher": (_sms(url="gopher://127.0.0.1:6379/x"), "/sms/url", "bad_url"),
            "url with a password": (_sms(url="https://a:b@sms.example.com/"), "/sms/url", "bad_url"),
            "url without a host": (_sms(url="https:///x"), "/sms/url", "bad_url"),
            "an unknown place": (_sms(body={"to": ["{phone}"]}), "/sms/body", "unknown_place"),
            "a place in a member's name": (_sms(body={"{phone}": "x"}), "/sms/body", "unknown_place"),
            "a nested form": (_sms(encoding="form", body={"a": {"b": "c"}}), "/sms/body", "wrong_type"),
            "a header with a line break": (_sms(headers={"X": "a\r\nY: b"}), "/sms/headers", "bad_header"),
            "a header name with a space": (_sms(headers={"X Y": "a"}), "/sms/headers", "bad_header"),
            "the Host header": (_sms(headers={"host": "x"}), "/sms/headers", "bad_header"),
            "21 headers": (_sms(headers={f"X{i}": "a" for i in range(21)}), "/sms/headers", "too_many"),
            "a bad pointer": (_sms(success_pointer="code"), "/sms/success_pointer", "bad_format"),
            "a pointer without values": (_sms(success_pointer="/code"), "/sms/success_values", "required"),
            "an unknown signature": (_sms(signature="md5"), "/sms/signature", "unknown_choice"),
        },
    ),
    *invalid(
        "PATCH",
        "/v1/channels/{channel}",
        {
            "settings of another kind": ({"smtp": SMTP}, "/smtp", "not_this_kind"),
            "no name": ({"name": ""}, "/name", "too_short"),
            "its kind": ({"kind": "sms"}, "/kind", "unknown_field"),
        },
    ),
    *invalid(
        "POST",
        "/v1/channels/{channel}/test",
        {
            "nobody": ({}, "/to", "required"),
            "no phone": ({"to": "12"}, "/to", "invalid_phone"),
            "no e-mail": ({"to": "a@b@c"}, "/to", "invalid_email"),
            "no text": ({"to": "13812345678", "body": ""}, "/body", "too_short"),
        },
    ),
    *query("/v1/channels", [("kind=fax", "/query/kind", "unknown_choice")]),
    *query("/v1/channel-messages", [("state=lost", "/query/state", "unknown_choice")]),
]

CODES = [
    *fields(
        "POST",
        f"{POINT}/verification/check",
        {},
        [
            ("code", value, "/code", "bad_format")
            for value in ("12345", "1234567", "12345a", "１２３４５６", "", "-12345")
        ],
    ),
    *fields("POST", f"{POINT}/verification/check", {}, [("code", 123456, "/code", "wrong_type")]),
    *invalid(
        "POST",
        f"{POINT}/verification",
        {
            "in French": ({"language": "fr"}, "/language", "unknown_choice"),
            "with a code": ({"code": "1"}, "/code", "unknown_field"),
        },
    ),
    *(
        Bad(f"POST {path}", "POST", path, 404, "not_found", None, JSON, raw({"code": "123456"}))
        for path in (
            f"{CUSTOMER}/contact-points/{{missing}}/verification/check",
            "/v1/customers/{missing}/contact-points/{contact_point}/verification/check",
            "/v1/customers/{foreign}/contact-points/{contact_point}/verification/check",
            "/v1/customers/{other}/contact-points/{contact_point}/verification/check",
        )
    ),
    *query("/v1/contact-verifications", [("state=lost", "/query/state", "unknown_choice")]),
]

ACCOUNTS = fields(
    "POST",
    f"{CUSTOMER}/contact-points",
    {"kind": "mobile"},
    [("value", value, "/value", "not_a_mobile") for value in ("021-64371234", "+86 400 810 8888")],
) + [
    case
    for kind, value, code in (
        ("landline", "13812345678", "not_a_landline"),
        ("wechat_openid", "openid", "invalid_account"),
        ("wechat_unionid", "o1", "invalid_account"),
        ("wecom_external_userid", "wx123456789012", "invalid_account"),
        ("taobao_buyer", "t", "invalid_account"),
        ("taobao_buyer", "a b", "invalid_account"),
        ("douyin_open_id", "a b c d e f", "invalid_account"),
        ("weibo", "！！", "invalid_account"),
    )
    for case in fields("POST", f"{CUSTOMER}/contact-points", {"kind": kind}, [("value", value, "/value", code)])
]

QUALITY = [
    *query("/v1/quality/report", [("stale_days=0", "/query/stale_days", "out_of_range")]),
    *query(
        "/v1/quality/customers",
        [
            ("finding=ugly", "/query/finding", "unknown_choice"),
            ("stale_days=4000", "/query/stale_days", "out_of_range"),
            ("stale_days=x", "/query/stale_days", "wrong_type"),
            ("completeness_below=0", "/query/completeness_below", "out_of_range"),
            ("completeness_below=101", "/query/completeness_below", "out_of_range"),
        ],
    ),
    *query("/v1/customers/{customer}/quality", [("stale_days=0", "/query/stale_days", "out_of_range")]),
    *invalid(
        "POST",
        "/v1/quality/cleanups",
        {
            "nothing": ({"actions": []}, "/actions", "too_few"),
            "an unknown action": ({"actions": ["delete_everything"]}, "/actions/0", "unknown_choice"),
            "a dry run in words": ({"actions": ["reclassify_phones"], "dry_run": "perhaps"}, "/dry_run", "wrong_type"),
        },
    ),
    Bad(
        "conflict: a clean-up that has ended",
        "POST",
        "/v1/quality/cleanups/{cleanup}/cancel",
        409,
        "cleanup_ended",
    ),
]

CASES = [*CHANNELS, *CODES, *ACCOUNTS, *QUALITY]
