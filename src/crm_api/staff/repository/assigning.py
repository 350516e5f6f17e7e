"""Rules of assignment, those they choose from, and those who wait."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, Text, Uuid, any_, cast, delete, exists, func, literal, or_, select, tuple_, update

from crm_api.accounts.tables import staff, stores
from crm_api.core.ids import new_id
from crm_api.customers.tables import customer_tags, customers
from crm_api.db.repository import Repository
from crm_api.staff.repository import online
from crm_api.staff.tables import assignment_rules, customer_ownerships, owner_queue, skills, staff_skills, team_members


def _among(ids: Sequence[UUID]) -> Any:
    return any_(literal(list(ids), ARRAY(Uuid)))


class RuleRepository(Repository):
    """Rules of assignment."""

    table = assignment_rules

    async def lock_active(self, target: str) -> list[asyncpg.Record]:
        """Return the rules that hand a kind of work out, first to last, all held until the unit ends.

        Whoever hands out the same kind waits here: turns are taken, and capacities looked at, one after the other.
        They are locked in the order of ids.
        """
        t = assignment_rules
        rows = await self.unit.fetch_all(
            select(t)
            .where(self.mine(), t.c.target == target, t.c.active)
            .order_by(t.c.id)
            .with_for_update(key_share=True)
        )
        return sorted(rows, key=lambda row: (row["position"], row["id"]))

    async def keep_turn(self, rule_id: UUID, turn: Mapping[str, Any]) -> None:
        """Store whose turn it was: no change of the rule, so its version stays."""
        await self.unit.execute(update(assignment_rules).where(self.by_id(rule_id)).values(turn=dict(turn)))

    async def remove(self, rule_id: UUID) -> None:
        """Delete a rule; who waits for it waits no more."""
        await self.unit.execute(delete(assignment_rules).where(self.by_id(rule_id)))

    async def known_skills(self, ids: Sequence[UUID]) -> set[UUID]:
        """Return which of these skills there are."""
        rows = await self.unit.fetch_all(select(skills.c.id).where(self.mine(skills), skills.c.id == _among(ids)))
        return {row["id"] for row in rows}

    async def known_stores(self, ids: Sequence[str]) -> set[str]:
        """Return which of these stores there are, by id as text: what rules compare with."""
        written = cast(stores.c.id, Text)
        wanted = any_(literal(list(ids), ARRAY(Text)))
        rows = await self.unit.fetch_all(select(written.label("id")).where(self.mine(stores), written == wanted))
        return {row["id"] for row in rows}


class HandlerRepository(Repository):
    """Staff as handlers."""

    table = staff

    async def lock_pool(self, now: datetime) -> list[asyncpg.Record]:
        """Return active staff with ``online``, in the order of ids, held against other changes of their load."""
        t = staff
        return await self.unit.fetch_all(
            select(t.c.id, t.c.store_id, t.c.weight, t.c.customer_capacity, t.c.case_capacity, self._online(now))
            .where(self.mine(), t.c.active)
            .order_by(t.c.id)
            .with_for_update(key_share=True, of=t)
        )

    async def hold(self, ids: Sequence[UUID], now: datetime) -> list[asyncpg.Record]:
        """Return these staff members, active or not, as `lock_pool` does."""
        t = staff
        return await self.unit.fetch_all(
            select(t.c.id, t.c.active, t.c.store_id, t.c.weight, t.c.customer_capacity, self._online(now))
            .where(self.mine(), t.c.id == _among(ids))
            .order_by(t.c.id)
            .with_for_update(key_share=True, of=t)
        )

    def _online(self, now: datetime) -> Any:
        return online(staff, literal(now), self.unit.tenant_id).label("online")

    async def skills_of(self, ids: Sequence[UUID], today: date) -> dict[UUID, frozenset[UUID]]:
        """Return the skills that count today, by staff member."""
        t = staff_skills
        rows = await self.unit.fetch_all(
            select(t.c.staff_id, func.array_agg(t.c.skill_id).label("skills"))
            .where(self.mine(t), t.c.staff_id == _among(ids), or_(t.c.expires_on.is_(None), t.c.expires_on >= today))
            .group_by(t.c.staff_id)
        )
        return {row["staff_id"]: frozenset(row["skills"]) for row in rows}

    async def teams_of(self, ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
        """Return the members of these teams."""
        t = team_members
        rows = await self.unit.fetch_all(
            select(t.c.team_id, t.c.staff_id).where(self.mine(t), t.c.team_id == _among(ids))
        )
        found: dict[UUID, set[UUID]] = {each: set() for each in ids}
        for row in rows:
            found[row["team_id"]].add(row["staff_id"])
        return found

    async def customer_loads(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return how many living customers each looks after."""
        c = customers
        rows = await self.unit.fetch_all(
            select(c.c.owner_id, func.count().label("customers"))
            .where(self.mine(c), c.c.owner_id == _among(ids), c.c.deleted_at.is_(None))
            .group_by(c.c.owner_id)
        )
        return {row["owner_id"]: row["customers"] for row in rows}

    async def today(self, now: datetime) -> date:
        """Return the tenant's own day."""
        day: date = await self.unit.connection.fetchval(_TODAY, self.unit.tenant_id, now)
        return day

    async def tell_presence(self, now: datetime) -> list[tuple[UUID, bool]]:
        """Note who has come or gone since the last time; returns them with whether they are online."""
        t = staff
        here = online(t, literal(now), self.unit.tenant_id)
        held = await self.unit.fetch_all(
            select(t.c.id)
            .where(self.mine(), t.c.told_online != here)
            .order_by(t.c.id)
            .with_for_update(key_share=True, of=t)
        )
        if not held:
            return []
        rows = await self.unit.fetch_all(
            update(t)
            .where(self.mine(), t.c.id == _among([row["id"] for row in held]), t.c.told_online != here)
            .values(told_online=~t.c.told_online)
            .returning(t.c.id, t.c.told_online)
        )
        return sorted((row["id"], row["told_online"]) for row in rows)

    async def colleagues(self, staff_id: UUID) -> list[UUID]:
        """Return active staff who could take over: of the same teams, else of the same store, else all."""
        t, mine = staff, team_members.alias("mine")
        others = [self.mine(), t.c.active, t.c.id != staff_id]
        together = exists(
            select(team_members.c.staff_id)
            .join(mine, (mine.c.tenant_id == team_members.c.tenant_id) & (mine.c.team_id == team_members.c.team_id))
            .where(self.mine(team_members), mine.c.staff_id == staff_id, team_members.c.staff_id == t.c.id)
        )
        home = select(t.c.store_id).where(self.by_id(staff_id)).scalar_subquery()
        for condition in (together, t.c.store_id == home):
            rows = await self.unit.fetch_all(select(t.c.id).where(*others, condition).order_by(t.c.id))
            if rows:
                return [row["id"] for row in rows]
        rows = await self.unit.fetch_all(select(t.c.id).where(*others).order_by(t.c.id))
        return [row["id"] for row in rows]


_TODAY = "SELECT ($2::timestamptz AT TIME ZONE time_zone)::date FROM tenants WHERE tenant_id = $1"


class IntakeRepository(Repository):
    """Customers without an owner, and those who wait for one."""

    table = owner_queue

    async def facts(self, ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return what rules ask of those of these customers who have no owner, in the order given.

        ``previous`` is who looked after them last, while nobody does.
        """
        c, tag, past = customers, customer_tags, customer_ownerships
        tags = select(func.array_agg(tag.c.tag)).where(self.mine(tag), tag.c.customer_id == c.c.id).scalar_subquery()
        previous = (
            select(past.c.previous_owner_id)
            .where(self.mine(past), past.c.customer_id == c.c.id)
            .order_by(past.c.at.desc(), past.c.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        rows = await self.unit.fetch_all(
            select(
                c.c.id,
                c.c.store_id,
                c.c.source,
                c.c.kind,
                c.c.city,
                tags.label("tags"),
                previous.label("previous"),
            ).where(self.mine(c), c.c.id == _among(ids), c.c.owner_id.is_(None), c.c.deleted_at.is_(None))
        )
        found = {row["id"]: row for row in rows}
        return [found[each] for each in ids if each in found]

    async def latest_line(self, customer_id: UUID) -> UUID:
        """Return the id of the newest line of a customer's history of owners."""
        t = customer_ownerships
        found: UUID = await self.unit.fetch_value(
            select(t.c.id)
            .where(self.mine(t), t.c.customer_id == customer_id)
            .order_by(t.c.id.desc())  # as they were written, whatever the clocks say
            .limit(1)
        )
        return found

    async def waiting(self, limit: int, after: tuple[datetime, UUID] | None) -> list[asyncpg.Record]:
        """Return who has been waiting longest of those behind a place (``since``, ``id``) in the queue."""
        t = owner_queue
        place = tuple_(t.c.since, t.c.id)
        return await self.unit.fetch_all(
            select(t.c.customer_id, t.c.since, t.c.id)
            .where(self.mine(), *([] if after is None else [place > after]))
            .order_by(t.c.since, t.c.id)
            .limit(limit)
        )

    async def wait(self, rows: Sequence[tuple[UUID, UUID, str]], now: datetime) -> None:
        """Put customers (customer, rule, reason) into the queue; who waits already keeps the place."""
        for customer_id, rule_id, reason in sorted(rows):
            await self.unit.connection.execute(_WAIT, self.unit.tenant_id, new_id(), customer_id, rule_id, reason, now)

    async def leave(self, ids: Sequence[UUID]) -> None:
        """Take customers out of the queue."""
        await self.unit.execute(delete(owner_queue).where(self.mine(), owner_queue.c.customer_id == _among(ids)))

    async def forget_others(self) -> None:
        """Take those out who have an owner by now, or are gone."""
        await self.unit.connection.execute(_FORGET, self.unit.tenant_id)


_WAIT = """
INSERT INTO owner_queue (tenant_id, id, customer_id, rule_id, reason, since) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, customer_id) DO UPDATE SET rule_id = excluded.rule_id, reason = excluded.reason
WHERE (owner_queue.rule_id, owner_queue.reason) IS DISTINCT FROM (excluded.rule_id, excluded.reason)
"""
_FORGET = """
DELETE FROM owner_queue q USING customers c
WHERE q.tenant_id = $1 AND c.tenant_id = $1 AND c.id = q.customer_id
  AND (c.owner_id IS NOT NULL OR c.deleted_at IS NOT NULL)
"""
