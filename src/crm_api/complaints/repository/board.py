"""Which cases are in a queue."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, func, literal, select

from crm_api.accounts.tables import staff
from crm_api.complaints import rules
from crm_api.complaints.models import State
from crm_api.complaints.tables import complaints
from crm_api.db.uow import UnitOfWork
from crm_api.staff.tables import team_members, teams


@dataclass(frozen=True, slots=True)
class Queue:
    """Which cases somebody looks after.

    Attributes:
        assignee_id: only this staff member's.
        team_id: only this team's.
        unassigned: only nobody's.
        states: only in these states; None for all that wait for their resolution.

    """

    assignee_id: UUID | None = None
    team_id: UUID | None = None
    unassigned: bool = False
    states: tuple[State, ...] | None = None


async def queued(unit: UnitOfWork, queue: Queue, among: Iterable[UUID] | None = None) -> list[UUID]:
    """Return the cases of a queue (``among`` these, or all), those that came in last first."""
    k, m = complaints, team_members
    states = list(rules.OPEN if queue.states is None else queue.states)
    where: list[Any] = [k.c.tenant_id == unit.tenant_id, k.c.state == any_(literal(states, ARRAY(Text)))]
    if among is not None:
        where.append(k.c.id == any_(literal(list(among), ARRAY(Uuid))))
    if queue.assignee_id is not None:
        where.append(k.c.assignee_id == queue.assignee_id)
    if queue.team_id is not None:
        members = select(m.c.staff_id).where(m.c.tenant_id == unit.tenant_id, m.c.team_id == queue.team_id)
        where.append(k.c.assignee_id == any_(func.array(members.scalar_subquery())))
    if queue.unassigned:
        where.append(k.c.assignee_id.is_(None))
    rows = await unit.fetch_all(select(k.c.id).where(*where).order_by(k.c.received_at.desc(), k.c.id.desc()))
    return [row["id"] for row in rows]


async def strangers(unit: UnitOfWork, queue: Queue) -> list[str]:
    """Return which of a queue's staff member and team the shop does not have."""
    found = []
    for name, table, one in (("assignee_id", staff, queue.assignee_id), ("team_id", teams, queue.team_id)):
        there = select(table.c.id).where(table.c.tenant_id == unit.tenant_id, table.c.id == one)
        if one is not None and await unit.fetch_one(there) is None:
            found.append(name)
    return found
