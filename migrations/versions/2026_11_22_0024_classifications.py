"""Classifications and scoring schemes.

Revision ID: 0024
Revises: 0023a
"""

revision = "0024"
down_revision = "0023a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
