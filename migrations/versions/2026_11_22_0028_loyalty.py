"""The ledger: kinds of wallets, holds, policies, transfers.

Revision ID: 0028
Revises: 0027a
"""

revision = "0028"
down_revision = "0027a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
