"""Limits that are none, steps that do not hold together, marks of what is to come, cases for nobody."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, raw

POLICIES = "/v1/clock-policies"
TERMS = {"clock": "resolution", "targets": [{"minutes": 60}]}
POLICY = {"name": "new", "clocks": [TERMS]}
ASSIGN = "/v1/complaints/{complaint}/assign"
MARK = "/v1/complaints/{complaint}/clock-marks"


def _step(**more: object) -> list[object]:
    return [{"at": "breach", "action": "notify", "to": ["assignee"], **more}]


def _targets(*targets: object) -> list[object]:
    return [{"clock": "resolution", "targets": list(targets)}]


CASES = [
    *fields(
        "POST",
        POLICIES,
        POLICY,
        [
            ("name", "", "/name", "too_short"),
            ("position", -1, "/position", "out_of_range"),
            ("active", "yes", "/active", "wrong_type"),
            ("conditions", {"mood": ["bad"]}, "/conditions/mood", "unknown_field"),
            ("conditions", {"channel": []}, "/conditions/channel", "too_few"),
            ("conditions", {"channel": ["pigeon"]}, "/conditions/channel/0", "unknown_choice"),
            ("conditions", {"severity": ["S1", "S1"]}, "/conditions/severity", "repeated_value"),
            ("conditions", {"category": ["a//b"]}, "/conditions/category/0", "bad_format"),
            ("calendar_id", "{missing}", "/calendar_id", "unknown_reference"),
            ("clocks", [], "/clocks", "too_few"),
            ("clocks", [TERMS, TERMS], "/clocks", "repeated_value"),
            ("clocks", [{**TERMS, "clock": "lunch"}], "/clocks/0/clock", "unknown_choice"),
            ("clocks", [{**TERMS, "warn_percent": 100}], "/clocks/0/warn_percent", "out_of_range"),
            ("clocks", [{**TERMS, "paused_in": ["closed"]}], "/clocks/0/paused_in/0", "unknown_choice"),
            ("clocks", _targets({}), "/clocks/0/targets/0", "one_of"),
            ("clocks", _targets({"minutes": 1, "working_days": 1}), "/clocks/0/targets/0", "one_of"),
            ("clocks", _targets({"minutes": 0}), "/clocks/0/targets/0/minutes", "out_of_range"),
            ("clocks", _targets({"minutes": "60"}), "/clocks/0/targets/0/minutes", "wrong_type"),
            ("clocks", _targets({"minutes": 1}, {"minutes": 2}), "/clocks/0/targets", "repeated_value"),
            ("escalations", [{"at": "breach", "action": "notify"}], "/escalations/0", "step_nobody"),
            ("escalations", _step(url="https://a.example/x"), "/escalations/0", "step_url"),
            ("escalations", _step(staff_id="{staff}"), "/escalations/0", "step_strays"),
            ("escalations", _step(after_minutes=-1), "/escalations/0/after_minutes", "out_of_range"),
            ("escalations", _step(staff_ids=["{missing}"]), "/escalations", "unknown_reference"),
            ("escalations", _step() * 2, "/escalations", "repeated_value"),
            (
                "escalations",
                [{"at": "warn", "action": "webhook", "url": "ftp://x"}],
                "/escalations/0/url",
                "bad_format",
            ),
            ("escalations", [{"at": "warn", "action": "webhook", "url": "https://a.example"}], "/secret", "required"),
            (
                "escalations",
                [{"at": "warn", "action": "webhook", "url": "http://a.example"}],
                "/escalations/0/url",
                "not_https",
            ),
            ("secret", "whsec_short", "/secret", "bad_secret"),
        ],
    ),
    *fields(
        "PATCH",
        "/v1/clock-policies/{clock_policy}",
        {},
        [
            ("active", None, "/active", "wrong_type"),
            ("clocks", [], "/clocks", "too_few"),
            ("calendar_id", "{missing}", "/calendar_id", "unknown_reference"),
        ],
    ),
    Bad("change of no policy", "PATCH", "/v1/clock-policies/{missing}", 404, "not_found", None, JSON, raw({})),
    *invalid("POST", "/v1/clock-policies/adopt", {"none there is": ({"preset": "x"}, "/preset", "unknown_choice")}),
    Bad("a preset twice", "POST", "/v1/clock-policies/adopt", 409, "duplicate", None, JSON, raw({"preset": "shop"})),
    *invalid(
        "POST",
        MARK,
        {
            "something else": ({"what": "lunch"}, "/what", "unknown_choice"),
            "what is to come": ({"what": "refunded", "at": "2999-01-01T00:00:00Z"}, "/at", "in_the_future"),
        },
    ),
    Bad(
        "a mark on nothing",
        "POST",
        "/v1/complaints/{missing}/clock-marks",
        404,
        "not_found",
        None,
        JSON,
        raw({"what": "refunded"}),
    ),
    *invalid(
        "POST",
        ASSIGN,
        {
            "to nobody there is": ({"staff_id": "{missing}"}, "/staff_id", "unknown_reference"),
            "to another shop's": ({"staff_id": "{foreign_staff}"}, "/staff_id", "unknown_reference"),
        },
    ),
    Bad("nothing to assign", "POST", "/v1/complaints/{missing}/assign", 404, "not_found", None, JSON, raw({})),
    Bad("clocks in no state", "GET", "/v1/complaint-clocks?state=asleep", 422, "invalid", "/query/state"),
]
