"""From what is stored to the engine: pure rules."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from crm_api.calendars.holidays import Holiday
from crm_api.calendars.models import PauseAsked, PauseSpan
from crm_api.core.business_hours import BusinessHours, Interval, Pause, interval_of
from crm_api.core.errors import Conflict, FieldError, Invalid

Hours = Sequence[Sequence[str]]

DAYS: Final = 7

DEFAULT_STAYS: Final = Conflict(
    "The default calendar cannot be archived: make another one the default first",
    zh="默认日历不能归档：请先将另一个日历设为默认",
    code="default_calendar",
)
ARCHIVED: Final = Conflict(
    "An archived calendar cannot be the default: restore it with archived false",
    zh="已归档的日历不能设为默认：请先以 archived: false 恢复",
    code="calendar_archived",
)


def engine(time_zone: str, weekly: Mapping[str, Hours], exceptions: Iterable[Mapping[str, Any]]) -> BusinessHours:
    """Return the engine of a calendar as it is stored."""
    return BusinessHours(
        ZoneInfo(time_zone),
        {int(day): _intervals(hours) for day, hours in weekly.items()},
        {date.fromisoformat(each["date"]): _intervals(each["intervals"]) for each in exceptions},
    )


def _intervals(hours: Hours) -> list[Interval]:
    return [interval_of(begin, end) for begin, end in hours]


def with_holidays(
    exceptions: Sequence[Mapping[str, Any]], weekly: Mapping[str, Hours], holidays: Iterable[Holiday], years: set[int]
) -> list[dict[str, Any]]:
    """Return the exceptions with these years' holidays instead of those loaded before.

    What people entered themselves stays as it is. A make-up workday gets the hours of the nearest day of the week that
    has some; where work is done on that day of the week anyway, it is no exception.
    """
    kept = {
        each["date"]: dict(each)
        for each in exceptions
        if each["source"] != "holidays" or date.fromisoformat(each["date"]).year not in years
    }
    for each in holidays:
        hours = make_up_hours(weekly, each.day) if each.working else []
        if hours is not None:
            loaded = {"date": each.day.isoformat(), "intervals": hours, "name": each.name, "source": "holidays"}
            kept.setdefault(loaded["date"], loaded)
    return [kept[day] for day in sorted(kept)]


def make_up_hours(weekly: Mapping[str, Hours], day: date) -> Hours | None:
    """Return the hours of a make-up workday: those of the nearest day of the week with some, the earlier of two.

    None when nothing differs: that day of the week has hours of its own, or none has.
    """
    if weekly.get(str(day.isoweekday())):
        return None
    for distance in range(1, DAYS // 2 + 1):
        for shift in (-distance, distance):
            hours = weekly.get(str((day.isoweekday() + shift - 1) % DAYS + 1))
            if hours:
                return hours
    return None


# -- what cannot be answered -------------------------------------------------------------------------------------------


def pairs(pauses: Iterable[PauseAsked]) -> list[Pause]:
    """Return pauses as pairs.

    Raises:
        Invalid: one ends before it starts.

    """
    found = [(each.start, each.end) if isinstance(each, PauseSpan) else each for each in pauses]
    errors = [
        FieldError(
            f"/pauses/{index}", "ends_before_start", "A pause ends after it starts", "暂停的结束时间须晚于开始时间"
        )
        for index, (since, until) in enumerate(found)
        if until is not None and until < since
    ]
    if errors:
        raise Invalid(errors=errors)
    return found


def never_due(pauses: Sequence[Pause]) -> Invalid:
    """Return why a due time does not exist."""
    for index, (_, until) in enumerate(pauses):
        if until is None:
            return Invalid.field(
                f"/pauses/{index}",
                "pause_without_end",
                "The clock has stood still since this pause began: send when it ends, or ask again then",
                "计时自此暂停开始后一直停止：请提供其结束时间，或在结束后再查询",
            )
    return Invalid.field(
        "/minutes",
        "never_due",
        "The calendar has not so much working time before the year 2200: give it intervals in weekly or exceptions",
        "该日历在 2200 年之前没有这么多工作时间：请在 weekly 或 exceptions 中添加工作时段",
    )
