"""Imports, their files and their row verdicts."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, resource_table, tenant_table

imports = resource_table(
    "imports",
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("filename", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    # How the file is read, decided once at upload so that every run reads it alike.
    Column("encoding", Text, nullable=False),
    Column("delimiter", Text, nullable=False),
    Column("header", JSONB, nullable=False),
    Column("columns", JSONB, nullable=False),
    Column("locale", Text, nullable=False),
    # The cursor: everything before these has its effect and its verdict.
    Column("byte_offset", BigInteger, nullable=False),
    Column("line", Integer, nullable=False),
    Column("processed", Integer, nullable=False, server_default=text("0")),
    Column("created", Integer, nullable=False, server_default=text("0")),
    Column("updated", Integer, nullable=False, server_default=text("0")),
    Column("unchanged", Integer, nullable=False, server_default=text("0")),
    Column("failed", Integer, nullable=False, server_default=text("0")),
    Column("busy_seconds", Float, nullable=False, server_default=text("0")),
    Column("error_code", Text),
    Column("error", Text),
    # Who works on it; whoever holds no lease may not commit.
    Column("runner_id", Uuid),
    Column("lease_until", INSTANT),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("kind IN ('customers', 'orders')", name="kind"),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed', 'cancelled')", name="state"),
    CheckConstraint("processed = created + updated + unchanged + failed", name="counts"),
)

import_files = tenant_table(
    "import_files",
    Column("import_id", Uuid, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "import_id"],
        ["imports.tenant_id", "imports.id"],
        name="fk_import_files_tenant_id_import_id",
        ondelete="CASCADE",
    ),
    key=("import_id", "position"),
)
"""The uploaded file in blocks, each keyed by its first byte's offset: any worker on any machine can read it. The blocks
are deleted when the import ends."""

import_rows = tenant_table(
    "import_rows",
    Column("import_id", Uuid, nullable=False),
    Column("row", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("resource_id", Uuid),
    Column("errors", JSONB(none_as_null=True)),
    CheckConstraint("verdict IN ('created', 'updated', 'unchanged', 'failed')", name="verdict"),
    ForeignKeyConstraint(
        ["tenant_id", "import_id"],
        ["imports.tenant_id", "imports.id"],
        name="fk_import_rows_tenant_id_import_id",
        ondelete="CASCADE",
    ),
    # Failures are few among many: finding them must not read the rest.
    Index(
        "ix_import_rows_failed",
        "tenant_id",
        "import_id",
        "row",
        postgresql_where=text("verdict = 'failed'"),
    ),
    key=("import_id", "row"),
)
