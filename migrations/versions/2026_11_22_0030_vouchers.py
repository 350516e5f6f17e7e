"""Voucher campaigns and codes.

Revision ID: 0030
Revises: 0029
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect, refuse_merged

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "voucher_campaigns",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("amount_off", sa.BigInteger(), nullable=True),
        sa.Column("basis_points", sa.Integer(), nullable=True),
        sa.Column("max_discount", sa.BigInteger(), nullable=True),
        sa.Column("gift_sku", sa.Text(), nullable=True),
        sa.Column("gift_quantity", sa.Integer(), nullable=True),
        sa.Column("shared_code", sa.Text(), nullable=True),
        sa.Column("prefix", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("code_length", sa.SmallInteger(), server_default=sa.text("13"), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_days", sa.Integer(), nullable=True),
        sa.Column("rule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("skus", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False),
        sa.Column("categories", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False),
        sa.Column("excluded_skus", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False),
        sa.Column(
            "excluded_categories", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False
        ),
        sa.Column("min_amount", sa.BigInteger(), nullable=True),
        sa.Column("min_quantity", sa.Integer(), nullable=True),
        sa.Column("uses_per_voucher", sa.Integer(), nullable=True),
        sa.Column("uses_per_customer", sa.Integer(), nullable=True),
        sa.Column("uses_total", sa.Integer(), nullable=True),
        sa.Column("priority", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("exclusive", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("stacking_group", sa.Text(), nullable=True),
        sa.Column("birthday_days_before", sa.SmallInteger(), nullable=True),
        sa.Column("birthdays_done_on", sa.Date(), nullable=True),
        sa.Column("vouchers", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("redeemed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(kind = 'amount') = (amount_off IS NOT NULL) AND (kind = 'percent') = (basis_points IS NOT NULL) AND (kind = 'gift') = (gift_sku IS NOT NULL) AND (gift_sku IS NULL) = (gift_quantity IS NULL)",
            name=op.f("ck_voucher_campaigns_worth"),
        ),
        sa.CheckConstraint(
            "kind IN ('amount', 'percent', 'gift', 'free_shipping')", name=op.f("ck_voucher_campaigns_kind")
        ),
        sa.CheckConstraint("state IN ('active', 'paused', 'archived')", name=op.f("ck_voucher_campaigns_state")),
        sa.CheckConstraint(
            "amount_off > 0 AND basis_points BETWEEN 1 AND 10000 AND max_discount > 0 AND gift_quantity > 0",
            name=op.f("ck_voucher_campaigns_amounts"),
        ),
        sa.CheckConstraint(
            "currency IS NOT NULL OR (amount_off IS NULL AND max_discount IS NULL AND min_amount IS NULL)",
            name=op.f("ck_voucher_campaigns_currency"),
        ),
        sa.CheckConstraint("redeemed >= 0", name=op.f("ck_voucher_campaigns_redeemed")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_voucher_campaigns_window")),
        sa.CheckConstraint(
            "uses_per_voucher > 0 AND uses_per_customer > 0 AND uses_total > 0 AND valid_days > 0 AND min_amount >= 0 AND min_quantity > 0",
            name=op.f("ck_voucher_campaigns_limits"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_voucher_campaigns_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_voucher_campaigns")),
        sa.UniqueConstraint("tenant_id", "name", name="uq_voucher_campaigns_name"),
    )
    protect("voucher_campaigns")

    op.create_table(
        "voucher_batches",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("made", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'failed')", name=op.f("ck_voucher_batches_state")
        ),
        sa.CheckConstraint("made BETWEEN 0 AND count", name=op.f("ck_voucher_batches_made")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "campaign_id"],
            ["voucher_campaigns.tenant_id", "voucher_campaigns.id"],
            name=op.f("fk_voucher_batches_tenant_id_campaign_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_voucher_batches")),
    )
    op.create_index("ix_voucher_batches_campaign", "voucher_batches", ["tenant_id", "campaign_id", "id"], unique=False)
    protect("voucher_batches")

    op.create_table(
        "vouchers",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("redeemed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expiry_told", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("issue_key", sa.Text(), nullable=True),
        sa.Column("occasion", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('active', 'void')", name=op.f("ck_vouchers_state")),
        sa.CheckConstraint("(customer_id IS NULL) = (issued_at IS NULL)", name=op.f("ck_vouchers_issued")),
        sa.CheckConstraint("redeemed >= 0", name=op.f("ck_vouchers_redeemed")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "batch_id"],
            ["voucher_batches.tenant_id", "voucher_batches.id"],
            name=op.f("fk_vouchers_tenant_id_batch_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "campaign_id"],
            ["voucher_campaigns.tenant_id", "voucher_campaigns.id"],
            name=op.f("fk_vouchers_tenant_id_campaign_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_vouchers_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_vouchers")),
        sa.UniqueConstraint("tenant_id", "code", name="uq_vouchers_code"),
        sa.UniqueConstraint("tenant_id", "issue_key", name="uq_vouchers_issue_key"),
    )
    op.create_index(
        "ix_vouchers_batch",
        "vouchers",
        ["tenant_id", "batch_id", "id"],
        unique=False,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_index("ix_vouchers_campaign", "vouchers", ["tenant_id", "campaign_id", "id"], unique=False)
    op.create_index(
        "ix_vouchers_customer",
        "vouchers",
        ["tenant_id", "customer_id", "campaign_id"],
        unique=False,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    op.create_index(
        "ix_vouchers_expiry",
        "vouchers",
        ["tenant_id", "expires_at"],
        unique=False,
        postgresql_where=sa.text("NOT expiry_told AND customer_id IS NOT NULL AND expires_at IS NOT NULL"),
    )
    protect("vouchers")

    op.create_table(
        "voucher_redemptions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("order_ref", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("discount_amount", sa.BigInteger(), nullable=False),
        sa.Column("shipping_discount", sa.BigInteger(), nullable=False),
        sa.Column(
            "line_discounts",
            postgresql.ARRAY(sa.BigInteger()),
            server_default=sa.text("'{}'::bigint[]"),
            nullable=False,
        ),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state <> 'locked' OR (session_id IS NOT NULL AND locked_until IS NOT NULL)",
            name=op.f("ck_voucher_redemptions_locked"),
        ),
        sa.CheckConstraint(
            "state IN ('locked', 'redeemed', 'rolled_back', 'released', 'lapsed')",
            name=op.f("ck_voucher_redemptions_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('redeemed', 'rolled_back') OR (order_ref IS NOT NULL AND redeemed_at IS NOT NULL)",
            name=op.f("ck_voucher_redemptions_redeemed"),
        ),
        sa.CheckConstraint(
            "discount_amount >= shipping_discount AND shipping_discount >= 0",
            name=op.f("ck_voucher_redemptions_discount"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "campaign_id"],
            ["voucher_campaigns.tenant_id", "voucher_campaigns.id"],
            name=op.f("fk_voucher_redemptions_tenant_id_campaign_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_voucher_redemptions_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "voucher_id"],
            ["vouchers.tenant_id", "vouchers.id"],
            name=op.f("fk_voucher_redemptions_tenant_id_voucher_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_voucher_redemptions")),
    )
    op.create_index(
        "ix_voucher_redemptions_campaign", "voucher_redemptions", ["tenant_id", "campaign_id", "id"], unique=False
    )
    op.create_index(
        "ix_voucher_redemptions_customer",
        "voucher_redemptions",
        ["tenant_id", "customer_id", "campaign_id", "state"],
        unique=False,
    )
    op.create_index(
        "ix_voucher_redemptions_locks",
        "voucher_redemptions",
        ["tenant_id", "campaign_id", "locked_until"],
        unique=False,
        postgresql_where=sa.text("state = 'locked'"),
    )
    op.create_index(
        "ix_voucher_redemptions_order", "voucher_redemptions", ["tenant_id", "order_ref", "id"], unique=False
    )
    op.create_index(
        "ix_voucher_redemptions_voucher", "voucher_redemptions", ["tenant_id", "voucher_id", "id"], unique=False
    )
    op.create_index(
        "uq_voucher_redemptions_order",
        "voucher_redemptions",
        ["tenant_id", "order_ref", "voucher_id"],
        unique=True,
        postgresql_where=sa.text("state = 'redeemed'"),
    )
    op.create_index(
        "uq_voucher_redemptions_session",
        "voucher_redemptions",
        ["tenant_id", "session_id", "voucher_id"],
        unique=True,
        postgresql_where=sa.text("state = 'locked'"),
    )
    protect("voucher_redemptions")

    for table in ("vouchers", "voucher_redemptions"):
        refuse_merged(table)


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
