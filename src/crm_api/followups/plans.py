"""What can be done with follow-up plans: whom to contact how often, and what came of it."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.consent.service import ConsentService
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.followups.models import EffectQuery, FollowUpEffect, FollowUpPlanCreate, FollowUpPlanUpdate
from crm_api.followups.repository import EffectRepository, PlanRepository
from crm_api.followups.service import READ, WRITE, FollowUpService, hours_of, plain
from crm_api.followups.words import compared, grouped
from crm_api.tiers.service import TierService

JOB = "followups.make"

_HEAD: Final = frozenset({"name", "state"})
"""What is no part of a version: what a plan is called and whether it works."""
_FROM: Final[Mapping[str, frozenset[str]]] = {
    "active": frozenset({"draft", "paused", "active"}),
    "paused": frozenset({"active", "paused"}),
    "archived": frozenset({"draft", "active", "paused", "archived"}),
}
_NAME_TAKEN = {
    "uq_follow_up_plans_tenant_id_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "A plan has this name", "已有同名计划")]
    )
}


class FollowUpPlanService:
    """Plans of whom to contact how often."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.plans = PlanRepository(unit)

    async def create(self, data: FollowUpPlanCreate) -> UUID:
        """Add a plan; an active one has its tasks made by a job.

        Raises:
            Duplicate: the name is taken.
            Invalid: its parts do not go together, or name what there is not.

        """
        self.unit.actor.require(WRITE)
        row = data.model_dump()
        await self._check(row)
        row["starts_on"] = data.starts_on or await self._today(data.calendar_id)
        plan_id = new_id()
        with unique_as(_NAME_TAKEN):
            await self.plans.insert({"id": plan_id, "number": 1, **row})
        await self.plans.add_version(plan_id, 1, _version(row))
        self._tell("follow_up_plan.created", plan_id, after=plain(row))
        if data.state == "active":
            await self._enqueue(plan_id)
        return plan_id

    async def update(self, plan_id: UUID, data: FollowUpPlanUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; what the plan says becomes its next version, and tasks made before stay.

        Raises:
            Conflict: an archived plan would work again, or a draft be paused.
            Invalid: as for `create`.

        """
        self.unit.actor.require(WRITE)
        before = dict(await self.plans.get(plan_id, lock=True, expected_version=expected_version))
        given = data.model_dump(include=data.model_fields_set)
        changes = {name: value for name, value in given.items() if before[name] != value}
        _check_state(before["state"], changes.get("state", before["state"]))
        if not changes:
            return
        if before["state"] == "draft" and changes.get("state") == "active" and "starts_on" not in given:
            # What begins now asks for nothing of the days it lay in a drawer.
            today = await self._today(changes.get("calendar_id", before["calendar_id"]))
            if before["starts_on"] < today:
                changes["starts_on"] = today
        after = {**before, **changes}
        if changes.keys() - _HEAD:
            await self._check(after)
            changes["number"] = before["number"] + 1
            await self.plans.add_version(plan_id, changes["number"], _version(after))
        with unique_as(_NAME_TAKEN):
            await self.plans.change(plan_id, changes)
        if changes.get("state") == "archived":
            await FollowUpService(self.unit).cancel_plan(plan_id)
        self._tell(
            "follow_up_plan.updated",
            plan_id,
            before=plain({name: before[name] for name in changes}),
            after=plain(changes),
        )
        if after["state"] == "active" and changes.keys() - {"name", "number"}:
            await self._enqueue(plan_id)

    async def make_now(self, plan_id: UUID) -> None:
        """Have a plan's tasks made by a job now instead of within the day.

        Raises:
            Conflict: the plan is not active, or something else than the calendar makes its tasks.

        """
        self.unit.actor.require(WRITE)
        row = await self.plans.get(plan_id)
        if row["state"] != "active" or row["trigger"] == "low_rating":
            raise Conflict(
                "Only an active plan of the calendar or of neglect is made on demand: activate it with state 'active'",
                zh="只有启用中的、按日程或久未联系触发的计划可以立即生成：请先以 state: active 启用",
                code="plan_not_active",
                extra={"state": row["state"], "trigger": row["trigger"]},
            )
        await self._enqueue(plan_id)

    async def effect(self, plan_id: UUID, query: EffectQuery) -> FollowUpEffect:
        """Return what became of customers after a plan's contacts.

        Raises:
            Forbidden: the key may not see orders.
            Invalid: the period ends before it begins.

        """
        for scope in (READ, "orders:read"):
            self.unit.actor.require(scope)
        row = await self.plans.get(plan_id)
        until = query.until or await self._today(row["calendar_id"]) + timedelta(days=1)
        since = query.since or until - timedelta(days=180)
        if since >= until:
            raise Invalid.field("/until", "out_of_order", "It must lie after `since`", "必须晚于 since")
        found = await EffectRepository(self.unit).groups(plan_id, since, until, query.within_days, self.unit.now())
        groups = grouped(found)
        return FollowUpEffect(
            plan_id=plan_id,
            since=since,
            until=until,
            within_days=query.within_days,
            groups=groups,
            comparisons=compared(groups),
        )

    async def _check(self, row: Mapping[str, Any]) -> None:
        """Refuse what does not go together; what the database knows by keys it refuses itself."""
        if row["trigger"] == "cadence" and not row["cadences"]:
            raise Invalid.field(
                "/cadences",
                "required",
                'Say how often, for instance [{"dimension": "all", "every_days": 30}]',
                '请指定频率，例如 [{"dimension": "all", "every_days": 30}]',
            )
        if row["trigger"] != "cadence" and row["cadences"]:
            raise Invalid.field(
                "/cadences", "unexpected", "Only a plan of the calendar has cadences", "只有按日程的计划有频率"
            )
        if row["assign_to"] == "assignee" and row["assignee_id"] is None:
            raise Invalid.field("/assignee_id", "required", "Name who does it", "请指定负责员工")
        await AccountService(self.unit).require_active(row["assignee_id"], "/assignee_id")
        for place, each in enumerate(row["cadences"]):
            if each["dimension"] == "tier":
                await TierService(self.unit).require_code(each["class_name"], f"/cadences/{place}/class_name")
        if row["purpose"] is not None:
            # Nobody is asked about: whether there is such a purpose is.
            await ConsentService(self.unit).may_send_many({}, row["purpose"], "call")

    async def _today(self, calendar_id: UUID | None) -> date:
        hours = await hours_of(self.unit, calendar_id)
        return self.unit.now().astimezone(hours.zone).date()

    async def _enqueue(self, plan_id: UUID) -> None:
        await self.unit.enqueue(JOB, {"plan_id": str(plan_id)})

    def _tell(self, operation: str, plan_id: UUID, **sides: Mapping[str, Any]) -> None:
        self.unit.audit(operation, "FollowUpPlan", plan_id, **sides)
        self.unit.emit(operation, plan_id, {})


def _check_state(before: str, after: str) -> None:
    if before not in _FROM.get(after, {before}):
        raise Conflict(
            f"A plan that is '{before}' cannot become '{after}'",
            zh=f"状态为 {before} 的计划不能变为 {after}",
            code="wrong_state",
            extra={"state": before},
        )


def _version(row: Mapping[str, Any]) -> dict[str, Any]:
    names = (*FollowUpPlanUpdate.model_fields.keys() - _HEAD, "trigger")
    return plain({name: row[name] for name in sorted(names)})
