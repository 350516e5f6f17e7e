"""Access to clusterings and clusters, and to the customers who take part."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import func, select, update

from crm_api.accounts.repository import TenantRepository
from crm_api.clusters.models import Cluster, Clustering, ClusteringState
from crm_api.clusters.tables import cluster_assignments, clusterings, clusters
from crm_api.core.rules import AsOf
from crm_api.customers.tables import customers
from crm_api.db.bulk import insert_rows
from crm_api.db.projections import (
    Projection,
    asc,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    ref,
    sql,
    struct,
)
from crm_api.db.repository import Repository
from crm_api.segments.repository import SEGMENT, Chosen
from crm_api.segments.repository.catalogue import customer_rules
from crm_api.segments.tables import segment_members, segments

CLUSTERING = Projection(
    "Clustering",
    table=clusterings,
    model=Clustering,
    scope="segments:read",
    description="Customers grouped by what they are like.",
    fields={
        **columns(
            "id",
            "name",
            "revision",
            "state",
            "phase",
            "total",
            "processed",
            "features",
            "rule",
            "k",
            "min_k",
            "max_k",
            "seed",
            "missing",
            "currency",
            "archive_previous",
            "as_of",
            "customers",
            "left_out",
            "clusters_found",
            "silhouette",
            "structure",
            "tried",
            "library",
            "refused",
            "error",
            "started_at",
            "finished_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "segment_id": ref("segment_id", "Segment"),
    },
    relations={
        "clusters": many(
            "Cluster", on=lambda p, c: c.c.clustering_id == p.c.id, description="What was found, the largest first."
        ),
        "picture": sql(
            lambda t: t.c.picture,
            returns=dict[str, Any] | None,
            description="What the picture shows: `points` (each x, y and the cluster's position), a sample along the "
            "first two principal components, and `explained`, the share of variance along each. Null until completed.",
        ),
    },
    filters={
        "state": eq("state", ClusteringState),
        "name": eq("name", description="Only the revisions of this one."),
    },
)

CLUSTER = Projection(
    "Cluster",
    table=clusters,
    model=Cluster,
    scope="segments:read",
    description="Customers who are alike, and in what.",
    fields={
        **columns("id", "position", "size", "share", "silhouette", "centroid", "differences", "created_at"),
        "clustering_id": ref("clustering_id", "Clustering"),
        "segment_id": ref("segment_id", "Segment"),
        "name": struct({"en": column("name_en"), "zh": column("name_zh")}),
        "profile": struct({"en": column("profile_en"), "zh": column("profile_zh")}),
    },
    relations={
        "clustering": one("Clustering", on=lambda p, c: c.c.id == p.c.clustering_id, description="What found it."),
        "segment": one("Segment", on=lambda p, c: c.c.id == p.c.segment_id, description="The segment of its members."),
    },
    orders={"position": [asc("position")], "newest": [desc("id")]},
    filters={"clustering_id": eq_ref("clustering_id", "Clustering"), "segment_id": eq_ref("segment_id", "Segment")},
    version=None,
)

extend(
    SEGMENT,
    relations={
        "cluster": one(
            "Cluster", on=lambda p, c: c.c.segment_id == p.c.id, description="What the segment was made of, if so."
        )
    },
)

_BOUGHT = "o.status IN ('paid', 'shipped', 'completed')"
_CURRENCY = f"""
SELECT o.currency FROM orders o WHERE o.tenant_id = $1 AND {_BOUGHT}
GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1
"""  # noqa: S608 - constants of this module
_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('crm clustering ' || $1, 0))"
_NEXT = """
SELECT position, customer_id FROM cluster_assignments
WHERE tenant_id = $1 AND clustering_id = $2 ORDER BY position, customer_id LIMIT $3
"""
# A range of the primary key: joined to a list of rows it took seconds, the statistics of the table being old.
_TAKE_OFF = """
DELETE FROM cluster_assignments
WHERE tenant_id = $1 AND clustering_id = $2 AND (position, customer_id) <= ($3::smallint, $4::uuid)
"""
_EARLIER = """
SELECT s.id FROM clusters k
JOIN clusterings g ON g.tenant_id = $1 AND g.id = k.clustering_id
JOIN segments s ON s.tenant_id = $1 AND s.id = k.segment_id
WHERE k.tenant_id = $1 AND g.name = $2 AND g.revision < $3 AND s.state <> 'archived'
ORDER BY s.id
"""


class ClusteringRepository(Repository):
    """Clusterings and their clusters."""

    table = clusterings

    async def take_turn(self) -> None:
        """Let nobody else number a clustering of the tenant until the unit ends."""
        await self.unit.connection.execute(_TURN, str(self.unit.tenant_id))

    async def last_revision(self, name: str) -> int:
        """Return how often a clustering of this name was done; 0 when never."""
        statement = select(func.max(clusterings.c.revision)).where(self.mine(), clusterings.c.name == name)
        return await self.unit.fetch_value(statement) or 0

    async def is_open(self, name: str) -> bool:
        """Tell whether a revision of this clustering is queued or running."""
        return await self._in_state(name, "queued", "running")

    async def is_taken(self, name: str) -> bool:
        """Tell whether a clustering of this name has found something, or still may."""
        return await self._in_state(name, "queued", "running", "completed")

    async def _in_state(self, name: str, *states: str) -> bool:
        found = select(clusterings.c.id).where(self.mine(), clusterings.c.name == name, clusterings.c.state.in_(states))
        return await self.unit.fetch_value(found.limit(1)) is not None

    async def main_currency(self) -> str | None:
        """Return the currency most purchases were made in."""
        found: str | None = await self.unit.connection.fetchval(_CURRENCY, self.unit.tenant_id)
        return found

    async def chosen(self, tree: Any, *, check: bool = False) -> Chosen:
        """Return a rule as of now, with all it takes to become SQL.

        Args:
            tree: a `RuleTree` or a stored document.
            check: whether the caller must be allowed to know all that it names.

        Raises:
            Invalid: the rule is not right; pointers begin with ``/rule``.

        """
        rules = await customer_rules(self.unit, tree)
        zone = ZoneInfo((await TenantRepository(self.unit).current()).time_zone)
        return Chosen(
            rules, rules.check(tree, "/rule", self.unit.actor if check else None), AsOf(self.unit.now(), zone)
        )

    async def population(self, rule: Chosen | None, segment_id: UUID | None) -> list[UUID]:
        """Return the ids of the living customers who take part, in order."""
        c = customers.alias("c")
        conditions = [c.c.tenant_id == self.unit.tenant_id, c.c.deleted_at.is_(None)]
        if rule is not None:
            conditions.append(rule.predicate(c, self.unit.tenant_id))
        if segment_id is not None:
            member = segment_members
            found = select(member.c.customer_id).where(
                self.mine(member), member.c.segment_id == segment_id, member.c.customer_id == c.c.id
            )
            conditions.append(found.exists())
        rows = await self.unit.fetch_all(select(c.c.id).where(*conditions).order_by(c.c.id))
        return [row["id"] for row in rows]

    async def has_segment(self, segment_id: UUID) -> bool:
        """Tell whether there is such a segment."""
        return await self.unit.fetch_value(select(segments.c.id).where(self.by_id(segment_id, segments))) is not None

    async def segment_names(self, names: Sequence[str]) -> set[str]:
        """Return which of these names a segment has."""
        rows = await self.unit.fetch_all(select(segments.c.name).where(self.mine(segments), segments.c.name.in_(names)))
        return {row["name"] for row in rows}

    async def note(self, clustering_id: UUID, values: Mapping[str, Any]) -> None:
        """Write progress that is no change of state; clients poll it, so the version follows."""
        await self.unit.execute(
            update(clusterings)
            .where(self.by_id(clustering_id), clusterings.c.state == "running")
            .values(**values, version=clusterings.c.version + 1, updated_at=self.unit.now())
        )

    async def add_clusters(self, rows: list[dict[str, Any]]) -> None:
        """Store what was found."""
        await self.insert_many(rows, clusters)

    async def clusters_of(self, clustering_id: UUID) -> list[asyncpg.Record]:
        """Return a clustering's clusters, the largest first."""
        statement = select(clusters).where(self.mine(clusters), clusters.c.clustering_id == clustering_id)
        return await self.unit.fetch_all(statement.order_by(clusters.c.position))

    async def assign(self, clustering_id: UUID, rows: Sequence[tuple[int, UUID]]) -> None:
        """Note who is to be put into which cluster: (position, customer)."""
        given = [(clustering_id, position, customer_id) for position, customer_id in rows]
        await insert_rows(self.unit, cluster_assignments, ("clustering_id", "position", "customer_id"), given)

    async def take(self, clustering_id: UUID, size: int) -> list[asyncpg.Record]:
        """Take the next customers off the list: ``position``, ``customer_id``; the caller has locked the clustering."""
        which = (self.unit.tenant_id, clustering_id)
        rows: list[asyncpg.Record] = await self.unit.connection.fetch(_NEXT, *which, size)
        if rows:
            await self.unit.connection.execute(_TAKE_OFF, *which, *rows[-1])
        return rows

    async def forget_assignments(self, clustering_id: UUID) -> None:
        """Drop what is left of the list."""
        table = cluster_assignments
        await self.unit.execute(table.delete().where(self.mine(table), table.c.clustering_id == clustering_id))

    async def earlier_segments(self, name: str, revision: int) -> list[UUID]:
        """Return the segments of earlier revisions that are not archived."""
        rows = await self.unit.connection.fetch(_EARLIER, self.unit.tenant_id, name, revision)
        return [row["id"] for row in rows]


__all__ = ["CLUSTER", "CLUSTERING", "ClusteringRepository"]
