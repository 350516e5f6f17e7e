"""One value against another in SQL, as the rule language means it. Every value is a bind parameter."""

import operator
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Numeric,
    Text,
    Uuid,
    all_,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    true,
)
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.types import TypeEngine

from crm_api.core.money import Money
from crm_api.core.rules import Op, RuleField, RuleType
from crm_api.core.rules.buckets import BYTES, SEPARATOR

Predicate = ColumnElement[bool]

_TYPES: Mapping[RuleType, TypeEngine[Any]] = {
    RuleType.TEXT: Text(),
    RuleType.INTEGER: BigInteger(),
    RuleType.NUMBER: Numeric(),
    RuleType.MONEY: BigInteger(),
    RuleType.DATE: Date(),
    RuleType.INSTANT: DateTime(timezone=True),
    RuleType.BOOLEAN: Boolean(),
    RuleType.CHOICE: Text(),
    RuleType.UUID: Uuid(),
}


def sql_type(of: RuleType) -> TypeEngine[Any]:
    """Return the type in SQL of a field's single value."""
    return _TYPES[of]


def bind(value: Any, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """Return a value as a bind parameter of its own."""
    return bindparam(None, value, type_=type_, unique=True)


def currency_of(value: Any) -> str | None:
    """Return the currency that a settled value is in, if it is money."""
    first = value[0] if isinstance(value, tuple) and value else value
    return first.currency if isinstance(first, Money) else None


def amount_of(value: Any) -> Any:
    """Return minor units in place of money."""
    if isinstance(value, tuple):
        return tuple(amount_of(item) for item in value)
    return value.amount if isinstance(value, Money) else value


def member_test(member: ColumnElement[Any], field: RuleField, op: Op, value: Any) -> Predicate:
    """Test one member of a ``multi`` field; the row of any member that passes is enough."""
    type_ = _TYPES[field.item_type]
    match op:
        case Op.EXISTS:
            return member.is_not(None)
        case Op.CONTAINS_ANY:
            return member == any_(bind(list(value), ARRAY(type_)))
        case _:
            return member == bind(value, type_)


def array_test(array: ColumnElement[Any], field: RuleField, op: Op, value: Any) -> Predicate:
    """Test a ``multi`` field that is an array."""
    if op is Op.EXISTS:
        return func.coalesce(func.cardinality(array), 0) > 0
    wanted = bind(list(value) if isinstance(value, tuple) else [value], ARRAY(_TYPES[field.item_type]))
    return array.op("&&" if op is Op.CONTAINS_ANY else "@>", is_comparison=True)(wanted)


def within(value: ColumnElement[Any], edges: tuple[Any, Any]) -> Predicate:
    """Tell whether an instant lies in ``[start, end)``; an edge that is None is open."""
    start, end = edges
    instant = _TYPES[RuleType.INSTANT]
    from_start = true() if start is None else value >= bind(start, instant)
    return and_(from_start, true() if end is None else value < bind(end, instant))


_HOUR: ColumnElement[Any] = literal_column("interval '1 hour'")


def later(instant: ColumnElement[Any], span: timedelta) -> ColumnElement[Any]:
    """Return the instant so many whole hours later.

    Times an hour, because a day added by PostgreSQL is as long as the session's zone makes it.
    """
    return instant + bind(span // timedelta(hours=1), BigInteger()) * _HOUR


def bucket(subject: ColumnElement[Any], salt: str, of: int) -> ColumnElement[Any]:
    """Return `crm_api.core.rules.bucket_of` in SQL."""
    salted = func.concat(bind(f"{salt}{SEPARATOR}", Text()), cast(subject, Text))
    digest = func.encode(func.sha256(func.convert_to(salted, literal_column("'UTF8'"))), literal_column("'hex'"))
    number = cast(func.concat(literal_column("'x'"), func.left(digest, 2 * BYTES)), BIT(8 * BYTES))
    return func.mod(cast(number, BigInteger), bind(of, BigInteger()))


def _pattern(text: str) -> str:
    """Return the text with LIKE's own signs made plain."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def compare(expr: ColumnElement[Any], field: RuleField, op: Op, value: Any) -> Predicate:
    """Compare one value; NULL when it is missing."""
    return _COMPARISONS[op](expr, value, _TYPES[field.type])


Comparison = Callable[[ColumnElement[Any], Any, TypeEngine[Any]], Predicate]

_COMPARISONS: Mapping[Op, Comparison] = {
    Op.EQ: lambda expr, value, type_: expr == bind(value, type_),
    Op.NE: lambda expr, value, type_: expr != bind(value, type_),
    Op.GT: lambda expr, value, type_: expr > bind(value, type_),
    Op.GTE: lambda expr, value, type_: expr >= bind(value, type_),
    Op.LT: lambda expr, value, type_: expr < bind(value, type_),
    Op.LTE: lambda expr, value, type_: expr <= bind(value, type_),
    Op.BETWEEN: lambda expr, value, type_: expr.between(bind(value[0], type_), bind(value[1], type_)),
    Op.WITHIN: lambda expr, value, _type: within(expr, value),
    Op.IN: lambda expr, value, type_: expr == any_(bind(list(value), ARRAY(type_))),
    Op.NOT_IN: lambda expr, value, type_: expr != all_(bind(list(value), ARRAY(type_))),
    Op.CONTAINS: lambda expr, value, type_: expr.ilike(bind(f"%{_pattern(value)}%", type_)),
    Op.STARTS_WITH: lambda expr, value, type_: expr.ilike(bind(f"{_pattern(value)}%", type_)),
    Op.EXISTS: lambda expr, _value, _type: expr.is_not(None),
}


def holds(value: int, op: Op, wanted: Any) -> bool:
    """Compare in Python a number that is known when the rule is compiled."""
    return bool(_KNOWN[op](value, wanted))


_KNOWN: Mapping[Op, Callable[[int, Any], bool]] = {
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
    Op.BETWEEN: lambda value, ends: ends[0] <= value <= ends[1],
    Op.IN: lambda value, items: value in items,
    Op.NOT_IN: lambda value, items: value not in items,
    Op.EXISTS: lambda _value, _wanted: True,
}
