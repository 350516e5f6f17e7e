"""Clean-ups."""

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, resource_table

quality_cleanups = resource_table(
    "quality_cleanups",
    Column("actions", ARRAY(Text), nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("total", Integer, nullable=False, server_default=text("0")),
    Column("processed", Integer, nullable=False, server_default=text("0")),
    Column("changed", Integer, nullable=False, server_default=text("0")),
    Column("counts", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("samples", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    # Everybody up to this customer has been looked at.
    Column("cursor", Uuid),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed', 'cancelled')", name="state"),
    Index("ix_quality_cleanups_state", "tenant_id", "state", "id"),
)
