"""Birthdays in SQL: compared by the calendars themselves, because the next one is stored nowhere."""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, FromClause, Integer, any_, case, cast
from sqlalchemy.types import TypeEngine

from crm_api.core.rules import AsOf, Op
from crm_api.customers import birthdays
from crm_api.db.rule_values import Predicate, bind

_KEYS: TypeEngine[Any] = ARRAY(Integer)
_DAY = timedelta(days=1)


def birthday_key(t: FromClause) -> ColumnElement[Any]:
    """Return `birthdays.key_of` in SQL; null when the birthday is not known."""
    lunar = case((t.c.birth_calendar == "lunar", birthdays.LUNAR_KEY), else_=0)
    leap = case((t.c.birth_leap_month, birthdays.LEAP_KEY), else_=0)
    return cast(t.c.birth_month, Integer) * 100 + t.c.birth_day + lunar + leap


def next_birthday_test(c: FromClause, op: Op, value: Any, as_of: AsOf) -> Predicate:
    """Test the next birthday, a date; for `SqlField.test`."""
    key = birthday_key(c)
    if op is Op.EXISTS:
        return key.is_not(None)
    today = as_of.today()
    if op is Op.NE:
        return key.is_not(None) & _celebrated(key, value, value, today).is_not(True)
    return _celebrated(key, *_span(op, value), today)


def next_birthday_shown(key: int, as_of: AsOf) -> str | None:
    """Return the day that a `birthday_key` means next; for `SqlField.shown`."""
    day = birthdays.next_with_key(key, as_of.today())
    return None if day is None else day.isoformat()


def _celebrated(key: ColumnElement[Any], first: date, last: date, today: date) -> Predicate:
    return key == any_(bind(birthdays.keys_with_next(first, last, today), _KEYS))


def _span(op: Op, value: Any) -> tuple[date, date]:
    """Return the first and the last day that an operator means."""
    match op:
        case Op.BETWEEN:
            return value[0], value[1]
        case Op.GT | Op.GTE:
            return value + _DAY * (op is Op.GT), date.max
        case Op.LT | Op.LTE:
            return date.min, value - _DAY * (op is Op.LT)
        case _:
            return value, value
