"""From the text of cells to the values of a row, hand-written because a model per row would be the slowest part.

A parser is made once per run for the file's columns; it returns a row or the list of what is wrong with it.

Spreadsheets leave their marks, which are taken for what was meant: ``13812345678.0`` is a number that was kept as a
double, ``45292`` in a column of dates a day counted from 1900, ``'=x`` a text that our own error file kept from being
taken for a formula. ``1.38E+10`` is a number whose digits are lost, and refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.core.ids import parse_id
from crm_api.core.money import currencies
from crm_api.core.text import as_line, is_masked_id
from crm_api.customers.models import MAX_TAGS, Birthday, Gender
from crm_api.exchange.lunar import lunar_birthday
from crm_api.orders.models import MAX_VERSION, OrderStatus

T = TypeVar("T")

MAX_LINE: Final = 200
MAX_PROSE: Final = 20_000
MAX_TAG: Final = 64
MAX_PLATFORM: Final = 64
YEARS: Final = range(1900, 2101)


class Fault(NamedTuple):
    """One thing wrong with one row; ``column`` is None when it is the whole row."""

    column: str | None
    code: str


class CellError(ValueError):
    """A cell cannot be what its column holds; the argument is the code."""


# -- single values -----------------------------------------------------------------------------------------------------

_SCIENTIFIC = re.compile(r"[+-]?\d(?:\.\d+)?[Ee]\+?\d+", re.ASCII)
_SERIAL = re.compile(r"(\d{5})(?:\.(\d+))?", re.ASCII)
_SERIALS: Final = range(18_264, 73_051)
"""Days counted from 1899-12-30, as spreadsheets keep dates: 1950 to 2099."""
_SPACE = re.compile(r"\s")
_PLATFORM = re.compile(r"[a-z][a-z0-9_]*")
_AMOUNT = re.compile(r"([+-]?)[¥￥$€£]?\s?(\d+|\d{1,3}(?:,\d{3})+)(\.\d+)?元?", re.ASCII)
_DAY = re.compile(r"(\d{4})(?:([-/.])(\d{1,2})\2(\d{1,2})|年(\d{1,2})月(\d{1,2})日|(\d\d)(\d\d))", re.ASCII)
_MOMENT = re.compile(
    _DAY.pattern + r"(?:[Tt ]\s?(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?([Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_BIRTHDAY_WITHOUT_YEAR = re.compile(r"(?:--)?(\d{1,2})[-/.月](\d{1,2})日?", re.ASCII)
_TAG_SIGNS = re.compile(r"[,，;；|、]")


def line(text: str) -> str:
    """Return one short line; a cell of several lines becomes one."""
    text = as_line(text)
    if not text:
        raise CellError("bad_format")
    if len(text) > MAX_LINE:
        raise CellError("too_long")
    return text


def prose(text: str) -> str:
    """Return a longer text."""
    if len(text) > MAX_PROSE:
        raise CellError("too_long")
    return text


def token(text: str) -> str:
    """Return an outside id: no white space."""
    if len(text) > MAX_LINE:
        raise CellError("too_long")
    if _SPACE.search(text):
        raise CellError("bad_format")
    return digits(text)


def account(text: str) -> str:
    """Return whose an outside id is; a masked one (``t***b``) is many people's, who would become one customer."""
    if is_masked_id(text):
        raise CellError("masked_id")
    return token(text)


def digits(text: str) -> str:
    """Return a number as its digits, when a spreadsheet has made a double of it; other text as it is."""
    if text[-2:] == ".0" and text[:-2].isascii() and text[:-2].isdigit():
        return text[:-2]
    if _SCIENTIFIC.fullmatch(text):
        raise CellError("scientific_notation")
    return text


def phone(text: str) -> str:
    """Return a phone as written."""
    return digits(line(text))


def our_id(text: str) -> UUID:
    """Return an id of ours."""
    found = parse_id(text)
    if found is None:
        raise CellError("bad_id")
    return found


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers within bounds."""

    def parse(text: str) -> int:
        plain = digits(text).replace(",", "")
        if not (plain.lstrip("+-").isascii() and plain.lstrip("+-").isdigit()) or len(plain) > 19:  # noqa: PLR2004
            raise CellError("bad_number")
        if not low <= int(plain) <= high:
            raise CellError("out_of_range")
        return int(plain)

    return parse


def choice(words: Mapping[str, str]) -> Callable[[str], str]:
    """Return a parser of words, whatever their case."""

    def parse(text: str) -> str:
        known = words.get(text.lower())
        if known is None:
            raise CellError("unknown_choice")
        return known

    return parse


_YES: Final = {**dict.fromkeys(("true", "yes", "y", "1", "是", "在售", "上架", "启用"), True)}
_NO: Final = {**dict.fromkeys(("false", "no", "n", "0", "否", "停售", "下架", "停用"), False)}


def boolean(text: str) -> bool:
    """Return whether it says yes."""
    known = (_YES | _NO).get(text.lower())
    if known is None:
        raise CellError("unknown_choice")
    return known


@lru_cache(1024)
def platform(text: str) -> str:
    """Return a platform's name; capitals are forgiven."""
    name = text.lower()
    if len(name) > MAX_PLATFORM:
        raise CellError("too_long")
    if not _PLATFORM.fullmatch(name):
        raise CellError("bad_format")
    return name


def amount(text: str) -> str:
    """Return a non-negative decimal number in plain form; thousands separators and currency signs are dropped."""
    if text.isascii() and text.replace(".", "", 1).isdigit() and text[0] != "." and text[-1] != ".":
        return text
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise CellError("bad_number")
    sign, whole, fraction = found.groups()
    number = whole.replace(",", "") + (fraction or "")
    if sign == "-" and number.strip("0."):
        raise CellError("negative")
    return number


@lru_cache(1024)
def currency(text: str) -> str:
    """Return a currency in use."""
    code = text.upper()
    if code not in currencies():
        raise CellError("unknown_currency")
    return code


def version(text: str) -> int:
    """Return a counter of the platform's."""
    if not (text.isascii() and text.isdigit()):
        raise CellError("bad_number")
    if len(text) > 19 or int(text) > MAX_VERSION:  # noqa: PLR2004 - digits of a bigint
        raise CellError("out_of_range")
    return int(text)


_STATUSES: Final[Mapping[str, str]] = {
    **{status: status for status in get_args(OrderStatus)},
    "pending": "pending_payment",
    "unpaid": "pending_payment",
    "canceled": "cancelled",
    "closed": "cancelled",
    "complete": "completed",
    "finished": "completed",
    "待付款": "pending_payment",
    "等待买家付款": "pending_payment",
    "已付款": "paid",
    "待发货": "paid",
    "买家已付款": "paid",
    "买家已付款,等待卖家发货": "paid",
    "已发货": "shipped",
    "卖家已发货": "shipped",
    "卖家已发货,等待买家确认": "shipped",
    "待收货": "shipped",
    "已完成": "completed",
    "交易成功": "completed",
    "已取消": "cancelled",
    "已关闭": "cancelled",
    "交易关闭": "cancelled",
    "已退款": "refunded",
}


@lru_cache(1024)
def status(text: str) -> str:
    """Return an order status: ours, or the words platforms use for it."""
    known = _STATUSES.get(text) or _STATUSES.get(text.lower().replace(" ", "_").replace("，", ","))
    if known is None:
        raise CellError("unknown_choice")
    return known


_GENDERS: Final[Mapping[str, Gender]] = {
    "female": "female",
    "f": "female",
    "woman": "female",
    "女": "female",
    "女士": "female",
    "女性": "female",
    "male": "male",
    "m": "male",
    "man": "male",
    "男": "male",
    "先生": "male",
    "男性": "male",
    "other": "other",
    "其他": "other",
}


def gender(text: str) -> Gender:
    """Return a gender, from English or Chinese."""
    known = _GENDERS.get(text.lower())
    if known is None:
        raise CellError("unknown_choice")
    return known


def _year_month_day(parts: Sequence[str | None]) -> tuple[int, int, int]:
    """Return the numbers of a day matched by ``_DAY``."""
    year, _, month, day, *others = parts
    month = month or others[0] or others[2]
    day = day or others[1] or others[3]
    if year is None or month is None or day is None:
        raise CellError("bad_date")
    return int(year), int(month), int(day)


def serial(text: str) -> datetime | None:
    """Return the day and time that a spreadsheet's number stands for, None when it is none."""
    found = _SERIAL.fullmatch(text)
    if found is None or int(found[1]) not in _SERIALS:
        return None
    seconds = round(float(f"0.{found[2] or 0}") * 86_400)
    return datetime(1899, 12, 30) + timedelta(days=int(found[1]), seconds=seconds)  # noqa: DTZ001 - local


def day(text: str) -> date:
    """Return a day: what `moment` takes, without a time."""
    counted = serial(text)
    if counted is not None:
        return counted.date()
    found = _DAY.fullmatch(text.removesuffix(" 00:00:00"))
    if found is None:
        raise CellError("bad_date")
    try:
        return date(*_year_month_day(found.groups()))
    except ValueError:
        raise CellError("impossible_date") from None


def moment(zone: ZoneInfo) -> Callable[[str], datetime]:
    """Return a parser of dates and times that reads those without an offset in this zone.

    It takes ``2026-01-31``, ``2026/1/31``, ``20260131``, ``2026年1月31日``, each with an optional time, and RFC 3339.
    """

    @lru_cache(20_000)
    def parse(text: str) -> datetime:
        found = _MOMENT.fullmatch(text)
        if found is None:
            counted = serial(text)
            if counted is None:
                raise CellError("bad_date")
            return counted.replace(tzinfo=zone).astimezone(UTC)
        parts = found.groups()
        year, month, day = _year_month_day(parts[:8])
        hour, minute, second, fraction, offset = parts[8:]
        if year not in YEARS:
            raise CellError("impossible_date")
        try:
            local = datetime(
                year,
                month,
                day,
                int(hour or 0),
                int(minute or 0),
                int(second or 0),
                int((fraction or "").ljust(6, "0")[:6]),
                tzinfo=_zone(offset, zone),
            )
            return local.astimezone(UTC)
        except (ValueError, OverflowError):
            raise CellError("impossible_date") from None

    return parse


def _zone(offset: str | None, zone: ZoneInfo) -> Any:
    if offset is None:
        return zone
    if offset in {"Z", "z"}:
        return UTC
    digits = offset.replace(":", "").ljust(5, "0")
    return datetime.strptime(digits, "%z").tzinfo


@lru_cache(20_000)
def birthday(text: str) -> Birthday:
    """Return a birthday, with or without its year; lunar ones are known by their words, see `exchange.lunar`."""
    told = _lunar(text)
    if told is not None:
        return told
    counted = serial(text)
    if counted is not None:
        return Birthday(year=counted.year, month=counted.month, day=counted.day)
    found = _DAY.fullmatch(text.removesuffix(" 00:00:00"))
    if found is not None:
        year, month, day = _year_month_day(found.groups())
        try:
            date(year, month, day)
            return Birthday(year=year, month=month, day=day)
        except ValueError:
            raise CellError("impossible_date") from None
    short = _BIRTHDAY_WITHOUT_YEAR.fullmatch(text)
    if short is None:
        raise CellError("bad_date")
    try:
        return Birthday(month=int(short[1]), day=int(short[2]))
    except ValueError:
        raise CellError("impossible_date") from None


@lru_cache(20_000)
def birthday_by_the_moon(text: str) -> Birthday:
    """Return a birthday from a column of lunar ones, where numbers are enough."""
    told = _lunar(text, said=True)
    if told is None:
        raise CellError("bad_date")
    return told


def _lunar(text: str, *, said: bool = False) -> Birthday | None:
    if text.isascii() and not said:
        return None
    try:
        return lunar_birthday(text, said=said)
    except ValueError:
        raise CellError("impossible_date") from None


@lru_cache(1024)
def tags(text: str) -> tuple[str, ...]:
    """Return tags, which stand apart by commas, semicolons or bars."""
    found = dict.fromkeys(part for part in (part.strip() for part in _TAG_SIGNS.split(text)) if part)
    if any(len(tag) > MAX_TAG for tag in found):
        raise CellError("too_long")
    if len(found) > MAX_TAGS:
        raise CellError("too_many")
    return tuple(found)


# -- rows --------------------------------------------------------------------------------------------------------------

Parse = Callable[[str], Any]
Make = Callable[[dict[str, Any], list[Fault]], T | None]
"""Makes a row of values by column; notes faults instead."""

_RISKY: Final = frozenset("=+-@\t\r")


def unguarded(text: str) -> str:
    """Return a cell without the mark that keeps spreadsheets from taking it for a formula; see `guarded`."""
    return text[1:] if len(text) > 1 and text[0] == "'" and text[1] in _RISKY else text


def guarded(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe in front."""
    return f"'{text}" if text and text[0] in _RISKY else text


class RowParser(Generic[T]):
    """Parses the rows of one file."""

    def __init__(
        self,
        positions: Mapping[str, int],
        parsers: Mapping[str, Parse],
        make: Make[T],
        required: frozenset[str] = frozenset(),
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        """Remember where each of our columns stands in the file.

        Args:
            positions: column of ours → index of its cell.
            parsers: column of ours → what reads its cells.
            make: makes the row.
            required: columns that must have a value.
            constants: values of columns for rows that have none.

        """
        self._plan = [(name, at, parsers[name]) for name, at in positions.items()]
        self._make = make
        self._constants = dict(constants or {})
        self._required = required - self._constants.keys()

    def parse(self, cells: Sequence[str]) -> T | list[Fault]:
        """Return the row, or everything that is wrong with it."""
        values: dict[str, Any] = dict(self._constants)
        faults: list[Fault] = []
        for name, at, parse in self._plan:
            text = cells[at].strip()
            if not text:
                if name in self._required:
                    faults.append(Fault(name, "required"))
                continue
            try:
                if "\x00" in text:
                    raise CellError("nul_character")  # noqa: TRY301 - one way out for all faults of a cell
                if text[0] in _MARKS:
                    text = _unmarked(text)
                values[name] = parse(text)
            except CellError as fault:
                faults.append(Fault(name, str(fault)))
        made = self._make(values, faults) if not faults else None
        return faults if made is None else made


_MARKS: Final = frozenset("'#")
_SHEET_ERRORS: Final = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"})


def _unmarked(text: str) -> str:
    if text in _SHEET_ERRORS:
        raise CellError("formula_error")
    return unguarded(text)
