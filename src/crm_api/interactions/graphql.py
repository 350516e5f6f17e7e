"""Interactions and timelines in GraphQL."""

from typing import Any

import orjson

from crm_api.core.paging import PageRequest
from crm_api.interactions.models import InteractionCreate, InteractionUpdate, TimelineEntry, TimelineQuery
from crm_api.interactions.service import InteractionService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SHOWN = {"interaction": "Interaction"}


async def _log(call: Call) -> dict[str, Any]:
    return {"interaction": await InteractionService(call.unit).log(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await InteractionService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"interaction": call.id}


async def _timeline(call: Call) -> dict[str, Any]:
    asked: TimelineQuery = call.data
    page = PageRequest(asked.first, asked.after, asked.before, asked.count)
    feed = await InteractionService(call.unit).timeline(call.id, page, only=asked.kinds)
    return {
        "entries": [orjson.loads(entry.json) for entry in feed.entries],
        "next": feed.next,
        "previous": feed.previous,
        "has_more": feed.has_more,
        "total": feed.total,
    }


GRAPHQL = GraphQLParts(
    queries={
        "interaction": get("Interaction", description="An interaction by id."),
        "interactions": connection("Interaction", description="What was said and done, newest first."),
        "customer_timeline": Computed(
            _timeline,
            target="Customer",
            input=TimelineQuery,
            payload={
                "entries": list[TimelineEntry],
                "next": str | None,
                "previous": str | None,
                "has_more": bool,
                "total": int | None,
            },
            description="Everything that happened to a customer, newest first, as far as the key may see it.",
        ),
    },
    mutations={
        "interaction_log": Mutation(
            _log, input=InteractionCreate, payload=SHOWN, description="Note a call, visit or message."
        ),
        "interaction_update": Mutation(
            _update,
            target="Interaction",
            input=InteractionUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change the fields given; null clears one.",
        ),
    },
)
