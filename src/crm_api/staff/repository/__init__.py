"""Access to teams, skills, shifts, training, assignment and rebalancing: what they look like on the wire."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, case, exists, func, or_, select

from crm_api.accounts.repository import STAFF
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db.projections import (
    NOW,
    TENANT,
    Projection,
    asc,
    at_least,
    below,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    ref,
    sql,
)
from crm_api.staff import assignment_models, models, rebalancing_models
from crm_api.staff.tables import (
    assignment_rules,
    course_completions,
    courses,
    customer_ownerships,
    owner_queue,
    rebalancing_moves,
    rebalancings,
    shifts,
    skills,
    staff_skills,
    team_members,
    teams,
)

READ = "staff:read"
_STAMPS = ("version", "created_at", "updated_at")
_BY_NAME = {"name": [asc("name")], "newest": [desc("id")]}


def _members(team: FromClause) -> ColumnElement[Any]:
    found = (
        select(team_members.c.staff_id)
        .where(team_members.c.tenant_id == TENANT, team_members.c.team_id == team.c.id)
        .order_by(team_members.c.staff_id)
    )
    return func.array(found.scalar_subquery())


def _is_member(team: FromClause, member: FromClause) -> ColumnElement[bool]:
    return exists(
        select(team_members.c.staff_id).where(
            team_members.c.tenant_id == TENANT,
            team_members.c.team_id == team.c.id,
            team_members.c.staff_id == member.c.id,
        )
    )


def online(member: FromClause, now: Any, tenant: Any = TENANT) -> ColumnElement[bool]:
    """Return whether a member is at work: active, not absent, and online by hand or by a shift."""

    def covered(kind: str) -> ColumnElement[bool]:
        return exists(
            select(shifts.c.id).where(
                shifts.c.tenant_id == tenant,
                shifts.c.staff_id == member.c.id,
                shifts.c.kind == kind,
                shifts.c.starts_at <= now,
                shifts.c.ends_at > now,
            )
        )

    by_hand = member.c.availability == "online"
    by_shift = and_(member.c.availability == "by_shift", covered("work"))
    return case((and_(member.c.active, or_(by_hand, by_shift)), ~covered("absence")), else_=False)


def _owned(member: FromClause) -> ColumnElement[Any]:
    return (
        select(func.count())
        .where(
            customers.c.tenant_id == TENANT,
            customers.c.owner_id == member.c.id,
            customers.c.deleted_at.is_(None),
        )
        .scalar_subquery()
    )


TEAM = Projection(
    "Team",
    table=teams,
    model=models.Team,
    scope=READ,
    description="People who work together.",
    fields={
        **columns("id", "name", "archived", *_STAMPS),
        "lead_id": ref("lead_id", "Staff"),
        "store_id": ref("store_id", "Store"),
        "member_ids": sql(_members),
    },
    relations={
        "lead": one("Staff", on=lambda p, c: c.c.id == p.c.lead_id, description="Who leads it."),
        "store": one("Store", on=lambda p, c: c.c.id == p.c.store_id, description="Where it works."),
        "members": many("Staff", on=_is_member, description="Its members."),
    },
    orders=_BY_NAME,
    filters={"store_id": eq_ref("store_id", "Store"), "archived": eq("archived", bool)},
)

SKILL = Projection(
    "Skill",
    table=skills,
    model=models.Skill,
    scope=READ,
    description="Something not everybody can do.",
    fields=columns("id", "name", "description", "archived", *_STAMPS),
    relations={
        "staff": many("StaffSkill", on=lambda p, c: c.c.skill_id == p.c.id, description="Who has it."),
    },
    orders=_BY_NAME,
    filters={"archived": eq("archived", bool)},
)

STAFF_SKILL = Projection(
    "StaffSkill",
    table=staff_skills,
    model=models.StaffSkill,
    scope=READ,
    description="What a staff member can do, and since when it is known.",
    fields={
        **columns("id", "level", "source", "expires_on", *_STAMPS),
        "staff_id": ref("staff_id", "Staff"),
        "skill_id": ref("skill_id", "Skill"),
        "course_id": ref("course_id", "Course"),
    },
    relations={
        "staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="Who."),
        "skill": one("Skill", on=lambda p, c: c.c.id == p.c.skill_id, description="What."),
        "course": one("Course", on=lambda p, c: c.c.id == p.c.course_id, description="The course that granted it."),
    },
    filters={
        "staff_id": eq_ref("staff_id", "Staff"),
        "skill_id": eq_ref("skill_id", "Skill"),
        "source": eq("source", models.SkillSource),
    },
)

SHIFT = Projection(
    "Shift",
    table=shifts,
    model=models.Shift,
    scope=READ,
    description="Time at work, or away.",
    fields={
        **columns("id", "kind", "starts_at", "ends_at", "note", *_STAMPS),
        "staff_id": ref("staff_id", "Staff"),
        "store_id": ref("store_id", "Store"),
    },
    relations={
        "staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="Who."),
        "store": one("Store", on=lambda p, c: c.c.id == p.c.store_id, description="Where."),
    },
    orders={"start": [asc("starts_at")], "newest": [desc("starts_at")]},
    filters={
        "staff_id": eq_ref("staff_id", "Staff"),
        "store_id": eq_ref("store_id", "Store"),
        "kind": eq("kind", models.ShiftKind),
        "ends_after": at_least("ends_at", description="Not over at this instant."),
        "starts_before": below("starts_at", description="Begun before this instant."),
    },
)

COURSE = Projection(
    "Course",
    table=courses,
    model=models.Course,
    scope=READ,
    description="A training course.",
    fields={
        **columns("id", "name", "description", "pass_score", "skill_level", "valid_days", "archived", *_STAMPS),
        "skill_id": ref("skill_id", "Skill"),
    },
    relations={
        "skill": one("Skill", on=lambda p, c: c.c.id == p.c.skill_id, description="What passing it grants."),
        "completions": many(
            "CourseCompletion", on=lambda p, c: c.c.course_id == p.c.id, description="Who has finished it."
        ),
    },
    orders=_BY_NAME,
    filters={"archived": eq("archived", bool)},
)

COURSE_COMPLETION = Projection(
    "CourseCompletion",
    table=course_completions,
    model=models.CourseCompletion,
    scope=READ,
    description="A finished course: every attempt, passed or not.",
    fields={
        **columns("id", "score", "passed", "completed_at", "note", "created_at"),
        "course_id": ref("course_id", "Course"),
        "staff_id": ref("staff_id", "Staff"),
    },
    relations={
        "course": one("Course", on=lambda p, c: c.c.id == p.c.course_id, description="Which course."),
        "staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="Who."),
    },
    orders={"newest": [desc("completed_at")]},
    filters={
        "course_id": eq_ref("course_id", "Course"),
        "staff_id": eq_ref("staff_id", "Staff"),
        "passed": eq("passed", bool),
    },
)

ASSIGNMENT_RULE = Projection(
    "AssignmentRule",
    table=assignment_rules,
    model=assignment_models.AssignmentRule,
    scope=READ,
    description="Who gets what comes in.",
    fields={
        **columns("id", "name", "target", "position", "active", "conditions", "same_store", "required_skill_ids"),
        **columns("strategy", "sticky", "online_only", *_STAMPS),
        "team_id": ref("team_id", "Team"),
    },
    relations={"team": one("Team", on=lambda p, c: c.c.id == p.c.team_id, description="Only its members.")},
    orders={"position": [asc("position")]},
    filters={"target": eq("target", assignment_models.Target), "active": eq("active", bool)},
)


def _until(row: FromClause) -> ColumnElement[Any]:
    later = customer_ownerships.alias("later")
    return (
        select(later.c.at)
        .where(
            later.c.tenant_id == TENANT,
            later.c.customer_id == row.c.customer_id,
            or_(later.c.at > row.c.at, and_(later.c.at == row.c.at, later.c.id > row.c.id)),
        )
        .order_by(later.c.at, later.c.id)
        .limit(1)
        .scalar_subquery()
    )


CUSTOMER_OWNERSHIP = Projection(
    "CustomerOwnership",
    table=customer_ownerships,
    model=assignment_models.CustomerOwnership,
    scope=READ,
    description="Who looked after a customer, and until when.",
    fields={
        **columns("id", "cause", "by_id", "note", "at"),
        "customer_id": ref("customer_id", "Customer"),
        "owner_id": ref("owner_id", "Staff"),
        "previous_owner_id": ref("previous_owner_id", "Staff"),
        "until": sql(_until),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whom."),
        "owner": one("Staff", on=lambda p, c: c.c.id == p.c.owner_id, description="Who looked after them."),
        "previous_owner": one("Staff", on=lambda p, c: c.c.id == p.c.previous_owner_id, description="Who did before."),
    },
    orders={"newest": [desc("at")]},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "owner_id": eq_ref("owner_id", "Staff"),
        "cause": eq("cause", assignment_models.OwnerCause),
    },
)

OWNER_QUEUE_ENTRY = Projection(
    "OwnerQueueEntry",
    table=owner_queue,
    model=assignment_models.OwnerQueueEntry,
    scope=READ,
    description="A customer whom no rule has found anybody for yet.",
    fields={
        **columns("id", "reason", "since"),
        "customer_id": ref("customer_id", "Customer"),
        "rule_id": ref("rule_id", "AssignmentRule"),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who is waiting."),
        "rule": one("AssignmentRule", on=lambda p, c: c.c.id == p.c.rule_id, description="The rule for them."),
    },
    orders={"oldest": [asc("since")]},
    filters={"rule_id": eq_ref("rule_id", "AssignmentRule")},
)

REBALANCING = Projection(
    "Rebalancing",
    table=rebalancings,
    model=rebalancing_models.Rebalancing,
    scope=READ,
    description="A proposal to spread customers anew, with the load before and after, and what became of it.",
    fields=columns(*rebalancing_models.Rebalancing.model_fields),
    relations={
        "moves": many(
            "RebalancingMove", on=lambda p, c: c.c.rebalancing_id == p.c.id, description="Who would change hands."
        )
    },
    filters={
        "state": eq("state", rebalancing_models.RebalancingState),
        "cause": eq("cause", rebalancing_models.RebalancingCause),
    },
)

REBALANCING_MOVE = Projection(
    "RebalancingMove",
    table=rebalancing_moves,
    model=rebalancing_models.RebalancingMove,
    scope=READ,
    description="One customer of a rebalancing.",
    fields={
        **columns("id", "state"),
        "rebalancing_id": ref("rebalancing_id", "Rebalancing"),
        "customer_id": ref("customer_id", "Customer"),
        "from_staff_id": ref("from_staff_id", "Staff"),
        "to_staff_id": ref("to_staff_id", "Staff"),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who changes hands."),
        "from_staff": one("Staff", on=lambda p, c: c.c.id == p.c.from_staff_id, description="Who had them."),
        "to_staff": one("Staff", on=lambda p, c: c.c.id == p.c.to_staff_id, description="Who gets them."),
    },
    orders={"planned": [asc("id")]},
    filters={
        "rebalancing_id": eq_ref("rebalancing_id", "Rebalancing"),
        "from_staff_id": eq_ref("from_staff_id", "Staff"),
        "to_staff_id": eq_ref("to_staff_id", "Staff"),
        "state": eq("state", rebalancing_models.MoveState),
    },
)

extend(
    STAFF,
    relations={
        "online": sql(
            lambda t: online(t, NOW),
            returns=bool,
            scope=READ,
            description="Whether they are at work now: active, not absent, and online by hand or by a shift.",
        ),
        "customers_owned": sql(
            _owned, returns=int, scope="customers:read", description="How many customers they look after."
        ),
        "skills": many("StaffSkill", on=lambda p, c: c.c.staff_id == p.c.id, description="What they can do."),
        "shifts": many("Shift", on=lambda p, c: c.c.staff_id == p.c.id, description="When they work, or are away."),
        "trainings": many(
            "CourseCompletion", on=lambda p, c: c.c.staff_id == p.c.id, description="Courses they have finished."
        ),
        "teams": many("Team", on=lambda p, c: _is_member(c, p), description="Teams they are in."),
    },
)
extend(
    CUSTOMER,
    relations={
        "owners": many(
            "CustomerOwnership",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="Who looked after them, newest first.",
        )
    },
)
