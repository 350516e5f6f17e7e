"""Business calendars over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.calendars.models import CalendarCreate, CalendarUpdate, Due, DueAsk, Elapsed, ElapsedAsk, HolidaysLoad
from crm_api.calendars.repository import CALENDAR
from crm_api.calendars.service import CalendarService
from crm_api.web.resources import WRITE_PROBLEMS, add_get, add_list, crm_router, resource, shown
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("calendars")

add_list(router, "/calendars", CALENDAR, summary="List calendars")
add_get(router, "/calendars", CALENDAR, summary="Get a calendar")


@router.post(
    "/calendars", status_code=201, summary="Add a calendar", responses=shown("Calendar", 201), response_model=None
)
async def create_calendar(unit: WriteUnit, body: CalendarCreate) -> Response:
    """Add working hours: several intervals a day, and dates that differ both ways.

    `holidays` adds a country's public holidays and make-up workdays to the exceptions, where they can be edited.
    """
    calendar_id = await CalendarService(unit).create(body)
    return await resource(unit, CALENDAR, calendar_id, status=201, location="/v1/calendars")


@router.patch("/calendars/{id}", summary="Change a calendar", responses=shown("Calendar"), response_model=None)
async def update_calendar(unit: WriteUnit, id: UUID, body: CalendarUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; `weekly` and `exceptions` are replaced whole. Archive it with `archived`."""
    await CalendarService(unit).update(id, body, expected_version=version)
    return await resource(unit, CALENDAR, id)


@router.post(
    "/calendars/{id}/holidays", summary="Load public holidays", responses=shown("Calendar"), response_model=None
)
async def load_calendar_holidays(unit: WriteUnit, id: UUID, body: HolidaysLoad, version: ExpectedVersion) -> Response:
    """Put the public holidays and make-up workdays of some years among the exceptions.

    What was loaded of these years before is replaced; what people entered themselves stays. China's days of a year are
    announced in the November before it: load them then.
    """
    await CalendarService(unit).load_holidays(id, body, expected_version=version)
    return await resource(unit, CALENDAR, id)


@router.post("/calendars/{id}/due", summary="Ask when working time will have passed", responses=WRITE_PROBLEMS)
async def reckon_due(unit: ReadUnit, id: UUID, body: DueAsk) -> Due:
    """Return the earliest instant by which that many minutes of working time have passed. Nothing is written.

    The end of a day's work is reached with it: one hour from Friday 16:00, where work ends at 17:00, is due at
    17:00 and not on Monday.
    """
    return await CalendarService(unit).due(id, body)


@router.post("/calendars/{id}/elapsed", summary="Ask how much working time has passed", responses=WRITE_PROBLEMS)
async def reckon_elapsed(unit: ReadUnit, id: UUID, body: ElapsedAsk) -> Elapsed:
    """Return the working time between two instants. Nothing is written."""
    return await CalendarService(unit).elapsed(id, body)
