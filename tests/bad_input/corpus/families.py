"""Households and companies' contacts that cannot be."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, query, raw

CHILD = {"relation": "child"}
HOME = "/v1/households/{household}"
MEMBERS = f"{HOME}/members"
MEMBER = "/v1/household-members/{household_member}"
BIRTH = f"{MEMBER}/birth"
CONTACTS = "/v1/customers/{company}/contacts"
CONTACT = "/v1/company-contacts/{company_contact}"
SETTINGS = "/v1/household-settings"


def _refused(name: str, method: str, path: str, status: int, code: str, body: object, pointer: str | None) -> Bad:
    return Bad(name, method, path, status, code, pointer, JSON, None if body is None else raw(body))


def _stage(code: str, start: object) -> dict[str, object]:
    return {"code": code, "from_months": start}


CASES = [
    *fields(
        "POST",
        "/v1/households",
        {"name": "x"},
        [
            ("name", "", "/name", "too_short"),
            ("name", None, "/name", "wrong_type"),
            ("members", {}, "/members", "wrong_type"),
            ("members", [CHILD] * 51, "/members", "too_many"),
            ("members", [{"relation": "uncle"}], "/members/0/relation", "unknown_choice"),
            ("members", [{}], "/members/0/relation", "required"),
            ("members", [CHILD, {"relation": "mother"}], "/members/1/customer_id", "customer_required"),
            ("members", [{**CHILD, "stage": "0-6m"}], "/members/0/stage", "unknown_field"),
        ],
    ),
    *fields(
        "POST",
        MEMBERS,
        CHILD,
        [
            ("due_date", "soon", "/due_date", "invalid_date"),
            ("due_date", "2026-02-30", "/due_date", "invalid_date"),
            ("due_date", "2025-12-24T00:00:00Z", "/due_date", "invalid_date"),
            ("due_date", 1766534400, "/due_date", "invalid_date"),
            ("due_date", "2999-01-01", "/due_date", "due_date_too_far"),
            ("birthday", {"year": 2099, "month": 1, "day": 1}, "/birthday", "birthday_in_future"),
            ("birthday", "2025-01-01", "/birthday", "wrong_type"),
            ("birthday", {"calendar": "lunar", "year": 1899, "month": 1, "day": 1}, "/birthday", "no_such_lunar_day"),
            ("sex", "other", "/sex", "unknown_choice"),
            ("guardian_id", "{customer}", "/guardian_id", "guardian_not_member"),
            ("guardian_id", "{foreign}", "/guardian_id", "guardian_not_member"),
            ("guardian_id", "x", "/guardian_id", "invalid_id"),
            ("relation", "mother", "/customer_id", "customer_required"),
            ("relation", None, "/relation", "unknown_choice"),
        ],
    ),
    *invalid(
        "POST",
        MEMBERS,
        {
            "born and expected": (
                {**CHILD, "birthday": {"year": 2025, "month": 1, "day": 1}, "due_date": "2025-01-01"},
                "/due_date",
                "one_of",
            ),
            "a customer's name": ({**CHILD, "customer_id": "{customer}", "name": "x"}, "/name", "of_the_customer"),
            "a company": ({"relation": "other", "customer_id": "{company}"}, "/customer_id", "not_a_person"),
            "a mother's guardian": (
                {"relation": "mother", "customer_id": "{customer}", "guardian_id": "{other}"},
                "/guardian_id",
                "only_children",
            ),
            "details nobody answers for": (
                {**CHILD, "name": "x", "guardian_id": None},
                "/guardian_id",
                "guardian_required",
            ),
        },
    ),
    _refused(
        "a member that is nobody",
        "POST",
        MEMBERS,
        404,
        "not_found",
        {"relation": "other", "customer_id": "{missing}"},
        "/customer_id",
    ),
    _refused(
        "another shop's customer as a member",
        "POST",
        MEMBERS,
        404,
        "not_found",
        {"relation": "other", "customer_id": "{foreign}"},
        "/customer_id",
    ),
    _refused(
        "a member twice",
        "POST",
        MEMBERS,
        409,
        "duplicate",
        {"relation": "other", "customer_id": "{other}"},
        "/customer_id",
    ),
    *fields("PATCH", HOME, {}, [("name", None, "/name", "wrong_type"), ("members", [], "/members", "unknown_field")]),
    *fields(
        "PATCH",
        MEMBER,
        {},
        [
            ("relation", None, "/relation", "unknown_choice"),
            ("relation", "mother", "/relation", "customer_required"),
            ("birthday", {"year": 2025, "month": 1, "day": 1}, "/birthday", "record_the_birth"),
            ("guardian_id", None, "/guardian_id", "guardian_required"),
            ("customer_id", "{customer}", "/customer_id", "unknown_field"),
            ("due_date", "2999-01-01", "/due_date", "due_date_too_far"),
        ],
    ),
    *invalid(
        "PATCH",
        "/v1/household-members/{mother}",
        {
            "a customer's sex": ({"sex": "female"}, "/sex", "of_the_customer"),
            "a guardian of a mother": ({"guardian_id": "{other}"}, "/guardian_id", "only_children"),
        },
    ),
    _refused(
        "a guardian who leaves",
        "DELETE",
        "/v1/household-members/{mother}",
        409,
        "guards_children",
        None,
        None,
    ),
    *fields(
        "POST",
        BIRTH,
        {"birthday": {"year": 2025, "month": 12, "day": 20}},
        [
            ("birthday", None, "/birthday", "wrong_type"),
            ("birthday", {"month": 12, "day": 20}, "/birthday/year", "required"),
            ("birthday", {"year": 2099, "month": 1, "day": 1}, "/birthday", "birthday_in_future"),
            ("sex", "boy", "/sex", "unknown_choice"),
            ("name", "x" * 201, "/name", "too_long"),
        ],
    ),
    *invalid(
        "POST",
        "/v1/household-members/{mother}/birth",
        {"of a customer": ({"birthday": {"year": 2025, "month": 1, "day": 1}}, "/birthday", "of_the_customer")},
    ),
    *fields(
        "PATCH",
        SETTINGS,
        {},
        [
            ("stages", [], "/stages", "too_few"),
            ("stages", [_stage("a", 1)], "/stages/0/from_months", "first_stage"),
            ("stages", [_stage("a", 0), _stage("b", 0)], "/stages/1/from_months", "stages_order"),
            ("stages", [_stage("a", 0), _stage("a", 6)], "/stages/1/code", "stage_code_taken"),
            ("stages", [_stage("overdue", 0)], "/stages/0/code", "stage_code_taken"),
            ("stages", [_stage("a b", 0)], "/stages/0/code", "bad_format"),
            ("stages", [_stage("a", -1)], "/stages/0/from_months", "out_of_range"),
            ("stages", [_stage("a", 0.5)], "/stages/0/from_months", "wrong_type"),
            ("stages", [_stage("a", 0)] * 21, "/stages", "too_many"),
            ("overdue_after_days", 91, "/overdue_after_days", "out_of_range"),
            ("overdue_after_days", None, "/overdue_after_days", "wrong_type"),
        ],
    ),
    *query(
        "/v1/household-members",
        [
            ("relation=uncle", "/query/relation", "unknown_choice"),
            ("due_from=soon", "/query/due_from", "invalid_date"),
            ("household_id=x", "/query/household_id", "invalid_id"),
        ],
    ),
    *fields(
        "POST",
        CONTACTS,
        {"customer_id": "{customer}"},
        [
            ("customer_id", None, "/customer_id", "invalid_id"),
            ("customer_id", "{company}", "/customer_id", "not_a_person"),
            ("roles", "buyer", "/roles", "wrong_type"),
            ("roles", ["Buyer"], "/roles/0", "bad_format"),
            ("roles", ["buyer"] * 21, "/roles", "too_many"),
            ("since", "2999-01-01", "/since", "in_future"),
            ("since", "yesterday", "/since", "invalid_date"),
            ("until", "2999-01-01", "/until", "in_future"),
            ("is_primary", "perhaps", "/is_primary", "wrong_type"),
            ("company_id", "{company}", "/company_id", "unknown_field"),
        ],
    ),
    *invalid(
        "POST",
        CONTACTS,
        {
            "an end before the beginning": (
                {"customer_id": "{customer}", "since": "2025-02-01", "until": "2025-01-01"},
                "/until",
                "range_reversed",
            ),
            "primary and over": (
                {"customer_id": "{customer}", "until": "2025-01-01", "is_primary": True},
                "/is_primary",
                "contact_ended",
            ),
        },
    ),
    *invalid(
        "POST",
        "/v1/customers/{customer}/contacts",
        {"of a person": ({"customer_id": "{other}"}, "/path/customer_id", "not_a_company")},
    ),
    _refused("a contact twice", "POST", CONTACTS, 409, "duplicate", {"customer_id": "{other}"}, "/customer_id"),
    _refused(
        "a contact who is nobody", "POST", CONTACTS, 404, "not_found", {"customer_id": "{missing}"}, "/customer_id"
    ),
    _refused(
        "another shop's contact", "POST", CONTACTS, 404, "not_found", {"customer_id": "{foreign}"}, "/customer_id"
    ),
    *fields(
        "PATCH",
        CONTACT,
        {},
        [
            ("until", "2999-01-01", "/until", "in_future"),
            ("customer_id", "{customer}", "/customer_id", "unknown_field"),
            ("roles", None, "/roles", "wrong_type"),
        ],
    ),
    Bad("a person's roll-up", "GET", "/v1/customers/{customer}/rollup", 404, "not_found"),
]
