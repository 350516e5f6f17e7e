"""Slots, days off and differences of shares: pure functions."""

from datetime import UTC, date, datetime, timedelta
from typing import get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api import presets
from crm_api.accounts.models import Preset
from crm_api.calendars.holidays import holidays_of
from crm_api.calendars.rules import engine, with_holidays
from crm_api.core.business_hours import BusinessHours
from crm_api.followups.models import FollowUpPlanCreate
from crm_api.followups.rules import (
    History,
    difference,
    due_after_snooze,
    due_in,
    due_on,
    held_out,
    moved,
    next_slot,
    spread_offset,
    wilson,
)

DAY = timedelta(days=1)
START = date(2026, 1, 5)
PLAN = UUID("01981a6e-0000-7000-8000-000000000001")
WEEKLY = {str(day): [["09:00", "18:00"]] for day in range(1, 6)}


def office():
    """Monday to Friday, nine to six, with China's days off and make-up workdays of 2026."""
    return engine("Asia/Shanghai", WEEKLY, with_holidays([], WEEKLY, holidays_of([2026], "zh"), {2026}))


# -- slots -------------------------------------------------------------------------------------------------------------


def test_the_first_slot_is_counted_from_joining_and_from_the_last_contact():
    assert next_slot(History(14, START), 3, 0) == START + 3 * DAY
    assert next_slot(History(14, START, contacted_on=START - 2 * DAY), 3, 0) == START + 12 * DAY
    assert next_slot(History(14, START, contacted_on=START - 90 * DAY), 3, 5) == START + 8 * DAY


def test_the_next_slot_is_counted_from_the_last_contact():
    closed = History(14, START, START, START + 2 * DAY)
    assert next_slot(closed, 3, 5) == START + 16 * DAY
    assert next_slot(History(14, START, START, START + 2 * DAY, START + 9 * DAY), 0, 0) == START + 23 * DAY
    # Done long ahead of its day, the next is still another slot.
    assert next_slot(History(14, START, START + 30 * DAY, START), 0, 0) == START + 31 * DAY


class Book:
    """A plan's tasks of one customer, made as the worker makes them: an oracle of what may be asked for."""

    def __init__(self, every, ahead):
        self.every, self.ahead = every, ahead
        self.tasks = {}
        self.contacts = []

    def look(self, today):
        if any(closed is None for closed in self.tasks.values()):
            return
        last = max(self.tasks, default=None)
        spoken = max((day for day in self.contacts if day <= today), default=None)
        slot = next_slot(History(self.every, START, last, self.tasks.get(last), spoken), 0, 0)
        if slot <= today + self.ahead * DAY:
            assert slot not in self.tasks, "one slot, one task"
            self.tasks[slot] = None

    def close(self, today):
        for slot, closed in self.tasks.items():
            if closed is None:
                self.tasks[slot] = today


STEPS = st.lists(
    st.tuples(st.sampled_from(["look", "close", "speak"]), st.integers(min_value=-40, max_value=60)), max_size=40
)


@given(STEPS, st.integers(min_value=1, max_value=45), st.integers(min_value=0, max_value=30))
@settings(max_examples=150, deadline=None)
def test_whatever_the_clock_does_one_task_is_open_and_no_slot_comes_twice(steps, every, ahead):
    book, today = Book(every, ahead), START
    for what, by in steps:
        today = max(START, today + by * DAY)
        if what == "look":
            before = dict(book.tasks)
            book.look(today)
            assert len(book.tasks) <= len(before) + 1
            again = dict(book.tasks)
            book.look(today)
            assert book.tasks == again, "looking again makes nothing"
        elif what == "close":
            book.close(today)
        else:
            book.contacts.append(today)
        assert sum(closed is None for closed in book.tasks.values()) <= 1
    assert all(
        later - earlier >= DAY for earlier, later in zip(sorted(book.tasks), sorted(book.tasks)[1:], strict=False)
    )


@given(
    st.lists(st.integers(min_value=0, max_value=120), min_size=1, max_size=12), st.integers(min_value=0, max_value=9)
)
@settings(max_examples=100, deadline=None)
def test_how_often_and_when_somebody_looks_makes_no_difference(days, ahead):
    """Looks in any order end in the tasks of one look at the latest day."""
    often, once = Book(14, ahead), Book(14, ahead)
    for day in days:
        often.look(START + day * DAY)
    once.look(START + max(days) * DAY)
    assert often.tasks == once.tasks


def test_first_contacts_are_spread_evenly_and_the_lot_is_fair_and_stays():
    people = [UUID(int=(number << 64) | 0x7) for number in range(3000)]
    offsets = [spread_offset(PLAN, each, 30) for each in people]
    assert set(offsets) == set(range(30))
    assert max(offsets.count(day) for day in range(30)) < 150
    drawn = {each for each in people if held_out(PLAN, each, 20)}
    assert 520 < len(drawn) < 680
    assert {each for each in people if held_out(PLAN, each, 10)} < drawn
    assert not any(held_out(PLAN, each, 0) for each in people)


# -- days off ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "rule", "becomes"),
    [
        (date(2026, 9, 30), "next", date(2026, 9, 30)),
        (date(2026, 10, 1), "next", date(2026, 10, 8)),  # National Day until the 7th
        (date(2026, 10, 1), "previous", date(2026, 9, 30)),
        (date(2026, 10, 5), "nearest", date(2026, 10, 8)),
        (date(2026, 10, 1), "none", date(2026, 10, 1)),
        (date(2026, 10, 10), "next", date(2026, 10, 10)),  # a Saturday that is worked
        (date(2026, 10, 11), "previous", date(2026, 10, 10)),
        (date(2026, 9, 20), "next", date(2026, 9, 20)),  # a Sunday that is worked
        (date(2026, 11, 22), "nearest", date(2026, 11, 23)),
    ],
)
def test_a_day_off_is_moved_by_the_rule_and_make_up_workdays_are_workdays(day, rule, becomes):
    assert moved(day, rule, office().is_working_day) == becomes


@given(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.sampled_from(["next", "previous", "nearest"]))
@settings(max_examples=100, deadline=None)
def test_what_is_moved_is_worked_and_no_nearer_day_would_do(day, rule):
    works = office().is_working_day
    found = moved(day, rule, works)
    assert works(found)
    between = [day + (1 if found > day else -1) * step * DAY for step in range(abs((found - day).days))]
    assert not any(works(each) for each in between)
    if rule == "nearest":
        assert all(not works(day - step * DAY) for step in range(abs((found - day).days)))


def test_a_calendar_without_work_moves_nothing():
    assert moved(START, "next", BusinessHours(ZoneInfo("UTC"), {}).is_working_day) == START


def test_a_task_is_due_until_work_ends_on_its_day():
    due = due_on(date(2026, 10, 10), office())
    assert due.begins == datetime(2026, 10, 9, 16, tzinfo=UTC)
    assert due.ends == datetime(2026, 10, 10, 10, tzinfo=UTC)
    off = due_on(date(2026, 10, 1), office())
    assert off.ends == datetime(2026, 10, 1, 16, tzinfo=UTC), "without work the day's end"


def test_working_days_from_now_and_after_a_snooze():
    friday = datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert [due_in(friday, days, office()) for days in (0, 1, 2)] == [
        date(2026, 11, 20),
        date(2026, 11, 23),
        date(2026, 11, 24),
    ]
    assert due_in(friday + DAY, 0, office()) == date(2026, 11, 23)
    assert due_after_snooze(friday, office()) == datetime(2026, 11, 20, 10, tzinfo=UTC)
    evening = datetime(2026, 11, 20, 13, tzinfo=UTC)
    assert due_after_snooze(evening, office()) == evening


# -- the effect --------------------------------------------------------------------------------------------------------


def test_the_interval_is_newcombes():
    """Newcombe (1998), table II, method 10: 56/70 - 48/80 and 9/10 - 3/10."""
    found = difference(56, 70, 48, 80)
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)
    found = difference(9, 10, 3, 10)
    assert (round(found.low, 4), round(found.high, 4)) == (0.1705, 0.8090)
    found = difference(10, 10, 0, 10)
    assert (round(found.low, 4), round(found.high, 4)) == (0.6075, 1.0)


def test_without_cases_there_is_no_difference():
    assert difference(0, 0, 1, 2) is None
    assert difference(1, 2, 0, 0) is None
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


@pytest.mark.parametrize("name", get_args(Preset))
def test_cadences_of_a_preset_name_classes_and_tiers_there_are(name):
    content = presets.load(name)
    tiers = {each["code"] for each in content["tiers"]["rules"]["tiers"]}
    for each in content["followups"]["plans"]:
        made_plan = FollowUpPlanCreate.model_validate(
            {**each, "name": each["name"]["zh"], "script": each["script"]["zh"]}
        )
        assert made_plan.cadences
        assert {each.class_name for each in made_plan.cadences if each.dimension == "tier"} <= tiers
