"""Channels, and codes that prove a contact point.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import open_to_system, protect

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "channels",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('smtp', 'sms', 'local')", name=op.f("ck_channels_kind")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_channels_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_channels")),
    )
    protect("channels")

    op.create_table(
        "channel_defaults",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("address_kind", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "channel_id"],
            ["channels.tenant_id", "channels.id"],
            name=op.f("fk_channel_defaults_tenant_id_channel_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "address_kind", name=op.f("pk_channel_defaults")),
    )
    op.create_index("ix_channel_defaults_channel", "channel_defaults", ["tenant_id", "channel_id"], unique=False)
    protect("channel_defaults")

    op.create_table(
        "channel_messages",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("address_kind", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("params", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("sensitive", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'sending', 'sent', 'failed')", name=op.f("ck_channel_messages_state")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "channel_id"],
            ["channels.tenant_id", "channels.id"],
            name=op.f("fk_channel_messages_tenant_id_channel_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_channel_messages_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_channel_messages")),
    )
    op.create_index("ix_channel_messages_channel", "channel_messages", ["tenant_id", "channel_id", "id"], unique=False)
    op.create_index(
        "ix_channel_messages_customer", "channel_messages", ["tenant_id", "customer_id", "id"], unique=False
    )
    op.create_index("ix_channel_messages_state", "channel_messages", ["tenant_id", "state", "id"], unique=False)
    protect("channel_messages")

    op.create_table(
        "contact_verifications",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("contact_point_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(), nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resend_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_contact_verifications_tries")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_contact_verifications_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_contact_verifications")),
    )
    op.create_index(
        "ix_contact_verifications_customer", "contact_verifications", ["tenant_id", "customer_id", "id"], unique=False
    )
    op.create_index("ix_contact_verifications_sent", "contact_verifications", ["tenant_id", "sent_at"], unique=False)
    op.create_index(
        "ix_contact_verifications_value",
        "contact_verifications",
        ["tenant_id", "kind", "value", "sent_at"],
        unique=False,
    )
    op.create_index(
        "uq_contact_verifications_open",
        "contact_verifications",
        ["tenant_id", "contact_point_id"],
        unique=True,
        postgresql_where=sa.text("replaced_at IS NULL AND verified_at IS NULL"),
    )
    protect("contact_verifications")

    # Old ones are deleted for all tenants at once.
    open_to_system("channel_messages", "SELECT, DELETE")
    open_to_system("contact_verifications", "SELECT, DELETE")
    _claims()


def _claims() -> None:
    op.add_column("contact_points", sa.Column("claimed", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute(
        "ALTER TABLE contact_points ADD CONSTRAINT ck_contact_points_claimed "
        "CHECK (NOT claimed OR verified_at IS NOT NULL) NOT VALID"
    )
    # Whoever hides a customer, and however, frees what the customer had proved; whoever brings one back finds proved
    # again what nobody else has proved meanwhile.
    op.execute("""
        CREATE FUNCTION crm_keep_claims() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.deleted_at IS NOT NULL THEN
            UPDATE contact_points SET claimed = false
            WHERE tenant_id = NEW.tenant_id AND customer_id = NEW.id AND claimed;
          ELSE
            UPDATE contact_points p SET claimed = true
            WHERE p.tenant_id = NEW.tenant_id AND p.customer_id = NEW.id AND p.verified_at IS NOT NULL
              AND NOT p.claimed AND NOT EXISTS (
                SELECT FROM contact_points o
                WHERE o.tenant_id = p.tenant_id AND o.kind = p.kind AND o.value = p.value AND o.claimed);
          END IF;
          RETURN NULL;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER keep_claims AFTER UPDATE OF deleted_at ON customers FOR EACH ROW "
        "WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION crm_keep_claims()"
    )


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
