"""Clusterings, their clusters, and the list of members to be.

Revision ID: 0025
Revises: 0024a
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect

revision = "0025"
down_revision = "0024a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "clusterings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("features", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("rule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("segment_id", sa.Uuid(), nullable=True),
        sa.Column("k", sa.SmallInteger(), nullable=True),
        sa.Column("min_k", sa.SmallInteger(), nullable=False),
        sa.Column("max_k", sa.SmallInteger(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("archive_previous", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customers", sa.Integer(), nullable=True),
        sa.Column("left_out", sa.Integer(), nullable=True),
        sa.Column("clusters_found", sa.SmallInteger(), nullable=True),
        sa.Column("silhouette", sa.Float(), nullable=True),
        sa.Column("structure", sa.Text(), nullable=True),
        sa.Column("tried", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("picture", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("library", sa.Text(), nullable=True),
        sa.Column("refused", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(state = 'refused') = (refused IS NOT NULL)", name=op.f("ck_clusterings_refused")),
        sa.CheckConstraint("missing IN ('median', 'leave_out')", name=op.f("ck_clusterings_missing")),
        sa.CheckConstraint(
            "phase IN ('reading', 'clustering', 'segmenting', 'done')", name=op.f("ck_clusterings_phase")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'refused', 'failed')", name=op.f("ck_clusterings_state")
        ),
        sa.CheckConstraint(
            "structure IN ('strong', 'reasonable', 'weak', 'none')", name=op.f("ck_clusterings_structure")
        ),
        sa.CheckConstraint("k >= 2 AND min_k >= 2 AND max_k >= min_k", name=op.f("ck_clusterings_k")),
        sa.CheckConstraint("rule IS NULL OR segment_id IS NULL", name=op.f("ck_clusterings_population")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "segment_id"],
            ["segments.tenant_id", "segments.id"],
            name=op.f("fk_clusterings_tenant_id_segment_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_clusterings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_clusterings")),
        sa.UniqueConstraint("tenant_id", "name", "revision", name=op.f("uq_clusterings_tenant_id_name_revision")),
    )
    protect("clusterings")

    op.create_table(
        "clusters",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("clustering_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("name_zh", sa.Text(), nullable=False),
        sa.Column("profile_en", sa.Text(), nullable=False),
        sa.Column("profile_zh", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("silhouette", sa.Float(), nullable=True),
        sa.Column("centroid", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("differences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "clustering_id"],
            ["clusterings.tenant_id", "clusterings.id"],
            name=op.f("fk_clusters_tenant_id_clustering_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "segment_id"],
            ["segments.tenant_id", "segments.id"],
            name=op.f("fk_clusters_tenant_id_segment_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_clusters")),
        sa.UniqueConstraint(
            "tenant_id", "clustering_id", "position", name=op.f("uq_clusters_tenant_id_clustering_id_position")
        ),
        sa.UniqueConstraint("tenant_id", "segment_id", name=op.f("uq_clusters_tenant_id_segment_id")),
    )
    protect("clusters")

    op.create_table(
        "cluster_assignments",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("clustering_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "clustering_id"],
            ["clusterings.tenant_id", "clusterings.id"],
            name=op.f("fk_cluster_assignments_tenant_id_clustering_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_cluster_assignments_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "clustering_id", "position", "customer_id", name=op.f("pk_cluster_assignments")
        ),
    )
    protect("cluster_assignments")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
