"""Teams, skills, shifts, training, assignment, rebalancing and the report of staff in GraphQL."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from crm_api.staff.assigning import AssignmentRuleService, AssignmentService
from crm_api.staff.assignment_models import AssignmentOutcome, AssignmentRuleCreate, AssignmentRuleUpdate, OwnerInput
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
from crm_api.staff.performance import PerformanceService
from crm_api.staff.performance_models import PerformanceQuery, StaffPerformanceReport
from crm_api.staff.rebalancing import RebalancingService
from crm_api.staff.rebalancing_models import RebalancingCreate, RebalancingDecision
from crm_api.staff.service import CourseService, ShiftService, SkillService, TeamService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SkillId = Annotated[UUID, Field(description="Which skill.")]
Deleted = Annotated[bool, Field(description="true when it is gone.")]
Outcome = Annotated[AssignmentOutcome, Field(description="What came of it.")]
Run = Callable[[Call], Awaitable[dict[str, Any]]]


async def _create_team(call: Call) -> dict[str, Any]:
    return {"team": await TeamService(call.unit).create(call.data)}


async def _update_team(call: Call) -> dict[str, Any]:
    await TeamService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"team": call.id}


async def _create_skill(call: Call) -> dict[str, Any]:
    return {"skill": await SkillService(call.unit).create(call.data)}


async def _update_skill(call: Call) -> dict[str, Any]:
    await SkillService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"skill": call.id}


async def _grant_skill(call: Call) -> dict[str, Any]:
    return {"staff_skill": await SkillService(call.unit).grant(call.id, call.extra["skill_id"], call.data)}


async def _revoke_skill(call: Call) -> dict[str, Any]:
    await SkillService(call.unit).revoke(call.id, call.extra["skill_id"])
    return {"staff": call.id}


async def _create_shift(call: Call) -> dict[str, Any]:
    return {"shift": await ShiftService(call.unit).create(call.data)}


async def _update_shift(call: Call) -> dict[str, Any]:
    await ShiftService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"shift": call.id}


async def _delete_shift(call: Call) -> dict[str, Any]:
    await ShiftService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


async def _create_course(call: Call) -> dict[str, Any]:
    return {"course": await CourseService(call.unit).create(call.data)}


async def _update_course(call: Call) -> dict[str, Any]:
    await CourseService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"course": call.id}


async def _complete_course(call: Call) -> dict[str, Any]:
    return {"course_completion": await CourseService(call.unit).complete(call.id, call.data)}


async def _create_rule(call: Call) -> dict[str, Any]:
    return {"assignment_rule": await AssignmentRuleService(call.unit).create(call.data)}


async def _update_rule(call: Call) -> dict[str, Any]:
    await AssignmentRuleService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"assignment_rule": call.id}


async def _delete_rule(call: Call) -> dict[str, Any]:
    await AssignmentRuleService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


async def _hand_over(call: Call) -> dict[str, Any]:
    line = await AssignmentService(call.unit).hand_over(call.id, call.data)
    return {"customer": call.id, "ownership": line}


async def _assign(call: Call) -> dict[str, Any]:
    outcome = await AssignmentService(call.unit).assign(call.id)
    return {"customer": call.id, "outcome": outcome.model_dump(mode="json")}


async def _propose(call: Call) -> dict[str, Any]:
    return {"rebalancing": await RebalancingService(call.unit).propose(call.data)}


async def _approve(call: Call) -> dict[str, Any]:
    await RebalancingService(call.unit).approve(call.id, call.data, expected_version=call.version)
    return {"rebalancing": call.id}


async def _reject(call: Call) -> dict[str, Any]:
    await RebalancingService(call.unit).reject(call.id, call.data, expected_version=call.version)
    return {"rebalancing": call.id}


async def _apply(call: Call) -> dict[str, Any]:
    await RebalancingService(call.unit).apply(call.id, expected_version=call.version)
    return {"rebalancing": call.id}


async def _undo(call: Call) -> dict[str, Any]:
    await RebalancingService(call.unit).undo(call.id, expected_version=call.version)
    return {"rebalancing": call.id}


async def _performance(call: Call) -> dict[str, Any]:
    return {"report": await PerformanceService(call.unit).report(call.data)}


def _create(run: Run, model: Any, name: str, kind: str, description: str, target: str | None = None) -> Mutation:
    return Mutation(run, input=model, target=target, payload={name: kind}, description=description)


def _change(run: Run, model: Any, name: str, kind: str, description: str) -> Mutation:
    return Mutation(run, input=model, target=kind, versioned=True, payload={name: kind}, description=description)


def _delete(run: Run, kind: str, description: str) -> Mutation:
    return Mutation(run, target=kind, versioned=True, payload={"deleted": Deleted}, description=description)


_REBALANCING = {"rebalancing": "Rebalancing"}

GRAPHQL = GraphQLParts(
    queries={
        "team": get("Team", description="A team by id."),
        "teams": connection("Team", description="People who work together."),
        "skill": get("Skill", description="A skill by id."),
        "skills": connection("Skill", description="Things not everybody can do."),
        "staff_skills": connection("StaffSkill", description="Who can do what."),
        "shift": get("Shift", description="A shift or an absence by id."),
        "shifts": connection("Shift", description="Shifts and absences."),
        "course": get("Course", description="A course by id."),
        "courses": connection("Course", description="Training courses."),
        "course_completion": get("CourseCompletion", description="A finished course by id."),
        "course_completions": connection("CourseCompletion", description="Finished courses, newest first."),
        "assignment_rule": get("AssignmentRule", description="A rule of assignment by id."),
        "assignment_rules": connection("AssignmentRule", description="Rules of assignment, the first asked first."),
        "assignment_queue": connection("OwnerQueueEntry", description="Customers who wait for an owner."),
        "customer_ownerships": connection("CustomerOwnership", description="Who looked after whom, newest first."),
        "rebalancing": get("Rebalancing", description="A proposal to spread customers anew, by id."),
        "rebalancings": connection("Rebalancing", description="Proposals to spread customers anew, newest first."),
        "staff_performance": Computed(
            _performance,
            input=PerformanceQuery,
            payload={"report": Annotated[StaffPerformanceReport, Field(description="The report.")]},
            description="What staff did in a period.",
        ),
    },
    mutations={
        "team_create": _create(_create_team, TeamCreate, "team", "Team", "Add a team with its members."),
        "team_update": _change(_update_team, TeamUpdate, "team", "Team", "Change a team."),
        "skill_create": _create(_create_skill, SkillCreate, "skill", "Skill", "Add a skill."),
        "skill_update": _change(_update_skill, SkillUpdate, "skill", "Skill", "Change a skill."),
        "staff_skill_grant": Mutation(
            _grant_skill,
            input=StaffSkillInput,
            target="Staff",
            extra={"skill_id": SkillId},
            payload={"staff_skill": "StaffSkill"},
            description="Say how well somebody can do something.",
        ),
        "staff_skill_revoke": Mutation(
            _revoke_skill,
            target="Staff",
            extra={"skill_id": SkillId},
            payload={"staff": "Staff"},
            description="Say that somebody cannot do it any more.",
        ),
        "shift_create": _create(_create_shift, ShiftCreate, "shift", "Shift", "Add a shift or an absence."),
        "shift_update": _change(_update_shift, ShiftUpdate, "shift", "Shift", "Change a shift or an absence."),
        "shift_delete": _delete(_delete_shift, "Shift", "Delete a shift or an absence."),
        "course_create": _create(_create_course, CourseCreate, "course", "Course", "Add a training course."),
        "course_update": _change(_update_course, CourseUpdate, "course", "Course", "Change a training course."),
        "course_complete": _create(
            _complete_course,
            CompletionCreate,
            "course_completion",
            "CourseCompletion",
            "Note that somebody has finished a course; passing it grants its skill.",
            target="Course",
        ),
        "assignment_rule_create": _create(
            _create_rule, AssignmentRuleCreate, "assignment_rule", "AssignmentRule", "Add a rule of assignment."
        ),
        "assignment_rule_update": _change(
            _update_rule, AssignmentRuleUpdate, "assignment_rule", "AssignmentRule", "Change a rule of assignment."
        ),
        "assignment_rule_delete": _delete(_delete_rule, "AssignmentRule", "Delete a rule of assignment."),
        "customer_hand_over": Mutation(
            _hand_over,
            input=OwnerInput,
            target="Customer",
            payload={"customer": "Customer", "ownership": "CustomerOwnership"},
            description="Give a customer another owner by hand, with a handover note.",
        ),
        "customer_assign_owner": Mutation(
            _assign,
            target="Customer",
            payload={"customer": "Customer", "outcome": Outcome},
            description="Ask the rules now for a customer without an owner.",
        ),
        "rebalancing_propose": _create(
            _propose, RebalancingCreate, "rebalancing", "Rebalancing", "Propose to spread customers anew."
        ),
        "rebalancing_approve": _change(
            _approve, RebalancingDecision, "rebalancing", "Rebalancing", "Allow a proposal to be applied."
        ),
        "rebalancing_reject": _change(
            _reject, RebalancingDecision, "rebalancing", "Rebalancing", "Refuse a proposal for good."
        ),
        "rebalancing_apply": Mutation(
            _apply,
            target="Rebalancing",
            versioned=True,
            payload=_REBALANCING,
            description="Let all customers of a proposal change hands, in one transaction.",
        ),
        "rebalancing_undo": Mutation(
            _undo,
            target="Rebalancing",
            versioned=True,
            payload=_REBALANCING,
            description="Give customers back to whom they came from.",
        ),
    },
)
