"""Models of purchases to come.

Revision ID: 0020
Revises: 0019a
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect

revision = "0020"
down_revision = "0019a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "churn_models",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("calibration_end", sa.Date(), nullable=True),
        sa.Column("horizon_days", sa.Integer(), nullable=False),
        sa.Column("apply", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("customers", sa.Integer(), nullable=True),
        sa.Column("repeat_customers", sa.Integer(), nullable=True),
        sa.Column("params", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("log_likelihood", sa.Float(), nullable=True),
        sa.Column("spend_params", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("spend_correlation", sa.Float(), nullable=True),
        sa.Column("spend_refused", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("holdout", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("cumulative", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("refused", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("processed", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(state = 'refused') = (refused IS NOT NULL)", name=op.f("ck_churn_models_refused")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'refused', 'failed')", name=op.f("ck_churn_models_state")
        ),
        sa.CheckConstraint("horizon_days BETWEEN 1 AND 1830", name=op.f("ck_churn_models_horizon_days")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_churn_models_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_churn_models")),
    )
    protect("churn_models")

    op.create_table(
        "customer_outlooks",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("repeat_purchases", sa.Integer(), nullable=False),
        sa.Column("recency_days", sa.Integer(), nullable=False),
        sa.Column("age_days", sa.Integer(), nullable=False),
        sa.Column("alive", sa.Float(), nullable=False),
        sa.Column("expected_purchases", sa.Float(), nullable=False),
        sa.Column("expected_value_amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.CheckConstraint("alive BETWEEN 0 AND 1", name=op.f("ck_customer_outlooks_alive")),
        sa.CheckConstraint("expected_purchases >= 0", name=op.f("ck_customer_outlooks_expected_purchases")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_outlooks_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "model_id"],
            ["churn_models.tenant_id", "churn_models.id"],
            name=op.f("fk_customer_outlooks_tenant_id_model_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", name=op.f("pk_customer_outlooks")),
    )
    op.create_index(
        "ix_customer_outlooks_alive", "customer_outlooks", ["tenant_id", "alive", "customer_id"], unique=False
    )
    protect("customer_outlooks")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
