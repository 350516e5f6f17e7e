"""Making tasks ahead: by the calendar, after a low rating, for the neglected.

A pass looks at everybody a plan is for, some hundred at a time, each batch in a transaction of its own that holds the
plan. It keeps no cursor: what a task follows from are facts (`rules.next_slot`), and the database lets each slot have
one task, so a pass that was killed is simply made again, and two at once make the same tasks as one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.accounts.service import AccountService
from crm_api.consent.service import ConsentService
from crm_api.core.actor import Actor
from crm_api.core.business_hours import BusinessHours
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.followups.plans import JOB
from crm_api.followups.repository import Fact, PlanningRepository, PlanRepository
from crm_api.followups.rules import REACHED_BY, Due, History, due_in, due_on, held_out, moved, next_slot, spread_offset
from crm_api.followups.service import FollowUpService, hours_of

CHUNK: Final = 500
"""Customers looked at in one transaction."""
_NOBODY: Final = UUID(int=0)


class Planner:
    """Makes the tasks of plans; only the worker uses it."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.plans = PlanRepository(unit)
        self.rows = PlanningRepository(unit)
        self.spare: UUID | None = None
        """The assignee of the plan that is held, if active."""

    async def step(self, plan_id: UUID, after: UUID) -> UUID | None:
        """Make what is due of some customers; returns where to go on, None at the end."""
        plan = await self._held(plan_id)
        # What ratings ask for is made when they come.
        if plan is None or plan["trigger"] == "low_rating":
            return None
        if after == _NOBODY:
            await FollowUpService(self.unit).cancel_left(plan_id, plan["segment_id"])
        if plan["trigger"] == "neglect":
            return await self._neglected(plan, after)
        people = await self.rows.members(plan["segment_id"], after, CHUNK)
        hours = await hours_of(self.unit, plan["calendar_id"])
        await self._by_calendar(plan, people, hours)
        if len(people) == CHUNK:
            return UUID(str(people[-1]["id"]))
        await self._finish(plan, hours)
        return None

    async def after_ratings(self, ratings: Mapping[UUID, UUID]) -> None:
        """Make tasks for low ratings, by every active plan for them.

        Args:
            ratings: rating → the case that was rated; whose it is now is who is asked.

        """
        for row in await self.plans.active("low_rating"):
            plan = await self._held(row["id"])
            if plan is not None:
                await self._after_ratings(plan, ratings)

    async def _after_ratings(self, plan: asyncpg.Record, ratings: Mapping[UUID, UUID]) -> None:
        whose = await self.rows.customers_of_cases(list(ratings.values()))
        people = await self._meant(plan, set(whose.values()))
        there = {row["id"] for row in people}
        reasons = [
            (whose[case_id], f"{plan['id']}:{rating_id}", case_id)
            for rating_id, case_id in sorted(ratings.items())
            if whose.get(case_id) in there
        ]
        await self._at_once(plan, people, reasons)

    # -- by the calendar -----------------------------------------------------------------------------------------------

    async def _by_calendar(self, plan: asyncpg.Record, people: Sequence[asyncpg.Record], hours: BusinessHours) -> None:
        now = self.unit.now()
        horizon = now.astimezone(hours.zone).date() + timedelta(days=plan["days_ahead"])
        wanted = [
            (fact, slot)
            for fact in await self.rows.facts(plan, people, now)
            if (slot := _slot(plan, fact, hours, now)) is not None and slot <= horizon
        ]
        channels = await self._channels(plan, [fact for fact, _ in wanted])
        dues = {slot: due_on(moved(slot, plan["holiday_rule"], hours.is_working_day), hours) for _, slot in wanted}
        tasks = [
            self._task(plan, fact, f"{plan['id']}:{slot.isoformat()}", slot, dues[slot], channels[fact.row["id"]])
            for fact, slot in wanted
            if fact.row["id"] in channels
        ]
        self._tell(plan, await self.rows.add(plan, "plan", tasks))

    # -- by what happened ----------------------------------------------------------------------------------------------

    async def _neglected(self, plan: asyncpg.Record, after: UUID) -> UUID | None:
        found = await self.rows.neglected(self.unit.now(), CHUNK, after)
        people = await self._meant(plan, [each for each, _ in found])
        there = {row["id"] for row in people}
        # When it began stays, whatever becomes of the standards, until somebody speaks with them: one task for each
        # time of silence.
        reasons = [
            (customer_id, f"{plan['id']}:{since.astimezone(UTC).isoformat()}", None)
            for customer_id, since in found
            if customer_id in there
        ]
        await self._at_once(plan, people, reasons)
        if len(found) == CHUNK:
            return found[-1][0]
        await self._finish(plan, await hours_of(self.unit, plan["calendar_id"]))
        return None

    async def _at_once(
        self,
        plan: asyncpg.Record,
        people: Sequence[asyncpg.Record],
        reasons: Sequence[tuple[UUID, str, UUID | None]],
    ) -> None:
        """Make tasks that are due a few working days from now, for those who may have one more of the plan."""
        if not reasons:
            return
        now, hours = self.unit.now(), await hours_of(self.unit, plan["calendar_id"])
        due = due_on(due_in(now, plan["due_working_days"], hours), hours)
        facts = {fact.row["id"]: fact for fact in await self.rows.facts(plan, people, now)}
        channels = await self._channels(plan, list(facts.values()))
        tasks = [
            self._task(plan, facts[customer_id], key, due.on, due, channels[customer_id], complaint_id)
            for customer_id, key, complaint_id in reasons
            if customer_id in channels
        ]
        self._tell(plan, await self.rows.add(plan, plan["trigger"], tasks))

    async def _meant(self, plan: asyncpg.Record, customer_ids: Sequence[UUID] | set[UUID]) -> list[asyncpg.Record]:
        return await self.rows.hold(sorted(customer_ids), plan["segment_id"]) if customer_ids else []

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _held(self, plan_id: UUID) -> asyncpg.Record | None:
        """Return the plan, held against rivals and changes, if it is active."""
        plan = await self.plans.find(plan_id, lock=True)
        if plan is None or plan["state"] != "active":
            return None
        staff_id = plan["assignee_id"]
        self.spare = staff_id if staff_id is not None and await AccountService(self.unit).is_active(staff_id) else None
        return plan

    async def _finish(self, plan: asyncpg.Record, hours: BusinessHours) -> None:
        today = self.unit.now().astimezone(hours.zone).date()
        horizon = today + timedelta(days=plan["days_ahead"])
        await self.plans.note(plan["id"], generated_to=horizon, generated_at=self.unit.now(), error=None)

    async def _channels(self, plan: asyncpg.Record, facts: Sequence[Fact]) -> dict[UUID, str | None]:
        """Return the channel for each customer; who agreed to none of the plan's is missing."""
        offered: list[str] = plan["channels"]
        allowed = {name: await self._allowed(plan["purpose"], name, facts) for name in offered}
        found: dict[UUID, str | None] = {}
        for fact in facts:
            mine = [name for name in offered if fact.row["id"] in allowed[name]]
            if mine or plan["purpose"] is None or not offered:
                found[fact.row["id"]] = _best(mine, fact)
        return found

    async def _allowed(self, purpose: str | None, channel: str, facts: Sequence[Fact]) -> set[UUID]:
        ids = {fact.row["id"] for fact in facts}
        # Where people meet in person nothing is sent.
        if purpose is None or channel not in REACHED_BY:
            return ids
        asked = await ConsentService(self.unit).may_send_many(dict.fromkeys(ids), purpose, channel)  # type: ignore[arg-type]
        return {customer_id for customer_id, decision in asked.items() if decision.allowed}

    def _task(
        self,
        plan: asyncpg.Record,
        fact: Fact,
        key: str,
        slot: date,
        due: Due,
        channel: str | None,
        complaint_id: UUID | None = None,
    ) -> dict[str, Any]:
        out = held_out(plan["id"], fact.row["id"], plan["holdout_percent"])
        assignee_id = None if plan["assign_to"] == "queue" else self.spare
        if plan["assign_to"] == "owner":
            assignee_id = fact.row["owner_id"] or assignee_id
        return {
            "id": new_id(),
            "customer_id": fact.row["id"],
            "key": key,
            "slot": slot,
            "state": "held_out" if out else "open",
            "due_on": due.on,
            "due_from": due.begins,
            "due_at": due.ends,
            "channel": channel,
            "assignee_id": None if out else assignee_id,
            "follows_owner": plan["assign_to"] == "owner" and not out,
            "complaint_id": complaint_id,
            # The next contact is counted from the day this one would have been made.
            "closed_at": due.ends if out else None,
        }

    def _tell(self, plan: asyncpg.Record, made: Sequence[asyncpg.Record]) -> None:
        """Tell of the tasks that somebody is to do; the lot is nobody's business."""
        rows = [{**dict(row), "plan_id": plan["id"]} for row in made if row["state"] == "open"]
        FollowUpService(self.unit).tell("follow_up.created", rows)
        if made:
            after = {"made": len(made), "follow_up_ids": [str(row["id"]) for row in made]}
            self.unit.audit("follow_up_plan.made", "FollowUpPlan", plan["id"], after=after)


def _slot(plan: asyncpg.Record, fact: Fact, hours: BusinessHours, now: datetime) -> date | None:
    row = fact.row
    if row["every_days"] is None:
        return None
    history = History(
        every_days=row["every_days"],
        # The database's clock may be ahead of ours: nobody joins tomorrow.
        begins_on=max(plan["starts_on"], _day(min(fact.joined_at, now), hours)),
        last_slot=row["last_slot"],
        closed_on=None if row["closed_at"] is None else _day(row["closed_at"], hours),
        contacted_on=None if row["contacted_at"] is None else _day(row["contacted_at"], hours),
    )
    offset = spread_offset(plan["id"], row["id"], row["every_days"]) if plan["spread"] else 0
    return next_slot(history, plan["first_after_days"], offset)


def _day(at: datetime, hours: BusinessHours) -> date:
    return at.astimezone(hours.zone).date()


def _best(channels: Sequence[str], fact: Fact) -> str | None:
    """Return the channel the customer prefers, else the plan's best, of those that reach them."""
    reach = [name for name in channels if _reaches(name, fact.row["kinds"])]
    preferred = fact.row["preferred"]
    return preferred if preferred in reach else next(iter(reach), None)


def _reaches(channel: str, kinds: Sequence[str]) -> bool:
    needed = REACHED_BY.get(channel)
    return needed is None or any(kind in kinds for kind in needed)


# -- passes ------------------------------------------------------------------------------------------------------------


async def make(database: Database, tenant_id: UUID, plan_id: UUID) -> None:
    """Make a plan's tasks: everybody it is for is looked at once."""
    after: UUID | None = _NOBODY
    while after is not None:
        cursor = after

        async def work(unit: UnitOfWork, cursor: UUID = cursor) -> UUID | None:
            return await Planner(unit).step(plan_id, cursor)

        after = await database.run(Actor.system(tenant_id, JOB), work)


async def plans_to_make(unit: UnitOfWork) -> list[UUID]:
    """Return the plans to look at now.

    Those for everybody once on each day of their calendar; those for a segment, which people enter and leave at any
    time, and those for the neglected whenever somebody asks.
    """
    plans = PlanRepository(unit)
    found = [row["id"] for row in await plans.active("neglect")]
    for row in await plans.active("cadence"):
        hours, last = await hours_of(unit, row["calendar_id"]), row["generated_at"]
        if row["segment_id"] is not None or last is None or _day(last, hours) != _day(unit.now(), hours):
            found.append(row["id"])
    return found


async def note_failure(database: Database, tenant_id: UUID, plan_id: UUID, reason: str) -> None:
    """Say on a plan why its tasks could not be made."""

    async def work(unit: UnitOfWork) -> None:
        await PlanRepository(unit).note(plan_id, error=reason)

    await database.run(Actor.system(tenant_id, JOB), work)
