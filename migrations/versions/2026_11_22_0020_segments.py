"""Segments: incremental upkeep, dependencies, static and snapshot membership.

Revision ID: 0020
Revises: 0019a
"""

revision = "0020"
down_revision = "0019a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
