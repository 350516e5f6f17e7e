"""Indexes on released tables, made while the shop goes on.

Outside a transaction, so in a revision of their own: what fails half way can be run again.

Revision ID: 0017b
Revises: 0017a
"""

from alembic import op

revision = "0017b"
down_revision = "0017a"
branch_labels = None
depends_on = None

INDEXES = (
    "ix_customer_search_keys_old ON customer_search_keys (tenant_id, customer_id) WHERE keys_version < 1",
    "ix_customers_merged ON customers (tenant_id, merged_into_id, id) WHERE merged_into_id IS NOT NULL",
    "ix_customers_alias ON customers (tenant_id, id) WHERE merged_into_id IS NOT NULL",
)


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for index in INDEXES:
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index}")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
