"""Sources of inbound webhooks and what they delivered."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table

inbound_sources = resource_table(
    "inbound_sources",
    Column("name", Text, nullable=False),
    Column("platform", Text, nullable=False),
    # Verifying an HMAC needs the secret itself, so it cannot be hashed; no surface ever shows it.
    Column("secret", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    CheckConstraint("platform IN ('shopify', 'standard')", name="platform"),
)

inbound_deliveries = tenant_table(
    "inbound_deliveries",
    Column("source_id", Uuid, nullable=False),
    Column("dedupe_key", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'received'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("repeats", Integer, nullable=False, server_default=text("0")),
    Column("result", JSONB(none_as_null=True)),
    Column("error", Text),
    created_at("received_at"),
    Column("processed_at", INSTANT),
    CheckConstraint("state IN ('received', 'processed', 'ignored', 'failed')", name="state"),
    reference("source_id", "inbound_sources"),
    Index("uq_inbound_deliveries_dedupe", "tenant_id", "source_id", "dedupe_key", unique=True),
    Index("ix_inbound_deliveries_state", "tenant_id", "state", "id"),
)
