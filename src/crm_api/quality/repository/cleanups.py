"""Access to clean-ups."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import func, select, update

from crm_api.customers.tables import customers
from crm_api.db.projections import Projection, columns, eq
from crm_api.db.repository import Repository
from crm_api.db.runs import UNFINISHED
from crm_api.quality.models import CleanupState, QualityCleanup
from crm_api.quality.rules import Point
from crm_api.quality.tables import quality_cleanups

QUALITY_CLEANUP = Projection(
    "QualityCleanup",
    table=quality_cleanups,
    model=QualityCleanup,
    scope="quality:read",
    description="A clean-up: what it does, how far it has come, and what came of it.",
    fields=columns(
        "id",
        "actions",
        "dry_run",
        "state",
        "total",
        "processed",
        "changed",
        "counts",
        "samples",
        "error",
        "started_at",
        "finished_at",
        "version",
        "created_at",
        "updated_at",
    ),
    filters={"state": eq("state", CleanupState), "dry_run": eq("dry_run", bool)},
)


class CleanupRepository(Repository):
    """Clean-ups."""

    table = quality_cleanups

    async def count(self) -> int:
        """Return the number of living customers."""
        number: int = await self.unit.fetch_value(
            select(func.count()).select_from(customers).where(self.mine(customers), customers.c.deleted_at.is_(None))
        )
        return number

    async def next_customers(self, after: UUID | None, number: int) -> list[UUID]:
        """Return the next living customers in the order of their ids."""
        t = customers
        later = [] if after is None else [t.c.id > after]
        rows = await self.unit.fetch_all(
            select(t.c.id).where(self.mine(t), t.c.deleted_at.is_(None), *later).order_by(t.c.id).limit(number)
        )
        return [row["id"] for row in rows]

    async def points_of(self, ids: Sequence[UUID]) -> dict[UUID, list[Point]]:
        """Return the customers' contact points, oldest first."""
        rows = await self.unit.connection.fetch(
            "SELECT id, customer_id, kind, value, is_primary FROM contact_points "
            "WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[]) ORDER BY customer_id, id",
            self.unit.tenant_id,
            list(ids),
        )
        found: dict[UUID, list[Point]] = {}
        for row in rows:
            found.setdefault(row["customer_id"], []).append(Point(*(row[name] for name in _POINT)))
        return found

    async def advance(self, cleanup_id: UUID, values: Mapping[str, Any]) -> asyncpg.Record:
        """Store progress."""
        return await self.change(cleanup_id, values)

    async def finish(self, cleanup_id: UUID, values: Mapping[str, Any]) -> asyncpg.Record | None:
        """End a clean-up; None when it has ended already."""
        t = quality_cleanups
        return await self.unit.fetch_one(
            update(t)
            .where(self.by_id(cleanup_id), t.c.state.in_(UNFINISHED))
            .values(**values, finished_at=self.unit.now(), version=t.c.version + 1, updated_at=func.now())
            .returning(t)
        )

    async def forget_samples(self, customer_ids: Sequence[str]) -> int:
        """Take customers out of the samples of all clean-ups; returns how many clean-ups showed them."""
        status = await self.unit.connection.execute(_FORGET, self.unit.tenant_id, list(customer_ids))
        return int(status.rpartition(" ")[2])


_FORGET = """
UPDATE quality_cleanups SET samples = coalesce((
  SELECT jsonb_agg(e ORDER BY n) FROM jsonb_array_elements(samples) WITH ORDINALITY AS s (e, n)
  WHERE e ->> 'customer_id' <> ALL ($2::text[])), '[]'::jsonb)
WHERE tenant_id = $1
  AND EXISTS (SELECT FROM jsonb_array_elements(samples) AS e WHERE e ->> 'customer_id' = ANY ($2::text[]))
"""

_POINT = ("id", "customer_id", "kind", "value", "is_primary")
