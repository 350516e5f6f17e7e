"""Complaint cases, clocks, compensation.

Revision ID: 0042
Revises: 0041a
"""

revision = "0042"
down_revision = "0041a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
