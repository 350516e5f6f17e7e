"""Forms that cannot be, and what strangers may not send."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, raw

PHONE = {"key": "phone", "label": "手机号", "type": "mobile", "maps_to": "mobile"}
FORM = {"name": "x", "kind": "activity", "title": "x", "fields": [PHONE]}
UNKNOWN = "0198a0c0-0000-7000-8000-000000000000"
SEND = "/v1/public/forms/{form}/submissions"
ANSWERS = {"phone": "13812345678"}

CASES = [
    *fields(
        "POST",
        "/v1/forms",
        FORM,
        [
            ("kind", "poll", "/kind", "unknown_choice"),
            ("fields", [], "/fields", "too_few"),
            ("fields", [{**PHONE, "maps_to": None}], "", "no_contact"),
            ("fields", [PHONE, PHONE], "", "repeated"),
            ("fields", [{**PHONE, "type": "text"}], "/fields/0", "maps_to"),
            ("fields", [PHONE, {"key": "a", "label": "a", "type": "choice"}], "/fields/1", "choices"),
            ("fields", [{**PHONE, "key": "No Key"}], "/fields/0/key", "bad_format"),
            ("allowed_origins", ["shop.example.com"], "/allowed_origins/0", "invalid_origin"),
            ("consent_text_ids", [UNKNOWN], "/consent_text_ids/0", "unknown_consent_text"),
            ("hourly_limit", 0, "/hourly_limit", "out_of_range"),
            ("minimum_seconds", -1, "/minimum_seconds", "out_of_range"),
        ],
    ),
    *invalid(
        "PATCH",
        "/v1/forms/{form}",
        {
            "a form by which nobody is known": ({"fields": [{"key": "a", "label": "a"}]}, "", "no_contact"),
            "a consent text that is not there": (
                {"consent_text_ids": [UNKNOWN]},
                "/consent_text_ids/0",
                "unknown_consent_text",
            ),
        },
    ),
    *invalid(
        "POST",
        SEND,
        {
            "a ticket of nobody's": ({"ticket": "x", "answers": ANSWERS}, "/ticket", "bad_ticket"),
            "a ticket in Chinese": ({"ticket": "票", "answers": ANSWERS}, "/ticket", "bad_ticket"),
            "an answer that is no text": ({"ticket": "x", "answers": {"phone": 1}}, "/answers/phone", "wrong_type"),
        },
    ),
    Bad("a form that is not there", "GET", "/v1/public/forms/{missing}", 404, "not_found", key=False),
    Bad(
        "a page the form is not for",
        "GET",
        "/v1/public/forms/{form}",
        403,
        "origin_not_allowed",
        None,
        {"origin": "https://evil.example.com"},
        key=False,
    ),
    Bad(
        "sending to a form that is not there",
        "POST",
        "/v1/public/forms/{missing}/submissions",
        404,
        "not_found",
        None,
        JSON,
        raw({"ticket": "x", "answers": ANSWERS}),
        key=False,
    ),
]
