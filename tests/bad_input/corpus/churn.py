"""Models that cannot be fitted, settings that do not go together, times that are not over."""

from tests.bad_input.corpus.case import Bad, fields

CASES = [
    *fields(
        "POST",
        "/v1/churn/models",
        {},
        [
            ("calibration_end", "2999-01-01", "/calibration_end", "in_the_future"),
            ("calibration_end", "1997-9-30", "/calibration_end", "invalid_date"),
            ("calibration_end", "2025-02-30", "/calibration_end", "invalid_date"),
            ("horizon_days", 0, "/horizon_days", "out_of_range"),
            ("horizon_days", 1831, "/horizon_days", "out_of_range"),
            ("horizon_days", "ninety", "/horizon_days", "wrong_type"),
            ("currency", "CNX", "/currency", "unknown_currency"),
            ("apply", "perhaps", "/apply", "wrong_type"),
        ],
    ),
    Bad(
        "a picture of a model that is not completed",
        "GET",
        "/v1/churn/models/{churn_model}/cumulative.svg",
        409,
        "not_completed",
    ),
    *fields(
        "PATCH",
        "/v1/churn/settings",
        {},
        [
            ("weights", {"purchases": 101}, "/weights/purchases", "out_of_range"),
            ("weights", {"purchases": -1}, "/weights/purchases", "out_of_range"),
            ("weights", {"purchases": True}, "/weights/purchases", "wrong_type"),
            ("weights", {"weather": 5}, "/weights/weather", "unknown_field"),
            ("weights", {"purchases": 0, "satisfaction": 0, "complaints": 0}, "/weights", "unreachable"),
            ("weights", None, "/weights", "wrong_type"),
            ("period_days", 6, "/period_days", "out_of_range"),
            ("period_days", "60", "/period_days", "wrong_type"),
            ("baseline_periods", 0, "/baseline_periods", "out_of_range"),
            ("quiet_days", -1, "/quiet_days", "out_of_range"),
            ("overdue_from", 4.0, "/overdue_full", "out_of_order"),
            ("overdue_full", 0.5, "/overdue_full", "out_of_range"),
            ("lost_cycles", 1.0, "/lost_cycles", "out_of_order"),
            ("lost_min_days", 0, "/lost_min_days", "out_of_range"),
            ("watch_score", 55, "/high_score", "out_of_order"),
            ("high_score", 101, "/high_score", "out_of_range"),
            ("margin", 51, "/margin", "out_of_range"),
            ("peers", "family", "/peers", "unknown_choice"),
            ("peer_share", 1.5, "/peer_share", "out_of_range"),
            ("alert_from", "none", "/alert_from", "unknown_choice"),
        ],
    ),
    *fields(
        "POST",
        "/v1/churn/assessments",
        {},
        [
            ("as_of", "2999-01-01T00:00:00Z", "/as_of", "in_the_future"),
            ("as_of", "2020-01-01T00:00:00Z", "/as_of", "before_the_last"),
            ("as_of", "yesterday", "/as_of", "invalid_time"),
        ],
    ),
    *fields(
        "POST",
        "/v1/churn/backtests",
        {},
        [
            ("until", "2999-01-01", "/until", "in_the_future"),
            ("until", "2026-1-1", "/until", "invalid_date"),
            ("cuts", 0, "/cuts", "out_of_range"),
            ("cuts", 61, "/cuts", "out_of_range"),
            ("step_days", 0, "/step_days", "out_of_range"),
            ("horizon_days", 6, "/horizon_days", "out_of_range"),
        ],
    ),
    Bad("a level there is not", "GET", "/v1/churn/customers?level=gone", 422, "invalid", "/query/level"),
    Bad("churn of nobody", "GET", "/v1/customers/{missing}/churn", 404, "not_found"),
    Bad("churn of somebody who was not assessed", "GET", "/v1/customers/{winner}/churn", 404, "not_found"),
    Bad("a picture of no model", "GET", "/v1/churn/models/{missing}/cumulative.svg", 404, "not_found"),
    Bad("an order there is not", "GET", "/v1/churn/outlooks?order=richest", 422, "invalid", "/query/order"),
    Bad(
        "a chance that is no number", "GET", "/v1/churn/outlooks?alive_below=half", 422, "invalid", "/query/alive_below"
    ),
]
