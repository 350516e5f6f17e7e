"""Whose a verified contact point is: at any time one living customer's in the tenant.

``contact_points.claimed`` says that a verification stands. The unique index over claimed rows decides between rivals;
a trigger on ``customers`` lets go of the claims of whoever is hidden, whoever hides them, and takes up again those that
are still free when a hidden customer comes back.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import select, update

from crm_api.customers.models import PointChange
from crm_api.customers.tables import contact_points
from crm_api.db.repository import Repository

_HAND_OVER = """
WITH losing AS (
  UPDATE contact_points l SET claimed = false
  FROM contact_points w
  WHERE l.tenant_id = $1 AND l.customer_id = ANY ($3::uuid[]) AND l.claimed
    AND w.tenant_id = $1 AND w.customer_id = $2 AND w.kind = l.kind AND w.value = l.value
  RETURNING l.id AS loser, w.id AS winner, l.verified_at
)
SELECT loser, winner, verified_at FROM losing ORDER BY loser
"""
_TAKE = """
UPDATE contact_points p SET claimed = true, verified_at = g.verified_at
FROM unnest($2::uuid[], $3::timestamptz[]) AS g (id, verified_at)
WHERE p.tenant_id = $1 AND p.id = g.id
"""
# What the winner proved anew since the merge is the winner's own.
_LET_GO = """
UPDATE contact_points w SET claimed = false, verified_at = NULL
FROM unnest($2::uuid[], $3::uuid[]) AS g (loser, winner)
JOIN contact_points l ON l.tenant_id = $1 AND l.id = g.loser
WHERE w.tenant_id = $1 AND w.id = g.winner AND w.claimed AND w.verified_at = l.verified_at
RETURNING l.id, l.verified_at
"""
_MINE = "tenant_id = $1 AND customer_id = $2 AND id = ANY ($3::uuid[])"
_WAS = f"SELECT id, kind, value, is_primary FROM contact_points WHERE {_MINE} ORDER BY id"  # noqa: S608 - a constant
_REMOVE = f"DELETE FROM contact_points WHERE {_MINE}"  # noqa: S608 - a constant
_MEND = """
UPDATE contact_points p SET kind = g.kind, value = g.value, is_primary = g.is_primary,
  claimed = p.claimed AND NOT EXISTS (
    SELECT FROM contact_points o
    WHERE o.tenant_id = $1 AND o.kind = g.kind AND o.value = g.value AND o.claimed AND o.id <> p.id)
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bool[]) AS g (id, kind, value, is_primary)
WHERE p.tenant_id = $1 AND p.customer_id = $2 AND p.id = g.id
"""


class ContactClaimRepository(Repository):
    """Contact points and who has proved them."""

    table = contact_points

    async def of(self, customer_id: UUID, contact_id: UUID) -> asyncpg.Record | None:
        """Return a customer's contact point, or None."""
        t = contact_points
        return await self.unit.fetch_one(select(t).where(self.by_id(contact_id), t.c.customer_id == customer_id))

    async def owner(self, kind: str, value: str) -> UUID | None:
        """Return the living customer who has proved this value, or None."""
        t = contact_points
        owner: UUID | None = await self.unit.fetch_value(
            select(t.c.customer_id).where(self.mine(), t.c.kind == kind, t.c.value == value, t.c.claimed)
        )
        return owner

    async def claim(self, contact_id: UUID, at: datetime) -> None:
        """Note that the contact point was proved; the unique index refuses what another customer has."""
        await self.unit.execute(
            update(contact_points).where(self.by_id(contact_id)).values(verified_at=at, claimed=True)
        )

    async def pass_on(self, winner_id: UUID, loser_ids: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
        """Give the winner of a merge the losers' verifications of values that the winner has too.

        Returns:
            (the loser's contact point, the winner's) of each.

        """
        rows = await self.unit.connection.fetch(_HAND_OVER, self.unit.tenant_id, winner_id, list(loser_ids))
        await self._take([row["winner"] for row in rows], [row["verified_at"] for row in rows])
        return [(row["loser"], row["winner"]) for row in rows]

    async def give_back(self, pairs: Sequence[tuple[UUID, UUID]]) -> None:
        """Undo ``pass_on``."""
        losers, winners = [loser for loser, _ in pairs], [winner for _, winner in pairs]
        rows = await self.unit.connection.fetch(_LET_GO, self.unit.tenant_id, losers, winners)
        await self._take([row["id"] for row in rows], [row["verified_at"] for row in rows])

    async def mend(self, customer_id: UUID, changes: Sequence[PointChange]) -> list[dict[str, Any]]:
        """Remove and change contact points, removals first; returns what they were."""
        removed = [each.id for each in changes if each.kind is None]
        kept = [each for each in changes if each.kind is not None]
        given = (self.unit.tenant_id, customer_id)
        rows = await self.unit.connection.fetch(_WAS, *given, [each.id for each in changes])
        await self.unit.connection.execute(_REMOVE, *given, removed)
        if kept:
            columns = ([getattr(each, name) for each in kept] for name in ("id", "kind", "value", "is_primary"))
            await self.unit.connection.execute(_MEND, *given, *columns)
        return [{**row, "id": str(row["id"])} for row in rows]

    async def _take(self, ids: list[UUID], moments: list[datetime]) -> None:
        if ids:
            await self.unit.connection.execute(_TAKE, self.unit.tenant_id, ids, moments)
