"""Told twice, asked twice, rated out of range, checked by oneself."""

from typing import Any

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, query, raw

TELL = "/v1/complaints/{resolved}/tellings"
ANSWER = "/v1/complaint-ratings/{rating}/answer"
LINK = "/v1/public/complaint-ratings/{rating}"
MOVE = "/v1/corrective-actions/{action_done}/transitions"
ACTION = {"title": "x", "cause": "quality", "owner_id": "{staff}", "due_on": "2026-12-31"}


def _conflict(name: str, path: str, body: Any, code: str) -> Bad:
    return Bad(name, "POST", path, 409, code, None, JSON, raw(body))


CASES = [
    *fields(
        "PATCH",
        "/v1/closing-settings",
        {},
        [
            ("tell_decision", "yes", "/tell_decision", "wrong_type"),
            ("ask_after_hours", -1, "/ask_after_hours", "out_of_range"),
            ("ask_after_hours", 1.5, "/ask_after_hours", "wrong_type"),
            ("answer_days", 0, "/answer_days", "out_of_range"),
            ("low_csat", 5, "/low_csat", "out_of_range"),
            ("low_ces", 7, "/low_ces", "out_of_range"),
            ("tell_by", [], "/tell_by", "too_few"),
            ("tell_by", None, "/tell_by", "wrong_type"),
            ("tell_by", "sms", "/tell_by", "wrong_type"),
            ("tell_by", ["sms", "email", "sms"], "/tell_by", "repeated_value"),
            ("tell_by", ["email", "shop"], "/tell_by/1", "unknown_choice"),
            ("rating_page", "https://shop.example.com/rate", "/rating_page", "bad_rating_page"),
            ("rating_page", "http://x/{rating_id}/{token}", "/rating_page", "bad_rating_page"),
            ("rating_page", "https://x/{rating_id} {token}", "/rating_page", "bad_format"),
        ],
    ),
    *invalid(
        "POST",
        TELL,
        {
            "nothing": ({}, "/what", "required"),
            "something else": ({"what": "joke"}, "/what", "unknown_choice"),
            "no decision to tell": ({"what": "decision"}, "/text", "required"),
            "empty words": ({"what": "result", "text": "  "}, "/text", "too_short"),
            "by pigeon": ({"what": "result", "text": "x", "channel": "pigeon"}, "/channel", "unknown_choice"),
        },
    ),
    Bad(
        "told of no case",
        "POST",
        "/v1/complaints/{missing}/tellings",
        404,
        "not_found",
        None,
        JSON,
        raw({"what": "decision", "text": "x"}),
    ),
    _conflict("told too early", "/v1/complaints/{complaint}/tellings", {"what": "decision"}, "nothing_to_tell"),
    _conflict("told twice", "/v1/complaints/{resolved}/tellings", {"what": "result", "text": "x"}, "already_told"),
    _conflict("confirmed twice", "/v1/complaint-tellings/{told}/confirm", {}, "already_told"),
    *fields(
        "POST",
        "/v1/complaint-tellings/{telling}/confirm",
        {},
        [
            ("at", "2999-01-01T00:00:00Z", "/at", "in_the_future"),
            ("staff_id", "{foreign_staff}", "/staff_id", "unknown_reference"),
            ("note", 7, "/note", "wrong_type"),
        ],
    ),
    Bad("asked about what is open", "POST", "/v1/complaints/{complaint}/rating", 409, "not_resolved"),
    Bad("asked twice", "POST", "/v1/complaints/{resolved}/rating", 409, "already_asked"),
    Bad("a link to nothing", "POST", "/v1/complaint-ratings/{missing}/link", 404, "not_found"),
    *invalid(
        "POST",
        ANSWER,
        {
            "no score": ({"ces": 5}, "/csat", "required"),
            "no stars": ({"csat": 0}, "/csat", "out_of_range"),
            "six stars": ({"csat": 6}, "/csat", "out_of_range"),
            "half a star": ({"csat": 4.5}, "/csat", "wrong_type"),
            "a star in words": ({"csat": "5"}, "/csat", "wrong_type"),
            "eight of seven": ({"csat": 5, "ces": 8}, "/ces", "out_of_range"),
            "a long story": ({"csat": 5, "comment": "x" * 2001}, "/comment", "too_long"),
            "by a stranger": ({"csat": 5, "staff_id": "{foreign_staff}"}, "/staff_id", "unknown_reference"),
        },
    ),
    Bad("a wrong token", "GET", f"{LINK}?token=x", 404, "not_found", key=False),
    Bad("no token", "GET", LINK, 422, "invalid", "/query/token", key=False),
    Bad(
        "an answer by a wrong token",
        "POST",
        LINK,
        404,
        "not_found",
        None,
        JSON,
        raw({"token": "x", "csat": 5}),
        key=False,
    ),
    *fields(
        "POST",
        "/v1/corrective-actions",
        ACTION,
        [
            ("title", "", "/title", "too_short"),
            ("cause", "a//b", "/cause", "bad_format"),
            ("cause", "weather", "/cause", "unknown_cause"),
            ("owner_id", "{missing}", "/owner_id", "unknown_reference"),
            ("owner_id", "{foreign_staff}", "/owner_id", "unknown_reference"),
            ("due_on", "2026-02-30", "/due_on", "invalid_date"),
            ("due_on", "2026-12-31T00:00:00Z", "/due_on", "invalid_date"),
            ("complaint_ids", ["{complaint}", "{missing}"], "/complaint_ids/1", "unknown_reference"),
            ("complaint_ids", ["{complaint}"] * 101, "/complaint_ids", "too_many"),
            ("state", "done", "/state", "unknown_field"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/corrective-actions/{corrective_action}",
        {},
        [
            ("owner_id", None, "/owner_id", "invalid_id"),
            ("due_on", None, "/due_on", "invalid_date"),
            ("cause", "", "/cause", "too_short"),
        ],
    ),
    *invalid(
        "POST",
        MOVE,
        {
            "no step": ({}, "/action", "required"),
            "an unknown step": ({"action": "celebrate"}, "/action", "unknown_choice"),
            "checked by nobody": ({"action": "verify"}, "/staff_id", "required"),
            "returned without a word": ({"action": "return"}, "", "note_required"),
        },
    ),
    _conflict("one's own work", MOVE, {"action": "verify", "staff_id": "{staff}"}, "own_work"),
    _conflict("started when done", MOVE, {"action": "start"}, "transition_not_allowed"),
    Bad(
        "an action about no case",
        "PUT",
        "/v1/corrective-actions/{corrective_action}/complaints/{missing}",
        404,
        "not_found",
    ),
    Bad(
        "no action about a case", "DELETE", "/v1/corrective-actions/{missing}/complaints/{complaint}", 404, "not_found"
    ),
    *query("/v1/corrective-actions", [("overdue=perhaps", "/query/overdue", "wrong_type")]),
    *query("/v1/complaint-ratings", [("state=forgotten", "/query/state", "unknown_choice")]),
    *query("/v1/complaint-tellings", [("what=secrets", "/query/what", "unknown_choice")]),
]
