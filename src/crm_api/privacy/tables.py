"""Subject exports, erasures, and how long both take."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table

ZERO = text("0")

privacy_settings = tenant_table(
    "privacy_settings",
    Column("erasure_waiting_days", Integer, nullable=False),
    Column("export_keep_days", Integer, nullable=False),
    created_at("updated_at"),
    CheckConstraint("erasure_waiting_days BETWEEN 0 AND 30", name="erasure_waiting_days"),
    CheckConstraint("export_keep_days BETWEEN 1 AND 30", name="export_keep_days"),
    key=(),
)
"""One row per tenant that differs from the defaults."""

subject_exports = resource_table(
    "subject_exports",
    Column("customer_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("total", Integer, nullable=False, server_default=ZERO),
    Column("processed", Integer, nullable=False, server_default=ZERO),
    Column("rows", BigInteger, nullable=False, server_default=ZERO),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    Column("expires_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed', 'expired')", name="state"),
    reference("customer_id", "customers"),
    Index("ix_subject_exports_customer", "tenant_id", "customer_id", "id"),
    Index("ix_subject_exports_expiry", "expires_at", postgresql_where=text("state = 'completed'")),
)

subject_export_blocks = tenant_table(
    "subject_export_blocks",
    Column("export_id", Uuid, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "export_id"],
        ["subject_exports.tenant_id", "subject_exports.id"],
        name="fk_subject_export_blocks_tenant_id_export_id",
        ondelete="CASCADE",
    ),
    key=("export_id", "position"),
)
"""The archive in blocks, each keyed by its first byte's offset: any process can answer the download."""

erasures = resource_table(
    "erasures",
    Column("customer_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("reason", Text, nullable=False),
    # In the staff's words; goes with the data.
    Column("note", Text),
    Column("due_at", INSTANT, nullable=False),
    # Everybody it covers: the customer and those who were merged into them; known when it begins.
    Column("covers", ARRAY(Uuid), nullable=False, server_default=text("'{}'::uuid[]")),
    # The cursor: so many steps are done.
    Column("processed", Integer, nullable=False, server_default=ZERO),
    Column("total", Integer, nullable=False, server_default=ZERO),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    # A day later it is gone over once more, for what was under way when it ran.
    Column("swept_at", INSTANT),
    CheckConstraint("state IN ('waiting', 'running', 'completed', 'cancelled', 'failed')", name="state"),
    reference("customer_id", "customers"),
    Index("ix_erasures_customer", "tenant_id", "customer_id", "id"),
    # One at a time for each customer.
    Index(
        "uq_erasures_open",
        "tenant_id",
        "customer_id",
        unique=True,
        postgresql_where=text("state IN ('waiting', 'running', 'failed')"),
    ),
)
"""The proof that somebody asked and that it was done: ids, times and numbers of rows, nothing personal."""
