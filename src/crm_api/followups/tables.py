"""Follow-up plans, what they said at all times, and the tasks."""

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Index, Integer, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

follow_up_plans = resource_table(
    "follow_up_plans",
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    # The version of what follows; each is kept in follow_up_plan_versions.
    Column("number", Integer, nullable=False),
    Column("segment_id", Uuid),
    Column("cadences", JSONB, nullable=False),
    Column("first_after_days", Integer, nullable=False),
    Column("spread", Boolean, nullable=False),
    Column("due_working_days", Integer, nullable=False),
    Column("counts_contacts", Boolean, nullable=False),
    Column("channels", ARRAY(Text), nullable=False),
    Column("by_preference", Boolean, nullable=False),
    Column("purpose", Text),
    Column("subject", Text),
    Column("script", Text),
    Column("assign_to", Text, nullable=False),
    Column("assignee_id", Uuid),
    Column("calendar_id", Uuid),
    Column("holiday_rule", Text, nullable=False),
    Column("days_ahead", Integer, nullable=False),
    Column("holdout_percent", SmallInteger, nullable=False),
    Column("starts_on", Date, nullable=False),
    # Of the last time everybody was looked at.
    Column("generated_to", Date),
    Column("generated_at", INSTANT),
    Column("error", Text),
    CheckConstraint("state IN ('draft', 'active', 'paused', 'archived')", name="state"),
    CheckConstraint("trigger IN ('cadence', 'low_rating', 'neglect')", name="trigger"),
    CheckConstraint("assign_to IN ('owner', 'assignee', 'queue')", name="assign_to"),
    CheckConstraint("holiday_rule IN ('next', 'previous', 'nearest', 'none')", name="holiday_rule"),
    CheckConstraint("holdout_percent BETWEEN 0 AND 50", name="holdout_percent"),
    reference("segment_id", "segments"),
    reference("assignee_id", "staff"),
    reference("calendar_id", "calendars"),
    unique("name"),
)

follow_up_plan_versions = tenant_table(
    "follow_up_plan_versions",
    Column("plan_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    Column("rules", JSONB, nullable=False),
    created_at(),
    reference("plan_id", "follow_up_plans"),
    unique("plan_id", "number"),
    info={APPEND_ONLY: True},
)
"""What a plan said: tasks name the version they were made by."""

follow_ups = resource_table(
    "follow_ups",
    Column("customer_id", Uuid, nullable=False),
    Column("plan_id", Uuid),
    Column("plan_number", Integer),
    Column("source", Text, nullable=False),
    # What there is one task for: of a plan its id and the slot, or the rating; of others the task itself.
    Column("key", Text, nullable=False),
    Column("slot", Date),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("due_on", Date, nullable=False),
    Column("due_from", INSTANT, nullable=False),
    Column("due_at", INSTANT, nullable=False),
    Column("snoozed_until", INSTANT),
    Column("snoozes", Integer, nullable=False, server_default=text("0")),
    # When `follow_up.overdue` was sent: once for each time it falls due.
    Column("told_overdue_at", INSTANT),
    Column("channel", Text),
    Column("subject", Text),
    Column("instructions", Text),
    Column("assignee_id", Uuid),
    Column("follows_owner", Boolean, nullable=False, server_default=text("false")),
    Column("order_id", Uuid),
    Column("complaint_id", Uuid),
    Column("interaction_id", Uuid),
    Column("result", Text),
    Column("satisfaction", SmallInteger),
    Column("reason", Text),
    Column("closed_at", INSTANT),
    CheckConstraint("source IN ('plan', 'manual', 'low_rating', 'neglect')", name="source"),
    CheckConstraint("state IN ('open', 'done', 'skipped', 'cancelled', 'held_out')", name="state"),
    CheckConstraint("result IN ('reached', 'message_left', 'no_answer', 'unreachable', 'refused')", name="result"),
    CheckConstraint("satisfaction BETWEEN 1 AND 5", name="satisfaction"),
    CheckConstraint("(state = 'open') = (closed_at IS NULL)", name="closed"),
    CheckConstraint("(state = 'done') = (result IS NOT NULL)", name="done"),
    CheckConstraint("state <> 'skipped' OR reason IS NOT NULL", name="skipped"),
    CheckConstraint("due_from <= due_at", name="due"),
    reference("customer_id", "customers"),
    reference("plan_id", "follow_up_plans"),
    reference("assignee_id", "staff"),
    reference("order_id", "orders"),
    reference("complaint_id", "complaints"),
    reference("interaction_id", "interactions"),
    unique("customer_id", "key"),
    Index("ix_follow_ups_customer", "tenant_id", "customer_id", "due_at", "id"),
    Index("ix_follow_ups_plan", "tenant_id", "plan_id", "customer_id", "slot"),
    Index("ix_follow_ups_open", "tenant_id", "due_at", "id", postgresql_where=text("state = 'open'")),
    Index(
        "ix_follow_ups_assignee", "tenant_id", "assignee_id", "due_at", "id", postgresql_where=text("state = 'open'")
    ),
    Index("ix_follow_ups_closed", "tenant_id", "assignee_id", "closed_at"),
    Index("ix_follow_ups_interaction", "tenant_id", "interaction_id"),
    Index("ix_follow_ups_complaint", "tenant_id", "complaint_id"),
    Index("ix_follow_ups_order", "tenant_id", "order_id"),
)
