"""What 0028 asks of old rows is checked, in a transaction that keeps nobody out.

Revision ID: 0028a
Revises: 0028
"""

from alembic import op

revision = "0028a"
down_revision = "0028"
branch_labels = None
depends_on = None

CONSTRAINTS = (
    ("loyalty_programmes", "ck_loyalty_programmes_scale"),
    ("loyalty_programmes", "ck_loyalty_programmes_pending_from"),
    ("loyalty_programmes", "ck_loyalty_programmes_expiry_end"),
    ("loyalty_programmes", "ck_loyalty_programmes_refund_policy"),
    ("loyalty_programmes", "ck_loyalty_programmes_restore_policy"),
    ("loyalty_programmes", "ck_loyalty_programmes_grace_days"),
    ("loyalty_programmes", "ck_loyalty_programmes_hold_minutes"),
    ("loyalty_lots", "ck_loyalty_lots_state"),
    ("loyalty_lots", "ck_loyalty_lots_held"),
    ("loyalty_lots", "ck_loyalty_lots_reversed"),
    ("loyalty_lots", "ck_loyalty_lots_available_at"),
    ("loyalty_transactions", "ck_loyalty_transactions_type"),
    ("loyalty_transactions", "ck_loyalty_transactions_restore_names_redemption"),
    ("loyalty_transactions", "ck_loyalty_transactions_hold"),
    ("loyalty_transactions", "fk_loyalty_transactions_tenant_id_hold_id"),
    ("loyalty_transactions", "fk_loyalty_transactions_tenant_id_lot_id"),
    ("loyalty_entries", "ck_loyalty_entries_account"),
    ("loyalty_accruals", "ck_loyalty_accruals_qualifying_reversed"),
    ("loyalty_accruals", "fk_loyalty_accruals_tenant_id_qualifying_lot_id"),
)


def upgrade() -> None:
    """Apply."""
    for table, name in CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
