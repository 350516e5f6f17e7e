"""What can be done with follow-up tasks; for plans of them see `plans`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.accounts.service import AccountService
from crm_api.calendars.service import CalendarService
from crm_api.core.business_hours import BusinessHours
from crm_api.core.errors import Conflict, CrmError, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService
from crm_api.db.failures import translate
from crm_api.db.uow import UnitOfWork
from crm_api.followups.models import (
    Closing,
    FollowUpComplete,
    FollowUpCreate,
    FollowUpSkip,
    FollowUpSnooze,
    FollowUpUpdate,
    NextFollowUp,
)
from crm_api.followups.repository import PlanRepository, TaskRepository
from crm_api.followups.rules import Due, due_after_snooze, due_on, moved
from crm_api.interactions.models import InteractionCreate
from crm_api.interactions.service import InteractionService
from crm_api.staff.service import Measure, register_measure

READ = "followups:read"
WRITE = "followups:write"
LONGEST_SNOOZE: Final = timedelta(days=366)


class FollowUpService:
    """Single contacts to make.

    Locks: customers, then tasks by id.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.tasks = TaskRepository(unit)

    async def create(self, data: FollowUpCreate) -> UUID:
        """Plan a contact by hand; returns its id.

        Raises:
            NotFound: there is no such customer.
            Invalid: staff, order, case or calendar do not exist, or the order is another customer's.

        """
        self.unit.actor.require(WRITE)
        await CustomerService(self.unit).require_living(data.customer_id)
        return await self.plan_next(data.customer_id, data)

    async def plan_next(self, customer_id: UUID, data: NextFollowUp) -> UUID:
        """Plan a further contact with a customer; for operations that have checked the scope."""
        # Held, so that a handover meanwhile either is seen or sees the task.
        owner_id = await CustomerService(self.unit).owner_of(customer_id, lock=True)
        await self.tasks.check_about(customer_id, data.order_id, data.complaint_id)
        await AccountService(self.unit).require_active(data.assignee_id, "/assignee_id")
        hours = await hours_of(self.unit, data.calendar_id)
        due = due_on(moved(data.due_on, data.holiday_rule, hours.is_working_day), hours)
        task_id = new_id()
        row = {
            "id": task_id,
            "customer_id": customer_id,
            "source": "manual",
            "key": f"task:{task_id}",
            "slot": data.due_on,
            "assignee_id": data.assignee_id or await self._if_active(owner_id),
            "follows_owner": data.assignee_id is None,
            **_when(due),
            **data.model_dump(include={"channel", "subject", "instructions", "order_id", "complaint_id"}),
        }
        await self.tasks.insert(row)
        self._audit("follow_up.created", task_id, after=plain(row))
        self.tell("follow_up.created", [row])
        return task_id

    async def update(self, task_id: UUID, data: FollowUpUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given of an open task.

        Raises:
            Conflict: it is closed.
            Invalid: staff, order or case do not exist, or the order is another customer's.

        """
        self.unit.actor.require(WRITE)
        before = await self._open(task_id, expected_version)
        given = data.model_dump(include=data.model_fields_set)
        if given.pop("follows_owner", None):
            if "assignee_id" in given:
                raise Invalid.field(
                    "/assignee_id",
                    "conflict",
                    "Name who does it, or give it back with `follows_owner`: not both",
                    "请指定负责人，或用 follows_owner 交还给客户负责人，不能同时提供",
                )
            owner_id = await CustomerService(self.unit).owner_of(before["customer_id"])
            given |= {"follows_owner": True, "assignee_id": await self._if_active(owner_id)}
        elif "assignee_id" in given:
            await AccountService(self.unit).require_active(given["assignee_id"], "/assignee_id")
            given["follows_owner"] = False
        if "due_on" in given:
            due = due_on(given["due_on"], await self._hours(before))
            given |= {**_when(due), "snoozed_until": None, "told_overdue_at": None}
        await self.tasks.check_about(before["customer_id"], given.get("order_id"), given.get("complaint_id"))
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        after = await self.tasks.change(task_id, changes)
        was = plain({name: before[name] for name in changes})
        self._audit("follow_up.updated", task_id, before=was, after=plain(changes))
        self.tell("follow_up.updated", [after])
        if "assignee_id" in changes:
            self.tell("follow_up.assigned", [after], previous=before["assignee_id"])

    async def complete(self, task_id: UUID, data: FollowUpComplete, *, expected_version: int | None = None) -> UUID:
        """Say what came of a task, which becomes an interaction; returns the interaction's id.

        Raises:
            Conflict: the task is closed.
            Invalid: no channel is named and the task has none.

        """
        self.unit.actor.require(WRITE)
        before = await self._open(task_id, expected_version)
        said = _said(before, data)
        interaction_id = await InteractionService(self.unit).log(said)
        await self._done(before, interaction_id, data, said)
        if data.next is not None:
            with part("/next"):
                await self.plan_next(before["customer_id"], _inherit(data.next, before))
        return interaction_id

    async def close_with(self, task_id: UUID, data: Closing, spoken: InteractionCreate, interaction_id: UUID) -> None:
        """Close a task with an interaction that was logged; for the one call.

        Raises:
            NotFound: there is no such task.
            Conflict: the task is closed.
            Invalid: it is about another customer.

        """
        self.unit.actor.require(WRITE)
        try:
            before = await self._open(task_id, None)
        except NotFound:
            text, zh = "There is no such task", "没有此任务"
            raise NotFound(text, zh=zh, errors=[FieldError("/id", "unknown_reference", text, zh)]) from None
        if before["customer_id"] != spoken.customer_id:
            raise Invalid.field("/id", "other_customer", "This task is about another customer", "该任务属于其他客户")
        await self._done(before, interaction_id, data, spoken)

    async def skip(self, task_id: UUID, data: FollowUpSkip, *, expected_version: int | None = None) -> None:
        """Close a task that is not done, and say why.

        Raises:
            Conflict: the task is closed.

        """
        self.unit.actor.require(WRITE)
        before = await self._open(task_id, expected_version)
        changes = {"state": "skipped", "reason": data.reason, "closed_at": self.unit.now()}
        await self._become(before, "follow_up.skipped", changes)

    async def snooze(self, task_id: UUID, data: FollowUpSnooze, *, expected_version: int | None = None) -> None:
        """Put a task off; it is due again when the time has come, and overdue when work has ended on that day.

        Raises:
            Conflict: the task is closed.
            Invalid: the time is past, or more than 366 days ahead.

        """
        self.unit.actor.require(WRITE)
        before = await self._open(task_id, expected_version)
        now, until = self.unit.now(), data.until
        if not now < until <= now + LONGEST_SNOOZE:
            raise Invalid.field(
                "/until", "out_of_range", "Give a time within the next 366 days", "请提供未来 366 天内的时间"
            )
        hours = await self._hours(before)
        changes = {
            "snoozed_until": until,
            "snoozes": before["snoozes"] + 1,
            "due_on": until.astimezone(hours.zone).date(),
            "due_from": until,
            "due_at": due_after_snooze(until, hours),
            "told_overdue_at": None,
            "reason": data.reason,
        }
        await self._become(before, "follow_up.snoozed", changes)

    # -- for the worker ------------------------------------------------------------------------------------------------

    async def cancel_plan(self, plan_id: UUID) -> None:
        """Cancel all open tasks of a plan that has been archived."""
        self.tell(
            "follow_up.cancelled",
            await self.tasks.cancel_left(plan_id, None, "plan_archived", self.unit.now()),
        )

    async def cancel_left(self, plan_id: UUID, segment_id: UUID | None) -> None:
        """Cancel open tasks of customers whom a plan is not for any more."""
        if segment_id is not None:
            self.tell(
                "follow_up.cancelled",
                await self.tasks.cancel_left(plan_id, segment_id, "left_segment", self.unit.now()),
            )

    async def follow(self, customer_ids: Sequence[UUID]) -> None:
        """Let open tasks go to whoever looks after the customers now; those of customers who are gone are cancelled."""
        self.tell("follow_up.cancelled", await self.tasks.cancel_gone(customer_ids, self.unit.now()))
        self._tell_assigned(await self.tasks.follow_owners(customer_ids))

    async def release(self, staff_ids: Sequence[UUID]) -> None:
        """Take tasks from those of these people who have left, and give theirs back to those who are there again."""
        self._tell_assigned(await self.tasks.release(staff_ids))

    async def tell_overdue(self, limit: int) -> int:
        """Tell of tasks that have become overdue, each once; returns how many."""
        rows = await self.tasks.tell_overdue(self.unit.now(), limit)
        self.tell("follow_up.overdue", rows)
        return len(rows)

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _open(self, task_id: UUID, expected_version: int | None) -> asyncpg.Record:
        row = await self.tasks.get(task_id, lock=True, expected_version=expected_version)
        if row["state"] != "open":
            raise Conflict(
                f"The task is closed: it is '{row['state']}'; plan another with POST /v1/follow-ups",
                zh=f"任务已结束（{row['state']}）：如需再次联系，请用 POST /v1/follow-ups 新建",
                code="follow_up_closed",
                extra={"state": row["state"]},
            )
        return row

    async def _done(
        self, before: asyncpg.Record, interaction_id: UUID, data: Closing, spoken: InteractionCreate
    ) -> None:
        now = self.unit.now()
        changes = {
            "state": "done",
            "result": data.result,
            "satisfaction": data.satisfaction,
            "interaction_id": interaction_id,
            # Whoever did it, not whose it was, has it in the report of staff.
            "assignee_id": spoken.staff_id or before["assignee_id"],
            # When they spoke, however late it is written down: the next contact is counted from it.
            "closed_at": min(spoken.occurred_at or now, now),
        }
        await self._become(before, "follow_up.done", changes)

    async def _become(self, before: asyncpg.Record, operation: str, changes: Mapping[str, Any]) -> None:
        after = await self.tasks.change(before["id"], changes)
        was = plain({name: before[name] for name in changes})
        self._audit(operation, before["id"], before=was, after=plain(changes))
        self.tell(operation, [after])

    async def _if_active(self, staff_id: UUID | None) -> UUID | None:
        return staff_id if staff_id is not None and await AccountService(self.unit).is_active(staff_id) else None

    async def _hours(self, task: asyncpg.Record) -> BusinessHours:
        plan = None if task["plan_id"] is None else await PlanRepository(self.unit).find(task["plan_id"])
        return await hours_of(self.unit, None if plan is None else plan["calendar_id"])

    def _audit(self, operation: str, task_id: UUID, **sides: Mapping[str, Any]) -> None:
        self.unit.audit(operation, "FollowUp", task_id, **sides)

    def _tell_assigned(self, rows: Iterable[asyncpg.Record]) -> None:
        for row in rows:
            before, after = ({"assignee_id": _text(row[side])} for side in ("was", "assignee_id"))
            self._audit("follow_up.assigned", row["id"], before=before, after=after)
            self.tell("follow_up.assigned", [row], previous=row["was"])

    def tell(self, message: str, rows: Iterable[Mapping[str, Any] | asyncpg.Record], **more: UUID | None) -> None:
        """Send a message about each of these tasks."""
        for row in rows:
            told = {name: _text(row[name]) for name in ("customer_id", "assignee_id")}
            plan_id = row["plan_id"] if "plan_id" in row.keys() else None  # noqa: SIM118 - a record iterates its values
            extra = {name: _text(value) for name, value in more.items()}
            self.unit.emit(message, row["id"], {**told, "plan_id": _text(plan_id), **extra})


@contextmanager
def part(pointer: str) -> Iterator[None]:
    """Have errors inside point into a part of the body."""
    try:
        yield
    except (CrmError, asyncpg.ForeignKeyViolationError) as failure:
        error = translate(failure)
        if error is None:  # pragma: no cover - both kinds have a meaning
            raise
        error.errors = tuple(replace(each, pointer=f"{pointer}{each.pointer}") for each in error.errors)
        raise error from failure


async def hours_of(unit: UnitOfWork, calendar_id: UUID | None) -> BusinessHours:
    """Return the engine of a calendar, of the default one if none is named.

    Raises:
        Invalid: there is no such calendar.

    """
    try:
        return await CalendarService(unit).hours(calendar_id)
    except NotFound:
        raise Invalid.field("/calendar_id", "unknown_reference", "There is no such calendar", "没有此日历") from None


async def _measure(unit: UnitOfWork, staff_ids: Sequence[UUID], since: datetime, until: datetime) -> Mapping[UUID, Any]:
    rows = await TaskRepository(unit).measure(staff_ids, since, until, unit.now())
    return {row["id"]: {name: value for name, value in row.items() if name != "id"} for row in rows}


register_measure(Measure("follow_ups", READ, _measure))


def _when(due: Due) -> dict[str, Any]:
    return {"due_on": due.on, "due_from": due.begins, "due_at": due.ends}


def _inherit(data: NextFollowUp, task: asyncpg.Record) -> NextFollowUp:
    """Return the next contact, about what this one was about unless it says otherwise."""
    known = {name: task[name] for name in ("channel", "subject", "order_id", "complaint_id")}
    return data.model_copy(update={name: value for name, value in known.items() if getattr(data, name) is None})


def _said(task: asyncpg.Record, data: FollowUpComplete) -> InteractionCreate:
    """Return the interaction that a task becomes."""
    channel = data.channel or task["channel"]
    if channel is None:
        raise Invalid.field("/channel", "required", "Say by which way it was done", "请指定联系渠道")
    return InteractionCreate(
        customer_id=task["customer_id"],
        channel=channel,
        direction="outbound",
        staff_id=data.staff_id or task["assignee_id"],
        store_id=data.store_id,
        order_id=task["order_id"],
        subject=task["subject"],
        body=data.feedback,
        outcome=data.outcome or data.result,
        problem=data.problem,
        solution=data.solution,
        next_step=data.next_step,
        duration_seconds=data.duration_seconds,
        attachments=data.attachments,
        occurred_at=data.occurred_at,
    )


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON."""
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_value(each) for each in value]
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
