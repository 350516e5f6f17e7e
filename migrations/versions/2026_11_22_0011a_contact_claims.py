"""A claimed contact point is one customer's: the index that sees to it, made while the shop goes on.

It is made outside a transaction, so in a revision of its own: were it part of 0011, what failed half way could not be run again.

Revision ID: 0011a
Revises: 0011
"""

from alembic import op

revision = "0011a"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq_contact_points_claimed "
            "ON contact_points (tenant_id, kind, value) WHERE claimed"
        )


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
