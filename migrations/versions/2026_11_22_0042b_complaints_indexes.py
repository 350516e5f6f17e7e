"""Indexes on complaints for following on and closing, built while they are in use.

Revision ID: 0042b
Revises: 0042a
"""

from alembic import op

revision = "0042b"
down_revision = "0042a"
branch_labels = None
depends_on = None

INDEXES = (
    "ix_complaints_reopens ON complaints (tenant_id, reopens_id)",
    "ix_complaints_resolved ON complaints (tenant_id, resolved_at, id) WHERE state = 'resolved'",
)


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for index in INDEXES:
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index}")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
