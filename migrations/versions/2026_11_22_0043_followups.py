"""Follow-up plans and tasks.

Revision ID: 0043
Revises: 0042a
"""

revision = "0043"
down_revision = "0042a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
