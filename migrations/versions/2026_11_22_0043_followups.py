"""Follow-up plans and tasks.

Revision ID: 0043
Revises: 0042b
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect, refuse_merged

revision = "0043"
down_revision = "0042b"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "follow_up_plans",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=True),
        sa.Column("cadences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("first_after_days", sa.Integer(), nullable=False),
        sa.Column("spread", sa.Boolean(), nullable=False),
        sa.Column("due_working_days", sa.Integer(), nullable=False),
        sa.Column("counts_contacts", sa.Boolean(), nullable=False),
        sa.Column("channels", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("by_preference", sa.Boolean(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("script", sa.Text(), nullable=True),
        sa.Column("assign_to", sa.Text(), nullable=False),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("calendar_id", sa.Uuid(), nullable=True),
        sa.Column("holiday_rule", sa.Text(), nullable=False),
        sa.Column("days_ahead", sa.Integer(), nullable=False),
        sa.Column("holdout_percent", sa.SmallInteger(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("generated_to", sa.Date(), nullable=True),
        sa.Column("generated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("assign_to IN ('owner', 'assignee', 'queue')", name=op.f("ck_follow_up_plans_assign_to")),
        sa.CheckConstraint(
            "holiday_rule IN ('next', 'previous', 'nearest', 'none')", name=op.f("ck_follow_up_plans_holiday_rule")
        ),
        sa.CheckConstraint("state IN ('draft', 'active', 'paused', 'archived')", name=op.f("ck_follow_up_plans_state")),
        sa.CheckConstraint("trigger IN ('cadence', 'low_rating', 'neglect')", name=op.f("ck_follow_up_plans_trigger")),
        sa.CheckConstraint("holdout_percent BETWEEN 0 AND 50", name=op.f("ck_follow_up_plans_holdout_percent")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assignee_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_follow_up_plans_tenant_id_assignee_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "calendar_id"],
            ["calendars.tenant_id", "calendars.id"],
            name=op.f("fk_follow_up_plans_tenant_id_calendar_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "segment_id"],
            ["segments.tenant_id", "segments.id"],
            name=op.f("fk_follow_up_plans_tenant_id_segment_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_follow_up_plans_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_follow_up_plans")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_follow_up_plans_tenant_id_name")),
    )
    protect("follow_up_plans")

    op.create_table(
        "follow_up_plan_versions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rules", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan_id"],
            ["follow_up_plans.tenant_id", "follow_up_plans.id"],
            name=op.f("fk_follow_up_plan_versions_tenant_id_plan_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_follow_up_plan_versions")),
        sa.UniqueConstraint(
            "tenant_id", "plan_id", "number", name=op.f("uq_follow_up_plan_versions_tenant_id_plan_id_number")
        ),
        info={"append_only": True},
    )
    protect("follow_up_plan_versions", writes="append")

    op.create_table(
        "follow_ups",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid(), nullable=True),
        sa.Column("plan_number", sa.Integer(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("slot", sa.Date(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("due_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("snoozes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("told_overdue_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("instructions", sa.Text(), nullable=True),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("follows_owner", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("complaint_id", sa.Uuid(), nullable=True),
        sa.Column("interaction_id", sa.Uuid(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("satisfaction", sa.SmallInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(state = 'done') = (result IS NOT NULL)", name=op.f("ck_follow_ups_done")),
        sa.CheckConstraint("(state = 'open') = (closed_at IS NULL)", name=op.f("ck_follow_ups_closed")),
        sa.CheckConstraint(
            "result IN ('reached', 'message_left', 'no_answer', 'unreachable', 'refused')",
            name=op.f("ck_follow_ups_result"),
        ),
        sa.CheckConstraint("source IN ('plan', 'manual', 'low_rating', 'neglect')", name=op.f("ck_follow_ups_source")),
        sa.CheckConstraint("state <> 'skipped' OR reason IS NOT NULL", name=op.f("ck_follow_ups_skipped")),
        sa.CheckConstraint(
            "state IN ('open', 'done', 'skipped', 'cancelled', 'held_out')", name=op.f("ck_follow_ups_state")
        ),
        sa.CheckConstraint("due_from <= due_at", name=op.f("ck_follow_ups_due")),
        sa.CheckConstraint("satisfaction BETWEEN 1 AND 5", name=op.f("ck_follow_ups_satisfaction")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assignee_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_follow_ups_tenant_id_assignee_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "complaint_id"],
            ["complaints.tenant_id", "complaints.id"],
            name=op.f("fk_follow_ups_tenant_id_complaint_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_follow_ups_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "interaction_id"],
            ["interactions.tenant_id", "interactions.id"],
            name=op.f("fk_follow_ups_tenant_id_interaction_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "order_id"], ["orders.tenant_id", "orders.id"], name=op.f("fk_follow_ups_tenant_id_order_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan_id"],
            ["follow_up_plans.tenant_id", "follow_up_plans.id"],
            name=op.f("fk_follow_ups_tenant_id_plan_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_follow_ups")),
        sa.UniqueConstraint("tenant_id", "customer_id", "key", name=op.f("uq_follow_ups_tenant_id_customer_id_key")),
    )
    op.create_index(
        "ix_follow_ups_assignee",
        "follow_ups",
        ["tenant_id", "assignee_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("ix_follow_ups_closed", "follow_ups", ["tenant_id", "assignee_id", "closed_at"], unique=False)
    op.create_index("ix_follow_ups_complaint", "follow_ups", ["tenant_id", "complaint_id"], unique=False)
    op.create_index("ix_follow_ups_customer", "follow_ups", ["tenant_id", "customer_id", "due_at", "id"], unique=False)
    op.create_index("ix_follow_ups_interaction", "follow_ups", ["tenant_id", "interaction_id"], unique=False)
    op.create_index(
        "ix_follow_ups_open",
        "follow_ups",
        ["tenant_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("ix_follow_ups_order", "follow_ups", ["tenant_id", "order_id"], unique=False)
    op.create_index("ix_follow_ups_plan", "follow_ups", ["tenant_id", "plan_id", "customer_id", "slot"], unique=False)
    protect("follow_ups")
    refuse_merged("follow_ups")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
