"""Following a segment: what the GraphQL subscription `segmentChanges` tells."""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from pydantic import Field

from crm_api.core.errors import Invalid, NotFound
from crm_api.core.messages import Message
from crm_api.db.plans import read_one
from crm_api.segments.repository import SEGMENT
from crm_api.segments.repository.explain import entries_after
from crm_api.web.graphql.parts import Call, Subscription

PAGE: Final = 200
"""Entries read at a time: a full evaluation may write a hundred thousand."""


class ChangesFollower:
    """Tells each entry of a segment's log once, in the order of its sequence, which has no gaps."""

    def __init__(self) -> None:
        """Nothing has been looked at yet."""
        self.behind = False
        self._told = 0

    async def first(self, call: Call) -> Sequence[Any]:
        """Return the entries behind the one the client knows; without one, only what comes from now on is told."""
        found = await read_one(call.unit, SEGMENT, call.id, ("last_sequence",))
        if found is None:
            raise NotFound
        last: int = orjson.loads(found.json)["last_sequence"]
        self._told = call.extra.get("after", last)
        if not 0 <= self._told <= last:
            raise Invalid.field(
                "/after",
                "out_of_range",
                f"The log goes from 1 to {last}: send the sequence of the last entry you have, or 0 for all",
                f"日志序号为 1 到 {last}：请提供已收到的最后一条的序号，或 0 以获取全部",
            )
        return await self._look(call)

    async def next(self, call: Call, _messages: Sequence[Message]) -> Sequence[Any]:
        """Return the entries behind those that were told."""
        return await self._look(call)

    async def ended(self, _call: Call) -> bool:
        """Say no: there is always more to come."""
        return False

    async def _look(self, call: Call) -> Sequence[UUID]:
        entries = await entries_after(call.unit, call.id, self._told, PAGE)
        self.behind = len(entries) == PAGE
        if entries:
            self._told = entries[-1]["sequence"]
        return [each["id"] for each in entries]


def _concerns(message: Message, segment_id: UUID) -> bool:
    moved = message.type in {"segment.entered", "segment.left"}
    return moved and bool(message.payload["segment_id"] == str(segment_id))


SEGMENT_CHANGES: Final = Subscription(
    ChangesFollower,
    _concerns,
    target="Segment",
    argument="segment_id",
    returns="SegmentLogEntry",
    extra={
        "after": Annotated[
            int | None,
            Field(
                description="Sequence of the last entry you have: those behind it come first, none is left out. 0 for "
                "the whole log; only what happens from now on, if left out."
            ),
        ]
    },
    merges=True,
    description="Each customer who enters or leaves a segment, in order, once it is committed.",
)
