"""Causes of runs are checked for old rows too, which needs a transaction of its own.

Revision ID: 0024a
Revises: 0024
"""

from alembic import op

revision = "0024a"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE scoring_runs VALIDATE CONSTRAINT ck_scoring_runs_cause")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
