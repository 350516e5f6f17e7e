"""Rules as typed GraphQL input: ``RuleInput`` beside the JSON scalar, wherever an input takes a rule.

The types say what the tree may look like; whether it makes sense (known fields, fitting values) is decided by the one
check of `crm_api.core.rules`. What a value may be depends on the tenant's fields, so ``value`` stays JSON;
``ruleFields`` and ``ruleSchema`` tell.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from crm_api.core.rules import Aggregate, Op
from crm_api.web.graphql.scalars import JSON

Json = Any
AddField = Callable[..., None]
Fields = Mapping[str, tuple[Any, str]]

SUFFIX: Final = "_tree"
"""Of the typed field beside one that takes a rule as JSON: ``ruleTree`` beside ``rule``."""
ABOUT: Final = "The rule as typed input, in place of `{name}`."

_NODE = (
    "A rule: exactly one of these. It stands for the JSON tree of the rule language; errors name its nodes by JSON "
    "pointer into that tree, where `test`, `figure` and `bucket` are nodes themselves."
)
_VALUE = (
    "As in JSON, by the field's type: `ruleFields` and `ruleSchema` tell. None for EXISTS and MISSING. "
    "Ids are plain UUIDs: what follows the colon of a global id."
)
_WHERE = "Which rows; a rule about the collection's own fields."
_WINDOW = "Within which time; any time if left out."
_EDGE = '`"2026-01-31T09:00:00+08:00"`, a date, `{"days_ago": 60}` or `{"hours_ago": 6}`.'


class RuleInputs:
    """The input types of rules; made once a schema, when the first input takes a rule."""

    def __init__(self, new_type: Callable[..., Any], add_field: AddField, enum: Callable[..., Any]) -> None:
        """Make them with what makes all types of the schema."""
        self._new, self._add = new_type, add_field
        self.operator = enum("RuleOperator", [op.value for op in Op], "How a value is tested.")
        self.aggregate = enum("RuleAggregate", [each.value for each in Aggregate], "What is computed over rows.")
        self.node = self._new("RuleInput", _NODE, is_input=True, one_of=True)
        self._window = self._made(
            "RuleWindowInput",
            "A half-open stretch of time [from, to): lastDays, or lastHours, or from and/or to.",
            {},
            {
                "last_days": (int, "From that many days before now, until now."),
                "last_hours": (int, "From that many hours before now, until now."),
                "from": (JSON, f"First instant: {_EDGE}"),
                "to": (JSON, f"First instant after it: {_EDGE}"),
            },
        )
        self._fill()

    def _made(
        self, name: str, description: str, needed: Fields, optional: Fields | None = None, *, one_of: bool = False
    ) -> Any:
        made = self._new(name, description, is_input=True, one_of=one_of)
        for field, (kind, text) in needed.items():
            self._add(made, field, kind, text)
        for field, (kind, text) in (optional or {}).items():
            self._add(made, field, kind | None, text, optional=True)
        return made

    def _fill(self) -> None:
        op: Fields = {"op": (self.operator, "Operator; which ones fit depends on the type.")}
        value: Fields = {"value": (JSON, _VALUE)}
        rows: Fields = {"where": (self.node, _WHERE), "window": (self._window, _WINDOW)}
        test = self._made(
            "RuleTestInput",
            "One field against one value; every test of a missing value is false except MISSING.",
            {"field": (str, "Name of a field, as in `ruleFields`."), **op},
            value,
        )
        figure = self._made(
            "RuleFigureInput",
            "A figure computed over rows of a collection, against one value.",
            {
                "aggregate": (self.aggregate, "FIRST and LAST are by time; COUNT and SUM of nothing are 0."),
                "of": (str, "The collection for COUNT, otherwise collection.field."),
                **op,
            },
            {**rows, **value},
        )
        bucket = self._made(
            "RuleBucketInput",
            "The customer's bucket in a lasting, even split: the first 4 bytes of SHA-256 of salt, colon and id, "
            "an unsigned big-endian number, modulo `of`.",
            {
                "salt": (str, "Names the split: another salt splits anew."),
                "of": (int, "How many buckets, 2 to 10,000; they are numbered from 0."),
                **op,
            },
            value,
        )
        self._nodes(test, figure, bucket, self._sequence())

    def _sequence(self) -> Any:
        of: Fields = {"of": (str, "A collection that has a time.")}
        step = self._made("RuleStepInput", "One step of a sequence.", of, {"where": (self.node, _WHERE)})
        span = self._made(
            "RuleSpanInput",
            "An exact length of time: one of the two.",
            {},
            {"days": (int, "Days of 24 hours."), "hours": (int, "Hours of 60 minutes, whatever the clocks do.")},
            one_of=True,
        )
        return self._made(
            "RuleSequenceInput",
            "Rows in order: one for each step, each strictly later than the one before.",
            {"steps": (list[step], "The steps, 2 to 5.")},  # type: ignore[valid-type]
            {
                "within": (span, "All steps lie in [first, first + within); any length if left out."),
                "window": (self._window, _WINDOW),
            },
        )

    def _nodes(self, test: Any, figure: Any, bucket: Any, sequence: Any) -> None:
        parts = list[self.node]  # type: ignore[name-defined]
        fields: Fields = {
            "all": (parts, "Every part holds; of no parts, for everyone."),
            "any": (parts, "At least one part holds; of no parts, for no one."),
            "not": (self.node, "The part does not hold: its exact opposite."),
            "test": (test, "A field against a value."),
            "figure": (figure, "A figure over rows, such as the number of orders in a window."),
            "bucket": (bucket, "A hash bucket of the customer."),
            "sequence": (sequence, "Rows in order."),
        }
        for name, (kind, text) in fields.items():
            self._add(self.node, name, kind | None, text, optional=True)


def tree_of(given: Mapping[str, Any]) -> Json:
    """Return the JSON tree that a coerced ``RuleInput`` stands for."""
    ((kind, value),) = given.items()
    return _TREES[kind](value)


def _parts(kind: str) -> Callable[[Any], Json]:
    return lambda parts: {kind: [tree_of(part) for part in parts]}


def _leaf(given: Mapping[str, Any]) -> Json:
    """Return a test or figure, which have the keys they have in JSON; null is as good as left out."""
    return {_KEYS.get(key, key): _part(key, value) for key, value in given.items() if value is not None}


def _part(key: str, value: Any) -> Json:
    if key == "where":
        return tree_of(value)
    if key == "window":
        return _leaf(value)
    return value.value if isinstance(value, Enum) else value


def _bucket(given: Mapping[str, Any]) -> Json:
    return {
        "bucket": {"salt": given["salt"], "of": given["of"]},
        **_leaf({key: value for key, value in given.items() if key not in {"salt", "of"}}),
    }


def _sequence(given: Mapping[str, Any]) -> Json:
    rest = {key: value for key, value in given.items() if key != "steps"}
    return {"sequence": [_leaf(step) for step in given["steps"]], **_leaf(rest)}


_KEYS: Final[Mapping[str, str]] = {"lastDays": "last_days", "lastHours": "last_hours"}
_TREES: Final[Mapping[str, Callable[[Any], Json]]] = {
    "all": _parts("all"),
    "any": _parts("any"),
    "not": lambda part: {"not": tree_of(part)},
    "test": _leaf,
    "figure": _leaf,
    "bucket": _bucket,
    "sequence": _sequence,
}
