"""Following a queue of cases: what the GraphQL subscription `complaintBoard` tells."""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from crm_api.complaints.models import State
from crm_api.complaints.repository.board import Queue, queued, strangers
from crm_api.complaints.service import READ
from crm_api.core.errors import FieldError, Invalid
from crm_api.core.messages import Message
from crm_api.db.uow import UnitOfWork
from crm_api.web.graphql.parts import Call, Subscription

MOST: Final = 200
"""Cases told at once when the subscription begins."""


class BoardFollower:
    """Tells each case of a queue that changes, and once more the one that leaves it."""

    behind = False

    def __init__(self) -> None:
        """Nothing has been looked at yet."""
        self._queue = Queue()
        self._there: set[UUID] = set()

    async def first(self, call: Call) -> Sequence[UUID]:
        """Return the queue as it stands when that is asked for; otherwise only what comes from now on is told."""
        call.unit.actor.require(READ)
        self._queue = _queue_of(call)
        await _require_sense(call.unit, self._queue)
        found = await queued(call.unit, self._queue)
        self._there = set(found)
        return found[:MOST] if call.extra.get("current") else ()

    async def next(self, call: Call, messages: Sequence[Message]) -> Sequence[UUID]:
        """Return those that changed, in that order: if they are in the queue now, or were when last looked at."""
        call.unit.actor.require(READ)
        changed = dict.fromkeys(each.subject_id for each in messages)
        here = set(await queued(call.unit, self._queue, changed))
        gone = changed.keys() & self._there - here
        self._there = self._there - gone | here
        return [each for each in changed if each in here or each in gone]

    async def ended(self, _call: Call) -> bool:
        """Say no: there is always more to come."""
        return False


def _queue_of(call: Call) -> Queue:
    states = call.extra.get("states")
    return Queue(
        assignee_id=call.extra.get("assignee_id"),
        team_id=call.extra.get("team_id"),
        unassigned=bool(call.extra.get("unassigned")),
        states=None if states is None else tuple(each.value if isinstance(each, Enum) else each for each in states),
    )


_UNKNOWN: Final = {
    "assignee_id": ("There is no such staff member", "没有此员工"),
    "team_id": ("There is no such team", "没有此团队"),
}


async def _require_sense(unit: UnitOfWork, queue: Queue) -> None:
    """Refuse a queue that stays empty whatever happens: who follows it would wait for ever."""
    errors = []
    if queue.unassigned and (queue.assignee_id or queue.team_id):
        text = "What nobody handles is in nobody's queue: leave out assigneeId and teamId, or unassigned"
        zh = "无人处理的投诉不属于任何人：与 assigneeId、teamId 不能同时使用"
        errors.append(FieldError("/unassigned", "contradiction", text, zh))
    if queue.states == ():
        text = "Name a state, or leave states out for all that wait for their resolution"
        errors.append(FieldError("/states", "too_few", text, "请至少指定一个状态，或不填写以关注全部未解决的投诉"))
    errors += [FieldError(f"/{name}", "unknown_reference", *_UNKNOWN[name]) for name in await strangers(unit, queue)]
    if errors:
        raise Invalid(errors=errors)


def _concerns(message: Message, _: UUID) -> bool:
    return message.type.startswith("complaint.")


COMPLAINT_BOARD: Final = Subscription(
    BoardFollower,
    _concerns,
    returns="Complaint",
    refs={"assignee_id": "Staff", "team_id": "Team"},
    extra={
        "assignee_id": Annotated[UUID | None, Field(description="Only cases of this staff member.")],
        "team_id": Annotated[UUID | None, Field(description="Only cases of this team's members.")],
        "unassigned": Annotated[bool | None, Field(description="true: only cases that nobody handles yet.")],
        "states": Annotated[
            list[State] | None, Field(description="Only cases in these states; those not resolved yet, if left out.")
        ],
        "current": Annotated[
            bool | None,
            Field(description=f"true: first the queue as it stands, those that came in last first, {MOST} at most."),
        ],
    },
    description="Each case of a queue that changes, as it is then; of a burst, the last. One that leaves the queue is "
    "told once more.",
)
