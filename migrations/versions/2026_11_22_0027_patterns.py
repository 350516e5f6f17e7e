"""Purchase patterns; how many pieces of an order line were refunded.

Revision ID: 0027
Revises: 0026
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect, refuse_merged

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "order_lines", sa.Column("refunded_quantity", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    # Old rows are checked by 0027a.
    op.execute(
        "ALTER TABLE order_lines ADD CONSTRAINT ck_order_lines_refunded_quantity "
        "CHECK (refunded_quantity BETWEEN 0 AND quantity) NOT VALID"
    )

    op.create_table(
        "pattern_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("half_life_days", sa.Integer(), nullable=False),
        sa.Column("min_purchase_days", sa.Integer(), nullable=False),
        sa.Column("coverage_percent", sa.SmallInteger(), nullable=False),
        sa.Column("medium_percent", sa.SmallInteger(), nullable=False),
        sa.Column("high_percent", sa.SmallInteger(), nullable=False),
        sa.Column("interest_days", sa.Integer(), nullable=False),
        sa.Column("basket_days", sa.Integer(), nullable=False),
        sa.Column("min_baskets", sa.Integer(), nullable=False),
        sa.Column("min_support", sa.Float(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "0 < medium_percent AND medium_percent < high_percent AND high_percent <= 100",
            name=op.f("ck_pattern_settings_percents"),
        ),
        sa.CheckConstraint("basket_days BETWEEN 1 AND 3650", name=op.f("ck_pattern_settings_basket_days")),
        sa.CheckConstraint("coverage_percent BETWEEN 50 AND 95", name=op.f("ck_pattern_settings_coverage_percent")),
        sa.CheckConstraint("half_life_days BETWEEN 7 AND 3650", name=op.f("ck_pattern_settings_half_life_days")),
        sa.CheckConstraint("interest_days BETWEEN 1 AND 400", name=op.f("ck_pattern_settings_interest_days")),
        sa.CheckConstraint("min_baskets BETWEEN 2 AND 1000000", name=op.f("ck_pattern_settings_min_baskets")),
        sa.CheckConstraint("min_purchase_days BETWEEN 3 AND 50", name=op.f("ck_pattern_settings_min_purchase_days")),
        sa.CheckConstraint("min_support BETWEEN 0 AND 1", name=op.f("ck_pattern_settings_min_support")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_pattern_settings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_pattern_settings")),
    )
    protect("pattern_settings")

    op.create_table(
        "customer_patterns",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("settings_revision", sa.Integer(), nullable=True),
        sa.Column("purchases", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("purchase_days", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("median_value_amount", sa.BigInteger(), nullable=True),
        sa.Column("low_value_amount", sa.BigInteger(), nullable=True),
        sa.Column("high_value_amount", sa.BigInteger(), nullable=True),
        sa.Column("cycle_days", sa.Float(), nullable=True),
        sa.Column("cycle_low_days", sa.Float(), nullable=True),
        sa.Column("cycle_high_days", sa.Float(), nullable=True),
        sa.Column("cycle_dispersion", sa.Float(), nullable=True),
        sa.Column("next_purchase_expected", sa.Date(), nullable=True),
        sa.Column("next_purchase_from", sa.Date(), nullable=True),
        sa.Column("next_purchase_to", sa.Date(), nullable=True),
        sa.Column("next_purchase_coverage", sa.Float(), nullable=True),
        sa.Column("lines", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("discounted_line_share", sa.Float(), nullable=True),
        sa.Column("discounted_spend_share", sa.Float(), nullable=True),
        sa.Column("price_sensitivity", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "price_sensitivity IN ('low', 'medium', 'high')", name=op.f("ck_customer_patterns_price_sensitivity")
        ),
        sa.CheckConstraint("next_purchase_from <= next_purchase_to", name=op.f("ck_customer_patterns_next_purchase")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_patterns_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", name=op.f("pk_customer_patterns")),
    )
    op.create_index(
        "ix_customer_patterns_next",
        "customer_patterns",
        ["tenant_id", "next_purchase_expected", "customer_id"],
        unique=False,
    )
    protect("customer_patterns")
    refuse_merged("customer_patterns")

    op.create_table(
        "customer_favourites",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("line_share", sa.Float(), nullable=False),
        sa.Column("spend_share", sa.Float(), nullable=True),
        sa.CheckConstraint("place > 0 AND lines > 0", name=op.f("ck_customer_favourites_counts")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_favourites_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", "category", name=op.f("pk_customer_favourites")),
    )
    op.create_index(
        "ix_customer_favourites_category", "customer_favourites", ["tenant_id", "category", "customer_id"], unique=False
    )
    protect("customer_favourites")
    refuse_merged("customer_favourites")

    op.create_table(
        "customer_interests",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("cart_adds", sa.Integer(), nullable=False),
        sa.Column("strength", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('product', 'category')", name=op.f("ck_customer_interests_kind")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_interests_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", "kind", "item", name=op.f("pk_customer_interests")),
    )
    op.create_index(
        "ix_customer_interests_item", "customer_interests", ["tenant_id", "kind", "item", "customer_id"], unique=False
    )
    protect("customer_interests")
    refuse_merged("customer_interests")

    op.create_table(
        "pattern_runs",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("everyone", sa.Boolean(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settings", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("cursor", sa.Uuid(), nullable=True),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("figures", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('customers', 'bought_together')", name=op.f("ck_pattern_runs_kind")),
        sa.CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name=op.f("ck_pattern_runs_state")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_pattern_runs_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_pattern_runs")),
    )
    op.create_index("ix_pattern_runs_kind", "pattern_runs", ["tenant_id", "kind", "id"], unique=False)
    protect("pattern_runs")

    op.create_table(
        "bought_together",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=True),
        sa.Column("with_product_id", sa.Uuid(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("with_category", sa.Text(), nullable=True),
        sa.Column("baskets", sa.Integer(), nullable=False),
        sa.Column("item_baskets", sa.Integer(), nullable=False),
        sa.Column("with_baskets", sa.Integer(), nullable=False),
        sa.Column("both_baskets", sa.Integer(), nullable=False),
        sa.Column("support", sa.Float(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("lift", sa.Float(), nullable=False),
        sa.CheckConstraint("basis IN ('order', 'customer')", name=op.f("ck_bought_together_basis")),
        sa.CheckConstraint("num_nonnulls(product_id, category) <= 1", name=op.f("ck_bought_together_one_kind")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "run_id"],
            ["pattern_runs.tenant_id", "pattern_runs.id"],
            name=op.f("fk_bought_together_tenant_id_run_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_bought_together")),
    )
    op.create_index(
        "ix_bought_together_category",
        "bought_together",
        ["tenant_id", "category", "confidence", "id"],
        unique=False,
        postgresql_where=sa.text("category IS NOT NULL"),
    )
    op.create_index(
        "ix_bought_together_product",
        "bought_together",
        ["tenant_id", "product_id", "confidence", "id"],
        unique=False,
        postgresql_where=sa.text("product_id IS NOT NULL"),
    )
    op.create_index("ix_bought_together_run", "bought_together", ["tenant_id", "run_id"], unique=False)
    protect("bought_together")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
