"""Complaints: checks of what stood before.

Revision ID: 0042a
Revises: 0042
"""

revision = "0042a"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
