"""Wider imports, and exports.

Uploads are stored once and read by previews, dry runs and imports; imports know how rows are matched, whether they are
rehearsed, and can be taken back; mappings are saved.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import open_to_system, protect

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_KINDS = (
    "kind IN ('customers', 'companies', 'products', 'orders', 'refunds', 'interactions', 'events', 'opening_balances')"
)
_ZERO = sa.text("0")


def upgrade() -> None:
    """Apply."""
    _uploads()
    _widen_imports()
    _widen_rows()
    _mappings()
    _checks()


CHECKS = (
    ("imports", "kind", _KINDS),
    ("imports", "counts", "processed = created + updated + unchanged + duplicate + failed"),
    ("imports", "mode", "mode IN ('upsert', 'create_only', 'update_only')"),
    ("imports", "undo_state", "undo_state IN ('queued', 'running', 'completed', 'failed')"),
    ("imports", "undo_counts", "undo_processed = undo_undone + undo_kept"),
    ("import_rows", "verdict", "verdict IN ('created', 'updated', 'unchanged', 'duplicate', 'failed')"),
    ("import_rows", "undo", "undo IN ('undone', 'kept')"),
)
WIDENED = frozenset({("imports", "kind"), ("imports", "counts"), ("import_rows", "verdict")})


def _checks() -> None:
    """Widen and add checks; the rows are looked at afterwards (0017a), without a lock that keeps anybody out."""
    for table, name, condition in CHECKS:
        if (table, name) in WIDENED:
            op.execute(f"-- squawk-ignore ban-drop-constraint\nALTER TABLE {table} DROP CONSTRAINT ck_{table}_{name}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{name} CHECK ({condition}) NOT VALID")


def _json(name: str, default: str) -> sa.Column:
    return sa.Column(
        name, postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text(f"'{default}'::jsonb"), nullable=False
    )


def _widen_imports() -> None:
    for column in (
        sa.Column("upload_id", sa.Uuid(), nullable=True),
        sa.Column("format", sa.Text(), server_default=sa.text("'csv'"), nullable=False),
        sa.Column("sheet", sa.Text(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("mode", sa.Text(), server_default=sa.text("'upsert'"), nullable=False),
        _json("match_by", "[]"),
        _json("defaults", "{}"),
        sa.Column("duplicate", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("undo_state", sa.Text(), nullable=True),
        sa.Column("undo_cursor", sa.Integer(), nullable=True),
        sa.Column("undo_processed", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("undo_undone", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("undo_kept", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("undo_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undo_finished_at", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("imports", column)


def _widen_rows() -> None:
    op.add_column("import_rows", sa.Column("journal", postgresql.JSONB(none_as_null=True), nullable=True))
    op.add_column("import_rows", sa.Column("undo", sa.Text(), nullable=True))
    op.add_column("import_rows", sa.Column("undo_errors", postgresql.JSONB(none_as_null=True), nullable=True))


def _uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("delimiter", sa.Text(), nullable=False),
        sa.Column("header", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "sheets", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("sheet", sa.Text(), nullable=True),
        sa.Column("byte_offset", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column(
            "sample", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("rows_bytes", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("format IN ('csv', 'xlsx', 'ndjson')", name=op.f("ck_uploads_format")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_uploads_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_uploads")),
    )
    op.create_index("ix_uploads_expires", "uploads", ["expires_at", "tenant_id"], unique=False)
    protect("uploads")
    open_to_system("uploads", "SELECT, DELETE")

    op.create_table(
        "upload_blocks",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "upload_id"],
            ["uploads.tenant_id", "uploads.id"],
            name=op.f("fk_upload_blocks_tenant_id_upload_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "upload_id", "part", "position", name=op.f("pk_upload_blocks")),
    )
    # Compressed by whoever made it, or text that is read once: not worth compressing.
    op.execute("ALTER TABLE upload_blocks ALTER COLUMN data SET STORAGE EXTERNAL")
    protect("upload_blocks")
    open_to_system("upload_blocks", "SELECT, DELETE")


def _mappings() -> None:
    op.create_table(
        "import_cells",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("cells", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "import_id"],
            ["imports.tenant_id", "imports.id"],
            name=op.f("fk_import_cells_tenant_id_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "import_id", "row", name=op.f("pk_import_cells")),
    )
    protect("import_cells")

    op.create_table(
        "import_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "import_id"],
            ["imports.tenant_id", "imports.id"],
            name=op.f("fk_import_keys_tenant_id_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "import_id", "key", "row", name=op.f("pk_import_keys")),
    )
    protect("import_keys")

    op.create_table(
        "import_mappings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("columns", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "defaults", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "match_by", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("mode", sa.Text(), server_default=sa.text("'upsert'"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('customers', 'companies', 'products', 'orders', 'refunds', 'interactions', 'events', 'opening_balances')",
            name=op.f("ck_import_mappings_kind"),
        ),
        sa.CheckConstraint("mode IN ('upsert', 'create_only', 'update_only')", name=op.f("ck_import_mappings_mode")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_import_mappings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_import_mappings")),
        sa.UniqueConstraint("tenant_id", "kind", "name", name="uq_import_mappings_name"),
    )
    protect("import_mappings")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
