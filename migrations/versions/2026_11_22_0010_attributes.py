"""Attribute definitions, and customers' wider profile.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "attribute_definitions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("label_en", sa.Text(), nullable=False),
        sa.Column("label_zh", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("choices", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("refers_to", sa.Text(), nullable=True),
        sa.Column("required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("minimum", sa.Double(), nullable=True),
        sa.Column("maximum", sa.Double(), nullable=True),
        sa.Column("max_length", sa.Integer(), nullable=True),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(type = 'reference') = (refers_to IS NOT NULL)", name=op.f("ck_attribute_definitions_reference")
        ),
        sa.CheckConstraint("entity IN ('customer')", name=op.f("ck_attribute_definitions_entity")),
        sa.CheckConstraint("minimum <= maximum", name=op.f("ck_attribute_definitions_range")),
        sa.CheckConstraint(
            "refers_to IN ('customer', 'staff', 'store', 'product')", name=op.f("ck_attribute_definitions_refers_to")
        ),
        sa.CheckConstraint(
            "type IN ('text', 'number', 'money', 'date', 'boolean', 'choice', 'multi_choice', 'reference')",
            name=op.f("ck_attribute_definitions_type"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_attribute_definitions_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_attribute_definitions")),
        sa.UniqueConstraint("tenant_id", "entity", "key", name="uq_attribute_definitions_key"),
    )
    protect("attribute_definitions")

    # Constant defaults: PostgreSQL notes them in the catalogue and writes no row.
    op.add_column("customers", sa.Column("age_range", sa.Text(), nullable=True))
    op.add_column("customers", sa.Column("family", sa.Text(), nullable=True))
    op.add_column(
        "customers",
        sa.Column("interests", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "customers", sa.Column("attributes", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("customers", sa.Column("default_address_id", sa.Uuid(), nullable=True))

    op.create_table(
        "customer_addresses",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("receiver", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("province", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("district", sa.Text(), nullable=True),
        sa.Column("street", sa.Text(), nullable=True),
        sa.Column("postcode", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_addresses_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_customer_addresses")),
    )
    op.create_index("ix_customer_addresses_customer", "customer_addresses", ["tenant_id", "customer_id"], unique=False)
    protect("customer_addresses")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
