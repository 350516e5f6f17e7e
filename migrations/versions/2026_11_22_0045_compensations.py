"""Compensations of complaints.

Revision ID: 0045
Revises: 0044a
"""

revision = "0045"
down_revision = "0044a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
