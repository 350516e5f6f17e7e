"""The engine against a count of single minutes, and against what can be said without reckoning."""

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crm_api.core.business_hours import HORIZON, BusinessHours, interval_of
from tests.calendars.minutes import MinuteCalendar

SHANGHAI = ZoneInfo("Asia/Shanghai")
OFFICE = {day: [("09:00", "17:00")] for day in range(1, 6)}
MINUTE = timedelta(minutes=1)


def hours(weekly, zone=SHANGHAI, exceptions=None):
    return BusinessHours(
        zone,
        {day: [interval_of(*each) for each in given] for day, given in weekly.items()},
        {day: [interval_of(*each) for each in given] for day, given in (exceptions or {}).items()},
    )


def at(text, zone=SHANGHAI):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


class TestByHand:
    def test_an_hour_from_friday_afternoon_is_due_on_monday(self):
        assert hours(OFFICE).due(at("2026-11-20T16:30"), 60 * MINUTE) == at("2026-11-23T09:30")

    @pytest.mark.parametrize(
        ("start", "minutes", "due"),
        [
            ("2026-11-20T16:00", 60, "2026-11-20T17:00"),  # the end of the day, not the next morning
            ("2026-11-21T12:00", 0, "2026-11-21T12:00"),
            ("2026-11-21T12:00", 1, "2026-11-23T09:01"),
            ("2026-11-20T16:30:30.000001", 60, "2026-11-23T09:30:30.000001"),
        ],
    )
    def test_due(self, start, minutes, due):
        assert hours(OFFICE).due(at(start), minutes * MINUTE) == at(due)

    def test_a_holiday_and_its_make_up_workday(self):
        # National Day 2026: 1 to 7 October free, Saturday 10 October worked.
        off = {date(2026, 10, day): [] for day in range(1, 8)}
        engine = hours(OFFICE, exceptions={**off, date(2026, 10, 10): OFFICE[5]})
        assert engine.due(at("2026-09-30T16:30"), 60 * MINUTE) == at("2026-10-08T09:30")
        assert engine.due(at("2026-10-09T16:30"), 60 * MINUTE) == at("2026-10-10T09:30")
        assert not engine.is_working_day(date(2026, 10, 1))
        assert engine.is_working_day(date(2026, 10, 10))

    def test_pauses_are_left_out_and_may_overlap(self):
        pauses = [
            (at("2026-11-20T16:45"), at("2026-11-23T09:15")),
            (at("2026-11-20T16:40"), at("2026-11-20T16:50")),
        ]
        assert hours(OFFICE).due(at("2026-11-20T16:30"), 60 * MINUTE, pauses) == at("2026-11-23T10:05")

    def test_what_is_due_before_a_lasting_pause_is_due(self):
        engine, start = hours(OFFICE), at("2026-11-20T16:30")
        assert engine.due(start, 10 * MINUTE, [(at("2026-11-20T16:40"), None)]) == at("2026-11-20T16:40")
        assert engine.due(start, 11 * MINUTE, [(at("2026-11-20T16:40"), None)]) is None

    def test_a_night_shift_is_worked_into_a_holiday(self):
        engine = hours({5: [("22:00", "06:00")]}, exceptions={date(2026, 11, 21): []})
        assert engine.due(at("2026-11-20T22:00"), 480 * MINUTE) == at("2026-11-21T06:00")
        assert engine.worked(at("2026-11-20T00:00"), at("2026-11-24T00:00")) == 480 * MINUTE

    def test_around_the_clock(self):
        engine = hours({day: [("00:00", "24:00")] for day in range(1, 8)})
        assert engine.due(at("2026-11-20T16:30"), 48 * 60 * MINUTE) == at("2026-11-22T16:30")

    def test_a_night_when_clocks_are_put_forward_and_back(self):
        berlin = ZoneInfo("Europe/Berlin")
        engine = hours({7: [("00:00", "24:00")]}, berlin)
        assert engine.worked(at("2026-03-29T00:00", berlin), at("2026-03-30T00:00", berlin)) == 23 * 60 * MINUTE
        assert engine.worked(at("2026-10-25T00:00", berlin), at("2026-10-26T00:00", berlin)) == 25 * 60 * MINUTE
        # 02:30 to 03:30 of the day that has no 02:30: what there is of it.
        gap = hours({7: [("02:30", "03:30")]}, berlin)
        assert gap.due(at("2026-03-29T00:00", berlin), 30 * MINUTE) == at("2026-03-29T03:30", berlin)
        # 02:15 to 02:45 is shown twice.
        twice = hours({7: [("02:15", "02:45")]}, berlin)
        assert twice.worked(at("2026-10-25T00:00", berlin), at("2026-10-26T00:00", berlin)) == 60 * MINUTE

    def test_weeks_that_are_like_others_do_not_hide_those_that_are_not(self):
        """Many weeks asked of one engine: what is kept of plain ones must not serve for others."""
        berlin, start = ZoneInfo("Europe/Berlin"), datetime(2026, 1, 1, tzinfo=UTC)
        always = hours({day: [("00:00", "24:00")] for day in range(1, 8)}, berlin)
        assert always.worked(start, start + timedelta(days=365)) == timedelta(days=365)
        sunday = hours({7: [("02:00", "04:00")]}, berlin)
        spring, autumn = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)
        assert sunday.worked(start, spring) == timedelta(hours=2 * 26 - 1)
        assert sunday.worked(spring, autumn) == timedelta(hours=2 * 26 + 1)
        night = hours({5: [("09:00", "10:00")]}, exceptions={date(2026, 3, 1): [("22:00", "10:00")]})  # a Sunday
        assert night.worked(start, start + timedelta(days=365)) == timedelta(hours=52 + 12)

    def test_never(self):
        empty = hours({})
        assert empty.due(at("2026-11-20T16:30"), MINUTE) is None
        assert empty.due_days(at("2026-11-20T16:30"), 1) is None
        once = hours({}, exceptions={date(2026, 11, 30): [("09:00", "10:00")]})
        assert once.due(at("2026-11-20T16:30"), 60 * MINUTE) == at("2026-11-30T10:00")
        assert once.due(at("2026-11-20T16:30"), 61 * MINUTE) is None

    def test_working_days_end_with_business_hours_and_do_not_count_the_first(self):
        engine = hours(OFFICE, exceptions={date(2026, 11, 28): OFFICE[5]})
        assert engine.due_days(at("2026-11-20T16:30"), 10) == at("2026-12-03T17:00")
        paused = [(at("2026-11-24T16:59"), at("2026-11-25T09:01"))]
        assert engine.due_days(at("2026-11-20T16:30"), 10, paused) == at("2026-12-07T17:00")

    def test_a_century_is_bounded_work(self):
        engine = hours({1: [("09:00", "09:01")]}, ZoneInfo("America/New_York"))
        begin = time.process_time()
        due = engine.due(datetime(1970, 1, 1, tzinfo=UTC), 9_000 * MINUTE)
        assert due is not None
        assert HORIZON - due > timedelta(days=365 * 50)
        assert engine.worked(datetime(1970, 1, 1, tzinfo=UTC), due) == 9_000 * MINUTE
        assert time.process_time() - begin < 2, "walked minutes or days?"


# -- any calendar ------------------------------------------------------------------------------------------------------

ZONES = [
    "Asia/Shanghai",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # half an hour of summer time
    "America/Santiago",  # clocks are put forward at midnight: some days begin at 01:00
    "Asia/Kathmandu",
    "Pacific/Apia",  # left out 30 December 2011
    "Africa/Casablanca",
]
MOMENTS = {
    # Near changes of clocks, where everything happens; and plain days.
    "America/New_York": ["2026-03-08T05:00", "2026-11-01T04:00"],
    "Europe/Berlin": ["2026-03-29T00:00", "2026-10-25T00:00"],
    "Australia/Lord_Howe": ["2026-04-04T13:00", "2026-10-03T14:00"],
    "America/Santiago": ["2026-04-05T02:00", "2026-09-06T03:00"],
    "Pacific/Apia": ["2011-12-30T08:00"],
    "Africa/Casablanca": ["2026-02-15T01:00", "2026-03-22T01:00"],
}


@st.composite
def intervals(draw):
    """Up to three intervals that do not overlap; the last may run through midnight."""
    count = draw(st.integers(0, 3))
    quarter = st.integers(0, 95)
    edges = sorted(draw(st.lists(quarter, min_size=2 * count, max_size=2 * count, unique=True)))
    texts = [f"{each // 4:02}:{each % 4 * 15:02}" for each in edges]
    made = list(zip(texts[::2], texts[1::2], strict=True))
    if made and draw(st.booleans()):
        begin, first = made[-1][0], made[0][0]
        ends = [each for each in ("00:00", "06:00", "24:00") if each in {"00:00", "24:00"} or each <= first]
        made[-1] = (begin, draw(st.sampled_from(ends)))
    return made


@st.composite
def calendars(draw):
    """Draw a calendar as engine and as oracle, and a start near something of interest."""
    name = draw(st.sampled_from(ZONES))
    zone = ZoneInfo(name)
    base = datetime.fromisoformat(draw(st.sampled_from(MOMENTS.get(name, ["2026-02-13T00:00"])))).replace(tzinfo=UTC)
    start = base + timedelta(minutes=draw(st.integers(-4 * 1440, 1440)))
    weekly = {day: draw(intervals()) for day in draw(st.sets(st.integers(1, 7)))}
    near = st.integers(-6, 10).map(lambda shift: base.date() + timedelta(days=shift))
    exceptions = draw(st.dictionaries(near, intervals(), max_size=4))
    # An interval of the day before may run into one of this day: each minute counts once all the same.
    return hours(weekly, zone, exceptions), MinuteCalendar(zone, weekly, exceptions), start


def pauses_from(draw, start):
    minutes = st.integers(-600, 5 * 1440)
    found = []
    for _ in range(draw(st.integers(0, 3))):
        since, length = draw(minutes), draw(st.integers(0, 2 * 1440))
        found.append((start + since * MINUTE, start + (since + length) * MINUTE))
    if draw(st.integers(0, 5)) == 0:
        found.append((start + draw(minutes) * MINUTE, None))
    return found


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_engine_agrees_with_counting_minutes(data):
    engine, oracle, start = data.draw(calendars())
    pauses = pauses_from(data.draw, start)
    minutes = data.draw(st.integers(0, 2_000))
    # Eight days of minutes: what is not due by then, the engine must put later or never.
    patience = 8 * 1440
    due = engine.due(start, minutes * MINUTE, pauses)
    expected = oracle.due(start, minutes, pauses, patience=patience)
    if expected is None:
        assert due is None or due > start + (patience - 1) * MINUTE
    else:
        assert due == expected
    end = start + data.draw(st.integers(0, 5 * 1440)) * MINUTE
    assert engine.worked(start, end, pauses) == oracle.worked(start, end, pauses) * MINUTE
    assert engine.is_working(end) == oracle.works(end)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_working_days_agree_with_counting_minutes(data):
    engine, oracle, start = data.draw(calendars())
    pauses = pauses_from(data.draw, start)
    days, patience = data.draw(st.integers(1, 5)), 12 * 1440
    due = engine.due_days(start, days, pauses)
    expected = oracle.due_days(start, days, pauses, patience=patience)
    assume(expected is None or expected < start + (patience - 2 * 1440) * MINUTE)
    if expected is None:
        assert due is None or due > start + (patience - 2 * 1440) * MINUTE
    else:
        assert due == expected


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_due_and_elapsed_are_each_others_reverse(data):
    engine, _, start = data.draw(calendars())
    pauses = pauses_from(data.draw, start)
    amount = timedelta(microseconds=data.draw(st.integers(1, 10**11)))
    due = engine.due(start, amount, pauses)
    if due is not None:
        assert engine.worked(start, due, pauses) == amount
        assert engine.worked(start, due - timedelta(microseconds=1), pauses) < amount
