"""Well-formed requests about consent, copies of data and erasure that say what cannot be."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, query, raw

SAID = {"purpose": "marketing", "channel": "sms", "action": "granted", "source": "checkout"}
TEXT = {"purpose": "marketing", "language": "zh", "title": "x", "body": "x"}
QUESTION = {"purpose": "marketing", "channel": "sms", "recipients": [{"customer_id": "{customer}"}]}
LEDGER = "/v1/customers/{customer}/consents"


def _refused(name: str, method: str, path: str, status: int, code: str, body: object = None) -> Bad:
    return Bad(f"privacy: {name}", method, path, status, code, None, JSON, None if body is None else raw(body))


CONSENT = [
    *fields(
        "POST",
        LEDGER,
        SAID,
        [
            ("purpose", "gossip", "/purpose", "unknown_purpose"),
            ("purpose", "Marketing!", "/purpose", "bad_format"),
            ("purpose", "transactional", "/purpose", "consent_not_needed"),
            ("purpose", "guardian", "/channel", "not_expected"),
            ("purpose", None, "/purpose", "wrong_type"),
            ("channel", "telepathy", "/channel", "unknown_choice"),
            ("channel", ["sms"], "/channel", "unknown_choice"),
            ("action", "yes", "/action", "unknown_choice"),
            ("action", True, "/action", "unknown_choice"),
            ("source", "", "/source", "too_short"),
            ("source", "a b", "/source", "bad_format"),
            ("at", "2999-01-01T00:00:00Z", "/at", "in_the_future"),
            ("at", "yesterday", "/at", "invalid_time"),
            ("at", "2026-01-01T00:00:00", "/at", "invalid_time"),
            ("text_id", "{missing}", "/text_id", "unknown_reference"),
            ("text_id", "{consent_text}", "/text_id", "other_purpose"),
            ("proof", "a file", "/proof", "wrong_type"),
            ("proof", {"url": "http://example.com/x"}, "/proof/url", "bad_format"),
            ("proof", {"url": "javascript:alert(1)"}, "/proof/url", "bad_format"),
            ("proof", {"sha256": "short"}, "/proof/sha256", "bad_format"),
            ("proof", {"details": {"x": "y" * 5000}}, "/proof/details", "too_long"),
            ("proof", {"photo": "x"}, "/proof/photo", "unknown_field"),
            ("customer_id", "{other}", "/customer_id", "unknown_field"),
        ],
    ),
    *invalid("POST", LEDGER, {"nothing said": ({}, "/purpose", "required")}),
    *fields(
        "POST",
        "/v1/consent-texts",
        TEXT,
        [
            ("purpose", "gossip", "/purpose", "unknown_purpose"),
            ("language", "Chinese", "/language", "bad_format"),
            ("language", "z", "/language", "too_short"),
            ("title", "", "/title", "too_short"),
            ("body", "", "/body", "too_short"),
            ("version", 7, "/version", "unknown_field"),
        ],
    ),
    *fields(
        "POST",
        "/v1/consents/evaluate",
        QUESTION,
        [
            ("purpose", "gossip", "/purpose", "unknown_purpose"),
            ("purpose", "guardian", "/purpose", "not_expected"),
            ("channel", "any", "/channel", "unknown_choice"),
            ("recipients", [], "/recipients", "too_few"),
            ("recipients", [{"customer_id": "{customer}"}] * 2, "/recipients", "duplicate"),
            ("recipients", [{"customer_id": "{customer}"}] * 1001, "/recipients", "too_many"),
            ("recipients", ["{customer}"], "/recipients/0", "wrong_type"),
        ],
    ),
    *(
        Bad(
            f"evaluate: {place}",
            "POST",
            "/v1/consents/evaluate",
            404,
            "not_found",
            "/recipients/0/customer_id",
            JSON,
            raw({**QUESTION, "recipients": [{"customer_id": f"{{{place}}}"}]}),
        )
        for place in ("missing", "foreign")
    ),
    *fields(
        "PATCH",
        "/v1/consent-settings",
        {},
        [
            ("purposes", ["marketing"], "/purposes/0", "duplicate"),
            ("purposes", ["A B"], "/purposes/0", "bad_format"),
            ("guardian_consent_required", "sometimes", "/guardian_consent_required", "wrong_type"),
        ],
    ),
    *query(
        "/v1/customers",
        [
            ("consent=marketing", "/query/consent", "bad_format"),
            ("consent=marketing.any", "/query/consent", "bad_format"),
            ("consent=.sms", "/query/consent", "bad_format"),
        ],
    ),
]

PRIVACY = [
    *fields(
        "POST",
        "/v1/customers/{customer}/erasures",
        {},
        [
            ("reason", "because", "/reason", "unknown_choice"),
            ("note", "x" * 2001, "/note", "too_long"),
            ("due_at", "2026-01-01T00:00:00Z", "/due_at", "unknown_field"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/privacy-settings",
        {},
        [
            ("erasure_waiting_days", -1, "/erasure_waiting_days", "out_of_range"),
            ("erasure_waiting_days", 31, "/erasure_waiting_days", "out_of_range"),
            ("export_keep_days", 0, "/export_keep_days", "out_of_range"),
            ("export_keep_days", "a week", "/export_keep_days", "wrong_type"),
        ],
    ),
    _refused("a second erasure", "POST", "/v1/customers/{leaving}/erasures", 409, "erasure_pending", {}),
    _refused(
        "an archive that is not ready", "GET", "/v1/subject-exports/{subject_export}/archive", 409, "export_not_ready"
    ),
    _refused("an archive of nothing", "GET", "/v1/subject-exports/{missing}/archive", 404, "not_found"),
    _refused("cancelled twice", "POST", "/v1/erasures/{kept}/cancel", 409, "erasure_begun"),
    _refused("a stranger's copy", "POST", "/v1/customers/{foreign}/subject-exports", 404, "not_found"),
    _refused("a stranger's erasure", "POST", "/v1/customers/{foreign}/erasures", 404, "not_found", {}),
    _refused("consent of nobody", "POST", "/v1/customers/{missing}/consents", 404, "not_found", SAID),
    _refused("what nobody agreed to", "GET", "/v1/customers/{foreign}/consent-state", 404, "not_found"),
]

CASES = [*CONSENT, *PRIVACY]
