"""Reading ``value`` and ``window``: from JSON to Python, by the field's type.

Every function takes the place (for problems) and the raw JSON, and returns the value or reports and raises `Refused`.
"""

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.core.ids import parse_id
from crm_api.core.money import MAX_MINOR, Money, currencies
from crm_api.core.rules.buckets import MAX_BUCKETS, MAX_SALT
from crm_api.core.rules.catalogue import Op, RuleField, RuleType
from crm_api.core.rules.moments import Ago, AsOf, Moment, Window, instant_of
from crm_api.core.rules.report import Refused, Spot
from crm_api.core.rules.tree import RuleValue

T = TypeVar("T", date, datetime)

VERSION = 1
"""Of the rule language."""
MAX_DEPTH = 10
MAX_NODES = 200
MAX_WRITTEN = 10_000
"""Characters of a rule in words: reading the costliest of this length takes 0.06 s."""
MAX_TEXT = 500
MAX_LIST = 1000
MAX_ALL = 20
MIN_STEPS, MAX_STEPS = 2, 5
MAX_NUMBER = 9_007_199_254_740_991
MAX_DAYS = 36_600
MAX_HOURS = 87_840
FIRST_YEAR, LAST_YEAR = 1900, 2200

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)

_EXPECTED = {
    "text": ("a text", "文本"),
    "integer": ("a whole number", "整数"),
    "number": ("a number", "数字"),
    "money": ('money such as {"amount": 1999, "currency": "CNY"}', '金额，例如 {"amount": 1999, "currency": "CNY"}'),
    "date": (
        'a date such as "2026-01-31", or {"days_ago": 30} or {"days_ahead": 7}',
        '日期，例如 "2026-01-31"、{"days_ago": 30} 或 {"days_ahead": 7}',
    ),
    "instant": (
        'a time with offset such as "2026-01-31T09:00:00+08:00", a date, {"days_ago": 30} or {"hours_ago": 6}',
        '带时区的时间，例如 "2026-01-31T09:00:00+08:00"，或日期、{"days_ago": 30}、{"hours_ago": 6}',
    ),
    "boolean": ("true or false", " true 或 false"),
    "choice": ("a text", "文本"),
    "uuid": ("a UUID", " UUID"),
    "window": (
        'a window such as {"last_days": 90} or {"from": "2026-01-01", "to": "2026-02-01"}',
        '时间窗口，例如 {"last_days": 90} 或 {"from": "2026-01-01", "to": "2026-02-01"}',
    ),
    "span": ('a length of time such as {"days": 7} or {"hours": 48}', '时长，例如 {"days": 7} 或 {"hours": 48}'),
    "bucket": ('a split such as {"salt": "spring", "of": 100}', '分组方式，例如 {"salt": "spring", "of": 100}'),
}

_EXPECTED_IN_WORDS = {
    "money": ("money such as 19.99 CNY", "金额，例如 19.99 CNY"),
    "date": (
        "a date such as 2026-01-31, today, 30d ago or 7d ahead",
        "日期，例如 2026-01-31、today、30d ago、7d ahead",
    ),
    "instant": (
        "a time such as 2026-01-31T09:00:00+08:00, a date, 30d ago or 6h ago",
        "时间，例如 2026-01-31T09:00:00+08:00、日期、30d ago、6h ago",
    ),
    "window": ("a window such as last 90d, or from 2026-01-01 to 2026-02-01", "时间窗口，例如 last 90d"),
    "uuid": ("a UUID, such as a segment's id", " UUID，例如分群的 id"),
}


def expected(at: Spot, what: str) -> NoReturn:
    """Report a value of the wrong type."""
    english, chinese = (_EXPECTED_IN_WORDS.get(what) if at.report.in_words else None) or _EXPECTED[what]
    at.fail("rule_value_type", expected_en=english, expected_zh=chinese)


def plain_text(at: Spot, raw: Any, _field: RuleField | None = None) -> str:
    """Read a text that PostgreSQL can store and JSON can carry."""
    if not isinstance(raw, str):
        expected(at, "text")
    if len(raw) > MAX_TEXT:
        at.fail("rule_text_too_long", limit=MAX_TEXT)
    if "\0" in raw or any("\ud800" <= char <= "\udfff" for char in raw):
        at.fail("rule_text_invalid")
    return raw


def _real(at: Spot, raw: Any, what: str) -> int | float:
    """Read a finite JSON number; true and false are none."""
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        expected(at, what)
    if isinstance(raw, float) and not math.isfinite(raw):
        at.fail("rule_number_not_finite")
    return raw


def _whole(at: Spot, raw: Any, low: int, high: int) -> int:
    """Read a whole number; 3.0 is one."""
    number = _real(at, raw, "integer")
    if number != int(number):
        expected(at, "integer")
    if not low <= number <= high:
        at.fail("rule_number_out_of_range", low=low, high=high)
    return int(number)


def _integer(at: Spot, raw: Any, _field: RuleField) -> int:
    return _whole(at, raw, -MAX_NUMBER, MAX_NUMBER)


def _number(at: Spot, raw: Any, _field: RuleField) -> Decimal:
    number = _real(at, raw, "number")
    if abs(number) > MAX_NUMBER:
        at.fail("rule_number_out_of_range", low=-MAX_NUMBER, high=MAX_NUMBER)
    return Decimal(str(number))


def _money(at: Spot, raw: Any, _field: RuleField) -> Money:
    if not isinstance(raw, dict) or raw.keys() != {"amount", "currency"} or not isinstance(raw["currency"], str):
        expected(at, "money")
    amount = _whole(at.child("amount"), raw["amount"], -MAX_MINOR, MAX_MINOR)
    if raw["currency"] not in currencies():
        at.child("currency").fail("rule_currency_unknown")
    return Money(amount=amount, currency=raw["currency"])


_DAYS = {"days_ago": ("days", 1, MAX_DAYS), "days_ahead": ("days", -1, MAX_DAYS)}
_HOURS = {"hours_ago": ("hours", 1, MAX_HOURS), "hours_ahead": ("hours", -1, MAX_HOURS)}


def _relative(at: Spot, raw: dict[Any, Any], units: Mapping[str, tuple[str, int, int]], what: str) -> Ago:
    """Read ``{"days_ago": 30}``; ``units`` maps the key to its unit, sign and limit."""
    if len(raw) != 1 or not raw.keys() <= units.keys():
        expected(at, what)
    ((key, count),) = raw.items()
    unit, sign, limit = units[key]
    return Ago(**{unit: sign * _whole(at.child(key), count, 0, limit)})


def _read_time(at: Spot, raw: str, read: Callable[[str], T]) -> T:
    try:
        value = read(raw)
    except ValueError:
        at.fail("rule_date_invalid", low=FIRST_YEAR, high=LAST_YEAR)
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        at.fail("rule_date_invalid", low=FIRST_YEAR, high=LAST_YEAR)
    return value


def _day(at: Spot, raw: Any, _field: RuleField) -> date | Ago:
    if isinstance(raw, dict):
        return _relative(at, raw, _DAYS, "date")
    if not isinstance(raw, str) or not _DAY.fullmatch(raw):
        expected(at, "date")
    return _read_time(at, raw, date.fromisoformat)


def _moment(at: Spot, raw: Any, _field: RuleField | None = None) -> Moment:
    """Read an instant: absolute with offset, a date (its first instant in the tenant's zone), or relative."""
    if isinstance(raw, dict):
        return _relative(at, raw, _DAYS | _HOURS, "instant")
    if isinstance(raw, str) and _DAY.fullmatch(raw):
        return _read_time(at, raw, date.fromisoformat)
    if not isinstance(raw, str) or not _INSTANT.fullmatch(raw):
        expected(at, "instant")
    return _read_time(at, raw, datetime.fromisoformat).astimezone(UTC)


def _boolean(at: Spot, raw: Any, _field: RuleField) -> bool:
    return raw if isinstance(raw, bool) else expected(at, "boolean")


def _choice(at: Spot, raw: Any, field: RuleField) -> str:
    if not isinstance(raw, str):
        expected(at, "choice")
    return raw if raw in field.choices else at.fail("rule_choice_unknown", allowed=", ".join(field.choices))


def _uuid(at: Spot, raw: Any, _field: RuleField) -> UUID:
    return (parse_id(raw) if isinstance(raw, str) else None) or expected(at, "uuid")


_SINGLE: Mapping[RuleType, Callable[[Spot, Any, RuleField], RuleValue]] = {
    RuleType.TEXT: plain_text,
    RuleType.INTEGER: _integer,
    RuleType.NUMBER: _number,
    RuleType.MONEY: _money,
    RuleType.DATE: _day,
    RuleType.INSTANT: _moment,
    RuleType.BOOLEAN: _boolean,
    RuleType.CHOICE: _choice,
    RuleType.UUID: _uuid,
}


def read_value(at: Spot, raw: Any, field: RuleField, op: Op) -> RuleValue:
    """Read what the field is tested against."""
    match op:
        case Op.IN | Op.NOT_IN | Op.CONTAINS_ANY:
            return _list(at, raw, field, MAX_LIST)
        case Op.CONTAINS_ALL:
            return _list(at, raw, field, MAX_ALL)
        case Op.BETWEEN:
            return _range(at, raw, field)
        case Op.WITHIN:
            return read_window(at, raw)
        case Op.CONTAINS | Op.STARTS_WITH if raw == "":
            return at.fail("rule_text_empty")
        case _:
            return _SINGLE[field.item_type](at, raw, field)


def _list(at: Spot, raw: Any, field: RuleField, limit: int) -> RuleValue:
    if not isinstance(raw, list):
        at.fail("rule_not_list")
    if not raw:
        at.fail("rule_list_empty")
    if len(raw) > limit:
        at.fail("rule_list_too_long", limit=limit)
    return tuple(dict.fromkeys(_each(at, raw, field)))


def _each(at: Spot, raw: list[Any], field: RuleField) -> list[RuleValue]:
    """Read every item; problems of all items are reported before giving up."""
    read, values = _SINGLE[field.item_type], []
    for index, item in enumerate(raw):
        with suppress(Refused):
            values.append(read(at.child(index), item, field))
    if len(values) < len(raw):
        raise Refused
    return values


def _range(at: Spot, raw: Any, field: RuleField) -> RuleValue:
    if not isinstance(raw, list) or len(raw) != 2:  # noqa: PLR2004 - a range has two ends
        at.fail("rule_range_size")
    low, high = _each(at, raw, field)
    if isinstance(low, Money) and isinstance(high, Money) and low.currency != high.currency:
        at.fail("rule_currency_mixed")
    return at.fail("rule_range_reversed") if _reversed(low, high) else (low, high)


def _reversed(low: Any, high: Any) -> bool:
    """Tell whether a range is empty whenever it is evaluated; a mix of relative and absolute ends may turn out so."""
    if isinstance(low, Ago) and isinstance(high, Ago):
        return instant_of(low, _SOME_DAY) > instant_of(high, _SOME_DAY)
    if isinstance(low, Money):
        return bool(low.amount > high.amount)
    return type(low) is type(high) and bool(low > high)


_SOME_DAY = AsOf(datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC"))


def read_window(at: Spot, raw: Any) -> Window:
    """Read ``{"last_days": 90}``, ``{"last_hours": 6}`` or ``{"from": …, "to": …}`` (either edge may be left out)."""
    if not isinstance(raw, dict):
        expected(at, "window")
    if not raw:
        at.fail("rule_window_empty")
    unknown = [key for key in raw if key not in _WINDOW_KEYS]
    if unknown:
        at.child(unknown[0]).fail("rule_key_unknown", allowed=", ".join(_WINDOW_KEYS))
    if raw.keys() <= {"from", "to"}:
        return _open_window(at, raw)
    if len(raw) > 1:
        at.fail("rule_window_ambiguous")
    ((key, count),) = raw.items()
    unit, limit = ("days", MAX_DAYS) if key == "last_days" else ("hours", MAX_HOURS)
    return Window(Ago(**{unit: _whole(at.child(key), count, 1, limit)}), Ago())


_WINDOW_KEYS = ("last_days", "last_hours", "from", "to")


def _open_window(at: Spot, raw: dict[str, Any]) -> Window:
    edges = {key: _moment(at.child(key), value) for key, value in raw.items()}
    start, end = edges.get("from"), edges.get("to")
    if start is not None and end is not None and (start == end or _reversed(start, end)):
        at.fail("rule_range_reversed")
    return Window(start, end)


def read_span(at: Spot, raw: Any) -> timedelta:
    """Read ``{"days": 7}`` or ``{"hours": 48}``: an exact length of time, a day being 24 hours."""
    if not isinstance(raw, dict) or len(raw) != 1 or not raw.keys() <= _SPANS.keys():
        expected(at, "span")
    ((key, count),) = raw.items()
    return timedelta(**{key: _whole(at.child(key), count, 1, _SPANS[key])})


_SPANS: Mapping[str, int] = {"days": MAX_DAYS, "hours": MAX_HOURS}


def read_bucket(at: Spot, raw: Any) -> tuple[str, int]:
    """Read ``{"salt": "spring", "of": 100}``."""
    if not isinstance(raw, dict) or raw.keys() != {"salt", "of"}:
        expected(at, "bucket")
    inside, salt = at.child("salt"), raw["salt"]
    if salt == "":
        inside.fail("rule_text_empty")
    if isinstance(salt, str) and len(salt) > MAX_SALT:
        inside.fail("rule_text_too_long", limit=MAX_SALT)
    return plain_text(inside, salt), _whole(at.child("of"), raw["of"], 2, MAX_BUCKETS)
