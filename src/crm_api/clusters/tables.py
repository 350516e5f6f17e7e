"""Clusterings, the clusters they found, and who is yet to be put into the clusters' segments."""

from sqlalchemy import Boolean, CheckConstraint, Column, Float, Integer, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, created_at, reference, resource_table, tenant_table, unique

ZERO = text("0")

clusterings = resource_table(
    "clusterings",
    Column("name", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("phase", Text),
    Column("total", Integer, nullable=False, server_default=ZERO),
    Column("processed", Integer, nullable=False, server_default=ZERO),
    # [{"name", "kind", "label", "transform", "missing", "used"}], as they were when it was asked for.
    Column("features", JSONB, nullable=False),
    Column("rule", JSONB(none_as_null=True)),
    Column("segment_id", Uuid),
    Column("k", SmallInteger),
    Column("min_k", SmallInteger, nullable=False),
    Column("max_k", SmallInteger, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("missing", Text, nullable=False),
    Column("currency", Text),
    Column("archive_previous", Boolean, nullable=False, server_default=text("false")),
    # Fixed when the job begins: a killed worker's successor counts days from the same moment.
    Column("as_of", INSTANT),
    Column("customers", Integer),
    Column("left_out", Integer),
    Column("clusters_found", SmallInteger),
    Column("silhouette", Float),
    Column("structure", Text),
    Column("tried", JSONB(none_as_null=True)),
    # Points (x, y and the cluster's position) and the share of variance along both axes.
    Column("picture", JSONB(none_as_null=True)),
    Column("library", Text),
    Column("refused", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'refused', 'failed')", name="state"),
    CheckConstraint("phase IN ('reading', 'clustering', 'segmenting', 'done')", name="phase"),
    CheckConstraint("missing IN ('median', 'leave_out')", name="missing"),
    CheckConstraint("structure IN ('strong', 'reasonable', 'weak', 'none')", name="structure"),
    CheckConstraint("k >= 2 AND min_k >= 2 AND max_k >= min_k", name="k"),
    CheckConstraint("rule IS NULL OR segment_id IS NULL", name="population"),
    CheckConstraint("(state = 'refused') = (refused IS NOT NULL)", name="refused"),
    reference("segment_id", "segments"),
    unique("name", "revision"),
)

clusters = tenant_table(
    "clusters",
    Column("clustering_id", Uuid, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("segment_id", Uuid, nullable=False),
    Column("name_en", Text, nullable=False),
    Column("name_zh", Text, nullable=False),
    Column("profile_en", Text, nullable=False),
    Column("profile_zh", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("silhouette", Float),
    Column("centroid", JSONB, nullable=False),
    Column("differences", JSONB, nullable=False),
    created_at(),
    reference("clustering_id", "clusterings"),
    reference("segment_id", "segments"),
    unique("clustering_id", "position"),
    unique("segment_id"),
)

cluster_assignments = tenant_table(
    "cluster_assignments",
    Column("clustering_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("position", SmallInteger, nullable=False),
    reference("clustering_id", "clusterings"),
    reference("customer_id", "customers"),
    key=("clustering_id", "position", "customer_id"),
)
"""Who is yet to become a member of a cluster's segment: written with the clusters, taken away chunk by chunk."""
