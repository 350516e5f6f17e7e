"""Exports and their files."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, reference, resource_table, tenant_table

_STATES = "state IN ('queued', 'running', 'completed', 'failed', 'cancelled', 'expired')"

exports = resource_table(
    "exports",
    # What is exported.
    Column("resource", Text, nullable=False),
    Column("filters", JSONB, nullable=False),
    Column("rule", JSONB(none_as_null=True)),
    Column("sort", Text),
    Column("fields", ARRAY(Text), nullable=False),
    # How it is written.
    Column("format", Text, nullable=False),
    Column("bom", Boolean, nullable=False),
    Column("headers", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    # Whose rights the file was made with, as they were when it was asked for.
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("masked", Boolean, nullable=False),
    Column("locale", Text, nullable=False),
    # How far it is.
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("total", BigInteger),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("busy_seconds", Float, nullable=False, server_default=text("0")),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    Column("as_of", INSTANT),
    Column("error_code", Text),
    Column("error", Text),
    # Who works on it; whoever holds no lease may not write.
    Column("runner_id", Uuid),
    Column("lease_until", INSTANT),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    Column("expires_at", INSTANT),
    # The one link that opens the file without a key; only its secret's hash is kept.
    Column("link_hash", LargeBinary),
    Column("link_expires_at", INSTANT),
    CheckConstraint(_STATES, name="state"),
    CheckConstraint("format IN ('csv', 'xlsx', 'ndjson', 'parquet')", name="format"),
    CheckConstraint("headers IN ('names', 'en', 'zh')", name="headers"),
    Index("ix_exports_expires", "expires_at", postgresql_where=text("state = 'completed'")),
)

export_blocks = tenant_table(
    "export_blocks",
    Column("export_id", Uuid, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    reference("export_id", "exports", ondelete="CASCADE"),
    key=("export_id", "position"),
)
"""The file in blocks, each keyed by its first byte's offset: any process can answer the download."""
