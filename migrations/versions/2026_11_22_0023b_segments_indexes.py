"""The numbers of the enter/leave log are unique, by an index made while the shop goes on.

Outside a transaction, so in a revision of its own: what fails half way can be run again.

Revision ID: 0023b
Revises: 0023a
"""

from alembic import op

revision = "0023b"
down_revision = "0023a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq_segment_log_sequence"
            " ON segment_log (tenant_id, segment_id, sequence)"
        )


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
