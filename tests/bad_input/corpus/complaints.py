"""Words nobody said, decisions nobody took, causes nobody knows, cases that repeat or take up what they cannot."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, raw

CASE = {"customer_id": "{customer}", "channel": "call", "subject": "x"}
MOVE = "/v1/complaints/{complaint}/transitions"
SAY = "/v1/complaints/{complaint}/messages"
WORD = {"direction": "in", "body": "x"}
NAME = {"en": "x", "zh": "甲"}


def _conflict(name: str, path: str, body: object, code: str, pointer: str | None = None) -> Bad:
    return Bad(f"conflict: {name}", "POST", path, 409, code, pointer, JSON, raw(body))


CASES = [
    *fields(
        "POST",
        "/v1/complaints",
        CASE,
        [
            ("order_ids", ["{order}", "{order}"], "/order_ids", "repeated_value"),
            ("order_ids", ["{order}", "{missing}"], "/order_ids/1", "unknown_reference"),
            ("order_ids", ["{other_order}"], "/order_ids/0", "other_customer"),
            ("order_ids", None, "/order_ids", "wrong_type"),
            ("products", [{}], "/products/0", "nothing_named"),
            ("products", [{"sku": "x", "quantity": 0}], "/products/0/quantity", "out_of_range"),
            ("products", [{"sku": "x", "quantity": "2"}], "/products/0/quantity", "wrong_type"),
            ("products", [{"product_id": "{missing}"}], "/products/0/product_id", "unknown_reference"),
            ("products", [{"product_id": "{product}", "sku": "ELSE"}], "/products/0/sku", "contradiction"),
            ("products", [{"batch": "x", "price": 1}], "/products/0/price", "unknown_field"),
            ("products", [{"sku": "x"}] * 51, "/products", "too_many"),
            ("category", "nowhere", "/category", "unknown_cause"),
            ("root_cause", "quality/nowhere", "/root_cause", "unknown_cause"),
            ("regulator_ref", "", "/regulator_ref", "too_short"),
            ("reopens_id", "{complaint}", "/reopens_id", "unknown_field"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/complaints/{complaint}",
        {},
        [
            ("category", "nowhere", "/category", "unknown_cause"),
            ("order_ids", ["{other_order}"], "/order_ids/0", "other_customer"),
            ("products", None, "/products", "wrong_type"),
        ],
    ),
    *invalid(
        "POST",
        MOVE,
        {
            "noticed too early": ({"action": "acknowledge", "notice": "x"}, "/notice", "not_expected"),
            "a channel of no notice": (
                {"action": "withdraw", "notice_channel": "sms"},
                "/notice_channel",
                "not_expected",
            ),
            "notice by pigeon": (
                {"action": "withdraw", "notice": "x", "notice_channel": "pigeon"},
                "/notice_channel",
                "unknown_choice",
            ),
            "an empty notice": ({"action": "withdraw", "notice": ""}, "/notice", "too_short"),
            "an unknown cause": ({"action": "acknowledge", "root_cause": "nowhere"}, "/root_cause", "unknown_cause"),
        },
    ),
    _conflict("un-merged, never merged", MOVE, {"action": "unmerge"}, "transition_not_allowed", "/action"),
    _conflict("taken up while open", "/v1/complaints/{complaint}/follow-on", {}, "can_be_reopened"),
    Bad("what nobody has taken up", "POST", "/v1/complaints/{missing}/follow-on", 404, "not_found"),
    *fields(
        "POST",
        "/v1/complaints/{complaint}/follow-on",
        {},
        [
            ("subject", "", "/subject", "too_short"),
            ("customer_id", "{customer}", "/customer_id", "unknown_field"),
            ("severity", "S9", "/severity", "unknown_choice"),
        ],
    ),
    *fields(
        "POST",
        SAY,
        WORD,
        [
            ("direction", "sideways", "/direction", "unknown_choice"),
            ("direction", None, "/direction", "unknown_choice"),
            ("kind", "step", "/kind", "contradiction"),
            ("channel", "telepathy", "/channel", "unknown_choice"),
            ("body", 7, "/body", "wrong_type"),
            ("body", "x" * 20_001, "/body", "too_long"),
            ("body", "", "/body", "too_short"),
            ("body", "a\x00b", "/body", "nul_character"),
            ("body", None, "", "nothing_said"),
            ("tells", True, "/tells", "not_expected"),
            ("tells", "yes", "/tells", "wrong_type"),
            ("staff_id", "{staff}", "/staff_id", "not_expected"),
            ("at", "2999-01-01T00:00:00Z", "/at", "in_the_future"),
            ("at", "2026-01-01T00:00:00", "/at", "invalid_time"),
            ("source_ref", "a b", "/source_ref", "bad_format"),
            ("attachments", [{}], "/attachments/0/url", "required"),
            ("attachments", [{"url": "ftp://x.example.com/a"}], "/attachments/0/url", "invalid_url"),
            ("attachments", [{"url": "https://x.example.com/a", "size": 1}], "/attachments/0/size", "unknown_field"),
            ("attachments", [{"url": "https://x.example.com/a"}] * 21, "/attachments", "too_many"),
        ],
    ),
    *invalid(
        "POST",
        SAY,
        {
            "somebody else's staff": (
                {"direction": "out", "body": "x", "staff_id": "{foreign_staff}"},
                "/staff_id",
                "unknown_reference",
            ),
            "a note by telephone": (
                {"direction": "internal", "body": "x", "channel": "call"},
                "/channel",
                "not_expected",
            ),
        },
    ),
    _conflict("told of nothing", SAY, {"direction": "out", "body": "x", "tells": True}, "nothing_to_tell"),
    _conflict("said again", SAY, {**WORD, "source_ref": "wx:1"}, "duplicate", "/source_ref"),
    Bad("said of nothing", "POST", "/v1/complaints/{missing}/messages", 404, "not_found", None, JSON, raw(WORD)),
    *fields(
        "POST",
        "/v1/complaint-causes",
        {"path": "new", "name": NAME},
        [
            ("path", "/a", "/path", "bad_format"),
            ("path", "nowhere/new", "/path", "unknown_cause"),
            ("path", None, "/path", "wrong_type"),
            ("name", {"en": "x"}, "/name/zh", "required"),
            ("name", "x", "/name", "wrong_type"),
            ("required_skill_ids", ["{missing}"], "/required_skill_ids/0", "unknown_reference"),
            ("required_skill_ids", ["{skill}", "{skill}"], "/required_skill_ids", "repeated_value"),
            ("archived", True, "/archived", "unknown_field"),
        ],
    ),
    *fields("POST", "/v1/complaint-causes/adopt", {}, [("preset", "bakery", "/preset", "unknown_choice")]),
    _conflict("a place twice", "/v1/complaint-causes", {"path": "quality", "name": NAME}, "duplicate", "/path"),
    *fields(
        "PATCH",
        "/v1/complaint-causes/{complaint_cause}",
        {},
        [
            ("path", "else", "/path", "unknown_field"),
            ("archived", "no", "/archived", "wrong_type"),
            ("name", None, "/name", "wrong_type"),
            ("required_skill_ids", ["{missing}"], "/required_skill_ids/0", "unknown_reference"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/complaint-settings",
        {},
        [
            ("reopen_days", -1, "/reopen_days", "out_of_range"),
            ("reopen_days", None, "/reopen_days", "wrong_type"),
            ("close_after_days", 0, "/close_after_days", "out_of_range"),
            ("close_after_days", "7", "/close_after_days", "wrong_type"),
            ("resume_on_message", 1, "/resume_on_message", "wrong_type"),
        ],
    ),
]
