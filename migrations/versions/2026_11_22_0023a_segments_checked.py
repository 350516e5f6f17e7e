"""Constraints that 0023 added are checked for old rows too, in a transaction that keeps nobody out.

Revision ID: 0023a
Revises: 0023
"""

from alembic import op

revision = "0023a"
down_revision = "0023"
branch_labels = None
depends_on = None

CONSTRAINTS = (
    ("segments", "ck_segments_state"),
    ("segments", "ck_segments_kind"),
    ("segments", "ck_segments_rule"),
    ("segments", "ck_segments_as_of"),
    ("segment_log", "ck_segment_log_cause"),
    ("segment_log", "ck_segment_log_sequence"),
)


def upgrade() -> None:
    """Apply."""
    for table, name in CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
