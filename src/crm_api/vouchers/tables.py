"""Voucher campaigns, batches of codes, vouchers, and what became of each use."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from crm_api.db.schema import INSTANT, reference, resource_table, unique

_NO_TEXTS = text("'{}'::text[]")


def _texts(name: str) -> Column[Any]:
    return Column(name, ARRAY(Text), nullable=False, server_default=_NO_TEXTS)


def _count(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


voucher_campaigns = resource_table(
    "voucher_campaigns",
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("kind", Text, nullable=False),
    Column("currency", Text),
    Column("amount_off", BigInteger),
    Column("basis_points", Integer),
    Column("max_discount", BigInteger),
    Column("gift_sku", Text),
    Column("gift_quantity", Integer),
    Column("shared_code", Text),
    Column("prefix", Text, nullable=False, server_default=text("''")),
    Column("code_length", SmallInteger, nullable=False, server_default=text("13")),
    Column("starts_at", INSTANT),
    Column("ends_at", INSTANT),
    # A voucher given to a customer ends so many days after that.
    Column("valid_days", Integer),
    Column("rule", JSONB(none_as_null=True)),
    _texts("skus"),
    _texts("categories"),
    _texts("excluded_skus"),
    _texts("excluded_categories"),
    Column("min_amount", BigInteger),
    Column("min_quantity", Integer),
    Column("uses_per_voucher", Integer),
    Column("uses_per_customer", Integer),
    Column("uses_total", Integer),
    Column("priority", Integer, nullable=False, server_default=text("100")),
    Column("exclusive", Boolean, nullable=False, server_default=text("false")),
    Column("stacking_group", Text),
    Column("birthday_days_before", SmallInteger),
    # The last day (tenant's zone) whose birthdays have been seen to.
    Column("birthdays_done_on", Date),
    _count("vouchers"),
    _count("redeemed"),
    CheckConstraint("state IN ('active', 'paused', 'archived')", name="state"),
    CheckConstraint("kind IN ('amount', 'percent', 'gift', 'free_shipping')", name="kind"),
    CheckConstraint(
        "(kind = 'amount') = (amount_off IS NOT NULL) AND (kind = 'percent') = (basis_points IS NOT NULL) "
        "AND (kind = 'gift') = (gift_sku IS NOT NULL) AND (gift_sku IS NULL) = (gift_quantity IS NULL)",
        name="worth",
    ),
    CheckConstraint(
        "amount_off > 0 AND basis_points BETWEEN 1 AND 10000 AND max_discount > 0 AND gift_quantity > 0", name="amounts"
    ),
    CheckConstraint(
        "currency IS NOT NULL OR (amount_off IS NULL AND max_discount IS NULL AND min_amount IS NULL)", name="currency"
    ),
    CheckConstraint("starts_at < ends_at", name="window"),
    CheckConstraint(
        "uses_per_voucher > 0 AND uses_per_customer > 0 AND uses_total > 0 AND valid_days > 0 AND min_amount >= 0 "
        "AND min_quantity > 0",
        name="limits",
    ),
    CheckConstraint("redeemed >= 0", name="redeemed"),
    unique("name", name="uq_voucher_campaigns_name"),
)
"""``redeemed`` counts uses that stand (not rolled back). Whoever changes it holds the row: see `repository`."""

voucher_batches = resource_table(
    "voucher_batches",
    Column("campaign_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("count", Integer, nullable=False),
    Column("made", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name="state"),
    CheckConstraint("made BETWEEN 0 AND count", name="made"),
    reference("campaign_id", "voucher_campaigns"),
    Index("ix_voucher_batches_campaign", "tenant_id", "campaign_id", "id"),
)

vouchers = resource_table(
    "vouchers",
    Column("campaign_id", Uuid, nullable=False),
    Column("batch_id", Uuid),
    Column("customer_id", Uuid),
    # Canonical: capitals without separators. Looked up by this index alone.
    Column("code", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("redeemed", Integer, nullable=False, server_default=text("0")),
    Column("expires_at", INSTANT),
    # Whether `voucher.expired` was told: for vouchers of customers, once.
    Column("expiry_told", Boolean, nullable=False, server_default=text("false")),
    Column("issued_at", INSTANT),
    Column("issue_key", Text),
    # What it was given for, such as birthday:2026: once for each customer and campaign.
    Column("occasion", Text),
    Column("reason", Text),
    CheckConstraint("state IN ('active', 'void')", name="state"),
    CheckConstraint("redeemed >= 0", name="redeemed"),
    CheckConstraint("(customer_id IS NULL) = (issued_at IS NULL)", name="issued"),
    reference("campaign_id", "voucher_campaigns"),
    reference("batch_id", "voucher_batches"),
    reference("customer_id", "customers"),
    unique("code", name="uq_vouchers_code"),
    unique("issue_key", name="uq_vouchers_issue_key"),
    Index("ix_vouchers_campaign", "tenant_id", "campaign_id", "id"),
    Index("ix_vouchers_batch", "tenant_id", "batch_id", "id", postgresql_where=text("batch_id IS NOT NULL")),
    Index(
        "ix_vouchers_customer",
        "tenant_id",
        "customer_id",
        "campaign_id",
        postgresql_where=text("customer_id IS NOT NULL"),
    ),
    Index(
        "ix_vouchers_expiry",
        "tenant_id",
        "expires_at",
        postgresql_where=text("NOT expiry_told AND customer_id IS NOT NULL AND expires_at IS NOT NULL"),
    ),
)

voucher_redemptions = resource_table(
    "voucher_redemptions",
    Column("campaign_id", Uuid, nullable=False),
    Column("voucher_id", Uuid, nullable=False),
    Column("customer_id", Uuid),
    Column("session_id", Text),
    Column("order_ref", Text),
    Column("state", Text, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("discount_amount", BigInteger, nullable=False),
    Column("shipping_discount", BigInteger, nullable=False),
    Column("line_discounts", ARRAY(BigInteger), nullable=False, server_default=text("'{}'::bigint[]")),
    Column("locked_until", INSTANT),
    Column("redeemed_at", INSTANT),
    Column("ended_at", INSTANT),
    Column("reason", Text),
    CheckConstraint("state IN ('locked', 'redeemed', 'rolled_back', 'released', 'lapsed')", name="state"),
    CheckConstraint("state <> 'locked' OR (session_id IS NOT NULL AND locked_until IS NOT NULL)", name="locked"),
    CheckConstraint(
        "state NOT IN ('redeemed', 'rolled_back') OR (order_ref IS NOT NULL AND redeemed_at IS NOT NULL)",
        name="redeemed",
    ),
    CheckConstraint("discount_amount >= shipping_discount AND shipping_discount >= 0", name="discount"),
    reference("campaign_id", "voucher_campaigns"),
    reference("voucher_id", "vouchers"),
    reference("customer_id", "customers"),
    Index("ix_voucher_redemptions_voucher", "tenant_id", "voucher_id", "id"),
    Index("ix_voucher_redemptions_campaign", "tenant_id", "campaign_id", "id"),
    Index("ix_voucher_redemptions_order", "tenant_id", "order_ref", "id"),
    Index("ix_voucher_redemptions_customer", "tenant_id", "customer_id", "campaign_id", "state"),
    Index(
        "ix_voucher_redemptions_locks",
        "tenant_id",
        "campaign_id",
        "locked_until",
        postgresql_where=text("state = 'locked'"),
    ),
    Index(
        "uq_voucher_redemptions_session",
        "tenant_id",
        "session_id",
        "voucher_id",
        unique=True,
        postgresql_where=text("state = 'locked'"),
    ),
    Index(
        "uq_voucher_redemptions_order",
        "tenant_id",
        "order_ref",
        "voucher_id",
        unique=True,
        postgresql_where=text("state = 'redeemed'"),
    ),
)
"""One row for each use of a voucher: set aside for a checkout, redeemed for an order, or over."""
