"""Events and devices over REST."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Path, Query
from starlette.responses import Response

from crm_api.core.errors import Locale
from crm_api.events.models import (
    EventBatch,
    EventSettings,
    EventSettingsUpdate,
    IdentifyInput,
    Ingested,
    IngestResult,
    InterestList,
    InterestQuery,
)
from crm_api.events.repository import EVENT, IDENTIFICATION
from crm_api.events.service import EventService, IdentificationService
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    resource,
    shown,
)
from crm_api.web.units import ReadUnit, WriteUnit

router = crm_router("events")

add_list(router, "/events", EVENT, summary="List events")
add_get(router, "/events", EVENT, summary="Get an event")
add_list(
    router,
    "/customers/{customer_id}/events",
    EVENT,
    summary="List a customer's events",
    parent=("customer_id", "customer_id"),
)
add_list(router, "/identifications", IDENTIFICATION, summary="List identifications")
add_get(router, "/identifications", IDENTIFICATION, summary="Get an identification")

_INGESTED: dict[int | str, dict[str, Any]] = {
    200: {"model": IngestResult, "description": "All events are stored (or had been before)."},
    207: {"model": IngestResult, "description": "Some events were refused, see `results`; all others are stored."},
    **WRITE_PROBLEMS,
}


def outcome(done: Ingested, locale: Locale) -> dict[str, Any]:
    """Return the answer to a batch."""
    return {
        "accepted": done.accepted,
        "duplicates": done.duplicates,
        "rejected": len(done.refused),
        "results": [
            {"index": each.index, "id": each.id, "errors": [fault.localized(locale) for fault in each.errors]}
            for each in done.refused
        ],
    }


@router.post("/events/batch", summary="Send events", responses=_INGESTED, response_model=None)
async def ingest_events(unit: WriteUnit, body: EventBatch) -> Response:
    """Store up to 1,000 events of any age and in any order; each id is stored once.

    A wrong event is refused alone (207, `results` says why); all others are stored. Sending a batch again is safe.
    """
    done = await EventService(unit).ingest(body)
    answer = outcome(done, unit.actor.locale)
    return Response(orjson.dumps(answer), 207 if done.refused else 200, media_type=JSON)


@router.post(
    "/identify",
    summary="Say who uses a device",
    responses={**shown("Identification"), **shown("Identification", 201)},
    response_model=None,
)
async def identify(unit: WriteUnit, body: IdentifyInput) -> Response:
    """Note that a customer uses a device from a moment on, or has signed out.

    What happened there before belongs to them too, back to when the device was somebody else's. A long history is
    given to them in the background: `state` and `attributed` of the identification tell how far that is.
    """
    identification_id, new = await IdentificationService(unit).identify(body)
    status, location = (201, "/v1/identifications") if new else (200, None)
    return await resource(unit, IDENTIFICATION, identification_id, status=status, location=location)


_INTERESTS: dict[int | str, dict[str, Any]] = {
    200: {"model": InterestList, "description": "The products, the strongest interest first."},
    **READ_PROBLEMS,
}
Days = Annotated[int, Query(ge=1, le=3_650, description="Looks of the last so many days.")]
Most = Annotated[int, Query(ge=1, le=100, description="Products, at most.")]


@router.get(
    "/customers/{customer_id}/viewed-not-bought",
    summary="List what a customer looked at and did not buy",
    responses=_INTERESTS,
    response_model=None,
)
async def viewed_not_bought(
    unit: ReadUnit, customer_id: Annotated[UUID, Path()], days: Days = 90, limit: Most = 20
) -> Response:
    """Products of the customer's events without an order of theirs in the same time, the strongest interest first.

    A look counts one, putting it into the cart five. Takes `events:read`, `orders:read` and `customers:read`.
    """
    found = await EventService(unit).viewed_not_bought(customer_id, InterestQuery(days=days, limit=limit))
    return Response(InterestList(data=found).model_dump_json(), 200, media_type=JSON)


_SETTINGS: dict[int | str, dict[str, Any]] = {200: {"model": EventSettings, "description": "The settings."}}


@router.get(
    "/event-settings", summary="Get event settings", responses={**_SETTINGS, **READ_PROBLEMS}, response_model=None
)
async def event_settings(unit: ReadUnit) -> Response:
    """How long the shop keeps events."""
    return Response((await EventService(unit).settings()).model_dump_json(), 200, media_type=JSON)


@router.put(
    "/event-settings", summary="Change event settings", responses={**_SETTINGS, **WRITE_PROBLEMS}, response_model=None
)
async def configure_events(unit: WriteUnit, body: EventSettingsUpdate) -> Response:
    """Say how long the shop keeps events; what is older is deleted within a day, and no longer accepted."""
    await EventService(unit).configure(body)
    return Response(body.model_dump_json(), 200, media_type=JSON)
