"""What was said and done between the shop and its customers."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, reference, resource_table

interactions = resource_table(
    "interactions",
    Column("customer_id", Uuid, nullable=False),
    Column("channel", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("staff_id", Uuid),
    Column("store_id", Uuid),
    # A complaint is a higher domain: its links to interactions lie in its own table.
    Column("order_id", Uuid),
    Column("subject", Text),
    Column("body", Text),
    Column("outcome", Text),
    Column("problem", Text),
    Column("solution", Text),
    Column("next_step", Text),
    Column("duration_seconds", Integer),
    Column("attachments", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("occurred_at", INSTANT, nullable=False),
    CheckConstraint(
        "channel IN ('call', 'visit', 'email', 'sms', 'wechat', 'live_chat', 'social', 'in_store', 'web')",
        name="channel",
    ),
    CheckConstraint("direction IN ('inbound', 'outbound')", name="direction"),
    CheckConstraint("duration_seconds >= 0", name="duration_seconds"),
    reference("customer_id", "customers"),
    reference("staff_id", "staff"),
    reference("store_id", "stores"),
    reference("order_id", "orders"),
    Index("ix_interactions_customer", "tenant_id", "customer_id", "occurred_at", "id"),
    Index("ix_interactions_occurred", "tenant_id", "occurred_at", "id"),
    Index("ix_interactions_staff", "tenant_id", "staff_id", "occurred_at", "id"),
    Index("ix_interactions_order", "tenant_id", "order_id"),
)
