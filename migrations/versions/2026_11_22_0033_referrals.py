"""Referral programmes.

Revision ID: 0033
Revises: 0032
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import open_to_erasure, protect, refuse_merged

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "referral_programmes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("minimum_amount", sa.BigInteger(), nullable=True),
        sa.Column("minimum_currency", sa.Text(), nullable=True),
        sa.Column("qualifying_order", sa.Text(), nullable=False),
        sa.Column("window_days", sa.SmallInteger(), nullable=False),
        sa.Column("window_from", sa.Text(), nullable=False),
        sa.Column("claim_days", sa.SmallInteger(), nullable=True),
        sa.Column("referrer_reward", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("friend_reward", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("link_template", sa.Text(), nullable=True),
        sa.Column("checks", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("velocity_limit", sa.Integer(), nullable=False),
        sa.Column("velocity_hours", sa.Integer(), nullable=False),
        sa.Column("cap_count", sa.Integer(), nullable=True),
        sa.Column("cap_period", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "cap_period IN ('day', 'week', 'month', 'year', 'life')", name=op.f("ck_referral_programmes_cap_period")
        ),
        sa.CheckConstraint(
            "qualifying_order IN ('first', 'any')", name=op.f("ck_referral_programmes_qualifying_order")
        ),
        sa.CheckConstraint("window_from IN ('paid', 'completed')", name=op.f("ck_referral_programmes_window_from")),
        sa.CheckConstraint(
            "(minimum_amount IS NULL) = (minimum_currency IS NULL)", name=op.f("ck_referral_programmes_minimum")
        ),
        sa.CheckConstraint("cap_count > 0", name=op.f("ck_referral_programmes_cap_count")),
        sa.CheckConstraint("claim_days BETWEEN 1 AND 3650", name=op.f("ck_referral_programmes_claim_days")),
        sa.CheckConstraint("minimum_amount >= 0", name=op.f("ck_referral_programmes_minimum_amount")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_referral_programmes_times")),
        sa.CheckConstraint("velocity_limit > 0 AND velocity_hours > 0", name=op.f("ck_referral_programmes_velocity")),
        sa.CheckConstraint("window_days BETWEEN 0 AND 3650", name=op.f("ck_referral_programmes_window_days")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_referral_programmes_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_referral_programmes")),
        sa.UniqueConstraint("tenant_id", "name", name="uq_referral_programmes_name"),
    )
    protect("referral_programmes")

    op.create_table(
        "referral_codes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("code ~ '^[A-Z0-9-]{4,32}$'", name=op.f("ck_referral_codes_code")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_referral_codes_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "programme_id"],
            ["referral_programmes.tenant_id", "referral_programmes.id"],
            name=op.f("fk_referral_codes_tenant_id_programme_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_referral_codes")),
    )
    op.create_index("ix_referral_codes_programme", "referral_codes", ["tenant_id", "programme_id", "id"], unique=False)
    op.create_index("uq_referral_codes_code", "referral_codes", ["tenant_id", "code"], unique=True)
    op.create_index(
        "uq_referral_codes_customer", "referral_codes", ["tenant_id", "customer_id", "programme_id"], unique=True
    )
    protect("referral_codes")
    refuse_merged("referral_codes")

    op.create_table(
        "referrals",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("referrer_id", sa.Uuid(), nullable=False),
        sa.Column("friend_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("terms", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "findings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "waived", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("qualified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flagged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rewarded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("void_reason", sa.Text(), nullable=True),
        sa.Column("attempt", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("referrer_booked", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("friend_booked", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("clawed_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(state = 'voided') = (void_reason IS NOT NULL)", name=op.f("ck_referrals_voided_reason")),
        sa.CheckConstraint("state <> 'pending' OR due_at IS NOT NULL", name=op.f("ck_referrals_pending_ends")),
        sa.CheckConstraint(
            "state <> 'rewarded' OR (order_id IS NOT NULL AND rewarded_at IS NOT NULL)",
            name=op.f("ck_referrals_rewarded"),
        ),
        sa.CheckConstraint(
            "state IN ('signed_up', 'qualified', 'pending', 'flagged', 'approved', 'rewarded', 'voided')",
            name=op.f("ck_referrals_state"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "friend_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_referrals_tenant_id_friend_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "programme_id"],
            ["referral_programmes.tenant_id", "referral_programmes.id"],
            name=op.f("fk_referrals_tenant_id_programme_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "referrer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_referrals_tenant_id_referrer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_referrals")),
    )
    op.create_index(
        "ix_referrals_due",
        "referrals",
        ["tenant_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_referrals_order",
        "referrals",
        ["tenant_id", "order_id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_index("ix_referrals_programme", "referrals", ["tenant_id", "programme_id", "signed_up_at"], unique=False)
    op.create_index(
        "ix_referrals_referrer", "referrals", ["tenant_id", "referrer_id", "signed_up_at", "id"], unique=False
    )
    op.create_index("ix_referrals_state", "referrals", ["tenant_id", "state", "id"], unique=False)
    op.create_index("uq_referrals_friend", "referrals", ["tenant_id", "friend_id", "programme_id"], unique=True)
    protect("referrals")
    refuse_merged("referrals", "referrer_id")
    refuse_merged("referrals", "friend_id")

    op.create_table(
        "referral_events",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "data", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "referral_id"],
            ["referrals.tenant_id", "referrals.id"],
            name=op.f("fk_referral_events_tenant_id_referral_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_referral_events")),
        sa.UniqueConstraint(
            "tenant_id", "referral_id", "number", name=op.f("uq_referral_events_tenant_id_referral_id_number")
        ),
        info={"append_only": True},
    )
    protect("referral_events", writes="append")
    open_to_erasure("referral_events", "note", "data")

    op.create_table(
        "referral_signals",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('device', 'payment_account')", name=op.f("ck_referral_signals_kind")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_referral_signals_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", "kind", "digest", name=op.f("pk_referral_signals")),
    )
    protect("referral_signals")
    refuse_merged("referral_signals")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
