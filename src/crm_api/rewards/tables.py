"""Rewards, and what customers had of them."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from crm_api.db.schema import INSTANT, reference, resource_table, unique

rewards = resource_table(
    "rewards",
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("kind", Text, nullable=False),
    Column("programme_id", Uuid),
    Column("points", BigInteger, nullable=False),
    Column("sku", Text),
    Column("campaign_id", Uuid),
    # Pieces there are in all, given out ones included; null: any number.
    Column("stock", Integer),
    Column("taken", Integer, nullable=False, server_default=text("0")),
    Column("per_customer", Integer),
    Column("starts_at", INSTANT),
    Column("ends_at", INSTANT),
    Column("rule", JSONB(none_as_null=True)),
    Column("immediate", Boolean, nullable=False, server_default=text("false")),
    Column("hold_days", Integer, nullable=False, server_default=text("7")),
    CheckConstraint("state IN ('active', 'paused', 'archived')", name="state"),
    CheckConstraint("kind IN ('product', 'voucher', 'service')", name="kind"),
    CheckConstraint("(kind = 'voucher') = (campaign_id IS NOT NULL)", name="worth"),
    CheckConstraint("points > 0 AND per_customer > 0 AND hold_days BETWEEN 1 AND 365", name="limits"),
    CheckConstraint("taken >= 0 AND taken <= stock", name="stock"),
    CheckConstraint("starts_at < ends_at", name="window"),
    reference("programme_id", "loyalty_programmes"),
    reference("campaign_id", "voucher_campaigns"),
    unique("name", name="uq_rewards_name"),
)

reward_redemptions = resource_table(
    "reward_redemptions",
    Column("reward_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("hold_id", Uuid, nullable=False),
    Column("voucher_ids", ARRAY(Uuid), nullable=False, server_default=text("'{}'::uuid[]")),
    Column("note", Text),
    Column("reason", Text),
    Column("held_until", INSTANT),
    Column("confirmed_at", INSTANT),
    Column("fulfilled_at", INSTANT),
    Column("cancelled_at", INSTANT),
    CheckConstraint("state IN ('requested', 'confirmed', 'fulfilled', 'cancelled')", name="state"),
    CheckConstraint("quantity > 0 AND points > 0", name="quantity"),
    reference("reward_id", "rewards"),
    reference("customer_id", "customers"),
    reference("hold_id", "loyalty_holds"),
    Index("ix_reward_redemptions_reward", "tenant_id", "reward_id", "customer_id", "state"),
    Index("ix_reward_redemptions_customer", "tenant_id", "customer_id", "id"),
    Index("ix_reward_redemptions_held", "tenant_id", "held_until", postgresql_where=text("state = 'requested'")),
)
"""The hold of the points is the ledger's; what it spends when confirmed is one transaction of it."""
