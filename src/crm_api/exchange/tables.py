"""Uploads, imports, their row verdicts and saved mappings."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, reference, resource_table, tenant_table, unique

_KINDS = (
    "kind IN ('customers', 'companies', 'products', 'orders', 'refunds', 'interactions', 'events', 'opening_balances')"
)
_MODES = "mode IN ('upsert', 'create_only', 'update_only')"


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _json(name: str, default: str) -> Column[object]:
    return Column(name, JSONB, nullable=False, server_default=text(f"'{default}'::jsonb"))


uploads = resource_table(
    "uploads",
    Column("filename", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    # How the file is read, decided once so that every run reads it alike.
    Column("format", Text, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("delimiter", Text, nullable=False),
    Column("header", JSONB, nullable=False),
    _json("sheets", "[]"),
    Column("sheet", Text),
    # Where the rows begin.
    Column("byte_offset", BigInteger, nullable=False),
    Column("line", Integer, nullable=False),
    _json("sample", "[]"),
    # A workbook's rows as text, once they have been taken out of it.
    Column("rows_bytes", BigInteger),
    Column("expires_at", INSTANT, nullable=False),
    CheckConstraint("format IN ('csv', 'xlsx', 'ndjson')", name="format"),
    Index("ix_uploads_expires", "expires_at", "tenant_id"),
)

upload_blocks = tenant_table(
    "upload_blocks",
    Column("upload_id", Uuid, nullable=False),
    # 0: the file as it came; 1: the rows of a workbook as text.
    Column("part", SmallInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    reference("upload_id", "uploads", ondelete="CASCADE"),
    key=("upload_id", "part", "position"),
)
"""The uploaded file in blocks, each keyed by its first byte's offset: any worker on any machine can read it. They go
when the import has ended, or the upload has expired."""

imports = resource_table(
    "imports",
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("filename", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("delimiter", Text, nullable=False),
    Column("header", JSONB, nullable=False),
    Column("columns", JSONB, nullable=False),
    Column("locale", Text, nullable=False),
    # The cursor: everything before these has its effect and its verdict.
    Column("byte_offset", BigInteger, nullable=False),
    Column("line", Integer, nullable=False),
    _count("processed"),
    _count("created"),
    _count("updated"),
    _count("unchanged"),
    _count("failed"),
    Column("busy_seconds", Float, nullable=False, server_default=text("0")),
    Column("error_code", Text),
    Column("error", Text),
    # Who works on it; whoever holds no lease may not commit.
    Column("runner_id", Uuid),
    Column("lease_until", INSTANT),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    # Null: begun by a version that kept its file in import_files.
    Column("upload_id", Uuid),
    Column("format", Text, nullable=False, server_default=text("'csv'")),
    Column("sheet", Text),
    Column("dry_run", Boolean, nullable=False, server_default=text("false")),
    Column("mode", Text, nullable=False, server_default=text("'upsert'")),
    _json("match_by", "[]"),
    _json("defaults", "{}"),
    _count("duplicate"),
    # Taking it back; the cursor is the lowest row that has been looked at.
    Column("undo_state", Text),
    Column("undo_cursor", Integer),
    _count("undo_processed"),
    _count("undo_undone"),
    _count("undo_kept"),
    Column("undo_started_at", INSTANT),
    Column("undo_finished_at", INSTANT),
    CheckConstraint(_KINDS, name="kind"),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed', 'cancelled')", name="state"),
    CheckConstraint("processed = created + updated + unchanged + duplicate + failed", name="counts"),
    CheckConstraint(_MODES, name="mode"),
    CheckConstraint("undo_state IN ('queued', 'running', 'completed', 'failed')", name="undo_state"),
    CheckConstraint("undo_processed = undo_undone + undo_kept", name="undo_counts"),
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
"""Files of imports that 0.1.0 began; `upload_blocks` has all others."""

import_rows = tenant_table(
    "import_rows",
    Column("import_id", Uuid, nullable=False),
    Column("row", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("resource_id", Uuid),
    Column("errors", JSONB(none_as_null=True)),
    # What the row changed, in the words of its domain; see crm_api.core.undo.
    Column("journal", JSONB(none_as_null=True)),
    Column("undo", Text),
    Column("undo_errors", JSONB(none_as_null=True)),
    CheckConstraint("verdict IN ('created', 'updated', 'unchanged', 'duplicate', 'failed')", name="verdict"),
    CheckConstraint("undo IN ('undone', 'kept')", name="undo"),
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

import_cells = tenant_table(
    "import_cells",
    Column("import_id", Uuid, nullable=False),
    Column("row", Integer, nullable=False),
    Column("cells", JSONB, nullable=False),
    reference("import_id", "imports", ondelete="CASCADE"),
    key=("import_id", "row"),
)
"""The cells of failed rows, for the error file; while a dry run lasts, those of all its rows."""

import_keys = tenant_table(
    "import_keys",
    Column("import_id", Uuid, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("row", Integer, nullable=False),
    reference("import_id", "imports", ondelete="CASCADE"),
    key=("import_id", "key", "row"),
)
"""Which rows of a dry run may mean the same thing: hashes of what they are recognised by. They go when it ends."""

import_mappings = resource_table(
    "import_mappings",
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("columns", JSONB, nullable=False),
    _json("defaults", "{}"),
    _json("match_by", "[]"),
    Column("mode", Text, nullable=False, server_default=text("'upsert'")),
    CheckConstraint(_KINDS, name="kind"),
    CheckConstraint(_MODES, name="mode"),
    unique("kind", "name", name="uq_import_mappings_name"),
)
