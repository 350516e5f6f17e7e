"""Earning rules.

Revision ID: 0032
Revises: 0031
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect, refuse_merged

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("tax_amount", "paid_by_points_amount", "paid_by_vouchers_amount"):
        op.add_column("orders", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "earning_rules",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'draft'"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=True),
        sa.Column("customer_rule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("order_rule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("lines_rule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("event_rule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("formula", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("gives", sa.Text(), server_default=sa.text("'both'"), nullable=False),
        sa.Column("stacking", sa.Text(), server_default=sa.text("'additive'"), nullable=False),
        sa.Column("stacking_group", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("keeps_base", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("caps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(trigger = 'event') = (event_type IS NOT NULL)", name=op.f("ck_earning_rules_event_type")),
        sa.CheckConstraint("gives IN ('both', 'spendable', 'qualifying')", name=op.f("ck_earning_rules_gives")),
        sa.CheckConstraint("stacking IN ('exclusive', 'additive', 'best_of')", name=op.f("ck_earning_rules_stacking")),
        sa.CheckConstraint("state IN ('draft', 'active', 'archived')", name=op.f("ck_earning_rules_state")),
        sa.CheckConstraint(
            "trigger IN ('order_paid', 'order_completed', 'event', 'sign_up', 'birthday', 'survey', 'referral', 'compensation')",
            name=op.f("ck_earning_rules_trigger"),
        ),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_earning_rules_validity")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_earning_rules_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_earning_rules")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_earning_rules_tenant_id_name")),
    )
    protect("earning_rules")

    op.create_table(
        "earning_rule_versions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('active', 'archived')", name=op.f("ck_earning_rule_versions_state")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "rule_id"],
            ["earning_rules.tenant_id", "earning_rules.id"],
            name=op.f("fk_earning_rule_versions_tenant_id_rule_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_earning_rule_versions")),
        sa.UniqueConstraint(
            "tenant_id", "rule_id", "revision", name=op.f("uq_earning_rule_versions_tenant_id_rule_id_revision")
        ),
        info={"append_only": True},
    )
    protect("earning_rule_versions", writes="append")

    op.create_table(
        "earning_limits",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("per_order", sa.BigInteger(), nullable=True),
        sa.Column("per_day", sa.BigInteger(), nullable=True),
        sa.Column("per_week", sa.BigInteger(), nullable=True),
        sa.Column("per_month", sa.BigInteger(), nullable=True),
        sa.Column("per_life", sa.BigInteger(), nullable=True),
        sa.Column("budget", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_earning_limits_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_earning_limits")),
    )
    protect("earning_limits")
    op.execute("INSERT INTO earning_limits (tenant_id) SELECT tenant_id FROM tenants")

    op.create_table(
        "earning_budgets",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("used", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_earning_budgets_used")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_earning_budgets_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "scope_id", name=op.f("pk_earning_budgets")),
    )
    protect("earning_budgets")

    op.create_table(
        "earnings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("qualifying", sa.BigInteger(), nullable=False),
        sa.Column("decisions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("qualifying_transaction_id", sa.Uuid(), nullable=True),
        sa.Column("taken_back", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("qualifying_taken_back", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "trigger IN ('order_paid', 'order_completed', 'event', 'sign_up', 'birthday', 'survey', 'referral', 'compensation')",
            name=op.f("ck_earnings_trigger"),
        ),
        sa.CheckConstraint(
            "qualifying_taken_back BETWEEN 0 AND qualifying", name=op.f("ck_earnings_qualifying_taken_back")
        ),
        sa.CheckConstraint("taken_back BETWEEN 0 AND points", name=op.f("ck_earnings_taken_back")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_earnings_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_earnings")),
        sa.UniqueConstraint("tenant_id", "trigger", "subject_id", name="uq_earnings_subject"),
    )
    op.create_index("ix_earnings_customer", "earnings", ["tenant_id", "customer_id", "occurred_at", "id"], unique=False)
    op.create_index(
        "ix_earnings_order",
        "earnings",
        ["tenant_id", "order_id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    protect("earnings")
    refuse_merged("earnings")

    op.create_table(
        "earning_awards",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("earning_id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("points > 0", name=op.f("ck_earning_awards_points")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "earning_id"],
            ["earnings.tenant_id", "earnings.id"],
            name=op.f("fk_earning_awards_tenant_id_earning_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "rule_id"],
            ["earning_rules.tenant_id", "earning_rules.id"],
            name=op.f("fk_earning_awards_tenant_id_rule_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_earning_awards")),
        info={"append_only": True},
    )
    op.create_index("ix_earning_awards_earning", "earning_awards", ["tenant_id", "earning_id"], unique=False)
    protect("earning_awards", writes="append")

    op.create_table(
        "earning_days",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_earning_days_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "day", name=op.f("pk_earning_days")),
    )
    protect("earning_days")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
