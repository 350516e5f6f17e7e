"""Indexes on complaints for their clocks, built while they are in use.

Revision ID: 0044a
Revises: 0044
"""

from alembic import op

revision = "0044a"
down_revision = "0044"
branch_labels = None
depends_on = None

CLOCKED = (
    "next_change_at IS NOT NULL OR state IN ('received', 'acknowledged', 'assessed', 'in_progress', "
    "'waiting_customer', 'waiting_third_party', 'proposed', 'escalated_external')"
)
INDEXES = (
    "ix_complaints_due ON complaints (tenant_id, due_at, id) WHERE due_at IS NOT NULL",
    "ix_complaints_next_change ON complaints (tenant_id, next_change_at, id) WHERE next_change_at IS NOT NULL",
    f"ix_complaints_clock_epoch ON complaints (tenant_id, clock_epoch, id) WHERE {CLOCKED}",
)


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for index in INDEXES:
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index}")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
