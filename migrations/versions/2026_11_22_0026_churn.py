"""Churn indicators, levels and alerts.

Revision ID: 0026
Revises: 0025
"""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

PRESETS = {
    "salon": {
        "lost_min_days": 120,
        "weights": {"purchases": 70, "interactions": 15, "satisfaction": 30, "complaints": 30, "browsing": 5},
    },
    "seafood": {
        "period_days": 28,
        "quiet_days": 7,
        "lost_min_days": 30,
        "weights": {"purchases": 80, "interactions": 20, "satisfaction": 10, "complaints": 30, "browsing": 5},
    },
    "taobao": {
        "period_days": 90,
        "baseline_periods": 4,
        "quiet_days": 30,
        "lost_min_days": 180,
        "weights": {"purchases": 65, "interactions": 10, "satisfaction": 20, "complaints": 20, "browsing": 25},
    },
    "baby-store": {
        "period_days": 45,
        "baseline_periods": 6,
        "weights": {"purchases": 70, "interactions": 15, "satisfaction": 20, "complaints": 25, "browsing": 20},
    },
}
"""What the shops there are start with: what their presets give a new one, as of this release."""


def upgrade() -> None:
    """Apply."""
    _tables()
    op.execute("INSERT INTO churn_settings (tenant_id) SELECT tenant_id FROM tenants")
    for preset, values in PRESETS.items():
        changes = ", ".join(f"{name} = {_literal(value)}" for name, value in values.items())
        op.execute(
            f"UPDATE churn_settings s SET {changes} FROM tenants t "  # noqa: S608 - constants of this module
            f"WHERE t.tenant_id = s.tenant_id AND t.preset = '{preset}'"
        )


def _literal(value: object) -> str:
    return f"'{json.dumps(value)}'::jsonb" if isinstance(value, dict) else str(value)


def _tables() -> None:
    op.create_table(
        "churn_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column(
            "weights",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text(
                '\'{"purchases": 70, "interactions": 15, "satisfaction": 20, "complaints": 20, "browsing": 15}\'::jsonb'
            ),
            nullable=False,
        ),
        sa.Column("period_days", sa.Integer(), server_default=sa.text("60"), nullable=False),
        sa.Column("baseline_periods", sa.Integer(), server_default=sa.text("5"), nullable=False),
        sa.Column("quiet_days", sa.Integer(), server_default=sa.text("14"), nullable=False),
        sa.Column("overdue_from", sa.Float(), server_default=sa.text("1.5"), nullable=False),
        sa.Column("overdue_full", sa.Float(), server_default=sa.text("4"), nullable=False),
        sa.Column("lost_cycles", sa.Float(), server_default=sa.text("5"), nullable=False),
        sa.Column("lost_min_days", sa.Integer(), server_default=sa.text("90"), nullable=False),
        sa.Column("watch_score", sa.Integer(), server_default=sa.text("30"), nullable=False),
        sa.Column("high_score", sa.Integer(), server_default=sa.text("55"), nullable=False),
        sa.Column("margin", sa.Integer(), server_default=sa.text("5"), nullable=False),
        sa.Column("peers", sa.Text(), server_default=sa.text("'all'"), nullable=False),
        sa.Column("peer_share", sa.Float(), server_default=sa.text("0.25"), nullable=False),
        sa.Column("alert_from", sa.Text(), server_default=sa.text("'watch'"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("alert_from IN ('watch', 'high', 'lost')", name=op.f("ck_churn_settings_alert_from")),
        sa.CheckConstraint("peers IN ('all', 'purchases', 'grade')", name=op.f("ck_churn_settings_peers")),
        sa.CheckConstraint("0 < overdue_from AND overdue_from < overdue_full", name=op.f("ck_churn_settings_overdue")),
        sa.CheckConstraint(
            "0 < watch_score AND watch_score < high_score AND high_score <= 100", name=op.f("ck_churn_settings_scores")
        ),
        sa.CheckConstraint("peer_share BETWEEN 0 AND 1", name=op.f("ck_churn_settings_peer_share")),
        sa.CheckConstraint("period_days > 0 AND baseline_periods > 0", name=op.f("ck_churn_settings_periods")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_churn_settings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_churn_settings")),
    )
    protect("churn_settings")

    op.create_table(
        "churn_assessments",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("nightly_on", sa.Date(), nullable=True),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("settings_version", sa.Integer(), nullable=False),
        sa.Column("peers", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("cursor", sa.Uuid(), nullable=True),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("assessed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rises", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("falls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("alerts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("levels", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'failed')", name=op.f("ck_churn_assessments_state")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_churn_assessments_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_churn_assessments")),
    )
    op.create_index("uq_churn_assessments_nightly", "churn_assessments", ["tenant_id", "nightly_on"], unique=True)
    protect("churn_assessments")

    op.create_table(
        "customer_churn",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("assessment_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("level_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purchases", sa.Integer(), nullable=False),
        sa.Column("silence_days", sa.Integer(), nullable=True),
        sa.Column("cycle_days", sa.Float(), nullable=True),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("level IN ('none', 'watch', 'high', 'lost')", name=op.f("ck_customer_churn_level")),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("ck_customer_churn_score")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assessment_id"],
            ["churn_assessments.tenant_id", "churn_assessments.id"],
            name=op.f("fk_customer_churn_tenant_id_assessment_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_churn_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", name=op.f("pk_customer_churn")),
    )
    op.create_index(
        "ix_customer_churn_level", "customer_churn", ["tenant_id", "level", "score", "customer_id"], unique=False
    )
    op.create_index("ix_customer_churn_score", "customer_churn", ["tenant_id", "score", "customer_id"], unique=False)
    protect("customer_churn")

    op.create_table(
        "churn_log",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("assessment_id", sa.Uuid(), nullable=False),
        sa.Column("from_level", sa.Text(), nullable=False),
        sa.Column("to_level", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("alert", sa.Boolean(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "from_level IN ('none', 'watch', 'high', 'lost') AND to_level IN ('none', 'watch', 'high', 'lost')",
            name=op.f("ck_churn_log_levels"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assessment_id"],
            ["churn_assessments.tenant_id", "churn_assessments.id"],
            name=op.f("fk_churn_log_tenant_id_assessment_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_churn_log_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_churn_log")),
        info={"append_only": True},
    )
    op.create_index("ix_churn_log_customer", "churn_log", ["tenant_id", "customer_id", "id"], unique=False)
    protect("churn_log", writes="append")

    op.create_table(
        "churn_backtests",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("cuts", sa.Integer(), nullable=False),
        sa.Column("step_days", sa.Integer(), nullable=False),
        sa.Column("horizon_days", sa.Integer(), nullable=False),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("settings_version", sa.Integer(), nullable=False),
        sa.Column("result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'failed')", name=op.f("ck_churn_backtests_state")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_churn_backtests_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_churn_backtests")),
    )
    protect("churn_backtests")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
