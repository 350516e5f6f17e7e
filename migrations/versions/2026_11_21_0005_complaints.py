"""Complaints and their event log.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "complaints",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("source_ref", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("safety", sa.Boolean(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("root_cause", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("remedy_sought", sa.Text(), nullable=True),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("merged_into_id", sa.Uuid(), nullable=True),
        sa.Column("reopened", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state <> 'duplicate' OR merged_into_id IS NOT NULL", name=op.f("ck_complaints_merged")),
        sa.CheckConstraint("kind IN ('complaint', 'inquiry', 'request', 'praise')", name=op.f("ck_complaints_kind")),
        sa.CheckConstraint("severity IN ('S1', 'S2', 'S3', 'S4')", name=op.f("ck_complaints_severity")),
        sa.CheckConstraint("state <> 'closed' OR decision_told_at IS NOT NULL", name=op.f("ck_complaints_closed_told")),
        sa.CheckConstraint(
            "state <> 'closed' OR severity IN ('S3', 'S4') OR root_cause IS NOT NULL",
            name=op.f("ck_complaints_closed_root_cause"),
        ),
        sa.CheckConstraint("state <> 'rejected' OR reason IS NOT NULL", name=op.f("ck_complaints_rejected_reason")),
        sa.CheckConstraint(
            "state IN ('received', 'acknowledged', 'assessed', 'in_progress', 'waiting_customer', "
            "'waiting_third_party', 'proposed', 'escalated_external', 'resolved', 'closed', 'duplicate', "
            "'withdrawn', 'rejected')",
            name=op.f("ck_complaints_state"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assignee_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_complaints_tenant_id_assignee_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_complaints_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "order_id"], ["orders.tenant_id", "orders.id"], name=op.f("fk_complaints_tenant_id_order_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "merged_into_id"],
            ["complaints.tenant_id", "complaints.id"],
            name=op.f("fk_complaints_tenant_id_merged_into_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaints")),
    )
    op.create_index("ix_complaints_assignee", "complaints", ["tenant_id", "assignee_id", "id"], unique=False)
    op.create_index(
        "ix_complaints_customer", "complaints", ["tenant_id", "customer_id", "received_at", "id"], unique=False
    )
    op.create_index("ix_complaints_merged_into", "complaints", ["tenant_id", "merged_into_id"], unique=False)
    op.create_index("ix_complaints_order", "complaints", ["tenant_id", "order_id"], unique=False)
    op.create_index("ix_complaints_state", "complaints", ["tenant_id", "state", "id"], unique=False)
    op.create_index("uq_complaints_source_ref", "complaints", ["tenant_id", "source_ref"], unique=True)
    protect("complaints")

    op.create_table(
        "complaint_events",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "complaint_id"],
            ["complaints.tenant_id", "complaints.id"],
            name=op.f("fk_complaint_events_tenant_id_complaint_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_events")),
        sa.UniqueConstraint(
            "tenant_id", "complaint_id", "number", name=op.f("uq_complaint_events_tenant_id_complaint_id_number")
        ),
        info={"append_only": True},
    )
    protect("complaint_events", writes="append")

    op.create_table(
        "complaint_interactions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("interaction_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "complaint_id"],
            ["complaints.tenant_id", "complaints.id"],
            name=op.f("fk_complaint_interactions_tenant_id_complaint_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "interaction_id"],
            ["interactions.tenant_id", "interactions.id"],
            name=op.f("fk_complaint_interactions_tenant_id_interaction_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "complaint_id", "interaction_id", name=op.f("pk_complaint_interactions")),
    )
    op.create_index(
        "ix_complaint_interactions_interaction", "complaint_interactions", ["tenant_id", "interaction_id"], unique=False
    )
    protect("complaint_interactions")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
