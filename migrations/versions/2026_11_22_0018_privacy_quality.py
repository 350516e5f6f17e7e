"""Subject exports, erasures and cleaning.

Revision ID: 0018
Revises: 0017b
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import open_to_erasure, open_to_system, protect, refuse_merged

revision = "0018"
down_revision = "0017b"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _privacy()
    _quality()


def _privacy() -> None:
    op.add_column("customers", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "privacy_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("erasure_waiting_days", sa.Integer(), nullable=False),
        sa.Column("export_keep_days", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "erasure_waiting_days BETWEEN 0 AND 30", name=op.f("ck_privacy_settings_erasure_waiting_days")
        ),
        sa.CheckConstraint("export_keep_days BETWEEN 1 AND 30", name=op.f("ck_privacy_settings_export_keep_days")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_privacy_settings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_privacy_settings")),
    )
    protect("privacy_settings")

    op.create_table(
        "subject_exports",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rows", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'failed', 'expired')", name=op.f("ck_subject_exports_state")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_subject_exports_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_subject_exports")),
    )
    op.create_index("ix_subject_exports_customer", "subject_exports", ["tenant_id", "customer_id", "id"], unique=False)
    op.create_index(
        "ix_subject_exports_expiry",
        "subject_exports",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'completed'"),
    )
    protect("subject_exports")

    op.create_table(
        "subject_export_blocks",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "export_id"],
            ["subject_exports.tenant_id", "subject_exports.id"],
            name="fk_subject_export_blocks_tenant_id_export_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "export_id", "position", name=op.f("pk_subject_export_blocks")),
    )
    protect("subject_export_blocks")

    op.create_table(
        "erasures",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("covers", sa.ARRAY(sa.Uuid()), server_default=sa.text("'{}'::uuid[]"), nullable=False),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("swept_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'completed', 'cancelled', 'failed')", name=op.f("ck_erasures_state")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_erasures_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_erasures")),
    )
    op.create_index("ix_erasures_customer", "erasures", ["tenant_id", "customer_id", "id"], unique=False)
    op.create_index(
        "uq_erasures_open",
        "erasures",
        ["tenant_id", "customer_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('waiting', 'running', 'failed')"),
    )
    protect("erasures")
    # The schedule looks for what is due, in all tenants.
    open_to_system("subject_exports", "SELECT")
    open_to_system("erasures", "SELECT")
    # What the application role can only append to, erasure overwrites under the system role, column by column.
    open_to_erasure("audit_log", "before", "after")
    open_to_erasure("consents", "proof")
    open_to_erasure("complaint_events", "note", "data")
    open_to_erasure("loyalty_transactions", "reason")
    # Made before the function these triggers call.
    refuse_merged("consents")


def _quality() -> None:
    op.create_table(
        "quality_cleanups",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("changed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "samples", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("cursor", sa.Uuid(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'failed', 'cancelled')", name=op.f("ck_quality_cleanups_state")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_quality_cleanups_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_quality_cleanups")),
    )
    op.create_index("ix_quality_cleanups_state", "quality_cleanups", ["tenant_id", "state", "id"], unique=False)
    protect("quality_cleanups")
    # Added in 0011 without looking at the rows there were; in a transaction of its own it locks nobody out.
    op.execute("ALTER TABLE contact_points VALIDATE CONSTRAINT ck_contact_points_claimed")
    # Tables of 0011, which came before the function these triggers call.
    refuse_merged("channel_messages")
    refuse_merged("contact_verifications")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
