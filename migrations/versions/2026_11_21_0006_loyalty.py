"""Loyalty programme, points ledger.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from crm_api.db.protect import grant, protect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "loyalty_programmes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency_name", sa.Text(), server_default=sa.text("'积分'"), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("points_per_unit", sa.Numeric(precision=12, scale=6), server_default=sa.text("1"), nullable=False),
        sa.Column("rounding", sa.Text(), server_default=sa.text("'floor'"), nullable=False),
        sa.Column("pending_days", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expiry_months", sa.SmallInteger(), nullable=True),
        sa.Column("expiry_days", sa.Integer(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("rounding IN ('floor', 'half_up', 'ceiling')", name=op.f("ck_loyalty_programmes_rounding")),
        sa.CheckConstraint("expiry_days BETWEEN 0 AND 36500", name=op.f("ck_loyalty_programmes_expiry_days")),
        sa.CheckConstraint("expiry_months BETWEEN 0 AND 1200", name=op.f("ck_loyalty_programmes_expiry_months")),
        sa.CheckConstraint("pending_days BETWEEN 0 AND 3650", name=op.f("ck_loyalty_programmes_pending_days")),
        sa.CheckConstraint("points_per_unit BETWEEN 0 AND 10000", name=op.f("ck_loyalty_programmes_points_per_unit")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_loyalty_programmes_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_loyalty_programmes")),
    )
    op.create_index(
        "uq_loyalty_programmes_default",
        "loyalty_programmes",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
    protect("loyalty_programmes")

    op.create_table(
        "loyalty_wallets",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("'spendable'"), nullable=False),
        sa.Column("available", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("pending", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("held", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("debt", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sequence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('spendable', 'qualifying')", name=op.f("ck_loyalty_wallets_kind")),
        sa.CheckConstraint(
            "available >= 0 AND pending >= 0 AND held >= 0 AND debt >= 0", name=op.f("ck_loyalty_wallets_not_negative")
        ),
        sa.CheckConstraint("debt = 0 OR available = 0", name=op.f("ck_loyalty_wallets_debt_first")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_loyalty_wallets_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "programme_id"],
            ["loyalty_programmes.tenant_id", "loyalty_programmes.id"],
            name=op.f("fk_loyalty_wallets_tenant_id_programme_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_loyalty_wallets")),
        sa.UniqueConstraint("tenant_id", "customer_id", "programme_id", "kind", name="uq_loyalty_wallets_customer"),
    )
    protect("loyalty_wallets")

    op.create_table(
        "loyalty_lots",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("wallet_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("earned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(state IN ('pending', 'available')) = (remaining > 0)", name=op.f("ck_loyalty_lots_open_has_points")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'available', 'exhausted', 'expired', 'reversed')", name=op.f("ck_loyalty_lots_state")
        ),
        sa.CheckConstraint("expired BETWEEN 0 AND granted - remaining", name=op.f("ck_loyalty_lots_expired")),
        sa.CheckConstraint("granted > 0 AND remaining BETWEEN 0 AND granted", name=op.f("ck_loyalty_lots_bounds")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "wallet_id"],
            ["loyalty_wallets.tenant_id", "loyalty_wallets.id"],
            name=op.f("fk_loyalty_lots_tenant_id_wallet_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_loyalty_lots")),
    )
    op.create_index(
        "ix_loyalty_lots_expiry",
        "loyalty_lots",
        ["tenant_id", "expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'available' AND expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_loyalty_lots_open",
        "loyalty_lots",
        ["tenant_id", "wallet_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'available')"),
    )
    op.create_index(
        "ix_loyalty_lots_release",
        "loyalty_lots",
        ["tenant_id", "available_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    protect("loyalty_lots")

    op.create_table(
        "loyalty_transactions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("wallet_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("available_change", sa.BigInteger(), nullable=False),
        sa.Column("available_after", sa.BigInteger(), nullable=False),
        sa.Column("pending_after", sa.BigInteger(), nullable=False),
        sa.Column("held_after", sa.BigInteger(), nullable=False),
        sa.Column("debt_after", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("reverses_id", sa.Uuid(), nullable=True),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(type = 'restore') = (reverses_id IS NOT NULL)",
            name=op.f("ck_loyalty_transactions_restore_names_redemption"),
        ),
        sa.CheckConstraint(
            "type IN ('restore', 'earn', 'release', 'redeem', 'reverse', 'adjust', 'expire')",
            name=op.f("ck_loyalty_transactions_type"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "reverses_id"],
            ["loyalty_transactions.tenant_id", "loyalty_transactions.id"],
            name=op.f("fk_loyalty_transactions_tenant_id_reverses_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "wallet_id"],
            ["loyalty_wallets.tenant_id", "loyalty_wallets.id"],
            name=op.f("fk_loyalty_transactions_tenant_id_wallet_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_loyalty_transactions")),
        info={"append_only": True},
    )
    op.create_index(
        "uq_loyalty_transactions_key",
        "loyalty_transactions",
        ["tenant_id", "key"],
        unique=True,
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_index(
        "uq_loyalty_transactions_reverses",
        "loyalty_transactions",
        ["tenant_id", "reverses_id"],
        unique=True,
        postgresql_where=sa.text("reverses_id IS NOT NULL"),
    )
    op.create_index(
        "uq_loyalty_transactions_sequence", "loyalty_transactions", ["tenant_id", "wallet_id", "sequence"], unique=True
    )
    protect("loyalty_transactions", writes="append")

    op.create_table(
        "loyalty_entries",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "account IN ('available', 'pending', 'held', 'debt',"
            " 'issued', 'redeemed', 'expired', 'cancelled', 'adjusted')",
            name=op.f("ck_loyalty_entries_account"),
        ),
        sa.CheckConstraint("points <> 0", name=op.f("ck_loyalty_entries_not_zero")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["loyalty_transactions.tenant_id", "loyalty_transactions.id"],
            name=op.f("fk_loyalty_entries_tenant_id_transaction_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "transaction_id", "account", name=op.f("pk_loyalty_entries")),
        info={"append_only": True},
    )
    protect("loyalty_entries", writes="append")

    op.create_table(
        "loyalty_lot_movements",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("points <> 0", name=op.f("ck_loyalty_lot_movements_not_zero")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lot_id"],
            ["loyalty_lots.tenant_id", "loyalty_lots.id"],
            name=op.f("fk_loyalty_lot_movements_tenant_id_lot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["loyalty_transactions.tenant_id", "loyalty_transactions.id"],
            name=op.f("fk_loyalty_lot_movements_tenant_id_transaction_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "transaction_id", "lot_id", name=op.f("pk_loyalty_lot_movements")),
        info={"append_only": True},
    )
    op.create_index("ix_loyalty_lot_movements_lot", "loyalty_lot_movements", ["tenant_id", "lot_id"], unique=False)
    protect("loyalty_lot_movements", writes="append")

    op.create_table(
        "loyalty_accruals",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("wallet_id", sa.Uuid(), nullable=True),
        sa.Column("lot_id", sa.Uuid(), nullable=True),
        sa.Column("paid_amount", sa.BigInteger(), nullable=True),
        sa.Column("refunded_amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancelled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("granted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reversed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("refunded_amount >= 0", name=op.f("ck_loyalty_accruals_refunded_amount")),
        sa.CheckConstraint("reversed BETWEEN 0 AND granted", name=op.f("ck_loyalty_accruals_reversed")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_loyalty_accruals_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lot_id"],
            ["loyalty_lots.tenant_id", "loyalty_lots.id"],
            name=op.f("fk_loyalty_accruals_tenant_id_lot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "wallet_id"],
            ["loyalty_wallets.tenant_id", "loyalty_wallets.id"],
            name=op.f("fk_loyalty_accruals_tenant_id_wallet_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "order_id", name=op.f("pk_loyalty_accruals")),
    )
    protect("loyalty_accruals")

    # Not only code keeps the books balanced: whatever wrote the entries, an unbalanced transaction cannot commit.
    op.execute("""
        CREATE FUNCTION loyalty_entries_balance() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
          total numeric;
        BEGIN
          SELECT sum(points) INTO total FROM loyalty_entries
          WHERE tenant_id = NEW.tenant_id AND transaction_id = NEW.transaction_id;
          IF total IS DISTINCT FROM 0 THEN
            RAISE EXCEPTION 'entries of loyalty transaction % sum to %, not to zero', NEW.transaction_id, total
              USING ERRCODE = 'check_violation', TABLE = 'loyalty_entries', CONSTRAINT = 'loyalty_entries_balance';
          END IF;
          RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE CONSTRAINT TRIGGER loyalty_entries_balance AFTER INSERT OR UPDATE ON loyalty_entries
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION loyalty_entries_balance()
    """)

    # Every living customer has an account, with or without a wallet; the tables' row-level security applies.
    op.execute("""
        CREATE VIEW loyalty_accounts WITH (security_invoker = true) AS
        SELECT c.tenant_id, c.id, w.id AS wallet_id,
               coalesce(w.available, 0) AS available, coalesce(w.pending, 0) AS pending,
               coalesce(w.held, 0) AS held, coalesce(w.debt, 0) AS debt,
               coalesce(p.currency_name, '积分') AS currency_name, coalesce(w.sequence, 0) AS version
        FROM customers c
        LEFT JOIN loyalty_programmes p ON p.tenant_id = c.tenant_id AND p.is_default
        LEFT JOIN loyalty_wallets w
          ON w.tenant_id = c.tenant_id AND w.customer_id = c.id AND w.programme_id = p.id AND w.kind = 'spendable'
        WHERE c.deleted_at IS NULL
    """)
    grant("loyalty_accounts", "SELECT")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
