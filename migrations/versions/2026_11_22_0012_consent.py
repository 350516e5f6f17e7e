"""The consent ledger.

Revision ID: 0012
Revises: 0011a
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect

revision = "0012"
down_revision = "0011a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "consent_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("guardian_consent_required", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("purposes", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_consent_settings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_consent_settings")),
    )
    protect("consent_settings")

    op.create_table(
        "consent_texts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_consent_texts_version")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_consent_texts_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_consent_texts")),
        sa.UniqueConstraint("tenant_id", "purpose", "language", "version", name="uq_consent_texts_version"),
        info={"append_only": True},
    )
    protect("consent_texts", writes="append")

    op.create_table(
        "consents",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("proof", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("action IN ('granted', 'withdrawn')", name=op.f("ck_consents_action")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_consents_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "text_id"],
            ["consent_texts.tenant_id", "consent_texts.id"],
            name=op.f("fk_consents_tenant_id_text_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_consents")),
        info={"append_only": True},
    )
    op.create_index("ix_consents_customer", "consents", ["tenant_id", "customer_id", "at", "id"], unique=False)
    protect("consents", writes="append")
    # A merge gives the losers' entries to the winner; what was said can never be changed.
    op.execute("GRANT UPDATE (customer_id) ON consents TO crm_app")

    op.create_table(
        "consent_states",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("action IN ('granted', 'withdrawn')", name=op.f("ck_consent_states_action")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "consent_id"],
            ["consents.tenant_id", "consents.id"],
            name=op.f("fk_consent_states_tenant_id_consent_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_consent_states_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", "purpose", "channel", name=op.f("pk_consent_states")),
    )
    op.create_index("ix_consent_states_consent", "consent_states", ["tenant_id", "consent_id"], unique=False)
    op.create_index(
        "ix_consent_states_purpose",
        "consent_states",
        ["tenant_id", "purpose", "channel", "action", "customer_id"],
        unique=False,
    )
    protect("consent_states")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
