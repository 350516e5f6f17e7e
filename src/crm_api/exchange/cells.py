"""From the text of cells to the values of a row, hand-written because a model per row would be the slowest part.

A parser is made once per run for the file's columns; it returns a row or the list of what is wrong with it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_args
from zoneinfo import ZoneInfo

from crm_api.core.money import currencies, to_minor
from crm_api.customers.models import MAX_TAGS, Birthday, CustomerRow, Gender
from crm_api.orders.models import MAX_VERSION, OrderRow, OrderStatus

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
    """Return one short line."""
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
    return text


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


def moment(zone: ZoneInfo) -> Callable[[str], datetime]:
    """Return a parser of dates and times that reads those without an offset in this zone.

    It takes ``2026-01-31``, ``2026/1/31``, ``20260131``, ``2026年1月31日``, each with an optional time, and RFC 3339.
    """

    @lru_cache(20_000)
    def parse(text: str) -> datetime:
        found = _MOMENT.fullmatch(text)
        if found is None:
            raise CellError("bad_date")
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


def birthday(text: str) -> Birthday:
    """Return a solar birthday, with or without its year."""
    found = _DAY.fullmatch(text)
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


class RowParser(Generic[T]):
    """Parses the rows of one file."""

    required: frozenset[str]

    def __init__(self, positions: Mapping[str, int], parsers: Mapping[str, Parse]) -> None:
        """Remember where each of our columns stands in the file."""
        self._plan = [(name, at, parsers[name]) for name, at in positions.items()]

    def parse(self, cells: Sequence[str]) -> T | list[Fault]:
        """Return the row, or everything that is wrong with it."""
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        required = self.required
        for name, at, parse in self._plan:
            text = cells[at].strip()
            if not text:
                if name in required:
                    faults.append(Fault(name, "required"))
                continue
            try:
                if "\x00" in text:
                    raise CellError("nul_character")  # noqa: TRY301 - one way out for all faults of a cell
                values[name] = parse(text)
            except CellError as fault:
                faults.append(Fault(name, str(fault)))
        made = self._make(values, faults) if not faults else None
        return faults if made is None else made

    def _make(self, values: dict[str, Any], faults: list[Fault]) -> T | None:
        raise NotImplementedError


_AMOUNTS: Final = {
    "total": "total_amount",
    "paid": "paid_amount",
    "refunded": "refunded_amount",
    "discount": "discount_amount",
    "shipping": "shipping_amount",
}
_ORDER_NAMES: Final = {"order_id": "external_id", "customer_id": "customer_external_id"}


class OrderRowParser(RowParser[OrderRow]):
    """Rows of an orders file."""

    required = frozenset({"platform", "order_id", "customer_id", "placed_at", "status", "total", "currency"})

    def __init__(self, positions: Mapping[str, int], zone: ZoneInfo) -> None:
        """Read dates without an offset in this zone."""
        when = moment(zone)
        super().__init__(
            positions,
            {
                "platform": platform,
                "order_id": token,
                "customer_id": token,
                "status": status,
                "currency": currency,
                "customer_name": line,
                "channel": line,
                "platform_version": version,
                **dict.fromkeys(_AMOUNTS, amount),
                **dict.fromkeys(("placed_at", "paid_at", "completed_at", "platform_updated_at"), when),
            },
        )

    def _make(self, values: dict[str, Any], faults: list[Fault]) -> OrderRow | None:
        code = values["currency"]
        for ours, theirs in _AMOUNTS.items():
            if ours in values:
                try:
                    values[theirs] = to_minor(values.pop(ours), code)
                except ValueError:
                    faults.append(Fault(ours, "out_of_range"))
        if faults:
            return None
        for ours, theirs in _ORDER_NAMES.items():
            values[theirs] = values.pop(ours)
        return OrderRow(**values)


_PROFILE: Final = ("name", "gender", "occupation", "region", "city", "address", "notes", "source")


class CustomerRowParser(RowParser[CustomerRow]):
    """Rows of a customers file."""

    required = frozenset[str]()

    def __init__(self, positions: Mapping[str, int]) -> None:
        """Take what the file has."""
        super().__init__(
            positions,
            {
                **dict.fromkeys(("name", "occupation", "region", "city", "address", "source"), line),
                "notes": prose,
                "gender": gender,
                "birthday": birthday,
                "mobile": line,
                "email": line,
                "tags": tags,
                "platform": platform,
                "external_id": token,
            },
        )

    def _make(self, values: dict[str, Any], faults: list[Fault]) -> CustomerRow | None:
        if ("platform" in values) != ("external_id" in values):
            faults.append(Fault("external_id" if "platform" in values else "platform", "required"))
            return None
        if not values.keys() & {"platform", "mobile", "email"}:
            faults.append(Fault(None, "no_key"))
            return None
        profile: dict[str, str] = {name: values.pop(name) for name in _PROFILE if name in values}
        return CustomerRow(profile=profile, **values)


def row_parser(kind: str, positions: Mapping[str, int], zone: ZoneInfo) -> RowParser[Any]:
    """Return the parser for a kind of file.

    Args:
        kind: ``customers`` or ``orders``.
        positions: column of ours → index of its cell.
        zone: the tenant's.

    """
    return CustomerRowParser(positions) if kind == "customers" else OrderRowParser(positions, zone)
