"""Telling, asking and reminding in the background."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from crm_api.accounts.service import for_each_tenant
from crm_api.closing.actions import BATCH as ACTIONS
from crm_api.closing.actions import CorrectiveActionService
from crm_api.closing.ratings import BATCH as RATINGS
from crm_api.closing.ratings import RatingService, note_for_churn
from crm_api.closing.tellings import TellingService
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork


def _subjects(messages: Sequence[Message], *types: str) -> list[UUID]:
    """Return what messages (of these types, or all) are about, each once, in key order."""
    return sorted({each.subject_id for each in messages if not types or each.type in types})


async def follow(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Tell customers what was decided and what came of it; plan to ask them."""
    await TellingService(unit).follow(_subjects(messages))
    await RatingService(unit).plan(_subjects(messages, "complaint.resolved"))


async def deliver(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Note which letters were taken, and let the shop tell or ask what nobody took."""
    arrived = {each.subject_id: each.type == "message.sent" for each in messages}
    await TellingService(unit).delivered(arrived)
    await RatingService(unit).delivered(arrived)


async def note(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Store ratings where churn warnings look for them."""
    await note_for_churn(unit, [each.payload for each in messages])


async def _ask(unit: UnitOfWork) -> bool:
    return await RatingService(unit).ask_due() == RATINGS


async def _expire(unit: UnitOfWork) -> bool:
    return await RatingService(unit).expire() == RATINGS


async def _remind(unit: UnitOfWork) -> bool:
    return await CorrectiveActionService(unit).tell_overdue() == ACTIONS


_STEPS: Final[tuple[Callable[[UnitOfWork], Awaitable[bool]], ...]] = (_ask, _expire, _remind)
"""What time brings; each tells whether there may be more."""


async def sweep(database: Database) -> None:
    """Do for every tenant what time brings: questions are asked and closed, actions are overdue."""

    async def work(actor: Actor) -> None:
        for step in _STEPS:
            while await database.run(actor, step):
                pass

    await for_each_tenant(database, "closing.sweep", work)


_MOVES = frozenset({"complaint.proposed", "complaint.resolved", "complaint.rejected", "complaint.duplicate"})
_WORDS = frozenset({"complaint.told", "complaint.closed"})
"""By these a case may say that its customer was told by other ways."""

SUBSCRIBERS = (
    Subscriber("closing.follow", _MOVES | _WORDS, follow),
    Subscriber("closing.deliver", frozenset({"message.sent", "message.failed"}), deliver),
    Subscriber("closing.note", frozenset({"complaint.rated"}), note),
)
SCHEDULES = (Schedule("closing.sweep", "*/5 * * * *", sweep),)
