"""Checking and normalising attribute values: pure rules.

A value is stored as JSON by the type of its definition:

=============  ====================================================================
text           a text, trimmed, never empty
number         a number; ``40.0`` is stored as ``40``
money          ``{"amount": 1999, "currency": "CNY"}``, minor units
date           ``"2026-01-31"``
boolean        ``true`` or ``false``
choice         the choice's value
multi_choice   a list of choices' values, each once, in the definition's order, never empty
reference      the id of what is referred to
=============  ====================================================================

An attribute without a value is not there at all; null and (for text and multi_choice) emptiness clear it.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from crm_api.attributes.models import (
    DEFAULT_TEXT,
    MAX_NUMBER,
    PREFIX,
    RULE_TYPES,
    AttributeChoiceInput,
    AttributeType,
    Choice,
    Definition,
    Definitions,
)
from crm_api.core.errors import FieldError, Invalid
from crm_api.core.ids import parse_id
from crm_api.core.money import MAX_MINOR, currencies, to_minor
from crm_api.core.rules import RuleField, RuleType
from crm_api.core.text import storable

CHOOSING = frozenset({"choice", "multi_choice"})
FIRST_YEAR, LAST_YEAR = 1800, 2200


class _Refused(Exception):
    def __init__(self, code: str, message: str, zh: str, where: str = "") -> None:
        self.code, self.message, self.zh, self.where = code, message, zh, where


def _refuse(code: str, message: str, zh: str, where: str = "") -> NoReturn:
    raise _Refused(code, message, zh, where)


# -- values ------------------------------------------------------------------------------------------------------------


def _text(definition: Definition, raw: Any) -> str | None:
    if not isinstance(raw, str):
        _refuse("wrong_type", "Must be a text", "必须是文本")
    limit = definition.max_length or DEFAULT_TEXT
    text = raw.strip()
    if len(text) > limit:
        _refuse("too_long", f"At most {limit} characters", f"最多 {limit} 个字符")
    try:
        storable(text)
    except ValueError as error:
        _refuse("invalid_text", str(error), "文本包含无法存储的字符")
    return text or None


def _number(definition: Definition, raw: Any) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        _refuse("wrong_type", "Must be a number", "必须是数字")
    _within(definition, raw, MAX_NUMBER)
    return int(raw) if raw == int(raw) else raw


def _within(definition: Definition, number: float, most: int) -> None:
    low = max(-most, -most if definition.minimum is None else definition.minimum)
    high = min(most, most if definition.maximum is None else definition.maximum)
    if not low <= number <= high:
        _refuse("out_of_range", f"Must be from {low:.15g} to {high:.15g}", f"必须在 {low:.15g} 到 {high:.15g} 之间")


def _money(definition: Definition, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict) or raw.keys() != {"amount", "currency"}:
        _refuse(
            "wrong_type",
            'Must be money such as {"amount": 1999, "currency": "CNY"}',
            '必须是金额，例如 {"amount": 1999, "currency": "CNY"}',
        )
    amount, currency = raw["amount"], raw["currency"]
    if isinstance(amount, bool) or not isinstance(amount, int):
        _refuse("wrong_type", "Must be a whole number of minor units", "必须是整数（最小货币单位）", "/amount")
    if not isinstance(currency, str) or currency not in currencies():
        _refuse("unknown_currency", "Not a currency in use (ISO 4217)", "不是现行的 ISO 4217 货币代码", "/currency")
    _within(definition, amount, MAX_MINOR)
    return {"amount": amount, "currency": currency}


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _date(_definition: Definition, raw: Any) -> str:
    if not isinstance(raw, str) or not _DAY.fullmatch(raw):
        _refuse("wrong_type", "Must be a date such as 2026-01-31", "必须是日期，例如 2026-01-31")
    try:
        day = date.fromisoformat(raw)
    except ValueError:
        _refuse("invalid_date", "There is no such date", "日期不存在")
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        _refuse(
            "out_of_range", f"The year must be {FIRST_YEAR} to {LAST_YEAR}", f"年份必须在 {FIRST_YEAR} 到 {LAST_YEAR}"
        )
    return raw


def _boolean(_definition: Definition, raw: Any) -> bool:
    return raw if isinstance(raw, bool) else _refuse("wrong_type", "Must be true or false", "必须是 true 或 false")


def _choice(definition: Definition, raw: Any) -> str:
    if not isinstance(raw, str) or raw not in definition.offered:
        known = ", ".join(definition.offered[:20])
        _refuse("unknown_choice", f"Must be one of: {known}", f"必须是以下之一：{known}")
    return raw


def _multi_choice(definition: Definition, raw: Any) -> list[str] | None:
    if not isinstance(raw, list):
        _refuse("wrong_type", "Must be a list of choices", "必须是选项列表")
    chosen = {_choice(definition, each) for each in raw}
    return [choice for choice in definition.offered if choice in chosen] or None


def _reference(definition: Definition, raw: Any) -> str:
    found = parse_id(raw) if isinstance(raw, str) else None
    if found is None:
        _refuse("invalid_id", f"Must be the id of a {definition.refers_to}", "必须是有效的 id")
    return str(found)


_READ: Mapping[AttributeType, Callable[[Definition, Any], Any]] = {
    "text": _text,
    "number": _number,
    "money": _money,
    "date": _date,
    "boolean": _boolean,
    "choice": _choice,
    "multi_choice": _multi_choice,
    "reference": _reference,
}


def read_values(definitions: Definitions, given: Mapping[str, Any], pointer: str = "/attributes") -> dict[str, Any]:
    """Return what is to be stored, None for a value to clear.

    Args:
        definitions: of the entity, the archived ones too.
        given: key → value as sent.
        pointer: where they stand in the request.

    Raises:
        Invalid: one error for each value that is wrong, e.g. at ``/attributes/shoe_size``.

    """
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for key, raw in given.items():
        at = f"{pointer}/{_escaped(key)}"
        try:
            values[key] = _read(definitions.get(key), raw)
        except _Refused as refused:
            errors.append(FieldError(at + refused.where, refused.code, refused.message, refused.zh))
    if errors:
        raise Invalid(errors=errors)
    return values


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _read(definition: Definition | None, raw: Any) -> Any:
    if definition is None:
        _refuse(
            "unknown_attribute",
            "There is no such attribute; GET /v1/attribute-definitions lists those there are",
            "没有此自定义属性；可用属性见 GET /v1/attribute-definitions",
        )
    if raw is not None and definition.archived:
        _refuse("attribute_archived", "This attribute is archived and takes no new values", "该属性已归档，不能再填写")
    value = None if raw is None else _READ[definition.type](definition, raw)
    if value is None and definition.required:
        _refuse("required", "This attribute is required", "该属性必填")
    return value


def missing(definitions: Definitions, values: Mapping[str, Any], pointer: str = "/attributes") -> list[FieldError]:
    """Return an error for each required attribute that a new entity lacks."""
    return [
        FieldError(f"{pointer}/{each.key}", "required", "This attribute is required", "该属性必填")
        for each in definitions.values()
        if each.required and not each.archived and values.get(each.key) is None
    ]


def merged(known: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values after a change; None takes one away."""
    both = {**known, **changes}
    return {key: value for key, value in both.items() if value is not None}


def references(definitions: Definitions, values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return what is referred to: target → key → id."""
    found: dict[str, dict[str, str]] = {}
    for key, value in values.items():
        definition = definitions[key]
        if value is not None and definition.refers_to is not None:
            found.setdefault(definition.refers_to, {})[key] = value
    return found


# -- cells of files ----------------------------------------------------------------------------------------------------

_TRUE = frozenset({"true", "yes", "y", "1", "t", "是", "有", "真", "对", "√"})
_FALSE = frozenset({"false", "no", "n", "0", "f", "否", "无", "没有", "假", "×"})
_WRITTEN_DAY = re.compile(
    r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?(?:[ T]00:00(?::00)?)?|(\d{4})(\d\d)(\d\d)"
)
_SEPARATORS = re.compile(r"[,，;；、|]")


def parse_cell(definition: Definition, text: str, currency: str) -> Any:
    """Return a file's cell as the JSON that `read_values` takes; what cannot be read comes back as it is.

    Args:
        definition: of the attribute.
        text: the cell; an empty one means "nothing said", so callers leave it out.
        currency: of amounts that name none: the tenant's.

    """
    parse = _CELLS.get(definition.type)
    return text if parse is None else parse(definition, text.strip(), currency)


def number_in(text: str) -> int | float | None:
    """Return the number a text is, as it would be stored; None when it is none."""
    try:
        number = Decimal(text.replace(",", "").replace("，", ""))
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number) > MAX_NUMBER:
        return None
    return int(number) if number == number.to_integral_value() else float(number)


def _number_cell(_definition: Definition, text: str, _currency: str) -> Any:
    number = number_in(text)
    return text if number is None else number


def _money_cell(_definition: Definition, text: str, currency: str) -> Any:
    named = re.search(r"[A-Z]{3}", text)
    plain = re.sub(r"[A-Z]{3}|[¥￥$€£,，元\s]", "", text)
    unit = named.group() if named else currency
    try:
        return {"amount": to_minor(plain, unit), "currency": unit}
    except (ValueError, KeyError):
        return text


def _date_cell(_definition: Definition, text: str, _currency: str) -> Any:
    found = _WRITTEN_DAY.fullmatch(text)
    if found is None:
        return text
    year, month, day = (part for part in found.groups() if part)
    return f"{year}-{int(month):02}-{int(day):02}"


def _boolean_cell(_definition: Definition, text: str, _currency: str) -> Any:
    lower = text.lower()
    return True if lower in _TRUE else False if lower in _FALSE else text


def _choice_cell(definition: Definition, text: str, _currency: str) -> Any:
    for choice in definition.choices:
        if text.casefold() in {name.casefold() for name in (choice.value, choice.label_en, choice.label_zh)}:
            return choice.value
    return text


def _multi_choice_cell(definition: Definition, text: str, currency: str) -> Any:
    return [_choice_cell(definition, part.strip(), currency) for part in _SEPARATORS.split(text) if part.strip()]


_CELLS: Mapping[AttributeType, Callable[[Definition, str, str], Any]] = {
    "number": _number_cell,
    "money": _money_cell,
    "date": _date_cell,
    "boolean": _boolean_cell,
    "choice": _choice_cell,
    "multi_choice": _multi_choice_cell,
}


# -- definitions -------------------------------------------------------------------------------------------------------


def choices_of(given: Iterable[AttributeChoiceInput]) -> tuple[Choice, ...]:
    """Return choices with both labels."""
    return tuple(Choice(each.value, *each.label.both(), each.archived) for each in given)


def check_definition(definition: Definition) -> None:
    """Raise Invalid when the parts of a definition do not fit its type."""
    errors = [*_choice_faults(definition), *_limit_faults(definition)]
    if (definition.type == "reference") != (definition.refers_to is not None):
        errors.append(
            FieldError("/refers_to", "not_allowed", "Only a reference refers, and it must", "仅引用类型需要 refers_to")
            if definition.refers_to is not None
            else FieldError(
                "/refers_to", "required", "A reference needs what it refers to", "引用类型必须指定 refers_to"
            )
        )
    if errors:
        raise Invalid(errors=errors)


def _choice_faults(definition: Definition) -> Iterable[FieldError]:
    if definition.type not in CHOOSING:
        if definition.choices:
            yield FieldError("/choices", "not_allowed", "Only a choice has choices", "仅选项类型可以有 choices")
        return
    if not definition.offered:
        yield FieldError("/choices", "required", "Give at least one choice", "请至少提供一个选项")
    seen: set[str] = set()
    for index, choice in enumerate(definition.choices):
        if choice.value in seen:
            yield FieldError(f"/choices/{index}/value", "duplicate", "This value is there already", "选项值重复")
        seen.add(choice.value)


def _limit_faults(definition: Definition) -> Iterable[FieldError]:
    if definition.type not in {"number", "money"}:
        for name in ("minimum", "maximum"):
            if getattr(definition, name) is not None:
                yield FieldError(f"/{name}", "not_allowed", "Only for number and money", "仅用于数字和金额类型")
    elif None not in (definition.minimum, definition.maximum) and definition.minimum > definition.maximum:  # type: ignore[operator]
        yield FieldError("/maximum", "out_of_range", "Must not be below the minimum", "不能小于 minimum")
    if definition.max_length is not None and definition.type != "text":
        yield FieldError("/max_length", "not_allowed", "Only for text", "仅用于文本类型")


def changed(definition: Definition, **values: Any) -> Definition:
    """Return the definition with other values."""
    return replace(definition, **values)


# -- rules and documents -----------------------------------------------------------------------------------------------


def rule_field(definition: Definition, scope: str) -> RuleField:
    """Return how rules see the attribute; archived choices can still be asked for, where they are chosen."""
    values = tuple(choice.value for choice in definition.choices)
    return RuleField(
        PREFIX + definition.key,
        RULE_TYPES[definition.type],
        definition.label_en,
        definition.label_zh,
        choices=values,
        items=RuleType.CHOICE if definition.type == "multi_choice" else RuleType.TEXT,
        scope=scope,
        archived=definition.archived,
    )


def json_schema(definition: Definition) -> dict[str, Any]:
    """Return the JSON Schema of the attribute's values as they are answered, for the tenant's own OpenAPI document."""
    title = (
        definition.label_en
        if definition.label_en == definition.label_zh
        else (f"{definition.label_en} / {definition.label_zh}")
    )
    text = title if not definition.description else f"{title}. {definition.description}"
    return {"description": text, **_SCHEMAS[definition.type](definition)}


def _number_schema(definition: Definition) -> dict[str, Any]:
    limits = {"minimum": definition.minimum, "maximum": definition.maximum}
    return {"type": "number", **{name: limit for name, limit in limits.items() if limit is not None}}


def _choice_schema(definition: Definition) -> dict[str, Any]:
    return {"type": "string", "enum": [choice.value for choice in definition.choices]}


_SCHEMAS: Mapping[AttributeType, Callable[[Definition], dict[str, Any]]] = {
    "text": lambda definition: {"type": "string", "maxLength": definition.max_length or DEFAULT_TEXT},
    "number": _number_schema,
    "money": lambda _: {"$ref": "#/components/schemas/Money"},
    "date": lambda _: {"type": "string", "format": "date"},
    "boolean": lambda _: {"type": "boolean"},
    "choice": _choice_schema,
    "multi_choice": lambda definition: {"type": "array", "items": _choice_schema(definition), "uniqueItems": True},
    "reference": lambda _: {"type": "string", "format": "uuid"},
}
