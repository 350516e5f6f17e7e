"""Interactions and timelines in GraphQL."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from crm_api.core.messages import Message
from crm_api.core.paging import MAX_LIMIT, PageRequest
from crm_api.db.timeline import Entry
from crm_api.interactions.models import (
    InteractionBatch,
    InteractionCreate,
    InteractionUpdate,
    TimelineEntry,
    TimelineQuery,
)
from crm_api.interactions.service import InteractionService
from crm_api.web.batch import BATCH_PAYLOAD, batch_payload, read_items
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, Subscription, connection, get

SHOWN = {"interaction": "Interaction"}


async def _log(call: Call) -> dict[str, Any]:
    return {"interaction": await InteractionService(call.unit).log(call.data)}


async def _batch(call: Call) -> dict[str, Any]:
    results = await InteractionService(call.unit).batch(read_items(call.data.items, InteractionCreate), call.data.mode)
    return batch_payload(results, call.data.mode, call.unit.actor.locale)


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


NEWEST: Final = 50
"""Entries looked at for what is new: of a burst, the newest so many are told."""

REMEMBERED: Final = 1_000


class _Timeline:
    """Tells each entry that appears or changes, once for each state it is seen in.

    Whatever happens to the customer makes it look at the newest entries, and at those about the rows that something
    happened to, however long ago they are. So it needs to know nothing of the kinds of entries there are.
    """

    behind = False

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def first(self, call: Call) -> Sequence[Any]:
        """Take note of what is there; it is not told."""
        self._news(await self._newest(call))
        return ()

    async def next(self, call: Call, messages: Sequence[Message]) -> Sequence[Any]:
        """Return what is new, in the order of time."""
        ids = sorted({each.subject_id for each in messages} - {call.id})
        entries = list(await self._newest(call))
        if ids:
            page = PageRequest(min(len(ids) * 2, MAX_LIMIT))
            entries += (await InteractionService(call.unit).timeline(call.id, page, ids=ids)).entries
        return [orjson.loads(each.json) for each in sorted(self._news(entries), key=lambda each: each.at)]

    async def ended(self, _call: Call) -> bool:
        """Say no: there is always more to come."""
        return False

    async def _newest(self, call: Call) -> Sequence[Entry]:
        return (await InteractionService(call.unit).timeline(call.id, PageRequest(NEWEST))).entries

    def _news(self, entries: Sequence[Entry]) -> list[Entry]:
        found = []
        for each in entries:
            key = (orjson.loads(each.json)["kind"], str(each.id))
            if self._seen.get(key) != each.json:
                found.append(each)
            self._seen[key] = each.json
            self._seen.move_to_end(key)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return found


def _concerns(message: Message, customer_id: UUID) -> bool:
    about = str(customer_id)
    told = message.payload
    named = message.subject_id == customer_id or told.get("customer_id") == about
    return named or about in told.get("customer_ids", ())


GRAPHQL = GraphQLParts(
    subscriptions={
        "customer_timeline": Subscription(
            _Timeline,
            _concerns,
            target="Customer",
            argument="customer_id",
            returns=TimelineEntry,
            description="Each entry that appears in a customer's timeline, or changes, as far as the key may see it.",
        ),
    },
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
        "interaction_batch": Mutation(
            _batch,
            input=InteractionBatch,
            payload=BATCH_PAYLOAD,
            description="Note up to 1,000 interactions in one transaction, all or each by itself.",
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
