"""Business calendars: inputs and wire shapes."""

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag
from pydantic_core import PydanticCustomError

from crm_api.core.business_hours import MINUTES_A_DAY, interval_of
from crm_api.core.models import CreatedAt, Day, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Caption, Line

MAX_INTERVALS = 12
MAX_EXCEPTIONS = 2_000
MAX_PAUSES = 1_000
MAX_YEARS = 10
MAX_MINUTES = 5_256_000
"""Ten years of minutes."""
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)

Weekday = Literal["1", "2", "3", "4", "5", "6", "7"]
Source = Literal["manual", "holidays"]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError("unknown_time_zone", "'{zone}' is not an IANA time zone", {"zone": name}) from None
    return name


def _of_our_times(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        raise PydanticCustomError("beyond_calendar", "Give a time from 1970 to 2099")
    return value


def _day_of_our_times(value: date) -> date:
    if not EARLIEST.date() <= value < LATEST.date():
        raise PydanticCustomError("beyond_calendar", "Give a time from 1970 to 2099")
    return value


def _in_order(hours: list[list[str]]) -> list[list[str]]:
    """Refuse an empty or whole-day riddle (09:00–09:00) and intervals that overlap; return them in order."""
    if any(begin in {end, "24:00"} for begin, end in hours):
        raise PydanticCustomError(
            "bad_interval", "An interval ends at another time than it begins; all day is 00:00 to 24:00"
        )
    spans = sorted((interval_of(begin, end), [begin, end]) for begin, end in hours)
    for (earlier, _), (later, _) in pairwise(spans):
        if later[0] < earlier[1]:
            raise PydanticCustomError("intervals_overlap", "The intervals of a day must not overlap")
    if spans and spans[-1][0][1] - spans[0][0][0] > MINUTES_A_DAY:
        raise PydanticCustomError("intervals_overlap", "The intervals of a day must not overlap")
    return [hours for _, hours in spans]


TimeZone = Annotated[Line, AfterValidator(_known_zone), Field(examples=["Asia/Shanghai"])]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
Hours = Annotated[
    list[Annotated[list[TimeOfDay], Field(min_length=2, max_length=2)]],
    Field(max_length=MAX_INTERVALS, examples=[[["09:00", "12:00"], ["13:30", "18:00"]]]),
    AfterValidator(_in_order),
]
Weekly = dict[Weekday, Hours]
OurTime = Annotated[Instant, AfterValidator(_of_our_times)]
OurDay = Annotated[Day, AfterValidator(_day_of_our_times)]

_ZONE = "IANA name; intervals and dates are told by its wall clock."
_WEEKLY = (
    "Day of the week, `1` (Monday) to `7`, → intervals of wall-clock time. A day left out is free. An end that is not "
    "later than its beginning is the next day's (`22:00` to `06:00`); the end of a day is `24:00`."
)
_EXCEPTIONS = "Dates whose intervals differ from the week's: none for a holiday, some for a make-up workday."
_DEFAULT = "Whether it is used where no calendar is named; a tenant has exactly one such."
_PAUSES = (
    "Time that does not count: each is `[from, to]` or an object with `start` and `end`; one without end (null) lasts. "
    "They may overlap."
)


class CalendarException(Input):
    """A date that differs from the week."""

    model_config = with_examples({"date": "2026-10-10", "intervals": [["09:00", "18:00"]], "name": "国庆节调休上班"})

    date: OurDay = Field(description="The date, in the calendar's zone.")
    intervals: Hours = Field(description="When work is done that day; empty for a day off.")
    name: Caption | None = Field(default=None, description="What the day is.", examples=["国庆节"])
    source: Source = Field(
        default="manual",
        description="`holidays`: loaded, and replaced when the year is loaded again. Leave it out for your own days.",
    )


class CalendarExceptionShown(Wire):
    """A date that differs from the week."""

    date: Day = Field(description="The date, in the calendar's zone.")
    intervals: list[list[str]] = Field(
        description="When work is done that day; empty for a day off.", examples=[[["09:00", "18:00"]]]
    )
    name: str | None = Field(description="What the day is.", examples=["国庆节"])
    source: Source = Field(description="`holidays`: loaded, and replaced when the year is loaded again.")


def _once(exceptions: list[CalendarException]) -> list[CalendarException]:
    if len({each.date for each in exceptions}) < len(exceptions):
        raise PydanticCustomError("date_repeated", "A date may stand among the exceptions once")
    return exceptions


Exceptions = Annotated[list[CalendarException], Field(max_length=MAX_EXCEPTIONS), AfterValidator(_once)]


class HolidaysLoad(Input):
    """Public holidays to load, and the workdays that make up for them."""

    model_config = with_examples({"country": "CN", "years": [2026]})

    country: Literal["CN"] = Field(description="ISO 3166-1 code of the country; so far China's are known.")
    years: list[Annotated[int, Field(strict=True, ge=2000, le=2099)]] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_YEARS,
        description="Which years; this one and the next, if they are known, when left out.",
        examples=[[2026]],
    )


class CalendarCreate(Input):
    """A new calendar."""

    model_config = with_examples(
        {
            "name": "客服工作时间",
            "time_zone": "Asia/Shanghai",
            "weekly": {str(day): [["09:00", "12:00"], ["13:30", "18:00"]] for day in range(1, 6)},
            "exceptions": [{"date": "2026-12-31", "intervals": [["09:00", "12:00"]], "name": "年终盘点"}],
            "holidays": {"country": "CN"},
        }
    )

    name: Line = Field(description="What staff call it; unique in the tenant.", examples=["客服工作时间"])
    time_zone: TimeZone | None = Field(default=None, description=f"{_ZONE} The tenant's own if left out.")
    weekly: Weekly = Field(description=_WEEKLY, examples=[{"1": [["09:00", "12:00"], ["13:30", "18:00"]]}])
    exceptions: Exceptions = Field(default_factory=list, description=_EXCEPTIONS)
    holidays: HolidaysLoad | None = Field(default=None, description="Public holidays to add to the exceptions.")
    is_default: bool = Field(strict=True, default=False, description=_DEFAULT)


class CalendarUpdate(Input):
    """Fields to change; a field left out stays."""

    model_config = with_examples({"weekly": {"1": [["10:00", "19:00"]]}}, {"archived": True})

    name: Line = Field(default="", description="What staff call it; unique in the tenant.")
    time_zone: TimeZone = Field(default="UTC", description=_ZONE)
    weekly: Weekly = Field(default_factory=dict, description=f"Replaces the whole week. {_WEEKLY}")
    exceptions: Exceptions = Field(default_factory=list, description=f"Replaces all. {_EXCEPTIONS}")
    is_default: Literal[True] = Field(
        default=True, description="Makes it the one that is used where no calendar is named."
    )
    archived: bool = Field(
        strict=True, default=False, description="Whether it is offered no more; what uses it goes on. Not the default."
    )


class Calendar(Wire):
    """Working hours of a zone, with holidays and make-up workdays."""

    id: ResourceId
    name: str = Field(description="What staff call it; unique in the tenant.")
    time_zone: str = Field(description=_ZONE)
    weekly: dict[str, list[list[str]]] = Field(
        description=_WEEKLY, examples=[{"1": [["09:00", "12:00"], ["13:30", "18:00"]]}]
    )
    exceptions: list[CalendarExceptionShown] = Field(description=f"{_EXCEPTIONS} By date.")
    is_default: bool = Field(description=_DEFAULT)
    archived: bool = Field(description="Whether it is offered no more; what uses it goes on.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class PauseSpan(Input):
    """Time that does not count."""

    model_config = with_examples({"start": "2026-11-20T16:45:00+08:00", "end": "2026-11-23T09:15:00+08:00"})

    start: Instant = Field(description="From when on.")
    end: Instant | None = Field(default=None, description="Until when; null when it lasts.")


def _written_as(value: object) -> str:
    return "[pair]" if isinstance(value, (list, tuple)) else "[object]"


PauseAsked = Annotated[
    # Told apart before they are read, so that what is wrong is said of the form that was meant.
    Annotated[tuple[Instant, Instant | None], Tag("[pair]")] | Annotated[PauseSpan, Tag("[object]")],
    Discriminator(_written_as),
]


class DueAsk(Input):
    """When will so much working time have passed?"""

    model_config = with_examples(
        {"start": "2026-11-20T16:30:00+08:00", "minutes": 60},
        {
            "start": "2026-11-20T16:30:00+08:00",
            "minutes": 60,
            "pauses": [["2026-11-20T16:45:00+08:00", "2026-11-23T09:15:00+08:00"]],
        },
        {
            "start": "2026-11-20T16:30:00+08:00",
            "minutes": 60,
            "pauses": [{"start": "2026-11-20T16:45:00+08:00", "end": "2026-11-23T09:15:00+08:00"}],
        },
    )

    start: OurTime = Field(description="From when on, 1970–2099.")
    minutes: int = Field(strict=True, ge=0, le=MAX_MINUTES, description="Minutes of working time.", examples=[60])
    pauses: list[PauseAsked] = Field(
        default_factory=list,
        max_length=MAX_PAUSES,
        description=_PAUSES,
        examples=[[["2026-11-20T16:45:00+08:00", "2026-11-23T09:15:00+08:00"]]],
    )


class Due(Wire):
    """When so much working time will have passed."""

    due_at: Instant = Field(description="The earliest instant by which it has passed.")


class ElapsedAsk(Input):
    """How much working time lies between two instants?"""

    model_config = with_examples({"start": "2026-11-20T16:30:00+08:00", "end": "2026-11-23T09:30:00+08:00"})

    start: OurTime = Field(description="From when on, 1970–2099.")
    end: OurTime = Field(description="Until when, not before `start`.")
    pauses: list[PauseAsked] = Field(
        default_factory=list,
        max_length=MAX_PAUSES,
        description=_PAUSES,
        examples=[[["2026-11-20T16:45:00+08:00", "2026-11-23T09:15:00+08:00"]]],
    )


class Elapsed(Wire):
    """Working time between two instants."""

    minutes: int = Field(description="Whole minutes of working time.", examples=[60])
    seconds: int = Field(description="The same in whole seconds.", examples=[3600])
