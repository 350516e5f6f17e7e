"""Events and devices in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.events.models import (
    EventBatch,
    EventSettingsUpdate,
    IdentifyInput,
    InterestQuery,
    RefusedEvent,
    ViewedProduct,
)
from crm_api.events.service import EventService, IdentificationService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get


async def _ingest(call: Call) -> dict[str, Any]:
    done = await EventService(call.unit).ingest(call.data)
    locale = call.unit.actor.locale
    refused = [
        {"index": each.index, "id": each.id, "errors": [fault.localized(locale) for fault in each.errors]}
        for each in done.refused
    ]
    return {
        "accepted": done.accepted,
        "duplicates": done.duplicates,
        "rejected": len(refused),
        "results": [RefusedEvent.model_validate(each) for each in refused],
    }


async def _identify(call: Call) -> dict[str, Any]:
    identification_id, _ = await IdentificationService(call.unit).identify(call.data)
    return {"identification": identification_id}


async def _viewed_not_bought(call: Call) -> dict[str, Any]:
    return {"products": await EventService(call.unit).viewed_not_bought(call.id, call.data)}


async def _settings(call: Call) -> dict[str, Any]:
    return {"retention_days": (await EventService(call.unit).settings()).retention_days}


async def _configure(call: Call) -> dict[str, Any]:
    await EventService(call.unit).configure(call.data)
    return {"retention_days": call.data.retention_days}


_RETENTION = {"retention_days": Annotated[int, Field(description="Events older than this are deleted.")]}

GRAPHQL = GraphQLParts(
    queries={
        "event": get("Event", description="An event by id."),
        "events": connection("Event", description="What visitors did, newest first."),
        "identification": get("Identification", description="An identification by id."),
        "identifications": connection("Identification", description="Who identified themselves on which device."),
        "customer_viewed_not_bought": Computed(
            _viewed_not_bought,
            target="Customer",
            input=InterestQuery,
            payload={
                "products": Annotated[
                    list[ViewedProduct], Field(description="The products, the strongest interest first.")
                ]
            },
            description="What a customer looked at and did not buy. Takes events:read, orders:read, customers:read.",
        ),
        "event_settings": Computed(_settings, payload=_RETENTION, description="How long the shop keeps events."),
    },
    mutations={
        "event_ingest": Mutation(
            _ingest,
            input=EventBatch,
            payload={
                "accepted": Annotated[int, Field(description="Events stored now.")],
                "duplicates": Annotated[int, Field(description="Events whose id had been stored before.")],
                "rejected": Annotated[int, Field(description="Events that were refused.")],
                "results": Annotated[list[RefusedEvent], Field(description="The refused ones, and why.")],
            },
            description="Store up to 1,000 events; a wrong one is refused alone.",
        ),
        "identify": Mutation(
            _identify,
            input=IdentifyInput,
            payload={"identification": "Identification"},
            description="Note that a customer uses a device from a moment on, or has signed out.",
        ),
        "event_settings_update": Mutation(
            _configure, input=EventSettingsUpdate, payload=_RETENTION, description="Change how long events are kept."
        ),
    },
)
