"""Complaints: their clocks, as stored, what they announced, and cases that wait for a handler.

Revision ID: 0044
Revises: 0043
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

CLOCKS = "'acknowledge', 'first_response', 'next_response', 'resolution', 'decision', 'refund'"


def upgrade() -> None:
    """Apply."""
    _policies()
    _clocks()
    _alerts()
    _marks()
    _queue()
    _cases()


def _id(name: str) -> sa.Column:
    return sa.Column(name, sa.Uuid(), nullable=False)


def _instant(name: str, *, nullable: bool = True) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _stamp(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _jsonb(name: str, default: str | None = None) -> sa.Column:
    made = None if default is None else sa.text(f"'{default}'::jsonb")
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), server_default=made, nullable=False)


def _points(table: str, column: str, target: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{target}.tenant_id", f"{target}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"),
        ondelete=ondelete,
    )


def _policies() -> None:
    op.create_table(
        "clock_policies",
        _id("tenant_id"),
        _id("id"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        _jsonb("conditions"),
        sa.Column("calendar_id", sa.Uuid(), nullable=True),
        _jsonb("clocks"),
        _jsonb("escalations", "[]"),
        sa.Column("preset", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _stamp("created_at"),
        _stamp("updated_at"),
        _points("clock_policies", "calendar_id", "calendars"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_clock_policies_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_clock_policies")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_clock_policies_tenant_id_name")),
    )
    op.create_index("ix_clock_policies_position", "clock_policies", ["tenant_id", "position", "id"], unique=False)
    protect("clock_policies")


def _clocks() -> None:
    op.create_table(
        "complaint_clocks",
        _id("tenant_id"),
        _id("id"),
        _id("complaint_id"),
        _id("policy_id"),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _instant("started_at", nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        _instant("due_at"),
        _instant("warn_at"),
        _instant("warned_at"),
        _instant("breached_at"),
        _instant("stopped_at"),
        sa.Column("natural", sa.Boolean(), nullable=False),
        sa.Column("spent_seconds", sa.BigInteger(), nullable=False),
        _instant("measured_at", nullable=False),
        sa.CheckConstraint(f"clock IN ({CLOCKS})", name=op.f("ck_complaint_clocks_clock")),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'met', 'breached', 'cancelled')", name=op.f("ck_complaint_clocks_state")
        ),
        sa.CheckConstraint(
            "breached_at IS NULL OR state = 'breached'", name=op.f("ck_complaint_clocks_missed_stays_missed")
        ),
        _points("complaint_clocks", "complaint_id", "complaints"),
        _points("complaint_clocks", "policy_id", "clock_policies"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_clocks")),
        sa.UniqueConstraint(
            "tenant_id",
            "complaint_id",
            "clock",
            "started_at",
            "nth",
            name=op.f("uq_complaint_clocks_tenant_id_complaint_id_clock_started_at_nth"),
        ),
    )
    op.create_index(
        "uq_complaint_clocks_single",
        "complaint_clocks",
        ["tenant_id", "complaint_id", "clock"],
        unique=True,
        postgresql_where=sa.text("clock NOT IN ('next_response', 'refund')"),
    )
    op.create_index(
        "ix_complaint_clocks_stopped", "complaint_clocks", ["tenant_id", "stopped_at", "clock"], unique=False
    )
    protect("complaint_clocks")


def _alerts() -> None:
    op.create_table(
        "complaint_clock_alerts",
        _id("tenant_id"),
        _id("id"),
        _id("complaint_id"),
        _id("complaint_clock_id"),
        _id("policy_id"),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=True),
        _instant("at", nullable=False),
        _instant("told_at", nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("what IN ('warned', 'breached', 'escalated')", name=op.f("ck_complaint_clock_alerts_what")),
        sa.CheckConstraint(
            "action IN ('notify', 'raise', 'reassign', 'webhook')", name=op.f("ck_complaint_clock_alerts_action")
        ),
        sa.CheckConstraint(
            "outcome IN ('told', 'pending', 'done', 'not_needed', 'failed')",
            name=op.f("ck_complaint_clock_alerts_outcome"),
        ),
        _points("complaint_clock_alerts", "complaint_id", "complaints"),
        _points("complaint_clock_alerts", "complaint_clock_id", "complaint_clocks"),
        _points("complaint_clock_alerts", "policy_id", "clock_policies"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_clock_alerts")),
        sa.UniqueConstraint(
            "tenant_id",
            "complaint_clock_id",
            "what",
            "step",
            name=op.f("uq_complaint_clock_alerts_tenant_id_complaint_clock_id_what_step"),
        ),
    )
    op.create_index(
        "ix_complaint_clock_alerts_complaint",
        "complaint_clock_alerts",
        ["tenant_id", "complaint_id", "at"],
        unique=False,
    )
    protect("complaint_clock_alerts")


def _marks() -> None:
    op.create_table(
        "complaint_clock_marks",
        _id("tenant_id"),
        _id("id"),
        _id("complaint_id"),
        sa.Column("what", sa.Text(), nullable=False),
        _instant("at", nullable=False),
        _stamp("created_at"),
        sa.CheckConstraint("what IN ('return_received', 'refunded')", name=op.f("ck_complaint_clock_marks_what")),
        _points("complaint_clock_marks", "complaint_id", "complaints"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_clock_marks")),
    )
    op.create_index(
        "ix_complaint_clock_marks_complaint", "complaint_clock_marks", ["tenant_id", "complaint_id", "at"], unique=False
    )
    protect("complaint_clock_marks", writes="append")


def _queue() -> None:
    op.create_table(
        "complaint_queue",
        _id("tenant_id"),
        _id("id"),
        _id("complaint_id"),
        _id("rule_id"),
        sa.Column("reason", sa.Text(), nullable=False),
        _instant("since", nullable=False),
        sa.CheckConstraint(
            "reason IN ('nobody_online', 'no_skill', 'no_capacity', 'nobody_there')",
            name=op.f("ck_complaint_queue_reason"),
        ),
        _points("complaint_queue", "complaint_id", "complaints"),
        _points("complaint_queue", "rule_id", "assignment_rules", "CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_queue")),
        sa.UniqueConstraint("tenant_id", "complaint_id", name=op.f("uq_complaint_queue_tenant_id_complaint_id")),
    )
    op.create_index("ix_complaint_queue_since", "complaint_queue", ["tenant_id", "since", "id"], unique=False)
    protect("complaint_queue")


def _cases() -> None:
    for column in (
        _instant("due_at"),
        sa.Column("breached", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _instant("next_change_at"),
        sa.Column("clock_epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    ):
        op.add_column("complaints", column)


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
