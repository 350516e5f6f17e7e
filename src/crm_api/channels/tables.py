"""Channels and the messages sent over them."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table

channels = resource_table(
    "channels",
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("settings", JSONB, nullable=False),
    # Servers and providers want the secret itself, so it cannot be hashed; no surface ever shows it.
    Column("secret", Text),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    CheckConstraint("kind IN ('smtp', 'sms', 'local')", name="kind"),
)

channel_defaults = tenant_table(
    "channel_defaults",
    Column("address_kind", Text, nullable=False),
    Column("channel_id", Uuid, nullable=False),
    reference("channel_id", "channels"),
    Index("ix_channel_defaults_channel", "tenant_id", "channel_id"),
    key=("address_kind",),
)
"""Which channel is taken for which kind of address: one each, the key sees to it."""

channel_messages = tenant_table(
    "channel_messages",
    Column("channel_id", Uuid, nullable=False),
    Column("purpose", Text, nullable=False),
    # Whom it is for, as whoever sends it says; customers are a higher domain, of which nothing more is known here.
    Column("customer_id", Uuid),
    Column("address_kind", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("subject", Text),
    Column("body", Text),
    Column("params", JSONB(none_as_null=True)),
    # Holds a one-time code: shown by no surface, deleted when the message has ended.
    Column("sensitive", Boolean, nullable=False, server_default=text("false")),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("provider_id", Text),
    Column("expires_at", INSTANT),
    # Until when the worker that is sending it is believed to live.
    Column("lease_until", INSTANT),
    created_at(),
    Column("sent_at", INSTANT),
    CheckConstraint("state IN ('queued', 'sending', 'sent', 'failed')", name="state"),
    reference("channel_id", "channels"),
    reference("customer_id", "customers"),
    Index("ix_channel_messages_state", "tenant_id", "state", "id"),
    Index("ix_channel_messages_channel", "tenant_id", "channel_id", "id"),
    Index("ix_channel_messages_customer", "tenant_id", "customer_id", "id"),
)
