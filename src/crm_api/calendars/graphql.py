"""Business calendars in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.calendars.models import CalendarCreate, CalendarUpdate, DueAsk, ElapsedAsk, HolidaysLoad
from crm_api.calendars.service import CalendarService
from crm_api.core.models import Instant
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SHOWN = {"calendar": "Calendar"}


async def _create(call: Call) -> dict[str, Any]:
    return {"calendar": await CalendarService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await CalendarService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"calendar": call.id}


async def _load_holidays(call: Call) -> dict[str, Any]:
    await CalendarService(call.unit).load_holidays(call.id, call.data, expected_version=call.version)
    return {"calendar": call.id}


async def _due(call: Call) -> dict[str, Any]:
    return (await CalendarService(call.unit).due(call.id, call.data)).model_dump(mode="json")


async def _elapsed(call: Call) -> dict[str, Any]:
    return (await CalendarService(call.unit).elapsed(call.id, call.data)).model_dump()


GRAPHQL = GraphQLParts(
    queries={
        "calendar": get("Calendar", description="A calendar by id."),
        "calendars": connection("Calendar", description="Working hours, newest first."),
        "calendar_due": Computed(
            _due,
            target="Calendar",
            input=DueAsk,
            payload={
                "due_at": Annotated[Instant, Field(description="The earliest instant by which it has passed.")],
            },
            description="When so many minutes of working time will have passed.",
        ),
        "calendar_elapsed": Computed(
            _elapsed,
            target="Calendar",
            input=ElapsedAsk,
            payload={
                "minutes": Annotated[int, Field(description="Whole minutes of working time.")],
                "seconds": Annotated[int, Field(description="The same in whole seconds.")],
            },
            description="How much working time lies between two instants.",
        ),
    },
    mutations={
        "calendar_create": Mutation(_create, input=CalendarCreate, payload=SHOWN, description="Add a calendar."),
        "calendar_update": Mutation(
            _update,
            target="Calendar",
            input=CalendarUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change the fields given, make it the default, or archive it.",
        ),
        "calendar_load_holidays": Mutation(
            _load_holidays,
            target="Calendar",
            input=HolidaysLoad,
            versioned=True,
            payload=SHOWN,
            description="Put public holidays and make-up workdays of some years among the exceptions.",
        ),
    },
)
