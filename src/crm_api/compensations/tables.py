"""Compensations of complaints, and who may approve how much."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, Text, Uuid, text

from crm_api.db.schema import INSTANT, reference, resource_table, unique

_KINDS = "'refund', 'replacement', 'points', 'voucher', 'apology', 'service'"

compensations = resource_table(
    "compensations",
    Column("complaint_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("order_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("points", BigInteger),
    Column("programme_id", Uuid),
    Column("campaign_id", Uuid),
    Column("sku", Text),
    Column("quantity", Integer),
    Column("note", Text),
    Column("proposed_by", Uuid, nullable=False),
    Column("proposed_by_staff_id", Uuid),
    Column("proposed_at", INSTANT, nullable=False),
    Column("decided_by", Uuid),
    Column("decided_by_staff_id", Uuid),
    Column("decided_at", INSTANT),
    Column("decision_note", Text),
    Column("reason", Text),
    # Stable code of the last failure.
    Column("failure", Text),
    Column("reference", Text),
    Column("reversal_reference", Text),
    Column("transaction_id", Uuid),
    Column("voucher_id", Uuid),
    Column("settled_at", INSTANT),
    Column("ended_at", INSTANT),
    CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
    CheckConstraint(
        "state IN ('proposed', 'approved', 'settled', 'failed', 'rejected', 'cancelled', 'reversed')", name="state"
    ),
    CheckConstraint("amount > 0 AND points > 0 AND quantity > 0", name="sizes"),
    CheckConstraint("(amount IS NULL) = (currency IS NULL)", name="currency"),
    CheckConstraint(
        "(kind = 'points') = (points IS NOT NULL) AND (kind = 'voucher') = (campaign_id IS NOT NULL) "
        "AND (kind NOT IN ('refund', 'replacement', 'service') OR amount IS NOT NULL)",
        name="worth",
    ),
    # The table of steps once more, where no mistake of ours can pass: what was not decided is not paid, what is settled
    # names what paid it.
    CheckConstraint(
        "state NOT IN ('approved', 'settled', 'failed', 'rejected', 'reversed') OR decided_at IS NOT NULL",
        name="decided",
    ),
    CheckConstraint(
        "state NOT IN ('settled', 'reversed') OR (settled_at IS NOT NULL "
        "AND (kind <> 'points' OR transaction_id IS NOT NULL) AND (kind <> 'voucher' OR voucher_id IS NOT NULL) "
        "AND (kind NOT IN ('refund', 'replacement', 'service') OR reference IS NOT NULL))",
        name="settled",
    ),
    CheckConstraint("(state IN ('rejected', 'cancelled', 'reversed')) = (ended_at IS NOT NULL)", name="ended"),
    reference("complaint_id", "complaints"),
    reference("customer_id", "customers"),
    reference("order_id", "orders"),
    reference("programme_id", "loyalty_programmes"),
    reference("campaign_id", "voucher_campaigns"),
    reference("proposed_by_staff_id", "staff"),
    reference("decided_by_staff_id", "staff"),
    reference("transaction_id", "loyalty_transactions"),
    reference("voucher_id", "vouchers"),
    # One payment pays one compensation.
    unique("transaction_id", name="uq_compensations_transaction"),
    unique("voucher_id", name="uq_compensations_voucher"),
    Index(
        "uq_compensations_refund",
        "tenant_id",
        "reference",
        unique=True,
        postgresql_where=text("kind = 'refund' AND state = 'settled'"),
    ),
    Index("ix_compensations_complaint", "tenant_id", "complaint_id", "id"),
    Index("ix_compensations_customer", "tenant_id", "customer_id", "proposed_at", "id"),
    Index("ix_compensations_order", "tenant_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    Index("ix_compensations_state", "tenant_id", "state", "id"),
    Index("ix_compensations_proposed", "tenant_id", "proposed_at"),
)

approval_limits = resource_table(
    "approval_limits",
    Column("name", Text, nullable=False),
    # For whom: one of the three, or everybody.
    Column("role", Text),
    Column("staff_id", Uuid),
    Column("key_id", Uuid),
    Column("kind", Text),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("points", BigInteger),
    Column("unlimited", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("num_nonnulls(role, staff_id, key_id) <= 1", name="whom"),
    CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
    CheckConstraint("amount >= 0 AND points >= 0", name="sizes"),
    CheckConstraint("(amount IS NULL) = (currency IS NULL)", name="currency"),
    CheckConstraint("NOT unlimited OR (amount IS NULL AND points IS NULL)", name="unlimited"),
    reference("staff_id", "staff"),
    reference("key_id", "api_keys"),
    unique("name", name="uq_approval_limits_name"),
)
"""What somebody may approve alone, for one case."""
