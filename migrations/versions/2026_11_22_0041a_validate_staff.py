"""Constraints of 0041 on rows that were there.

Revision ID: 0041a
Revises: 0041
"""

from alembic import op

revision = "0041a"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("capacities", "weight", "availability"):
        op.execute(f"ALTER TABLE staff VALIDATE CONSTRAINT ck_staff_{name}")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
