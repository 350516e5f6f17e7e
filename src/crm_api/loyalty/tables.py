"""The points ledger: programmes, wallets, lots, transactions and their entries.

What happened is appended (transactions, entries, lot movements: the application role cannot change or delete them);
what is true now is stored beside it (wallets, lots, accruals) under row locks and CHECKs, and equals the replay of the
former. A deferred constraint trigger refuses any transaction whose entries do not sum to zero.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

ZERO = text("0")


def _points(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=ZERO)


loyalty_programmes = resource_table(
    "loyalty_programmes",
    Column("name", Text, nullable=False),
    Column("currency_name", Text, nullable=False, server_default=text("'积分'")),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    # Null: purchases in every currency count, unit for unit.
    Column("currency", Text),
    Column("points_per_unit", Numeric(12, 6), nullable=False, server_default=text("1")),
    Column("rounding", Text, nullable=False, server_default=text("'floor'")),
    Column("pending_days", SmallInteger, nullable=False, server_default=ZERO),
    # How long points live: months, then days, to the end of that day in the programme's zone; both null is for ever.
    Column("expiry_months", SmallInteger),
    Column("expiry_days", Integer),
    Column("time_zone", Text, nullable=False),
    CheckConstraint("rounding IN ('floor', 'half_up', 'ceiling')", name="rounding"),
    CheckConstraint("points_per_unit BETWEEN 0 AND 10000", name="points_per_unit"),
    CheckConstraint("pending_days BETWEEN 0 AND 3650", name="pending_days"),
    CheckConstraint("expiry_months BETWEEN 0 AND 1200", name="expiry_months"),
    CheckConstraint("expiry_days BETWEEN 0 AND 36500", name="expiry_days"),
    Index("uq_loyalty_programmes_default", "tenant_id", unique=True, postgresql_where=text("is_default")),
)

loyalty_wallets = tenant_table(
    "loyalty_wallets",
    Column("programme_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    # "qualifying" (tier points) will be a second wallet of the same customer.
    Column("kind", Text, nullable=False, server_default=text("'spendable'")),
    _points("available"),
    _points("pending"),
    _points("held"),
    _points("debt"),
    # Number of transactions so far: gives each its place, and the account its ETag.
    Column("sequence", Integer, nullable=False, server_default=ZERO),
    created_at(),
    created_at("updated_at"),
    CheckConstraint("kind IN ('spendable', 'qualifying')", name="kind"),
    CheckConstraint("available >= 0 AND pending >= 0 AND held >= 0 AND debt >= 0", name="not_negative"),
    # Whoever owes has nothing to spend: what comes in repays first.
    CheckConstraint("debt = 0 OR available = 0", name="debt_first"),
    reference("programme_id", "loyalty_programmes"),
    reference("customer_id", "customers"),
    unique("customer_id", "programme_id", "kind", name="uq_loyalty_wallets_customer"),
)

loyalty_lots = tenant_table(
    "loyalty_lots",
    Column("wallet_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    _points("expired"),
    Column("priority", SmallInteger, nullable=False, server_default=ZERO),
    Column("earned_at", INSTANT, nullable=False),
    Column("available_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT),
    # No foreign key: an order may be undone with its import, the points' history stays.
    Column("order_id", Uuid),
    created_at(),
    CheckConstraint("state IN ('pending', 'available', 'exhausted', 'expired', 'reversed')", name="state"),
    CheckConstraint("granted > 0 AND remaining BETWEEN 0 AND granted", name="bounds"),
    CheckConstraint("expired BETWEEN 0 AND granted - remaining", name="expired"),
    CheckConstraint("(state IN ('pending', 'available')) = (remaining > 0)", name="open_has_points"),
    reference("wallet_id", "loyalty_wallets"),
    Index(
        "ix_loyalty_lots_open",
        "tenant_id",
        "wallet_id",
        postgresql_where=text("state IN ('pending', 'available')"),
    ),
    Index("ix_loyalty_lots_release", "tenant_id", "available_at", postgresql_where=text("state = 'pending'")),
    Index(
        "ix_loyalty_lots_expiry",
        "tenant_id",
        "expires_at",
        postgresql_where=text("state = 'available' AND expires_at IS NOT NULL"),
    ),
)

loyalty_transactions = tenant_table(
    "loyalty_transactions",
    Column("wallet_id", Uuid, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", Text, nullable=False),
    # Of whoever asked for it: the same key has its effect once.
    Column("key", Text),
    Column("points", BigInteger, nullable=False),
    Column("available_change", BigInteger, nullable=False),
    Column("available_after", BigInteger, nullable=False),
    Column("pending_after", BigInteger, nullable=False),
    Column("held_after", BigInteger, nullable=False),
    Column("debt_after", BigInteger, nullable=False),
    Column("reason", Text),
    Column("order_id", Uuid),
    Column("reverses_id", Uuid),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    Column("at", INSTANT, nullable=False),
    CheckConstraint(
        "type IN ('restore', 'earn', 'release', 'redeem', 'reverse', 'adjust', 'expire', 'merge', 'unmerge')",
        name="type",
    ),
    CheckConstraint("(type = 'restore') = (reverses_id IS NOT NULL)", name="restore_names_redemption"),
    reference("wallet_id", "loyalty_wallets"),
    reference("reverses_id", "loyalty_transactions"),
    Index("uq_loyalty_transactions_sequence", "tenant_id", "wallet_id", "sequence", unique=True),
    Index("uq_loyalty_transactions_key", "tenant_id", "key", unique=True, postgresql_where=text("key IS NOT NULL")),
    Index(
        "uq_loyalty_transactions_reverses",
        "tenant_id",
        "reverses_id",
        unique=True,
        postgresql_where=text("reverses_id IS NOT NULL"),
    ),
    info={APPEND_ONLY: True},
)

loyalty_entries = tenant_table(
    "loyalty_entries",
    Column("transaction_id", Uuid, nullable=False),
    Column("account", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    CheckConstraint(
        "account IN ('available', 'pending', 'held', 'debt', 'issued', 'redeemed', 'expired', 'cancelled', "
        "'adjusted', 'merged')",
        name="account",
    ),
    CheckConstraint("points <> 0", name="not_zero"),
    reference("transaction_id", "loyalty_transactions"),
    key=("transaction_id", "account"),
    info={APPEND_ONLY: True},
)
"""The double entry: the wallet's accounts on one side (debt counts negative), the programme's on the other."""

loyalty_lot_movements = tenant_table(
    "loyalty_lot_movements",
    Column("transaction_id", Uuid, nullable=False),
    Column("lot_id", Uuid, nullable=False),
    Column("points", BigInteger, nullable=False),
    CheckConstraint("points <> 0", name="not_zero"),
    reference("transaction_id", "loyalty_transactions"),
    reference("lot_id", "loyalty_lots"),
    Index("ix_loyalty_lot_movements_lot", "tenant_id", "lot_id"),
    key=("transaction_id", "lot_id"),
    info={APPEND_ONLY: True},
)
"""What each transaction did to which lot's remaining points: a reversal gives back exactly there."""

loyalty_accruals = tenant_table(
    "loyalty_accruals",
    Column("order_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("wallet_id", Uuid),
    Column("lot_id", Uuid),
    Column("paid_amount", BigInteger),
    Column("refunded_amount", BigInteger, nullable=False, server_default=ZERO),
    Column("cancelled", Boolean, nullable=False, server_default=text("false")),
    _points("granted"),
    _points("reversed"),
    created_at(),
    CheckConstraint("reversed BETWEEN 0 AND granted", name="reversed"),
    CheckConstraint("refunded_amount >= 0", name="refunded_amount"),
    reference("customer_id", "customers"),
    reference("wallet_id", "loyalty_wallets"),
    reference("lot_id", "loyalty_lots"),
    key=("order_id",),
)
"""What the ledger knows of each order: whatever order its messages come in, the points converge."""

loyalty_accounts = Table(
    "loyalty_accounts",
    MetaData(),
    Column("tenant_id", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("wallet_id", Uuid),
    Column("available", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("debt", BigInteger, nullable=False),
    Column("currency_name", Text, nullable=False),
    Column("version", Integer, nullable=False),
)
"""A view (not in the metadata): every living customer with the spendable wallet of the default programme, or zeros."""
