"""Plans that do not hold together, tasks for what there is not, contacts of which a part is wrong."""

from tests.bad_input.corpus.case import Bad, fields

PLAN = {"name": "new", "cadences": [{"dimension": "all", "every_days": 30}]}
TASK = {"customer_id": "{customer}", "due_on": "2026-11-30"}
SPOKEN = {"customer_id": "{customer}", "channel": "call", "direction": "outbound"}
FOREIGN = "{foreign_staff}"
LATER = "2999-01-01T00:00:00Z"

CASES = [
    *fields(
        "POST",
        "/v1/follow-up-plans",
        PLAN,
        [
            ("name", "", "/name", "too_short"),
            ("cadences", [], "/cadences", "required"),
            ("cadences", [{"dimension": "grade", "class_name": "E", "every_days": 9}], "/cadences/0", "unknown_choice"),
            (
                "cadences",
                [{"dimension": "tier", "class_name": "no_such", "every_days": 9}],
                "/cadences/0/class_name",
                "unknown_reference",
            ),
            ("cadences", [{"dimension": "all", "every_days": 0}], "/cadences/0/every_days", "out_of_range"),
            ("cadences", [{"dimension": "all", "every_days": True}], "/cadences/0/every_days", "wrong_type"),
            ("trigger", "low_rating", "/cadences", "unexpected"),
            ("trigger", "whim", "/trigger", "unknown_choice"),
            ("channels", ["call", "call"], "/channels", "repeated_value"),
            ("channels", ["pigeon"], "/channels/0", "unknown_choice"),
            ("purpose", "no_such", "/purpose", "unknown_purpose"),
            ("purpose", "guardian", "/purpose", "not_expected"),
            ("assign_to", "assignee", "/assignee_id", "required"),
            ("assignee_id", FOREIGN, "/assignee_id", "unknown_reference"),
            ("segment_id", "{missing}", "/segment_id", "unknown_reference"),
            ("calendar_id", "{missing}", "/calendar_id", "unknown_reference"),
            ("holiday_rule", "never", "/holiday_rule", "unknown_choice"),
            ("days_ahead", 93, "/days_ahead", "out_of_range"),
            ("holdout_percent", 51, "/holdout_percent", "out_of_range"),
            ("spread", "yes", "/spread", "wrong_type"),
            ("starts_on", 20261130, "/starts_on", "invalid_date"),
            ("state", "archived", "/state", "unknown_choice"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/follow-up-plans/{follow_up_plan}",
        {},
        [
            ("cadences", [], "/cadences", "required"),
            ("state", "draft", "/state", "unknown_choice"),
            ("trigger", "neglect", "/trigger", "unknown_field"),
            ("script", 7, "/script", "wrong_type"),
        ],
    ),
    Bad("tasks of no plan", "POST", "/v1/follow-up-plans/{missing}/make", 404, "not_found"),
    Bad(
        "an effect that runs backwards",
        "GET",
        "/v1/follow-up-plans/{follow_up_plan}/effect?since=2026-02-01&until=2026-01-01",
        422,
        "invalid",
        "/query/until",
    ),
    Bad(
        "an effect within no days",
        "GET",
        "/v1/follow-up-plans/{follow_up_plan}/effect?within_days=0",
        422,
        "invalid",
        "/query/within_days",
    ),
    Bad("tasks of an unknown status", "GET", "/v1/follow-ups?status=lost", 422, "invalid", "/query/status"),
    *fields(
        "POST",
        "/v1/follow-ups",
        TASK,
        [
            ("due_on", "2026-11-31", "/due_on", "invalid_date"),
            ("assignee_id", FOREIGN, "/assignee_id", "unknown_reference"),
            ("order_id", "{missing}", "/order_id", "unknown_reference"),
            ("complaint_id", "{missing}", "/complaint_id", "unknown_reference"),
            ("calendar_id", "{missing}", "/calendar_id", "unknown_reference"),
            ("channel", "pigeon", "/channel", "unknown_choice"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/follow-ups/{follow_up}",
        {},
        [
            ("follows_owner", False, "/follows_owner", "unknown_choice"),
            ("assignee_id", FOREIGN, "/assignee_id", "unknown_reference"),
            ("due_on", None, "/due_on", "invalid_date"),
        ],
    ),
    *fields(
        "POST",
        "/v1/follow-ups/{follow_up}/complete",
        {"result": "reached"},
        [
            ("result", "maybe", "/result", "unknown_choice"),
            ("occurred_at", LATER, "/occurred_at", "in_the_future"),
            ("satisfaction", 6, "/satisfaction", "out_of_range"),
            ("attachments", ["http://x"], "/attachments/0", "invalid_url"),
            ("staff_id", FOREIGN, "/staff_id", "unknown_reference"),
        ],
    ),
    *fields("POST", "/v1/follow-ups/{follow_up}/skip", {}, [("reason", "", "/reason", "too_short")]),
    *fields(
        "POST",
        "/v1/follow-ups/{follow_up}/snooze",
        {},
        [("until", "2020-01-01T00:00:00Z", "/until", "out_of_range"), ("until", "soon", "/until", "invalid_time")],
    ),
    *fields(
        "POST",
        "/v1/contacts",
        {"interaction": SPOKEN},
        [
            ("interaction", {**SPOKEN, "channel": "pigeon"}, "/interaction/channel", "unknown_choice"),
            ("interaction", {**SPOKEN, "occurred_at": LATER}, "/interaction/occurred_at", "in_the_future"),
            ("interaction", {**SPOKEN, "staff_id": FOREIGN}, "/interaction/staff_id", "unknown_reference"),
            ("complaint", {}, "/complaint/subject", "required"),
            ("complaint", {"subject": "x", "assignee_id": FOREIGN}, "/complaint/assignee_id", "unknown_reference"),
            ("complaint_id", "{missing}", "/complaint_id", "unknown_reference"),
            ("next", {"due_on": "2026-11-30", "assignee_id": FOREIGN}, "/next/assignee_id", "unknown_reference"),
            ("follow_up", {"id": "x", "result": "reached"}, "/follow_up/id", "invalid_id"),
        ],
    ),
    Bad(
        "a contact that closes no task",
        "POST",
        "/v1/contacts",
        404,
        "not_found",
        body=b'{"interaction": {"customer_id": "{customer}", "channel": "call", "direction": "inbound"}, '
        b'"follow_up": {"id": "{missing}", "result": "reached"}}',
        headers={"content-type": "application/json"},
    ),
]
