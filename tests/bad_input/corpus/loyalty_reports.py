"""Reports about periods and programmes that cannot be."""

from tests.bad_input.corpus.case import Bad

REPORTS = "/v1/loyalty/reports"
NAMES = (
    "participation",
    "earn-burn",
    "liability",
    "cohorts",
    "deferral",
    "tier-migration",
    "vouchers",
    "referrals",
)

CASES = [
    *(
        Bad(
            f"{name} of a month that is none", "GET", f"{REPORTS}/{name}?from=2026-13-01", 422, "invalid", "/query/from"
        )
        for name in NAMES
    ),
    Bad(
        "a report that ends before it begins",
        "GET",
        f"{REPORTS}/liability?from=2026-02-01&to=2026-01-01",
        422,
        "invalid",
        "/query/to",
        error="wrong_order",
    ),
    *(
        Bad(f"a report of {year}", "GET", f"{REPORTS}/liability?to={year}-01-05", 422, "invalid", "/query/to")
        for year in ("0001", "9999")
    ),
    Bad(
        "transitions at the beginning of all time",
        "GET",
        "/v1/analytics/transitions?dimension=grade&to=0001-01-05T00:00:00Z",
        422,
        "invalid",
        "/query/to",
        error="invalid_time",
    ),
    Bad("a report of no programme", "GET", f"{REPORTS}/cohorts?programme_id={{missing}}", 404, "not_found"),
    Bad("steps there are not", "GET", f"{REPORTS}/earn-burn?by=hour", 422, "invalid", "/query/by"),
    Bad("points worth nothing", "GET", f"{REPORTS}/deferral?point_value=0", 422, "invalid", "/query/point_value"),
    Bad(
        "more points redeemed than there are",
        "GET",
        f"{REPORTS}/deferral?expected_redemption=1.5",
        422,
        "invalid",
        "/query/expected_redemption",
    ),
]
