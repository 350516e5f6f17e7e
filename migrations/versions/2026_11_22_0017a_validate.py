"""Constraints that 0011 to 0017 added are checked for old rows too, in a transaction that keeps nobody out.

Revision ID: 0017a
Revises: 0017
"""

from alembic import op

revision = "0017a"
down_revision = "0017"
branch_labels = None
depends_on = None

CONSTRAINTS = (
    ("contact_points", "ck_contact_points_claimed"),
    ("customers", "ck_customers_merged_is_hidden"),
    ("customers", "fk_customers_tenant_id_merged_into_id"),
    ("loyalty_transactions", "ck_loyalty_transactions_type"),
    ("loyalty_entries", "ck_loyalty_entries_account"),
    ("imports", "ck_imports_kind"),
    ("imports", "ck_imports_counts"),
    ("imports", "ck_imports_mode"),
    ("imports", "ck_imports_undo_state"),
    ("imports", "ck_imports_undo_counts"),
    ("import_rows", "ck_import_rows_verdict"),
    ("import_rows", "ck_import_rows_undo"),
)


def upgrade() -> None:
    """Apply."""
    for table, name in CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
