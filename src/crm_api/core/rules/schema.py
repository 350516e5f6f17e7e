"""The exact JSON Schema of rules over one catalogue, for editors, clients and tests.

OpenAPI carries the generic models of `crm_api.core.rules.wire`; this one also knows every field, its operators and
what may be written as its value.
"""

from collections.abc import Iterator
from typing import Any

from crm_api.core.money import MAX_MINOR
from crm_api.core.rules.buckets import MAX_BUCKETS, MAX_SALT
from crm_api.core.rules.catalogue import (
    AGGREGATED,
    BUCKET,
    PRESENCE,
    Aggregate,
    Op,
    RuleCatalogue,
    RuleCollection,
    RuleField,
    RuleType,
    result_field,
)
from crm_api.core.rules.values import (
    MAX_ALL,
    MAX_DAYS,
    MAX_HOURS,
    MAX_LIST,
    MAX_NUMBER,
    MAX_STEPS,
    MAX_TEXT,
    MIN_STEPS,
    VERSION,
)

Json = dict[str, Any]

_RELATIVE_DAYS = {"days_ago": MAX_DAYS, "days_ahead": MAX_DAYS}
_RELATIVE_HOURS = {"hours_ago": MAX_HOURS, "hours_ahead": MAX_HOURS}


def _closed(properties: Json, *required: str) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
        "additionalProperties": False,
    }


def _count(high: int, low: int = 0) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high}


_DATE = {"type": "string", "format": "date"}
_INSTANT = {"type": "string", "format": "date-time"}

_VALUES: dict[str, Json] = {
    "RuleText": {"type": "string", "maxLength": MAX_TEXT},
    "RuleInteger": _count(MAX_NUMBER, -MAX_NUMBER),
    "RuleNumber": {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
    "RuleMoney": _closed(
        {"amount": _count(MAX_MINOR, -MAX_MINOR), "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}}
    ),
    "RuleDate": {"anyOf": [_DATE, *(_closed({key: _count(high)}) for key, high in _RELATIVE_DAYS.items())]},
    "RuleInstant": {
        "anyOf": [
            _DATE,
            _INSTANT,
            *(_closed({key: _count(high)}) for key, high in (_RELATIVE_DAYS | _RELATIVE_HOURS).items()),
        ]
    },
    "RuleBoolean": {"type": "boolean"},
    "RuleUuid": {"type": "string", "format": "uuid"},
    "RuleSpan": {
        "description": "An exact length of time: a day is 24 hours.",
        "anyOf": [_closed({"days": _count(MAX_DAYS, 1)}), _closed({"hours": _count(MAX_HOURS, 1)})],
    },
    "RuleBucket": {
        "description": "A lasting, even split of the customers; crm_api.core.rules.buckets has the formula.",
        **_closed({"salt": {"type": "string", "minLength": 1, "maxLength": MAX_SALT}, "of": _count(MAX_BUCKETS, 2)}),
    },
    "RuleWindow": {
        "description": "Half-open: [from, to).",
        "anyOf": [
            _closed({"last_days": _count(MAX_DAYS, 1)}),
            _closed({"last_hours": _count(MAX_HOURS, 1)}),
            _closed({"from": {"$ref": "#/$defs/RuleInstant"}, "to": {"$ref": "#/$defs/RuleInstant"}}, "from"),
            _closed({"to": {"$ref": "#/$defs/RuleInstant"}}),
        ],
    },
}


def _ref(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def rule_json_schema(catalogue: RuleCatalogue) -> Json:
    """Return the JSON Schema (2020-12) of rules over the catalogue; recursive through ``$defs``."""
    definitions = dict(_VALUES)
    _define(catalogue, "RuleNode", definitions)
    buckets = _tests({"bucket": _ref("RuleBucket")}, BUCKET, description=BUCKET.description)
    definitions["RuleNode"]["anyOf"] += buckets  # of customers only, so not in the scopes below
    document = _closed({"version": {"const": VERSION}, "where": _ref("RuleNode")}, "where")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:crm-api:rules:{VERSION}",
        "title": "Rule",
        "anyOf": [_ref("RuleNode"), document],
        "$defs": definitions,
    }


def _define(scope: RuleCatalogue, name: str, definitions: dict[str, Json]) -> None:
    """Define the nodes of one scope under the name, and those of its collections under longer ones."""
    parts = {"type": "array", "items": _ref(name)}
    nodes = [_closed({"all": parts}), _closed({"any": parts}), _closed({"not": _ref(name)})]
    for field in scope.fields.values():
        if field.archived:
            continue
        nodes += _tests({"field": {"const": field.name}}, field, description=field.description)
    for collection in scope.collections.values():
        inner = f"{name}_{collection.name}"
        _define(collection.inside, inner, definitions)
        nodes += _aggregates(collection, inner)
    nodes += _sequences(scope, name)
    definitions[name] = {"anyOf": nodes}


def _aggregates(collection: RuleCollection, inner: str) -> Iterator[Json]:
    optional: Json = {"where": _ref(inner)}
    if collection.time is not None:
        optional["window"] = _ref("RuleWindow")
    for aggregate, types in AGGREGATED.items():
        measured: list[RuleField | None] = [field for field in collection.inside.fields.values() if field.type in types]
        for field in [None] if aggregate is Aggregate.COUNT else measured:
            of = collection.name if field is None else f"{collection.name}.{field.name}"
            head = {"aggregate": {"const": aggregate.value}, "of": {"const": of}}
            yield from _tests(head, result_field(aggregate, field), optional, description=collection.description)


def _sequences(scope: RuleCatalogue, name: str) -> Iterator[Json]:
    steps = [
        _closed({"of": {"const": each.name}, "where": _ref(f"{name}_{each.name}")}, "of")
        for each in scope.collections.values()
        if each.time is not None
    ]
    if steps:
        listed = {"type": "array", "items": {"anyOf": steps}, "minItems": MIN_STEPS, "maxItems": MAX_STEPS}
        properties = {"sequence": listed, "within": _ref("RuleSpan"), "window": _ref("RuleWindow")}
        yield {"description": "Rows in order, each strictly later.", **_closed(properties, "sequence")}


def _tests(head: Json, field: RuleField, optional: Json | None = None, *, description: str) -> Iterator[Json]:
    """Yield one schema per shape of value that the field's operators take."""
    shapes: dict[str, tuple[Json | None, list[str]]] = {}
    for op in field.operators:
        value = None if op in PRESENCE else _value(field, op)
        shapes.setdefault(repr(value), (value, []))[1].append(op.value)
    for value, operators in shapes.values():
        required = {**head, "op": {"enum": operators}} | ({} if value is None else {"value": value})
        yield {"description": description, **_closed({**required, **(optional or {})}, *required)}


def _value(field: RuleField, op: Op) -> Json:
    single = (
        {"enum": list(field.choices)} if field.item_type is RuleType.CHOICE else _ref(f"Rule{field.item_type.title()}")
    )
    match op:
        case Op.IN | Op.NOT_IN | Op.CONTAINS_ANY:
            return {"type": "array", "items": single, "minItems": 1, "maxItems": MAX_LIST}
        case Op.CONTAINS_ALL:
            return {"type": "array", "items": single, "minItems": 1, "maxItems": MAX_ALL}
        case Op.BETWEEN:
            return {"type": "array", "items": single, "minItems": 2, "maxItems": 2}
        case Op.WITHIN:
            return _ref("RuleWindow")
        case _:
            return single
