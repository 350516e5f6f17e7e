"""Rewards and their redemptions.

Revision ID: 0031
Revises: 0030
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect, refuse_merged

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "rewards",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("stock", sa.Integer(), nullable=True),
        sa.Column("taken", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("per_customer", sa.Integer(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("immediate", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("hold_days", sa.Integer(), server_default=sa.text("7"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(kind = 'voucher') = (campaign_id IS NOT NULL)", name=op.f("ck_rewards_worth")),
        sa.CheckConstraint("kind IN ('product', 'voucher', 'service')", name=op.f("ck_rewards_kind")),
        sa.CheckConstraint("state IN ('active', 'paused', 'archived')", name=op.f("ck_rewards_state")),
        sa.CheckConstraint(
            "points > 0 AND per_customer > 0 AND hold_days BETWEEN 1 AND 365", name=op.f("ck_rewards_limits")
        ),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_rewards_window")),
        sa.CheckConstraint("taken >= 0 AND taken <= stock", name=op.f("ck_rewards_stock")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "campaign_id"],
            ["voucher_campaigns.tenant_id", "voucher_campaigns.id"],
            name=op.f("fk_rewards_tenant_id_campaign_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "programme_id"],
            ["loyalty_programmes.tenant_id", "loyalty_programmes.id"],
            name=op.f("fk_rewards_tenant_id_programme_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_rewards_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_rewards")),
        sa.UniqueConstraint("tenant_id", "name", name="uq_rewards_name"),
    )
    protect("rewards")

    op.create_table(
        "reward_redemptions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reward_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("voucher_ids", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'::uuid[]"), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fulfilled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('requested', 'confirmed', 'fulfilled', 'cancelled')", name=op.f("ck_reward_redemptions_state")
        ),
        sa.CheckConstraint("quantity > 0 AND points > 0", name=op.f("ck_reward_redemptions_quantity")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_reward_redemptions_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "hold_id"],
            ["loyalty_holds.tenant_id", "loyalty_holds.id"],
            name=op.f("fk_reward_redemptions_tenant_id_hold_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "reward_id"],
            ["rewards.tenant_id", "rewards.id"],
            name=op.f("fk_reward_redemptions_tenant_id_reward_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_reward_redemptions")),
    )
    op.create_index(
        "ix_reward_redemptions_customer", "reward_redemptions", ["tenant_id", "customer_id", "id"], unique=False
    )
    op.create_index(
        "ix_reward_redemptions_held",
        "reward_redemptions",
        ["tenant_id", "held_until"],
        unique=False,
        postgresql_where=sa.text("state = 'requested'"),
    )
    op.create_index(
        "ix_reward_redemptions_reward",
        "reward_redemptions",
        ["tenant_id", "reward_id", "customer_id", "state"],
        unique=False,
    )
    protect("reward_redemptions")

    refuse_merged("reward_redemptions")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
