"""Models that cannot be fitted."""

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
    Bad("a picture of no model", "GET", "/v1/churn/models/{missing}/cumulative.svg", 404, "not_found"),
    Bad("an order there is not", "GET", "/v1/churn/outlooks?order=richest", 422, "invalid", "/query/order"),
    Bad(
        "a chance that is no number", "GET", "/v1/churn/outlooks?alive_below=half", 422, "invalid", "/query/alive_below"
    ),
]
