"""Constraints of 0042 on rows that were there.

Revision ID: 0042a
Revises: 0042
"""

from alembic import op

revision = "0042a"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE complaints VALIDATE CONSTRAINT fk_complaints_tenant_id_reopens_id")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
