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
    # Decimal digits of a point: balances are whole numbers of its smallest part.
    Column("scale", SmallInteger, nullable=False, server_default=ZERO),
    Column("pending_from", Text, nullable=False, server_default=text("'paid'")),
    Column("expiry_end", Text, nullable=False, server_default=text("'day'")),
    Column("refund_policy", Text, nullable=False, server_default=text("'negative'")),
    Column("restore_policy", Text, nullable=False, server_default=text("'expire'")),
    Column("grace_days", SmallInteger, nullable=False, server_default=ZERO),
    Column("hold_minutes", Integer, nullable=False, server_default=text("60")),
    CheckConstraint("scale BETWEEN 0 AND 4", name="scale"),
    CheckConstraint("pending_from IN ('paid', 'completed')", name="pending_from"),
    CheckConstraint("expiry_end IN ('day', 'month', 'quarter', 'half_year', 'year')", name="expiry_end"),
    CheckConstraint("refund_policy IN ('negative', 'clamp', 'review')", name="refund_policy"),
    CheckConstraint("restore_policy IN ('expire', 'grace')", name="restore_policy"),
    CheckConstraint("grace_days BETWEEN 0 AND 3650", name="grace_days"),
    CheckConstraint("hold_minutes BETWEEN 1 AND 525600", name="hold_minutes"),
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
    # Qualifying points make tiers and cannot be spent: a second wallet of the same customer.
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
    # Null: pending until something happens.
    Column("available_at", INSTANT),
    Column("expires_at", INSTANT),
    # No foreign key: an order may be undone with its import, the points' history stays.
    Column("order_id", Uuid),
    created_at(),
    # Set aside by open holds: neither remaining nor gone.
    _points("held"),
    # Of the grant, undone by refunds: the same points may have been spent, and others taken for them.
    _points("reversed"),
    # What they were given for: kind and id of another domain's row.
    Column("source_kind", Text),
    Column("source_id", Uuid),
    CheckConstraint("state IN ('pending', 'available', 'exhausted', 'expired', 'cancelled', 'reversed')", name="state"),
    CheckConstraint("held BETWEEN 0 AND granted - remaining - expired", name="held"),
    CheckConstraint("reversed BETWEEN 0 AND granted", name="reversed"),
    CheckConstraint("available_at IS NOT NULL OR state IN ('pending', 'cancelled')", name="available_at"),
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
    Column("hold_id", Uuid),
    # The lot it granted, released, ended or took back.
    Column("lot_id", Uuid),
    CheckConstraint(
        "type IN ('earn', 'grant', 'release', 'redeem', 'restore', 'reverse', 'adjust', 'expire', 'hold', 'post', "
        "'void', 'timeout', 'transfer', 'merge', 'unmerge')",
        name="type",
    ),
    # A restore gives back what a redemption spent, or part of what a hold did.
    CheckConstraint(
        "(type = 'restore' AND num_nonnulls(reverses_id, hold_id) = 1) OR (type <> 'restore' AND reverses_id IS NULL)",
        name="restore_names_redemption",
    ),
    CheckConstraint(
        "(hold_id IS NOT NULL) = (type IN ('hold', 'post', 'void', 'timeout')) OR type = 'restore'", name="hold"
    ),
    reference("wallet_id", "loyalty_wallets"),
    reference("reverses_id", "loyalty_transactions"),
    reference("hold_id", "loyalty_holds"),
    reference("lot_id", "loyalty_lots"),
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
        "'adjusted', 'transferred', 'merged')",
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
    Column("qualifying_lot_id", Uuid),
    _points("qualifying_granted"),
    _points("qualifying_reversed"),
    Column("completed_at", INSTANT),
    CheckConstraint("reversed BETWEEN 0 AND granted", name="reversed"),
    CheckConstraint("qualifying_reversed BETWEEN 0 AND qualifying_granted", name="qualifying_reversed"),
    CheckConstraint("refunded_amount >= 0", name="refunded_amount"),
    reference("customer_id", "customers"),
    reference("wallet_id", "loyalty_wallets"),
    reference("lot_id", "loyalty_lots"),
    reference("qualifying_lot_id", "loyalty_lots"),
    key=("order_id",),
)
"""What the ledger knows of each order: whatever order its messages come in, the points converge."""

loyalty_holds = resource_table(
    "loyalty_holds",
    Column("wallet_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("points", BigInteger, nullable=False),
    _points("posted"),
    _points("reversed"),
    # Null: until somebody posts or voids it.
    Column("until", INSTANT),
    Column("reason", Text),
    # What decides on the hold: a redemption of a reward. Null: whoever asks over the API.
    Column("owner_id", Uuid),
    CheckConstraint(
        "state IN ('open', 'posted', 'voided', 'timed_out', 'partly_reversed', 'reversed')",
        name="state",
    ),
    CheckConstraint("points > 0 AND posted BETWEEN 0 AND points AND reversed BETWEEN 0 AND posted", name="points"),
    CheckConstraint(
        "CASE state WHEN 'posted' THEN posted > 0 AND reversed = 0 "
        "WHEN 'partly_reversed' THEN reversed > 0 AND reversed < posted "
        "WHEN 'reversed' THEN posted > 0 AND reversed = posted ELSE posted = 0 END",
        name="state_fits",
    ),
    reference("wallet_id", "loyalty_wallets"),
    Index("ix_loyalty_holds_wallet", "tenant_id", "wallet_id"),
    Index("ix_loyalty_holds_until", "tenant_id", "until", postgresql_where=text("state = 'open'")),
)
"""Points set aside; a hold's id is that of the transaction that set them aside."""

loyalty_hold_parts = tenant_table(
    "loyalty_hold_parts",
    Column("hold_id", Uuid, nullable=False),
    # In the order the points were taken.
    Column("position", Integer, nullable=False),
    Column("lot_id", Uuid, nullable=False),
    Column("points", BigInteger, nullable=False),
    CheckConstraint("points > 0", name="points"),
    reference("hold_id", "loyalty_holds"),
    reference("lot_id", "loyalty_lots"),
    Index("ix_loyalty_hold_parts_lot", "tenant_id", "lot_id"),
    key=("hold_id", "position"),
)
"""Which lots a hold's points came from."""

loyalty_reviews = resource_table(
    "loyalty_reviews",
    Column("wallet_id", Uuid, nullable=False),
    Column("lot_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("points", BigInteger, nullable=False),
    # Of what was let go: came back since, and was taken.
    _points("recovered"),
    Column("note", Text),
    Column("decided_at", INSTANT),
    Column("decided_by", Uuid),
    CheckConstraint("state IN ('open', 'approved', 'waived', 'let_go')", name="state"),
    CheckConstraint("points > 0", name="points"),
    CheckConstraint("recovered BETWEEN 0 AND CASE state WHEN 'let_go' THEN points ELSE 0 END", name="recovered"),
    CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="decided"),
    reference("wallet_id", "loyalty_wallets"),
    reference("id", "loyalty_transactions"),
    reference("lot_id", "loyalty_lots"),
    Index("ix_loyalty_reviews_wallet", "tenant_id", "wallet_id"),
    Index("ix_loyalty_reviews_open", "tenant_id", "id", postgresql_where=text("state = 'open'")),
)
"""Points that a refund should have taken back and that were not there: somebody decides, or the policy let them go.

A review's id is that of the transaction that took back what was there.
"""

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
    Column("scale", SmallInteger, nullable=False),
    Column("programme_id", Uuid),
)
"""A view (not in the metadata): every living customer with the spendable wallet of the default programme, or zeros."""
