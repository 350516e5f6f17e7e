"""Events, partitioned by month, and who identified themselves on which device."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table, unique

events = tenant_table(
    "events",
    # The client's own id, where it is no UUID: `id` is then derived from it.
    Column("event_id", Text),
    Column("type", Text, nullable=False),
    Column("occurred_at", INSTANT, nullable=False),
    created_at("received_at"),
    Column("device_id", Text),
    # No foreign key: it would cost a look-up per row. Customers' rows are never deleted, and a batch checks them.
    Column("customer_id", Uuid),
    # Whether the event itself said whose it is; otherwise its device's identifications say it, now and later.
    Column("stated", Boolean, nullable=False, server_default=text("false")),
    Column("session_id", Text),
    Column("sku", Text),
    Column("url", Text),
    Column("dwell_ms", Integer),
    Column("properties", JSONB, nullable=False, server_default=text("'{}'")),
    CheckConstraint("device_id IS NOT NULL OR customer_id IS NOT NULL", name="somebody"),
    Index("ix_events_occurred", "tenant_id", "occurred_at", "id"),
    Index(
        "ix_events_customer",
        "tenant_id",
        "customer_id",
        "occurred_at",
        "id",
        postgresql_where=text("customer_id IS NOT NULL"),
    ),
    Index("ix_events_device", "tenant_id", "device_id", "occurred_at", postgresql_where=text("device_id IS NOT NULL")),
    key=("id", "occurred_at"),
    tied=False,
)
"""Its partitions are made and dropped by functions of migration 0014; nobody but their owner reaches one directly."""
events.dialect_kwargs["postgresql_partition_by"] = "RANGE (occurred_at)"

identifications = resource_table(
    "identifications",
    Column("device_id", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("customer_id", Uuid),
    Column("state", Text, nullable=False, server_default=text("'done'")),
    Column("attributed", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("state IN ('running', 'done')", name="state"),
    reference("customer_id", "customers"),
    unique("device_id", "at", name="uq_identifications_device"),
    Index(
        "ix_identifications_customer",
        "tenant_id",
        "customer_id",
        "at",
        postgresql_where=text("customer_id IS NOT NULL"),
    ),
)

event_settings = tenant_table(
    "event_settings",
    Column("retention_days", Integer, nullable=False),
    CheckConstraint("retention_days BETWEEN 7 AND 3650", name="retention_days"),
    key=(),
)
"""At most one row per tenant."""
