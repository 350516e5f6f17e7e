"""From a rule's JSON to its text form: what `crm_api.core.rules.text` reads back as the same tree."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from crm_api.core.money import format_money, minor_per_major
from crm_api.core.rules.catalogue import RuleCatalogue, RuleField, RuleType
from crm_api.core.rules.text import NOW, many_of

Json = Any

_SYMBOLS: Mapping[str, str] = {"eq": "=", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_TIMES: Mapping[str, str] = {**_SYMBOLS, "gt": "after", "lt": "before"}
_LISTS: Mapping[str, str] = {
    "in": "in",
    "not_in": "not in",
    "contains_any": "contains any",
    "contains_all": "contains all",
}
_KEYWORDS = frozenset(
    {"and", "or", "not", "all", "any", "where", "in", "between", "within", "contains", "starts", "with", "is", "exists"}
    | {"missing", "before", "after", "last", "next", "from", "since", "to", "until", "ago", "ahead"}
    | {"now", "today", "true", "false", "bucket", "sequence", "then"}
)
_NAME = re.compile(r"[^\W\d]\w*(?:[.\-]\w+)*")
PLAIN = re.compile(
    r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d))?|[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    re.ASCII,
)
"""Texts that may stand without quotes: dates, instants and UUIDs."""


def rule_text(document: Json, catalogue: RuleCatalogue) -> str:
    """Return a checked rule in words.

    Args:
        document: a node, or a node in its envelope.
        catalogue: decides only how it is put (``tag:vip``); names it does not know are written all the same.

    """
    return _node(document.get("where", document) if "version" in document else document, catalogue)


def _node(node: Json, scope: RuleCatalogue) -> str:
    match node:
        case {"all": parts}:
            return _joined("all", " and ", parts, scope)
        case {"any": parts}:
            return _joined("any", " or ", parts, scope)
        case {"not": part}:
            return f"not {_part(part, scope)}"
    return _leaf(node, scope)


def _leaf(node: Json, scope: RuleCatalogue) -> str:
    match node:
        case {"aggregate": _}:
            return _figure(node, scope)
        case {"bucket": {"salt": salt, "of": of}}:
            return f"bucket({json.dumps(salt, ensure_ascii=False)}, {int(of)}) {_verdict(node, None)}"
        case {"sequence": steps}:
            return _sequence(node, steps, scope)
    return _field(node, scope)


def _joined(name: str, word: str, parts: Sequence[Json], scope: RuleCatalogue) -> str:
    if len(parts) > 1:
        return word.join(_part(part, scope) for part in parts)
    return f"{name}({''.join(_node(part, scope) for part in parts)})"


def _part(node: Json, scope: RuleCatalogue) -> str:
    """Write a node beside others: in brackets when it joins parts itself."""
    text = _node(node, scope)
    return f"({text})" if len(node.get("all", node.get("any", ()))) > 1 else text


def _field(node: Json, scope: RuleCatalogue) -> str:
    name = node["field"]
    field = scope.fields.get(name)
    if field is not None and field.type is RuleType.MULTI and node["op"] == "contains":
        return f"{_singular(field, scope)}:{_value(node['value'], field)}"
    return f"{_named(name)} {_verdict(node, field)}"


def _singular(field: RuleField, scope: RuleCatalogue) -> str:
    """Return the name of one of the field's values: ``tag`` of ``tags``."""
    name = field.name
    shorter = f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")
    return _named(shorter if many_of(shorter, scope) is field else name)


def _figure(node: Json, scope: RuleCatalogue) -> str:
    of, _dot, measured = node["of"].partition(".")
    collection = scope.collections.get(of)
    inside = RuleCatalogue() if collection is None else collection.inside
    arguments = [
        *([_named(measured)] if measured else []),
        *([_window(node["window"])] if "window" in node else []),
        *([f"where {_node(node['where'], inside)}"] if "where" in node else []),
    ]
    figure = _named(f"{of}.{node['aggregate']}")
    return f"{figure}({', '.join(arguments)}) {_verdict(node, inside.fields.get(measured))}"


def _sequence(node: Json, steps: Sequence[Json], scope: RuleCatalogue) -> str:
    arguments = [
        " then ".join(_step(step, scope) for step in steps),
        *([f"within {_span(node['within'])}"] if "within" in node else []),
        *([_window(node["window"])] if "window" in node else []),
    ]
    return f"sequence({', '.join(arguments)})"


def _step(step: Json, scope: RuleCatalogue) -> str:
    collection = scope.collections.get(step["of"])
    inside = RuleCatalogue() if collection is None else collection.inside
    return _named(step["of"]) + (f"(where {_node(step['where'], inside)})" if "where" in step else "")


def _span(span: Mapping[str, Any]) -> str:
    ((unit, count),) = span.items()
    return f"{int(count)}{unit[0]}"


def _verdict(node: Json, field: RuleField | None) -> str:
    op, value = node["op"], node.get("value")
    if op in _SYMBOLS:
        timed = field is not None and field.type in {RuleType.DATE, RuleType.INSTANT}
        return f"{(_TIMES if timed else _SYMBOLS)[op]} {_value(value, field)}"
    if op in _LISTS:
        return f"{_LISTS[op]} ({', '.join(_value(each, field) for each in value)})"
    if op == "between":
        return f"between {_value(value[0], field)} and {_value(value[1], field)}"
    if op == "within":
        return f"within {_window(value)}"
    if op in {"contains", "starts_with"}:
        return f"{op.replace('_', ' ')} {_value(value, field)}"
    return str(op)


def _window(window: Json) -> str:
    match window:
        case {"last_days": days}:
            return f"last {int(days)}d"
        case {"last_hours": hours}:
            return f"last {int(hours)}h"
    return " ".join(f"{key} {_value(window[key], None)}" for key in ("from", "to") if key in window)


def _named(name: str) -> str:
    return name if _NAME.fullmatch(name) and name.lower() not in _KEYWORDS else f"`{name}`"


def _value(value: Json, field: RuleField | None) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value, field)
        case {"amount": amount, "currency": currency}:
            return f"{money_text(int(amount), currency)} {currency}"
        case dict():
            return _shift(value, field)
    return repr(value)


def _text(value: str, field: RuleField | None) -> str:
    if PLAIN.fullmatch(value):
        return value
    free = field is None or field.type is RuleType.TEXT
    if free or not _NAME.fullmatch(value) or value.lower() in _KEYWORDS:
        return json.dumps(value, ensure_ascii=False)
    return value


def money_text(amount: int, currency: str) -> str:
    """Return major units, without decimals that are all 0: ``500``, ``12.50``."""
    factor = minor_per_major(currency)
    return format_money(amount, currency) if amount % factor else str(amount // factor)


def _shift(value: Mapping[str, Any], field: RuleField | None) -> str:
    if value == NOW:
        return "today" if field is not None and field.type is RuleType.DATE else "now"
    ((key, count),) = value.items()
    unit, _, way = key.partition("_")
    return f"{int(count)}{unit[0]} {way}"
