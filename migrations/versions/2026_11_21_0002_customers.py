"""Customers, contact points, outside identities, tags, search keys.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

from crm_api.db.protect import grant, protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # Single characters and pairs: what a trigram index cannot find.
    op.execute("""
        CREATE FUNCTION crm_grams(value text) RETURNS text[]
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        RETURN ARRAY(
          SELECT DISTINCT substr(value, start, size)
          FROM generate_series(1, 2) AS size, generate_series(1, length(value) - size + 1) AS start
        )
    """)
    op.create_table(
        "customers",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("'person'"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("gender", sa.Text(), nullable=True),
        sa.Column("birth_calendar", sa.Text(), nullable=True),
        sa.Column("birth_year", sa.SmallInteger(), nullable=True),
        sa.Column("birth_month", sa.SmallInteger(), nullable=True),
        sa.Column("birth_day", sa.SmallInteger(), nullable=True),
        sa.Column("birth_leap_month", sa.Boolean(), nullable=True),
        sa.Column("occupation", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("preferences", sa.Text(), nullable=True),
        sa.Column("special_requirements", sa.Text(), nullable=True),
        sa.Column("price_sensitivity", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("blacklisted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("store_id", sa.Uuid(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("birth_calendar IN ('solar', 'lunar')", name=op.f("ck_customers_birth_calendar")),
        sa.CheckConstraint("gender IN ('female', 'male', 'other')", name=op.f("ck_customers_gender")),
        sa.CheckConstraint("kind IN ('person', 'company')", name=op.f("ck_customers_kind")),
        sa.CheckConstraint(
            "price_sensitivity IN ('low', 'medium', 'high')", name=op.f("ck_customers_price_sensitivity")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "owner_id"], ["staff.tenant_id", "staff.id"], name=op.f("fk_customers_tenant_id_owner_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "store_id"], ["stores.tenant_id", "stores.id"], name=op.f("fk_customers_tenant_id_store_id")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_customers_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_customers")),
    )
    op.create_index("ix_customers_owner", "customers", ["tenant_id", "owner_id", "id"], unique=False)
    op.create_index("ix_customers_store", "customers", ["tenant_id", "store_id", "id"], unique=False)
    protect("customers")

    op.create_table(
        "contact_points",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name="fk_contact_points_tenant_id_customer_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_contact_points")),
    )
    op.create_index("ix_contact_points_value", "contact_points", ["tenant_id", "kind", "value"], unique=False)
    op.create_index(
        "uq_contact_points_customer", "contact_points", ["tenant_id", "customer_id", "kind", "value"], unique=True
    )
    protect("contact_points")

    op.create_table(
        "customer_identities",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_identities_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_customer_identities")),
    )
    op.create_index(
        "ix_customer_identities_customer", "customer_identities", ["tenant_id", "customer_id"], unique=False
    )
    op.create_index(
        "uq_customer_identities_external", "customer_identities", ["tenant_id", "platform", "external_id"], unique=True
    )
    protect("customer_identities")

    op.create_table(
        "customer_tags",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_tags_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", "tag", name=op.f("pk_customer_tags")),
    )
    op.create_index("ix_customer_tags_tag", "customer_tags", ["tenant_id", "tag", "customer_id"], unique=False)
    protect("customer_tags")

    op.create_table(
        "customer_search_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("haystack", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_search_keys_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", name=op.f("pk_customer_search_keys")),
        info={"no_row_security": True},
    )
    op.create_index(
        "ix_customer_search_keys_grams",
        "customer_search_keys",
        ["tenant_id", sa.literal_column("crm_grams(name)")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_customer_search_keys_haystack",
        "customer_search_keys",
        ["tenant_id", "haystack"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"haystack": "gin_trgm_ops"},
    )
    grant("customer_search_keys", "SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
