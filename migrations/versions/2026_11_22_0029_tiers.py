"""Tiers.

Revision ID: 0029
Revises: 0028a
"""

revision = "0029"
down_revision = "0028a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
