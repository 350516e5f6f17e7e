"""Compensations of complaints.

Revision ID: 0045
Revises: 0044a
"""

import sqlalchemy as sa
from alembic import op

from crm_api.db.protect import protect, refuse_merged

revision = "0045"
down_revision = "0044a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "compensations",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=True),
        sa.Column("programme_id", sa.Uuid(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("proposed_by_staff_id", sa.Uuid(), nullable=True),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_by_staff_id", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_note", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("reversal_reference", sa.Text(), nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("voucher_id", sa.Uuid(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(kind = 'points') = (points IS NOT NULL) AND (kind = 'voucher') = (campaign_id IS NOT NULL) "
            "AND (kind NOT IN ('refund', 'replacement', 'service') OR amount IS NOT NULL)",
            name=op.f("ck_compensations_worth"),
        ),
        sa.CheckConstraint(
            "(state IN ('rejected', 'cancelled', 'reversed')) = (ended_at IS NOT NULL)",
            name=op.f("ck_compensations_ended"),
        ),
        sa.CheckConstraint(
            "kind IN ('refund', 'replacement', 'points', 'voucher', 'apology', 'service')",
            name=op.f("ck_compensations_kind"),
        ),
        sa.CheckConstraint(
            "state IN ('proposed', 'approved', 'settled', 'failed', 'rejected', 'cancelled', 'reversed')",
            name=op.f("ck_compensations_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('approved', 'settled', 'failed', 'rejected', 'reversed') OR decided_at IS NOT NULL",
            name=op.f("ck_compensations_decided"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('settled', 'reversed') OR (settled_at IS NOT NULL "
            "AND (kind <> 'points' OR transaction_id IS NOT NULL) AND (kind <> 'voucher' OR voucher_id IS NOT NULL) "
            "AND (kind NOT IN ('refund', 'replacement', 'service') OR reference IS NOT NULL))",
            name=op.f("ck_compensations_settled"),
        ),
        sa.CheckConstraint("(amount IS NULL) = (currency IS NULL)", name=op.f("ck_compensations_currency")),
        sa.CheckConstraint("amount > 0 AND points > 0 AND quantity > 0", name=op.f("ck_compensations_sizes")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "campaign_id"],
            ["voucher_campaigns.tenant_id", "voucher_campaigns.id"],
            name=op.f("fk_compensations_tenant_id_campaign_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "complaint_id"],
            ["complaints.tenant_id", "complaints.id"],
            name=op.f("fk_compensations_tenant_id_complaint_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_compensations_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "decided_by_staff_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_compensations_tenant_id_decided_by_staff_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "order_id"],
            ["orders.tenant_id", "orders.id"],
            name=op.f("fk_compensations_tenant_id_order_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "programme_id"],
            ["loyalty_programmes.tenant_id", "loyalty_programmes.id"],
            name=op.f("fk_compensations_tenant_id_programme_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "proposed_by_staff_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_compensations_tenant_id_proposed_by_staff_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["loyalty_transactions.tenant_id", "loyalty_transactions.id"],
            name=op.f("fk_compensations_tenant_id_transaction_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "voucher_id"],
            ["vouchers.tenant_id", "vouchers.id"],
            name=op.f("fk_compensations_tenant_id_voucher_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_compensations")),
        sa.UniqueConstraint("tenant_id", "transaction_id", name="uq_compensations_transaction"),
        sa.UniqueConstraint("tenant_id", "voucher_id", name="uq_compensations_voucher"),
    )
    op.create_index("ix_compensations_complaint", "compensations", ["tenant_id", "complaint_id", "id"], unique=False)
    op.create_index(
        "ix_compensations_customer", "compensations", ["tenant_id", "customer_id", "proposed_at", "id"], unique=False
    )
    op.create_index(
        "ix_compensations_order",
        "compensations",
        ["tenant_id", "order_id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_index("ix_compensations_proposed", "compensations", ["tenant_id", "proposed_at"], unique=False)
    op.create_index("ix_compensations_state", "compensations", ["tenant_id", "state", "id"], unique=False)
    op.create_index(
        "uq_compensations_refund",
        "compensations",
        ["tenant_id", "reference"],
        unique=True,
        postgresql_where=sa.text("kind = 'refund' AND state = 'settled'"),
    )
    protect("compensations")
    refuse_merged("compensations")

    op.create_table(
        "approval_limits",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("staff_id", sa.Uuid(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=True),
        sa.Column("unlimited", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('refund', 'replacement', 'points', 'voucher', 'apology', 'service')",
            name=op.f("ck_approval_limits_kind"),
        ),
        sa.CheckConstraint("(amount IS NULL) = (currency IS NULL)", name=op.f("ck_approval_limits_currency")),
        sa.CheckConstraint(
            "NOT unlimited OR (amount IS NULL AND points IS NULL)", name=op.f("ck_approval_limits_unlimited")
        ),
        sa.CheckConstraint("amount >= 0 AND points >= 0", name=op.f("ck_approval_limits_sizes")),
        sa.CheckConstraint("num_nonnulls(role, staff_id, key_id) <= 1", name=op.f("ck_approval_limits_whom")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key_id"],
            ["api_keys.tenant_id", "api_keys.id"],
            name=op.f("fk_approval_limits_tenant_id_key_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "staff_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_approval_limits_tenant_id_staff_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_approval_limits_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_approval_limits")),
        sa.UniqueConstraint("tenant_id", "name", name="uq_approval_limits_name"),
    )
    protect("approval_limits")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
