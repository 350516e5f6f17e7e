"""Tiers: schemes with their rules of all times, standings, their log, overrides, replays.

Revision ID: 0029
Revises: 0028a
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect, refuse_merged

revision = "0029"
down_revision = "0028a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "tier_schemes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rules", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "programme_id"],
            ["loyalty_programmes.tenant_id", "loyalty_programmes.id"],
            name=op.f("fk_tier_schemes_tenant_id_programme_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_tier_schemes")),
        sa.UniqueConstraint("tenant_id", "programme_id", name="uq_tier_schemes_programme"),
    )
    protect("tier_schemes")

    op.create_table(
        "tier_scheme_versions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("scheme_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rules", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "scheme_id"],
            ["tier_schemes.tenant_id", "tier_schemes.id"],
            name=op.f("fk_tier_scheme_versions_tenant_id_scheme_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "scheme_id", "number", name=op.f("pk_tier_scheme_versions")),
        info={"append_only": True},
    )
    protect("tier_scheme_versions", writes="append")

    op.create_table(
        "customer_tiers",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("scheme_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("grace_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("override_id", sa.Uuid(), nullable=True),
        sa.Column("main", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("warned_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(level = 0) = (code IS NULL)", name=op.f("ck_customer_tiers_level")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_tiers_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "scheme_id"],
            ["tier_schemes.tenant_id", "tier_schemes.id"],
            name=op.f("fk_customer_tiers_tenant_id_scheme_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "scheme_id", "customer_id", name=op.f("pk_customer_tiers")),
    )
    op.create_index("ix_customer_tiers_customer", "customer_tiers", ["tenant_id", "customer_id"], unique=False)
    op.create_index(
        "ix_customer_tiers_level", "customer_tiers", ["tenant_id", "scheme_id", "level", "customer_id"], unique=False
    )
    op.create_index(
        "ix_customer_tiers_next",
        "customer_tiers",
        ["tenant_id", "next_at"],
        unique=False,
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    protect("customer_tiers")

    op.create_table(
        "tier_log",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scheme_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("from_level", sa.SmallInteger(), nullable=False),
        sa.Column("from_code", sa.Text(), nullable=True),
        sa.Column("to_level", sa.SmallInteger(), nullable=False),
        sa.Column("to_code", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "cause IN ('activity', 'time', 'rules', 'override', 'merge', 'replay')", name=op.f("ck_tier_log_cause")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_tier_log_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "scheme_id"],
            ["tier_schemes.tenant_id", "tier_schemes.id"],
            name=op.f("fk_tier_log_tenant_id_scheme_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_tier_log")),
        info={"append_only": True},
    )
    op.create_index("ix_tier_log_customer", "tier_log", ["tenant_id", "customer_id", "id"], unique=False)
    op.create_index("ix_tier_log_scheme", "tier_log", ["tenant_id", "scheme_id", "at"], unique=False)
    protect("tier_log", writes="append")

    op.create_table(
        "tier_overrides",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scheme_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("tier_code", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('at_least', 'exactly')", name=op.f("ck_tier_overrides_mode")),
        sa.CheckConstraint("starts_at <= ends_at", name=op.f("ck_tier_overrides_ends_later")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_tier_overrides_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "scheme_id"],
            ["tier_schemes.tenant_id", "tier_schemes.id"],
            name=op.f("fk_tier_overrides_tenant_id_scheme_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_tier_overrides")),
    )
    op.create_index("ix_tier_overrides_customer", "tier_overrides", ["tenant_id", "customer_id", "id"], unique=False)
    protect("tier_overrides")
    refuse_merged("tier_overrides")

    op.create_table(
        "tier_replays",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scheme_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Uuid(), nullable=True),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("moved", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("cause IN ('rules', 'replay')", name=op.f("ck_tier_replays_cause")),
        sa.CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name=op.f("ck_tier_replays_state")),
        sa.CheckConstraint("processed >= 0 AND moved BETWEEN 0 AND processed", name=op.f("ck_tier_replays_counts")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "scheme_id"],
            ["tier_schemes.tenant_id", "tier_schemes.id"],
            name=op.f("fk_tier_replays_tenant_id_scheme_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_tier_replays")),
    )
    op.create_index("ix_tier_replays_scheme", "tier_replays", ["tenant_id", "scheme_id", "id"], unique=False)
    protect("tier_replays")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
