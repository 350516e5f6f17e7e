"""People who are not there, times that run backwards, rules that ask for what there is not, steps out of order."""

from tests.bad_input.corpus.case import Bad, fields

PERSON = "{staff}"
SHIFT = {"staff_id": PERSON, "starts_at": "2026-06-01T00:00:00Z", "ends_at": "2026-06-01T08:00:00Z"}
REPORT = "/v1/staff-performance?since=2026-01-01T00:00:00Z"

CASES = [
    *fields(
        "PATCH",
        "/v1/staff/{staff}",
        {},
        [
            ("customer_capacity", -1, "/customer_capacity", "out_of_range"),
            ("case_capacity", True, "/case_capacity", "wrong_type"),
            ("weight", 0, "/weight", "out_of_range"),
            ("weight", None, "/weight", "wrong_type"),
            ("availability", "maybe", "/availability", "unknown_choice"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/stores/{store}",
        {},
        [("name", None, "/name", "wrong_type"), ("kind", "x", "/kind", "unknown_choice")],
    ),
    *fields(
        "POST",
        "/v1/teams",
        {"name": "new"},
        [
            ("member_ids", [PERSON, PERSON], "/member_ids", "repeated_value"),
            ("member_ids", ["x"], "/member_ids/0", "invalid_id"),
            ("name", "", "/name", "too_short"),
        ],
    ),
    *fields("PATCH", "/v1/teams/{team}", {}, [("archived", "no", "/archived", "wrong_type")]),
    *fields("PATCH", "/v1/skills/{skill}", {}, [("name", None, "/name", "wrong_type")]),
    *fields(
        "PUT",
        "/v1/staff/{staff}/skills/{skill}",
        {},
        [("level", 6, "/level", "out_of_range"), ("expires_on", "2026-13-01", "/expires_on", "invalid_date")],
    ),
    *fields(
        "POST",
        "/v1/shifts",
        SHIFT,
        [
            ("ends_at", "2026-06-01T00:00:00Z", "/ends_at", "out_of_order"),
            ("ends_at", "2028-06-01T00:00:00Z", "/ends_at", "out_of_range"),
            ("starts_at", "2026-06-01T00:00:00", "/starts_at", "invalid_time"),
            ("staff_id", "{missing}", "/staff_id", "unknown_reference"),
            ("staff_id", "{foreign_staff}", "/staff_id", "unknown_reference"),
            ("kind", "party", "/kind", "unknown_choice"),
        ],
    ),
    *fields("PATCH", "/v1/shifts/{shift}", {}, [("ends_at", None, "/ends_at", "invalid_time")]),
    *fields(
        "POST",
        "/v1/courses",
        {"name": "new"},
        [
            ("pass_score", 101, "/pass_score", "out_of_range"),
            ("pass_score", "60", "/pass_score", "wrong_type"),
            ("skill_level", 0, "/skill_level", "out_of_range"),
            ("valid_days", 0, "/valid_days", "out_of_range"),
        ],
    ),
    *fields("PATCH", "/v1/courses/{course}", {}, [("archived", 1, "/archived", "wrong_type")]),
    *fields(
        "POST",
        "/v1/courses/{course}/completions",
        {"staff_id": PERSON, "score": 90},
        [
            ("score", -1, "/score", "out_of_range"),
            ("staff_id", "{missing}", "/staff_id", "unknown_reference"),
            ("completed_at", "2999-01-01T00:00:00Z", "/completed_at", "in_the_future"),
        ],
    ),
    *fields(
        "POST",
        "/v1/assignment-rules",
        {"name": "new"},
        [
            ("strategy", "favourites", "/strategy", "unknown_choice"),
            ("target", "parcels", "/target", "unknown_choice"),
            ("position", -1, "/position", "out_of_range"),
            ("conditions", {"mood": ["good"]}, "/conditions/mood", "unknown_fact"),
            ("conditions", {"source": []}, "/conditions/source", "too_few"),
            ("required_skill_ids", ["{missing}"], "/required_skill_ids/0", "unknown_reference"),
            ("sticky", "yes", "/sticky", "wrong_type"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/assignment-rules/{assignment_rule}",
        {},
        [("conditions", {"city": ["上海"]}, "/conditions/city", "unknown_fact")],
    ),
    *fields(
        "POST",
        "/v1/customers/{customer}/owners",
        {"owner_id": PERSON},
        [
            ("owner_id", "{missing}", "/owner_id", "unknown_reference"),
            ("owner_id", "{foreign_staff}", "/owner_id", "unknown_reference"),
            ("note", 7, "/note", "wrong_type"),
        ],
    ),
    Bad("an owner for nobody", "POST", "/v1/customers/{missing}/owner-assignment", 404, "not_found"),
    *fields(
        "POST",
        "/v1/rebalancings",
        {},
        [
            ("staff_ids", ["{missing}"], "/staff_ids/0", "unknown_reference"),
            ("leaving_ids", ["{foreign_staff}"], "/leaving_ids/0", "unknown_reference"),
            ("staff_ids", [PERSON], "/staff_ids", "too_few"),
            ("max_moves", 0, "/max_moves", "out_of_range"),
            ("keep_active_days", 0, "/keep_active_days", "out_of_range"),
        ],
    ),
    *fields(
        "POST",
        "/v1/contact-standards",
        {"dimension": "grade", "class_name": "A", "every_days": 30},
        [
            ("class_name", "E", "/class_name", "unknown_choice"),
            ("dimension", "rfm", "/dimension", "unknown_choice"),
            ("every_days", 0, "/every_days", "out_of_range"),
        ],
    ),
    *fields(
        "PATCH", "/v1/contact-standards/{contact_standard}", {}, [("every_days", "7", "/every_days", "wrong_type")]
    ),
    Bad("applied before it is approved", "POST", "/v1/rebalancings/{rebalancing}/apply", 409, "wrong_state"),
    Bad("undone before it is applied", "POST", "/v1/rebalancings/{rebalancing}/undo", 409, "wrong_state"),
    Bad("a report that runs backwards", "GET", f"{REPORT}&until=2025-01-01T00:00:00Z", 422, "invalid", "/query/until"),
    Bad("a report of too long", "GET", f"{REPORT}&until=2028-01-01T00:00:00Z", 422, "invalid", "/query/until"),
    Bad("a report from some day", "GET", "/v1/staff-performance?since=monday", 422, "invalid", "/query/since"),
]
