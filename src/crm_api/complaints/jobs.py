"""What time brings and messages ask for: clocks, steps of escalation, cases that change hands, and are closed."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from crm_api.accounts.service import for_each_tenant
from crm_api.complaints import escalation
from crm_api.complaints.assigning import CaseAssignment
from crm_api.complaints.clocks import BATCH, WEBHOOK_JOB, CaseClocks
from crm_api.complaints.models import ComplaintTransition
from crm_api.complaints.service import ComplaintService
from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.staff.service import Place

SWEEP_JOB: Final = "complaints.clocks"
AT_ONCE = 10_000
"""Cases of a tenant that one run closes at most; the next run goes on."""


async def sweep_tenant(database: Database, tenant_id: UUID) -> int:
    """Look at all cases of a tenant whose time has come or whose limits have changed; returns how many."""
    actor, looked = Actor.system(tenant_id, SWEEP_JOB), 0
    while True:
        found = await database.run(actor, lambda unit: CaseClocks(unit).sweep(BATCH))
        looked += found
        if found < BATCH:
            return looked


async def sweep(database: Database) -> None:
    """Do so for every tenant, and then look again at cases that wait for somebody: no queue delays others' clocks."""
    await for_each_tenant(database, SWEEP_JOB, lambda actor: sweep_tenant(database, actor.tenant_id))
    await for_each_tenant(database, SWEEP_JOB, lambda actor: serve_all(database, actor))


async def serve_all(database: Database, actor: Actor) -> None:
    """Look again at all cases that wait, a batch in a transaction: what nobody can take keeps nobody from the rest."""
    place: Place | None = None
    while True:
        place = await database.run(actor, partial(_serve_batch, place))
        if place is None:
            return


async def _serve_batch(after: Place | None, unit: UnitOfWork) -> Place | None:
    return await CaseAssignment(unit).serve_queue(after)


async def reclock(database: Database, payload: Mapping[str, Any]) -> None:
    """Clock a tenant's open cases by what holds now; whoever dies at it leaves the rest to the next."""
    tenant_id = UUID(payload["tenant_id"])
    looked = await sweep_tenant(database, tenant_id)

    async def tell(unit: UnitOfWork) -> None:
        unit.emit("complaint_clocks.reckoned", tenant_id, {"cases": looked})

    if looked:
        await database.run(Actor.system(tenant_id, SWEEP_JOB), tell)


async def change(unit: UnitOfWork, _messages: Sequence[Message]) -> None:
    """Have open cases clocked anew: limits or working hours have changed."""
    await unit.enqueue(SWEEP_JOB, {})


async def escalate(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Take steps of escalation."""
    await escalation.Escalations(unit).follow(messages)


async def pass_on(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Let others take over from who has gone off."""
    await CaseAssignment(unit).pass_on(sorted({each.subject_id for each in messages}))


async def serve(unit: UnitOfWork, _messages: Sequence[Message]) -> None:
    """Look again at the cases that have waited longest: there may be somebody now. The sweep looks at all."""
    await CaseAssignment(unit).serve_queue()


async def refund(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Stop clocks that waited for a refund."""
    paid_back = {each.subject_id: each.occurred_at for each in reversed(messages)}
    for order_id in sorted(paid_back):
        # When it happened, not when the worker heard of it.
        await CaseClocks(unit).refunded(order_id, paid_back[order_id])


async def call_webhook(database: Database, payload: Mapping[str, Any]) -> None:
    """Send an announcement to its webhook."""
    await escalation.call(database, UUID(payload["tenant_id"]), UUID(payload["alert_id"]))


async def give_up_webhook(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say that it was never taken."""
    await escalation.give_up(database, UUID(payload["tenant_id"]), UUID(payload["alert_id"]), reason)


# -- closing -----------------------------------------------------------------------------------------------------------


async def close_resolved(database: Database) -> None:
    """Close what was resolved long enough ago, as each tenant's settings say."""
    await for_each_tenant(database, "complaints.close", lambda actor: close_due(database, actor))


async def close_due(database: Database, actor: Actor) -> int:
    """Close a tenant's cases that are due, each in a transaction of its own; returns how many.

    Who was faster, or still owes something (a compensation, say), is left alone and looked at again an hour later.
    """

    async def due(unit: UnitOfWork) -> list[UUID]:
        return await ComplaintService(unit).due_to_close(AT_ONCE)

    closed = 0
    for complaint_id in await database.run(actor, due):
        with contextlib.suppress(Conflict):
            await database.run(actor, partial(_close, complaint_id))
            closed += 1
    return closed


async def _close(complaint_id: UUID, unit: UnitOfWork) -> None:
    await ComplaintService(unit).transition(complaint_id, ComplaintTransition(action="close"))


_LIMITS = frozenset({"clock_policy.created", "clock_policy.updated", "calendar.created", "calendar.updated"})
_ROOM = frozenset({"staff.created", "staff.updated", "staff.online", "staff_skill.granted", "team.updated"})
_RULES = frozenset({"assignment_rule.created", "assignment_rule.updated"})
_OVER = frozenset({"complaint.resolved", "complaint.withdrawn", "complaint.rejected", "complaint.duplicate"})

SUBSCRIBERS = (
    Subscriber("complaints.limits", _LIMITS, change),
    Subscriber("complaints.escalate", frozenset({"complaint.escalated"}), escalate),
    Subscriber("complaints.pass_on", frozenset({"staff.offline", "staff.updated"}), pass_on),
    Subscriber("complaints.queue", _ROOM | _RULES | _OVER, serve),
    Subscriber("complaints.refund", frozenset({"order.refunded"}), refund),
)
JOBS = (Job(SWEEP_JOB, reclock), Job(WEBHOOK_JOB, call_webhook, give_up_webhook))
SCHEDULES = (
    Schedule("complaints.clocks", "* * * * *", sweep),
    Schedule("complaints.close", "23 * * * *", close_resolved),
)
