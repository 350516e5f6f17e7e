"""What can be done with teams, skills, shifts and training; the door to assignment for higher domains."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.staff.assigning import AssignmentService as AssignmentService  # noqa: PLC0414 - cases are handed out by it
from crm_api.staff.assigning import Desk as Desk  # noqa: PLC0414 - what hands out several of them
from crm_api.staff.assigning import Place as Place  # noqa: PLC0414 - in a queue
from crm_api.staff.assignment import must_pass_on as must_pass_on  # noqa: PLC0414 - cases are reassigned by it
from crm_api.staff.models import (
    CompletionCreate,
    CourseCreate,
    CourseUpdate,
    ShiftCreate,
    ShiftUpdate,
    SkillCreate,
    SkillUpdate,
    StaffSkillInput,
    TeamCreate,
    TeamUpdate,
)
from crm_api.staff.performance import Measure as Measure  # noqa: PLC0414 - what they register
from crm_api.staff.performance import register
from crm_api.staff.rebalancing import RebalancingService as RebalancingService  # noqa: PLC0414 - neglect may propose
from crm_api.staff.repository.assigning import HandlerRepository
from crm_api.staff.repository.people import (
    CompletionRepository,
    CourseRepository,
    ShiftRepository,
    SkillRepository,
    StaffSkillRepository,
    TeamRepository,
)

READ = "staff:read"
WRITE = "staff:write"
register_measure = register
"""Higher domains add their measures to the report of staff."""
MAX_SHIFT = timedelta(days=400)


def _taken(constraint: str, message: str, zh: str) -> Mapping[str, Duplicate]:
    return {constraint: Duplicate(message, zh=zh, errors=[FieldError("/name", "duplicate", message, zh)])}


_TEAM = _taken("uq_teams_tenant_id_name", "A team has this name", "已有同名团队")
_SKILL = _taken("uq_skills_tenant_id_name", "A skill has this name", "已有同名技能")
_COURSE = _taken("uq_courses_tenant_id_name", "A course has this name", "已有同名课程")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON for the audit log."""
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_value(each) for each in value]
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


class _Writing:
    """What the services of this module share."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    def _tell(self, operation: str, kind: str, row_id: UUID, **sides: Mapping[str, Any] | None) -> None:
        told = {name: None if side is None else _plain(side) for name, side in sides.items()}
        self.unit.audit(operation, kind, row_id, **told)
        self.unit.emit(operation, row_id, {})

    async def _change(
        self, rows: Repository, kind: str, row_id: UUID, before: asyncpg.Record, given: Mapping[str, Any], noun: str
    ) -> None:
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        await rows.change(row_id, changes)
        was = {name: before[name] for name in changes}
        self._tell(f"{noun}.updated", kind, row_id, before=was, after=changes)


class TeamService(_Writing):
    """Teams."""

    async def create(self, data: TeamCreate) -> UUID:
        """Add a team; its name is unique."""
        self.unit.actor.require(WRITE)
        teams, team_id = TeamRepository(self.unit), new_id()
        with unique_as(_TEAM):
            await teams.insert({"id": team_id, **data.model_dump(exclude={"member_ids"})})
        await teams.set_members(team_id, sorted(data.member_ids))
        self._tell("team.created", "Team", team_id, after=data.model_dump())
        return team_id

    async def update(self, team_id: UUID, data: TeamUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; ``member_ids`` replaces all members."""
        self.unit.actor.require(WRITE)
        teams = TeamRepository(self.unit)
        before = dict(await teams.get(team_id, lock=True, expected_version=expected_version))
        given = data.model_dump(exclude_unset=True)
        changes = {name: value for name, value in given.items() if name != "member_ids" and before[name] != value}
        if "member_ids" in given:
            before["member_ids"], given["member_ids"] = await teams.members(team_id), sorted(given["member_ids"])
            if before["member_ids"] != given["member_ids"]:
                await teams.set_members(team_id, given["member_ids"])
        after = {name: value for name, value in given.items() if before[name] != value}
        if after:
            with unique_as(_TEAM):
                await teams.change(team_id, changes)
            was = {name: before[name] for name in after}
            self._tell("team.updated", "Team", team_id, before=was, after=after)


class SkillService(_Writing):
    """Skills, and who has them."""

    async def create(self, data: SkillCreate) -> UUID:
        """Add a skill; its name is unique."""
        self.unit.actor.require(WRITE)
        skill_id = new_id()
        with unique_as(_SKILL):
            await SkillRepository(self.unit).insert({"id": skill_id, **data.model_dump()})
        self._tell("skill.created", "Skill", skill_id, after=data.model_dump())
        return skill_id

    async def update(self, skill_id: UUID, data: SkillUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given."""
        self.unit.actor.require(WRITE)
        skills = SkillRepository(self.unit)
        before = await skills.get(skill_id, lock=True, expected_version=expected_version)
        with unique_as(_SKILL):
            await self._change(skills, "Skill", skill_id, before, data.model_dump(exclude_unset=True), "skill")

    async def grant(self, staff_id: UUID, skill_id: UUID, data: StaffSkillInput) -> UUID:
        """Say how well somebody can do something; returns the id of what is known."""
        self.unit.actor.require(WRITE)
        await _known(self.unit, staff_id, skill_id)
        values = {**data.model_dump(), "source": "manual", "course_id": None}
        row_id = await StaffSkillRepository(self.unit).set(staff_id, skill_id, values)
        self._tell_skill("staff_skill.granted", staff_id, skill_id, values)
        return row_id

    async def revoke(self, staff_id: UUID, skill_id: UUID) -> None:
        """Say that somebody cannot do it (any more)."""
        self.unit.actor.require(WRITE)
        if not await StaffSkillRepository(self.unit).remove(staff_id, skill_id):
            raise NotFound
        self._tell_skill("staff_skill.revoked", staff_id, skill_id, {})

    def _tell_skill(self, operation: str, staff_id: UUID, skill_id: UUID, values: Mapping[str, Any]) -> None:
        told = _plain({"skill_id": skill_id, **values})
        self.unit.audit(operation, "Staff", staff_id, after=told)
        self.unit.emit(operation, staff_id, {"skill_id": str(skill_id)})


async def _known(unit: UnitOfWork, staff_id: UUID, skill_id: UUID) -> None:
    """Raise NotFound unless there are both: they are named in the path."""
    if not await ShiftRepository(unit).lock_member(staff_id):
        raise NotFound
    await SkillRepository(unit).get(skill_id)


class ShiftService(_Writing):
    """Shifts and absences."""

    async def create(self, data: ShiftCreate) -> UUID:
        """Add a shift or an absence.

        Raises:
            Conflict: it overlaps another of the same kind; ``shift_id`` in the answer is that one's id.
            Invalid: it ends before it starts, is longer than 400 days, or there is no such staff member or store.

        """
        self.unit.actor.require(WRITE)
        shifts, shift_id = ShiftRepository(self.unit), new_id()
        _check_order(data.starts_at, data.ends_at)
        if not await shifts.lock_member(data.staff_id):
            raise Invalid.field("/staff_id", "unknown_reference", "There is no such staff member", "没有此员工")
        _refuse_clash(await shifts.clash(data.staff_id, data.kind, data.starts_at, data.ends_at))
        await shifts.insert({"id": shift_id, **data.model_dump()})
        self._tell("shift.created", "Shift", shift_id, after=data.model_dump())
        return shift_id

    async def update(self, shift_id: UUID, data: ShiftUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; raises as `create` does."""
        self.unit.actor.require(WRITE)
        shifts = ShiftRepository(self.unit)
        await shifts.lock_member((await shifts.get(shift_id))["staff_id"])
        before = await shifts.get(shift_id, lock=True, expected_version=expected_version)
        given = data.model_dump(exclude_unset=True)
        starts_at, ends_at = (given.get(name, before[name]) for name in ("starts_at", "ends_at"))
        _check_order(starts_at, ends_at)
        _refuse_clash(await shifts.clash(before["staff_id"], before["kind"], starts_at, ends_at, but=shift_id))
        await self._change(shifts, "Shift", shift_id, before, given, "shift")

    async def delete(self, shift_id: UUID, *, expected_version: int | None = None) -> None:
        """Delete a shift or an absence."""
        self.unit.actor.require(WRITE)
        shifts = ShiftRepository(self.unit)
        before = await shifts.get(shift_id, lock=True, expected_version=expected_version)
        await shifts.remove(shift_id)
        was = {name: before[name] for name in ("staff_id", "kind", "starts_at", "ends_at")}
        self._tell("shift.deleted", "Shift", shift_id, before=was)


def _check_order(starts_at: datetime, ends_at: datetime) -> None:
    if starts_at >= ends_at:
        raise Invalid.field("/ends_at", "out_of_order", "It must end after it starts", "结束时间必须晚于开始时间")
    if ends_at - starts_at > MAX_SHIFT:
        raise Invalid.field("/ends_at", "out_of_range", "It may last 400 days at most", "最长 400 天")


def _refuse_clash(shift_id: UUID | None) -> None:
    if shift_id is not None:
        raise Conflict(
            "It overlaps another of the same kind: change that one, or choose another time",
            zh="与同类班次重叠：请修改已有班次或选择其他时间",
            code="shift_overlaps",
            extra={"shift_id": str(shift_id)},
        )


class CourseService(_Writing):
    """Courses, and who has finished them."""

    async def create(self, data: CourseCreate) -> UUID:
        """Add a course; its name is unique."""
        self.unit.actor.require(WRITE)
        course_id = new_id()
        with unique_as(_COURSE):
            await CourseRepository(self.unit).insert({"id": course_id, **data.model_dump()})
        self._tell("course.created", "Course", course_id, after=data.model_dump())
        return course_id

    async def update(self, course_id: UUID, data: CourseUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; what was passed, and granted, stays."""
        self.unit.actor.require(WRITE)
        courses = CourseRepository(self.unit)
        before = await courses.get(course_id, lock=True, expected_version=expected_version)
        with unique_as(_COURSE):
            await self._change(courses, "Course", course_id, before, data.model_dump(exclude_unset=True), "course")

    async def complete(self, course_id: UUID, data: CompletionCreate) -> UUID:
        """Note that somebody has finished a course; passing it grants its skill.

        A skill that is there at a higher level, or for longer, keeps what is better of either.

        Raises:
            Conflict: the course is archived.
            Invalid: there is no such staff member, or the time lies in the future.

        """
        self.unit.actor.require(WRITE)
        course = await CourseRepository(self.unit).get(course_id)
        if course["archived"]:
            raise Conflict("The course is archived", zh="课程已归档", code="archived")
        if not await ShiftRepository(self.unit).lock_member(data.staff_id):
            raise Invalid.field("/staff_id", "unknown_reference", "There is no such staff member", "没有此员工")
        done_at = data.completed_at or self.unit.now()
        if done_at > self.unit.now():
            raise Invalid.field("/completed_at", "in_the_future", "It lies in the future", "时间不能晚于现在")
        passed, completion_id = data.score >= course["pass_score"], new_id()
        row = {**data.model_dump(), "course_id": course_id, "completed_at": done_at, "passed": passed}
        await CompletionRepository(self.unit).insert({"id": completion_id, **row})
        self.unit.audit("course.completed", "Staff", data.staff_id, after=_plain(row))
        told = {"course_id": str(course_id), "score": data.score, "passed": passed}
        self.unit.emit("course.completed", data.staff_id, told)
        if passed and course["skill_id"] is not None:
            await self._grant(course, data.staff_id, done_at)
        return completion_id

    async def _grant(self, course: asyncpg.Record, staff_id: UUID, done_at: datetime) -> None:
        rows, skill_id, days = StaffSkillRepository(self.unit), course["skill_id"], course["valid_days"]
        today = await HandlerRepository(self.unit).today(done_at)
        until, level = None if days is None else today + timedelta(days=days), course["skill_level"]
        known = await rows.of(staff_id, skill_id)
        if known is not None:
            level = max(level, known["level"])
            forever = until is None or known["expires_on"] is None
            until = None if forever else max(until, known["expires_on"])
        values = {"level": level, "expires_on": until, "source": "training", "course_id": course["id"]}
        await rows.set(staff_id, skill_id, values)
        self.unit.audit("staff_skill.granted", "Staff", staff_id, after=_plain({"skill_id": skill_id, **values}))
        self.unit.emit("staff_skill.granted", staff_id, {"skill_id": str(skill_id)})
