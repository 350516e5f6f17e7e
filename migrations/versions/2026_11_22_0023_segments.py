"""Segments that keep themselves: kinds, causes, flips, dependencies, reconciliations.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

from crm_api.db.protect import protect

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

NEW_CHECKS = (
    ("segments", "ck_segments_state", "state IN ('draft', 'compiling', 'active', 'failed', 'archived')"),
    ("segments", "ck_segments_kind", "kind IN ('dynamic', 'static', 'snapshot')"),
    ("segments", "ck_segments_rule", "(kind = 'static') = (rule IS NULL)"),
    ("segments", "ck_segments_as_of", "(kind = 'snapshot') = (as_of IS NOT NULL)"),
    (
        "segment_log",
        "ck_segment_log_cause",
        "cause IN ('rule', 'event', 'scoring', 'time', 'merge', 'manual', 'snapshot', 'reconcile', 'clustering')",
    ),
    ("segment_log", "ck_segment_log_sequence", "sequence IS NOT NULL"),
)
"""Those of old rows are validated in 0023a."""

NUMBER_THE_LOG = """
UPDATE segment_log l SET sequence = numbered.sequence
FROM (
  SELECT tenant_id, id, row_number() OVER (PARTITION BY tenant_id, segment_id ORDER BY at, id) AS sequence
  FROM segment_log
) numbered
WHERE l.tenant_id = numbered.tenant_id AND l.id = numbered.id
"""
COUNT_THE_LOG = """
UPDATE segments s SET last_sequence = counted.entries
FROM (SELECT tenant_id, segment_id, count(*) AS entries FROM segment_log GROUP BY tenant_id, segment_id) counted
WHERE s.tenant_id = counted.tenant_id AND s.id = counted.segment_id
"""


def upgrade() -> None:
    """Apply."""
    op.add_column("segments", sa.Column("kind", sa.Text(), server_default=sa.text("'dynamic'"), nullable=False))
    op.add_column("segments", sa.Column("error_zh", sa.Text(), nullable=True))
    op.add_column("segments", sa.Column("as_of", sa.DateTime(timezone=True), nullable=True))
    op.add_column("segments", sa.Column("last_sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("segments", sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("segments", sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("segments", sa.Column("calendar_at", sa.DateTime(timezone=True), nullable=True))
    # A static segment has none. Released code reads every rule, and only writes segments that have one.
    op.execute("-- squawk-ignore ban-drop-not-null\nALTER TABLE segments ALTER COLUMN rule DROP NOT NULL")

    op.add_column("segment_log", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.add_column("segment_log", sa.Column("cause_id", sa.Uuid(), nullable=True))
    op.execute(NUMBER_THE_LOG)
    op.execute(COUNT_THE_LOG)

    for table, name in (("segments", "ck_segments_state"), ("segment_log", "ck_segment_log_cause")):
        op.execute(f"-- squawk-ignore ban-drop-constraint\nALTER TABLE {table} DROP CONSTRAINT {name}")
    for table, name, check in NEW_CHECKS:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({check}) NOT VALID")

    op.create_table(
        "segment_dependencies",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("needs_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "needs_id"],
            ["segments.tenant_id", "segments.id"],
            name=op.f("fk_segment_dependencies_tenant_id_needs_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "segment_id"],
            ["segments.tenant_id", "segments.id"],
            name=op.f("fk_segment_dependencies_tenant_id_segment_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "segment_id", "needs_id", name=op.f("pk_segment_dependencies")),
    )
    op.create_index("ix_segment_dependencies_needs", "segment_dependencies", ["tenant_id", "needs_id"], unique=False)
    protect("segment_dependencies")

    op.create_table(
        "segment_flips",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "segment_id", "customer_id", name=op.f("pk_segment_flips")),
    )
    op.create_index("ix_segment_flips_at", "segment_flips", ["tenant_id", "at"], unique=False)
    protect("segment_flips")

    op.create_table(
        "segment_reconciliations",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked", sa.Integer(), nullable=False),
        sa.Column("entered", sa.Integer(), nullable=False),
        sa.Column("left", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_zh", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "segment_id"],
            ["segments.tenant_id", "segments.id"],
            name=op.f("fk_segment_reconciliations_tenant_id_segment_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_segment_reconciliations")),
        info={"append_only": True},
    )
    op.create_index(
        "ix_segment_reconciliations_segment",
        "segment_reconciliations",
        ["tenant_id", "segment_id", "id"],
        unique=False,
    )
    protect("segment_reconciliations", writes="append")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
