"""What can be done with business calendars."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from crm_api.accounts.service import AccountService
from crm_api.calendars import rules
from crm_api.calendars.holidays import check_known, holidays_of, known_years
from crm_api.calendars.models import CalendarCreate, CalendarUpdate, Due, DueAsk, Elapsed, ElapsedAsk, HolidaysLoad
from crm_api.calendars.repository import CalendarRepository
from crm_api.core.business_hours import BusinessHours
from crm_api.core.errors import Duplicate, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

READ = "calendars:read"
WRITE = "calendars:write"

_NAME_TAKEN = {
    "uq_calendars_tenant_id_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "A calendar has this name", "已有同名日历")]
    )
}


class CalendarService:
    """Working hours, and what follows from them."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = CalendarRepository(unit)

    # -- changed by people ---------------------------------------------------------------------------------------------

    async def create(self, data: CalendarCreate) -> UUID:
        """Add a calendar; returns its id.

        Raises:
            Duplicate: the name is taken.
            Invalid: the holidays of a year are not known (yet).

        """
        self.unit.actor.require(WRITE)
        zone = data.time_zone or (await AccountService(self.unit).tenant()).time_zone
        row = data.model_dump(mode="json", include={"name", "weekly", "is_default"})
        row |= {"time_zone": zone, "exceptions": _by_date(data.model_dump(mode="json")["exceptions"])}
        if data.holidays is not None:
            row["exceptions"] = await self._loaded(row, data.holidays, "/holidays")
        return await self._add(row)

    async def update(self, calendar_id: UUID, data: CalendarUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given.

        Raises:
            Conflict: the default would be archived, or an archived one the default.
            Duplicate: the name is taken.

        """
        self.unit.actor.require(WRITE)
        given = data.model_dump(mode="json", include=data.model_fields_set)
        if "exceptions" in given:
            given["exceptions"] = _by_date(given["exceptions"])
        if given.get("is_default"):
            await self.repository.hold_all()
        before = dict(await self.repository.get(calendar_id, lock=True, expected_version=expected_version))
        changes = {name: value for name, value in given.items() if before[name] != value}
        after = {**before, **changes}
        if after["is_default"] and after["archived"]:
            raise rules.DEFAULT_STAYS if before["is_default"] else rules.ARCHIVED
        await self._change(before, changes)

    async def load_holidays(
        self, calendar_id: UUID, data: HolidaysLoad, *, expected_version: int | None = None
    ) -> None:
        """Load public holidays and their make-up workdays into the exceptions.

        What was loaded of the same years before is replaced; what people entered themselves stays.

        Raises:
            Invalid: the holidays of a year are not known (yet).

        """
        self.unit.actor.require(WRITE)
        before = dict(await self.repository.get(calendar_id, lock=True, expected_version=expected_version))
        exceptions = await self._loaded(before, data)
        await self._change(before, {"exceptions": exceptions} if exceptions != before["exceptions"] else {})

    async def begin(self, presets: Sequence[Mapping[str, Any]]) -> None:
        """Give a new tenant its first calendars; the very first is the default."""
        tenant = await AccountService(self.unit).tenant()
        for index, each in enumerate(presets):
            row = {
                "name": each["name"].get(tenant.locale, each["name"]["en"]),
                "time_zone": tenant.time_zone,
                "weekly": each["weekly"],
                "exceptions": [],
                "is_default": index == 0,
            }
            if tenant.time_zone in each.get("holiday_zones", ()) and self.unit.now().year in known_years():
                row["exceptions"] = await self._loaded(row, HolidaysLoad(country="CN"))
            await self._add(row)

    async def _add(self, row: dict[str, Any]) -> UUID:
        calendar_id = new_id()
        if row["is_default"]:
            await self.repository.hold_all()
            await self._dethrone()
        with unique_as(_NAME_TAKEN):
            await self.repository.insert({"id": calendar_id, **row})
        self.unit.audit("calendar.created", "Calendar", calendar_id, after=row)
        self.unit.emit("calendar.created", calendar_id, {})
        return calendar_id

    async def _change(self, before: Mapping[str, Any], changes: dict[str, Any]) -> None:
        if not changes:
            return
        if changes.get("is_default"):
            await self._dethrone()
        with unique_as(_NAME_TAKEN):
            await self.repository.change(before["id"], changes)
        was = {name: before[name] for name in changes}
        self.unit.audit("calendar.updated", "Calendar", before["id"], before=was, after=changes)
        self.unit.emit("calendar.updated", before["id"], {})

    async def _dethrone(self) -> None:
        former = await self.repository.dethrone()
        if former is not None:
            was, now = {"is_default": True}, {"is_default": False}
            self.unit.audit("calendar.updated", "Calendar", former, before=was, after=now)
            self.unit.emit("calendar.updated", former, {})

    async def _loaded(self, row: Mapping[str, Any], data: HolidaysLoad, at: str = "") -> list[dict[str, Any]]:
        this_year, known = self.unit.now().year, known_years()
        years = set(data.years or {this_year, this_year + 1} & set(known) or {this_year})
        check_known(data.years or sorted(years), at)
        found = holidays_of(years, (await AccountService(self.unit).tenant()).locale)
        return rules.with_holidays(row["exceptions"], row["weekly"], found, years)

    # -- reckoned by ---------------------------------------------------------------------------------------------------

    async def due(self, calendar_id: UUID, ask: DueAsk) -> Due:
        """Return the earliest instant by which so many minutes of working time have passed.

        Raises:
            Invalid: a pause ends before it starts, or the time never comes (``never_due``, ``pause_without_end``).

        """
        self.unit.actor.require(READ)
        pauses = rules.pairs(ask.pauses)
        hours = await self.hours(calendar_id)
        due_at = hours.due(ask.start, timedelta(minutes=ask.minutes), pauses)
        if due_at is None:
            raise rules.never_due(pauses)
        return Due(due_at=due_at)

    async def elapsed(self, calendar_id: UUID, ask: ElapsedAsk) -> Elapsed:
        """Return the working time between two instants.

        Raises:
            Invalid: a pause, or the whole, ends before it starts.

        """
        self.unit.actor.require(READ)
        pauses = rules.pairs(ask.pauses)
        if ask.end < ask.start:
            raise Invalid.field("/end", "ends_before_start", "The end is before the start", "结束时间早于开始时间")
        hours = await self.hours(calendar_id)
        seconds = hours.worked(ask.start, ask.end, pauses) // timedelta(seconds=1)
        return Elapsed(minutes=seconds // 60, seconds=seconds)

    async def hours(self, calendar_id: UUID | None = None) -> BusinessHours:
        """Return the engine of a calendar, of the default one if none is named; for other domains.

        Raises:
            NotFound: there is no such calendar.

        """
        find = self.repository.find_default() if calendar_id is None else self.repository.find(calendar_id)
        row = await find
        if row is None:
            raise NotFound
        return rules.engine(row["time_zone"], row["weekly"], row["exceptions"])


def hours_of(row: Mapping[str, Any]) -> BusinessHours:
    """Return the engine of a stored calendar, the same one as long as it is not changed: for other domains."""
    return _engine(row["time_zone"], orjson.dumps(row["weekly"]), orjson.dumps(row["exceptions"]))


@lru_cache(maxsize=512)
def _engine(time_zone: str, weekly: bytes, exceptions: bytes) -> BusinessHours:
    return rules.engine(time_zone, orjson.loads(weekly), orjson.loads(exceptions))


def _by_date(exceptions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return sorted((dict(each) for each in exceptions), key=lambda each: str(each["date"]))
