"""Clusterings that cannot be."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, raw

PATH = "/v1/clusterings"
GOOD = {"name": "x", "features": [{"name": "recency_days"}, {"name": "net_spend"}]}
RULE = {"field": "city", "op": "eq", "value": "x"}

CASES = [
    *fields(
        "POST",
        PATH,
        GOOD,
        [
            ("name", "", "/name", "too_short"),
            ("name", "x" * 51, "/name", "too_long"),
            ("features", [], "/features", "too_few"),
            ("features", [{"name": "points"}] * 21, "/features", "too_many"),
            ("features", ["points"], "/features/0", "wrong_type"),
            ("features", [{"name": "charm"}], "/features/0/name", "feature_unknown"),
            ("features", [{"name": "attributes.skin"}], "/features/0/name", "feature_unknown"),
            ("features", [{"name": "attributes.none"}], "/features/0/name", "feature_unknown"),
            ("features", [{"name": "points"}, {"name": "points"}], "/features/1/name", "repeated"),
            ("features", [{"name": "points", "transform": "sqrt"}], "/features/0/transform", "unknown_choice"),
            ("k", 1, "/k", "out_of_range"),
            ("k", 13, "/k", "out_of_range"),
            ("k", 2.5, "/k", "wrong_type"),
            ("min_k", 9, "/min_k", "out_of_range"),
            ("max_k", 1, "/max_k", "out_of_range"),
            ("seed", -1, "/seed", "out_of_range"),
            ("seed", 2**31, "/seed", "out_of_range"),
            ("missing", "zero", "/missing", "unknown_choice"),
            ("currency", "CNX", "/currency", "unknown_currency"),
            ("segment_id", "{missing}", "/segment_id", "not_found"),
        ],
    ),
    *invalid(
        "POST",
        PATH,
        {
            "k and a range": ({**GOOD, "k": 3, "min_k": 2}, "/k", "conflict"),
            "a rule and a segment": ({**GOOD, "rule": RULE, "segment_id": "{segment}"}, "/segment_id", "conflict"),
        },
    ),
    *invalid(
        "POST",
        PATH,
        {"a rule of nothing": ({**GOOD, "rule": {**RULE, "field": "charm"}}, "/rule/field", "rule_field_unknown")},
        code="rule_invalid",
    ),
    Bad(
        "clustering: the name is taken",
        "POST",
        PATH,
        409,
        "duplicate",
        "/name",
        JSON,
        raw({**GOOD, "name": "价值分群"}),
        "duplicate",
    ),
    *fields("POST", PATH + "/{clustering}/rerun", {}, [("archive_previous", 1, "/archive_previous", "wrong_type")]),
    Bad("clustering: again while it is not done", "POST", PATH + "/{clustering}/rerun", 409, "clustering_running"),
    Bad("clustering: none to do again", "POST", PATH + "/{missing}/rerun", 404, "not_found"),
    Bad("clustering: a picture of one not done", "GET", PATH + "/{clustering}/picture.svg", 409, "not_completed"),
    Bad("clustering: a picture of none", "GET", PATH + "/{missing}/picture.svg", 404, "not_found"),
]
