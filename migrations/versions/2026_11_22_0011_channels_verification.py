"""Channels, and codes that prove a contact point.

Revision ID: 0011
Revises: 0010
"""

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
