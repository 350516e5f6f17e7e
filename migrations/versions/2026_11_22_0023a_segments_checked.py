"""What 0023 added to released tables is checked for old rows too, and indexed while the shop goes on.

Outside a transaction, so in a revision of its own: what fails half way can be run again.

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
    with op.get_context().autocommit_block():
        for table, name in CONSTRAINTS:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq_segment_log_sequence"
            " ON segment_log (tenant_id, segment_id, sequence)"
        )


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
