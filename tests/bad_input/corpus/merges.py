"""Well-formed requests about merges that say what cannot be."""

from tests.bad_input.corpus.case import JSON, Bad, fields, query, raw

MERGE = "/v1/customers/merge"
GOOD = {"winner_id": "{customer}", "loser_ids": ["{other}"]}


def _refused(name: str, body: object, status: int, code: str, pointer: str | None, error: str | None = None) -> Bad:
    return Bad(f"merge: {name}", "POST", MERGE, status, code, pointer, JSON, raw(body), error)


def _both(name: str, body: dict[str, object], *refusal: object) -> list[Bad]:
    """Return the case as a merge and as a dry run: both refuse alike."""
    return [_refused(name, body, *refusal), _refused(f"{name}, tried", {**body, "dry_run": True}, *refusal)]  # type: ignore[arg-type]


CASES = [
    *fields(
        "POST",
        MERGE,
        GOOD,
        [
            ("winner_id", "x", "/winner_id", "invalid_id"),
            ("winner_id", None, "/winner_id", "invalid_id"),
            ("loser_ids", [], "/loser_ids", "too_few"),
            ("loser_ids", ["{other}"] * 51, "/loser_ids", "too_many"),
            ("loser_ids", ["x"], "/loser_ids/0", "invalid_id"),
            ("loser_ids", ["{other}", "{other}"], "/loser_ids/1", "repeated"),
            ("loser_ids", ["{customer}"], "/loser_ids/0", "merge_with_itself"),
            ("field_choices", ["city"], "/field_choices", "wrong_type"),
            ("field_choices", {"city": "x"}, "/field_choices/city", "invalid_id"),
            ("field_choices", {"shoe": "{other}"}, "/field_choices/shoe", "unknown_field"),
            ("field_choices", {"version": "{other}"}, "/field_choices/version", "unknown_field"),
            ("field_choices", {"erased_at": "{other}"}, "/field_choices/erased_at", "unknown_field"),
            ("field_choices", {"name": "{winner}"}, "/field_choices/name", "not_a_side"),
            ("dry_run", "perhaps", "/dry_run", "wrong_type"),
            ("undo", True, "/undo", "unknown_field"),
        ],
    ),
    *_both("a winner that is not there", {**GOOD, "winner_id": "{missing}"}, 404, "not_found", "/winner_id"),
    *_both("a loser that is not there", {**GOOD, "loser_ids": ["{missing}"]}, 404, "not_found", "/loser_ids/0"),
    *_both("another shop's customer", {**GOOD, "loser_ids": ["{foreign}"]}, 404, "not_found", "/loser_ids/0"),
    *_both("a loser merged before", {**GOOD, "loser_ids": ["{loser}"]}, 409, "already_merged", "/loser_ids/0"),
    *_both(
        "into itself by its old id",
        {"winner_id": "{loser}", "loser_ids": ["{winner}"]},
        422,
        "invalid",
        "/winner_id",
        "merge_with_itself",
    ),
    Bad("undo: no such merge", "POST", "/v1/merges/{missing}/undo", 404, "not_found"),
    *query(
        "/v1/merges",
        [
            ("state=gone", "/query/state", "unknown_choice"),
            ("winner_id=x", "/query/winner_id", "invalid_id"),
        ],
    ),
]
