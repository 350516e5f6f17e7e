"""Segments and their members."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import APPEND_ONLY, INSTANT, created_at, reference, resource_table, tenant_table, unique

ZERO = text("0")

segments = resource_table(
    "segments",
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("rule", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'compiling'")),
    Column("error", Text),
    Column("size", Integer, nullable=False, server_default=ZERO),
    Column("evaluated_at", INSTANT),
    CheckConstraint("state IN ('compiling', 'active', 'failed', 'archived')", name="state"),
    unique("name"),
)

segment_members = tenant_table(
    "segment_members",
    Column("segment_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    created_at("entered_at"),
    reference("segment_id", "segments"),
    reference("customer_id", "customers"),
    Index("ix_segment_members_customer", "tenant_id", "customer_id"),
    key=("segment_id", "customer_id"),
)

segment_log = tenant_table(
    "segment_log",
    Column("segment_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("change", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    CheckConstraint("change IN ('enter', 'leave')", name="change"),
    CheckConstraint("cause IN ('rule', 'event', 'scoring', 'time')", name="cause"),
    reference("segment_id", "segments"),
    reference("customer_id", "customers"),
    Index("ix_segment_log_segment", "tenant_id", "segment_id", "id"),
    Index("ix_segment_log_customer", "tenant_id", "customer_id", "id"),
    info={APPEND_ONLY: True},
)
