"""Interactions' channels are checked for old rows too, which needs a transaction of its own.

Revision ID: 0019a
Revises: 0019
"""

from alembic import op

revision = "0019a"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE interactions VALIDATE CONSTRAINT ck_interactions_channel")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
