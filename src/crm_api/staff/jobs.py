"""Owners for new customers, proposals when somebody leaves, and who comes and goes."""

from collections.abc import Sequence
from functools import partial

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.staff.assigning import AssignmentService, Place
from crm_api.staff.rebalancing import RebalancingService


async def assign(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Give new customers an owner, as the rules say."""
    await AssignmentService(unit).assign_many(sorted({each.subject_id for each in messages}))


async def follow(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Tell who has come or gone; propose who takes over from those who have left."""
    for staff_id in sorted({each.subject_id for each in messages if each.type == "staff.updated"}):
        await RebalancingService(unit).propose_for(staff_id)
    await AssignmentService(unit).tell_presence()


async def serve(unit: UnitOfWork, _messages: Sequence[Message]) -> None:
    """Look again at who has waited longest: there may be somebody now. The sweep looks at all."""
    await AssignmentService(unit).serve_queue()


async def serve_all(database: Database, actor: Actor) -> None:
    """Look again at everybody who waits, a batch in a transaction: whom nobody can serve keeps nobody from the rest."""
    place: Place | None = None
    while True:
        place = await database.run(actor, partial(_serve_batch, place))
        if place is None:
            return


async def _serve_batch(after: Place | None, unit: UnitOfWork) -> Place | None:
    return await AssignmentService(unit).serve_queue(after)


async def sweep(database: Database) -> None:
    """Do for every tenant what time brings: shifts begin and end, who waits is looked at again."""

    async def presence(unit: UnitOfWork) -> None:
        await AssignmentService(unit).tell_presence()

    async def work(actor: Actor) -> None:
        # Each by itself: together they would take the locks out of order.
        await database.run(actor, presence)
        await serve_all(database, actor)

    await for_each_tenant(database, "staff.sweep", work)


_PEOPLE = frozenset({"staff.updated", "shift.created", "shift.updated", "shift.deleted"})
_ROOM = frozenset({"staff.created", "staff.updated", "staff_skill.granted", "assignment_rule.created"})

SUBSCRIBERS = (
    Subscriber("staff.assign", frozenset({"customer.created"}), assign),
    Subscriber("staff.follow", _PEOPLE, follow),
    Subscriber("staff.queue", _ROOM | {"assignment_rule.updated", "team.updated"}, serve),
)
SCHEDULES = (Schedule("staff.sweep", "*/5 * * * *", sweep),)
