"""Complaint cases: orders, goods, messages, taxonomy, settings.

Revision ID: 0042
Revises: 0041a
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import open_to_erasure, protect

revision = "0042"
down_revision = "0041a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _cases()
    _goods()
    _messages()
    _causes()
    _settings()
    _family()


def _cases() -> None:
    for name, kind in (("regulator_ref", sa.Text()), ("merged_from", sa.Text()), ("reopens_id", sa.Uuid())):
        op.add_column("complaints", sa.Column(name, kind, nullable=True))
    # What merged cases go back to, as their logs say.
    op.execute(
        "UPDATE complaints k SET merged_from = (SELECT e.from_state FROM complaint_events e "
        "WHERE e.tenant_id = k.tenant_id AND e.complaint_id = k.id AND e.to_state = 'duplicate' "
        "AND e.from_state <> 'duplicate' ORDER BY e.number DESC LIMIT 1) WHERE k.state = 'duplicate'"
    )
    # Validated by 0042a.
    op.execute(
        "ALTER TABLE complaints ADD CONSTRAINT fk_complaints_tenant_id_reopens_id "
        "FOREIGN KEY (tenant_id, reopens_id) REFERENCES complaints (tenant_id, id) NOT VALID"
    )


def _goods() -> None:
    op.create_table(
        "complaint_orders",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "complaint_id"],
            ["complaints.tenant_id", "complaints.id"],
            name=op.f("fk_complaint_orders_tenant_id_complaint_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "order_id"],
            ["orders.tenant_id", "orders.id"],
            name=op.f("fk_complaint_orders_tenant_id_order_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "complaint_id", "order_id", name=op.f("pk_complaint_orders")),
    )
    op.execute(
        "INSERT INTO complaint_orders (tenant_id, complaint_id, order_id, position) "
        "SELECT tenant_id, id, order_id, 1 FROM complaints WHERE order_id IS NOT NULL"
    )
    op.create_index("ix_complaint_orders_order", "complaint_orders", ["tenant_id", "order_id"], unique=False)
    protect("complaint_orders")

    op.create_table(
        "complaint_products",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "product_id IS NOT NULL OR sku IS NOT NULL OR batch IS NOT NULL", name=op.f("ck_complaint_products_named")
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_complaint_products_quantity")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "complaint_id"],
            ["complaints.tenant_id", "complaints.id"],
            name=op.f("fk_complaint_products_tenant_id_complaint_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "product_id"],
            ["products.tenant_id", "products.id"],
            name=op.f("fk_complaint_products_tenant_id_product_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_products")),
        sa.UniqueConstraint(
            "tenant_id", "complaint_id", "position", name=op.f("uq_complaint_products_tenant_id_complaint_id_position")
        ),
    )
    for name, column in (("product", "product_id"), ("sku", "sku"), ("batch", "batch")):
        op.create_index(f"ix_complaint_products_{name}", "complaint_products", ["tenant_id", column], unique=False)
    protect("complaint_products")


def _messages() -> None:
    op.create_table(
        "complaint_messages",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column(
            "attachments",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("staff_id", sa.Uuid(), nullable=True),
        sa.Column("interaction_id", sa.Uuid(), nullable=True),
        sa.Column("source_ref", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tells", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("direction IN ('in', 'out', 'internal')", name=op.f("ck_complaint_messages_direction")),
        sa.CheckConstraint("kind IN ('message', 'note', 'step')", name=op.f("ck_complaint_messages_kind")),
        sa.CheckConstraint(
            "(direction = 'internal') = (kind <> 'message')", name=op.f("ck_complaint_messages_kind_of_direction")
        ),
        sa.CheckConstraint("(direction = 'internal') = (channel IS NULL)", name=op.f("ck_complaint_messages_channel")),
        sa.CheckConstraint("direction = 'out' OR NOT tells", name=op.f("ck_complaint_messages_tells")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "complaint_id"],
            ["complaints.tenant_id", "complaints.id"],
            name=op.f("fk_complaint_messages_tenant_id_complaint_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "interaction_id"],
            ["interactions.tenant_id", "interactions.id"],
            name=op.f("fk_complaint_messages_tenant_id_interaction_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "staff_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_complaint_messages_tenant_id_staff_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_messages")),
        info={"append_only": True},
    )
    op.create_index(
        "uq_complaint_messages_source_ref",
        "complaint_messages",
        ["tenant_id", "complaint_id", "source_ref"],
        unique=True,
    )
    op.create_index(
        "ix_complaint_messages_at", "complaint_messages", ["tenant_id", "complaint_id", "at", "id"], unique=False
    )
    op.create_index(
        "ix_complaint_messages_interaction", "complaint_messages", ["tenant_id", "interaction_id"], unique=False
    )
    protect("complaint_messages", writes="append")
    open_to_erasure("complaint_messages", "body", "attachments")


def _causes() -> None:
    op.create_table(
        "complaint_causes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("name", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("required_skill_ids", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_complaint_causes_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_complaint_causes")),
        sa.UniqueConstraint("tenant_id", "path", name=op.f("uq_complaint_causes_tenant_id_path")),
    )
    # Shops there are keep their own words until they adopt a taxonomy.
    protect("complaint_causes")


def _settings() -> None:
    op.create_table(
        "complaint_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("reopen_days", sa.Integer(), server_default=sa.text("30"), nullable=False),
        sa.Column("close_after_days", sa.Integer(), nullable=True),
        sa.Column("resume_on_message", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("known_causes_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("reopen_days BETWEEN 0 AND 3650", name=op.f("ck_complaint_settings_reopen_days")),
        sa.CheckConstraint("close_after_days BETWEEN 1 AND 3650", name=op.f("ck_complaint_settings_close_after_days")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_complaint_settings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_complaint_settings")),
    )
    op.execute("INSERT INTO complaint_settings (tenant_id) SELECT tenant_id FROM tenants")
    protect("complaint_settings")


def _family() -> None:
    """A case and all that were merged into it, at any depth: it shows their messages, and its clocks count them."""
    op.execute(
        """
        CREATE FUNCTION crm_complaint_family(tenant uuid, root uuid) RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE
        AS $$
          WITH RECURSIVE family (id) AS (
            SELECT root
            UNION
            SELECT k.id FROM complaints k JOIN family f ON k.merged_into_id = f.id WHERE k.tenant_id = tenant
          )
          SELECT array_agg(id) FROM family
        $$
        """
    )


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
