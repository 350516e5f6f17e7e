"""Cells: what each column takes."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from borax.calendars.lunardate import LunarDate
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.exchange import cells
from crm_api.exchange.cells import CellError, moment
from crm_api.exchange.kinds import KINDS, Setting

SHANGHAI = ZoneInfo("Asia/Shanghai")
NAMES = ("platform", "order_id", "customer_id", "placed_at", "status", "total", "currency")
GOOD = ("taobao", "A1", "b1", "2026-05-04", "completed", "29.33", "CNY")


def parse(**cells_: str):
    parser = KINDS["orders"].parser(Setting(SHANGHAI), {name: place for place, name in enumerate(NAMES)}, {})
    return parser.parse([cells_.get(name, good) for name, good in zip(NAMES, GOOD, strict=True)])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-05-04", datetime(2026, 5, 3, 16, tzinfo=UTC)),
        ("20260504", datetime(2026, 5, 3, 16, tzinfo=UTC)),
        ("2026/5/4", datetime(2026, 5, 3, 16, tzinfo=UTC)),
        ("2026.05.04", datetime(2026, 5, 3, 16, tzinfo=UTC)),
        ("2026年5月4日", datetime(2026, 5, 3, 16, tzinfo=UTC)),
        ("2026-05-04 08:30", datetime(2026, 5, 4, 0, 30, tzinfo=UTC)),
        ("2026/5/4 8:30:15", datetime(2026, 5, 4, 0, 30, 15, tzinfo=UTC)),
        ("2026-05-04T08:30:00Z", datetime(2026, 5, 4, 8, 30, tzinfo=UTC)),
        ("2026-05-04T08:30:00.25+02:00", datetime(2026, 5, 4, 6, 30, 0, 250_000, tzinfo=UTC)),
        ("2026-05-04 08:30:00-0330", datetime(2026, 5, 4, 12, 0, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 2, 28, 16, tzinfo=UTC)),
        ("45292", datetime(2023, 12, 31, 16, tzinfo=UTC)),  # as a spreadsheet counts days
        ("45292.5", datetime(2024, 1, 1, 4, tzinfo=UTC)),
    ],
)
def test_moments(text, wanted):
    assert moment(SHANGHAI)(text) == wanted


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2025-02-29", "impossible_date"),
        ("2025-13-01", "impossible_date"),
        ("20250230", "impossible_date"),
        ("0000-01-01", "impossible_date"),
        ("9999-12-31", "impossible_date"),
        ("2025-01-01 25:00", "impossible_date"),
        ("2025-01-01 10:61", "impossible_date"),
        ("2025-01-01T10:00:00+99:00", "impossible_date"),
        ("1/2/2025", "bad_date"),
        ("452920", "bad_date"),
        ("yesterday", "bad_date"),
        ("2025-01/02", "bad_date"),
        ("２０２５-01-01", "bad_date"),
    ],
)
def test_moments_that_are_none(text, code):
    with pytest.raises(CellError, match=f"^{code}$"):
        moment(SHANGHAI)(text)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("29.33", "CNY", 2933),
        ("0", "CNY", 0),
        ("1,299.50", "CNY", 129_950),
        ("¥ 88", "CNY", 8800),
        ("￥1,000,000", "CNY", 100_000_000),
        ("12.5元", "CNY", 1250),
        ("1500", "JPY", 1500),
        ("1.234", "KWD", 1234),
        ("29.330000000000002", "USD", 2933),
        ("-0.00", "USD", 0),
    ],
)
def test_amounts(text, currency, minor):
    row = parse(total=text, currency=currency)
    assert (row.total_amount, row.currency) == (minor, currency)


@pytest.mark.parametrize(
    ("column", "text", "code"),
    [
        *((name, "", "required") for name in NAMES if name != "customer_id"),
        *((name, "a\x00b", "nul_character") for name in NAMES),
        ("platform", "淘宝", "bad_format"),
        ("platform", "tao bao", "bad_format"),
        ("platform", "1688", "bad_format"),
        ("platform", "x" * 65, "too_long"),
        ("order_id", "A 1", "bad_format"),
        ("order_id", "x" * 201, "too_long"),
        ("customer_id", "b\u30001", "bad_format"),
        ("placed_at", "soon", "bad_date"),
        ("placed_at", "2025-02-30", "impossible_date"),
        ("status", "eaten", "unknown_choice"),
        ("total", "abc", "bad_number"),
        ("total", "1.2.3", "bad_number"),
        ("total", "1e5", "bad_number"),
        ("total", "1_000", "bad_number"),
        ("total", "NaN", "bad_number"),
        ("total", "Infinity", "bad_number"),
        ("total", "12,34", "bad_number"),
        ("total", ".", "bad_number"),
        ("total", "٣", "bad_number"),
        ("total", "-5", "negative"),
        ("total", "99999999999999999", "out_of_range"),
        ("currency", "XYZ", "unknown_currency"),
        ("currency", "RMB", "unknown_currency"),
        ("currency", "¥", "unknown_currency"),
    ],
)
def test_bad_cells(column, text, code):
    assert parse(**{column: text}) == [cells.Fault(column, code)]


def test_every_fault_of_a_row_is_told():
    faults = parse(total="x", currency="?", placed_at="")
    assert faults == [("placed_at", "required"), ("total", "bad_number"), ("currency", "unknown_currency")]


def test_a_cell_of_several_lines_is_taken_as_one():
    assert cells.line("王\n小明\u2028（老客户）") == "王 小明 （老客户）"
    assert cells.prose("一\n二") == "一\n二"
    with pytest.raises(CellError, match=r"^bad_format$"):
        cells.line("\x07")


def test_white_space_around_and_capitals_are_forgiven():
    row = parse(platform=" TaoBao ", currency="cny", status=" 交易成功 ")
    assert (row.platform, row.currency, row.status) == ("taobao", "CNY", "completed")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1990-08-15", (1990, 8, 15)),
        ("19900815", (1990, 8, 15)),
        ("08-15", (None, 8, 15)),
        ("8月15日", (None, 8, 15)),
        ("--02-29", (None, 2, 29)),
    ],
)
def test_birthdays(text, wanted):
    found = cells.birthday(text)
    assert (found.year, found.month, found.day) == wanted


@pytest.mark.parametrize(
    ("text", "code"),
    [("1990-02-30", "impossible_date"), ("02-30", "impossible_date"), ("13-01", "impossible_date"), ("?", "bad_date")],
)
def test_birthdays_that_are_none(text, code):
    with pytest.raises(CellError, match=f"^{code}$"):
        cells.birthday(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("农历1990年闰五月初三", (1990, 5, 3, True)),
        ("阴历八月十五", (None, 8, 15, False)),
        ("八月十五（农历）", (None, 8, 15, False)),
        ("1968年腊月廿三", (1968, 12, 23, False)),
        ("一九五七年正月三十", (1957, 1, 30, False)),
        ("農曆 一九八〇年 冬月二十一日", (1980, 11, 21, False)),
        ("农历六月卅", (None, 6, 30, False)),
        ("旧历：1990-8-15", (1990, 8, 15, False)),
        ("农历19900815", (1990, 8, 15, False)),
        ("闰4月初十", (None, 4, 10, True)),
        ("1990-闰05-20", (1990, 5, 20, True)),
    ],
)
def test_lunar_birthdays(text, wanted):
    for found in (cells.birthday(text), cells.birthday_by_the_moon(text)):
        assert found.calendar == "lunar"
        assert (found.year, found.month, found.day, found.leap_month) == wanted


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("农历1990年闰六月初三", "impossible_date"),  # 1990 has a leap month 5
        ("农历1990年六月三十", "impossible_date"),  # of 29 days
        ("农历十三月初一", "impossible_date"),
        ("农历三月三十一", "impossible_date"),
        ("农历马年八月十五", "bad_date"),
        ("八月十五", "bad_date"),  # of which calendar?
        ("农历", "bad_date"),
    ],
)
def test_lunar_birthdays_that_are_none(text, code):
    with pytest.raises(CellError, match=f"^{code}$"):
        cells.birthday(text)


def test_a_column_of_lunar_birthdays_needs_no_word_for_it():
    assert cells.birthday_by_the_moon("八月十五") == cells.birthday("农历8-15")
    assert cells.birthday_by_the_moon("1990-08-15").year == 1990
    with pytest.raises(CellError, match=r"^bad_date$"):
        cells.birthday_by_the_moon("soon")


@given(st.dates(date(1901, 1, 1), date(2099, 12, 31)))
@settings(max_examples=200)
def test_every_lunar_day_can_be_written_as_the_calendar_writes_it(day):
    told = LunarDate.from_solar_date(day.year, day.month, day.day)
    leap = "闰" if told.leap else ""
    found = cells.birthday(f"农历{told.year}年{leap}{told.cn_month}月{told.cn_day}")
    assert (found.year, found.month, found.day, found.leap_month) == (
        told.year,
        told.month,
        told.day,
        bool(told.leap),
    )


def test_tags():
    assert cells.tags("vip, 新客；母婴|vip、") == ("vip", "新客", "母婴")
