"""Classifications and scoring schemes.

Revision ID: 0024
Revises: 0023b
"""

revision = "0024"
down_revision = "0023b"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
