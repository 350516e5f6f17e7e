"""Teams, skills, shifts, training, rules of assignment, and the history of who looked after whom.

Staff and stores themselves belong to ``accounts``; a customer's owner is ``customers.owner_id``.
"""

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Float, Index, Integer, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

teams = resource_table(
    "teams",
    Column("name", Text, nullable=False),
    Column("lead_id", Uuid),
    Column("store_id", Uuid),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
    reference("lead_id", "staff"),
    reference("store_id", "stores"),
    unique("name"),
)

team_members = tenant_table(
    "team_members",
    Column("team_id", Uuid, nullable=False),
    Column("staff_id", Uuid, nullable=False),
    reference("team_id", "teams"),
    reference("staff_id", "staff"),
    Index("ix_team_members_staff", "tenant_id", "staff_id"),
    key=("team_id", "staff_id"),
)

skills = resource_table(
    "skills",
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
    unique("name"),
)

staff_skills = resource_table(
    "staff_skills",
    Column("staff_id", Uuid, nullable=False),
    Column("skill_id", Uuid, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("course_id", Uuid),
    # The last day it counts; null is for good.
    Column("expires_on", Date),
    CheckConstraint("level BETWEEN 1 AND 5", name="level"),
    CheckConstraint("source IN ('manual', 'training')", name="source"),
    reference("staff_id", "staff"),
    reference("skill_id", "skills"),
    reference("course_id", "courses"),
    unique("staff_id", "skill_id"),
    Index("ix_staff_skills_skill", "tenant_id", "skill_id", "staff_id"),
)

shifts = resource_table(
    "shifts",
    Column("staff_id", Uuid, nullable=False),
    Column("store_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("starts_at", INSTANT, nullable=False),
    Column("ends_at", INSTANT, nullable=False),
    Column("note", Text),
    CheckConstraint("kind IN ('work', 'absence')", name="kind"),
    CheckConstraint("starts_at < ends_at", name="order"),
    reference("staff_id", "staff"),
    reference("store_id", "stores"),
    Index("ix_shifts_staff", "tenant_id", "staff_id", "ends_at"),
    Index("ix_shifts_start", "tenant_id", "starts_at", "id"),
)

courses = resource_table(
    "courses",
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("pass_score", Float, nullable=False),
    # What passing it grants.
    Column("skill_id", Uuid),
    Column("skill_level", SmallInteger, nullable=False, server_default=text("1")),
    Column("valid_days", Integer),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("pass_score BETWEEN 0 AND 100", name="pass_score"),
    CheckConstraint("skill_level BETWEEN 1 AND 5", name="skill_level"),
    CheckConstraint("valid_days > 0", name="valid_days"),
    reference("skill_id", "skills"),
    unique("name"),
)

course_completions = tenant_table(
    "course_completions",
    Column("course_id", Uuid, nullable=False),
    Column("staff_id", Uuid, nullable=False),
    Column("score", Float, nullable=False),
    # By the pass score of that day.
    Column("passed", Boolean, nullable=False),
    Column("completed_at", INSTANT, nullable=False),
    Column("note", Text),
    created_at(),
    CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    reference("course_id", "courses"),
    reference("staff_id", "staff"),
    Index("ix_course_completions_staff", "tenant_id", "staff_id", "completed_at", "id"),
    Index("ix_course_completions_course", "tenant_id", "course_id", "completed_at", "id"),
    info={APPEND_ONLY: True},
)
"""Every attempt, passed or not."""

assignment_rules = resource_table(
    "assignment_rules",
    Column("name", Text, nullable=False),
    Column("target", Text, nullable=False),
    # The lowest is asked first.
    Column("position", Integer, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("conditions", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("team_id", Uuid),
    Column("same_store", Boolean, nullable=False, server_default=text("false")),
    Column("required_skill_ids", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("strategy", Text, nullable=False),
    Column("sticky", Boolean, nullable=False, server_default=text("false")),
    Column("online_only", Boolean, nullable=False),
    # Whose turn it was last, and the credits of `weighted`: see assignment.Turn.
    Column("turn", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    CheckConstraint("target IN ('customers', 'cases')", name="target"),
    CheckConstraint("strategy IN ('round_robin', 'least_load', 'weighted')", name="strategy"),
    reference("team_id", "teams"),
    unique("name"),
    Index("ix_assignment_rules_position", "tenant_id", "target", "position", "id"),
)

customer_ownerships = tenant_table(
    "customer_ownerships",
    Column("customer_id", Uuid, nullable=False),
    # Null on either side is nobody.
    Column("previous_owner_id", Uuid),
    Column("owner_id", Uuid),
    Column("cause", Text, nullable=False),
    # The rule, or the rebalancing, that did it.
    Column("by_id", Uuid),
    # The handover note: what the next one must know.
    Column("note", Text),
    Column("at", INSTANT, nullable=False),
    CheckConstraint(
        "cause IN ('opening', 'edited', 'handover', 'rule', 'rebalancing', 'rebalancing_undone')", name="cause"
    ),
    Index("ix_customer_ownerships_customer", "tenant_id", "customer_id", text("at DESC"), text("id DESC")),
    Index("ix_customer_ownerships_owner", "tenant_id", "owner_id", "at"),
    Index("ix_customer_ownerships_previous", "tenant_id", "previous_owner_id", "at"),
    info={APPEND_ONLY: True},
    tied=False,
)
"""One row for each change of a customer's owner, written by a trigger of ``customers``: no writer gets past it."""

owner_queue = tenant_table(
    "owner_queue",
    Column("customer_id", Uuid, nullable=False),
    Column("rule_id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", INSTANT, nullable=False),
    CheckConstraint("reason IN ('nobody_online', 'no_skill', 'no_capacity', 'nobody_there')", name="reason"),
    reference("customer_id", "customers"),
    reference("rule_id", "assignment_rules", ondelete="CASCADE"),
    unique("customer_id"),
    Index("ix_owner_queue_since", "tenant_id", "since", "id"),
)
"""Customers whom no rule found anybody for: looked at again when somebody may have become free."""

rebalancings = resource_table(
    "rebalancings",
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("options", JSONB, nullable=False),
    # Loads by staff member, and Gini coefficients: see balancing.py.
    Column("before", JSONB, nullable=False),
    Column("after", JSONB, nullable=False),
    Column("gini_before", Float, nullable=False),
    Column("gini_after", Float, nullable=False),
    Column("planned", Integer, nullable=False),
    # Customers who should go but for whom there is no room, or no place within `max_moves`.
    Column("unplaced", Integer, nullable=False),
    Column("kept", Integer, nullable=False),
    Column("moved", Integer, nullable=False, server_default=text("0")),
    Column("skipped", Integer, nullable=False, server_default=text("0")),
    Column("returned", Integer, nullable=False, server_default=text("0")),
    Column("stayed", Integer, nullable=False, server_default=text("0")),
    Column("note", Text),
    Column("decision_note", Text),
    Column("decided_by", Uuid),
    Column("decided_at", INSTANT),
    Column("applied_at", INSTANT),
    Column("undone_at", INSTANT),
    CheckConstraint("state IN ('proposed', 'approved', 'rejected', 'applied', 'undone')", name="state"),
    CheckConstraint("cause IN ('asked', 'left')", name="cause"),
)

rebalancing_moves = tenant_table(
    "rebalancing_moves",
    Column("rebalancing_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("from_staff_id", Uuid, nullable=False),
    Column("to_staff_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'planned'")),
    CheckConstraint("state IN ('planned', 'applied', 'skipped', 'returned', 'stayed')", name="state"),
    reference("rebalancing_id", "rebalancings"),
    reference("customer_id", "customers"),
    reference("from_staff_id", "staff"),
    reference("to_staff_id", "staff"),
    unique("rebalancing_id", "customer_id"),
    Index("ix_rebalancing_moves_customer", "tenant_id", "customer_id"),
)
