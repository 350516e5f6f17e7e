"""The same few mistakes made with every operation of the OpenAPI document."""

import json
from pathlib import Path
from typing import Any

from tests.bad_input.corpus.case import JSON, Bad

DOCUMENT = Path(__file__).parents[3] / "openapi" / "openapi.json"
PLACES = {
    "/v1/stores": "store",
    "/v1/staff": "staff",
    "/v1/calendars": "calendar",
    "/v1/teams": "team",
    "/v1/skills": "skill",
    "/v1/shifts": "shift",
    "/v1/courses": "course",
    "/v1/course-completions": "course_completion",
    "/v1/assignment-rules": "assignment_rule",
    "/v1/rebalancings": "rebalancing",
    "/v1/contact-standards": "contact_standard",
    "/v1/follow-up-plans": "follow_up_plan",
    "/v1/follow-ups": "follow_up",
    "/v1/attribute-definitions": "attribute_definition",
    "/v1/channels": "channel",
    "/v1/channel-messages": "channel_message",
    "/v1/contact-verifications": "verification",
    "/v1/quality/cleanups": "cleanup",
    "/v1/customers": "customer",
    "/v1/merges": "merge",
    "/v1/duplicate-candidates": "candidate",
    "/v1/duplicate-runs": "duplicate_run",
    "/v1/households": "household",
    "/v1/household-members": "household_member",
    "/v1/company-contacts": "company_contact",
    "/v1/consents": "consent",
    "/v1/consent-texts": "consent_text",
    "/v1/subject-exports": "subject_export",
    "/v1/erasures": "erasure",
    "/v1/products": "product",
    "/v1/orders": "order",
    "/v1/events": "event",
    "/v1/identifications": "identification",
    "/v1/interactions": "interaction",
    "/v1/forms": "form",
    "/v1/public/forms": "form",
    "/v1/form-submissions": "form_submission",
    "/v1/complaints": "complaint",
    "/v1/complaint-messages": "complaint_message",
    "/v1/complaint-clocks": "complaint_clock",
    "/v1/clock-policies": "clock_policy",
    "/v1/complaint-causes": "complaint_cause",
    "/v1/compensations": "compensation",
    "/v1/approval-limits": "approval_limit",
    "/v1/complaint-tellings": "telling",
    "/v1/complaint-ratings": "rating",
    "/v1/public/complaint-ratings": "rating",
    "/v1/corrective-actions": "corrective_action",
    "/v1/loyalty/entries": "entry",
    "/v1/loyalty/redemptions": "redemption",
    "/v1/loyalty/tiers/schemes": "tier_scheme",
    "/v1/loyalty/tiers/overrides": "tier_override",
    "/v1/loyalty/tiers/transitions": "tier_transition",
    "/v1/loyalty/tiers/replays": "tier_replay",
    "/v1/loyalty/earning-rules": "earning_rule",
    "/v1/loyalty/earnings": "earning",
    "/v1/voucher-campaigns": "voucher_campaign",
    "/v1/voucher-batches": "voucher_batch",
    "/v1/vouchers": "voucher",
    "/v1/vouchers/redemptions": "voucher_use",
    "/v1/referral-programmes": "referral_programme",
    "/v1/referral-codes": "referral_code",
    "/v1/referrals": "referral",
    "/v1/loyalty/programmes": "programme",
    "/v1/loyalty/wallets": "wallet",
    "/v1/loyalty/lots": "lot",
    "/v1/loyalty/holds": "hold",
    "/v1/loyalty/reviews": "review",
    "/v1/loyalty/rewards": "reward",
    "/v1/loyalty/reward-redemptions": "reward_redemption",
    "/v1/segments": "segment",
    "/v1/clusterings": "clustering",
    "/v1/churn/models": "churn_model",
    "/v1/patterns/runs": "pattern_run",
    "/v1/churn/outlooks": "customer",
    "/v1/churn/assessments": "churn_assessment",
    "/v1/churn/transitions": "churn_assessment",
    "/v1/churn/backtests": "churn_backtest",
    "/v1/scoring-runs": "run",
    "/v1/imports": "import",
    "/v1/uploads": "upload",
    "/v1/import-mappings": "import_mapping",
    "/v1/exports": "export",
    "/v1/sources": "source",
    "/v1/inbound-deliveries": "delivery",
}
NAMED = {
    "customer_id": "{customer}",
    "source_id": "{source}",
    "staff_id": "{staff}",
    "skill_id": "{skill}",
    "tag": "vip",
    "dimension": "frequency",
    "platform": "taobao",
    "external_id": "T1",
    "contact_point_id": "{contact_point}",
    "address_id": "{address}",
    "identity_id": "{identity}",
    "interaction_id": "{interaction}",
    "complaint_id": "{complaint}",
}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of every operation."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return [(method.upper(), path, each) for path, item in document["paths"].items() for method, each in item.items()]


def filled(path: str, **given: str) -> str:
    """Return a path with our own things in its places."""
    start = path.partition("/{id}")[0]
    values = {"id": "{" + PLACES.get(start, "") + "}", **NAMED, **given}
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    return path


def _bodies(method: str, path: str) -> list[Bad]:
    at = filled(path)
    wrong = {
        "no JSON": (b"{", 400, "malformed_body", None, None),
        "invalid UTF-8": (b'{"name": "\xff"}', 400, "malformed_body", None, None),
        "an array": (b"[]", 422, "invalid", "", "wrong_type"),
        "text": (b'"x"', 422, "invalid", "", "wrong_type"),
        "an unknown field": (b'{"no_such_field": 1}', 422, "invalid", "/no_such_field", "unknown_field"),
        "a key twice": (b'{"a": 1, "a": 2}', 400, "duplicate_key", "/a", None),
    }
    return [
        *(
            Bad(f"{method} {path}: body is {name}", method, at, status, code, pointer, JSON, body, error)
            for name, (body, status, code, pointer, error) in wrong.items()
        ),
        Bad(
            f"{method} {path}: body as text",
            method,
            at,
            415,
            "unsupported_media_type",
            "/header/content-type",
            {"content-type": "text/plain"},
            b"{}",
        ),
    ]


def _parameters(method: str, path: str, operation: dict[str, Any]) -> list[Bad]:
    at, cases = filled(path), []
    for each in operation.get("parameters", []):
        name, place = each["name"], each["in"]
        if place == "path" and each["schema"].get("format") == "uuid":
            bad = filled(path, **{name: "no-id"})
            cases.append(Bad(f"{method} {path}: {name} is no id", method, bad, *_no_id(path, name, method)))
        if place == "header" and name.lower() == "if-match":
            cases.append(
                Bad(
                    f"{method} {path}: bad If-Match",
                    method,
                    at,
                    422,
                    "invalid",
                    "/header/if-match",
                    {"if-match": "new"},
                )
            )
        if place == "header" and name.lower() == "idempotency-key" and path not in {"/v1/imports", "/v1/uploads"}:
            cases.append(
                Bad(
                    f"{method} {path}: bad Idempotency-Key",
                    method,
                    at,
                    422,
                    "invalid",
                    "/header/idempotency-key",
                    {"idempotency-key": "a b"},
                )
            )
        if name == "limit":
            cases.append(Bad(f"{method} {path}: limit=0", method, f"{at}?limit=0", 422, "invalid", "/query/limit"))
        if name == "after":
            cases.append(
                Bad(
                    f"{method} {path}: bad cursor",
                    method,
                    f"{at}?after=x",
                    422,
                    "invalid",
                    "/query/after",
                    error="bad_cursor",
                )
            )
        if name == "fields":
            cases.append(
                Bad(f"{method} {path}: unknown fields", method, f"{at}?fields=nope", 422, "invalid", "/query/fields")
            )
    return cases


def _no_id(path: str, name: str, method: str) -> tuple[int, str, str | None]:
    # This path leaves room for the order whose outside id is "refunds": a word in the place of an id is a platform.
    if path == "/v1/orders/{id}/refunds":
        return (422, "invalid", "/path/platform") if method == "GET" else (405, "method_not_allowed", None)
    return 422, "invalid", f"/path/{name}"


def _made() -> list[Bad]:
    cases = []
    for method, path, operation in operations():
        at = filled(path)
        if operation.get("security") != []:
            cases.append(Bad(f"{method} {path}: no key", method, at, 401, "unauthenticated", key=False))
            cases.append(
                Bad(
                    f"{method} {path}: unknown parameter",
                    method,
                    f"{at}?no_such=1",
                    422,
                    "invalid",
                    "/query/no_such",
                    error="unknown_parameter",
                )
            )
        if "application/json" in operation.get("requestBody", {}).get("content", {}) and "/inbound/" not in path:
            cases += _bodies(method, path)
        cases += _parameters(method, path, operation)
    return cases


CASES: list[Bad] = _made()
